"""Tests of the simulated machines: their physics, their sensors, their lives."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.signal import hilbert
from scipy.stats import kstest

from mmlearn.datasets import (
    Bearing,
    Degradation,
    MultimodalDataset,
    envelope_spectrum,
    machine,
    machine_life,
)
from mmlearn.datasets.simulated.machines.fleet import LOGGED, RATE, SECONDS, SYNC
from mmlearn.datasets.simulated.machines.rotating import (
    KINDS,
    friction_heat,
    knocks,
    relative_humidity,
    thermal_response,
)

SPLITS = ("train", "val", "test")
SMALL = {"num_machines": 40, "num_windows": 3}


@cache
def made(**options):
    return machine(**{**SMALL, **options})


def joined(data: MultimodalDataset, key: str) -> np.ndarray:
    """All samples of a modality, in the order of `index`: that of the truth."""
    index = np.concatenate([data[name].index for name in SPLITS])
    values = np.concatenate([data[name][key] for name in SPLITS])
    return values[np.argsort(index)]


# --- frequencies and blows -----------------------------------------------------------


def test_a_6205_has_the_frequencies_that_are_published_for_it():
    # Case Western Reserve University's bearing data centre: multiples of the shaft.
    found = Bearing().frequencies(1.0)
    expected = {"BPFI": 5.4152, "BPFO": 3.5848, "FTF": 0.39828, "2xBSF": 4.7135}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=2e-4), name


@given(
    st.integers(3, 30),
    st.floats(0.01, 0.9),
    st.floats(0, 80),
    st.floats(0.1, 500),
)
def test_the_frequencies_agree_with_the_kinematics(balls, ratio, angle, shaft):
    bearing = Bearing(balls, 10 * ratio, 10, angle)
    f = bearing.frequencies(shaft)
    # The balls pass the one race or the other, the cage runs slower than half.
    assert f["BPFI"] + f["BPFO"] == pytest.approx(balls * shaft)
    assert f["BPFO"] == pytest.approx(balls * f["FTF"]) and f["FTF"] <= shaft / 2
    # A ball rolls on the outer race without slip: equal speeds where they touch.
    radius = 10 * (1 + ratio * np.cos(np.radians(angle))) / 2
    assert f["BSF"] * 10 * ratio / 2 == pytest.approx(f["FTF"] * radius)
    twice = bearing.frequencies(2 * shaft)
    assert all(twice[name] == pytest.approx(2 * f[name]) for name in f)


def spectrum(signal, rate):
    """The envelope's spectrum, computed here by other means; amplitude of each bin."""
    envelope = np.abs(hilbert(signal)) ** 2
    envelope = (envelope - envelope.mean()) * np.hanning(len(signal))
    return np.fft.rfftfreq(len(signal), 1 / rate), np.abs(np.fft.rfft(envelope))


def peak(lines, frequency, target, width):
    near = np.abs(frequency - target) <= width
    return lines[near].max()


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("shaft", [21.3, 29.1])
def test_the_envelope_peaks_at_the_fault_frequency_with_its_sidebands(kind, shaft):
    rate, num = RATE, 4 * RATE  # 4 s: bins of 0.25 Hz, a Hann window takes four
    bearing = Bearing()
    target = float(bearing.fault_frequency(kind, shaft))
    (signal,) = knocks(
        rate, num, np.array([1 / target]), np.array([1300.0]), np.array([0.05]),
        np.random.default_rng(0),
        np.atleast_1d(bearing.modulation_frequency(kind, shaft)), slip=0.005,
    )  # fmt: skip
    signal += np.random.default_rng(1).normal(0, 0.05, num)
    frequency, lines = spectrum(signal, rate)
    # The highest line above the modulation itself.
    chosen = frequency > shaft + 5
    found = frequency[chosen][lines[chosen].argmax()]
    assert abs(found - target) <= 1.0
    at = {
        name: peak(lines, frequency, found - step, 0.75) / lines[chosen].max()
        for name, step in (
            ("shaft", shaft),
            ("cage", float(bearing.frequencies(shaft)["FTF"])),
        )
    }
    expected = {"inner race": "shaft", "ball": "cage", "outer race": None}[kind]
    for name, height in at.items():
        assert (height > 0.25) == (name == expected), at


