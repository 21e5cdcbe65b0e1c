"""One harness over text and image encoders, shared blocks and composed models.

Shapes come from a small pool, since a new one costs a compilation.
"""

from functools import cache

import harness
import keras
import numpy as np
import pytest
from keras import ops

from mmlearn.encoders import image, text
from mmlearn.fusion import WeightedFusion
from mmlearn.layers import (
    Attention,
    MaskedMean,
    PositionEmbedding,
    TransformerBlock,
    ZeroAbsent,
)
from mmlearn.models import fuse

BATCH, VOCAB, LENGTH = 4, 12, 6
PICTURE = (28, 28, 1)


def ids(rng, length: int = LENGTH) -> np.ndarray:
    """Texts of 1, 2, ... words; the rest of each row is padding."""
    rows = rng.integers(2, VOCAB, (BATCH, length)).astype("int32")
    return rows * (np.arange(length) <= np.arange(BATCH)[:, None])


def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (BATCH, *PICTURE)).astype("float32")


# Per sample: both there, one absent, the other, none.
PRESENCE = np.array([[1, 1], [1, 0], [0, 1], [0, 0]], "float32")


def cnn(**options):
    return image.cnn(PICTURE, filters=(4, 6), **options)


def composed(**options):
    encoders = [cnn(embed_dim=3), text.bag(VOCAB, LENGTH, embed_dim=4)]
    return fuse(encoders, WeightedFusion(5, per_sample=True), 3, **options)


TEXT = {
    "bag": lambda n=LENGTH: text.bag(VOCAB, n, embed_dim=4),
    "rnn": lambda n=LENGTH: text.recurrent(VOCAB, n, cell="rnn", embed_dim=4),
    "lstm": lambda n=LENGTH: text.recurrent(VOCAB, n, cell="lstm", embed_dim=4),
    "gru": lambda n=LENGTH: text.recurrent(VOCAB, n, cell="gru", embed_dim=4),
    "two ways": lambda n=LENGTH: text.recurrent(
        VOCAB, n, cell="gru", embed_dim=4, bidirectional=True
    ),
    "gru mean": lambda n=LENGTH: text.recurrent(
        VOCAB, n, cell="gru", embed_dim=4, pooling="avg"
    ),
    "transformer": lambda n=LENGTH: text.transformer(
        VOCAB, n, embed_dim=4, num_heads=2
    ),
}
SEQUENCE = {
    "bag sequence": lambda: text.bag(VOCAB, LENGTH, embed_dim=4, pooling=None),
    "gru sequence": lambda: text.recurrent(
        VOCAB, LENGTH, cell="gru", embed_dim=4, pooling=None
    ),
    "transformer sequence": lambda: text.transformer(
        VOCAB, LENGTH, embed_dim=4, num_heads=2, pooling=None
    ),
}
IMAGE = {
    "cnn": lambda: cnn(embed_dim=5),
    "cnn augmented": lambda: cnn(augment=image.augmentation(crop=2, rotate=0.1)),
}
CASES = {
    **TEXT,
    **SEQUENCE,
    **IMAGE,
    "composed": composed,
    "composed with presence": lambda: composed(presence=True),
}


def inputs_of(name: str) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    if name in TEXT or name in SEQUENCE:
        return [ids(rng)]
    if name in IMAGE:
        return [pixels(rng)]
    arrays = [pixels(rng), ids(rng)]
    return [*arrays, PRESENCE] if name == "composed with presence" else arrays


def built(name: str) -> keras.Model:
    """The case's model; its weights do not depend on the backend's random numbers."""
    model = CASES[name]()
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:
        # Weights that start at 0 or 1 are moved, too: they would hide errors.
        start = weight if len(weight.shape) == 1 else 0
        weight.assign(start + 0.4 * rng.normal(size=weight.shape))
    return model


shared = cache(built)  # for tests that do not change the model


def run(model: keras.Model, inputs: list, training: bool = False) -> np.ndarray:
    x = inputs if len(inputs) > 1 else inputs[0]
    return ops.convert_to_numpy(ops.cast(model(x, training=training), "float32"))


def gradients(model: keras.Model, inputs: list) -> dict[str, np.ndarray]:
    """Gradients of a fixed random projection of the outputs, per trainable weight."""
    return harness.gradients(model, inputs)[0]


every = pytest.mark.parametrize("name", CASES)
every_text = pytest.mark.parametrize("name", TEXT)


# --- what holds for everything ---------------------------------------------------


@every
def test_samples_do_not_mix(name):
    inputs = inputs_of(name)
    together = run(shared(name), inputs)
    assert together.shape[0] == BATCH
    for i in range(BATCH):
        alone = run(shared(name), [array[i : i + 1] for array in inputs])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5, rtol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-3)


