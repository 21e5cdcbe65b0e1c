"""One call at the top of every notebook: seed, profile, device and precision.

Import this module before `keras`: in a notebook it makes the backend start quietly.
"""

import logging
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

PROFILES = ("fast", "full")
_HALVES = ("float16", "bfloat16")


def in_notebook() -> bool:
    """Return whether this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython(), "kernel") if ipython else False


def _quiet_backend() -> None:
    """Keep the backend's C++ start-up lines out of a notebook's outputs.

    They are written to file descriptor 2 before any logger can be configured. Python's
    own `sys.stderr` in a kernel does not go through it, so errors stay visible.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if in_notebook():
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)


_quiet_backend()
# TensorFlow's faster kernels, which by itself it takes on some processors only: with
# AVX2 and nothing newer, a small CNN trains a quarter faster.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@dataclass(frozen=True)
class Gpu:
    """A graphics processor: its name, memory in GiB and compute capability."""

    name: str
    memory: float
    capability: float


@dataclass(frozen=True)
class Profile:
    """How large a run is: `fast` (minutes on 2 CPU cores) or `full` (a GPU)."""

    name: str

    def pick(self, value: Any, *, fast: Any, full: Any) -> Any:
        """Return `value` where the reader set one, else what the profile says.

        Args:
            value: A notebook parameter; `None` means "the profile decides".
            fast: The value on a laptop.
            full: The value on a GPU.

        Example:
            >>> Profile("fast").pick(None, fast=3, full=5), Profile("full").pick(
            ...     2, fast=3, full=5
            ... )
            (3, 2)
        """
        if value is not None:
            return value
        return fast if self.name == "fast" else full


def profile_name(name: str | None = None) -> str:
    """Return the profile: `name`, else `$MMLEARN_PROFILE`, else `fast`.

    Raises:
        ValueError: If it is neither `fast` nor `full`.
    """
    name = name or os.environ.get("MMLEARN_PROFILE") or "fast"
    if name not in PROFILES:
        raise ValueError(
            f"profile {name!r} is unknown: choose 'fast' (laptop) or 'full' (GPU), "
            "as an argument or in MMLEARN_PROFILE"
        )
    return name


def gpus() -> list[Gpu]:
    """Return the NVIDIA GPUs that the driver reports (empty without a driver)."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = "--query-gpu=name,memory.total,compute_cap"
    answer = subprocess.run(
        ["nvidia-smi", query, "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        return []
    rows = [line.split(", ") for line in answer.stdout.strip().splitlines()]
    return [Gpu(n, round(float(mib) / 1024, 1), float(cap)) for n, mib, cap in rows]


def devices() -> list[str]:
    """Return the devices the backend computes on, such as `["cpu:0"]`."""
    import keras

    try:
        found = keras.distribution.list_devices()
    except (AttributeError, NotImplementedError):
        # Keras lists no devices for PyTorch.
        return [f"gpu:{i}" for i in range(len(gpus()))] or ["cpu:0"]
    return [name for name in found if "cpu" not in name.lower()] or found


def precision_for(gpu: Gpu | None) -> str:
    """Return the Keras dtype policy that suits a device.

    Half precision pays off on tensor cores only: `mixed_bfloat16` from compute
    capability 8.0, `mixed_float16` from 7.0, else `float32`.
    """
    if gpu is None or gpu.capability < 7:
        return "float32"
    return "mixed_bfloat16" if gpu.capability >= 8 else "mixed_float16"


def full_precision(array: np.ndarray) -> np.ndarray:
    """Return an array, as float32 where it is in half precision.

    NumPy adds up halves as halves: the mean of 1,000 ones in bfloat16 is 0.26.
    """
    array = np.asarray(array)
    # NumPy knows bfloat16 by name only.
    return array.astype("float32") if array.dtype.name in _HALVES else array


def setup(seed: int, profile: str | None = None) -> Profile:
    """Seed everything, choose the precision, and say what this run computes on.

    Args:
        seed: Seeds Python, NumPy and the backend; every random choice flows from it.
        profile: `fast` or `full`; `None` reads `$MMLEARN_PROFILE`, else `fast`.

    Returns:
        The profile, whose `pick` resolves a notebook's parameters.

    Raises:
        ValueError: If the profile is unknown or the seed is not an integer >= 0.
    """
    chosen = Profile(profile_name(profile))
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed is {seed!r}: give a whole number, 0 or larger")
    import keras

    # TensorFlow warns of retracing wherever several small models are used in turn.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    keras.utils.set_random_seed(seed)
    on_gpu = any("gpu" in name.lower() for name in devices())
    gpu = next(iter(gpus()), None) if on_gpu else None
    keras.mixed_precision.set_global_policy(precision_for(gpu))
    device = f"GPU {gpu.name}" if gpu else "GPU" if on_gpu else "CPU"
    print(
        f"profile {chosen.name} · seed {seed} · keras {keras.__version__} on "
        f"{keras.backend.backend()} · {device} ({os.cpu_count()} cores, Python "
        f"{platform.python_version()}) · "
        f"{keras.mixed_precision.global_policy().name}"
    )
    return chosen