def test_without_slip_the_blows_keep_in_step_and_ring_as_the_equation_says():
    rng = np.random.default_rng(0)
    arguments = np.array([0.05]), np.array([900.0]), np.array([0.06])
    (signal,) = knocks(8000, 4000, *arguments, rng, slip=0)
    np.testing.assert_allclose(signal[400:], signal[:-400], atol=1e-9)
    late = np.arange(0, 400) / 8000
    angle = 2 * np.pi * 900
    # Somewhere in each period, one ring-down begins; its start is not on the grid.
    best = min(
        np.abs(
            np.roll(signal[400:800], -shift)
            - np.exp(-0.06 * angle * (late + part)) * np.sin(angle * (late + part))
        )[:300].max()
        for shift in range(400)
        for part in np.linspace(0, 1, 21) / 8000
    )
    assert best < 0.05


def test_the_data_set_shows_each_fault_at_its_frequency_and_none_when_healthy():
    data, fleet = made(noise=0.1, crosstalk=0.0)
    vibration = joined(data, "vibration")[..., 0].astype(float)
    frequency, lines = envelope_spectrum(vibration, RATE)
    width = frequency[1]  # 2 Hz: of half a second
    rows = np.arange(len(fleet.kind))
    heights = {}
    for kind in KINDS[1:]:
        target = fleet.bearing.fault_frequency(kind, fleet.shaft)
        near = np.abs(frequency - target[:, None]) <= 1.01 * width
        heights[kind] = np.where(near, lines, 0).max(axis=1)
        assert near.any(axis=1).all()
    for number, kind in enumerate(KINDS):
        chosen = rows[fleet.kind == number]
        if kind == "healthy":
            assert all((heights[name][chosen] < 0.4).all() for name in heights)
            continue
        loud = chosen[fleet.severity[chosen] * fleet.load[chosen] > 0.5]
        assert len(loud) > 5
        own = heights[kind][loud]
        others = np.max([heights[k][loud] for k in heights if k != kind], axis=0)
        assert (own > others).mean() > 0.95 and np.median(own) > 0.6
    healthy = fleet.kind == 0
    assert np.isnan(fleet.fault_frequency[healthy]).all()
    assert (fleet.severity[healthy] == 0).all()
    assert np.isfinite(fleet.fault_frequency[~healthy]).all()


def test_the_envelope_spectrum_does_not_depend_on_the_gain():
    time = np.arange(4096) / 4096
    tone = (1 + 0.2 * np.cos(2 * np.pi * 50 * time)) * np.sin(2 * np.pi * 1000 * time)
    frequency, lines = envelope_spectrum(np.stack([tone, 7 * tone, 0 * tone]), 4096)
    np.testing.assert_allclose(lines[1], lines[0], atol=1e-9)
    assert frequency[lines[0].argmax()] == 50 and (lines[2] == 0).all()
    # (1 + m cos)² has the swing 2m / (1 + m²/2) of its mean.
    assert lines[0].max() == pytest.approx(0.4 / 1.02, rel=0.01)


# --- heat, air -----------------------------------------------------------------------


def test_heat_follows_the_step_response_of_the_equation():
    resistance, capacity = np.array([4.0, 6.0]), np.array([150.0, 90.0])
    power = np.where(np.arange(2000) < 10, 2.0, 7.0) * np.ones((2, 1))
    ambient = np.array([20.0, 10.0])
    found = thermal_response(power, ambient, resistance, capacity)
    for row in range(2):
        rise, tau = resistance[row] * 5.0, resistance[row] * capacity[row]
        start = ambient[row] + resistance[row] * 2.0
        late = np.maximum(np.arange(2000) - 10, 0)
        expected = start + rise * (1 - np.exp(-late / tau))
        np.testing.assert_allclose(found[row], expected, atol=1e-9)


def test_heat_agrees_with_a_general_solver():
    rng = np.random.default_rng(0)
    power = rng.uniform(0, 10, (1, 40))
    found = thermal_response(
        power, np.array([15.0]), np.array([3.0]), np.array([4.0]), step=2.0
    )
    solved = [found[0, 0]]
    for heat in power[0, :-1]:
        rate = lambda _, t, heat=heat: (heat - (t - 15) / 3) / 4  # noqa: E731
        solved.append(solve_ivp(rate, (0, 2), solved[-1:], rtol=1e-9).y[0, -1])
    np.testing.assert_allclose(found[0], solved, rtol=1e-6)


