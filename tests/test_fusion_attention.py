"""Fusion over tokens: what masks, vectors and positions mean there."""

from functools import partial

import keras
import numpy as np
import pytest
from attention_cases import CASES, HEADS, TOKENS, own_weights
from fusion_cases import BATCH, E
from fusion_cases import CASES as PLAIN
from harness import assert_close, assert_equal, fill, gradients, parts, to_numpy
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mmlearn import fusion as f

every = pytest.mark.parametrize("name", CASES)
POOLED = ["self-attention", "self-attention mean", "cross-modal", "bottleneck"]
every_pooled = pytest.mark.parametrize("name", POOLED)


# Which tokens are real, by their number: a row for each sample, in some rows none.
REAL = {
    3: np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]], bool),
    2: np.array([[1, 1], [0, 1], [1, 0], [0, 0]], bool),
}


def masks_of(name: str, real: dict = REAL) -> list:
    """A mask per modality, `None` for a vector."""
    return [real.get(length) for length in CASES[name].lengths]


def rows(length: int):
    row = st.lists(st.booleans(), min_size=length, max_size=length)
    return st.lists(row, min_size=BATCH, max_size=BATCH).map(lambda m: np.array(m))


@pytest.mark.parametrize("case", [*CASES.values(), *PLAIN.values()])
def test_weights_have_the_same_names_in_every_model(case):
    paths, again = ([w.path for w in case.built().weights] for _ in range(2))
    assert [p.split("/", 1)[1] for p in paths] == [p.split("/", 1)[1] for p in again]


@every
@settings(
    deadline=None,
    max_examples=4,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
)
@given(rows(3), rows(2), rows(3), st.integers(0, 99))
def test_masked_tokens_are_as_good_as_none(name, first, last, presence, seed):
    x, layer = CASES[name].inputs(seed), CASES[name].layer
    masks, presence = masks_of(name, {3: first, 2: last}), presence[:, : len(x)]
    expected = CASES[name].expected(layer, x, presence, masks)
    options = {"return_weights": True} if CASES[name].pair else {}
    found = parts(layer(x, presence=presence, mask=masks, **options))
    for one, other in zip(found, expected, strict=True):
        one = np.where(np.isnan(other), other, one)
        assert_close(one, other, atol=1e-4)


@every
def test_the_content_of_masked_tokens_has_no_effect(name):
    x, layer, masks = CASES[name].inputs(), CASES[name].layer, masks_of(name)
    dirty = [
        one if mask is None else np.where(mask[..., None], one, np.nan)
        for one, mask in zip(x, masks, strict=True)
    ]
    dirty = [one.astype("float32") for one in dirty]
    for one, other in zip(
        parts(layer(dirty, mask=masks)),
        parts(layer(x, mask=masks)),
        strict=True,
    ):
        assert_equal(one, other)
    clean, _ = gradients(layer, x, mask=masks)
    for path, gradient in gradients(layer, dirty, mask=masks)[0].items():
        assert_equal(gradient, clean[path], err_msg=path)


@every
def test_keras_passes_masks_on(name):
    x, layer, masks = CASES[name].inputs(), CASES[name].layer, masks_of(name)
    x = [
        one if mask is None else one * mask[..., None]
        for one, mask in zip(x, masks, strict=True)
    ]
    shapes = CASES[name].shapes
    inputs = [keras.Input(shape) for shape in shapes]
    masked = [
        keras.layers.Masking()(one) if len(shape) == 2 else one
        for one, shape in zip(inputs, shapes, strict=True)
    ]
    model = keras.Model(inputs, layer(masked))
    for one, other in zip(parts(model(x)), parts(layer(x, mask=masks)), strict=True):
        assert_close(one, other, atol=1e-6)


@every_pooled
def test_a_sequence_without_real_tokens_is_absent(name):
    x, layer = CASES[name].inputs(), CASES[name].layer
    nobody = [np.zeros((BATCH, 3), bool), None, None][: len(x)]
    absent = np.array([[0, 1, 1][: len(x)]] * BATCH)
    assert_close(layer(x, mask=nobody), layer(x, presence=absent), atol=1e-6)


