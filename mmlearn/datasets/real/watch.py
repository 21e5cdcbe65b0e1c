"""Wrist movements of people who exercise (data card: `data/watch_imu.md`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmlearn.datasets import sources
from mmlearn.datasets.base import SPLITS, MultimodalDataset, Split
from mmlearn.datasets.sources import unpickle
from mmlearn.datasets.windows import standardized, windows

EXERCISES = (
    "pendulum",
    "abduction",
    "forward elevation",
    "internal rotation",
    "external rotation",
    "trapezius row",
    "bent-over row",
)
"""The classes, in the order of the file."""

PEOPLE = tuple(range(1, 11))
RATE = 50
"""Samples a second."""

Recordings = tuple[list[np.ndarray], np.ndarray, np.ndarray]
"""Signals (n, 6), exercises (140,) and people (140,)."""


def watch_imu(
    seconds: float = 4.0,
    overlap: float = 0.5,
    split: str = "person",
    val_people: Sequence[int] = (6, 7),
    test_people: Sequence[int] = (8, 9, 10),
    standardize: bool = False,
    seed: int = 0,
) -> MultimodalDataset:
    """Load windows of a smartwatch's accelerometer and gyroscope, and the exercise.

    Ten people did seven shoulder exercises, about 20 times each, with the watch on
    either wrist: 140 recordings of 19 to 52 s at 50 Hz. The modalities, float32, are
    `accelerometer` (N, T, 3), in units of the earth's gravity, and `gyroscope`
    (N, T, 3), rad/s; `groups` are the people. Where the recordings cannot be had,
    simulated movements stand in. `index` counts the windows recording by recording.

    Source: Burns et al. 2018, https://doi.org/10.1088/1361-6579/aacfd9; the part that
    the package seglearn 1.2.5 carries, BSD-3-Clause, verified by its SHA-256.

    Args:
        seconds: Length of a window; T = 50 · seconds.
        overlap: Share of a window that is in the next one, too; 0 to below 1.
        split: `"person"`: nobody is in two splits; `"random"`: the windows are dealt
            out, with the same numbers of each class. That leaks twice: the people are
            known, and a window overlaps with others of the same movement.
        val_people, test_people: Who is left out for validation and for the test, out
            of `PEOPLE`; the others are for training.
        standardize: Whether to subtract each channel's mean and divide by its standard
            deviation, both of the training samples.
        seed: Seeds the random split.

    Returns:
        The data set; `source` says whether it is real.

    Raises:
        ValueError: If an argument is out of its range.
        SourceError: If the data file is damaged.
    """
    length = round(RATE * seconds)
    _check(length, seconds, overlap, split, val_people, test_people)
    found = sources.obtain("watch")
    if found is None:
        print(
            "STAND-IN DATA: simulated movements instead of a watch's recordings; "
            "figures will differ from those in the prose"
        )
    signals, exercises, people = _read(found[0]) if found else _simulated()
    lengths = [len(signal) for signal in signals]
    recording = np.repeat(np.arange(len(signals)), lengths)
    step = max(1, round(length * (1 - overlap)))
    cut, starts = windows(np.concatenate(signals), length, step, recording)
    labels = exercises[recording[starts]]
    groups = people[recording[starts]]
    parts = np.isin(groups, list(val_people)) + 2 * np.isin(groups, list(test_people))
    if split == "random":
        rng = np.random.default_rng(seed)
        for label in range(len(EXERCISES)):
            rows = np.flatnonzero(labels == label)
            parts[rows] = rng.permutation(parts[rows])
    cut = cut.astype("float32")
    inputs = {"accelerometer": cut[..., :3], "gyroscope": cut[..., 3:]}
    whole = Split(inputs, labels, np.arange(len(labels)), groups)
    data = MultimodalDataset(
        name="watch_imu",
        source="real" if found else "stand-in",
        class_names=EXERCISES,
        **{name: whole.take(parts == part) for part, name in enumerate(SPLITS)},
    )
    return standardized(data) if standardize else data


def _check(length, seconds, overlap, split, val_people, test_people) -> None:
    if not 0.2 <= seconds <= 15:
        # The shortest recordings have 19 s.
        raise ValueError(f"seconds is {seconds}: expected 0.2 to 15")
    if abs(length - RATE * seconds) > 1e-6:
        raise ValueError(
            f"seconds is {seconds}: expected a multiple of {1 / RATE}, one sample"
        )
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap is {overlap}: expected a share from 0 to below 1")
    if split not in ("person", "random"):
        raise ValueError(f"split is {split!r}: choose 'person' or 'random'")
    for name, chosen in (("val_people", val_people), ("test_people", test_people)):
        if not len(chosen) or set(chosen) - set(PEOPLE):
            raise ValueError(
                f"{name} is {chosen}: expected one or more of the people 1 to 10"
            )
    if both := set(val_people) & set(test_people):
        raise ValueError(
            f"val_people and test_people both have {sorted(both)}: a person can be in "
            "one of them"
        )
    if not set(PEOPLE) - set(val_people) - set(test_people):
        raise ValueError("val_people and test_people are all ten: nobody is left")


def _read(folder: Path) -> Recordings:
    """Return the recordings, ordered by person, exercise and side."""
    ((file, sha256),) = sources.SOURCES["watch"].files.items()
    data = unpickle.read_object_array(folder / file, sha256)[()]
    order = np.lexsort([data["side"], data["y"], data["subject"]])
    signals = [data["X"][i] for i in order]
    return signals, data["y"][order].astype("int64"), data["subject"][order]


def _simulated() -> Recordings:
    """Simulate periodic movements: an exercise has a pattern, a person a manner."""
    rng = np.random.default_rng(0)
    # Of each exercise: movements a second, and for each channel the mean, the swings
    # at one and two times that rate, and their phases.
    tempo = rng.uniform(0.4, 0.75, len(EXERCISES))
    mean = np.array([0.4] * 3 + [0.0] * 3) * rng.normal(size=(len(EXERCISES), 6))
    size = np.array([0.3] * 3 + [1.0] * 3)
    swing = size * rng.gamma(2, 0.5, (2, len(EXERCISES), 6))
    phase = rng.uniform(0, 2 * np.pi, (2, len(EXERCISES), 6))
    signals, labels, owners = [], [], []
    for person in PEOPLE:
        faster, larger = np.exp(rng.normal(0, 0.15)), np.exp(rng.normal(0, 0.3, 6))
        tilt = np.array([0.2] * 3 + [0.0] * 3) * rng.normal(size=6)
        shift = rng.normal(0, 0.5, (2, 1, 6))
        for exercise in range(len(EXERCISES)):
            for side in (-1, 1):  # the left wrist mirrors the right one
                num = round(RATE * 20 / (tempo[exercise] * faster))
                # The tempo wanders a little, so that no two movements are alike.
                pace = tempo[exercise] * faster * np.exp(rng.normal(0, 0.1, num))
                turns = 2 * np.pi * np.cumsum(pace)[:, None] / RATE
                angles = turns * np.array([1, 2])[:, None, None]
                angles = angles + phase[:, [exercise]] + shift
                moved = swing[:, [exercise]] * larger * np.sin(angles)
                signal = moved.sum(axis=0) + mean[exercise] + tilt
                signal[:, [0, 4, 5]] *= side
                signals.append(signal + 0.2 * size * rng.normal(size=(num, 6)))
                labels.append(exercise)
                owners.append(person)
    return signals, np.array(labels), np.array(owners)