@every
def test_two_evaluations_are_identical(name):
    inputs = inputs_of(name)
    first = run(shared(name), inputs)
    np.testing.assert_array_equal(first, run(shared(name), inputs))
    assert np.isfinite(first).all()


@every
def test_saving_and_loading_keeps_outputs_and_weights(name, tmp_path):
    model, inputs = shared(name), inputs_of(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run(loaded, inputs), run(model, inputs), atol=1e-6)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    assert type(loaded) is type(model)


@every
def test_every_weight_learns(name):
    model = shared(name)
    assert model.trainable_weights
    for path, gradient in gradients(model, inputs_of(name)).items():
        assert gradient is not None and np.isfinite(gradient).all(), path
        # The same bias on every key shifts all scores alike: softmax ignores it.
        if not path.endswith("key_bias"):
            assert np.abs(gradient).max() > 1e-6, path


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@every
def test_half_precision_is_finite_and_close(name, policy):
    inputs, before = inputs_of(name), keras.config.dtype_policy()
    # Built first: under the other policy, it would be in half precision for good.
    expected = run(shared(name), inputs)
    keras.config.set_dtype_policy(policy)
    try:
        half = CASES[name]()
        half.set_weights(shared(name).get_weights())
        found = run(half, inputs)
    finally:
        keras.config.set_dtype_policy(before)
    assert any(layer.compute_dtype == policy[6:] for layer in half.layers)
    scale = np.abs(expected).max()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected, atol=0.06 * scale)


# --- text --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*TEXT, *SEQUENCE])
@pytest.mark.parametrize("training", [False, True])
def test_an_empty_text_is_finite(name, training):
    empty = run(shared(name), [np.zeros((BATCH, LENGTH), "int32")], training)
    assert np.isfinite(empty).all()


def test_the_bag_of_an_empty_text_is_0():
    # Before training: its normalisation may learn another place for "no text".
    empty = run(TEXT["bag"](), [np.zeros((BATCH, LENGTH), "int32")])
    np.testing.assert_array_equal(empty, np.zeros((BATCH, 4)))


@every_text
def test_only_the_bag_ignores_the_order_of_words(name):
    # BATCH rows of the same six words, each row rolled by one more.
    rows = np.stack([np.roll(np.arange(2, 2 + LENGTH), i) for i in range(BATCH)])
    out = run(shared(name), [rows.astype("int32")])
    if name == "bag":
        np.testing.assert_allclose(out, np.tile(out[0], (BATCH, 1)), atol=1e-6)
    else:
        assert min(np.abs(out[0] - row).max() for row in out[1:]) > 1e-4


@every_text
def test_more_padding_changes_nothing(name):
    rows = ids(np.random.default_rng(5))
    short, long = shared(name), TEXT[name](LENGTH + 3)
    for mine, theirs in zip(short.weights, long.weights, strict=True):
        # Positions that only the longer one has keep their start values.
        values = ops.convert_to_numpy(theirs).copy()
        values[tuple(slice(n) for n in mine.shape)] = mine
        theirs.assign(values)
    padded = np.pad(rows, [(0, 0), (0, 3)])
    np.testing.assert_allclose(run(long, [padded]), run(short, [rows]), atol=1e-5)


def test_masked_positions_do_not_reach_the_others():
    rng = np.random.default_rng(6)
    one = rng.normal(size=(BATCH, LENGTH, 4)).astype("float32")
    mask = np.arange(LENGTH) < np.array([[1], [3], [5], [6]])
    other = np.where(mask[..., None], one, 50).astype("float32")
    block = TransformerBlock(2, 8)
    a, b = (ops.convert_to_numpy(block(x, mask=mask)) for x in (one, other))
    np.testing.assert_allclose(a[mask], b[mask], atol=1e-5)
    assert np.abs(a - b).max() > 1  # the masked positions themselves do differ
    other = np.where(mask[..., None], one, np.nan).astype("float32")
    pooled = ops.convert_to_numpy(MaskedMean()(other, mask=mask))
    expected = [row[real].mean(0) for row, real in zip(one, mask, strict=True)]
    np.testing.assert_allclose(pooled, expected, atol=1e-6)


def test_masked_mean_without_a_mask_is_the_mean():
    x = np.random.default_rng(0).normal(size=(BATCH, LENGTH, 4)).astype("float32")
    np.testing.assert_allclose(run(MaskedMean(), [x]), x.mean(1), atol=1e-6)


