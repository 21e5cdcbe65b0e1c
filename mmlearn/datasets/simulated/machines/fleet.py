"""Simulated machines: what each is like, and what its sensors show.

`machine` makes the data set of them; `rotating` has the physics.
"""

from dataclasses import dataclass

import numpy as np

from mmlearn.datasets.simulated.machines.rotating import (
    KINDS,
    Bearing,
    friction_heat,
    knocks,
    relative_humidity,
    thermal_response,
)

RATE, NUM_SAMPLES = 4096, 2048
"""Vibration: samples a second, and samples of a window (half a second)."""

SECONDS = 120
"""Seconds of a window of the slow sensors; the vibration is taken in the last one."""

SYNC = 1800
"""Seconds before such a window, at which all clocks agreed and the record starts."""

LOGGED = ("temperature", "ambient", "humidity")
"""What the logger records; load and speed come from the machine's control."""

MAX_SKEW = 0.05

_STRENGTH = 5.0  # a blow's peak at severity 1 and 1 kN, over the noise's deviation
_PATH = 0.6  # how much of a blow in the shaft's other bearing arrives here


@dataclass(frozen=True)
class Fleet:
    """What is true of every window of `machine`; all arrays have shape (N,).

    Row i belongs to the sample whose `index` is i: `fleet.severity[data.test.index]`.

    Attributes:
        bearing: The geometry of all bearings.
        machine: Number of the machine.
        kind: Class number of the bearing's condition, as in `rotating.KINDS`.
        severity: Severity of its fault, 0 (healthy) to 1.
        other: Class number of the condition of the shaft's other bearing.
        shaft: Shaft frequency during the vibration window, Hz.
        load: Radial load during the vibration window, kN.
        ambient: Temperature of the air, °C.
        day: Day of the year, 0 to 365; 182 is the warmest.
        drift: Error of the temperature sensor, K.
        skew: Relative error of the logger's clock: it shows (1 + skew) · time.
        resonance: Frequency that the machine's structure rings with, Hz.
        gain: Sensitivity of its vibration sensor, which depends on how it is mounted.
    """

    bearing: Bearing
    machine: np.ndarray
    kind: np.ndarray
    severity: np.ndarray
    other: np.ndarray
    shaft: np.ndarray
    load: np.ndarray
    ambient: np.ndarray
    day: np.ndarray
    drift: np.ndarray
    skew: np.ndarray
    resonance: np.ndarray
    gain: np.ndarray

    @property
    def frequencies(self) -> dict[str, np.ndarray]:
        """The bearing's frequencies in each window, Hz; see `Bearing.frequencies`."""
        return self.bearing.frequencies(self.shaft)

    @property
    def fault_frequency(self) -> np.ndarray:
        """Frequency at which the fault is struck, Hz, shape (N,); NaN if healthy."""
        each = [self.bearing.fault_frequency(kind, self.shaft) for kind in KINDS]
        return np.choose(self.kind, each)


def machines(num: int, crosstalk: float, rng) -> dict[str, np.ndarray]:
    """Draw what makes a machine differ from the others."""
    faulty = rng.random(num) < crosstalk
    return {
        "severity": np.exp(rng.uniform(np.log(0.2), 0, num)),
        "other": np.where(faulty, rng.integers(1, len(KINDS), num), 0),
        "other_severity": np.exp(rng.uniform(np.log(0.2), 0, num)),
        "resonance": rng.uniform(1000, 1600, num),  # Hz
        "damping": rng.uniform(0.03, 0.06, num),
        "gain": np.exp(rng.normal(0, 0.3, num)),
        "noise": np.exp(rng.normal(0, 0.2, num)),
        "unbalance": rng.uniform(0.2, 0.8, (num, 2)),  # of 1 and 2 times the shaft
        "resistance": 5 * np.exp(rng.normal(0, 0.05, num)),  # K/W
        "capacity": 120 * np.exp(rng.normal(0, 0.1, num)),  # J/K: 0.25 kg of steel
        "drift": rng.uniform(-1, 1, num),
        "skew": rng.uniform(-1, 1, num),
    }


def air(kind: np.ndarray, season: np.ndarray, rng) -> dict[str, np.ndarray]:
    """Draw the day, and the air of the hall on it."""
    num = len(kind)
    day = rng.uniform(0, 365, num)
    # From the warm half of the year (days 91 to 274) to the cold one, or back.
    warm = np.abs(day - 182.5) < 91.25
    wrong = (rng.random(num) < season) & (warm != (kind > 0))
    day = np.where(wrong, (day + 182.5) % 365, day)
    mean = 20 - 8 * np.cos(2 * np.pi * day / 365)
    ambient = np.clip(mean + rng.normal(0, 2, num), 5, 40)
    # The air that is blown in holds as much water in summer as in winter.
    pressure = 800 * np.exp(rng.normal(0, 0.1, num))  # Pa
    return {"day": day, "ambient": ambient, "pressure": pressure}


