"""Tests of conformal sets: what they promise, known answers, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlearn.evaluate import conformal

seeds = st.integers(0, 10_000)
methods = st.sampled_from(("lac", "aps"))


def drawn(num: int, num_classes: int = 5, sharpness: float = 2.0, seed: int = 0):
    """Probabilities of a model that is too sure of itself, and the true classes."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, sharpness, (num, num_classes))
    labels = (logits / 2 + rng.gumbel(size=logits.shape)).argmax(axis=1)
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("method", ["lac", "aps"])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_the_promise_is_kept_on_average_whatever_the_model(method, alpha):
    num, size, found = 50, 1000, []
    for seed in range(300):
        p, labels = drawn(num + size, seed=seed)
        fitted = conformal(p[:num], labels[:num], alpha, method)
        found.append(fitted.coverage(p[num:], labels[num:]))
    spread = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) >= 1 - alpha - 3 * spread
    assert np.mean(found) <= 1 - alpha + 1 / (num + 1) + 3 * spread


@settings(deadline=None, max_examples=40)
@given(seeds, methods, st.integers(1, 200), st.floats(0.01, 0.99))
def test_the_threshold_is_the_ranked_score(seed, method, num, alpha):
    p, labels = drawn(num, seed=seed)
    fitted = conformal(p, labels, alpha, method)
    rank = np.ceil((num + 1) * (1 - alpha) - 1e-9)
    if rank > num:
        assert fitted.threshold == np.inf and fitted.sets(p).all()
        return
    own = p[np.arange(num), labels]
    scores = 1 - own if method == "lac" else (p * (p >= own[:, None])).sum(axis=1)
    assert fitted.threshold == pytest.approx(np.sort(scores)[int(rank) - 1])
    assert fitted.coverage(p, labels) >= 1 - alpha


@settings(deadline=None, max_examples=40)
@given(seeds, methods, st.floats(0.01, 0.5), st.floats(0.01, 0.49))
def test_who_accepts_more_misses_gets_smaller_sets(seed, method, alpha, more):
    p, labels = drawn(80, seed=seed)
    strict, loose = (conformal(p, labels, a, method) for a in (alpha, alpha + more))
    assert (loose.sets(p) <= strict.sets(p)).all()
    assert loose.mean_size(p) <= strict.mean_size(p)
    assert loose.coverage(p, labels) <= strict.coverage(p, labels)


@pytest.mark.parametrize("method", ["lac", "aps"])
def test_a_set_takes_the_likeliest_classes_first(method):
    p, labels = drawn(200)
    sets = conformal(p, labels, 0.2, method).sets(p)
    for shares, chosen in zip(p, sets, strict=True):
        if chosen.any() and not chosen.all():
            assert shares[chosen].min() > shares[~chosen].max()


def test_known_answers():
    p = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.2, 0.3, 0.5]])
    labels = np.array([0, 1, 2, 0])
    # Scores of the true classes: 0.3, 0.7, 0.4, 0.8; of 4, α = 0.4 takes the third.
    lac = conformal(p, labels, 0.4)
    assert lac.threshold == pytest.approx(0.7)
    np.testing.assert_array_equal(lac.sets(p)[0], [True, False, False])
    np.testing.assert_array_equal(lac.sets(p)[1], [True, True, False])
    # 0.7, 0.8, 0.6, 1.0
    aps = conformal(p, labels, 0.4, "aps")
    assert aps.threshold == pytest.approx(0.8)
    assert aps.mean_size(p) == pytest.approx((1 + 2 + 1 + 2) / 4)
    assert aps.coverage(p, labels) == 0.75


def test_a_rounding_error_does_not_move_the_rank():
    p, labels = drawn(9)
    scores = np.sort(1 - p[np.arange(9), labels])
    # (9 + 1)(1 - 0.1) is 9, not a little more.
    assert conformal(p, labels, 0.1).threshold == scores[8]


P, LABELS = drawn(20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0}, "alpha is 0"),
        ({"alpha": 1.0}, "alpha is 1.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"method": "raps"}, "method is 'raps'.*lac, aps"),
        ({"probabilities": 9 * P}, "softmax"),
        ({"probabilities": np.log(P)}, "softmax"),
        ({"probabilities": P * np.nan}, "softmax"),
        ({"probabilities": P[None]}, r"shape \(1, 20, 5\)"),
        ({"probabilities": P[:0], "labels": LABELS[:0]}, "the split is empty"),
        ({"labels": LABELS[:9]}, r"shape \(9,\).*\(20,\)"),
        ({"labels": LABELS + 0.5}, "classes, these are regression"),
        ({"labels": LABELS + 1}, "1 to 5, expected 0 to 4"),
        ({"labels": LABELS - 1}, "-1 to 3"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        conformal(**{"probabilities": P, "labels": LABELS, **change})
    assert "\n" not in str(caught.value)
