"""What holds for every fusion layer and option; their equations: `fusion_cases`."""

import keras
import numpy as np
import pytest
from attention_cases import ALL as CASES
from fusion_cases import BATCH, LATE
from harness import assert_close, assert_equal, fill, gradients, parts
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

every = pytest.mark.parametrize("name", CASES)


def masks(count: int):
    row = st.lists(st.booleans(), min_size=count, max_size=count)
    rows = st.lists(row, min_size=BATCH, max_size=BATCH)
    return st.none() | rows.map(lambda mask: np.array(mask))


def zeroed(x: list, there) -> list:
    """Absent features as zeros."""
    return [
        np.where(there[:, m].reshape(-1, *[1] * (one.ndim - 1)), one, 0)
        for m, one in enumerate(x)
    ]


def spoilt(x: list, presence, content) -> list:
    """Absent features full of `content`."""
    return [
        np.where(
            presence[:, m].reshape(-1, *[1] * (one.ndim - 1)) == 1, one, content
        ).astype("float32")
        for m, one in enumerate(x)
    ]


@every
@settings(
    deadline=None,
    max_examples=5,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)
@given(data=st.data())
def test_it_equals_its_equation(name, data):
    case, layer = CASES[name], CASES[name].layer
    mask = data.draw(masks(len(case.shapes)))
    x = case.inputs(data.draw(st.integers(0, 99)))
    there = np.ones((BATCH, len(x)), bool) if mask is None else mask
    expected = case.expected(
        layer, [one.astype("float64") for one in zeroed(x, there)], there
    )
    options = {"return_weights": True} if case.pair else {}
    found = layer(x, presence=mask, **options)
    expected, found = keras.tree.flatten(expected), parts(found)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        one = np.where(np.isnan(other), other, one)  # NaN: may be anything
        assert_close(one, other, atol=case.tolerance, rtol=1e-4)
    if case.pair:  # asking for the weights does not change the output
        assert_close(parts(layer(x, presence=mask))[0], found[0], atol=1e-6)


@every
@pytest.mark.parametrize("presence", [False, True])
def test_samples_do_not_mix(name, presence):
    x, layer = CASES[name].inputs(), CASES[name].layer
    mask = CASES[name].absent if presence else np.ones_like(CASES[name].absent)
    together = parts(layer(x, presence=mask))
    for i in range(BATCH):
        row = slice(i, i + 1)
        alone = parts(layer([one[row] for one in x], presence=mask[row]))
        for one, other in zip(alone, together, strict=True):
            assert one.shape == (1, *other.shape[1:])
            assert_close(one[0], other[i], atol=1e-5, rtol=1e-5)
    if "vote" not in name:  # the one output that is the same for many samples
        assert not np.allclose(together[0][0], together[0][1], atol=1e-3)


@every
def test_the_content_of_an_absent_modality_has_no_effect(name):
    x, layer, presence = CASES[name].inputs(), CASES[name].layer, CASES[name].absent
    clean = parts(layer(x, presence=presence))
    weights, inputs = gradients(layer, x, presence=presence)
    assert all(np.isfinite(one).all() for one in clean)
    for content in (np.nan, np.inf, -np.inf, 1e30):
        dirty = spoilt(x, presence, content)
        for one, other in zip(
            parts(layer(dirty, presence=presence)), clean, strict=True
        ):
            assert_equal(one, other)
        if not np.isnan(content) and content != 1e30:
            continue  # the gradients of two contents will do
        found, towards = gradients(layer, dirty, presence=presence)
        for path, gradient in weights.items():
            assert gradient is None or np.isfinite(gradient).all(), path
            assert_equal(found[path], gradient, err_msg=path)
        for m, (one, other) in enumerate(zip(towards, inputs, strict=True)):
            if one is not None:
                assert_equal(one, other)
                assert (one[presence[:, m] == 0] == 0).all()


def flat(name: str) -> tuple[str, ...]:
    """Ends of the paths of weights whose gradient is 0 by the equation."""
    # The same bias on every key shifts a query's scores alike.
    ends = ["/key_bias"]
    if name == "cross-modal":
        # Its modality 1 is one token, which gets all attention, whatever is asked.
        ends += [f"/attention_1/{end}" for end in ("query_kernel", "query_bias")]
        ends += ["/attention_1/key_kernel"]
    return tuple(ends)


@every
def test_every_weight_learns(name):
    layer = CASES[name].layer
    found, _ = gradients(layer, CASES[name].inputs())
    assert len(found) == len(layer.trainable_weights)
    for path, gradient in found.items():
        assert gradient is not None and np.isfinite(gradient).all(), path
        if path.endswith(flat(name)):
            assert np.abs(gradient).max() < 1e-4, path
        else:
            assert np.abs(gradient).max() > 1e-6, path


