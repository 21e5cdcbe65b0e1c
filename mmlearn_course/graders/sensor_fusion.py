"""Graders of the exercises of `notebooks/exercises/05_sensor_fusion.ipynb`."""

from math import ceil

import numpy as np

from mmlearn_course.graders import Hint, grader
from mmlearn_course.graders.answers import (
    called,
    numbers,
    prediction,
    right,
    same,
    unchanged,
)

LEAKS = {
    "windows at random": True,
    "people held out": False,
    "scaled by all": True,
    "cut, then split": True,
    "split, then cut": False,
    "filled by the training mean": False,
    "epochs by the test score": True,
    "calibrated on other machines": False,
}


@grader
def grade_threshold(answer) -> None:
    """Grade `threshold(scores, alpha)`: the ceil((n + 1)(1 - alpha))-th smallest."""
    rng = np.random.default_rng(0)
    for n, alpha in ((20, 0.1), (11, 0.25), (50, 0.2), (7, 0.125)):
        scores = rng.permutation(n) / 64
        ordered, rank = np.sort(scores), ceil((n + 1) * (1 - alpha))
        given = f"With {n} scores and alpha = {alpha:g}"
        finite = f"{given} there are scores enough: the threshold is one of them."
        found = called(answer, scores, alpha, where=given.lower())
        found = float(numbers(found, (), "threshold", finite))
        if same(found, ordered[rank - 1]):
            continue
        if same(found, scores[rank - 1]):
            raise Hint("The k-th smallest score, not the k-th in the list: sort first.")
        if same(found, ordered[ceil((n + 1) * alpha) - 1]):
            raise Hint(
                "That is at the small end: alpha is the share that may be above."
            )
        if not np.isclose(ordered, found, atol=1e-4).any():
            raise Hint("That is none of the scores: nothing is interpolated here.")
        apart = round((found - ordered[rank - 1]) * 64)
        side = "high" if apart > 0 else "low"
        raise Hint(
            f"{given} that is {abs(apart)} too {side} in rank. Check n + 1, the "
            "rounding, and that Python counts from 0."
        )
    for n, alpha in ((5, 0.1), (6, 0.125), (40, 0.02)):
        scores, given = rng.permutation(n) / 64, f"with {n} scores and alpha = {alpha}"
        found = np.asarray(called(answer, scores, alpha, where=given), float)
        if found.shape != () or found != np.inf:
            shown = f"{found:.3g}" if found.shape == () else "an array"
            raise Hint(
                f"The result {given} is {shown}. The rank is above {n}: no score is "
                "large enough, what threshold lets everything in?"
            )
    unchanged(answer, rng.permutation(20) / 64, 0.1)
    right("one rank for the sample to come, and no promise from too few scores.")


@grader
def grade_leaks_prediction(answer) -> None:
    """Grade `prediction()`: which of these ways to split leak."""
    safe = (
        "You suspect a way in which neither training nor a choice ever sees a test "
        "sample, its neighbour, its person, or a number computed from it."
    )
    neighbours = (
        "You trust a way that puts a test window's next of kin into training: the same "
        "person, or the half that it shares with another window."
    )
    hints = {name: neighbours if leak else safe for name, leak in LEAKS.items()}
    hints["scaled by all"] = (
        "You trust a way in which a number that the model works with was computed from "
        "the test windows, too."
    )
    hints["epochs by the test score"] = (
        "You trust a way in which something was chosen by the very score that is then "
        "reported: what would the next stranger have?"
    )
    prediction(called(answer), LEAKS, (True, False), hints)
    right("what the test should ask must be new to everything that was fitted.")