def test_friction_grows_in_proportion():
    one = friction_heat(1000.0, 25.0, 0.0)
    # ½ · 0.0015 · 1000 N · 0.025 m · 2π · 25 Hz
    assert one == pytest.approx(2.945, abs=1e-3)
    assert friction_heat(2000.0, 12.5, 0.0) == pytest.approx(one)
    assert friction_heat(1000.0, 25.0, 0.4, extra=2.0) == pytest.approx(1.8 * one)


def test_humidity_is_100_at_the_dew_point_and_falls_as_air_warms():
    # Saturated vapour has 2339 Pa at 20 °C (steam tables).
    assert relative_humidity(2339.0, 20.0) == pytest.approx(100, rel=2e-3)
    warm = relative_humidity(800.0, np.array([5.0, 15.0, 25.0, 35.0]))
    assert (np.diff(warm) < 0).all()
    assert relative_humidity(5000.0, 20.0) == 100


def test_given_the_air_the_humidity_says_nothing_about_the_bearing():
    data, fleet = machine(num_machines=160, num_windows=12, season=1.0)
    humidity = joined(data, "humidity").mean(axis=(1, 2))
    rows = np.concatenate([data.train.index, data.val.index])
    faulty = fleet.kind[rows] > 0
    # With the season, it seems to say much ...
    gap = humidity[rows][faulty].mean() - humidity[rows][~faulty].mean()
    assert gap < -15
    # ... but the vapour's pressure, which is all that the air leaves open, does not.
    ambient = fleet.ambient[rows]
    rest = np.log(humidity[rows] / relative_humidity(800.0, ambient))
    rest = rest[ambient > 12]  # no clipping at 100 %
    faulty = faulty[ambient > 12]
    spread = rest.std() * np.sqrt(1 / faulty.sum() + 1 / (~faulty).sum())
    assert abs(rest[faulty].mean() - rest[~faulty].mean()) < 4 * spread
    # The test split has no season.
    warm = np.abs(fleet.day - 182.5) < 91.25
    test = data.test.index
    faults = fleet.kind[test] > 0
    assert abs(warm[test][faults].mean() - warm[test][~faults].mean()) < 0.25
    assert (warm[rows] == (fleet.kind[rows] > 0)).all()


# --- the sensors' knobs --------------------------------------------------------------


def test_the_sample_is_what_the_truth_says_of_it():
    data, fleet = made()
    assert data.source == "synthetic" and data.class_names == KINDS
    assert data.modalities == ("vibration", *LOGGED, "load", "speed")
    assert data.train["vibration"].shape[1:] == (2048, 1)
    for name in data.modalities:
        assert data.train[name].dtype == np.float32
        assert name == "vibration" or data.train[name].shape[1:] == (SECONDS, 1)
    for name in SPLITS:
        part = data[name]
        np.testing.assert_array_equal(part.labels, fleet.kind[part.index])
        np.testing.assert_array_equal(part.groups, fleet.machine[part.index])
        last = part["load"][:, -1, 0], part["speed"][:, -1, 0]
        np.testing.assert_allclose(last[0], fleet.load[part.index], rtol=1e-6)
        np.testing.assert_allclose(last[1], fleet.shaft[part.index], rtol=1e-6)
    assert (fleet.drift == 0).all() and (fleet.skew == 0).all()
    assert "6205" in data.card


@pytest.mark.parametrize(
    ("knob", "changed"),
    [
        ({"drift": 3.0}, {"temperature"}),
        ({"skew": 0.03}, {"temperature"}),
        ({"noise": 2.0}, {"vibration"}),
        ({"crosstalk": 0.9}, {"vibration"}),
        ({"slip": 0.05}, {"vibration"}),
        ({"dropout": 0.2}, set(LOGGED)),
        ({"season": 1.0}, set(LOGGED)),
    ],
)
def test_a_knob_changes_what_it_says_and_nothing_else(knob, changed):
    data, fleet = made(crosstalk=0.2)
    other, truth = made(**{"crosstalk": 0.2, **knob})
    for name in data.modalities:
        same = np.array_equal(joined(data, name), joined(other, name))
        assert same == (name not in changed), name
    np.testing.assert_array_equal(fleet.severity, truth.severity)
    assert ("observed" in other.modalities) == ("dropout" in knob)


