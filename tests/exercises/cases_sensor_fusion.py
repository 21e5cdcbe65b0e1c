"""Answers to the exercises of notebook 05."""

from math import ceil, floor, inf

import numpy as np
from exercise_cases import Cases

from mmlearn_course.graders import sensor_fusion

# --- 1: the threshold of split conformal prediction


def threshold(scores, alpha):
    rank = ceil((len(scores) + 1) * (1 - alpha))
    return np.sort(scores)[rank - 1] if rank <= len(scores) else inf


def threshold_with_infinity_among_them(scores, alpha):
    more = np.append(scores, inf)
    return np.partition(more, (k := ceil(len(more) * (1 - alpha)) - 1))[k]


def rank_of(count):
    def of_this_rank(scores, alpha):
        rank = count(len(scores), alpha)
        return np.sort(scores)[rank - 1] if rank <= len(scores) else inf

    return of_this_rank


def higher_quantile(scores, alpha):
    level = ceil((len(scores) + 1) * (1 - alpha)) / len(scores)
    return np.quantile(scores, level, method="higher") if level <= 1 else inf


def largest_if_too_few(scores, alpha):
    return min(threshold(scores, alpha), max(scores))


def sorted_in_place(scores, alpha):
    scores.sort()
    return threshold(scores, alpha)


def unsorted(scores, alpha):
    rank = ceil((len(scores) + 1) * (1 - alpha))
    return scores[rank - 1] if rank <= len(scores) else inf


# --- 2: what leaks


def says(**changed):
    changed = {key.replace("_", " "): value for key, value in changed.items()}
    return lambda: {**sensor_fusion.LEAKS, **changed}


# --- 3: windows within recordings


def starts_by_changes(recordings, length, step):
    edges = np.flatnonzero(np.diff(recordings)) + 1
    starts = []
    for rows in np.split(np.arange(len(recordings)), edges):
        starts.extend(
            rows[: len(rows) - length + 1 : step] if len(rows) >= length else []
        )
    return np.array(starts)


def starts_by_name(recordings, length, step):
    starts = []
    for name in np.unique(recordings):
        rows = np.flatnonzero(recordings == name)
        starts += range(rows[0], rows[-1] + 2 - length, step)
    return starts


def across(recordings, length, step):
    return np.arange(0, len(recordings) - length + 1, step)


def filtered(recordings, length, step):
    starts = across(recordings, length, step)
    return starts[recordings[starts] == recordings[starts + length - 1]]


def last_window_lost(recordings, length, step):
    starts = []
    for name in np.unique(recordings):
        rows = np.flatnonzero(recordings == name)
        starts += range(rows[0], rows[-1] + 1 - length, step)
    return starts


def windows_too_long(recordings, length, step):
    begins = np.flatnonzero(np.r_[True, np.diff(recordings) != 0])
    ends = np.r_[begins[1:], len(recordings)]
    return np.concatenate(
        [np.arange(a, b, step) for a, b in zip(begins, ends, strict=True)]
    )


# --- 4: comparable pairs


def comparable(times, events):
    return events[:, None] & (times[:, None] < times[None])


def comparable_loop(times, events):
    n = len(times)
    pairs = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            pairs[i, j] = events[i] and times[i] < times[j]
    return pairs


def both_failed(times, events):
    return comparable(times, events) & events


def later_failed(times, events):
    return events[None] & (times[:, None] < times[None])


def nobody_censored(times, events):
    return times[:, None] < times[None]


# --- 5: one clock


def clock_of(a, b, step):
    start, stop = max(a[0][0], b[0][0]), min(a[0][-1], b[0][-1])
    return start + step * np.arange(floor((stop - start) / step) + 1)


def by_gaps(clock, times, values, max_gap, empty=np.nan):
    times, values = times[~np.isnan(values)], values[~np.isnan(values)]
    found = np.interp(clock, times, values)
    for left, right in zip(times[:-1], times[1:], strict=True):
        if right - left > max_gap:
            found[(clock > left) & (clock < right)] = empty
    return found


def by_search(clock, times, values, max_gap):
    times, values = times[~np.isnan(values)], values[~np.isnan(values)]
    found = np.interp(clock, times, values)
    after = np.searchsorted(times, clock)
    before = np.searchsorted(times, clock, side="right") - 1
    found[times[after] - times[before] > max_gap] = np.nan
    return found


def gap_as_zero(clock, times, values, max_gap):
    return by_gaps(clock, times, values, max_gap, empty=0.0)


def gap_made_up(clock, times, values, max_gap):
    return by_gaps(clock, times, values, np.inf)


def every_gap_empty(clock, times, values, max_gap):
    return by_gaps(clock, times, values, max_gap / 2)


def missing_samples_kept(clock, times, values, max_gap):
    long_gaps = np.isnan(by_gaps(clock, times, times, max_gap))
    return np.where(long_gaps, np.nan, np.interp(clock, times, values))


