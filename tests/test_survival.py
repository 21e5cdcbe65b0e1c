"""Tests of the concordance index against counting pairs one by one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlearn.evaluate import concordance

small = st.integers(0, 4)  # so that many numbers are equal


def counted(predicted, times, events):
    """Harrell's C by its definition: one pair after the other."""
    right, comparable = 0.0, 0
    for p, t, failed in zip(predicted, times, events, strict=True):
        for q, u, also in zip(predicted, times, events, strict=True):
            if failed and (t < u or (t == u and not also)):
                comparable += 1
                right += 1.0 if p < q else 0.5 if p == q else 0.0
    return right / comparable if comparable else None


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(small, small, st.booleans()), min_size=1, max_size=12))
def test_it_is_the_share_of_pairs_in_order(rows):
    predicted, times, events = map(np.array, zip(*rows, strict=True))
    expected = counted(predicted, times, events)
    if expected is None:
        with pytest.raises(ValueError, match="no pair can be compared"):
            concordance(predicted, times, events)
        return
    assert concordance(predicted, times, events) == pytest.approx(expected)


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_only_the_order_counts_and_turning_it_round_mirrors_it(seed):
    rng = np.random.default_rng(seed)
    times, events = rng.exponential(size=30), rng.random(30) < 0.7
    events[times.argmin()] = True
    predicted = rng.normal(size=30)
    found = concordance(predicted, times, events)
    assert concordance(np.exp(predicted), times, events) == pytest.approx(found)
    assert concordance(-predicted, times, events) == pytest.approx(1 - found)
    assert concordance(times, times, events) == 1
    assert concordance(np.zeros(30), times, events) == 0.5


def test_a_stopped_machine_says_nothing_of_what_comes_later():
    times, events = np.array([1.0, 2.0, 3.0]), np.array([True, False, True])
    assert concordance(times, times, events) == 1
    # Whether the second outlived the third is unknown: their order does not count.
    assert concordance(np.array([1.0, 3.0, 2.0]), times, events) == 1
    assert concordance(np.array([2.0, 1.0, 3.0]), times, events) == 0.5


def test_a_long_random_guess_is_near_a_half():
    rng = np.random.default_rng(0)
    predicted, times = rng.normal(size=(2, 3000))
    assert concordance(predicted, times, np.ones(3000, bool)) == pytest.approx(
        0.5, abs=0.02
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], [1.0], [True]), r"shapes \(2,\), \(1,\) and \(1,\)"),
        (([[1.0]], [[1.0]], [[True]]), r"expected \(N,\) each"),
        (([1.0, np.nan], [1.0, 2.0], [1, 1]), "NaN"),
        (([1.0, 2.0], [1.0, np.inf], [1, 1]), "infinity"),
        (([1.0, 2.0], [1.0, 2.0], [1, 2]), "True or False"),
        (([1.0, 2.0], [1.0, 2.0], [False, True]), "no pair can be compared"),
        (([], [], []), "no pair can be compared"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        concordance(*(np.array(a) for a in arguments))
    assert "\n" not in str(caught.value)