def test_drift_grows_with_the_day_at_each_machines_own_rate():
    data, _ = made()
    moved, fleet = made(drift=4.0)
    error = joined(moved, "temperature") - joined(data, "temperature")
    np.testing.assert_allclose(
        error[..., 0], fleet.drift[:, None] * np.ones(120), atol=1e-4
    )
    rate = fleet.drift / fleet.day
    for number in range(40):
        assert np.ptp(rate[fleet.machine == number]) < 1e-9
    assert np.abs(rate * 365).max() <= 4 and np.abs(rate * 365).max() > 2


def test_dropout_loses_the_stated_share_in_gaps_and_holds_the_last_value():
    data, _ = machine(num_machines=100, num_windows=5)
    lossy, _ = machine(num_machines=100, num_windows=5, dropout=0.2)
    observed = joined(lossy, "observed")
    assert observed.shape[1:] == (SECONDS, 3) and set(np.unique(observed)) == {0, 1}
    assert abs(observed.mean() - 0.8) < 0.02
    ends = (observed[:, 1:] > observed[:, :-1]).sum()
    assert 4.5 < (1 - observed).sum() / ends < 5.8  # a few gaps have no end
    for number, name in enumerate(LOGGED):
        there = observed[..., number] == 1
        whole, held = joined(data, name)[..., 0], joined(lossy, name)[..., 0]
        np.testing.assert_array_equal(held[there], whole[there])
        lost = ~there[:, 1:] & there.cumsum(axis=1)[:, :-1].astype(bool)
        np.testing.assert_array_equal(held[:, 1:][lost], held[:, :-1][lost])


def test_a_skewed_clock_reads_the_temperature_of_another_time():
    exact, _ = made()
    skewed, fleet = made(skew=0.02)
    assert (np.abs(fleet.skew) <= 0.02).all() and np.abs(fleet.skew).max() > 0.015
    for number in range(40):
        assert np.ptp(fleet.skew[fleet.machine == number]) == 0
    noise = 0.1  # K, of the sensor, the same in both
    right, wrong = joined(exact, "temperature"), joined(skewed, "temperature")
    right, wrong = right[..., 0], wrong[..., 0]
    # The same reading with the same noise, late by skew · time since the clocks agreed.
    late = SYNC * fleet.skew / (1 + fleet.skew)
    assert np.abs(late).max() > 25
    slope = (right[:, -20:].mean(axis=1) - right[:, :20].mean(axis=1)) / 100
    steady = np.ptp(joined(exact, "load"), axis=(1, 2)) == 0
    steady &= np.ptp(joined(exact, "speed"), axis=(1, 2)) == 0
    moving = steady & (np.abs(slope) > 0.01) & (np.abs(late) > 5)
    assert moving.sum() > 5
    shift = (wrong - right).mean(axis=1)[moving]
    expected = (-slope * late)[moving]
    assert np.corrcoef(shift, expected)[0, 1] > 0.9
    assert np.abs(wrong - right)[np.abs(slope) < 1e-3].mean() < noise


def test_machines_are_whole_in_a_split_unless_the_windows_are_dealt_out():
    for seed in (0, 1):
        data, _ = made(seed=seed)
        groups = [set(data[name].groups) for name in SPLITS]
        assert [len(group) for group in groups] == [24, 8, 8]
        assert len(set.union(*groups)) == 40
        assert all(len(set(counts)) == 1 for counts in data.class_counts().values())
    dealt, _ = made(split="random", seed=0)
    assert set(dealt.test.groups) & set(dealt.train.groups)
    for name in SPLITS:
        counts = dealt.class_counts()[name], made(seed=0)[0].class_counts()[name]
        np.testing.assert_array_equal(*counts)
    for name in dealt.modalities:
        np.testing.assert_array_equal(
            joined(dealt, name), joined(made(seed=0)[0], name)
        )


def test_the_seed_decides_everything():
    one, again, other = (machine(**SMALL, seed=seed)[0] for seed in (3, 3, 4))
    for name in one.modalities:
        np.testing.assert_array_equal(one.test[name], again.test[name])
        assert not np.array_equal(joined(one, name), joined(other, name))


def test_scaling_uses_the_training_machines_only():
    raw, _ = made(dropout=0.1)
    scaled, _ = made(dropout=0.1, standardize=True)
    for name in raw.modalities:
        mean, std = raw.train[name].mean(dtype=float), raw.train[name].std(dtype=float)
        if name == "observed":
            mean, std = 0, 1
        expected = (raw.test[name] - mean) / std
        np.testing.assert_allclose(scaled.test[name], expected, atol=1e-3)