@grader
def grade_window_starts(answer) -> None:
    """Grade `window_starts(recordings, length, step)`: no window across recordings."""
    cases = [([1, 2], [100, 70], 40, 20), ([4, 2, 9, 7], [30, 40, 95, 62], 40, 15)]
    for names, sizes, length, step in cases:
        recordings = np.repeat(names, sizes)
        found = numbers(called(answer, recordings, length, step), (None,), "answer")
        if not same(found, np.round(found), 1e-9):
            raise Hint("Rows are whole numbers.")
        found = found.astype(int)
        _check_windows(found, recordings, length)
        begins = np.cumsum([0, *sizes[:-1]])
        for name, begin, size in zip(names, begins, sizes, strict=True):
            last = begin + size - length
            expected = set(range(begin, last + 1, step))
            got = set(found[recordings[found] == name].tolist())
            if got == expected:
                continue
            where = f"Recording {name} has rows {begin} to {begin + size - 1}"
            if begin in expected - got:
                raise Hint(f"{where}, and no window starts with it.")
            if last in expected - got:
                raise Hint(f"{where}. One more window of {length} just fits: count.")
            raise Hint(
                f"{where}. It has {len(got)} windows, expected {len(expected)}: one "
                f"every {step} rows, as long as they fit."
            )
    right("every recording is cut on its own.")


@grader
def grade_comparable(answer) -> None:
    """Grade `comparable(times, events)`: i is known to have failed before j."""
    rng = np.random.default_rng(0)
    for failed in (5, 8, 0):
        times = 10.0 * (1 + rng.permutation(12))
        events = rng.permutation(np.arange(12) < failed)
        found = numbers(called(answer, times, events), (12, 12), "table of pairs")
        if not np.isin(found, (0, 1)).all():
            raise Hint("Expected True or False for every pair.")
        found, first = found == 1, times[:, None] < times
        known = first & events[:, None]
        if (found == known).all():
            continue
        if found.diagonal().any():
            raise Hint("No machine is compared with itself.")
        if (found == known.T).all():
            raise Hint("Turned: row i is the machine that failed, column j the other.")
        if (found == (known | known.T)).all():
            raise Hint("Each pair is there twice: only the row of who failed first.")
        if (found == first).all():
            raise Hint(
                "i may have been stopped before j ended: would it have failed before j?"
            )
        if (found == (known & events)).all():
            raise Hint(
                "A machine that was stopped later than i failed has outlived i, too."
            )
        i, j = np.argwhere(found != known)[0]
        one, other = (f"{_end(events[k])} after {times[k]:g} h" for k in (i, j))
        knows = "is known" if known[i, j] else "is not known"
        raise Hint(
            f"Machine i {one}, machine j {other}: that i fails first {knows}, your "
            "table says otherwise."
        )
    right("the one that ended first must have failed; the other one need not.")


@grader
def grade_one_clock(answer) -> None:
    """Grade `one_clock(a, b, step, max_gap)`: a common clock and a table (T, 2)."""
    rng = np.random.default_rng(0)
    quarter, second = np.arange(0, 12.01, 0.25), np.arange(0, 11.01, 1.0)
    plain = (quarter, _noise(rng, quarter)), (second, _noise(rng, second))
    late = (quarter + 1, _noise(rng, quarter)), (second + 2.5, _noise(rng, second))
    early = late[1], late[0]
    lost = second.copy(), _noise(rng, second)
    lost[1][[3, 6, 7, 8]] = np.nan
    there = (quarter <= 2) | (quarter >= 5.25)
    torn = (quarter[there], _noise(rng, quarter[there])), lost
    cases = (plain, 0.5), (late, 0.5), (early, 1.0), (torn, 0.25)
    for pair, step in cases:
        found = called(answer, *map(list, pair), step, 2.0)
        if not isinstance(found, list | tuple) or len(found) != 2:
            raise Hint("Expected two arrays: the clock and the table.")
        clock = numbers(found[0], (None,), "clock")
        _check_clock(clock, pair, step)
        _check_table(_with_gaps(found[1], len(clock)), clock, pair, 2.0)
    right("one clock, and what nobody measured stays empty.")


def _check_windows(starts: np.ndarray, recordings: np.ndarray, length: int) -> None:
    """Hint at windows that are not there, twice there, or in two recordings."""
    if not len(starts):
        raise Hint("There are no windows.")
    ends = starts + length - 1
    if starts.min() < 0 or ends.max() >= len(recordings):
        raise Hint(
            f"A window reaches beyond the data: rows {ends.max() - length + 1} to "
            f"{ends.max()} of {len(recordings)}."
        )
    if len(np.unique(starts)) < len(starts):
        raise Hint("A window is there twice.")
    for start, end in zip(starts, ends, strict=True):
        if (one := recordings[start]) != (other := recordings[end]):
            raise Hint(
                f"The window that starts at {start} reaches from recording {one} into "
                f"recording {other}."
            )