@every_pooled
def test_a_vector_is_a_sequence_of_one_token(name):
    x, layer = CASES[name].inputs(), CASES[name].layer
    as_sequence = [one if one.ndim == 3 else one[:, None] for one in x]
    listed = CASES[name].make()
    listed.build([(None, *one.shape[1:]) for one in as_sequence])
    listed.set_weights(layer.get_weights())
    assert_close(listed(as_sequence), layer(x), atol=1e-6)


VECTORS = {
    "self-attention": f.SelfAttentionFusion,
    "self-attention mean": partial(f.SelfAttentionFusion, pooling="avg"),
    "cross-modal": f.CrossModalAttention,
    "bottleneck": f.BottleneckFusion,
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_do_not_attend_across_the_batch(name):
    layer = VECTORS[name](E, num_heads=HEADS)
    x = [one[:, 0] if one.ndim == 3 else one for one in CASES[name].inputs()]
    layer(x)
    fill(layer)
    together = to_numpy(layer(x))
    for i in range(BATCH):
        alone = to_numpy(layer([one[i : i + 1] for one in x]))
        assert_close(alone[0], together[i], atol=1e-5)
    # Another sample's features change that sample alone.
    changed = [np.where(np.arange(BATCH)[:, None] == 2, 5, one) for one in x]
    moved = np.abs(to_numpy(layer([c.astype("float32") for c in changed])) - together)
    assert moved[2].max() > 1e-3 and moved[[0, 1, 3]].max() < 1e-6


@every_pooled
def test_the_order_of_tokens_within_a_modality_is_invisible(name):
    """Positions are the encoder's to add."""
    x, layer = CASES[name].inputs(), CASES[name].layer
    turned = [np.roll(one, 1, axis=1) if one.ndim == 3 else one for one in x]
    assert_close(layer(turned), layer(x), atol=1e-5)


def inner_weights(layer) -> list:
    own = {id(v) for v in own_weights(layer)}
    return [v for v in layer.weights if id(v) not in own]


@pytest.mark.parametrize("name", ["self-attention", "self-attention mean"])
def test_self_attention_ignores_the_order_of_modalities(name):
    """If projections and embeddings move along; not if they stay."""
    case, layer, order = CASES[name], CASES[name].layer, [2, 0, 1]
    x, turned = case.inputs(), case.make()
    turned.build([(None, *TOKENS[m]) for m in order])
    mine = {v.name: v for v in own_weights(turned)}
    theirs = {v.name: to_numpy(v) for v in own_weights(layer)}
    for one, other in zip(inner_weights(turned), inner_weights(layer), strict=True):
        one.assign(other)
    for place, m in enumerate(order):
        for kind in ("projection", "projection_bias"):
            mine[f"{kind}_{place}"].assign(theirs[f"{kind}_{m}"])
    embedding = theirs["modality_embedding"]
    mine["modality_embedding"].assign(embedding[order])
    if "cls" in mine:
        mine["cls"].assign(theirs["cls"])
    moved = [x[m] for m in order]
    assert_close(turned(moved), layer(x), atol=1e-5)
    mine["modality_embedding"].assign(embedding)
    assert np.abs(to_numpy(turned(moved)) - to_numpy(layer(x))).max() > 1e-3


def test_attention_weights_are_shares():
    x = CASES["self-attention"].inputs()
    presence = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]])
    layer = CASES["self-attention"].layer
    _, shares = layer(x, presence=presence, return_weights=True)
    lengths = CASES["self-attention"].lengths
    total = 1 + sum(lengths)
    assert tuple(shares.shape) == (BATCH, HEADS, total, total)
    of_cls = to_numpy(shares)[:, :, 0]
    assert_close(of_cls.sum(-1), 1, atol=1e-5)
    real = np.repeat(presence, lengths, axis=1)
    assert (of_cls[:, :, 1:][np.repeat(real[:, None] == 0, HEADS, 1)] < 1e-6).all()
    assert_close(of_cls[3, :, 0], 1, atol=1e-6)


def test_cross_modal_weights_are_named():
    x = dict(zip("abc", CASES["cross-modal"].inputs(), strict=True))
    layer = CASES["cross-modal"].make()
    _, shares = layer(x, return_weights=True)
    lengths = dict(zip("abc", CASES["cross-modal"].lengths, strict=True))
    for a in "abc":
        assert set(shares[a]) == set("abc") - {a}
        for b, one in shares[a].items():
            assert tuple(one.shape) == (BATCH, HEADS, lengths[a], lengths[b])
            assert_close(to_numpy(one).sum(-1), 1, atol=1e-5)