def features(data, fleet, name):
    """What an engineer would measure: the envelope's lines; heat per work done."""
    part = data[name]
    index = part.index
    frequency, lines = envelope_spectrum(part["vibration"][..., 0].astype(float), RATE)
    lines = lines / np.median(lines[:, 10:200], axis=1, keepdims=True)
    targets = fleet.bearing.frequencies(fleet.shaft[index])
    vibration = [np.log(part["vibration"].std(axis=(1, 2)))]
    for target in ("BPFI", "BPFO", "2xBSF"):
        for multiple in (1, 2):
            away = np.abs(frequency - multiple * targets[target][:, None])
            vibration.append(np.log(np.where(away < 3, lines, 1e-3).max(axis=1)))
    air, load, speed = (part[key].mean((1, 2)) for key in ("ambient", "load", "speed"))
    rise = part["temperature"].mean((1, 2)) - air
    heat = [np.log(np.maximum(rise, 0.1)), np.log(load * speed)]
    vibration.append(load)
    return np.stack(vibration, axis=1), np.stack(heat, axis=1)


def test_both_sensors_together_know_more_than_either_and_the_noise_is_bearable():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data, fleet = machine(num_machines=160, num_windows=8, seed=1)
    known, asked = (features(data, fleet, name) for name in ("train", "test"))
    scores = []
    for chosen in ([0], [1], [0, 1]):
        x, z = (np.hstack([part[i] for i in chosen]) for part in (known, asked))
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        scores.append(model.fit(x, data.train.labels).score(z, data.test.labels))
    vibration, heat, both = scores
    assert 0.3 < heat < vibration < both - 0.03 and both < 0.97, scores


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_machines": 19}, "num_machines is 19: expected 20"),
        ({"num_windows": 0}, "num_windows is 0"),
        ({"split": "time"}, "split is 'time': choose 'machine' or 'random'"),
        ({"noise": -1}, "noise is -1"),
        ({"noise": np.nan}, "noise is nan"),
        ({"crosstalk": 1.1}, "crosstalk is 1.1: expected a number from 0 to 1"),
        ({"season": -0.1}, "season is -0.1"),
        ({"drift": np.inf}, "drift is inf"),
        ({"dropout": 0.6}, "dropout is 0.6: expected a number from 0 to 0.5"),
        ({"skew": 0.06}, "skew is 0.06: expected a number from 0 to 0.05"),
        ({"slip": 0.2}, "slip is 0.2"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        machine(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        ({"num_balls": 2}, "num_balls is 2"),
        ({"ball_diameter": 40}, "ball_diameter is 40 mm: expected .* 39.04 mm"),
        ({"contact_angle": 90}, "contact_angle is 90"),
    ],
)
def test_impossible_bearings_are_refused(geometry, message):
    with pytest.raises(ValueError, match=message):
        Bearing(**geometry)
    with pytest.raises(ValueError, match="kind is 'cage': choose one of healthy"):
        Bearing().fault_frequency("cage", 25.0)


# --- lives ---------------------------------------------------------------------------


def test_a_machine_fails_when_its_severity_reaches_one():
    data, lives = machine_life(censored=0.0)
    assert lives.event.all() and data.class_names == ("stopped", "failed")
    np.testing.assert_allclose(lives.age + lives.remaining, lives.failure)
    # ln S is a straight line to 0, through what was true at each inspection.
    for number in np.unique(lives.machine)[:20]:
        mine = lives.machine == number
        if mine.sum() > 1:
            line = np.polyfit(lives.age[mine], np.log(lives.severity[mine]), 1)
            assert -line[1] / line[0] == pytest.approx(lives.failure[mine][0])
    assert (lives.severity < 1).all() and (lives.remaining > 0).all()
    error = lives.readings[:, -1] - np.log(lives.severity)
    assert abs(error.mean()) < 0.05 and abs(error.std() - lives.model.noise) < 0.03


