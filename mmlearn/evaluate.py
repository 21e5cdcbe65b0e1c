"""Scores with their spread, as one plain table.

Probabilities are kept per seed, as arrays of shape (seeds, N, num_classes), so that
every score, interval and comparison is computed from the same predictions.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

COLUMNS = ("accuracy", "balanced accuracy", "macro F1", "AUROC", "log loss")


@dataclass(frozen=True)
class Interval:
    """A mean and the half-width of its 95 % interval."""

    mean: float
    half_width: float

    @property
    def low(self) -> float:
        """Lower end."""
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        """Upper end."""
        return self.mean + self.half_width

    def __format__(self, spec: str) -> str:
        if not np.isfinite(self.half_width):
            return format(self.mean, spec)
        return f"{self.mean:{spec}} ± {self.half_width:{spec}}"


def interval(scores) -> Interval:
    """Return the mean of scores over seeds with its 95 % t-interval.

    half-width = t_{0.975, n-1} · s / √n; infinite for one seed, which has no spread.

    Args:
        scores: One score per seed, shape (seeds,).

    Raises:
        ValueError: If there is no score, or one is not finite.
    """
    from scipy import stats

    scores = np.asarray(scores, float)
    if scores.size == 0 or not np.isfinite(scores).all():
        raise ValueError(f"scores are {scores.tolist()}: expected finite numbers")
    if scores.size == 1:
        return Interval(float(scores[0]), float("inf"))
    t = stats.t.ppf(0.975, scores.size - 1)
    half_width = t * scores.std(ddof=1) / np.sqrt(scores.size)
    return Interval(float(scores.mean()), float(half_width))


def correct(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which predictions are right: float (seeds, N) of 0 and 1."""
    probabilities = _per_seed(probabilities, labels)
    return (probabilities.argmax(-1) == labels).astype(float)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> Interval:
    """Return the accuracy over seeds with its interval.

    Args:
        probabilities: Shape (seeds, N, num_classes), or (N, num_classes) for one seed.
        labels: Class numbers, shape (N,).
    """
    return interval(correct(probabilities, labels).mean(axis=1))


def paired_gain(
    ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray, seed: int = 0
) -> tuple[float, float, float]:
    """Return how much more accurate one candidate is, on the same test samples.

    The difference in correctness of each test sample, averaged over the seeds, is
    bootstrapped over the samples (2,000 resamples, percentile interval).

    Args:
        ours: Probabilities of one candidate, shape (seeds, N, num_classes).
        theirs: Probabilities of the other; the number of seeds may differ.
        labels: Class numbers, shape (N,).
        seed: Seeds the resampling.

    Returns:
        The mean gain and the ends of its 95 % interval, as shares of 1.
    """
    gains = correct(ours, labels).mean(0) - correct(theirs, labels).mean(0)
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(gains), size=(2000, len(gains)))
    low, high = np.percentile(gains[rows].mean(axis=1), [2.5, 97.5])
    return float(gains.mean()), float(low), float(high)


def majority(train_labels: np.ndarray, num_test: int, num_classes: int) -> np.ndarray:
    """Return the predictions of the majority baseline, shape (1, N, num_classes).

    Its probabilities are the class shares in the training labels.
    """
    shares = np.bincount(train_labels, minlength=num_classes) / len(train_labels)
    return np.tile(shares, (1, num_test, 1))


@dataclass(frozen=True)
class Table:
    """Results of several candidates; prints as text, displays as Markdown."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str

    def _repr_markdown_(self) -> str:
        lines = [self.header, (":--",) + ("--:",) * (len(self.header) - 1), *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"{table}\n\n*{self.note}*"

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        text = [
            "  ".join(
                cell.ljust(width) for cell, width in zip(line, widths, strict=True)
            )
            for line in lines
        ]
        return "\n".join([*(line.rstrip() for line in text), self.note])


def table(
    candidates: Mapping[str, np.ndarray],
    labels: np.ndarray,
    parameters: Mapping[str, int] | None = None,
) -> Table:
    """Return accuracy, balanced accuracy, macro F1, AUROC and log loss per candidate.

    Args:
        candidates: Name → probabilities of shape (seeds, N, num_classes).
        labels: Class numbers of the test samples, shape (N,).
        parameters: Name → number of the model's weights.

    Returns:
        A table; ± is the 95 % t-interval over seeds.

    Raises:
        ValueError: If a class has no test sample, or a row cannot be probabilities.
    """
    rows = []
    for name, probabilities in candidates.items():
        probabilities = _per_seed(probabilities, labels)
        scores = np.array([_scores(p, labels) for p in probabilities])
        cells = [f"{interval(100 * column):.1f}" for column in scores[:, :-1].T]
        weights = f"{parameters[name]:,}" if name in (parameters or {}) else "–"
        seeds = str(len(probabilities))
        rows.append((name, *cells, f"{interval(scores[:, -1]):.2f}", weights, seeds))
    columns = [f"{column} %" for column in COLUMNS[:-1]]
    header = ("model", *columns, COLUMNS[-1], "parameters", "seeds")
    note = (
        f"{len(labels):,} test samples; ± is the 95 % t-interval over seeds, absent "
        "where there is one seed"
    )
    return Table(header, tuple(rows), note)


def _scores(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    from sklearn import metrics

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
    return [
        metrics.accuracy_score(labels, predicted),
        metrics.balanced_accuracy_score(labels, predicted),
        metrics.f1_score(labels, predicted, average="macro", zero_division=0),
        metrics.roc_auc_score(labels, ranked, multi_class="ovr", labels=classes),
        metrics.log_loss(labels, shares, labels=classes),
    ]


def _per_seed(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels have shape {labels.shape}, expected (N,)")
    if probabilities.ndim == 2:
        probabilities = probabilities[None]
    if probabilities.ndim != 3 or probabilities.shape[1] != len(labels):
        raise ValueError(
            f"probabilities have shape {probabilities.shape}, expected (seeds, "
            f"{len(labels)}, num_classes) for {len(labels)} labels"
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities hold NaN or infinity: training has diverged")
    return probabilities
