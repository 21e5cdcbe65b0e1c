"""Scores with their spread, all computed from the same predictions.

Predictions are kept per seed, as one array: class probabilities (seeds, N,
num_classes), or (seeds, N, 1) where the head has one sigmoid column for two classes;
label probabilities (seeds, N, num_labels) where a sample may have several labels; or
numbers (seeds, N). The labels say which it is: class numbers of shape (N,), zeros and
ones of shape (N, num_labels), or floats of shape (N,).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mmlearn.evaluate.intervals import Estimate, bootstrap, interval
from mmlearn.runtime import full_precision

NUM_BINS = 15
"""Bins of the calibration error, equal in width."""


def task_of(labels: np.ndarray) -> str:
    """Return what kind of task labels describe.

    Returns:
        `"classes"` for whole numbers of shape (N,), `"multilabel"` for zeros and ones
        of shape (N, num_labels), `"regression"` for floats of shape (N,).

    Raises:
        ValueError: If they are none of these, or there is no label.
    """
    labels = np.asarray(labels)
    if labels.size == 0:
        raise ValueError("there are no labels: the split is empty")
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        return "classes"
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all():
        return "multilabel"
    if labels.ndim == 1 and labels.dtype.kind == "f" and np.isfinite(labels).all():
        return "regression"
    raise ValueError(
        f"labels are {labels.dtype} of shape {labels.shape}, expected class numbers "
        "(N,), zeros and ones (N, num_labels), or finite floats (N,)"
    )


def need(labels: np.ndarray, tool: str, *tasks: str) -> None:
    """Refuse labels of a kind that a tool has no score for.

    Raises:
        ValueError: If the labels' task is none of these.
    """
    if (task := task_of(labels)) not in tasks:
        raise ValueError(
            f"{tool} is defined for labels of kind {' or '.join(tasks)}, these are "
            f"{task}: compare evaluate.scores of the predictions instead"
        )


def of_classes(predictions: np.ndarray) -> np.ndarray:
    """Return class probabilities with a column for each class.

    A head of one sigmoid column gives p of class 1: 1 - p and p come back. Others come
    back as they are.

    Raises:
        ValueError: If one column is no probability.
    """
    predictions = full_precision(predictions)
    if predictions.ndim < 2 or predictions.shape[-1] != 1:
        return predictions
    if not ((predictions >= 0) & (predictions <= 1)).all():
        raise ValueError(
            f"the head's one column is {predictions.min():.3g} to "
            f"{predictions.max():.3g}, expected the probability of class 1: end it in "
            "a sigmoid"
        )
    return np.concatenate([1 - predictions, predictions], axis=-1)


def correct(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how right each prediction is, shape (seeds, N).

    1 or 0 for a class; the share of labels that are right where there are several (a
    label is predicted from 0.5 on); minus the absolute error for a number.
    """
    predictions, labels = per_seed(predictions, labels), np.asarray(labels)
    task = task_of(labels)
    if task == "classes":
        return (predictions.argmax(-1) == labels).astype(float)
    if task == "multilabel":
        return ((predictions >= 0.5) == labels).mean(axis=-1)
    return -np.abs(predictions - labels)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> Estimate:
    """Return the accuracy over seeds with its interval.

    Args:
        probabilities: Shape (seeds, N, num_classes), or (N, num_classes) for one seed.
        labels: Class numbers, shape (N,), or zeros and ones (N, num_labels), where it
            is the share of labels that are right.

    Raises:
        ValueError: If the labels are numbers to predict.
    """
    need(labels, "accuracy", "classes", "multilabel")
    return interval(correct(probabilities, labels).mean(axis=1))


def paired_gain(
    ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray, seed: int = 0
) -> Estimate:
    """Return how much more often one candidate is right, on the same test samples.

    The difference in `correct` of each test sample, averaged over the seeds, is
    bootstrapped over the samples (2,000 resamples, percentile interval).

    Args:
        ours: Predictions of one candidate, such as (seeds, N, num_classes).
        theirs: Those of the other; the number of seeds may differ.
        labels: Labels of the test samples.
        seed: Seeds the resampling.

    Returns:
        The mean gain and its 95 % interval over the samples: shares of 1, or the
        label's unit (by how much the absolute error is smaller) for numbers.
    """
    gains = correct(ours, labels).mean(0) - correct(theirs, labels).mean(0)
    return bootstrap(gains, seed)


