"""Physics of a rotating machine: bearing faults that knock, friction that warms.

Vibration: a fault in a rolling bearing is struck at a frequency that follows from the
geometry; each blow rings a resonance of the structure, which dies away (McFadden &
Smith 1984, https://doi.org/10.1016/0022-460X(84)90595-9; Randall & Antoni 2011,
https://doi.org/10.1016/j.ymssp.2010.07.017). Temperature: friction heats one lump of
steel, which loses its heat to the air.
"""

from dataclasses import dataclass

import numpy as np

KINDS = ("healthy", "inner race", "outer race", "ball")
"""The conditions of a bearing, in the order of the class numbers."""

FRICTION = 0.0015  # coefficient of deep groove ball bearings, as makers' catalogues say
BORE = 0.025  # m, of a 6205

_LINE = {"inner race": "BPFI", "outer race": "BPFO", "ball": "2xBSF"}


@dataclass(frozen=True)
class Bearing:
    """Geometry of a rolling bearing; by default that of a deep groove 6205.

    Attributes:
        num_balls: Number of rolling elements n.
        ball_diameter: Their diameter d, mm.
        pitch_diameter: Diameter D of the circle of their centres, mm.
        contact_angle: Angle φ of the load from the radial plane, degrees.

    Raises:
        ValueError: If no bearing can have this geometry.
    """

    num_balls: int = 9
    ball_diameter: float = 7.94
    pitch_diameter: float = 39.04
    contact_angle: float = 0.0

    def __post_init__(self):
        if self.num_balls < 3:
            raise ValueError(f"num_balls is {self.num_balls}: expected 3 or more")
        if not 0 < self.ball_diameter < self.pitch_diameter:
            raise ValueError(
                f"ball_diameter is {self.ball_diameter} mm: expected a number between "
                f"0 and pitch_diameter, {self.pitch_diameter} mm"
            )
        if not 0 <= self.contact_angle < 90:
            raise ValueError(
                f"contact_angle is {self.contact_angle}: expected 0 to 90 degrees"
            )

    def frequencies(self, shaft: float | np.ndarray) -> dict[str, np.ndarray]:
        """Return the bearing's frequencies; the outer race stands still.

        With r = d/D · cos φ and the shaft frequency f, they are
        cage FTF = f/2 (1 − r); outer race BPFO = n f/2 (1 − r);
        inner race BPFI = n f/2 (1 + r); spin of a ball BSF = f D/2d (1 − r²).
        A fault of a ball strikes both races in a turn, hence `2xBSF`
        (Randall & Antoni 2011, equations 1 to 4). Slip is left out.

        Args:
            shaft: Frequency of the shaft, Hz, of any shape.

        Returns:
            `"FTF"`, `"BPFO"`, `"BPFI"`, `"BSF"`, `"2xBSF"` → Hz, shape of `shaft`.
        """
        shaft = np.asarray(shaft, dtype=float)
        size = self.ball_diameter / self.pitch_diameter
        ratio = size * np.cos(np.radians(self.contact_angle))
        cage = shaft / 2 * (1 - ratio)
        spin = shaft / (2 * size) * (1 - ratio**2)
        return {
            "FTF": cage,
            "BPFO": self.num_balls * cage,
            "BPFI": self.num_balls * (shaft - cage),
            "BSF": spin,
            "2xBSF": 2 * spin,
        }

    def fault_frequency(self, kind: str, shaft: float | np.ndarray) -> np.ndarray:
        """Return how often a fault is struck, Hz; NaN for `"healthy"`.

        Args:
            kind: One of `KINDS`.
            shaft: Frequency of the shaft, Hz.
        """
        check_kind(kind)
        if kind == "healthy":
            return np.full(np.shape(shaft), np.nan)
        return self.frequencies(shaft)[_LINE[kind]]

    def modulation_frequency(self, kind: str, shaft: float | np.ndarray) -> np.ndarray:
        """Return how often a fault passes the load: NaN where it never leaves it.

        A fault of the inner race comes by once in a turn of the shaft, one of a ball
        once in a turn of the cage; the outer race stays where the load is.

        Args:
            kind: One of `KINDS`.
            shaft: Frequency of the shaft, Hz.
        """
        check_kind(kind)
        if kind == "inner race":
            return np.asarray(shaft, dtype=float)
        if kind == "ball":
            return self.frequencies(shaft)["FTF"]
        return np.full(np.shape(shaft), np.nan)


def check_kind(kind: str) -> None:
    """Refuse what is none of `KINDS` with a ValueError."""
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}: choose one of {', '.join(KINDS)}")