def _end(failed: bool) -> str:
    return "failed" if failed else "was stopped"


def _noise(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    return np.round(5 + rng.normal(size=len(times)), 2)


def _check_clock(clock: np.ndarray, pair, step: float) -> None:
    """Hint at a clock that does not run where both sensors do, in these steps."""
    start, stop = max(t[0] for t, _ in pair), min(t[-1] for t, _ in pair)
    if len(clock) < 2:
        raise Hint(f"The clock has {len(clock)} time(s), expected one every {step} s.")
    if not same(clock[0], start):
        raise Hint(
            f"The clock starts at {clock[0]:g} s. It should start with the sensor that "
            "starts last."
        )
    if not same(np.diff(clock), step):
        raise Hint(f"The clock does not go in steps of {step} s.")
    if clock[-1] > stop + 1e-6:
        raise Hint(f"The clock runs to {clock[-1]:g} s: a sensor has ended before.")
    if clock[-1] + step < stop + 1e-6:
        raise Hint(
            f"The clock ends at {clock[-1]:g} s: one more step has both sensors."
        )


def _with_gaps(found, rows: int) -> np.ndarray:
    """Return the table as float64 (rows, 2), NaN allowed."""
    try:
        table = np.asarray(found, float)
    except (TypeError, ValueError):
        return numbers(found, (rows, 2), "table")
    numbers(np.where(np.isnan(table), 0, table), (rows, 2), "table")
    return table


def _check_table(table: np.ndarray, clock: np.ndarray, pair, max_gap: float) -> None:
    """Hint at values that are made up, lost or not interpolated."""
    expected = [_sampled(clock, *sensor, max_gap) for sensor in pair]
    wanted = np.stack([values for values, _ in expected], axis=-1)
    if np.allclose(table, wanted[:, ::-1], equal_nan=True):
        raise Hint("The columns are exchanged: the first sensor comes first.")
    for column, (_, values) in enumerate(pair):
        known, found, name = wanted[:, column], table[:, column], f"sensor {column + 1}"
        gap, empty = expected[column][1], np.isnan(known)
        for row in np.flatnonzero(np.isnan(found) & ~empty):
            at = f"At {clock[row]:g} s {name}"
            if gap[row] == 0:
                raise Hint(f"{at} has a sample, and your table is empty.")
            raise Hint(
                f"{at} is in a gap of {gap[row]:g} s, which is not longer than "
                f"{max_gap:g} s, and your table is empty. Is NaN left out first?"
            )
        for row in np.flatnonzero(~np.isnan(found) & empty):
            at = f"At {clock[row]:g} s {name}"
            if found[row] == 0:
                raise Hint(f"{at} has nothing: 0 would be a value, NaN is none.")
            raise Hint(
                f"{at} is in a gap of {gap[row]:g} s, longer than {max_gap:g} s: your "
                "value is made up."
            )
        if same(found[~empty], known[~empty]):
            continue
        row = np.flatnonzero(~empty)[~np.isclose(found, known, atol=1e-4)[~empty]][0]
        if gap[row] > 0 and np.isclose(values, found[row], atol=1e-4).any():
            raise Hint(
                f"At {clock[row]:g} s {name} is between two samples: interpolate."
            )
        raise Hint(
            f"At {clock[row]:g} s {name} is {found[row]:.2f}, expected the straight "
            f"line between its samples: {known[row]:.2f}."
        )


def _sampled(clock, times, values, max_gap) -> tuple[np.ndarray, np.ndarray]:
    """Return a sensor at these times, NaN in long gaps, and the gap around each."""
    there = ~np.isnan(values)
    times, values = times[there], values[there]
    after = np.searchsorted(times, clock)
    before = np.searchsorted(times, clock, side="right") - 1
    gap = times[after] - times[before]
    found = np.interp(clock, times, values)
    return np.where(gap > max_gap, np.nan, found), gap