def majority(
    train_labels: np.ndarray, num_test: int, num_classes: int | None = None
) -> np.ndarray:
    """Return what a model says that has seen the training labels only.

    Args:
        train_labels: Labels of the training samples.
        num_test: Number of test samples.
        num_classes: Number of classes; not needed for several labels, or numbers.

    Returns:
        The shares of the classes or labels, or the median of the numbers, for each test
        sample: shape (1, N, ...).
    """
    task = task_of(train_labels)
    if task == "classes":
        shares = np.bincount(train_labels, minlength=num_classes or 0)
        return np.tile(shares / len(train_labels), (1, num_test, 1))
    if task == "multilabel":
        return np.tile(train_labels.mean(axis=0), (1, num_test, 1))
    return np.full((1, num_test), np.median(train_labels))


@dataclass(frozen=True)
class Metric:
    """How a score is named, printed and ordered.

    Attributes:
        name: Such as `AUROC`.
        percent: Printed as a percentage.
        higher: Higher is better.
    """

    name: str
    percent: bool = True
    higher: bool = True

    @property
    def title(self) -> str:
        """The name with its unit, for a table's head."""
        return f"{self.name} %" if self.percent else self.name


_COMMON = (
    Metric("accuracy"),
    Metric("balanced accuracy"),
    Metric("macro precision"),
    Metric("macro recall"),
    Metric("macro F1"),
    Metric("AUROC"),
    Metric("AUPRC"),
    Metric("log loss", percent=False, higher=False),
    Metric("calibration error", higher=False),
)
METRICS = {
    "classes": _COMMON,
    "multilabel": _COMMON,
    "regression": (
        Metric("R²", percent=False),
        Metric("MAE", percent=False, higher=False),
        Metric("RMSE", percent=False, higher=False),
        Metric("correlation", percent=False),
    ),
}
"""Task → the metrics that `scores` gives."""