def test_word_dropout_hides_whole_words_while_training_only():
    encoder = text.bag(
        VOCAB, LENGTH, embed_dim=4, dropout=0, word_dropout=0.5, pooling=None
    )
    rows = np.full((BATCH, LENGTH), 3, "int32")
    plain = run(encoder, [rows])
    hidden = run(encoder, [rows], training=True)
    gone = (hidden == 0).all(-1)
    # Words that stay keep their direction.
    one, other = hidden[~gone], plain[~gone]
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    np.testing.assert_allclose((one * other).sum(-1) / lengths, 1, rtol=1e-4)
    assert (plain != 0).any(-1).all()
    assert 0 < gone.sum() < gone.size and len(np.unique(gone, axis=0)) > 1


# --- pictures ------------------------------------------------------------------------


def small_pictures() -> np.ndarray:
    return np.random.default_rng(7).normal(size=(16, 6, 6, 2)).astype("float32")


@pytest.mark.parametrize(
    "options",
    [{}, {"crop": 2}, {"flip": False, "crop": 2, "rotate": 0.1}, {"flip": False}],
)
def test_augmentation_changes_nothing_at_inference(options):
    images = small_pictures()
    augment = image.augmentation(**options)
    np.testing.assert_array_equal(run(augment, [images]), images)
    assert run(augment, [images], training=True).shape == images.shape


def test_flipping_mirrors_some_pictures_left_to_right():
    images = small_pictures()
    flipped = run(image.augmentation(), [images], training=True)
    mirrored = [
        not np.array_equal(new, old) for new, old in zip(flipped, images, strict=True)
    ]
    expected = np.where(
        np.array(mirrored)[:, None, None, None], images[:, :, ::-1], images
    )
    np.testing.assert_array_equal(flipped, expected)
    assert 0 < sum(mirrored) < len(images)


def test_shifting_moves_each_picture_by_whole_pixels():
    images, p = np.tile(small_pictures(), (4, 1, 1, 1)), 2
    augment = image.augmentation(flip=False, crop=p)
    shifted = run(augment, [images], training=True)
    padded = np.pad(images, [(0, 0), (p, p), (p, p), (0, 0)], mode="reflect")
    seen = set()
    for new, wide in zip(shifted, padded, strict=True):
        places = [
            (y, x)
            for y in range(2 * p + 1)
            for x in range(2 * p + 1)
            if np.array_equal(new, wide[y : y + 6, x : x + 6])
        ]
        assert len(places) == 1
        seen.update(places)
    # Each picture has its own place, drawn anew, over the whole range.
    assert len(seen) > 5 and {max(axis) for axis in zip(*seen, strict=True)} == {4}
    assert not np.array_equal(run(augment, [images], training=True), shifted)


def test_pixels_are_scaled_inside_the_encoder():
    # Pictures in 0..255 that differ in brightness alone must differ in features.
    flat = np.ones((BATCH, *PICTURE), "float32") * np.array(
        [[[[0]]], [[[80]]], [[[160]]], [[[255]]]]
    )
    out = run(shared("cnn"), [flat.astype("float32")])
    assert len(np.unique(out.round(4), axis=0)) > 1 and np.abs(out).max() < 100


# --- presence ------------------------------------------------------------------------


