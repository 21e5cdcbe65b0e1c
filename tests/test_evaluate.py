"""Tests of scores and their spread against SciPy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from mmlearn import evaluate
from mmlearn.evaluate import Estimate, interval, paired_gain, table

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
    seeds = Estimate(71.25, 69.91, 72.59, 3, "seeds")
    assert f"{seeds:.1f}" == "71.2 ± 1.3" and str(seeds) == "71.2 ± 1.34 (3 seeds)"
    assert f"{Estimate(4.26, 0.95, 7.57, 3, 'seeds'):+.1f}" == "+4.3 ± 3.3"


def test_an_interval_that_is_not_symmetric_prints_its_ends():
    gain = Estimate(0.093, 0.068, 0.116, 1000, "samples")
    assert f"{100 * gain:.1f}" == "9.3 (6.8 to 11.6)"
    assert str(gain) == "0.093 (0.068 to 0.116) (1,000 samples)"


@given(
    # Not finer than scores are: below it, the ends of an interval are rounding.
    scores=st.lists(
        st.floats(-1e3, 1e3).map(lambda x: round(x, 4)), min_size=2, max_size=9
    ),
    factor=st.floats(-100, 100).map(lambda x: round(x, 2)),
)
def test_an_estimate_can_be_scaled_before_or_after(scores, factor):
    before, after = interval(np.multiply(factor, scores)), factor * interval(scores)
    ends = [(e.low, e.mean, e.high) for e in (before, after)]
    np.testing.assert_allclose(*ends, atol=1e-6)
    assert (after.n, after.unit) == (len(scores), "seeds")
    assert "±" in f"{after:.3f}"


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
    gain = paired_gain(probabilities, probabilities, labels)
    assert gain.low == gain.mean == gain.high == 0


def test_a_clear_gain_is_positive_and_excludes_0():
    labels = np.arange(100) % 2
    ours, theirs = always(labels >= 0, labels), always(np.arange(100) < 60, labels)
    gain = paired_gain(ours, theirs, labels)
    assert gain.mean == pytest.approx(0.4)
    assert 0 < gain.low < gain.mean < gain.high
    worse = paired_gain(theirs, ours, labels)
    assert worse.mean == pytest.approx(-0.4) and worse.high < 0


def test_gain_is_reproducible_by_seed_and_takes_other_numbers_of_seeds():
    ours, labels = predictions(3, 50, 3, seed=1)
    theirs = predictions(1, 50, 3, seed=2)[0]
    first = paired_gain(ours, theirs, labels)
    assert paired_gain(ours, theirs, labels) == first
    assert paired_gain(ours, theirs, labels, seed=1).low != first.low
    accuracies = [evaluate.accuracy(p, labels).mean for p in (ours, theirs)]
    assert first.mean == pytest.approx(accuracies[0] - accuracies[1])


def test_the_interval_of_the_gain_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    labels, covered = np.arange(120) % 2, 0
    for _ in range(100):
        ours, theirs = (always(rng.random(120) < p, labels) for p in (0.8, 0.65))
        gain = paired_gain(ours, theirs, labels)
        covered += gain.low <= 0.15 <= gain.high
    # 95 expected; four standard deviations are 9.
    assert 86 <= covered <= 100
    # An interval that is far too wide would cover always, too.
    assert gain.high - gain.low < 0.3


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
        (lambda p, y: (p, y[:, None]), r"labels are int64 of shape \(30, 1\)"),
        (lambda p, y: (p, y + 0.5j), "labels are complex"),
        (lambda p, y: (p, np.where(y == 1, 3, y)), "label 3 has no probability"),
        (lambda p, y: (p, np.append(y[1:], 3)), "label 3 has no probability"),
        (lambda p, y: (p, np.append(y[1:], -1)), "label -1 has no probability"),
        (lambda p, y: (p[:, :0], y[:0]), "the split is empty"),
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
        with pytest.raises(ValueError, match=r"labels are .* of shape \(30, 1\)"):
            use(labels[:, None])


def labelled(seeds: int = 2, num: int = 80, seed: int = 0):
    """Probabilities of three labels, each of them neither always nor never true."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((num, 3)) < (0.2, 0.5, 0.7)).astype(int)
    return np.clip(0.6 * rng.random((seeds, num, 3)) + 0.4 * labels, 0, 1), labels


def numbered(seeds: int = 2, num: int = 50, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=num)
    return labels + rng.normal(size=(seeds, num)), labels


