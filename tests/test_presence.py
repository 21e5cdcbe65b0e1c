"""Tests of modality dropout: what it hides, and that inference is left alone."""

import keras
import numpy as np
import pytest
from harness import assert_equal, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import assert_share, linear

from mmlearn.fusion import ConcatFusion, MeanFusion, ModalityDropout
from mmlearn.models import fuse


def hidden(mask: np.ndarray, rate: float, seed: int = 0) -> np.ndarray:
    return to_numpy(ModalityDropout(rate, seed)(mask, training=True))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.floats(0, 0.99), st.integers(0, 1000))
def test_it_hides_but_never_shows_and_never_hides_all(num, rate, seed):
    mask = np.random.default_rng(seed).integers(0, 2, (50, num)).astype("float32")
    out = hidden(mask, rate, seed)
    assert out.shape == mask.shape and set(np.unique(out)) <= {0, 1}
    assert (out <= mask).all()
    # Who has something keeps something; who has nothing stays so.
    np.testing.assert_array_equal(out.any(axis=1), mask.any(axis=1))


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_it_hides_at_its_rate_and_each_alike(rate):
    num = 20_000
    out = hidden(np.ones((num, 3), "float32"), rate)
    # All three would be hidden with rate³; then one of them stays.
    expected = 1 - rate + rate**3 / 3
    for column in out.T:
        assert_share(column.mean(), expected, num)
    # Independent, apart from that.
    assert_share((out.sum(axis=1) == 3).mean(), (1 - rate) ** 3, num)
    alone = 3 * rate**2 * (1 - rate) + rate**3
    assert_share((out.sum(axis=1) == 1).mean(), alone, num)


def test_one_that_is_alone_always_stays():
    mask = np.tile(np.array([[0, 1, 0]], "float32"), (500, 1))
    np.testing.assert_array_equal(hidden(mask, 0.9), mask)


def test_inference_and_rate_0_give_the_mask_back():
    mask = np.random.default_rng(0).integers(0, 2, (50, 3)).astype("float32")
    assert_equal(ModalityDropout(0.9)(mask), mask)
    assert_equal(ModalityDropout(0.9)(mask, training=False), mask)
    np.testing.assert_array_equal(hidden(mask, 0.0), mask)


def test_its_draws_are_seeded_and_differ_from_call_to_call():
    mask = np.ones((200, 3), "float32")
    layer, same = ModalityDropout(0.5, seed=4), ModalityDropout(0.5, seed=4)
    first = to_numpy(layer(mask, training=True))
    assert_equal(same(mask, training=True), first)
    assert (to_numpy(layer(mask, training=True)) != first).any()


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(ValueError, match="rate is .*expected 0 to below 1"):
        ModalityDropout(rate)


def two(modality_dropout: float = 0.0, joint=None, presence: bool = True):
    parts = [linear(name, np.eye(2)) for name in ("first", "second")]
    return fuse(
        parts,
        joint or ConcatFusion(),
        2,
        presence=presence,
        modality_dropout=modality_dropout,
    )


def inputs(num: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = {n: rng.normal(size=(num, 2)).astype("float32") for n in ("first", "second")}
    return {**x, "presence": np.ones((num, 2), "float32")}


def test_a_model_predicts_as_one_without_it(tmp_path):
    with_it, without = two(0.5), two()
    without.set_weights(with_it.get_weights())
    x = inputs()
    expected = without.predict(x, verbose=0)
    np.testing.assert_array_equal(with_it.predict(x, verbose=0), expected)
    with_it.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    [layer] = [part for part in loaded.layers if isinstance(part, ModalityDropout)]
    assert layer.rate == 0.5 and layer.get_config()["seed"] is None


def test_hidden_modalities_are_hidden_from_all_that_follows():
    # Where the mean is over two equal features, hiding one of them changes nothing; if
    # its zeros were counted, the mean would be halved.
    model = two(0.6, MeanFusion())
    x = inputs(400)
    x["second"] = x["first"]
    trained = to_numpy(model(x, training=True))
    np.testing.assert_allclose(trained, model.predict(x, verbose=0), atol=1e-5)
    x["second"] = -x["first"]
    changed = np.abs(to_numpy(model(x, training=True)) - model.predict(x, verbose=0))
    # One is hidden with 1 − 0.4².
    assert_share((changed.max(axis=1) > 1e-6).mean(), 1 - 0.4**2, 400)


def test_a_model_learns_to_do_without_a_modality_only_if_it_has_met_that():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600)
    signs = (2.0 * labels - 1)[:, None]
    # The first is the better one, and would be relied upon alone.
    x = {
        "first": np.hstack([3 * signs, signs]).astype("float32"),
        "second": (signs * [0.3, 0.3]).astype("float32"),
        "presence": np.ones((600, 2), "float32"),
    }
    left = {**x, "presence": np.tile(np.array([[0, 1]], "float32"), (600, 1))}
    losses = {}
    for rate in (0.0, 0.5):
        keras.utils.set_random_seed(0)
        model = two(rate)
        model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
        model.fit(x, labels, 64, 6, verbose=0)
        losses[rate] = model.evaluate(left, labels, verbose=0)
    assert losses[0.5] < losses[0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modality_dropout": 0.3, "presence": False}, "give presence=True too"),
        ({"modality_dropout": 1.0}, "rate is 1.0"),
        ({"modality_dropout": -0.2}, "rate is -0.2"),
    ],
)
def test_a_model_refuses_what_it_cannot_hide(change, message):
    with pytest.raises(ValueError, match=message):
        two(**change)
