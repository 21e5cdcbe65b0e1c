"""A number with its spread: over seeds, or over samples."""

from dataclasses import dataclass
from math import isclose, isfinite, nan

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval. Prints as `71.2 ± 1.3 %`, or `9.3 (6.8 to 11.6)`.

    `format` takes the number format of a float and leaves out the unit.

    Attributes:
        mean: The estimate.
        low, high: Ends of the interval; NaN where one value shows no spread.
        n: Number of values: seeds, or samples.
        unit: Such as `"%"`, `"points"` or `"s"`; empty for a share of 1.
    """

    mean: float
    low: float
    high: float
    n: int
    unit: str = ""

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside; never, where there is no interval."""
        return self.low > value or self.high < value

    def scaled(self, factor: float, unit: str) -> "Estimate":
        """Return the same in another unit, such as `scaled(100, "points")`."""
        ends = (factor * end for end in (self.mean, self.low, self.high))
        return Estimate(*ends, self.n, unit)

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        mean = format(self.mean, spec)
        if not isfinite(self.half_width):
            return mean
        below, above = self.mean - self.low, self.high - self.mean
        # What is left of a difference of large numbers may differ by its rounding.
        if isclose(below, above, rel_tol=1e-6, abs_tol=1e-9 * abs(self.mean)):
            return f"{mean} ± {self.half_width:{spec.removeprefix('+')}}"
        return f"{mean} ({self.low:{spec}} to {self.high:{spec}})"

    def __str__(self) -> str:
        return f"{self:.1f} {self.unit}".rstrip()


def interval(scores, *, unit: str = "") -> Estimate:
    """Return the mean of scores over seeds with its 95 % t-interval.

    mean ± t_{0.975, n-1} · s / √n; NaN for one seed, which has no spread.

    Args:
        scores: One score per seed, shape (seeds,).
        unit: Of the scores, to be printed with them.

    Raises:
        ValueError: If there is no score, or one is not finite.
    """
    from scipy import stats

    scores = _finite(scores)
    mean, n = float(scores.mean()), scores.size
    half_width = nan
    if n > 1:
        error = scores.std(ddof=1) / np.sqrt(n)
        half_width = float(stats.t.ppf(0.975, n - 1) * error)
    return Estimate(mean, mean - half_width, mean + half_width, n, unit)


def bootstrap(values, *, seed: int = 0, unit: str = "") -> Estimate:
    """Return the mean over samples and its 95 % interval from 2,000 resamples.

    Args:
        values: One value per sample, shape (N,).
        seed: Seeds the resampling.
        unit: Of the values, to be printed with them.

    Raises:
        ValueError: If there is no value, or one is not finite.
    """
    values = _finite(values)
    rng, n = np.random.default_rng(seed), values.size
    # One resample at a time: all at once, many samples would fill the memory.
    means = [values[rng.integers(n, size=n)].mean() for _ in range(2000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(values.mean()), float(low), float(high), n, unit)


def _finite(values) -> np.ndarray:
    values = np.asarray(values, float)
    bad = np.count_nonzero(~np.isfinite(values))
    if values.ndim != 1 or not values.size or bad:
        raise ValueError(
            f"values have shape {values.shape}, {bad} of them NaN or infinite: expected "
            "finite numbers, one for each seed or sample"
        )
    return values
