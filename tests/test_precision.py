"""What a GPU's half precision leaves behind is counted in full."""

import keras
import ml_dtypes
import numpy as np
import pytest

from mmlearn import evaluate, explain, fusion, models, runtime
from mmlearn.datasets import MultimodalDataset, Split

NUM = 1000


@pytest.fixture
def half():
    """The precision that `runtime.setup` chooses on a recent GPU."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def data() -> MultimodalDataset:
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(NUM, 3)).astype("float32") for name in "ab"}
    labels = (x["a"][:, 0] > 0).astype(int)
    split = Split(x, labels, np.arange(NUM))
    return MultimodalDataset("toy", "synthetic", ("no", "yes"), split, split, split)


def model(head) -> keras.Model:
    keras.utils.set_random_seed(0)
    parts = []
    for name in "ab":
        x = keras.Input((3,), name=name)
        parts.append(
            keras.Model(x, keras.layers.Dense(4, name="f")(x), name=f"f{name}")
        )
    return models.fuse(parts, fusion.WeightedFusion(4), head)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, "float16"])
def test_half_becomes_full_and_all_else_stays(dtype):
    ones = np.ones(NUM, dtype)
    assert runtime.full_precision(ones).mean() == 1
    for same in (np.arange(3), np.array(["a"]), np.ones(2, "float64")):
        assert runtime.full_precision(same) is same


def test_weights_of_a_fusion_sum_to_1_over_many_samples(half):
    alpha = explain.fusion_weights(model(2), data().test.inputs)
    assert alpha.mean(axis=0).sum() == pytest.approx(1, abs=0.01)


def test_features_that_are_stored_are_full(half):
    encoder = model(2).encoders["a"]
    stored = data().map(a=lambda x: encoder.predict(x, verbose=0))
    exact = stored.test["a"].astype("float64").mean(axis=0)
    np.testing.assert_allclose(stored.test["a"].mean(axis=0), exact, atol=1e-5)


def test_a_head_in_half_precision_is_compared_in_full(half):
    found = evaluate.compare(
        {"both": lambda: model(keras.layers.Dense(2, "softmax"))},
        data(),
        seeds=[0],
        epochs=1,
        singles={},
    )
    p = found.predictions["both"]
    assert p.dtype == np.float32
    assert evaluate.scores(p, data().test.labels)["log loss"] == pytest.approx(
        evaluate.scores(p.astype("float64"), data().test.labels)["log loss"], rel=1e-4
    )
