"""Signals on a common clock, cut into windows, scaled by the training samples."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mmlearn.datasets.base import SPLITS, MultimodalDataset

Signal = tuple[np.ndarray, np.ndarray]
"""Times (n,) in seconds, and values (n,) or (n, channels)."""


class Aligned(NamedTuple):
    """Signals on a common clock.

    Attributes:
        times: Seconds, shape (T,).
        values: Name → float64 (T,) or (T, channels); 0 where there is no value.
        presence: Name → bool (T,): whether there is one.
    """

    times: np.ndarray
    values: dict[str, np.ndarray]
    presence: dict[str, np.ndarray]


def align(
    signals: Mapping[str, Signal],
    rate: float,
    max_gap: float | None = None,
    skew: Mapping[str, float] | None = None,
) -> Aligned:
    """Bring signals of different rates onto one clock, where all of them run.

    Between two samples at t₁ < t₂, the value at t is
    x₁ + (x₂ − x₁)(t − t₁)/(t₂ − t₁), but only if t₂ − t₁ ≤ `max_gap`: a longer gap is
    left empty instead of being made up. NaN is a missing sample, in all its channels;
    signals that fail one by one belong under names of their own.

    A signal that is faster than `rate` must be smoothed before
    (`scipy.signal.decimate`): picking values from it folds high frequencies down.

    Args:
        signals: Name → times, s, increasing but not necessarily regular, and values.
        rate: Samples a second of the common clock. It starts with the signal that
            starts last, and ends with the one that ends first.
        max_gap: Longest gap that is bridged, s; None bridges all.
        skew: Name → relative error of that signal's clock, which shows (1 + skew) times
            the true time, and agreed with the others at 0. It is corrected.

    Returns:
        The common times, and each signal's values and presence.

    Raises:
        ValueError: If times are not increasing, shapes do not fit, or the signals have
            no time in common.
    """
    skew = dict(skew or {})
    if not signals:
        raise ValueError("signals is empty: expected a dict of times and values")
    if unknown := set(skew) - set(signals):
        raise ValueError(
            f"skew has {sorted(unknown)}: choose among the signals {list(signals)}"
        )
    if not 0 < rate < np.inf:
        raise ValueError(f"rate is {rate}: expected samples a second, above 0")
    if max_gap is not None and not max_gap > 0:
        raise ValueError(f"max_gap is {max_gap}: expected seconds above 0, or None")
    clean = {
        name: _clean(name, *signal, skew.get(name, 0.0))
        for name, signal in signals.items()
    }
    start = max(times[0] for times, _ in clean.values())
    stop = min(times[-1] for times, _ in clean.values())
    if start > stop:
        raise ValueError(
            f"the signals have no time in common: the last starts at {start:g} s, the "
            f"first ends at {stop:g} s"
        )
    # A little more, since a number of steps may fall short by a rounding error.
    clock = start + np.arange(int((stop - start) * rate + 1e-6) + 1) / rate
    clock = np.minimum(clock, stop)
    values, presence = {}, {}
    for name, (times, samples) in clean.items():
        presence[name] = _near(clock, times, max_gap)
        flat = samples.reshape(len(times), -1)
        columns = [np.interp(clock, times, column) for column in flat.T]
        found = np.stack(columns, axis=-1) * presence[name][:, None]
        values[name] = found.reshape(len(clock), *samples.shape[1:])
    return Aligned(clock, values, presence)


def _clean(name: str, times, values, skew: float) -> Signal:
    """Check a signal, drop its missing samples, and correct its clock."""
    times, values = np.asarray(times, float), np.asarray(values, float)
    if times.ndim != 1 or values.ndim not in (1, 2) or len(times) != len(values):
        raise ValueError(
            f"{name!r}: times have shape {times.shape}, values {values.shape}: "
            "expected (n,), and (n,) or (n, channels)"
        )
    if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(f"{name!r}: times are not increasing: sort and repair them")
    if np.isinf(values).any():
        raise ValueError(f"{name!r}: values are infinite: use NaN for missing ones")
    if not -1 < skew < np.inf:
        raise ValueError(f"{name!r}: skew is {skew}: expected a number above -1")
    there = ~np.isnan(values.reshape(len(times), -1)).any(axis=1)
    if not there.any():
        raise ValueError(f"{name!r} has no values: leave it out")
    return times[there] / (1 + skew), values[there]


def _near(clock: np.ndarray, times: np.ndarray, max_gap: float | None) -> np.ndarray:
    """Say which times of the clock are on a sample or in a gap that is bridged."""
    if max_gap is None:
        return np.ones(len(clock), dtype=bool)
    after = np.clip(np.searchsorted(times, clock), 0, len(times) - 1)
    before = np.clip(np.searchsorted(times, clock, side="right") - 1, 0, None)
    # On a sample, both are that sample. A gap of just `max_gap` survives rounding.
    return times[after] - times[before] <= max_gap * (1 + 1e-9)


def windows(
    array: np.ndarray,
    length: int,
    step: int | None = None,
    recordings: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut windows out of a signal; none reaches from one recording into the next.

    Args:
        array: Samples in time order, shape (n, ...).
        length: Samples of a window.
        step: Samples from one window's start to the next; None for `length`, so that
            they do not overlap. A rest that is shorter than a window is left out.
        recordings: Number of the recording of each sample, shape (n,); None if there
            is only one. A new number starts a new recording.

    Returns:
        The windows, shape (N, length, ...), and the row in which each starts, (N,):
        `labels[starts]` are their labels.

    Raises:
        ValueError: If the numbers are no whole numbers from 1, the shapes do not fit,
            or no recording is as long as a window.
    """
    array = np.asarray(array)
    step = length if step is None else step
    for name, number in (("length", length), ("step", step)):
        if number != int(number) or number < 1:
            raise ValueError(f"{name} is {number}: expected a whole number from 1")
    if recordings is None:
        recordings = np.zeros(len(array), dtype=int)
    recordings = np.asarray(recordings)
    if recordings.shape != array.shape[:1]:
        raise ValueError(
            f"recordings has shape {recordings.shape}, expected {array.shape[:1]}: one "
            "number for each sample"
        )
    begins = np.flatnonzero(np.r_[True, recordings[1:] != recordings[:-1]])
    ends = np.r_[begins[1:], len(array)]
    runs = zip(begins, ends, strict=True) if len(array) else ()
    starts = [np.arange(begin, end - length + 1, step) for begin, end in runs]
    starts = np.concatenate(starts) if starts else np.array([], dtype=int)
    if not len(starts):
        raise ValueError(
            f"length is {length} samples: no recording is so long, choose a shorter one"
        )
    view = np.lib.stride_tricks.sliding_window_view(array, length, axis=0)
    return np.moveaxis(view[starts], -1, 1), starts


def standardized(
    data: MultimodalDataset, names: Sequence[str] | None = None
) -> MultimodalDataset:
    """Scale modalities to mean 0 and standard deviation 1 of the training samples.

    Args:
        data: A data set; the scaled modalities are arrays (N, ..., channels).
        names: Modalities to scale; None means all.

    Returns:
        The data set, float32; a channel that never changes in training becomes 0 there.
    """
    splits = {name: data[name] for name in SPLITS}
    for key in data.modalities if names is None else names:
        known = data.train[key]
        axes = tuple(range(known.ndim - 1))
        mean = known.mean(axis=axes, dtype="float64")
        std = known.std(axis=axes, dtype="float64")
        # By its rounding error, a constant channel can have a deviation above 0.
        std = np.where(known.min(axis=axes) == known.max(axis=axes), 1.0, std)
        for name in SPLITS:
            scaled = ((data[name][key] - mean) / std).astype("float32")
            splits[name] = splits[name].replace(**{key: scaled})
    return replace(data, **splits)
