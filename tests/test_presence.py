"""Tests of modality dropout, and that what is present is bound by name."""

from dataclasses import replace
from functools import cache

import keras
import numpy as np
import pytest
from harness import assert_equal, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import assert_share, linear

from mmlearn.datasets import MultimodalDataset, Split
from mmlearn.fusion import ConcatFusion, MeanFusion, ModalityDropout, SumFusion
from mmlearn.models import encoders_of, fuse, in_order, inputs_from, modalities_of


def hidden(mask: np.ndarray, rate: float, seed: int = 0) -> np.ndarray:
    return to_numpy(ModalityDropout(rate, seed=seed)(mask, training=True))


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
    return {**x, "presence": {name: np.ones(num, bool) for name in x}}


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
        "presence": {n: np.ones(600, bool) for n in ("first", "second")},
    }
    here = {"first": np.zeros(600, bool), "second": np.ones(600, bool)}
    left = {**x, "presence": here}
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


# What is present is bound by name.

NAMES = ("first", "second", "third")


@cache
def in_this_order(*names: str):
    """The same function of three modalities, its encoders in this order."""
    kernels = {n: np.array([[k + 1.0, -k], [k, 2.0]]) for k, n in enumerate(NAMES)}
    parts = [linear(name, kernels[name]) for name in names]
    head = keras.layers.Dense(2, activation="softmax", kernel_initializer="identity")
    return fuse(parts, SumFusion(), head, presence=True)


def lacking(names, seed: int = 0, num: int = 6) -> Split:
    """Samples that lack some modalities, these in this order."""
    rng = np.random.default_rng(seed)
    x = {n: rng.normal(size=(num, 2)).astype("float32") for n in NAMES}
    here = {n: rng.random(num) < 0.6 for n in NAMES}
    labels = rng.integers(0, 2, num)
    inputs, flags = {n: x[n] for n in names}, {n: here[n] for n in names}
    return Split(inputs, labels, np.arange(num), presence=flags)


orders = st.permutations(NAMES)


@settings(deadline=None, max_examples=15)
@given(orders, orders, orders, st.integers(0, 99))
def test_no_order_of_names_changes_a_prediction(encoders, arrays, flags, seed):
    model, split = in_this_order(*encoders), lacking(arrays, seed)
    plain = lacking(NAMES, seed)
    expected = in_this_order(*NAMES).predict(plain.xy()[0], verbose=0)
    # The definition: what is absent adds nothing.
    scores = sum(
        plain.presence[n][:, None] * plain[n] @ encoders_of(model)[n].get_weights()[0]
        for n in NAMES
    )
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(expected, shares, atol=1e-5)
    x = split.xy()[0]
    shuffled = {**x, "presence": {n: x["presence"][n] for n in flags}}
    for inputs in (x, shuffled, model.inputs_from(split)):
        np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, 1e-5)
    np.testing.assert_allclose(to_numpy(model(shuffled)), expected, 1e-5)


def test_fit_and_evaluate_bind_presence_by_name(tmp_path):
    found = []
    for order in (NAMES, NAMES[::-1]):
        model = in_this_order(*order)
        model = keras.models.clone_model(model)
        model.set_weights(in_this_order(*order).get_weights())
        model.compile("sgd", "sparse_categorical_crossentropy")
        split = lacking(NAMES, num=16)
        # As generators and other data sets give it: `fit` does not see the arrays.
        x, y = split.xy()
        batches = [({**x, "presence": dict(x["presence"])}, y)]
        model.fit(x, y, 16, 2, shuffle=False, verbose=0)
        model.fit((batch for batch in batches), verbose=0)
        model.fit(x, y, 16, validation_data=split.xy(), shuffle=False, verbose=0)
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        loss = model.evaluate(x, y, verbose=0)
        np.testing.assert_allclose(again.evaluate(x, y, verbose=0), loss, rtol=1e-6)
        weights = {n: e.get_weights()[0] for n, e in again.encoders.items()}
        found.append((loss, weights))
    (one, first), (other, second) = found
    np.testing.assert_allclose(one, other, rtol=1e-5)
    for name in NAMES:
        np.testing.assert_allclose(first[name], second[name], rtol=1e-4, atol=1e-6)


