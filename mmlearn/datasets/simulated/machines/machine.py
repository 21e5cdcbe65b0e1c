"""Sensors of simulated rotating machines (data card: `data/machine.md`)."""

import numpy as np

from mmlearn.datasets.base import SPLITS, MultimodalDataset, Split, grouped_split
from mmlearn.datasets.simulated.machines import fleet as fleets
from mmlearn.datasets.simulated.machines.fleet import LOGGED, MAX_SKEW, Fleet
from mmlearn.datasets.simulated.machines.rotating import KINDS, Bearing
from mmlearn.datasets.windows import standardized

_SHARES = (0.6, 0.2, 0.2)  # of the machines, for train, val and test


def machine(
    num_machines: int = 160,
    num_windows: int = 12,
    split: str = "machine",
    noise: float = 1.0,
    crosstalk: float = 0.5,
    season: float = 0.0,
    drift: float = 0.0,
    dropout: float = 0.0,
    skew: float = 0.0,
    slip: float = 0.01,
    bearing: Bearing | None = None,
    standardize: bool = False,
    seed: int = 0,
) -> tuple[MultimodalDataset, Fleet]:
    """Simulate machines with sound or damaged bearings, and their sensors.

    The label is the condition of one bearing of the machine, which does not change:
    healthy, or a fault of the inner race, the outer race or a ball. The modalities,
    all float32, are

    - `vibration` (N, 2048, 1): acceleration, 4096 Hz for half a second;
    - `temperature` (N, 120, 1): of the bearing's housing, °C, at 1 Hz;
    - `ambient` (N, 120, 1): of the air, °C;
    - `humidity` (N, 120, 1): relative, %. It follows the air's temperature; given
      that, it says nothing about the bearing;
    - `load` (N, 120, 1), kN, and `speed` (N, 120, 1): of the shaft, Hz. Both jump;
    - with `dropout`, also `observed` (N, 120, 3): 1 where `temperature`, `ambient` and
      `humidity` were recorded. Where not, they keep the last value.

    Vibration tells the kind of a fault, but not at a low load, and it also hears the
    other bearing of the shaft. Heat tells how bad this bearing is, but not the kind.
    `rotating.py` has the equations and their sources. Each machine has
    its own resonance, mounting of the sensor, noise, unbalance and cooling.

    Args:
        num_machines: Number of machines, 20 or more; a quarter in each class.
        num_windows: Windows of each machine, at other loads, speeds and days.
        split: `"machine"`: the machines of one split are in no other; `"random"`: the
            windows are dealt out at random, with the same numbers of each class. That
            leaks: a model which knows the machine again knows its condition.
        noise: Factor of the vibration's noise.
        crosstalk: Share of the machines whose other bearing has a fault.
        season: How much the season tells the class, 0 to 1: so much of the faults is
            recorded in the warm half of the year, and of the healthy windows in the
            cold one. In the test split, the season is always independent.
        drift: Largest error of a temperature sensor after a year, K. Each machine's
            grows in proportion to the day, at a rate from -drift to drift.
        dropout: Share of the logger's values that is lost, 0 to 0.5, in gaps of 5 s
            on average.
        skew: Largest relative error of a logger's clock, 0 to 0.05: it is set `SYNC`
            seconds before the window, then runs wrong by up to so much.
        slip: Random part of the time between blows; see `rotating.knocks`.
        bearing: Geometry; None for that of a 6205.
        standardize: Whether to subtract the mean and divide by the standard deviation,
            both of the training samples.
        seed: Seeds everything. A knob changes what it says, and nothing else.

    Returns:
        The data set, its `groups` being the machines, and what is true of its samples.

    Raises:
        ValueError: If an argument is out of its range.
    """
    _check(num_machines, num_windows, split, noise, slip)
    for name, value, highest in (
        ("crosstalk", crosstalk, 1),
        ("season", season, 1),
        ("drift", drift, np.inf),
        ("dropout", dropout, 0.5),
        ("skew", skew, MAX_SKEW),
    ):
        if not 0 <= value <= highest or not np.isfinite(value):
            raise ValueError(
                f"{name} is {value}: expected a number from 0 to {highest}"
            )
    # One stream for each part, so that a knob does not change the other parts' draws.
    streams = np.random.default_rng(seed).spawn(5)
    kind = np.repeat(np.arange(num_machines) % len(KINDS), num_windows)
    owner = np.repeat(np.arange(num_machines), num_windows)
    parts = _parts(owner, kind, split, seed)
    own = fleets.machines(num_machines, crosstalk, streams[0])
    own = {name: values[owner] for name, values in own.items()}
    severity = np.where(kind > 0, own.pop("severity"), 0.0)
    air = fleets.air(kind, np.where(parts == 2, 0.0, season), streams[1])
    slow, truth = fleets.slow(severity, own, air, drift, skew, streams[2])
    fleet = Fleet(
        bearing=bearing or Bearing(),
        machine=owner,
        kind=kind,
        severity=severity,
        other=own["other"],
        ambient=air["ambient"],
        day=air["day"],
        resonance=own["resonance"],
        gain=own["gain"],
        **truth,
    )
    inputs = {
        "vibration": fleets.vibration(fleet, own, noise, slip, streams[3]),
        **slow,
    }
    if dropout:
        fleets.lose(inputs, dropout, streams[4])
    inputs = {name: values.astype("float32") for name, values in inputs.items()}
    for name in ("vibration", *LOGGED, "load", "speed"):
        inputs[name] = inputs[name][..., None]
    whole = Split(inputs, kind.astype("int64"), np.arange(len(kind)), owner)
    data = MultimodalDataset(
        name="machine",
        source="synthetic",
        class_names=KINDS,
        **{name: whole.take(parts == part) for part, name in enumerate(SPLITS)},
    )
    if standardize:
        names = [name for name in data.modalities if name != "observed"]
        data = standardized(data, names)
    return data, fleet


def _check(num_machines, num_windows, split, noise, slip) -> None:
    if num_machines < 20:
        raise ValueError(
            f"num_machines is {num_machines}: expected 20 or more, so that every split "
            "has a machine of every class"
        )
    if num_windows < 1:
        raise ValueError(f"num_windows is {num_windows}: expected 1 or more")
    if split not in ("machine", "random"):
        raise ValueError(f"split is {split!r}: choose 'machine' or 'random'")
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise is {noise}: expected a number from 0")
    if not 0 <= slip <= 0.1:
        raise ValueError(f"slip is {slip}: expected a share from 0 to 0.1")


def _parts(owner: np.ndarray, kind: np.ndarray, split: str, seed: int) -> np.ndarray:
    """Return each window's split: 0, 1, 2 as in `SPLITS`."""
    parts = np.empty(len(owner), dtype=int)
    for part, rows in enumerate(grouped_split(owner, kind, _SHARES, seed)):
        parts[rows] = part
    if split == "random":
        rng = np.random.default_rng(seed)
        for label in range(len(KINDS)):
            rows = np.flatnonzero(kind == label)
            parts[rows] = rng.permutation(parts[rows])
    return parts
