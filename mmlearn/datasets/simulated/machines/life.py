"""Simulated machines on their way to failure (data card: `data/machine.md`)."""

from dataclasses import dataclass

import numpy as np

from mmlearn.datasets.base import SPLITS, MultimodalDataset, Split, grouped_split
from mmlearn.datasets.simulated.machines.rotating import friction_heat
from mmlearn.datasets.windows import standardized

READINGS, EVERY = 24, 10.0
"""Readings of a window, and hours between two of them."""

INSPECTIONS = 100.0
"""Hours between the inspections of a machine, each of which gives a window."""

_SHARES = (0.6, 0.2, 0.2)  # of the machines, for train, val and test
_SPEED, _RESISTANCE = 25.0, 5.0  # of the shaft, Hz; to the air, K/W
_BEFORE = EVERY * np.arange(1 - READINGS, 1)  # the end of a window, h
_KELVIN = 0.5  # standard deviation of a temperature reading


@dataclass(frozen=True)
class Degradation:
    """A fault that grows exponentially, at a rate of its own in each machine.

    The severity of machine i at the age of t hours is S_i(t) = exp(a_i + b_i t), with
    a_i ~ N(start, start_sd²), b_i ~ N(rate, rate_sd²), b_i > 0. The machine fails when
    S reaches 1. A reading of the vibration is y = ln S + ε, ε ~ N(0, noise²). This is
    the exponential model of Gebraeel et al. 2005 with independent errors,
    https://doi.org/10.1080/07408170590929018.

    Attributes:
        start, start_sd: Mean and standard deviation of ln S at age 0.
        rate, rate_sd: Mean and standard deviation of the growth of ln S in an hour.
        noise: Standard deviation of a reading of ln S.

    Raises:
        ValueError: If faults could start beyond failure, or shrink, in more than one of
            10,000 machines.
    """

    start: float = -3.0
    start_sd: float = 0.4
    rate: float = 0.003
    rate_sd: float = 0.0006
    noise: float = 0.3

    def __post_init__(self):
        for name in ("start_sd", "rate_sd", "noise"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} is {getattr(self, name)}: expected above 0")
        if self.start > -4 * self.start_sd:
            raise ValueError(
                f"start is {self.start}: expected -4 start_sd or less, so that "
                "machines start sound"
            )
        if self.rate < 4 * self.rate_sd:
            raise ValueError(
                f"rate is {self.rate}: expected 4 rate_sd or more, so that faults grow"
            )

    def draw(self, num: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw a and b of `num` machines, shape (num,) each.

        The few with b ≤ 0 or a ≥ 0 are drawn again.
        """
        start, rate = np.zeros(num), np.zeros(num)
        while (wrong := (start >= 0) | (rate <= 0)).any():
            start[wrong] = rng.normal(self.start, self.start_sd, wrong.sum())
            rate[wrong] = rng.normal(self.rate, self.rate_sd, wrong.sum())
        return start, rate

    def survival(
        self, readings: np.ndarray, times: np.ndarray, hours: np.ndarray
    ) -> np.ndarray:
        """Return the probability of running on, given readings of the vibration.

        Given the readings, (a, b) is normal with the precision Λ = Λ₀ + XᵀX/σ² and the
        mean Λ⁻¹(Λ₀μ₀ + Xᵀy/σ²), the rows of X being (1, t_j). So ln S(u) is normal, and
        F(u) = P(ln S(u) ≥ 0) = Φ(mean/deviation). A machine that runs at t survives
        another r hours with probability (1 − F(t + r)) / (1 − F(t)). No forecast from
        these readings can be better.

        Args:
            readings: Readings y of ln S, shape (N, K).
            times: The ages at which they were taken, h, (N, K); the last one is t.
            hours: Hours r from then on, 0 or more, shape (R,).

        Returns:
            Probabilities, shape (N, R).
        """
        from scipy.special import ndtr

        design = np.stack([np.ones_like(times), times], axis=-1)
        prior = np.diag([self.start_sd**-2.0, self.rate_sd**-2.0])
        turned = np.swapaxes(design, 1, 2) / self.noise**2
        covariance = np.linalg.inv(prior + turned @ design)
        known = prior @ [self.start, self.rate] + (turned @ readings[..., None])[..., 0]
        mean = np.einsum("nij,nj->ni", covariance, known)

        def running(ages):  # 1 − F, of shape (N, R)
            line = np.stack([np.ones_like(ages), ages], axis=-1)
            height = np.einsum("nri,ni->nr", line, mean)
            variance = np.einsum("nri,nij,nrj->nr", line, covariance, line)
            return ndtr(-height / np.sqrt(variance))

        now = times[:, -1:]
        # Where 1 − F(t) is 0 in double precision, the machine is about to fail.
        chance = running(now + hours) / np.maximum(running(now), 1e-300)
        return np.minimum(chance, 1.0)


@dataclass(frozen=True)
class Lives:
    """What is true of every window of `machine_life`; all arrays have shape (N,).

    Row i belongs to the sample whose `index` is i: `lives.remaining[data.test.index]`.

    Attributes:
        model: How the faults grow.
        machine: Number of the machine.
        age: Hours that it has run when the window ends.
        remaining: Hours from then on until it fails, or is stopped.
        event: Whether it fails: True; or is stopped before, so that `remaining` is only
            a lower bound of its life (right-censored): False.
        failure: Age at which it fails, or would have failed, h. A real record would not
            have it.
        severity: Severity S when the window ends.
        readings: Vibration readings of the window, shape (N, READINGS).
    """

    model: Degradation
    machine: np.ndarray
    age: np.ndarray
    remaining: np.ndarray
    event: np.ndarray
    failure: np.ndarray
    severity: np.ndarray
    readings: np.ndarray

    def survival(self, index: np.ndarray, hours: np.ndarray) -> np.ndarray:
        """Return the true probability of running on, given what a window shows.

        It uses the vibration and the age, not the temperature: no forecast from these
        two can be better.

        Args:
            index: Which windows, shape (N,), such as `data.test.index`.
            hours: Hours from the end of the window, shape (R,).

        Returns:
            Probabilities, shape (N, R); see `Degradation.survival`.
        """
        times = self.age[index][:, None] + _BEFORE
        hours = np.asarray(hours, dtype=float)
        return self.model.survival(self.readings[index], times, hours)


def machine_life(
    num_machines: int = 200,
    censored: float = 0.3,
    model: Degradation | None = None,
    standardize: bool = False,
    seed: int = 0,
) -> tuple[MultimodalDataset, Lives]:
    """Simulate machines that run until they fail or are stopped.

    A machine is inspected every 100 h, from the age of 300 h on. Each time gives a
    sample: the last 24 readings, one in 10 h. The modalities, all float32, are

    - `vibration` (N, 24, 1): logarithm of the fault's level, y = ln S + ε;
    - `temperature` (N, 24, 1): of the bearing above the air, K; friction grows with the
      load and with S (`rotating.friction_heat`), which only shows when S is large;
    - `load` (N, 24, 1): kN, at each reading;
    - `age` (N, 1): hours run when the window ends.

    The label is how the machine ends, 1 for a failure and 0 for a stop; how long that
    takes is in `Lives`. Machines of one split are in no other. Stops have nothing to do
    with the fault: their ages are uniform from 0 to a limit that fits `censored`.

    Args:
        num_machines: Number of machines, 20 or more.
        censored: Share of the machines that are stopped before they fail, on average, 0
            to 0.8. Of the samples, the share differs: a machine that is stopped early
            is inspected rarely or never.
        model: How the faults grow; None for `Degradation()`.
        standardize: Whether to subtract the mean and divide by the standard deviation,
            both of the training samples.
        seed: Seeds everything.

    Returns:
        The data set, its `groups` being the machines, and what is true of its samples.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if num_machines < 20:
        raise ValueError(f"num_machines is {num_machines}: expected 20 or more")
    if not 0 <= censored <= 0.8:
        raise ValueError(f"censored is {censored}: expected a share from 0 to 0.8")
    model = model or Degradation()
    lines, stops, noise = np.random.default_rng(seed).spawn(3)
    start, rate = model.draw(num_machines, lines)
    failure = -start / rate
    end = np.minimum(failure, _stops(failure, censored, stops))
    # The first inspection at which a whole window has been read.
    first = np.ceil((READINGS - 1) * EVERY / INSPECTIONS) * INSPECTIONS
    ages = np.arange(first, end.max(), INSPECTIONS)
    owner, number = np.nonzero(ages < end[:, None])
    age = ages[number]
    event = (failure <= end)[owner]
    times = age[:, None] + _BEFORE
    height = start[owner, None] + rate[owner, None] * times
    load = noise.uniform(0.3, 2.0, times.shape)
    heat = friction_heat(1000 * load, _SPEED, np.exp(height))
    signals = {
        "vibration": height + noise.normal(0, model.noise, times.shape),
        "temperature": _RESISTANCE * heat + noise.normal(0, _KELVIN, times.shape),
        "load": load,
        "age": age,
    }
    inputs = {name: x[..., None].astype("float32") for name, x in signals.items()}
    whole = Split(inputs, event.astype("int64"), np.arange(len(age)), owner)
    rows = grouped_split(owner, whole.labels, _SHARES, seed)
    data = MultimodalDataset(
        name="machine",
        source="synthetic",
        class_names=("stopped", "failed"),
        **{name: whole.take(part) for name, part in zip(SPLITS, rows, strict=True)},
    )
    lives = Lives(
        model=model,
        machine=owner,
        age=age,
        remaining=end[owner] - age,
        event=event,
        failure=failure[owner],
        severity=np.exp(height[:, -1]),
        readings=signals["vibration"],
    )
    return standardized(data) if standardize else data, lives


def _stops(failure: np.ndarray, censored: float, rng) -> np.ndarray:
    """Draw the ages at which machines are stopped, whatever their state."""
    from scipy.optimize import brentq

    uniform = rng.random(len(failure))
    if not censored:
        return np.full(len(failure), np.inf)

    def excess(limit):  # of the expected share of stops before failure
        return np.minimum(failure / limit, 1).mean() - censored

    highest = 2 * failure.mean() / censored
    return uniform * brentq(excess, failure.min() / 2, highest)