@pytest.mark.parametrize("censored", [0.2, 0.5, 0.8])
def test_stops_are_as_frequent_as_asked_and_have_nothing_to_do_with_the_fault(censored):
    data, lives = machine_life(num_machines=3000, censored=censored)
    _, free = machine_life(num_machines=3000, censored=0.0)
    # All machines run past the first inspection unless they are stopped before.
    failure = dict(zip(free.machine.tolist(), free.failure, strict=True))
    failed = set(lives.machine[lives.event].tolist())
    share = 1 - len(failed) / len(failure)
    assert abs(share - censored) < 0.04
    stopped = ~lives.event
    assert (lives.remaining[stopped] < (lives.failure - lives.age)[stopped]).all()
    for number, age in list(zip(lives.machine, lives.failure, strict=True))[:200]:
        assert failure[int(number)] == age  # the same machines, whatever the stops
    np.testing.assert_array_equal(data.test.labels, lives.event[data.test.index])


def test_the_true_distribution_of_the_remaining_life_is_the_true_one():
    data, lives = machine_life(num_machines=1500, censored=0.0, seed=5)
    # Of each machine one inspection, at a time that does not depend on its end.
    for age in (400.0, 700.0):
        rows = np.flatnonzero(lives.age == age)
        chance = np.array(
            [lives.survival(rows[[i]], lives.remaining[rows[[i]]])[0, 0]
             for i in range(len(rows))]
        )  # fmt: skip
        assert len(rows) > 500 and kstest(chance, "uniform").pvalue > 1e-3
    hours = np.array([0.0, 50, 100, 500, 5000])
    curve = lives.survival(data.test.index, hours)
    assert (curve[:, 0] == 1).all() and (np.diff(curve, axis=1) <= 1e-12).all()
    assert (curve[:, -1] < 0.01).all()
    # It is worth having: near the end, it says so.
    soon = lives.remaining[data.test.index] < 60
    late = lives.remaining[data.test.index] > 500
    assert curve[soon, 3].mean() < 0.05 < 0.7 < curve[late, 3].mean()


def test_few_readings_leave_the_prior_and_many_tell_the_machine():
    model = Degradation(noise=1e-4)
    times = np.arange(0.0, 240, 10)[None]
    sharp = model.survival(-3 + 0.003 * times, times, np.array([760.0, 780.0]))
    # This machine fails at 1000 h, 770 h after the last reading.
    assert sharp[0, 0] > 0.99 and sharp[0, 1] < 0.01
    model = Degradation(noise=1e6)
    start, rate = model.draw(200_000, np.random.default_rng(0))
    lived = -start / rate
    blunt = model.survival(np.zeros((1, 24)), times, np.array([500.0, 800.0]))[0]
    alive = lived > times[0, -1]
    expected = [(lived[alive] > times[0, -1] + h).mean() for h in (500, 800)]
    np.testing.assert_allclose(blunt, expected, atol=0.01)


def test_lives_keep_machines_apart_and_repeat_with_the_seed():
    data, lives = machine_life()
    groups = [set(data[name].groups) for name in SPLITS]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    again, _ = machine_life()
    scaled, _ = machine_life(standardize=True)
    for name, shape in (
        ("vibration", (24, 1)),
        ("temperature", (24, 1)),
        ("load", (24, 1)),
        ("age", (1,)),
    ):
        values = data.train[name]
        assert values.shape[1:] == shape and values.dtype == np.float32
        np.testing.assert_array_equal(values, again.train[name])
        expected = (data.test[name] - values.mean(dtype=float)) / values.std(
            dtype=float
        )
        np.testing.assert_allclose(scaled.test[name], expected, atol=1e-3)
    np.testing.assert_array_equal(data.test["age"][:, 0], lives.age[data.test.index])
    # The hotter, the nearer to the end: at a given load, friction shows the severity.
    work = data.train["load"].mean(axis=(1, 2))
    rise = data.train["temperature"].mean(axis=(1, 2)) / work
    bad = lives.severity[data.train.index] > 0.5
    assert rise[bad].mean() > 1.2 * rise[~bad].mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_machines": 10}, "num_machines is 10: expected 20"),
        ({"censored": 0.9}, "censored is 0.9: expected a share from 0 to 0.8"),
        ({"censored": -0.1}, "censored is -0.1"),
    ],
)
def test_bad_lives_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        machine_life(**options)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": -1.0}, "start is -1.0"),
        ({"rate": 0.001}, "rate is 0.001"),
        ({"noise": 0.0}, "noise is 0.0"),
        ({"rate_sd": -1.0}, "rate_sd is -1.0"),
    ],
)
def test_degradation_that_does_not_degrade_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Degradation(**values)