def edges_lost(clock, times, values, max_gap):
    found = by_gaps(clock, times, values, max_gap)
    times = times[~np.isnan(values)]
    for left, right in zip(times[:-1], times[1:], strict=True):
        if right - left > max_gap:
            found[(clock >= left) & (clock <= right)] = np.nan
    return found


def last_value_held(clock, times, values, max_gap):
    empty = np.isnan(by_gaps(clock, times, values, max_gap))
    times, values = times[~np.isnan(values)], values[~np.isnan(values)]
    held = values[np.searchsorted(times, clock, side="right") - 1]
    return np.where(empty, np.nan, held)


def table(sample, clock=clock_of):
    def one_clock(a, b, step, max_gap):
        ticks = clock(a, b, step)
        return ticks, np.stack([sample(ticks, *s, max_gap) for s in (a, b)], axis=-1)

    return one_clock


def one_clock_exchanged(a, b, step, max_gap):
    clock, values = table(by_gaps)(a, b, step, max_gap)
    return clock, values[:, ::-1]


def one_clock_on_its_side(a, b, step, max_gap):
    clock, values = table(by_gaps)(a, b, step, max_gap)
    return clock, values.T


def one_gap_empties_both(a, b, step, max_gap):
    clock, values = table(by_gaps)(a, b, step, max_gap)
    return clock, np.where(np.isnan(values).any(1, keepdims=True), np.nan, values)


def whole_time(a, b, step):
    return np.arange(min(a[0][0], b[0][0]), max(a[0][-1], b[0][-1]) + step / 2, step)


CASES = {
    sensor_fusion.grade_threshold: Cases(
        right={
            "sorted": threshold,
            "infinity among the scores": threshold_with_infinity_among_them,
        },
        wrong={
            "sorted in place": sorted_in_place,
            "no + 1": rank_of(lambda n, alpha: ceil(n * (1 - alpha))),
            "rounded down": rank_of(lambda n, alpha: floor((n + 1) * (1 - alpha))),
            "counted from 0": rank_of(lambda n, alpha: ceil((n + 1) * (1 - alpha)) + 1),
            "small end": rank_of(lambda n, alpha: ceil((n + 1) * alpha)),
            "interpolated": lambda scores, alpha: np.quantile(scores, 1 - alpha),
            "next higher quantile": higher_quantile,
            "largest if too few": largest_if_too_few,
            "always infinite": lambda scores, alpha: inf,
            "not sorted": unsorted,
        },
    ),
    sensor_fusion.grade_leaks_prediction: Cases(
        right={
            "bool": says(),
            "NumPy": lambda: {k: np.bool_(v) for k, v in sensor_fusion.LEAKS.items()},
        },
        wrong={
            "scaling is harmless": says(scaled_by_all=False),
            "people leak": says(people_held_out=True),
            "all leak": lambda: dict.fromkeys(sensor_fusion.LEAKS, True),
            "cutting first is harmless": lambda: {
                **sensor_fusion.LEAKS,
                "cut, then split": False,
            },
            "one left out": lambda: dict(list(sensor_fusion.LEAKS.items())[1:]),
            "words": lambda: dict.fromkeys(sensor_fusion.LEAKS, "yes"),
        },
    ),
    sensor_fusion.grade_window_starts: Cases(
        right={"changes": starts_by_changes, "names": starts_by_name},
        wrong={
            "across recordings": across,
            "filtered": filtered,
            "last window lost": last_window_lost,
            "beyond the recording": windows_too_long,
            "step ignored": lambda r, length, step: starts_by_name(r, length, length),
            "every row": lambda r, length, step: starts_by_name(r, length, 1),
            "first recording only": lambda r, length, step: starts_by_name(
                r[r == r[0]], length, step
            ),
            "twice": lambda *a: np.repeat(starts_by_name(*a), 2),
        },
    ),
    sensor_fusion.grade_comparable: Cases(
        right={"broadcast": comparable, "loop": comparable_loop},
        wrong={
            "both failed": both_failed,
            "later one failed": later_failed,
            "nobody censored": nobody_censored,
            "turned": lambda times, events: comparable(times, events).T,
            "twice": lambda times, events: (
                comparable(times, events) | comparable(times, events).T
            ),
            "with itself": lambda times, events: (
                events[:, None] & (times[:, None] <= times)
            ),
            "their number": lambda times, events: comparable(times, events).sum(),
        },
    ),
    sensor_fusion.grade_one_clock: Cases(
        right={"gaps": table(by_gaps), "search": table(by_search)},
        wrong={
            "gap made up": table(gap_made_up),
            "gap as zero": table(gap_as_zero),
            "gap of just max_gap empty": table(every_gap_empty),
            "missing samples kept": table(missing_samples_kept),
            "samples at a gap lost": table(edges_lost),
            "last value held": table(last_value_held),
            "exchanged": one_clock_exchanged,
            "on its side": one_clock_on_its_side,
            "one gap empties both": one_gap_empties_both,
            "whole time": table(by_gaps, whole_time),
            "clock of the first": table(by_gaps, lambda a, b, step: a[0]),
            "last step lost": table(by_gaps, lambda *a: clock_of(*a)[:-1]),
        },
    ),
}