@pytest.mark.parametrize("content", [np.nan, np.inf, -np.inf])
def test_what_stands_in_the_place_of_an_absent_modality_has_no_effect(content):
    model = shared("composed with presence")
    pictures, words, presence = inputs_of("composed with presence")
    spoilt = pictures.copy()
    spoilt[presence[:, 0] == 0] = content
    other = np.where(presence[:, 1:] == 1, words, VOCAB - 1)
    clean, dirty = [pictures, words, presence], [spoilt, other, presence]
    np.testing.assert_array_equal(run(model, dirty), run(model, clean))
    expected, found = gradients(model, clean), gradients(model, dirty)
    for path, gradient in expected.items():
        np.testing.assert_allclose(found[path], gradient, atol=1e-6, err_msg=path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fuse([cnn()], head=3, presence=True), "needs a fusion layer"),
        (
            lambda: fuse(
                [cnn(name="presence"), text.bag(VOCAB, LENGTH)],
                WeightedFusion(4),
                presence=True,
            ),
            "named 'presence'",
        ),
    ],
)
def test_a_presence_mask_that_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- settings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        MaskedMean(name="pool"),
        TransformerBlock(2, 8, dropout=0.2, norm_first=False, activation="relu"),
        PositionEmbedding(learned=False),
        Attention(2, dropout=0.1),
        ZeroAbsent(1),
        image.augmentation(crop=3).layers[-1],
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_config_makes_an_equal_layer(layer):
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    stored = keras.saving.serialize_keras_object(layer)
    assert stored["registered_name"].startswith("mmlearn>")
    loaded = keras.saving.deserialize_keras_object(stored)
    assert loaded.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: image.cnn((20, 32, 3)), r"image: shape is \(20, 32, 3\)"),
        (lambda: image.cnn((32, 32, 2)), "1, 3 or 4"),
        (lambda: image.cnn((32, 32)), "shape is"),
        (lambda: image.cnn(filters=(4,) * 5, name="x"), "x: filters"),
        (lambda: image.cnn(filters=()), "image: filters"),
        (lambda: text.recurrent(VOCAB, LENGTH, cell="ltsm"), "'ltsm', choose .*lstm"),
        (lambda: text.recurrent(VOCAB, 6, embed_dim=5, bidirectional=True), "5 is odd"),
        (
            lambda: text.recurrent(VOCAB, 6, pooling="max"),
            "'max'.*'avg', 'last', None",
        ),
        (lambda: text.bag(VOCAB, 6, pooling="last"), "'last'.*'avg', None"),
        (lambda: text.transformer(VOCAB, 6, pooling="cls", name="t"), "t: pooling"),
        (
            lambda: text.transformer(VOCAB, 6, embed_dim=6, num_heads=4),
            "num_heads=4 does not",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", [*TEXT, *IMAGE])
def test_an_encoder_has_one_input_named_as_its_modality(name):
    model = shared(name)
    expected = "image" if name in IMAGE else "text"
    assert [tensor.name for tensor in model.inputs] == [expected]
    assert model.name.startswith(f"{expected}_")
    assert len(model.output_shape) == 2


# --- attention, as others compute it ----------------------------------


def sequences(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=(BATCH, n, 8)).astype("float32") for n in lengths]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("seen", ["all", "by source", "by query"])
def test_attention_is_that_of_keras(causal, seen):
    queries, sources = sequences(5, 7)
    ours, theirs = Attention(2), keras.layers.MultiHeadAttention(2, 4)
    ours.build(queries.shape, sources.shape)
    theirs.build(queries.shape, sources.shape)
    harness.fill(ours)
    theirs.set_weights(ours.get_weights())
    mask = np.random.default_rng(4).random((BATCH, 5, 7)) < 0.6
    mask[..., 0] = True  # Keras and we differ where nothing is to be seen
    mask = {"all": None, "by source": mask[:, 0], "by query": mask}[seen]
    full = mask[:, None] & np.ones((5, 1), bool) if seen == "by source" else mask
    harness.assert_close(
        ours(queries, sources, mask=mask, use_causal_mask=causal),
        theirs(queries, sources, attention_mask=full, use_causal_mask=causal),
        atol=1e-5,
    )


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_block_takes_the_weights_of_pytorch(norm_first, causal):
    torch = pytest.importorskip("torch")
    options = {"activation": "relu", "norm_first": norm_first}
    ours = TransformerBlock(2, 16, epsilon=1e-5, **options)
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 16, dropout=0.0, batch_first=True, **options
    )
    (x,) = sequences(5)
    ours.build(x.shape)
    harness.fill(ours)
    gamma, beta, *parts, o, o_bias, gamma2, beta2, w1, b1, w2, b2 = ours.get_weights()
    values = {
        "self_attn.in_proj_weight": np.concatenate(
            [kernel.reshape(8, 8).T for kernel in parts[::2]]
        ),
        "self_attn.in_proj_bias": np.concatenate([b.ravel() for b in parts[1::2]]),
        "self_attn.out_proj.weight": o.reshape(8, 8).T,
        "self_attn.out_proj.bias": o_bias,
        "linear1.weight": w1.T,
        "linear1.bias": b1,
        "linear2.weight": w2.T,
        "linear2.bias": b2,
        "norm1.weight": gamma,
        "norm1.bias": beta,
        "norm2.weight": gamma2,
        "norm2.bias": beta2,
    }
    theirs.load_state_dict({n: torch.tensor(v.copy()) for n, v in values.items()})
    hidden = torch.tensor(np.triu(np.ones((5, 5), bool), 1)) if causal else None
    with torch.no_grad():
        expected = theirs.cpu()(torch.tensor(x), src_mask=hidden).numpy()
    harness.assert_close(ours(x, use_causal_mask=causal), expected, atol=1e-5)


def test_positions_can_be_waves():
    (x,) = sequences(5)
    layer = PositionEmbedding(learned=False)
    added = harness.to_numpy(layer(x)) - x
    for t in range(5):
        for i in range(4):
            angle = t / 10000 ** (2 * i / 8)
            np.testing.assert_allclose(added[0, t, 2 * i], np.sin(angle), atol=1e-6)
            np.testing.assert_allclose(added[0, t, 2 * i + 1], np.cos(angle), atol=1e-6)
    assert not layer.weights


def test_a_block_saved_before_it_had_options_is_the_same_block():
    config = TransformerBlock(2, 16).get_config()
    old = {n: config[n] for n in ("name", "dtype", "num_heads", "mlp_dim", "dropout")}
    assert TransformerBlock.from_config(old).get_config() == config
