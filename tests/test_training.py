"""Tests of what `training` compiles: AdamW, and its learning rate step by step."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import linear

from mmlearn import training
from mmlearn.models import fuse


def rates(steps: int, peak: float, warmup: float) -> np.ndarray:
    model = fuse([linear("first", np.eye(2))], head=2)
    training.compile(model, steps, peak, warmup=warmup)
    # What the optimizer's schedule gives, before each step and after the last.
    schedule = keras.optimizers.serialize(model.optimizer)["config"]["learning_rate"]
    schedule = keras.optimizers.schedules.deserialize(schedule)
    return np.array([float(schedule(t)) for t in range(steps + 1)])


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 30), st.floats(1e-4, 0.1), st.sampled_from([0, 0.1, 0.2, 0.5]))
def test_the_rate_rises_to_its_peak_and_falls_along_a_cosine(steps, peak, warmup):
    rising = int(steps * warmup)
    t = np.arange(steps + 1)
    fall = peak * (1 + np.cos(np.pi * (t - rising) / (steps - rising))) / 2
    expected = np.where(t < rising, peak * t / max(rising, 1), fall)
    np.testing.assert_allclose(rates(steps, peak, warmup), expected, atol=1e-7)


def test_a_fifth_of_the_steps_is_rounded_down_as_whole_numbers_are():
    for steps in range(1, 5_000):
        assert int(0.2 * steps) == steps // 5


def test_it_trains_as_the_same_lines_of_plain_keras():
    rng = np.random.default_rng(0)
    x, y = {"first": rng.normal(size=(64, 2))}, np.arange(64) % 2
    start = rng.normal(size=(2, 2))
    found = []
    for plain in (False, True):
        keras.utils.set_random_seed(0)
        model = fuse([linear("first", start)], head=2)
        if plain:
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, 10 - 10 // 5, warmup_target=0.05, warmup_steps=10 // 5
            )
            optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.2)
            model.compile(optimizer, "sparse_categorical_crossentropy")
        else:
            same = training.compile(model, 10, learning_rate=0.05, weight_decay=0.2)
            assert same is model
        model.fit(x, y, 16, epochs=2, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_loss_and_metrics_are_handed_on_to_keras():
    model = fuse([linear("first", np.eye(2))], head=keras.layers.Dense(1))
    training.compile(model, 3, loss="mse", metrics=["mae"])
    x = {"first": np.array([[1.0, 2.0]], "float32")}
    off = abs(model.predict(x, verbose=0)[0, 0] - 3.0)
    loss, mae = model.evaluate(x, np.array([3.0]), verbose=0)
    np.testing.assert_allclose([loss, mae], [off**2, off], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0, expected 1 or more"),
        ({"warmup": 1.0}, "warmup is 1.0, expected a share of 0 to below 1"),
        ({"warmup": -0.1}, "warmup is -0.1"),
        ({"warmup": float("nan")}, "warmup is nan"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        training.compile(fuse([linear("first", np.eye(2))]), **{"steps": 5, **change})
