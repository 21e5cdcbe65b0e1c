"""Tests of scores and their spread against SciPy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from mmlearn import evaluate
from mmlearn.evaluate import Interval, interval, paired_gain, table

finite = st.floats(-1e3, 1e3)


def predictions(seeds: int, num: int, num_classes: int, seed: int = 0):
    """Random probabilities, better than chance, and labels of all classes."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(num) % num_classes)
    raw = rng.random((seeds, num, num_classes)) + 0.5 * np.eye(num_classes)[labels]
    return raw / raw.sum(-1, keepdims=True), labels


def always(right: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Predictions for two classes that are right where `right` is true."""
    return np.eye(2)[np.where(right, labels, 1 - labels)]


@settings(deadline=None)
@given(st.lists(finite, min_size=2, max_size=8))
def test_interval_is_the_t_interval(scores):
    ours = interval(scores)
    spread = stats.sem(scores)
    if spread == 0:
        assert ours.half_width == pytest.approx(0, abs=1e-9)
        return
    low, high = stats.t.interval(0.95, len(scores) - 1, np.mean(scores), spread)
    assert ours.low == pytest.approx(low, abs=1e-9)
    assert ours.high == pytest.approx(high, abs=1e-9)
    assert ours.mean == pytest.approx(np.mean(scores))


def test_one_seed_has_no_finite_interval():
    one = interval([0.5])
    assert (one.mean, one.low, one.high) == (0.5, -np.inf, np.inf)
    assert f"{one:.2f}" == "0.50"


def test_an_interval_prints_with_its_half_width():
    assert f"{Interval(71.25, 1.34):.1f}" == "71.2 ± 1.3"


@pytest.mark.parametrize("scores", [[], [0.5, np.nan], [np.inf]])
def test_scores_that_are_no_numbers_are_refused(scores):
    with pytest.raises(ValueError, match="expected finite numbers"):
        interval(scores)


def test_accuracy_is_the_mean_over_seeds():
    labels = np.array([0, 1, 1, 0])
    seeds = np.stack(
        [always(np.array(r, bool), labels) for r in ([1, 1, 1, 1], [1, 1, 0, 0])]
    )
    np.testing.assert_array_equal(
        evaluate.correct(seeds, labels), [[1, 1, 1, 1], [1, 1, 0, 0]]
    )
    assert evaluate.accuracy(seeds, labels).mean == 0.75
    # Without the axis of seeds: one seed.
    assert evaluate.accuracy(seeds[1], labels).mean == 0.5


def test_identical_predictions_gain_exactly_nothing():
    probabilities, labels = predictions(2, 40, 3)
    assert paired_gain(probabilities, probabilities, labels) == (0, 0, 0)


def test_a_clear_gain_is_positive_and_excludes_0():
    labels = np.arange(100) % 2
    ours, theirs = always(labels >= 0, labels), always(np.arange(100) < 60, labels)
    gain, low, high = paired_gain(ours, theirs, labels)
    assert gain == pytest.approx(0.4)
    assert 0 < low < gain < high
    worse = paired_gain(theirs, ours, labels)
    assert worse[0] == pytest.approx(-0.4) and worse[2] < 0


def test_gain_is_reproducible_by_seed_and_takes_other_numbers_of_seeds():
    ours, labels = predictions(3, 50, 3, seed=1)
    theirs = predictions(1, 50, 3, seed=2)[0]
    first = paired_gain(ours, theirs, labels)
    assert paired_gain(ours, theirs, labels) == first
    assert paired_gain(ours, theirs, labels, seed=1)[1:] != first[1:]
    accuracies = [evaluate.accuracy(p, labels).mean for p in (ours, theirs)]
    assert first[0] == pytest.approx(accuracies[0] - accuracies[1])


def test_the_interval_of_the_gain_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    labels, covered = np.arange(120) % 2, 0
    for _ in range(100):
        ours, theirs = (always(rng.random(120) < p, labels) for p in (0.8, 0.65))
        _, low, high = paired_gain(ours, theirs, labels)
        covered += low <= 0.15 <= high
    # 95 expected; four standard deviations are 9.
    assert 86 <= covered <= 100
    # An interval that is far too wide would cover always, too.
    assert high - low < 0.3


def test_majority_predicts_the_class_shares():
    shares = evaluate.majority(np.array([2, 2, 0, 2]), num_test=5, num_classes=4)
    assert shares.shape == (1, 5, 4)
    np.testing.assert_allclose(shares[0], [[0.25, 0, 0.75, 0]] * 5)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_table_holds_scikit_learns_scores(num_classes):
    probabilities, labels = predictions(3, 60, num_classes)
    result = table(
        {"ours": probabilities, "one seed": probabilities[:1]},
        labels,
        {"ours": 12_345},
    )
    ranked = probabilities[..., 1] if num_classes == 2 else probabilities
    guesses = probabilities.argmax(-1)
    columns = [
        [metrics.accuracy_score(labels, g) for g in guesses],
        [metrics.balanced_accuracy_score(labels, g) for g in guesses],
        [metrics.f1_score(labels, g, average="macro") for g in guesses],
        [metrics.roc_auc_score(labels, p, multi_class="ovr") for p in ranked],
    ]
    losses = [metrics.log_loss(labels, p) for p in probabilities]
    first, second = result.rows
    assert first == (
        "ours",
        *(f"{interval(100 * np.array(column)):.1f}" for column in columns),
        f"{interval(losses):.2f}",
        "12,345",
        "3",
    )
    # One seed: no ±, and unknown parameters are not invented.
    assert second == (
        "one seed",
        *(f"{100 * column[0]:.1f}" for column in columns),
        f"{losses[0]:.2f}",
        "–",
        "1",
    )


def test_the_table_renders_as_text_and_markdown():
    probabilities, labels = predictions(2, 30, 3)
    result = table({"image": probabilities, "image and text": probabilities}, labels)
    lines = repr(result).splitlines()
    assert len(lines) == 4 and lines[-1] == result.note
    assert lines[0].startswith("model") and lines[2].startswith("image and text")
    markdown = result._repr_markdown_().splitlines()
    assert {line.count("|") for line in markdown[:4]} == {len(result.header) + 1}
    assert "30 test samples" in markdown[-1]


def test_float32_probabilities_raise_no_warnings(recwarn):
    probabilities, labels = predictions(1, 60, 3)
    table({"ours": probabilities.astype("float32")}, labels)
    assert [str(w.message) for w in recwarn] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y: (p[:, :-1], y), r"\(2, 29, 3\), expected \(seeds, 30"),
        (lambda p, y: (p[0, 0], y), r"have shape \(3,\)"),
        (lambda p, y: (p * np.nan, y), "training has diverged"),
        (lambda p, y: (p, y[:, None]), r"labels have shape \(30, 1\)"),
        (lambda p, y: (p, y * 0), "class 1 has no test sample"),
        (lambda p, y: (p, y % 2), "class 2 has no test sample"),
        (lambda p, y: (p * 0, y), "all 0"),
        (lambda p, y: (np.log(p), y), "are they logits"),
    ],
)
def test_degenerate_input_is_refused_with_its_reason(change, message):
    probabilities, labels = change(*predictions(2, 30, 3))
    with pytest.raises(ValueError, match=message):
        table({"ours": probabilities}, labels)


def test_gain_and_accuracy_refuse_labels_of_another_shape():
    probabilities, labels = predictions(2, 30, 3)
    # (30, 1) labels would be compared with every sample.
    for use in (
        lambda y: evaluate.accuracy(probabilities, y),
        lambda y: paired_gain(probabilities, probabilities, y),
    ):
        with pytest.raises(ValueError, match="labels have shape"):
            use(labels[:, None])
