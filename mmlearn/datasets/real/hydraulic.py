"""Sensor windows of a hydraulic test rig (data card: `data/hydraulic_rig.md`)."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmlearn.datasets import sources
from mmlearn.datasets.base import SPLITS, MultimodalDataset, Split
from mmlearn.datasets.windows import standardized

CHANNELS = ("TS1", "TS2", "TS3", "TS4", "VS1", "CE", "CP", "SE")
GROUPS = {
    "temperature": ("TS1", "TS2", "TS3", "TS4"),
    "vibration": ("VS1",),
    "efficiency": ("CE", "CP", "SE"),
}
"""Modality → its sensors: °C; mm/s; %, kW and %."""

TARGETS = {
    "cooler": {
        100: "full efficiency",
        20: "reduced efficiency",
        3: "close to total failure",
    },
    "valve": {
        100: "optimal switching",
        90: "small lag",
        80: "severe lag",
        73: "close to total failure",
    },
    "pump_leak": {0: "no leakage", 1: "weak leakage", 2: "severe leakage"},
    "accumulator": {
        130: "optimal pressure",
        115: "slightly reduced pressure",
        100: "severely reduced pressure",
        90: "close to total failure",
    },
}
"""Target → the values in the file (%, %, –, bar) and what they mean, healthy first."""

GAP = 5
"""Cycles left out where a block of one split meets a block of another."""

_COOLER, _PUMP_LEAK, _ACCUMULATOR = 0, 2, 3  # columns of the labels
_SHORTEST = 20  # in cycles: a change so soon after another starts no new block


def hydraulic_rig(
    target: str = "valve",
    groups: Mapping[str, Sequence[str]] = GROUPS,
    split: str = "blocks",
    num_train: int | None = None,
    standardize: bool = False,
    seed: int = 0,
) -> MultimodalDataset:
    """Load the load cycles of a hydraulic rig: sensor windows, and what was degraded.

    A sample is one cycle of 60 s at 1 Hz. The modalities are groups of sensors, float32
    (N, 60, channels), in the units of the file; by default `temperature` (4 channels),
    `vibration` (1) and `efficiency` (3). `index` is the cycle's number in time order,
    and each split is sorted by it. Where the recording cannot be had, a simulated one
    of the same design stands in.

    The rig ran through all combinations of its conditions, one after the other: the
    cooler changed twice in all, the accumulator every two hours, the pump every 40
    minutes, the valve every ten. Hence the two splits:

    - `"blocks"` holds out whole stretches in which cooler, accumulator and pump stay as
      they are (40 to 50 cycles): six for validation and six for testing, two of every
      cooler and every pump condition, and every accumulator condition. Their
      combination of the three does not occur in training, and `GAP` cycles are left out
      at the seams. The long stretches with a sound valve and pump belong to training.
    - `"random"` deals the same cycles out at random, with the same numbers of each
      class. It leaks: a test cycle has training cycles a minute before and after it.

    Source: Helwig, Pignanelli & Schütze 2015, https://doi.org/10.1109/I2MTC.2015.7151267,
    UCI data set 447, CC BY 4.0. The download is verified by its SHA-256, which is the
    one that several public projects state for it.

    Args:
        target: What to recognise, a key of `TARGETS`: `"cooler"`, `"valve"`,
            `"pump_leak"` or `"accumulator"`. Class 0 is healthy, the last one worst.
        groups: Modality → names of its channels, out of `CHANNELS`.
        split: `"blocks"` or `"random"`.
        num_train: Training samples to keep, the classes in proportion; none means all.
        standardize: Whether to subtract each channel's mean and divide by its standard
            deviation. Both come from the training samples that are kept, never from
            validation or test.
        seed: Seeds the random split, and the choice of `num_train` samples. The blocks
            are fixed.

    Returns:
        The data set; `source` says whether it is real.

    Raises:
        ValueError: If an argument is out of its range.
        SourceError: If a data file is damaged.
    """
    _check_arguments(target, groups, split)
    found = sources.obtain("hydraulic_rig")
    if found is None:
        print(
            "STAND-IN DATA: a simulated hydraulic rig instead of the recording; "
            "figures will differ from those in the prose"
        )
    signals, conditions = _read(found[0]) if found else _simulated()
    values = conditions[:, list(TARGETS).index(target)]
    labels = np.array([list(TARGETS[target]).index(value) for value in values])
    parts = _blocks(conditions)
    if split == "random":
        parts = _deal(parts, labels, np.random.default_rng(seed))
    windows = {
        name: signals[:, :, [CHANNELS.index(channel) for channel in channels]]
        for name, channels in groups.items()
    }
    whole = Split(windows, labels, np.arange(len(labels)))
    data = MultimodalDataset(
        name="hydraulic_rig",
        source="real" if found else "stand-in",
        class_names=tuple(TARGETS[target].values()),
        **{name: whole.take(parts == part) for part, name in enumerate(SPLITS)},
    )
    if num_train is not None:
        data = data.subset(num_train, seed)
    return standardized(data) if standardize else data


def _check_arguments(target: str, groups: Mapping, split: str) -> None:
    if target not in TARGETS:
        raise ValueError(f"target is {target!r}: choose one of {', '.join(TARGETS)}")
    if split not in ("blocks", "random"):
        raise ValueError(f"split is {split!r}: choose 'blocks' or 'random'")
    if not isinstance(groups, Mapping) or not groups:
        raise ValueError(
            f"groups is {groups!r}: expected a dict of modality names and channels, "
            'such as {"vibration": ["VS1"]}'
        )
    for name, channels in groups.items():
        wrong = isinstance(channels, str) or not channels or set(channels) - {*CHANNELS}
        if wrong:
            raise ValueError(
                f"groups[{name!r}] is {channels!r}: expected a list of channels out of "
                f"{', '.join(CHANNELS)}"
            )


def _blocks(conditions: np.ndarray) -> np.ndarray:
    """Return each cycle's split: 0, 1, 2 as in `SPLITS`, or -1 for a gap."""
    slow = conditions[:, [_COOLER, _PUMP_LEAK, _ACCUMULATOR]]
    starts = [0]
    for change in np.flatnonzero((np.diff(slow, axis=0) != 0).any(axis=1)) + 1:
        if change - starts[-1] >= _SHORTEST:
            starts.append(change)
    split_of = [_split_of(number) for number in range(len(starts))]
    parts = np.repeat(split_of, np.diff([*starts, len(conditions)]))
    for start, before, after in zip(starts[1:], split_of, split_of[1:], strict=False):
        if before != after:
            parts[start - GAP : start] = -1
    return parts


