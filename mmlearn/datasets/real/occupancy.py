"""Is somebody in the office? Climate sensors by the minute (`data/occupancy.md`)."""

from pathlib import Path

import numpy as np

from mmlearn.datasets import sources
from mmlearn.datasets.base import SPLITS, MultimodalDataset, Split
from mmlearn.datasets.windows import standardized, windows

SENSORS = ("temperature", "humidity", "light", "co2")
"""Modalities, in the file's order of columns: °C, %, lux, ppm."""

LONGEST_GAP = 90
"""Seconds between two readings of one recording."""

VAL_SHARE = 0.25
"""The last part of the training period, which is held out for validation."""


def occupancy(
    minutes: int = 15,
    step: int = 5,
    split: str = "time",
    standardize: bool = False,
    seed: int = 0,
) -> MultimodalDataset:
    """Load windows of an office's climate sensors, and whether somebody was there.

    A sample is the last `minutes` readings, one a minute; its label is whether the
    office was occupied at the last of them. Each sensor is a modality of shape (N,
    minutes, 1), float32, in °C, %, lux and ppm. `groups` are the days of the recording.
    No window reaches over a gap or from one split into another. Where the recording
    cannot be had, a simulated office stands in.

    Source: Candanedo & Feldheim 2016, https://doi.org/10.1016/j.enbuild.2015.11.071,
    UCI data set 357, CC BY 4.0.

    Args:
        minutes: Length of a window, at least 1.
        step: Minutes from one window to the next.
        split: `"time"`: the training period but its end, its end for validation, and
            the two other periods for testing, as the authors divided the record.
            `"random"`: the same windows dealt out at random, which leaks: windows
            overlap, and a test window has training windows minutes away.
        standardize: Whether to scale each sensor by its training mean and deviation.
        seed: Seeds the random split.

    Returns:
        The data set; `source` says whether it is real.

    Raises:
        ValueError: If an argument is out of its range.
        SourceError: If a data file is damaged.
    """
    if split not in ("time", "random"):
        raise ValueError(f"split is {split!r}, choose 'time' or 'random'")
    found = sources.obtain("occupancy")
    if found is None:
        print(
            "STAND-IN DATA: a simulated office instead of the recording; figures will "
            "differ from those in the prose"
        )
    periods = _read(found[0]) if found else _simulated()
    times, readings, labels = (
        np.concatenate(part) for part in zip(*periods, strict=True)
    )
    part = np.repeat([0, 2, 2], [len(period[0]) for period in periods])
    num = len(periods[0][0])
    part[round((1 - VAL_SHARE) * num) : num] = 1
    recording = np.cumsum(np.r_[0, np.diff(times) > LONGEST_GAP] | _changes(part))
    cut, starts = windows(readings, minutes, step, recording)
    last = starts + minutes - 1
    whole = Split(
        {name: cut[:, :, [column]] for column, name in enumerate(SENSORS)},
        labels[last].astype("int64"),
        last,
        times[last] // 86_400,
    )
    dealt = part[last]
    if split == "random":
        dealt = np.random.default_rng(seed).permutation(dealt)
    data = MultimodalDataset(
        name="occupancy",
        source="real" if found else "stand-in",
        class_names=("empty", "occupied"),
        **{name: whole.take(dealt == number) for number, name in enumerate(SPLITS)},
    )
    return standardized(data) if standardize else data


def _changes(part: np.ndarray) -> np.ndarray:
    return np.r_[False, part[1:] != part[:-1]]


def _read(path: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return times in s, readings (n, 4) and labels of the three periods."""
    with np.load(path, allow_pickle=False) as file:
        return [
            (file[f"t_{name}"], file[f"x_{name}"][:, :4], file[f"y_{name}"])
            for name in ("train", "test", "test2")
        ]


def _simulated() -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Simulate three periods of an office with one or two people on working days.

    CO2 follows its balance, dC/dt = G n − (C − 400) / τ, and warmth follows people and
    sun; the light is on when somebody is there, and in a fifth of the nights.
    """
    rng, periods = np.random.default_rng(0), []
    for first_day, days in ((2, 6), (0, 2), (8, 7)):
        minute = np.arange(days * 1440)
        day, clock = minute // 1440 + first_day, minute % 1440
        come, go = rng.normal(480, 30, 20)[day], rng.normal(1080, 30, 20)[day]
        lunch = (clock > 720) & (clock < 780)
        there = (clock > come) & (clock < go) & ~lunch & (day % 7 < 5)
        forgotten = (rng.random(20) < 0.2)[day] & (clock > go)
        sun = np.maximum(np.sin((clock - 360) / 720 * np.pi), 0) * rng.random(20)[day]
        co2, warm = np.full(len(minute), 400.0), np.full(len(minute), 20.0)
        people = there * (1 + (rng.random(20) < 0.5)[day])
        for t in range(1, len(minute)):
            co2[t] = co2[t - 1] + 6 * people[t] - (co2[t - 1] - 400) / 60
            aim = 20 + 1.2 * people[t] + 1.5 * sun[t]
            warm[t] = warm[t - 1] + (aim - warm[t - 1]) / 90
        damp = 27 + 0.004 * (co2 - 400) - 0.8 * (warm - 20) + rng.normal(0, 1, 20)[day]
        light = 420 * (there | forgotten) + 250 * sun
        clean = np.stack([warm, damp, light, co2], axis=-1)
        readings = clean + rng.normal(0, (0.1, 0.3, 10, 15), clean.shape)
        times = 1_423_000_800 + 86_400 * first_day + 60 * minute
        periods.append((times, readings.astype("float32"), there.astype("uint8")))
    return periods
