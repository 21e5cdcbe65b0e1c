"""Peak memory of one call, as the Linux kernel counts it."""

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Freed memory then goes back to the system at once. Otherwise TensorFlow and glibc keep
# large blocks for later use, and a second call seems to need no memory.
_RETURN_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "TF_ONEDNN_USE_SYSTEM_ALLOCATOR": "1",
}


def in_new_process(module: str, *arguments: str):
    """Run `python -m module arguments…` and return the JSON in its last line.

    Raises:
        RuntimeError: If the process fails, or this is not Linux.
    """
    if sys.platform != "linux":
        raise RuntimeError("peak memory is read from /proc: run this on Linux")
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | _RETURN_MEMORY
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_mb(function: Callable[[], object], calls: int = 3) -> float:
    """Return by how many MB (10⁶ bytes) resident memory rises while the function runs.

    Use it in a process started by `in_new_process`. A first call, not counted,
    compiles. The kernel's record of the process's peak (VmHWM) is then reset, and
    compared with the memory in use (VmRSS) before the call; the largest difference of
    `calls` is returned. What the function returns is part of it.
    """
    function()
    peaks = []
    for _ in range(calls):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        function()
        peaks.append(_status("VmHWM") - before)
    return max(peaks) / 1e6


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")
