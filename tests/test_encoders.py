"""One harness over the encoders of pictures, series, tables, audio and video.

Text encoders are in `test_layers.py`, with the harness over fusion.
"""

import re
from contextlib import contextmanager
from functools import cache, partial

import keras
import numpy as np
import pytest
from harness import fill, gradients, to_numpy

from mmlearn.encoders import audio, image, series, tabular, text, video
from mmlearn.layers import PositionEmbedding

BATCH, STEPS, CHANNELS = 4, 8, 2
PICTURE, SAMPLES, RATE = (28, 28, 1), 1024, 4000
SHAPE, ANY = (STEPS, CHANNELS), (None, CHANNELS)
SOUND = {"sampling_rate": RATE, "mel_bins": 8, "filters": (3, 4)}


def of_frames(over_time: str, **options):
    return video.frames(
        image.cnn(PICTURE, (4,), embed_dim=4),
        3,
        over_time=over_time,
        num_heads=2,
        **options,
    )


IMAGE = {
    "cnn": lambda **o: image.cnn(PICTURE, (4, 6), embed_dim=5, **o),
    "lenet": lambda **o: image.lenet(
        PICTURE, filters=3, num_layers=2, embed_dim=5, **o
    ),
    # Below eight channels, PyTorch's strided 1×1 convolution writes past its memory on
    # a processor without AVX-512 (https://github.com/uxlfoundation/oneDNN/issues/6035).
    "resnet": lambda **o: image.resnet(PICTURE, (8, 6), num_layers=1, **o),
    "vit": lambda **o: image.vit(
        PICTURE, patch_size=7, embed_dim=8, num_heads=2, num_layers=1, **o
    ),
}
SERIES = {
    "series cnn": lambda s=SHAPE, **o: series.cnn(
        s, (4, 6), kernel_size=3, embed_dim=5, **o
    ),
    "gru": lambda s=SHAPE, **o: series.recurrent(s, "gru", embed_dim=4, **o),
    "lstm": lambda s=SHAPE, **o: series.recurrent(s, "lstm", embed_dim=4, **o),
    "two ways": lambda s=SHAPE, **o: series.recurrent(
        s, "gru", embed_dim=4, bidirectional=True, **o
    ),
    "gru mean": lambda s=SHAPE, **o: series.recurrent(
        s, "gru", embed_dim=4, **{"pooling": "avg", **o}
    ),
    "tcn": lambda s=SHAPE, **o: series.tcn(
        s, embed_dim=4, kernel_size=3, num_layers=2, **o
    ),
    "causal tcn": lambda s=SHAPE, **o: series.tcn(
        s, embed_dim=4, kernel_size=3, num_layers=2, causal=True, **o
    ),
    "series transformer": lambda s=SHAPE, **o: series.transformer(
        s, embed_dim=4, num_heads=2, **o
    ),
}
# The cases have padding of 0; by default, no step is padding.
SERIES = {name: partial(case, mask_value=0.0) for name, case in SERIES.items()}
AUDIO = {"audio": lambda **o: audio.log_mel_cnn(SAMPLES, embed_dim=5, **SOUND, **o)}
VIDEO = {
    f"video {over_time}": lambda over_time=over_time, **o: of_frames(over_time, **o)
    for over_time in ("avg", "gru", "transformer")
}
TABULAR = {
    "tabular": lambda **o: tabular.mlp(
        3,
        (4, 2),
        hidden=(6,),
        embed_dim=5,
        category_dim=3,
        mean=[1, 2, 3],
        variance=[4, 1, 0],
        **o,
    )
}
CASES = {**IMAGE, **SERIES, **AUDIO, **VIDEO, **TABULAR}
# With pooling=None: the number of tokens and their length.
TOKENS = {
    "cnn": (7 * 7, 5),
    "lenet": (7 * 7, 5),
    "resnet": (14 * 14, 6),
    "vit": (4 * 4, 8),
    "series cnn": (2, 5),
    **{name: (STEPS, 4) for name in SERIES if name != "series cnn"},
    "audio": (1 + (SAMPLES - 128) // 64 >> 2, 5),
    **{name: (3, 4) for name in VIDEO},
}


def readings(rng) -> np.ndarray:
    """Series of 8, 5, 3 and 1 real steps; the rest is padding."""
    values = rng.normal(size=(BATCH, *SHAPE)).astype("float32")
    return values * (np.arange(STEPS) < np.array([8, 5, 3, 1])[:, None])[..., None]


def input_of(name: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    if name in SERIES:
        return readings(rng)
    if name in AUDIO:
        return rng.normal(size=(BATCH, SAMPLES)).astype("float32") / 3
    if name in TABULAR:
        # Known, known, unknown and known again; every row of a table is used.
        numbers = rng.normal(size=(BATCH + 1, 3))
        categories = [[0, 0], [1, 1], [9, -1], [3, 0], [2, 1]]
        return np.concatenate([numbers, categories], 1).astype("float32")
    shape = (BATCH, 3, *PICTURE) if name in VIDEO else (BATCH, *PICTURE)
    return rng.integers(0, 256, shape).astype("float32")


def built(name: str, *args, **options) -> keras.Model:
    """The case's model; its weights do not depend on the backend's random numbers."""
    model = CASES[name](*args, **options)
    fill(model)
    return model


shared = cache(built)  # for tests that do not change the model


def run(model, x, training: bool = False) -> np.ndarray:
    return to_numpy(model(x, training=training))


@contextmanager
def precision(policy: str):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


every = pytest.mark.parametrize("name", CASES)
every_series = pytest.mark.parametrize("name", SERIES)


# --- what holds for everything ------------------------------------------------


@every
def test_samples_do_not_mix(name):
    x = input_of(name)
    together = run(shared(name), x)
    assert np.isfinite(together).all() and together.ndim == 2
    assert together.shape == (len(x), shared(name).output_shape[1])
    for i in (0, len(x) - 1):
        alone = run(shared(name), x[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5, rtol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-3)


@every
def test_the_input_has_the_modality_s_name(name):
    model = CASES[name](name="mine")
    assert [x.name for x in model.inputs] == ["mine"]
    assert model.name.startswith("mine_")


@pytest.mark.parametrize(
    ("function", "make"),
    [
        (image.cnn, CASES["cnn"]),
        (image.lenet, CASES["lenet"]),
        (image.resnet, CASES["resnet"]),
        (image.vit, CASES["vit"]),
        (series.cnn, CASES["series cnn"]),
        (series.recurrent, CASES["gru"]),
        (series.recurrent, CASES["two ways"]),
        (series.tcn, CASES["tcn"]),
        (series.transformer, CASES["series transformer"]),
        (audio.log_mel_cnn, CASES["audio"]),
        (video.frames, CASES["video gru"]),
        (video.frames, CASES["video transformer"]),
        (tabular.mlp, CASES["tabular"]),
        (text.bag, lambda: text.bag(9, 4)),
        (text.recurrent, lambda: text.recurrent(9, 4)),
        (text.recurrent, lambda: text.recurrent(9, 4, bidirectional=True)),
        (text.transformer, lambda: text.transformer(9, 4, num_layers=2)),
    ],
)
def test_the_names_of_weights_are_those_of_the_docstring(function, make):
    paths, again = ([w.path for w in make().weights] for _ in range(2))
    assert paths == again and len(set(paths)) == len(paths)
    functions = (image.cnn, function) if function is video.frames else (function,)
    told = " ".join(
        f.__doc__.split("Weights, by layer:")[1].split("Returns:")[0] for f in functions
    )
    names = re.findall("`([^`]+)`", told)
    for path in paths:
        layer = path.split("/")[0]
        first = re.sub(r"\d+", "0", layer)  # the first one stands for all
        assert any(
            name in (layer, first) or name[0] == "…" and layer.endswith(name[1:])
            for name in names
        ), layer


@pytest.mark.parametrize("name", TOKENS)
def test_without_pooling_there_is_a_sequence(name):
    tokens = run(built(name, pooling=None), input_of(name))
    assert tokens.shape == (BATCH, *TOKENS[name]) and np.isfinite(tokens).all()
    assert np.ptp(tokens, axis=1).max() > 1e-3  # the tokens differ


@every
def test_saving_and_loading_keeps_outputs(name, tmp_path):
    model, x = shared(name), input_of(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run(loaded, x), run(model, x), atol=1e-6)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


@every
@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
def test_every_weight_learns(name):
    model = shared(name)
    found, (of_input,) = gradients(model, [input_of(name)])
    assert len(found) == len(model.trainable_weights) > 0
    for path, gradient in found.items():
        assert gradient is not None and np.isfinite(gradient).all(), path
        # The same bias on every key shifts all scores alike: softmax ignores it.
        if not path.endswith("key_bias"):
            assert np.abs(gradient).max() > 1e-6, path
    assert np.isfinite(of_input).all() and np.abs(of_input).max() > 1e-6


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@every
def test_half_precision_is_finite_and_close(name, policy):
    x = input_of(name)
    # Built first: under the other policy, it would be in half precision for good.
    expected = run(shared(name), x)
    with precision(policy):
        half = CASES[name]()
        half.set_weights(shared(name).get_weights())
        found = run(half, x)
        # Batch statistics, once: the range of float16 is the narrower one.
        learning = run(half, x, training=True) if policy[6:] == "float16" else found
    assert any(layer.compute_dtype == policy[6:] for layer in half.layers)
    np.testing.assert_allclose(found, expected, atol=0.06 * np.abs(expected).max())
    assert np.isfinite(found).all() and np.isfinite(learning).all()


# --- pictures -----------------------------------------------------------------


@pytest.mark.parametrize("name", IMAGE)
def test_augmentation_acts_while_training_only(name):
    x = input_of(name)
    options = {"augment": image.augmentation(crop=3), "dropout": 0.0}
    model = built(name, **options)
    np.testing.assert_array_equal(run(model, x), run(model, x))
    if name == "vit":  # without batch normalisation, only augmentation is left
        assert np.abs(run(model, x, True) - run(model, x)).max() > 1e-3
    assert any(layer.name == "augmentation" for layer in model.layers)


@pytest.mark.parametrize("name", ["cnn", "lenet", "resnet", "vit"])
def test_colour_and_another_size(name):
    model = getattr(image, name)((32, 40, 3))
    x = np.random.default_rng(0).integers(0, 256, (2, 32, 40, 3)).astype("float32")
    out = run(model, x)
    assert np.isfinite(out).all() and np.abs(out).max() < 100  # pixels are scaled
    assert out.shape == (2, model.output_shape[1])


def with_alpha(num: int = 6) -> np.ndarray:
    """RGBA pictures: a clear left half, an opaque right one, half of each between."""
    x = np.random.default_rng(5).integers(0, 256, (num, 28, 30, 4)).astype("float32")
    x[:, :, :10, 3], x[:, :, 10:20, 3], x[:, :, 20:, 3] = 0, 127.5, 255
    return x


def test_pictures_with_alpha_stand_on_white_after_training():
    x = with_alpha()
    found = run(image.RandomGround(), x)
    opaque = x[..., 3:] / 255
    expected = opaque * x[..., :3] + (1 - opaque) * 255
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    model = image.cnn((28, 30, 4), (4,), dropout=0.0)
    plain = image.cnn((28, 30, 3), (4,), dropout=0.0)
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(run(model, x), run(plain, expected), atol=1e-4)


def test_each_picture_has_one_random_ground_while_training():
    x = with_alpha()
    found = run(image.RandomGround(), x, True)
    np.testing.assert_allclose(found[:, :, 20:], x[:, :, 20:, :3], rtol=1e-5)
    grounds = found[:, :, :10]
    np.testing.assert_allclose(grounds, grounds[:, :1, :1] + 0 * grounds, rtol=1e-5)
    assert grounds.min() >= 0 and grounds.max() <= 255
    assert len(np.unique(grounds[:, 0, 0].round(3), axis=0)) == len(x)
    between = (x[:, :, 10:20, :3] + grounds) / 2
    np.testing.assert_allclose(found[:, :, 10:20], between, rtol=1e-4, atol=1e-3)


def test_a_random_ground_survives_saving(tmp_path):
    model = image.cnn((28, 30, 4), (4,))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(run(loaded, with_alpha()), run(model, with_alpha()))


def test_a_pair_of_lenets_has_the_size_of_the_usual_digits_bench():
    written = image.lenet((28, 28, 1), num_layers=4, embed_dim=None)
    spoken = image.lenet((112, 112, 1), num_layers=6, embed_dim=None)
    assert (written.output_shape, spoken.output_shape) == ((None, 48), (None, 192))
    # 25·6, then 9·(6·12 + 12·24 + …), and a scale and offset per channel.
    sizes = [sum(np.size(w) for w in m.trainable_weights) for m in (written, spoken)]
    assert sizes == [150 + 9 * 1512 + 2 * 90, 150 + 9 * 24552 + 2 * 378]


def test_without_positions_the_order_of_patches_is_invisible():
    x = input_of("vit")
    swapped = x.copy()
    swapped[:, :7, :7], swapped[:, 7:14, 21:] = x[:, 7:14, 21:], x[:, :7, :7]
    model = built("vit")
    before = run(model, x)
    assert np.abs(run(model, swapped) - before).max() > 1e-3
    (positions,) = [v for v in model.layers if isinstance(v, PositionEmbedding)]
    positions.positions.assign(np.zeros(positions.positions.shape))
    np.testing.assert_allclose(run(model, swapped), run(model, x), atol=1e-5)


def test_patches_and_places_are_counted_row_by_row():
    for name, side, at in (("vit", 4, (1, 2)), ("lenet", 7, (4, 3))):
        model = built(name, pooling=None, dropout=0.0)
        x = np.zeros((1, *PICTURE), "float32")
        lit = x.copy()
        size = 28 // side
        lit[0, at[0] * size + size // 2, at[1] * size + size // 2] = 255
        changed = np.abs(run(model, lit) - run(model, x))[0].max(-1)
        assert changed.argmax() == at[0] * side + at[1]


# --- series -------------------------------------------------------------------


@every_series
@pytest.mark.parametrize("pooling", ["vector", None])
def test_more_padding_changes_nothing(name, pooling):
    options = {"dropout": 0.0} | ({} if pooling else {"pooling": None})
    x = readings(np.random.default_rng(5))[:, :7]  # odd, for the pairs of the cnn
    padded = np.pad(x, [(0, 0), (0, 4), (0, 0)])
    if name != "series transformer":
        short = long = built(name, ANY, **options)
    else:
        short = built(name, (7, CHANNELS), **options)
        long = built(name, (11, CHANNELS), **options)
        for mine, theirs in zip(short.weights, long.weights, strict=True):
            values = to_numpy(theirs).copy()
            values[tuple(slice(n) for n in mine.shape)] = to_numpy(mine)
            theirs.assign(values)
    for training in (False, True):
        a, b = run(short, x, training), run(long, padded, training)
        if pooling is None:  # positions that are real somewhere
            real = (x != 0).any(-1)
            if name == "series cnn":
                real = np.stack([real[:, :4].any(1), real[:, 4:].any(1)], 1)
            a, b = a[real], b[:, : real.shape[1]][real]
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_batch_normalisation_learns_from_real_steps_only():
    x = readings(np.random.default_rng(5))
    padded = np.pad(x, [(0, 0), (0, 8), (0, 0)])
    a, b = (built("series cnn", ANY, dropout=0.0) for _ in range(2))
    np.testing.assert_allclose(run(a, x, True), run(b, padded, True), atol=1e-5)
    for mine, theirs in zip(a.weights, b.weights, strict=True):
        np.testing.assert_allclose(to_numpy(mine), to_numpy(theirs), atol=1e-6)


@pytest.mark.parametrize("name", ["series cnn", "gru", "gru mean", "tcn"])
def test_a_padded_series_equals_the_series_without_its_padding(name):
    x, model = readings(np.random.default_rng(5)), built(name, ANY)
    together = run(model, x)
    for i, steps in enumerate((8, 5, 3, 1)):
        alone = run(model, x[i : i + 1, :steps])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)


@every_series
@pytest.mark.parametrize("training", [False, True])
def test_an_empty_series_is_finite(name, training):
    nothing = np.zeros((BATCH, *SHAPE), "float32")
    out = run(built(name, dropout=0.0), nothing, training)
    assert np.isfinite(out).all()
    np.testing.assert_allclose(out, np.tile(out[:1], (BATCH, 1)), atol=1e-6)
    if name in ("gru", "lstm", "two ways"):
        np.testing.assert_array_equal(out, np.zeros_like(out))


@every_series
def test_a_reading_of_zero_is_no_padding_unless_it_is_said(name):
    at_once, apart = np.zeros((2, 1, *SHAPE), "float32")
    at_once[0, :2] = apart[0, ::4] = [[1], [2]]
    heard = [run(built(name, mask_value=None), x) for x in (at_once, apart)]
    assert np.abs(heard[0] - heard[1]).max() > 1e-3
    if name in ("gru", "lstm", "two ways", "gru mean"):  # without regard to places
        heard = [run(built(name), x) for x in (at_once, apart)]
        np.testing.assert_allclose(*heard, atol=1e-6)


def test_padding_may_be_a_value_that_no_sensor_gives():
    x = readings(np.random.default_rng(5))
    told = np.where((x == 0).all(-1, keepdims=True), np.float32(-999), x)
    for name in SERIES:
        a, b = run(built(name), x), run(built(name, mask_value=-999.0), told)
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=name)


def test_small_values_are_not_padding_in_half_precision():
    with precision("mixed_float16"):
        model = built("gru mean")
    x = np.zeros((1, *SHAPE), "float32")
    x[:, :2] = 1
    tiny = np.where(x == 0, np.float32(1e-9), x)
    assert np.abs(run(model, tiny) - run(model, x)).max() > 1e-2


def test_the_mean_of_a_long_series_is_right_in_half_precision():
    x = np.full((2, 6000, 1), 100, "float32")
    x[1, 2002:] = 0
    outputs = []
    for policy in ("float32", "mixed_bfloat16", "mixed_float16"):
        with precision(policy):
            model = series.cnn((None, 1), (2,), kernel_size=1, mask_value=0.0)
        fill(model)
        outputs.append(run(model, x))
    assert outputs[0].max() > 30  # 3,000 of them pass the largest half, 65,504
    for half in outputs[1:]:
        np.testing.assert_allclose(half, outputs[0], rtol=0.02)


def steps_seen(model, steps: int, token: int) -> list[int]:
    """The steps whose change is seen by a token of the output."""
    x = np.random.default_rng(6).normal(size=(steps, 1)).astype("float32")
    x = np.tile(x, (steps + 1, 1, 1))
    x[np.arange(steps), np.arange(steps)] += 50
    out = run(model, x)[:, token]
    return list(np.flatnonzero(np.abs(out[:-1] - out[-1]).max(-1) > 0))


@pytest.mark.parametrize("causal", [False, True])
def test_a_tcn_sees_exactly_its_receptive_field(causal):
    model = series.tcn(
        (40, 1), embed_dim=4, kernel_size=3, num_layers=3, causal=causal, pooling=None
    )
    fill(model)
    size, token = (
        series.receptive_field(kernel_size=3, num_layers=3),
        30 if causal else 20,
    )
    assert size == 29
    first = token - size + 1 if causal else token - size // 2
    assert steps_seen(model, 40, token) == list(range(first, first + size))


def test_a_series_cnn_sees_no_more_than_its_receptive_field():
    model = series.cnn((24, 1), (6, 6), kernel_size=3, pooling=None)
    fill(model)
    seen = steps_seen(model, 24, 3)
    # Token 3 is steps 12..15; R = 1 + 3 · (2² − 1) = 10 steps are 9..18. The maximum
    # may hide some of them.
    assert 9 <= min(seen) <= 12 and 15 <= max(seen) <= 18


def test_the_maximum_over_pairs_equals_its_definition():
    x = np.array([[[-1.0], [-2.0], [-3.0], [9.0], [9.0]]], "float32")
    mask = np.array([[True, True, True, False, False]])
    layer = series.MaskedMaxPooling1D()
    np.testing.assert_array_equal(
        to_numpy(layer(x, mask=mask))[0, :, 0], np.array([-1, -3, 0], "float32")
    )
    found = to_numpy(layer.compute_mask(x, mask))
    np.testing.assert_array_equal(found, [[True, True, False]])
    assert layer.compute_output_shape((None, 5, 1)) == (None, 3, 1)


# --- tables -------------------------------------------------------------------


def table() -> tabular.Columns:
    layer = tabular.Columns(2, (3, 2), category_dim=2, mean=[10, 5], variance=[4, 0])
    layer.build((None, 4))
    # Every row of every table is told apart by its values.
    layer.set_weights([np.arange(8.0).reshape(4, 2), 10 + np.arange(6.0).reshape(3, 2)])
    return layer


def test_columns_equal_their_equation():
    out = to_numpy(table()(np.array([[14, 5, 0, 1], [8, 6, 2, 0]], "float32")))
    # A column of variance 0 is centred only.
    expected = [[2, 0, 0, 1, 12, 13], [-1, 1, 4, 5, 10, 11]]
    np.testing.assert_allclose(out, expected)


@pytest.mark.parametrize("value", [-1, 3, 4, 1e9, -1e30, 0.5, np.nan, np.inf])
def test_an_unknown_category_has_its_own_row(value):
    out = to_numpy(table()(np.array([[10, 5, value, 0]], "float32")))
    np.testing.assert_allclose(out, [[0, 0, 6, 7, 10, 11]])


def test_many_categories_and_large_numbers_survive_half_precision():
    with precision("mixed_float16"):
        model = tabular.mlp(1, (5000,), mean=[1e6], variance=[1e8])
    columns = keras.Model(model.input, model.get_layer("tabular_columns").output)
    rows = np.array([[1.01e6, 4001], [1.01e6, 4002]], "float32")
    out = to_numpy(columns(rows))
    np.testing.assert_allclose(out[:, 0], 1, rtol=1e-5)
    (weights,) = columns.get_weights()
    np.testing.assert_array_equal(out[:, 1:], weights[4001:4003])
    assert np.isfinite(run(model, rows)).all()


def test_a_table_may_have_numbers_or_categories_alone():
    assert run(tabular.mlp(2), np.ones((3, 2), "float32")).shape == (3, 64)
    out = run(tabular.mlp(0, (4,)), np.array([[0], [3], [7]], "float32"))
    assert len(np.unique(out, axis=0)) == 3


# --- audio --------------------------------------------------------------------


@pytest.mark.parametrize("hertz", [220.0, 700.0, 1500.0])
def test_a_pure_tone_excites_the_right_band(hertz):
    layer = audio.LogMel(RATE, mel_bins=16, window=0.064, hop=0.032)
    time = np.arange(SAMPLES) / RATE
    tone = np.sin(2 * np.pi * hertz * time).astype("float32")[None]
    found = to_numpy(layer(np.concatenate([tone, 0 * tone])))
    assert found.shape == (2, *layer.compute_output_shape((2, SAMPLES))[1:])
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    place = 2595 * np.log10(1 + hertz / 700) / top * 17  # in bands; 1 = the first peak
    assert (np.abs(found[0].argmax(-1) + 1 - place) <= 1).all()
    np.testing.assert_allclose(found[1], np.log(1e-6), rtol=1e-5)  # silence


def test_log_mel_equals_its_equation():
    x = input_of("audio")[:1]
    layer = audio.LogMel(RATE, mel_bins=8)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(128) / 128)
    windows = np.stack(
        [x[0, t : t + 128] * window for t in range(0, SAMPLES - 127, 64)]
    )
    power = np.abs(np.fft.rfft(windows)) ** 2
    keras_matrix = keras.layers.MelSpectrogram().linear_to_mel_weight_matrix(
        8, 65, RATE, 0.0, RATE / 2
    )
    expected = np.log(power @ to_numpy(keras_matrix) + 1e-6)
    np.testing.assert_allclose(to_numpy(layer(x))[0], expected, atol=1e-3)


# --- video --------------------------------------------------------------------


@pytest.mark.parametrize("name", VIDEO)
def test_only_the_mean_ignores_the_order_of_frames(name):
    x = input_of(name)
    change = np.abs(run(shared(name), x[:, ::-1].copy()) - run(shared(name), x)).max()
    assert change < 1e-5 if name == "video avg" else change > 1e-3


def test_a_video_is_its_frames():
    encoder = image.cnn(PICTURE, (4,), embed_dim=4)
    x = input_of("video avg")
    sequence = run(video.frames(encoder, 3, pooling=None), x)
    expected = np.stack([run(encoder, x[:, t]) for t in range(3)], 1)
    np.testing.assert_allclose(sequence, expected, atol=1e-5)
    vector = run(video.frames(encoder, 3), x)
    np.testing.assert_allclose(vector, expected.mean(1), atol=1e-5)


# --- bad arguments ---------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: image.vit((28, 30, 1)), "patch_size=4 does not divide 28 × 30"),
        (lambda: image.vit(pooling="max"), "pooling is 'max', choose one of 'avg'"),
        (lambda: image.vit(embed_dim=6), "num_heads=4 does not divide"),
        (lambda: image.lenet((28, 28, 1), num_layers=5), "expected 1 to 4"),
        (lambda: image.lenet(pooling="avg", name="x"), "x: pooling is 'avg'"),
        (lambda: image.lenet((28, 28)), r"shape is \(28, 28\)"),
        (lambda: image.cnn(pooling="max"), "pooling is 'max'"),
        (lambda: image.resnet((20, 28, 1)), r"shape is \(20, 28, 1\)"),
        (lambda: image.resnet(filters=()), r"filters is \(\)"),
        (lambda: image.resnet(num_layers=0), "num_layers is 0"),
        (lambda: series.cnn((8,)), r"series: shape is \(8,\), expected"),
        (lambda: series.cnn((8, 0)), r"shape is \(8, 0\)"),
        (lambda: series.cnn(ANY, ()), "filters"),
        (lambda: series.cnn(ANY, pooling="last"), "pooling is 'last', choose one of"),
        (
            lambda: series.recurrent(ANY, "rnn"),
            "cell is 'rnn', choose one of lstm, gru",
        ),
        (lambda: series.recurrent(ANY, embed_dim=5, bidirectional=True), "odd"),
        (lambda: series.tcn(ANY, num_layers=0), "num_layers is 0"),
        (lambda: series.transformer(ANY, name="x"), "x: shape is .*number of steps"),
        (lambda: tabular.mlp(0), "expected one column or more"),
        (lambda: tabular.mlp(1, (0,)), "tabular_columns: .*1 or more"),
        (lambda: tabular.mlp(2, mean=[1]), r"mean is \[1.0\], expected 2"),
        (lambda: tabular.mlp(1, mean=[np.nan]), "finite"),
        (lambda: tabular.mlp(1, variance=[-1]), "expected 0 or more"),
        (lambda: audio.log_mel_cnn(600), "length is 600 samples, expected 2304"),
        (lambda: audio.log_mel_cnn(16000, mel_bins=4), "mel_bins is 4, expected 8"),
        (lambda: audio.log_mel_cnn(16000, mel_bins=200), "hold no frequency"),
        (lambda: audio.log_mel_cnn(16000, hop=0), "hop=0 s"),
        (lambda: audio.log_mel_cnn(16000, pooling="max"), "pooling is 'max'"),
        (lambda: of_frames("lstm"), "over_time is 'lstm'"),
        (lambda: of_frames("gru", pooling="avg"), "pooling is 'avg'"),
        (lambda: video.frames(image.cnn(pooling=None), 3), "image_encoder has shapes"),
        (lambda: video.frames(image.cnn(), 0), "length is 0"),
        (lambda: PositionEmbedding(name="p").build((None, None, 3)), "p: positions"),
    ],
)
def test_bad_arguments_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