@every
def test_every_input_gets_a_gradient(name):
    _, found = gradients(CASES[name].layer, CASES[name].inputs())
    for gradient in found:
        if name.startswith("decision vote"):  # a count of votes is flat
            assert gradient is None or (gradient == 0).all()
        else:
            assert np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-6


@every
@pytest.mark.parametrize("content", ["zeros", "some absent", "zeros, some absent"])
def test_gradients_at_the_start_are_of_ordinary_size(name, content):
    """Where a square root, a norm or a share of nothing is differentiated at 0."""
    case = CASES[name]
    x = case.inputs()
    if "zeros" in content:
        even = 1 / 3 if case.probabilities else 0
        x = [np.full_like(one, even) for one in x]
    presence = CASES[name].absent if "absent" in content else None
    weights, inputs = gradients(case.fresh(), x, presence=presence)
    for gradient in [*weights.values(), *inputs]:
        assert gradient is None or np.abs(gradient).max() < 1e7


@pytest.mark.one_backend
@every
def test_weights_have_the_documented_names_and_shapes(name):
    case = CASES[name]
    found = [(v.name, tuple(v.shape)) for v in case.own_weights(case.fresh())]
    assert sorted(found) == sorted(case.weights.items())


@every
def test_saving_and_loading_keeps_outputs_and_weights(name, tmp_path):
    case = CASES[name]
    inputs = [keras.Input(shape) for shape in case.shapes]
    presence, layer = keras.Input((len(inputs),)), CASES[name].built()
    model = keras.Model([*inputs, presence], layer(inputs, presence=presence))
    x = [*case.inputs(), CASES[name].absent]
    first = parts(model(x))
    for one, other in zip(first, parts(layer(x[:-1], presence=x[-1])), strict=True):
        assert_close(one, other, atol=1e-6)
    for one, other in zip(first, parts(model(x)), strict=True):
        assert_equal(one, other)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(first, parts(loaded(x)), strict=True):
        assert_close(one, other, atol=1e-6)
    assert [tuple(v.shape) for v in loaded.weights] == [
        tuple(v.shape) for v in model.weights
    ]
    symbolic = keras.tree.flatten(model.output)
    assert [tuple(one.shape)[1:] for one in symbolic] == [y.shape[1:] for y in first]


@pytest.mark.one_backend
@every
def test_config_makes_an_equal_layer(name):
    layer = CASES[name].make(name="fused", dtype="mixed_bfloat16")
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    stored = keras.saving.serialize_keras_object(layer)
    assert stored["registered_name"] == f"mmlearn>{type(layer).__name__}"
    loaded = keras.saving.deserialize_keras_object(stored)
    assert loaded.get_config() == layer.get_config()
    # Every argument, not only those that a base class stores.
    given_options = getattr(CASES[name].make, "keywords", {})
    assert given_options.items() <= layer.get_config().items()


@every
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_finite_and_close(name, policy):
    case, layer = CASES[name], CASES[name].layer
    half = CASES[name].built(dtype=policy)
    half.set_weights(layer.get_weights())
    assert {
        keras.backend.standardize_dtype(v.dtype) for v in half.trainable_weights
    } <= {"float32"}
    x, presence = case.inputs(), CASES[name].absent
    outputs = half(x, presence=presence)
    # Probabilities may stay in full precision, as losses want them.
    allowed = {policy[6:]} | ({"float32"} if name.startswith(LATE) else set())
    for y in keras.tree.flatten(outputs):
        assert keras.backend.standardize_dtype(y.dtype) in allowed
    for one, other in zip(
        parts(outputs), parts(layer(x, presence=presence)), strict=True
    ):
        assert np.isfinite(one).all()
        margin = 0.15 if case.tolerance > 1e-3 else 0.06  # the root magnifies, too
        assert_close(one, other, atol=margin * np.abs(other).max())


@pytest.mark.one_backend
@pytest.mark.parametrize("dtype", ["bool", "int32"])
@every
def test_a_mask_may_have_any_dtype(name, dtype):
    x, layer, presence = CASES[name].inputs(), CASES[name].layer, CASES[name].absent
    found = parts(layer(x, presence=presence.astype(dtype)))
    for one, other in zip(found, parts(layer(x, presence=presence)), strict=True):
        assert_equal(one, other)


@pytest.mark.one_backend
@every
def test_a_dict_is_taken_by_name_whatever_its_order(name):
    case = CASES[name]
    x, layer = case.inputs(), case.make()
    keys = ["a", "b", "c"][: len(x)]
    ordered = dict(zip(keys, x, strict=True))
    layer(ordered)
    fill(layer)
    swapped = dict(reversed(ordered.items()))
    presence = CASES[name].absent
    expected = parts(CASES[name].layer(x, presence=presence))
    for one, other in zip(
        parts(layer(swapped, presence=presence)), expected, strict=True
    ):
        assert_equal(one, other)