def scores(predictions: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return every score of a candidate: name → one value per seed, shape (seeds,).

    For classes and labels: accuracy (all of a sample's labels right, where it has
    several), balanced accuracy, macro precision, recall and F1 (0 for a class that is
    never predicted), AUROC and AUPRC (average precision), one class against the others
    where there are more than two and the second class where there are two, log loss and
    the calibration error (see `calibration`). For numbers: R², mean absolute and root
    mean squared error, and Pearson's correlation (0 for constant predictions).

    Raises:
        ValueError: If a class has no test sample (or a label only one value), there is
            no sample, or predictions are not what the labels ask for.
    """
    predictions, labels = per_seed(predictions, labels), np.asarray(labels)
    task = task_of(labels)
    score: Callable = {
        "classes": _class_scores,
        "multilabel": _label_scores,
        "regression": _number_scores,
    }[task]
    rows = np.array([score(p, labels) for p in predictions])
    names = [metric.name for metric in METRICS[task]]
    return dict(zip(names, rows.T, strict=True))


def calibration(
    probabilities: np.ndarray, labels: np.ndarray, num_bins: int = NUM_BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how confidence compares with the share of right answers, bin by bin.

    The confidence of a sample is the probability of its predicted class; of a label of
    several, its probability, and "right" is that the label holds. The calibration error
    is Σ_b n_b/N · |right_b − confidence_b| (Naeini et al. 2015).

    Args:
        probabilities: Shape (N, num_classes) or (N, num_labels).
        labels: Class numbers (N,), or zeros and ones (N, num_labels).
        num_bins: Bins of equal width between 0 and 1.

    Returns:
        Mean confidence, share that is right (NaN in an empty bin) and number of
        samples of each bin, each of shape (num_bins,).

    Raises:
        ValueError: If these are no probabilities.
    """
    need(labels, "calibration", "classes", "multilabel")
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    # Float32 probabilities may miss 1 by a little; NaN is within no bounds.
    if not ((probabilities >= 0) & (probabilities <= 1 + 1e-5)).all():
        raise ValueError("probabilities are outside 0 to 1: are they logits?")
    if task_of(labels) == "classes":
        probabilities = of_classes(probabilities)
        sure = probabilities.max(axis=-1)
        right = probabilities.argmax(axis=-1) == labels
    else:
        sure, right = probabilities.ravel(), labels.ravel()
    bins = np.minimum((sure * num_bins).astype(int), num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    sums = [np.bincount(bins, x, minlength=num_bins) for x in (sure, right)]
    with np.errstate(invalid="ignore"):
        return sums[0] / counts, sums[1] / counts, counts


def per_seed(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return predictions with their axis of seeds, checked against the labels.

    Raises:
        ValueError: If shapes do not fit, or a prediction is not finite.
    """
    predictions, labels = full_precision(predictions), np.asarray(labels)
    task = task_of(labels)
    shape = labels.shape if task != "classes" else (len(labels), "num_classes")
    if task == "regression" and predictions.shape[-2:] == (len(labels), 1):
        predictions = predictions[..., 0]
    if predictions.ndim == len(shape):
        predictions = predictions[None]
    fits = predictions.ndim == len(shape) + 1 and all(
        found == expected or expected == "num_classes"
        for found, expected in zip(predictions.shape[1:], shape, strict=True)
    )
    if not fits:
        expected = ", ".join(map(str, ("seeds", *shape)))
        raise ValueError(
            f"probabilities have shape {predictions.shape}, expected ({expected}) "
            f"for {len(labels)} labels"
        )
    if not np.isfinite(predictions).all():
        raise ValueError("probabilities hold NaN or infinity: training has diverged")
    if task == "classes":
        predictions = of_classes(predictions)
        num = predictions.shape[-1]
        if len(unknown := labels[(labels < 0) | (labels >= num)]):
            raise ValueError(
                f"label {unknown[0]} has no probability: there are {num} columns"
            )
    return predictions


def _class_scores(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    from sklearn import metrics
    from sklearn.preprocessing import label_binarize

    predicted = probabilities.argmax(axis=-1)
    classes = np.arange(probabilities.shape[-1])
    if len(absent := np.setdiff1d(classes, labels)):
        raise ValueError(
            f"class {absent[0]} has no test sample: AUROC is not defined then"
        )
    # float64 and renormalised: scikit-learn warns where float32 rows miss 1 by 1e-7.
    shares = probabilities.astype("float64")
    if (shares < 0).any() or (shares.sum(axis=-1) == 0).any():
        raise ValueError("probabilities are negative or all 0: are they logits?")
    shares /= shares.sum(axis=-1, keepdims=True)
    # scikit-learn wants the second class's share alone where there are two.
    ranked = shares[:, 1] if len(classes) == 2 else shares
    truth = label_binarize(labels, classes=classes)
    means = metrics.precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0
    )[:3]
    return [
        metrics.accuracy_score(labels, predicted),
        metrics.balanced_accuracy_score(labels, predicted),
        *means,
        metrics.roc_auc_score(truth, ranked),
        metrics.average_precision_score(truth, ranked),
        metrics.log_loss(labels, shares, labels=classes),
        _calibration_error(shares, labels),
    ]


def _label_scores(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    from sklearn import metrics

    if (probabilities < 0).any() or (probabilities > 1).any():
        raise ValueError("probabilities are outside 0 to 1: are they logits?")
    constant = np.flatnonzero(labels.min(axis=0) == labels.max(axis=0))
    if len(constant):
        raise ValueError(
            f"label {constant[0]} has one value in all test samples: AUROC is not "
            "defined then"
        )
    shares, predicted = probabilities.astype("float64"), probabilities >= 0.5
    means = metrics.precision_recall_fscore_support(
        labels, predicted, average="macro", zero_division=0
    )[:3]
    columns = list(zip(labels.T, predicted.T, shares.T, strict=True))
    return [
        metrics.accuracy_score(labels, predicted),
        np.mean([metrics.balanced_accuracy_score(y, p) for y, p, _ in columns]),
        *means,
        metrics.roc_auc_score(labels, shares),
        metrics.average_precision_score(labels, shares),
        np.mean([metrics.log_loss(y, s, labels=[0, 1]) for y, _, s in columns]),
        _calibration_error(shares, labels),
    ]


def _number_scores(predictions: np.ndarray, labels: np.ndarray) -> list[float]:
    from sklearn import metrics

    if np.ptp(labels) == 0:
        raise ValueError("all test labels are equal: R² is not defined then")
    constant = np.ptp(predictions) == 0
    return [
        metrics.r2_score(labels, predictions),
        metrics.mean_absolute_error(labels, predictions),
        metrics.root_mean_squared_error(labels, predictions),
        0.0 if constant else np.corrcoef(labels, predictions)[0, 1],
    ]


def _calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    sure, right, counts = calibration(probabilities, labels)
    gaps = np.abs(np.nan_to_num(right) - np.nan_to_num(sure))
    return float((gaps * counts).sum() / counts.sum())
