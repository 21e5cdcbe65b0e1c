"""Tests of explanations of single samples: pixels, words, fusion weights."""

import keras
import numpy as np
import pytest
from harness import assert_close
from keras import layers
from known_answers import few, linear

from mmlearn import explain
from mmlearn.datasets import Split
from mmlearn.encoders import image, text
from mmlearn.fusion import ConcatFusion, DecisionFusion, GatedFusion, WeightedFusion
from mmlearn.models import MultimodalModel, fuse


@pytest.mark.parametrize("presence", [False, True])
def test_fusion_weights_are_the_softmax_of_the_scores(presence):
    parts = [linear(name, np.eye(2)) for name in ("first", "second")]
    joint = WeightedFusion(3)
    model = fuse(parts, joint, 2, presence=presence)
    joint.scores.assign([1.0, -0.5])
    inputs = few(4).inputs
    expected = np.exp([1, -0.5]) / np.exp([1, -0.5]).sum()
    found = explain.fusion_weights(model, inputs)
    np.testing.assert_allclose(found, np.tile(expected, (4, 1)), rtol=1e-5)
    if presence:
        flags = {"second": np.zeros(4, bool), "first": np.ones(4, bool)}
        found = explain.fusion_weights(model, {**inputs, "presence": flags})
        np.testing.assert_allclose(found, np.tile([1, 0], (4, 1)))


def test_gates_are_returned_in_their_own_shape_and_a_mean_has_none():
    parts = [linear(name, np.eye(2)) for name in ("first", "second")]
    model = fuse(parts, GatedFusion(3, tied=True), 2)
    gates = explain.fusion_weights(model, few(4).inputs)
    assert gates.shape == (4, 2, 3)
    np.testing.assert_allclose(gates.sum(axis=1), 1, rtol=1e-5)
    model = fuse(parts, DecisionFusion("mean"), layers.Identity())
    with pytest.raises(ValueError, match="no weights to return"):
        explain.fusion_weights(model, few(4).inputs)


def pictures(num: int = 6):
    """Class 1 has a bright patch somewhere."""
    rng = np.random.default_rng(0)
    labels = np.arange(num) % 2
    x = rng.uniform(0, 0.1, (num, 12, 12, 1)).astype("float32")
    corners = rng.integers(0, 9, (num, 2))
    for i in np.flatnonzero(labels):
        row, column = corners[i]
        x[i, row : row + 3, column : column + 3] = 1
    return x, labels, corners


def tiny_cnn() -> keras.Model:
    x = keras.Input((12, 12, 1), name="image")
    h = layers.Conv2D(3, 3, padding="same", activation="relu", name="maps")(x)
    h = layers.Dropout(0.5)(h)
    h = layers.Flatten()(layers.AveragePooling2D(4)(h))
    return keras.Model(x, layers.Dense(4, activation="tanh")(h), name="tiny")


@pytest.fixture(scope="module")
def seeing():
    keras.utils.set_random_seed(1)
    words = text.bag(6, 3, embed_dim=2)
    model = fuse([tiny_cnn(), words], ConcatFusion(), 2)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, labels, _ = pictures()
    inputs = {"image": x, "text": np.tile([[1, 2, 0]], (6, 1)).astype("int32")}
    model.fit(inputs, labels, verbose=0)
    return model, inputs


@pytest.mark.parametrize("presence", [False, True])
def test_an_explained_model_can_still_be_saved(presence, tmp_path):
    parts = [tiny_cnn(), text.bag(6, 3, embed_dim=2)]
    model = fuse(parts, WeightedFusion(3), 2, presence=presence)
    inputs = {"image": pictures()[0], "text": np.ones((6, 3), "int32")}
    mask = {"presence": {m: np.ones(6, bool) for m in inputs}} if presence else {}
    before = model.predict({**inputs, **mask}, verbose=0)
    labels = np.arange(6) % 2
    split = Split(inputs, labels, np.arange(6))
    explain.grad_cam(model, {**inputs, **mask})
    explain.token_attributions(model, {**inputs, **mask})
    explain.fusion_weights(model, {**inputs, **mask})
    explain.shapley(model, split)
    explain.permutation(model, split)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(again.predict({**inputs, **mask}, verbose=0), before)


def test_grad_cam_equals_finite_differences(seeing):
    model, inputs = seeing
    encoder = model.get_layer("tiny")
    kernel, bias, dense, offset = encoder.get_weights()
    x = np.pad(inputs["image"].astype("float64"), ((0, 0), (1, 1), (1, 1), (0, 0)))
    maps = np.zeros((6, 12, 12, 3))
    for i in range(3):
        for j in range(3):
            maps += x[:, i : i + 12, j : j + 12] @ kernel[i, j]
    maps = np.maximum(maps + bias, 0)
    words = model.get_layer("text_bag").predict(inputs["text"], verbose=0)
    last, shift = model.layers[-1].get_weights()

    def score(maps):
        pooled = maps.reshape(6, 3, 4, 3, 4, 3).mean(axis=(2, 4)).reshape(6, -1)
        h = np.concatenate([np.tanh(pooled @ dense + offset), words], axis=1)
        logits = h @ last + shift
        return (logits - np.log(np.exp(logits).sum(-1, keepdims=True)))[:, 1]

    # The mean slope over the positions: moving a whole channel by ε / 144 each.
    step, slopes = 1e-4, []
    for channel in range(3):
        up, down = maps.copy(), maps.copy()
        up[..., channel] += step
        down[..., channel] -= step
        slopes.append((score(up) - score(down)) / (2 * step) / 144)
    found = np.maximum((maps * np.array(slopes).T[:, None, None]).sum(-1), 0)
    top = found.max(axis=(1, 2), keepdims=True)
    expected = found / np.where(top > 0, top, 1)
    ours = explain.grad_cam(model, inputs, classes=[1] * 6)
    assert_close(ours, expected, atol=2e-3)


