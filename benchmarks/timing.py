"""Interleaved timing of two functions, and the machine's description."""

import gc
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy import stats

RESULTS = Path(__file__).parents[1] / "results"
# Before this process adds to it; times from a busy machine are not worth keeping.
_LOAD = os.getloadavg()[0] if hasattr(os, "getloadavg") else None


@dataclass(frozen=True)
class Comparison:
    """Times of A and B, in seconds per call, one pair a round."""

    first: np.ndarray
    second: np.ndarray

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Median of A / B over the rounds, and its 95 % interval."""
        return interval(self.first / self.second)

    def cells(self) -> list[str]:
        """ms of A, ms of B, and the ratio, for a table."""
        middle, low, high = self.ratio
        times = (f"{1e3 * np.median(t):.3g}" for t in (self.first, self.second))
        return [*times, f"{middle:.2f} [{low:.2f}, {high:.2f}]"]


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Return the median, and its interval by order statistics.

    No distribution is assumed: the median lies between the k-th smallest and the k-th
    largest of n values unless fewer than k of them fall on one side of it, and the
    number that do is binomial(n, 1/2).

    Args:
        values: At least 6 values, else no interval reaches 95 %.
        level: Probability of covering the median.

    Returns:
        Median, lower end, upper end.

    Raises:
        ValueError: If there are too few values.
    """
    ordered = np.sort(values)
    k = int(stats.binom.ppf((1 - level) / 2, len(ordered), 0.5))
    if k < 1:
        raise ValueError(
            f"{len(ordered)} values give no interval at {level:.0%}: use 6 or more"
        )
    return float(np.median(ordered)), float(ordered[k - 1]), float(ordered[-k])


def compare(
    first: Callable[[], object],
    second: Callable[[], object],
    rounds: int = 15,
    at_least: float = 0.02,
    warm_up: int = 3,
) -> Comparison:
    """Time two functions in turn: in each round both, in random order.

    What slows the machine for a while then slows both. Each is called as often as
    fills `at_least` seconds, the same number of times for both.

    Args:
        first: A function without arguments that returns when its work is done.
        second: What it is compared with.
        rounds: Number of rounds; 7 or more.
        at_least: Seconds that each spends in a round.
        warm_up: Calls before the clock counts, and as many to see how long one takes.

    Returns:
        Seconds per call, for each round.
    """
    pair = (first, second)
    for function in pair:  # compile, and fill the caches
        _seconds(function, warm_up)
    once = min(_seconds(function, warm_up) / warm_up for function in pair)
    calls = max(1, int(np.ceil(at_least / once)))
    order, times = [0, 1], np.empty((2, rounds))
    shuffle = random.Random(0).shuffle
    collects = gc.isenabled()
    gc.disable()
    try:
        for n in range(rounds):
            shuffle(order)
            for which in order:
                times[which, n] = _seconds(pair[which], calls) / calls
    finally:
        if collects:
            gc.enable()
    return Comparison(*times)


def _seconds(function: Callable[[], object], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def machine(*packages: str) -> str:
    """Return one line: processor, cores, their load at the start, versions, date."""
    cores = os.process_cpu_count() if sys.version_info >= (3, 13) else os.cpu_count()
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {metadata.version(name)}" for name in packages]
    load = "" if _LOAD is None else f" (load {_LOAD:.1f} at the start)"
    return f"{_processor()}, {cores} cores{load}; {', '.join(versions)}; {date.today()}"


def backend_packages() -> list[str]:
    """Names of the installed packages whose versions matter for the current backend."""
    import keras

    name = keras.backend.backend()
    names = {
        "tensorflow": ["keras", "tensorflow", "tensorflow-cpu"],
        "jax": ["keras", "jax", "jaxlib"],
        "torch": ["keras", "torch"],
    }
    installed = {d.name.lower().replace("_", "-") for d in metadata.distributions()}
    return [package for package in names[name] if package in installed]


def _processor() -> str:
    if platform.system() == "Linux":
        listed = subprocess.run(["lscpu"], capture_output=True, text=True).stdout
        fields = dict(line.split(":", 1) for line in listed.splitlines() if ":" in line)
        if "Model name" in fields:
            numbers = (fields.get(k, "?").strip() for k in ("CPU family", "Model"))
            return f"{fields['Model name'].strip()} (family {'/'.join(numbers)})"
    return platform.processor() or platform.machine()


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def save(name: str, text: str) -> None:
    """Write a file of results, and print it."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / name).write_text(text, encoding="utf-8")
    print(text)
    print(f"Written to {RESULTS.name}/{name}")
