"""A number with its spread: over seeds, or over samples."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isclose, isfinite

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, and over what it was taken.

    Prints as `71.2 ± 1.3`, or as `9.3 (6.8 to 11.6)` where the interval is not
    symmetric. `100 * estimate` is the same in percent.

    Attributes:
        mean: The estimate.
        low: Lower end of the interval; -inf where one value shows no spread.
        high: Upper end; inf where one value shows no spread.
        n: Number of values.
        unit: What each value stands for, such as `"seeds"`, `"samples"` or `"people"`.
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def __rmul__(self, factor: float) -> "Estimate":
        low, high = sorted((factor * self.low, factor * self.high))
        return Estimate(factor * self.mean, low, high, self.n, self.unit)

    def __format__(self, spec: str) -> str:
        mean, half = format(self.mean, spec), self.half_width
        if not isfinite(half):
            return mean
        # The ends of a symmetric one may differ by their rounding.
        if isclose(self.high + self.low, 2 * self.mean, abs_tol=1e-6 * half):
            return f"{mean} ± {half:{spec.removeprefix('+')}}"
        return f"{mean} ({self.low:{spec}} to {self.high:{spec}})"

    def __str__(self) -> str:
        return f"{self:.3g} ({self.n:,} {self.unit})"


def interval(scores, unit: str = "seeds") -> Estimate:
    """Return the mean of scores over seeds with its 95 % t-interval.

    mean ± t_{0.975, n-1} · s / √n; infinite for one seed, which has no spread.

    Args:
        scores: One score per seed, shape (seeds,).
        unit: What the scores are of, where it is not seeds.

    Raises:
        ValueError: If there is no score, or one is not finite.
    """
    from scipy import stats

    scores = np.asarray(scores, float)
    if scores.size == 0 or not np.isfinite(scores).all():
        raise ValueError(f"scores are {scores.tolist()}: expected finite numbers")
    mean, half = float(scores.mean()), inf
    if scores.size > 1:
        t = stats.t.ppf(0.975, scores.size - 1)
        half = float(t * scores.std(ddof=1) / np.sqrt(scores.size))
    return Estimate(mean, mean - half, mean + half, scores.size, unit)


def bootstrap(
    values: np.ndarray,
    seed: int = 0,
    unit: str = "samples",
    groups: np.ndarray | None = None,
    statistic: Callable[[np.ndarray], float] = np.mean,
) -> Estimate:
    """Return the mean over samples and its 95 % interval from 2,000 resamples.

    Args:
        values: One value per sample, shape (N,).
        seed: Seeds the resampling.
        unit: What is drawn, where it is not samples.
        groups: What each sample belongs to, (N,): whole groups are drawn. `None`: each
            sample is drawn for itself.
        statistic: What is computed instead of the mean, such as `np.median`.

    Raises:
        ValueError: If there is no value, one is not finite, or `groups` has another
            shape.
    """
    values = np.asarray(values, float)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"{values.size} values to resample: expected finite numbers")
    rng, num = np.random.default_rng(seed), len(values)
    if groups is not None:
        if np.shape(groups) != values.shape:
            raise ValueError(f"groups has shape {np.shape(groups)}, expected ({num},)")
        names, groups = np.unique(groups, return_inverse=True)
        num = len(names)

    def resample() -> np.ndarray:
        drawn = rng.integers(num, size=num)
        if groups is None:
            return values[drawn]
        return np.repeat(values, np.bincount(drawn, minlength=num)[groups])

    # One resample at a time: all at once, many samples would fill the memory.
    found = [statistic(resample()) for _ in range(2000)]
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(float(statistic(values)), float(low), float(high), num, unit)