def test_grad_cam_leaves_the_model_as_it_is(seeing):
    model, inputs = seeing
    before = [np.array(w) for w in model.get_weights()]
    optimizer = [keras.ops.convert_to_numpy(v) for v in model.optimizer.variables]
    first = explain.grad_cam(model, inputs)
    again = explain.grad_cam(model, inputs)
    assert first.shape == (6, 12, 12) and first.min() >= 0 and first.max() <= 1
    assert_close(first, again, atol=1e-6)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(optimizer, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, keras.ops.convert_to_numpy(other))
    assert all(v.trainable for v in model.trainable_variables)
    # Samples do not mix, and the default is the predicted class.
    alone = {name: array[2:3] for name, array in inputs.items()}
    assert_close(explain.grad_cam(model, alone), first[2:3], atol=1e-4)
    classes = model.predict(inputs, verbose=0).argmax(-1)
    assert_close(explain.grad_cam(model, inputs, classes), first, atol=1e-6)


@pytest.mark.parametrize("presence", [False, True])
def test_grad_cam_finds_the_patch_that_decides(presence):
    x, labels, corners = pictures(8)
    encoder = tiny_cnn()
    # One channel passes what is bright, and this speaks for class 1.
    kernel, dense = np.zeros((3, 3, 1, 3)), np.zeros((27, 4))
    kernel[1, 1, 0, 0] = dense[::3, 0] = 1
    encoder.set_weights([kernel, np.array([-0.5, 0, 0]), dense, np.zeros(4)])
    model = fuse(
        [encoder, text.bag(6, 3, embed_dim=2)], ConcatFusion(), 2, presence=presence
    )
    last = np.zeros((6, 2))
    last[0] = [-9, 9]
    model.layers[-1].set_weights([last, np.array([0.5, -0.5])])
    inputs = {"image": x, "text": np.zeros((8, 3), "int32")}
    flags = {m: np.ones(8, bool) for m in inputs}
    given = inputs | ({"presence": flags} if presence else {})
    assert (model.predict(given, verbose=0).argmax(-1) == labels).all()
    found = explain.grad_cam(model, inputs)
    for i in np.flatnonzero(labels):
        row, column = corners[i]
        expected = np.zeros((12, 12))
        expected[row : row + 3, column : column + 3] = 1
        assert_close(found[i], expected, atol=1e-5)
    # Nothing in it speaks for the other class.
    assert (explain.grad_cam(model, inputs, [0] * 8) == 0).all()


def test_grad_cam_of_the_encoders_of_this_package():
    encoders = [image.cnn((28, 28, 1), filters=(4, 6)), text.bag(6, 3, embed_dim=2)]
    model = fuse(encoders, ConcatFusion(), 3)
    x = np.random.default_rng(0).uniform(0, 255, (2, 28, 28, 1)).astype("float32")
    found = explain.grad_cam(model, {"image": x, "text": np.ones((2, 3), "int32")})
    assert found.shape == (2, 28, 28) and np.isfinite(found).all()


def test_token_attributions_find_the_word_that_decides():
    ids = keras.Input((5,), dtype="int32", name="text")
    embedding = layers.Embedding(8, 2)
    shares = layers.Softmax()(keras.ops.sum(embedding(ids), axis=1))
    model = MultimodalModel([ids], shares)
    table = np.zeros((8, 2))
    table[7] = [0, 3]
    embedding.set_weights([table])
    x = np.array([[3, 7, 4, 0, 0], [7, 5, 6, 3, 2], [1, 2, 0, 0, 0], [0] * 5], "int32")
    found = explain.token_attributions(model, {"text": x})
    lift = 1 / (1 + np.exp(-3)) - 0.5
    np.testing.assert_allclose(found, np.where(x == 7, lift, 0), atol=1e-6)
    against = explain.token_attributions(model, {"text": x}, classes=[0] * 4)
    np.testing.assert_allclose(against, -found, atol=1e-6)


def test_token_attributions_in_a_model_with_a_mask_leave_padding_out():
    words = text.recurrent(9, 4, embed_dim=4)
    model = fuse([linear("first", np.eye(2)), words], ConcatFusion(), 2, presence=True)
    x = np.array([[3, 4, 0, 0], [5, 6, 7, 8]], "int32")
    inputs = {"first": np.ones((2, 2), "float32"), "text": x}
    found = explain.token_attributions(model, inputs)
    assert (found[x == 0] == 0).all() and (found[x != 0] != 0).all()
    # The definition, for one word: the text without it.
    whole = {**inputs, "presence": {m: np.ones(2, bool) for m in inputs}}
    less = {**whole, "text": np.array([[4, 0, 0, 0], [6, 7, 8, 0]], "int32")}
    p, q = (model.predict(given, verbose=0) for given in (whole, less))
    expected = p.max(-1) - np.take_along_axis(q, p.argmax(-1)[:, None], 1)[:, 0]
    assert_close(found[:, 0], expected, atol=1e-6)