def _split_of(block: int) -> int:
    # For each cooler condition: a long stretch, then 4 accumulator x 3 pump ones.
    cooler, place = divmod(block, 13)
    accumulator, pump = divmod(place - 1, 3)
    # A Latin square, so that no condition is missing from a split. Of the three, the
    # one whose held-out combinations are not those of the long stretches.
    if place == 0 or pump != (cooler + accumulator // 2 + 1) % 3:
        return 0
    return 1 + (cooler + accumulator) % 2


def _deal(parts: np.ndarray, labels: np.ndarray, rng: np.random.Generator):
    """Shuffle which cycle is in which split, within each class."""
    dealt = parts.copy()
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & (parts >= 0))
        dealt[rows] = rng.permutation(parts[rows])
    return dealt


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return signals, float32 (N, 60, 8), and conditions (N, 4), in time order."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return file["signals"], file["labels"][:, :4]
    with zipfile.ZipFile(path) as archive:
        tables = {}
        for name in (*CHANNELS, "profile"):
            with archive.open(f"{name}.txt") as file:
                tables[name] = np.loadtxt(file)
    signals = np.stack([tables[name] for name in CHANNELS], axis=-1)
    return signals.astype("float32"), tables["profile"][:, :4].astype("int16")


def _simulated() -> tuple[np.ndarray, np.ndarray]:
    """Simulate a rig of the same design, its long stretches shortened."""
    rng = np.random.default_rng(0)
    states = []
    for cooler in (3, 20, 100):
        states += [(cooler, 100, 0, 130)] * 40
        for accumulator in (130, 115, 100, 90):
            for leak in (2, 1, 0):
                for valve in (73, 80, 90, 100):
                    states += [(cooler, valve, leak, accumulator)] * 10
    conditions = np.array(states)
    cooler, valve, leak, accumulator = conditions.T[:, :, None].astype(float)
    num, second = len(conditions), np.arange(60)
    drift = np.cumsum(rng.normal(0, 0.05, (num, 1)), axis=0)
    warm = 35 + 20 * (1 - cooler / 100) + drift + 0.3 * leak
    cooling = 18 + 0.29 * cooler - 0.3 * drift
    # The valve opens in second 9: a worn one lags. A leaking pump loses efficiency.
    opened = 1 / (1 + np.exp(9 + 0.12 * (100 - valve) - second))
    steady = 67 - 5 * leak + 0.02 * (accumulator - 110) - 0.2 * drift
    steady = steady + rng.normal(0, 1, (num, 1))
    ripple = 0.02 * np.sin(second) * (130 - accumulator) / 40
    shaking = 0.55 + 0.01 * leak + 0.01 * drift + ripple
    clean = [warm, warm + 5, warm + 2, warm - 5]
    clean += [shaking, cooling, 1 + cooling / 40, steady * opened]
    noise = (0.2, 0.2, 0.2, 0.2, 0.02, 0.3, 0.02, 0.5)
    signals = [
        np.broadcast_to(channel, (num, 60)) + rng.normal(0, sigma, (num, 60))
        for channel, sigma in zip(clean, noise, strict=True)
    ]
    return np.stack(signals, axis=-1).astype("float32"), conditions
