"""The benchmarks compare like with like, and their clock is fair."""

import keras
import numpy as np
import pytest
from harness import fill, parts

from benchmarks import timing
from benchmarks.cases import cases
from benchmarks.equations import weights
from benchmarks.native import native

SMALL = {case.name: case for case in cases(dim=8, units=3, tokens=2)}


@pytest.mark.parametrize("name", SMALL)
def test_an_equation_by_hand_is_the_layer(name):
    case, backend = SMALL[name], native()
    layer, inputs = case.build(), case.inputs(4, seed=1)
    fill(layer)
    shape = layer(inputs).shape
    along = np.random.default_rng(1).normal(size=shape).astype("float32")
    ours = parts(backend.layer_step(layer, inputs, along)())
    by_hand = backend.equation_step(layer, case.equation, weights(layer), inputs, along)
    by_hand = parts(by_hand())
    assert len(ours) == 1 + len(layer.trainable_weights) + len(inputs)
    # Normalising by square roots magnifies rounding errors.
    loose = any(kind in name for kind in ("mfb", "mfh", "block", "mcb"))
    for found, expected in zip(ours, by_hand, strict=True):
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(
            found / scale, expected / scale, atol=1e-3 if loose else 2e-5
        )
        assert np.isfinite(expected).all()


def test_every_fusion_layer_is_measured():
    from mmlearn import fusion

    measured = {type(case.make()).__name__ for case in SMALL.values()}
    # It removes modalities during training and fuses nothing.
    assert measured == set(fusion.__all__) - {"ModalityDropout"}


def test_the_ratio_of_a_function_to_itself_is_1():
    x = np.random.default_rng(0).normal(size=100_000)
    result = timing.compare(lambda: np.sort(x), lambda: np.sort(x))
    middle, low, high = result.ratio
    assert low <= middle <= high
    assert low < 1.1 and high > 0.9


def test_twice_the_work_takes_twice_as_long():
    x = np.random.default_rng(0).normal(size=100_000)
    result = timing.compare(lambda: (np.sort(x), np.sort(x)), lambda: np.sort(x))
    assert 1.5 < result.ratio[0] < 2.7


def test_the_interval_covers_the_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = [
        low <= 0 <= high
        for _, low, high in (timing.interval(rng.normal(size=15)) for _ in range(2000))
    ]
    assert 0.95 < np.mean(covered) < 0.98
    with pytest.raises(ValueError, match="use 6 or more"):
        timing.interval(np.ones(5))


def test_the_machine_is_described():
    line = timing.machine(*timing.backend_packages())
    assert "cores" in line and f"keras {keras.__version__}" in line
    assert keras.backend.backend() in line