@pytest.mark.parametrize("num_classes", [2, 4])
def test_scores_of_classes_are_scikit_learns(num_classes):
    probabilities, labels = predictions(2, 90, num_classes)
    found = evaluate.scores(probabilities, labels)
    assert list(found) == [metric.name for metric in evaluate.METRICS["classes"]]
    one_hot = np.eye(num_classes)[labels]
    for number, p in enumerate(probabilities):
        guesses = p.argmax(-1)
        if num_classes == 2:
            area = metrics.roc_auc_score(labels, p[:, 1])
            precision = metrics.average_precision_score(labels, p[:, 1])
        else:
            area = metrics.roc_auc_score(labels, p, multi_class="ovr")
            precision = metrics.average_precision_score(one_hot, p)
        expected = {
            "accuracy": metrics.accuracy_score(labels, guesses),
            "balanced accuracy": metrics.balanced_accuracy_score(labels, guesses),
            "macro precision": metrics.precision_score(
                labels, guesses, average="macro"
            ),
            "macro recall": metrics.recall_score(labels, guesses, average="macro"),
            "macro F1": metrics.f1_score(labels, guesses, average="macro"),
            "AUROC": area,
            "AUPRC": precision,
            "log loss": metrics.log_loss(labels, p),
        }
        for name, value in expected.items():
            assert found[name][number] == pytest.approx(value), name


def test_scores_of_several_labels_are_scikit_learns():
    probabilities, labels = labelled()
    found = evaluate.scores(probabilities, labels)
    for number, p in enumerate(probabilities):
        guesses = (p >= 0.5).astype(int)
        each = [(labels[:, k], guesses[:, k], p[:, k]) for k in range(labels.shape[1])]
        balanced = [metrics.balanced_accuracy_score(y, g) for y, g, _ in each]
        expected = {
            "accuracy": metrics.accuracy_score(labels, guesses),
            "balanced accuracy": np.mean(balanced),
            "macro precision": np.mean([metrics.precision_score(*e[:2]) for e in each]),
            "macro recall": np.mean([metrics.recall_score(*e[:2]) for e in each]),
            "macro F1": np.mean([metrics.f1_score(*e[:2]) for e in each]),
            "AUROC": np.mean([metrics.roc_auc_score(y, q) for y, _, q in each]),
            "AUPRC": np.mean(
                [metrics.average_precision_score(y, q) for y, _, q in each]
            ),
            "log loss": np.mean([metrics.log_loss(y, q) for y, _, q in each]),
        }
        for name, value in expected.items():
            assert found[name][number] == pytest.approx(value), name


def test_scores_of_numbers_are_scikit_learns():
    guesses, labels = numbered()
    found = evaluate.scores(guesses, labels)
    for number, g in enumerate(guesses):
        expected = {
            "R²": metrics.r2_score(labels, g),
            "MAE": metrics.mean_absolute_error(labels, g),
            "RMSE": metrics.mean_squared_error(labels, g) ** 0.5,
            "correlation": stats.pearsonr(labels, g).statistic,
        }
        assert {k: v[number] for k, v in found.items()} == pytest.approx(expected)
    # As a network with one output gives them.
    column = evaluate.scores(guesses[..., None], labels)
    assert all(np.array_equal(column[name], found[name]) for name in found)
    constant = evaluate.scores(np.zeros(50), labels)
    assert constant["correlation"] == [0]


def test_a_class_that_is_never_predicted_scores_0_without_a_warning(recwarn):
    labels = np.arange(30) % 3
    found = evaluate.scores(np.tile([0.6, 0.3, 0.1], (30, 1)), labels)
    assert found["macro precision"] == pytest.approx(1 / 9)
    assert found["macro F1"] == pytest.approx(0.5 / 3)
    assert found["AUROC"] == pytest.approx(0.5)
    assert [str(w.message) for w in recwarn] == []


@pytest.mark.parametrize(
    ("made", "change", "message"),
    [
        (labelled, lambda p, y: (p * 3, y), "are they logits"),
        (labelled, lambda p, y: (p - 1, y), "are they logits"),
        (labelled, lambda p, y: (p, y * 0), "label 0 has one value"),
        (labelled, lambda p, y: (p[..., :2], y), r"expected \(seeds, 80, 3\)"),
        (labelled, lambda p, y: (p * np.nan, y), "training has diverged"),
        (labelled, lambda p, y: (p, y + 1), "zeros and ones"),
        (numbered, lambda p, y: (p, y * 0), "all test labels are equal"),
        (numbered, lambda p, y: (p, y * np.nan), "finite floats"),
        (numbered, lambda p, y: (p * np.inf, y), "training has diverged"),
        (numbered, lambda p, y: (p[:, 1:], y), r"expected \(seeds, 50\)"),
    ],
)
def test_bad_predictions_of_labels_and_numbers_are_refused(made, change, message):
    with pytest.raises(ValueError, match=message):
        evaluate.scores(*change(*made()))