def slow(severity, own, air, drift, skew, rng) -> tuple[dict, dict]:
    """Simulate the slow sensors: their signals (N, 120), and what is true of them."""
    num = len(severity)
    # A clock that runs slow still records when the window has ended.
    length = int((SYNC + SECONDS) / (1 - MAX_SKEW)) + 2
    load = _jumps(num, length, 0.3, 2.0, 1200, rng)  # kN
    speed = _jumps(num, length, 20.0, 30.0, 1200, rng)  # Hz
    heat = friction_heat(1000 * load, speed, severity[:, None])
    housing = thermal_response(heat, air["ambient"], own["resistance"], own["capacity"])
    clock = skew * own["skew"]
    shown = SYNC + np.arange(SECONDS)
    error = drift * own["drift"] * air["day"] / 365
    # Where the housing's record is read: a clock that runs fast shows later times.
    times = shown / (1 + clock[:, None])
    whole = np.floor(times).astype(int)
    before, after = (np.take_along_axis(housing, whole + k, axis=1) for k in (0, 1))
    temperature = before + (times - whole) * (after - before)
    ambient = np.repeat(air["ambient"][:, None], SECONDS, axis=1)
    humidity = relative_humidity(air["pressure"], air["ambient"])[:, None]
    signals = {
        "temperature": temperature + error[:, None],
        "ambient": ambient,
        "humidity": np.repeat(humidity, SECONDS, axis=1),
    }
    for name, sigma in zip(LOGGED, (0.1, 0.1, 0.5), strict=True):
        signals[name] = signals[name] + rng.normal(0, sigma, (num, SECONDS))
    signals |= {"load": load[:, shown], "speed": speed[:, shown]}
    last = {"load": load[:, shown[-1]], "shaft": speed[:, shown[-1]]}
    return signals, {**last, "drift": error, "skew": clock}


def _jumps(num, length, low, high, mean, rng) -> np.ndarray:
    """Draw levels that stay for `mean` steps on average, shape (num, length)."""
    number = np.cumsum(rng.random((num, length)) < 1 / mean, axis=1)
    levels = rng.uniform(low, high, (num, number.max() + 1))
    return np.take_along_axis(levels, number, axis=1)


def vibration(fleet: Fleet, own, noise, slip, rng) -> np.ndarray:
    """Simulate the vibration windows, shape (N, 2048)."""
    num, time = len(fleet.kind), np.arange(NUM_SAMPLES) / RATE
    # The structure answers to everything that shakes it, not only to blows.
    frequency = np.fft.rfftfreq(NUM_SAMPLES, 1 / RATE)
    ratio = frequency / own["resonance"][:, None]
    answer = 1 / (1 - ratio**2 + 2j * own["damping"][:, None] * ratio)
    answer /= np.sqrt(np.mean(np.abs(answer) ** 2, axis=1, keepdims=True))
    rough = np.fft.rfft(rng.standard_normal((num, NUM_SAMPLES))) * answer
    hiss = rng.standard_normal((num, NUM_SAMPLES))
    signal = np.sqrt(0.5) * (np.fft.irfft(rough, NUM_SAMPLES) + hiss)
    signal *= (noise * own["noise"])[:, None]
    for order in (1, 2):
        phase = rng.uniform(0, 2 * np.pi, (num, 1))
        turn = 2 * np.pi * order * fleet.shaft[:, None]
        signal += own["unbalance"][:, [order - 1]] * np.sin(turn * time + phase)
    here = fleet.kind, fleet.severity, 1.0
    for kinds, severity, path in (here, (fleet.other, own["other_severity"], _PATH)):
        for number, kind in enumerate(KINDS):
            rows = np.flatnonzero(kinds == number)
            if number == 0 or not len(rows):
                continue
            shaft = fleet.shaft[rows]
            blows = knocks(
                RATE,
                NUM_SAMPLES,
                1 / fleet.bearing.fault_frequency(kind, shaft),
                own["resonance"][rows],
                own["damping"][rows],
                rng,
                fleet.bearing.modulation_frequency(kind, shaft),
                slip=slip,
            )
            height = _STRENGTH * path * severity[rows] * fleet.load[rows]
            signal[rows] += height[:, None] * blows
    return signal * fleet.gain[:, None]


def lose(inputs: dict[str, np.ndarray], dropout: float, rng) -> None:
    """Lose values in gaps; the last value stays, and `observed` says so."""
    num, mean = len(inputs["temperature"]), 5.0
    begins = dropout / (mean * (1 - dropout))
    lost = np.empty((num, SECONDS, len(LOGGED)), dtype=bool)
    chance = rng.random(lost.shape)
    lost[:, 0] = chance[:, 0] < dropout
    for second in range(1, SECONDS):
        stays = np.where(lost[:, second - 1], 1 - 1 / mean, begins)
        lost[:, second] = chance[:, second] < stays
    for number, name in enumerate(LOGGED):
        there = ~lost[..., number]
        there[~there.any(axis=1), 0] = True  # something is always recorded
        # Before the first value, that one; then the last one.
        last = np.where(there, np.arange(SECONDS), there.argmax(axis=1)[:, None])
        last = np.maximum.accumulate(last, axis=1)
        inputs[name] = np.take_along_axis(inputs[name], last, axis=1)
        lost[..., number] = ~there
    inputs["observed"] = ~lost