def knocks(
    rate: float,
    num_samples: int,
    period: np.ndarray,
    resonance: np.ndarray,
    damping: np.ndarray,
    rng: np.random.Generator,
    modulation: np.ndarray | None = None,
    depth: float = 0.8,
    slip: float = 0.01,
) -> np.ndarray:
    """Simulate the blows of a bearing fault, each ringing a resonance.

    x(t) = Σ_i A_i h(t − t_i), h(t) = e^{−2πζ f_r t} sin(2π f_r t) for t ≥ 0,
    A_i = 1 + depth · cos(2π f_m t_i + φ), t_{i+1} − t_i = T (1 + slip · ε_i),
    ε_i standard normal: the balls roll with a little slip, so that the blows do not
    keep in step (Randall & Antoni 2011).

    Args:
        rate: Samples a second.
        num_samples: Samples of a window, T.
        period: Mean time T between blows, s, shape (N,).
        resonance: Frequency f_r that is rung, Hz, shape (N,).
        damping: Damping ratio ζ, shape (N,).
        rng: Source of randomness.
        modulation: Frequency f_m, Hz, shape (N,); NaN or None for none.
        depth: Depth of the modulation, 0 to 1.
        slip: Standard deviation of the time between blows, as a share of it.

    Returns:
        Windows (N, num_samples) of peak value about 1.
    """
    num, duration = len(period), num_samples / rate
    # Ring-downs that began before the window, down to e⁻⁶, reach into it.
    ring = int(np.ceil(rate * (6 / (2 * np.pi * damping * resonance)).max()))
    first = -ring / rate - rng.random(num) * period
    count = int(1.1 * (duration + ring / rate) / period.min()) + 3
    steps = period[:, None] * (1 + slip * rng.standard_normal((num, count)))
    times = first[:, None] + np.cumsum(steps, axis=1)
    heights = np.ones((num, count))
    if modulation is not None:
        turn = 2 * np.pi * np.nan_to_num(modulation)[:, None]
        phase = rng.uniform(0, 2 * np.pi, (num, 1))
        swing = np.where(np.isnan(modulation), 0.0, depth)[:, None]
        heights = 1 + swing * np.cos(turn * times + phase)
    signal = np.zeros((num, num_samples))
    rows = np.arange(num)[:, None]
    start = np.ceil(times * rate).astype(int)
    angle = 2 * np.pi * resonance[:, None]
    for k in range(ring):
        sample = start + k
        late = sample / rate - times
        rung = heights * np.exp(-damping[:, None] * angle * late) * np.sin(angle * late)
        there = (sample >= 0) & (sample < num_samples)
        # Two blows may fall on one sample, hence `add.at`.
        chosen = np.broadcast_to(rows, sample.shape)[there], sample[there]
        np.add.at(signal, chosen, rung[there])
    return signal


def friction_heat(
    load: np.ndarray, shaft: np.ndarray, severity: np.ndarray, extra: float = 1.5
) -> np.ndarray:
    """Return the power that friction turns into heat, W.

    P = ½ μ F d · 2πf · (1 + extra · s): the catalogue's friction of a ball bearing,
    raised by a fault of severity s.

    Args:
        load: Radial load F, N.
        shaft: Shaft frequency f, Hz.
        severity: Severity s of the fault, 0 (none) to 1.
        extra: How much a fault of severity 1 adds, as a share; an assumption.
    """
    torque = 0.5 * FRICTION * np.asarray(load) * BORE
    return torque * 2 * np.pi * np.asarray(shaft) * (1 + extra * np.asarray(severity))


def thermal_response(
    power: np.ndarray,
    ambient: np.ndarray,
    resistance: np.ndarray,
    capacity: np.ndarray,
    step: float = 1.0,
) -> np.ndarray:
    """Solve C dT/dt = P − (T − T_ambient)/R from the steady state of the first step.

    The power is constant in each step, so that the solution is exact:
    T_{k+1} = a T_k + (1 − a)(T_ambient + R P_k), a = exp(−step/RC).

    Args:
        power: Heat P in each step, W, shape (N, S).
        ambient: Temperature of the air, °C, shape (N,).
        resistance: Thermal resistance R to the air, K/W, shape (N,).
        capacity: Heat capacity C, J/K, shape (N,).
        step: Length of a step, s.

    Returns:
        Temperature at the start of each step, °C, shape (N, S).
    """
    goal = np.asarray(ambient)[:, None] + np.asarray(resistance)[:, None] * power
    keep = np.exp(-step / (np.asarray(resistance) * np.asarray(capacity)))
    solved = np.empty_like(goal)
    solved[:, 0] = goal[:, 0]
    for k in range(1, goal.shape[1]):
        solved[:, k] = goal[:, k - 1] + keep * (solved[:, k - 1] - goal[:, k - 1])
    return solved


def relative_humidity(pressure: np.ndarray, ambient: np.ndarray) -> np.ndarray:
    """Return the relative humidity of air, %, at most 100.

    RH = 100 e / e_s(T), e_s = 611.2 exp(17.62 T / (243.12 + T)): Magnus' formula with
    the World Meteorological Organization's constants, over water.

    Args:
        pressure: Vapour pressure e, Pa.
        ambient: Temperature T, °C.
    """
    saturated = 611.2 * np.exp(17.62 * ambient / (243.12 + ambient))
    return np.minimum(100 * pressure / saturated, 100.0)


def envelope_spectrum(signal: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the spectrum of a signal's squared envelope.

    The envelope |x + iH(x)| (H: Hilbert transform) follows the blows, not the
    resonance that they ring; so its spectrum has lines at the fault's frequency and
    the multiples (Randall & Antoni 2011). It is divided by its mean, so that the
    sensor's gain drops out, and weighted with a Hann window.

    Args:
        signal: Windows, shape (..., T).
        rate: Samples a second.

    Returns:
        Frequencies in Hz, shape (T // 2 + 1,), and amplitudes (..., T // 2 + 1): a
        swing of the squared envelope by 100 % of its mean has the amplitude 1.
    """
    from scipy.signal import hilbert

    length = signal.shape[-1]
    centred = signal - signal.mean(axis=-1, keepdims=True)
    squared = np.abs(hilbert(centred, axis=-1)) ** 2
    mean = squared.mean(axis=-1, keepdims=True)
    # A signal that never moves has no envelope, hence 0 instead of 0 / 0.
    swing = np.divide(squared, mean, out=np.ones_like(squared), where=mean > 0) - 1
    weights = np.hanning(length)
    lines = np.abs(np.fft.rfft(swing * weights, axis=-1)) * 2 / weights.sum()
    return np.fft.rfftfreq(length, 1 / rate), lines