def test_the_table_of_numbers_and_of_several_labels():
    guesses, labels = numbered(seeds=3)
    result = table({"ours": guesses}, labels)
    assert result.header[1:5] == ("R²", "MAE", "RMSE", "correlation")
    assert result.rows[0][2] == f"{interval(np.abs(guesses - labels).mean(1)):.2f}"
    probabilities, labels = labelled()
    result = table({"ours": probabilities}, labels, columns=["AUPRC"])
    area = [metrics.average_precision_score(labels, p) for p in probabilities]
    assert result.rows[0][1] == f"{interval(100 * np.array(area)):.1f}"
    with pytest.raises(ValueError, match="'auc' is unknown: choose from .*'AUROC'"):
        table({"ours": probabilities}, labels, columns=["auc"])


def error_of(probabilities, labels) -> float:
    return evaluate.scores(probabilities, labels)["calibration error"][0]


def test_calibrated_draws_have_a_calibration_error_near_0():
    rng, num = np.random.default_rng(0), 40_000
    p = rng.dirichlet([1, 1, 1], num)
    labels = (rng.random((num, 1)) > p.cumsum(axis=1)).sum(axis=1)
    # A bin of n samples misses by about √(p (1 − p) / n).
    assert error_of(p, labels) < 0.01
    several = rng.random((num, 3))
    assert error_of(several, (rng.random((num, 3)) < several).astype(int)) < 0.01


@pytest.mark.parametrize(("sure", "right"), [(0.95, 0.7), (1.0, 0.8), (0.55, 0.9)])
def test_the_calibration_error_is_the_gap(sure, right):
    labels = np.arange(100) % 2
    guessed = np.where(np.arange(100) < 100 * right, labels, 1 - labels)
    p = np.where(np.eye(2)[guessed] == 1, sure, 1 - sure)
    assert error_of(p, labels) == pytest.approx(abs(sure - right))
    means, shares, counts = evaluate.calibration(p, labels)
    [bin_] = np.flatnonzero(counts)
    assert counts[bin_] == 100 and shares[bin_] == pytest.approx(right)
    assert means[bin_] == pytest.approx(sure)
    assert np.isnan(np.delete(shares, bin_)).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_calibration_counts_every_sample_once(seed, num_bins):
    probabilities, labels = predictions(1, 60, 3, seed)
    means, shares, counts = evaluate.calibration(probabilities[0], labels, num_bins)
    assert counts.sum() == 60
    right = (probabilities[0].argmax(-1) == labels).sum()
    assert np.nansum(shares * counts) == pytest.approx(right)
    edges = np.arange(num_bins + 1) / num_bins
    some = counts > 0
    assert (means[some] >= edges[:-1][some] - 1e-9).all()
    assert (means[some] <= edges[1:][some] + 1e-9).all()


def test_calibration_refuses_logits():
    with pytest.raises(ValueError, match="are they logits"):
        evaluate.calibration(np.array([[2.0, -1.0]]), np.array([0]))


def test_the_bootstrap_agrees_with_theory_and_moves_with_the_values():
    values = np.random.default_rng(1).normal(size=400)
    found = evaluate.bootstrap(values, unit="people")
    error = values.std() / 20
    assert (found.mean, found.n, found.unit) == (values.mean(), 400, "people")
    ends = np.array([found.low, found.high])
    np.testing.assert_allclose(ends, found.mean + np.array([-1.96, 1.96]) * error, 0.1)
    moved = evaluate.bootstrap(3 * values + 1)
    np.testing.assert_allclose([moved.low, moved.high], 3 * ends + 1)
    for bad in ([], [1.0, np.nan]):
        with pytest.raises(ValueError, match="expected finite numbers"):
            evaluate.bootstrap(np.array(bad))


def test_the_majority_of_labels_and_numbers():
    shares = evaluate.majority(np.array([[1, 0], [1, 1], [1, 0], [0, 0]]), 3)
    np.testing.assert_allclose(shares, np.tile([0.75, 0.25], (1, 3, 1)))
    np.testing.assert_array_equal(
        evaluate.majority(np.array([1.0, 5.0, 2.0]), 4), np.full((1, 4), 2.0)
    )


def test_what_is_right_of_labels_and_numbers():
    labels = np.array([[1, 0], [0, 1]])
    found = evaluate.correct(np.array([[0.5, 0.2], [0.6, 0.2]]), labels)
    np.testing.assert_array_equal(found, [[1, 0]])
    found = evaluate.correct(np.array([1.0, -1.0]), np.array([0.5, 2.0]))
    np.testing.assert_array_equal(found, [[-0.5, -3]])
    # Nearer is a gain.
    guesses, numbers = numbered()
    near = numbers + (guesses - numbers) / 2
    assert paired_gain(near, guesses, numbers).low > 0


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (np.array([0, 1, 2]), "classes"),
        (np.array([0, 1], "uint8"), "classes"),
        (np.array([[0, 1], [1, 1]]), "multilabel"),
        (np.array([[True, False]]), "multilabel"),
        (np.array([0.0, 1.0]), "regression"),
    ],
)
def test_the_labels_say_what_the_task_is(labels, task):
    assert evaluate.task_of(labels) == task