FLAGS = {n: np.ones(6, bool) for n in NAMES}


@pytest.mark.parametrize("use", ["fit", "validation", "predict", "call"])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            np.ones((6, 3), "float32"),
            "presence is an array, whose columns may be in an",
        ),
        ({n: FLAGS[n] for n in NAMES[:2]}, "presence of 'third' is missing"),
        ({**FLAGS, "fourth": FLAGS["first"]}, "presence of 'fourth' is unknown"),
        (
            {**FLAGS, "first": np.ones((6, 1))},
            r"presence of 'first' has shape .'B', 1.",
        ),
    ],
)
def test_presence_whose_order_is_unknown_is_refused(use, flags, message):
    model = in_this_order(*NAMES)
    x, y = lacking(NAMES).xy()
    bad = {**x, "presence": flags}
    uses = {
        "fit": lambda: model.fit(bad, y, verbose=0),
        "validation": lambda: model.fit(x, y, 6, 1, 0, None, 0.0, (bad, y)),
        "predict": lambda: model.predict(bad, verbose=0),
        "call": lambda: model(bad),
    }
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        uses[use]()
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_list_is_in_the_order_of_the_model():
    model, split = in_this_order(*NAMES[::-1]), lacking(NAMES)
    values = in_order(model, split.xy()[0])
    assert to_numpy(values[-1]).shape == (6, 3)
    for column, name in zip(to_numpy(values[-1]).T, NAMES[::-1], strict=True):
        np.testing.assert_array_equal(column, split.presence[name])
    expected = model.predict(split.xy()[0], verbose=0)
    np.testing.assert_allclose(model.predict(values, verbose=0), expected, rtol=1e-5)


def test_inputs_from_a_split_are_those_that_the_model_takes():
    model, split = in_this_order("third", "first", "second"), lacking(NAMES)
    x = model.inputs_from(split, only=["first", "third"])
    assert list(x) == ["third", "first", "second", "presence"]
    assert not x["presence"]["second"].any()
    for name in ("first", "third"):
        np.testing.assert_array_equal(x["presence"][name], split.presence[name])
    # The split's arrays alone: all is there.
    assert all(f.all() for f in model.inputs_from(split.inputs)["presence"].values())
    with pytest.raises(ValueError, match="presence is an array"):
        model.inputs_from({**split.inputs, "presence": np.ones((6, 3))})
    # A plain model cannot bind by name: it gets the array in its own order.
    plain = keras.Model(model.inputs, model.outputs)
    assert modalities_of(plain) == model.modalities == ("third", "first", "second")
    expected = model.predict(model.inputs_from(split), verbose=0)
    found = plain.predict(inputs_from(plain, split), verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_split_keeps_presence_with_its_samples():
    split = lacking(NAMES)
    some = split.take(np.array([4, 1]))
    for name in NAMES:
        np.testing.assert_array_equal(some.presence[name], split.presence[name][[4, 1]])
    assert split.replace(first=split["second"]).presence is split.presence
    assert list(split.xy("third", "presence")[0]["presence"]) == ["third"]
    assert list(split.xy("third")[0]) == ["third"]
    whole = Split(split.inputs, split.labels, split.index)
    assert list(whole.xy()[0]) == list(NAMES) and whole.take([1]).presence is None
    with pytest.raises(KeyError, match="all modalities are always there"):
        whole.xy("first", "presence")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (None, r"split 'test': presence says of \[\]"),
        (np.ones((6, 3)), r"split 'test': presence says of \[\]"),
        ({"first": np.ones(6, bool)}, "presence says of .'first'. .*'third'"),
        ({**FLAGS, "third": np.ones(5, bool)}, "presence of 'third' is bool of shape"),
        ({**FLAGS, "third": np.full(6, 0.5)}, "expected 0 or 1 for each of 6 samples"),
    ],
)
def test_presence_that_says_too_little_is_refused(flags, message):
    split = lacking(NAMES)
    data = MultimodalDataset("toy", "own", ("0", "1"), split, split, split)
    assert data.modalities == NAMES and "some are absent" in repr(data)
    with pytest.raises(ValueError, match=message):
        replace(data, test=replace(split, presence=flags))
