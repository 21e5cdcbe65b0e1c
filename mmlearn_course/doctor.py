"""`python -m mmlearn doctor`: what this machine has, in a screenful."""

import importlib.metadata
import logging
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmlearn import runtime
from mmlearn.datasets import sources

PACKAGES = (
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "torch",
    "numpy",
    "scikit-learn",
    "tokenizers",
    "jupyterlab",
    "nbclient",
    "nbval",
)

# What the notebooks leave out where these are absent and cannot be downloaded.
WITHOUT = {
    "covid_cxr": "04 leaves out the real notes",
    "efficientnet-lite0": "01 leaves out the pretrained pictures",
    "minilm": "01 and 04 leave out the pretrained sentences",
}


def main() -> int:
    """Print versions, devices, precision and data, and what to do about what is wrong.

    Returns:
        0 if everything is in order, else 1.
    """
    problems = []
    _line("system", f"{platform.system()} {platform.machine()}, Python {_python()}")
    versions = {name: _version(name) for name in PACKAGES}
    _line("packages", ", ".join(f"{n} {v}" for n, v in versions.items() if v))
    if versions["tensorflow"] and versions["tensorflow-cpu"]:
        problems.append(
            "tensorflow and tensorflow-cpu are both installed and overwrite each "
            "other: make a fresh environment with one of them"
        )
    _compute(problems)
    _line("profile", f"{runtime.profile_name()} (MMLEARN_PROFILE=fast|full)")
    absent = _data(problems)
    free = shutil.disk_usage(os.getcwd()).free / 1e9
    _line("disk", f"{free:.0f} GB free here")
    if free < 3:
        problems.append(
            "less than 3 GB of disk free: environment and data need that much"
        )
    for problem in problems:
        _line("PROBLEM", problem)
    if not problems:
        _verdict(absent)
    return 1 if problems else 0


def _data(problems: list[str]) -> list[str]:
    """Print where each data set comes from; gives the names of those not here."""
    absent = []
    for number, (name, source) in enumerate(sources.SOURCES.items()):
        try:
            _line("data" if number == 0 else "", sources.describe(name))
            if sources.locate(name) is None:
                absent.append(name)
                if not source.stand_in and name in WITHOUT:
                    _line("", f"  without it, {WITHOUT[name]}")
        except OSError as error:
            if str(error) not in problems:
                problems.append(str(error))
    return absent


def _verdict(absent: list[str]) -> None:
    everything = "every notebook runs" if absent else "all in order"
    _line("verdict", f"{everything}: python -m mmlearn run")
    replaced = [name for name in absent if sources.SOURCES[name].stand_in]
    left_out = [name for name in absent if name not in replaced]
    why = "where they cannot be downloaded"
    if replaced:
        _line("", f"{why}, stand-ins for {', '.join(replaced)}: results say so")
    if left_out:
        _line("", f"{why}, without {', '.join(left_out)}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep a backend's start-up lines off the screen, also those of its C++ code.

    They are no problems; a backend that does not start raises an error instead.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _compute(problems: list[str]) -> None:
    try:
        with _quiet():
            import keras

            devices = runtime.devices()
    except ImportError as error:
        problems.append(
            f"Keras does not start ({error}): install a backend (tensorflow-cpu, jax "
            "or torch) or set KERAS_BACKEND to the one that is installed"
        )
        return
    gpus = runtime.gpus()
    _line("backend", f"{keras.backend.backend()}, devices {', '.join(devices)}")
    _line("memory", f"{_memory():.0f} GB, {os.cpu_count()} CPU cores")
    for gpu in gpus:
        _line("GPU", f"{gpu.name}, {gpu.memory:.0f} GiB, capability {gpu.capability}")
    on_gpu = any("gpu" in device for device in devices)
    if gpus and not on_gpu:
        problems.append(
            f"{gpus[0].name} is there but {keras.backend.backend()} does not see it: "
            "install the GPU build (requirements/gpu.txt)"
        )
    _line("precision", runtime.precision_for(gpus[0] if gpus and on_gpu else None))


def _memory() -> float:
    import psutil

    return psutil.virtual_memory().total / 1e9


def _python() -> str:
    return platform.python_version()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _line(label: str, text: str) -> None:
    print(f"{label:<10} {text}")
