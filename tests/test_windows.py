"""Tests of aligning, windowing and scaling: what must hold for any signals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmlearn.datasets import MultimodalDataset, Split, align, standardized, windows

number = st.floats(-100, 100, allow_subnormal=False)


@st.composite
def clocks(draw) -> np.ndarray:
    """Irregular times that cover 0 to 10 s at least."""
    steps = draw(st.lists(st.floats(0.01, 2.0), min_size=1, max_size=60))
    return np.r_[-1.0, np.cumsum(steps), np.cumsum(steps)[-1] + 11.0]


@settings(max_examples=60, deadline=None)
@given(clocks(), clocks(), number, number, st.floats(0.5, 20.0))
def test_straight_lines_come_out_exactly_from_irregular_samples(
    first, second, slope, height, rate
):
    line = {"a": (first, slope * first + height)}
    line["b"] = second, np.stack([2 * second, -slope * second], axis=1)
    found = align(line, rate)
    assert found.times[0] == -1 and np.allclose(np.diff(found.times), 1 / rate)
    assert found.times[-1] <= min(first[-1], second[-1]) < found.times[-1] + 1.01 / rate
    close = {"rtol": 1e-9, "atol": 1e-7}
    np.testing.assert_allclose(found.values["a"], slope * found.times + height, **close)
    expected = np.stack([2 * found.times, -slope * found.times], axis=1)
    np.testing.assert_allclose(found.values["b"], expected, **close)
    assert found.presence["a"].all() and found.presence["b"].all()


@settings(max_examples=60, deadline=None)
@given(clocks(), st.floats(0.05, 3.0), st.floats(0.5, 20.0))
def test_a_value_is_present_on_a_sample_or_in_a_short_gap_only(times, gap, rate):
    found = align({"a": (times, times + 5)}, rate, max_gap=gap)
    for clock, value, there in zip(
        found.times, found.values["a"], found.presence["a"], strict=True
    ):
        after = np.flatnonzero(times >= clock)[0]
        width = 0.0 if times[after] == clock else times[after] - times[after - 1]
        assert there == (width <= gap * (1 + 1e-9))
        assert value == (pytest.approx(clock + 5) if there else 0)


def test_nan_is_a_missing_sample():
    times = np.arange(11.0)
    values = np.stack([times, times**2], axis=1)
    values[4, 1] = values[7:9, 0] = np.nan
    found = align({"a": (times, values), "b": (times, times)}, 1.0, max_gap=2.0)
    # One sample is missing at 4 s: a gap of 2 s, bridged. At 7 and 8 s, one of 3 s.
    np.testing.assert_array_equal(np.flatnonzero(~found.presence["a"]), [7, 8])
    np.testing.assert_allclose(found.values["a"][4], [4, (9 + 25) / 2])
    np.testing.assert_array_equal(found.values["a"][7:9], 0)
    assert found.presence["b"].all() and not np.isnan(found.values["a"]).any()


@settings(max_examples=30, deadline=None)
@given(st.floats(-0.04, 0.04))
def test_a_known_skew_is_corrected(skew):
    true = np.arange(0, 100, 0.5)
    wave = {"right": (true, np.sin(true / 5))}
    wave["wrong"] = true * (1 + skew), np.sin(true / 5)
    found = align(wave, 2.0, skew={"wrong": skew})
    np.testing.assert_allclose(found.values["wrong"], found.values["right"], atol=1e-9)
    if abs(skew) > 0.01:
        left = align(wave, 2.0)
        assert np.abs(left.values["wrong"] - left.values["right"]).max() > 0.1


def test_only_the_time_in_common_is_kept_and_ends_on_a_sample():
    one = np.arange(0, 5.05, 0.1), np.zeros(51)
    other = np.arange(2.0, 8.0), np.ones(6)
    found = align({"one": one, "other": other}, 10.0, max_gap=1.0)
    np.testing.assert_allclose(found.times, np.arange(2.0, 5.05, 0.1))
    assert found.presence["other"].all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signals": {}}, "signals is empty"),
        ({"rate": 0}, "rate is 0: expected samples a second"),
        ({"rate": np.nan}, "rate is nan"),
        ({"max_gap": 0}, "max_gap is 0: expected seconds"),
        ({"max_gap": np.nan}, "max_gap is nan"),
        ({"skew": {"b": 0.1}}, r"skew has \['b'\]: choose among the signals \['a'\]"),
        ({"skew": {"a": -1}}, "'a': skew is -1"),
        ({"signals": {"a": ([0, 1, 1], [1, 2, 3])}}, "'a': times are not increasing"),
        ({"signals": {"a": ([0, np.nan], [1, 2])}}, "'a': times are not increasing"),
        ({"signals": {"a": ([0, 1], [1, np.inf])}}, "'a': values are infinite"),
        ({"signals": {"a": ([0, 1], [np.nan] * 2)}}, "'a' has no values"),
        ({"signals": {"a": ([0, 1, 2], [1, 2])}}, r"\(3,\), values \(2,\)"),
        ({"signals": {"a": ([0, 1], [1, 2]), "b": ([2, 3], [1, 2])}}, "no time in com"),
    ],
)
def test_bad_signals_are_refused(change, message):
    arguments = {"signals": {"a": ([0, 1], [1, 2])}, "rate": 1.0, **change}
    with pytest.raises(ValueError, match=message) as caught:
        align(**arguments)
    assert "\n" not in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=6),
    st.integers(1, 12),
    st.integers(1, 15),
)
def test_no_window_mixes_recordings_and_all_that_fit_are_there(sizes, length, step):
    owner = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(owner))
    if max(sizes) < length:
        with pytest.raises(ValueError, match="no recording is so long"):
            windows(rows, length, step, owner)
        return
    cut, starts = windows(np.stack([rows, owner], axis=1), length, step, owner)
    assert cut.shape == (len(starts), length, 2)
    for window, start in zip(cut, starts, strict=True):
        np.testing.assert_array_equal(window[:, 0], np.arange(start, start + length))
        assert len(set(window[:, 1])) == 1
    expected = sum((size - length) // step + 1 for size in sizes if size >= length)
    assert len(starts) == expected


def test_a_recording_that_comes_again_is_a_new_one():
    cut, starts = windows(np.arange(6), 2, 1, np.array([1, 1, 2, 2, 1, 1]))
    np.testing.assert_array_equal(cut, [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(starts, [0, 2, 4])


def test_windows_are_copies_and_do_not_overlap_by_default():
    signal = np.arange(10.0)
    cut, starts = windows(signal, 3)
    np.testing.assert_array_equal(starts, [0, 3, 6])
    cut[:] = -1
    assert (signal >= 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length is 0"),
        ({"length": 2.5}, "length is 2.5"),
        ({"length": 2, "step": 0}, "step is 0"),
        ({"length": 11}, "length is 11 samples: no recording is so long"),
        ({"length": 2, "recordings": np.zeros(9)}, r"shape \(9,\), expected \(10,\)"),
    ],
)
def test_bad_windows_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        windows(np.arange(10), **arguments)
    assert "\n" not in str(caught.value)


@settings(max_examples=20, deadline=None)
@given(arrays("float64", (12, 5, 2), elements=st.integers(-99, 99)))
def test_scaling_knows_the_training_samples_only(values):
    parts = {}
    for name, rows in (
        ("train", slice(6)),
        ("val", slice(6, 9)),
        ("test", slice(9, 12)),
    ):
        x, num = values[rows], len(values[rows])
        parts[name] = Split({"a": x, "b": x}, np.zeros(num, int), np.arange(num))
    data = MultimodalDataset("toy", "synthetic", ("one",), **parts)
    scaled = standardized(data, ["a"])
    mean, std = values[:6].mean(axis=(0, 1)), values[:6].std(axis=(0, 1))
    for name in ("train", "val", "test"):
        raw = data[name]["a"]
        expected = (raw - mean) / np.where(std < 1e-9, 1, std)
        np.testing.assert_allclose(scaled[name]["a"], expected, rtol=1e-4, atol=1e-4)
        assert scaled[name]["a"].dtype == np.float32
        np.testing.assert_array_equal(scaled[name]["b"], raw)