EMPTY = {"self-attention mean": E, "cross-modal": 3 * E, "bottleneck": E}


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_present_gives_0(name):
    h = CASES[name].layer(
        CASES[name].inputs(), presence=np.zeros_like(CASES[name].absent)
    )
    assert_equal(h, np.zeros((BATCH, EMPTY[name])))


def test_nothing_present_gives_one_constant_with_cls():
    layer = CASES["self-attention"].layer
    first = to_numpy(
        layer(CASES["self-attention"].inputs(1), presence=np.zeros((4, 3)))
    )
    other = to_numpy(
        layer(CASES["self-attention"].inputs(2), presence=np.zeros((4, 3)))
    )
    assert_equal(first, other)
    assert_close(first, np.tile(first[0], (BATCH, 1)), atol=1e-6)


def test_a_part_of_cross_modal_belongs_to_its_modality():
    """An absent modality's part is 0; the others still answer."""
    x, layer = CASES["cross-modal"].inputs(), CASES["cross-modal"].layer
    presence = np.array([[1, 0, 1]] * BATCH)
    h = to_numpy(layer(x, presence=presence)).reshape(BATCH, 3, E)
    assert (h[:, 1] == 0).all() and (np.abs(h[:, [0, 2]]).max((1, 2)) > 1e-3).all()


def test_modalities_meet_in_the_bottleneck_only():
    """Where the blocks answer nothing to bottlenecks, no modality hears of another."""
    x, layer = CASES["bottleneck"].inputs(), CASES["bottleneck"].built()
    there = np.ones((BATCH, 2))

    def means(inputs):  # each modality's own part of h
        return [
            to_numpy(layer(inputs, presence=there * (np.arange(2) == m)))
            for m in range(2)
        ]

    alone = means(x)
    apart = np.abs(to_numpy(layer(x)) - sum(alone) / 2).max()
    # The second round read what the first one collected from the others.
    assert apart > 1e-3
    for blocks in layer.rounds[:-1]:
        for block in blocks:  # the first round leaves all tokens as they are
            attention = block.attention
            last = [attention.output_kernel, attention.output_bias]
            for weight in (*last, *block.mlp_out.weights):
                weight.assign(np.zeros(weight.shape))
    together = to_numpy(layer(x))
    assert_close(together, sum(means(x)) / 2, atol=1e-5)


@every
def test_dropout_acts_while_training_only(name):
    layer = CASES[name].make(dropout=0.5)
    x = CASES[name].inputs()
    still = parts(layer(x))[0]
    assert_equal(parts(layer(x, training=False))[0], still)
    one, other = (parts(layer(x, training=True))[0] for _ in range(2))
    assert np.isfinite(one).all()
    assert np.abs(one - other).max() > 1e-3 and np.abs(one - still).max() > 1e-3


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (partial(f.SelfAttentionFusion, 6, num_heads=4), ["num_heads=4", "6"]),
        (partial(f.CrossModalAttention, 6, num_heads=4), ["num_heads=4", "6"]),
        (partial(f.BottleneckFusion, 6, num_heads=4), ["num_heads=4", "6"]),
        (
            partial(f.SelfAttentionFusion, 4, pooling="max"),
            ["'max'", "'cls'", "'avg'"],
        ),
        (partial(f.CrossModalAttention, 4, pooling="cls"), ["'cls'", "'avg'"]),
        (partial(f.SelfAttentionFusion, 4, num_layers=0), ["num_layers", "0"]),
        (partial(f.BottleneckFusion, 4, num_bottlenecks=0), ["num_bottlenecks", "0"]),
        (partial(f.CrossModalAttention, 0), ["embed_dim", "0"]),
    ],
)
def test_bad_settings_are_refused(make, expected):
    with pytest.raises(ValueError) as caught:
        make(name="joined")
    line = str(caught.value)
    assert line.startswith("joined: ") and len(line.splitlines()) == 1
    for part in expected:
        assert part in line


@pytest.mark.parametrize("cls", [f.SelfAttentionFusion, f.CrossModalAttention])
def test_a_config_saved_before_avg_was_the_word_still_makes_a_layer(cls):
    config = cls(4, num_heads=2, pooling="avg").get_config()
    old = cls.from_config({**config, "pooling": "mean"})
    assert old.get_config() == config
