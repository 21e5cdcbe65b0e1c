"""A number with its spread: over seeds, or over samples."""

from dataclasses import dataclass

import numpy as np


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
        return f"{self.mean:{spec}} ± {self.half_width:{spec.removeprefix('+')}}"


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


def bootstrap(values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Return the mean over samples and its 95 % interval from 2,000 resamples.

    Args:
        values: One value per sample, shape (N,).
        seed: Seeds the resampling.

    Raises:
        ValueError: If there is no value, or one is not finite.
    """
    values = np.asarray(values, float)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"{values.size} values to resample: expected finite numbers")
    rng, num = np.random.default_rng(seed), len(values)
    # One resample at a time: all at once, many samples would fill the memory.
    means = [values[rng.integers(num, size=num)].mean() for _ in range(2000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
