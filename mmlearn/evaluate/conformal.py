"""Split conformal prediction: sets of classes that hold the true one as often as asked.

Angelopoulos & Bates 2023, https://arxiv.org/abs/2107.07511.
"""

from dataclasses import dataclass

import numpy as np

from mmlearn.evaluate.metrics import need, of_classes

METHODS = ("lac", "aps")


@dataclass(frozen=True)
class Conformal:
    """A threshold on a score: which classes are in a sample's set.

    Attributes:
        method: How a class is scored; see `conformal`.
        alpha: Share of samples whose set may lack the true class.
        threshold: Largest score of a class in the set; infinite where the calibration
            samples are too few for `alpha`, so that every class is in.
    """

    method: str
    alpha: float
    threshold: float

    def sets(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes are in each sample's set, bool (N, num_classes).

        A set can be empty: no class is as likely as the calibration asks for.

        Args:
            probabilities: Shape (N, num_classes).
        """
        return _scores(_checked(probabilities), self.method) <= self.threshold

    def coverage(self, probabilities: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of samples whose set holds the true class.

        Args:
            probabilities: Shape (N, num_classes).
            labels: Class numbers, shape (N,).
        """
        sets = self.sets(probabilities)
        return float(_of_labels(sets, labels).mean())

    def mean_size(self, probabilities: np.ndarray) -> float:
        """Return how many classes a set has on average.

        Args:
            probabilities: Shape (N, num_classes).
        """
        return float(self.sets(probabilities).sum(axis=1).mean())


def conformal(
    probabilities: np.ndarray,
    labels: np.ndarray,
    alpha: float = 0.1,
    method: str = "lac",
) -> Conformal:
    """Fit the threshold of conformal sets on samples that the model has not seen.

    With the scores s_1, …, s_n of the true classes, the threshold is the
    ⌈(n + 1)(1 − α)⌉-th smallest of them. Where calibration samples and new ones are
    exchangeable, a new sample's set holds its true class with a probability of at least
    1 − α, and of at most 1 − α + 1/(n + 1) if no two scores are equal: whatever the
    model. This is an average over samples, not a promise for each class or group.

    Args:
        probabilities: Of the calibration samples, shape (n, num_classes).
        labels: Their class numbers, shape (n,).
        alpha: Share of samples whose set may lack the true class, between 0 and 1.
        method: `"lac"`: s = 1 − p_y, the smallest sets on average; `"aps"`: s is the
            sum of the probabilities from the largest down to that of y, with sets that
            grow where the model is unsure.

    Returns:
        A `Conformal`, whose `sets` are those of new samples.

    Raises:
        ValueError: If an argument is out of its range, or the shapes do not fit.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: choose one of {', '.join(METHODS)}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}: expected a share between 0 and 1")
    need(labels, "a conformal set", "classes")
    scores = _of_labels(_scores(_checked(probabilities), method), labels)
    # Without the tiny step down, 0.9 · 10 in floating point can be a little above 9.
    rank = int(np.ceil((len(scores) + 1) * (1 - alpha) - 1e-9))
    enough = rank <= len(scores)
    threshold = float(np.sort(scores)[max(rank, 1) - 1]) if enough else np.inf
    return Conformal(method, alpha, threshold)


def _scores(probabilities: np.ndarray, method: str) -> np.ndarray:
    """Return the score of every class of every sample, shape (N, num_classes)."""
    if method == "lac":
        return 1 - probabilities
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    scores = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, axis=1)
    return scores


def _checked(probabilities: np.ndarray) -> np.ndarray:
    probabilities = of_classes(np.asarray(probabilities, dtype="float64"))
    if probabilities.ndim != 2 or not probabilities.size:
        raise ValueError(
            f"probabilities have shape {probabilities.shape}, expected (N, "
            "num_classes) with at least one sample"
        )
    sums = probabilities.sum(axis=1)
    if not (probabilities >= 0).all() or not np.allclose(sums, 1, atol=1e-3):
        raise ValueError(
            "probabilities are not shares that add up to 1 in each row: apply softmax "
            "to logits"
        )
    return probabilities


def _of_labels(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return what each sample's own class has, shape (N,)."""
    labels = np.asarray(labels)
    if labels.shape != values.shape[:1] or labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels are {labels.dtype} of shape {labels.shape}, expected class "
            f"numbers of shape {values.shape[:1]}"
        )
    if labels.min() < 0 or labels.max() >= values.shape[1]:
        raise ValueError(
            f"labels are {labels.min()} to {labels.max()}, expected 0 to "
            f"{values.shape[1] - 1}"
        )
    return values[np.arange(len(labels)), labels]
