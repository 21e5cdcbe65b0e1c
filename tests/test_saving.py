"""Tests of saved models: the same answer elsewhere, and bad input is refused."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from harness import assert_close, fill, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmlearn import datasets, encoders, saving
from mmlearn.fusion import ConcatFusion
from mmlearn.models import MultimodalModel, fuse
from mmlearn.text import WordTokenizer

NAMES = ("normal", "pneumonia")
CARD = "# Data card\n\nMade up for a test; 肺 is not a lung.\n"
TOKENIZER = WordTokenizer.fit(["fever for 3 days", "no cough at all"], length=6)
PREPROCESS = {"image": "crop", "text": TOKENIZER}
NOTE = "Fever, no cough."


def made(presence: bool = False, channels: int = 1) -> MultimodalModel:
    parts = [
        encoders.image.cnn((28, 36, channels), filters=(4,)),
        encoders.text.bag(len(TOKENIZER.vocabulary), TOKENIZER.length, embed_dim=4),
    ]
    model = fuse(parts, ConcatFusion(), head=2, presence=presence)
    fill(model)
    return model


def save(path: Path, model: keras.Model, **changes) -> Path:
    options = {"preprocess": PREPROCESS, "card": CARD, "class_names": NAMES}
    return saving.save(path, model, **{**options, **changes})


def pixels(height: int = 28, width: int = 36, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (height, width, channels)).astype("uint8")


def written(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(path)
    return path


def shares(answer: saving.Answer) -> np.ndarray:
    return np.array([answer.probabilities[name] for name in NAMES])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    written(folder / "x.png", pixels())
    (folder / "note.txt").write_text(NOTE, encoding="utf-8")
    save(folder / "both.zip", made())
    save(folder / "lacking.zip", made(presence=True))
    return folder


@pytest.fixture(scope="module")
def both(folder) -> saving.LoadedModel:
    return saving.load(folder / "both.zip")


@pytest.fixture(scope="module")
def lacking(folder) -> saving.LoadedModel:
    return saving.load(folder / "lacking.zip")


# --- saving and loading --------------------------------------------------------------


def test_a_fresh_process_gives_the_same_answer(folder):
    x = {"image": pixels()[None].astype("float32"), "text": TOKENIZER([NOTE])}
    (expected,) = made().predict(x, verbose=0)
    code = (
        "import json; from mmlearn import saving; print(json.dumps("
        "saving.load('both.zip').classify(image='x.png', text='note.txt')))"
    )
    # The package may be imported from its folder alone.
    path = os.pathsep.join([str(Path(saving.__file__).parents[1]), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=True,
    )
    name, said = json.loads(ran.stdout.decode().splitlines()[-1])
    assert name == NAMES[expected.argmax()]
    assert_close([said[name] for name in NAMES], expected, atol=1e-5)
    assert abs(sum(said.values()) - 1) < 1e-5


def test_all_that_was_saved_comes_back(both):
    assert both.card == CARD and both.class_names == NAMES
    assert both.preprocess["text"].get_config() == TOKENIZER.get_config()
    for one, other in zip(made().get_weights(), both.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_overwritten_and_nothing_left_behind(tmp_path):
    path = tmp_path / "taken.zip"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="taken.zip exists already"):
        save(path, made())
    assert path.read_text() == "mine"
    with pytest.raises(ValueError, match="card is empty"):
        save(tmp_path / "other.zip", made(), card=" ")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken.zip"]


class Own(keras.layers.Layer):
    """A layer that only this test knows."""

    def call(self, x):
        return x


MISFITS = {
    "names": ({"class_names": ("a",)}, "expected 2 different names"),
    "same names": ({"class_names": ("a", "a")}, "expected 2 different names"),
    "no word on pictures": ({"preprocess": {"text": TOKENIZER}}, "'pad'.*or 'crop'"),
    "no tokenizer": (
        {"preprocess": {"image": "pad"}},
        r"'text' has shape \(6,\).*tokenizer",
    ),
    "another length": (
        {"preprocess": {**PREPROCESS, "text": WordTokenizer.fit(["fever"], length=5)}},
        r"WordTokenizer of length 5.*\(6,\)",
    ),
    "a function": (
        {"preprocess": {**PREPROCESS, "text": str.split}},
        "expected one of WordToken",
    ),
    "unknown": (
        {"preprocess": {**PREPROCESS, "audio": TOKENIZER}},
        "'audio', which the model does not take",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit_the_model_is_refused(misfit, tmp_path):
    changes, message = MISFITS[misfit]
    with pytest.raises(ValueError, match=message) as caught:
        save(tmp_path / "x.zip", made(), **changes)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_models_that_could_not_be_asked_are_refused(tmp_path):
    series = keras.Input((10, 3), name="vibration")
    h = keras.layers.Dense(2)(keras.layers.Flatten()(series))
    with pytest.raises(ValueError, match="'vibration' has shape .*expected a picture"):
        save(tmp_path / "x.zip", keras.Model(series, h), preprocess={})
    x = keras.Input((28, 28, 1), name="image")
    h = keras.layers.Dense(2)(keras.layers.Flatten()(Own(name="mine")(x)))
    with pytest.raises(ValueError, match=r"layer 'mine' \(Own\) is code that another"):
        save(tmp_path / "x.zip", keras.Model(x, h), preprocess={"image": "pad"})
    scaled = keras.layers.Lambda(lambda pixels: pixels / 255, name="scale")(x)
    h = keras.layers.Dense(2)(keras.layers.Flatten()(scaled))
    with pytest.raises(ValueError, match=r"layer 'scale' \(Lambda\) is code"):
        save(tmp_path / "x.zip", keras.Model(x, h), preprocess={"image": "pad"})
    assert list(tmp_path.iterdir()) == []


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1), st.integers(1, 255))
def test_no_damage_goes_unnoticed(folder, place, change):
    whole = (folder / "both.zip").read_bytes()
    at = int(place * (len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= change
    path = folder / "damaged.zip"
    path.write_bytes(damaged)
    try:
        found = saving.load(path)
    except ValueError as error:
        assert "damaged" in str(error) or "no saved model" in str(error)
    else:
        # A byte that does not matter, such as a date in the archive's directory.
        assert found.card == CARD and found.class_names == NAMES
        for one, other in zip(
            made().get_weights(), found.model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_what_is_no_saved_model_is_told_so(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file .*none.zip"):
        saving.load(tmp_path / "none.zip")
    with pytest.raises(ValueError, match=r"note.txt is no saved model"):
        saving.load(folder / "note.txt")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("photo.txt", "hello")
    with pytest.raises(ValueError, match=r"other.zip is no saved model.*bundle.json"):
        saving.load(tmp_path / "other.zip")


def rewritten(source: Path, target: Path, **files: bytes) -> Path:
    """A saved model with some files exchanged."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            key = name.split(".")[0]
            new.writestr(name, files.get(key, old.read(name)))
    return target


def test_an_exchanged_file_and_a_newer_format_are_noticed(folder, tmp_path):
    source = folder / "both.zip"
    path = rewritten(source, tmp_path / "a.zip", card=b"# Certified for hospitals")
    with pytest.raises(ValueError, match="damaged: card.md"):
        saving.load(path)
    with zipfile.ZipFile(source) as archive:
        about = json.loads(archive.read("bundle.json"))
    about["format"] = saving.FORMAT + 1
    path = rewritten(source, tmp_path / "b.zip", bundle=json.dumps(about).encode())
    with pytest.raises(ValueError, match="install the version that made it"):
        saving.load(path)


# --- asking --------------------------------------------------------------------------


def forged(source: Path, path: Path, about=None, plan=None, **files) -> Path:
    """A saved model, changed by someone who knows to mend the checksums."""
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if plan:
        inner = io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(parts["model.keras"])) as old,
            zipfile.ZipFile(inner, "w") as new,
        ):
            for name in old.namelist():
                data = old.read(name)
                new.writestr(name, plan(data) if name == "config.json" else data)
        parts["model.keras"] = inner.getvalue()
    told = json.loads(parts["bundle.json"])
    for name in ("model.keras", "card.md"):
        told["sha256"][name] = hashlib.sha256(parts[name]).hexdigest()
    if about:
        told = about(told) or told
    parts["bundle.json"] = json.dumps(told)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**parts, **files}.items():
            archive.writestr(name, data)
    return path


FORGERIES = {
    "code": (
        {"plan": lambda d: d.replace(b'"Rescaling"', b'"Lambda"')},
        "holds a Lambda, which may run any code",
    ),
    "a file": (
        {"plan": lambda d: d.replace(b'"offset": -1', b'"vocabulary": "/etc/passwd"')},
        "would read the file '/etc/passwd'",
    ),
    "an address in a layer": (
        {"plan": lambda d: d.replace(b'"GlorotUniform"', b'"https://a.b"')},
        "names an address, 'https://a.b'",
    ),
    "an address in a tokenizer": (
        {
            "about": lambda a: a["preprocess"].update(
                text={"kind": "MiniLMTokenizer", "length": 6, "weights": "hf://a/b"}
            )
        },
        "names an address, 'hf://a/b'",
    ),
    "a class that is no more": (
        {"plan": lambda d: d.replace(b"MaskedMean", b"MaskedMedian")},
        "holds a MaskedMedian, which this version has not: see docs/upgrading.md",
    ),
    "a class of the standard library": (
        {"plan": lambda d: d.replace(b'"keras.initializers"', b'"subprocess"')},
        "holds a GlorotUniform of subprocess, which is none of Keras's",
    ),
    "another tokenizer": (
        {"about": lambda a: a["preprocess"]["text"].update(kind="Pickle")},
        "KeyError.*Pickle",
    ),
    "a longer text": (
        {"about": lambda a: a["preprocess"]["text"].update(length=10**9)},
        "of length 1000000000",
    ),
    "no checksum": (
        {"about": lambda a: a["sha256"].pop("model.keras") and None},
        "KeyError.*model.keras",
    ),
    "a class too few": (
        {"about": lambda a: a["class_names"].pop() and None},
        "expected 2 different names",
    ),
    "a list": ({"about": lambda a: [a]}, "TypeError"),
    "an empty card": ({"card.md": ""}, "damaged: card.md"),
    "a bomb": ({"filling": bytes(10**8)}, "would unpack to 100 MB"),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_a_forged_file_is_refused_in_one_line(kind, folder, tmp_path):
    changes, message = FORGERIES[kind]
    path = forged(folder / "both.zip", tmp_path / "forged.zip", **changes)
    with pytest.raises(ValueError, match=message) as caught:
        saving.load(path)
    assert str(caught.value).startswith(f"{path} is no saved model")
    assert "\n" not in str(caught.value)


def test_forging_changes_nothing_else(folder, tmp_path, both):
    path = forged(folder / "both.zip", tmp_path / "same.zip", plan=lambda data: data)
    for one, other in zip(
        saving.load(path).model.get_weights(), both.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_file_string_and_path_are_the_same_note(both, folder, monkeypatch):
    monkeypatch.chdir(folder)
    from_string = both.classify(image="x.png", text=NOTE)
    assert both.classify(image="x.png", text="note.txt") == from_string
    assert both.classify(image=Path("x.png"), text=Path("note.txt")) == from_string
    (folder / "bom.txt").write_text(NOTE, encoding="utf-8-sig")
    assert both.classify(image="x.png", text="bom.txt") == from_string
    assert both.classify(image="x.png", text="fever cough") != from_string


def test_a_picture_of_another_size_and_kind_is_the_same_picture(both, tmp_path):
    # Smooth, so that enlarging and reducing it loses nothing.
    wave = np.sin(np.linspace(0, 3, 28))[:, None] * np.linspace(0.2, 1, 36)
    grey = np.rint(250 * wave).astype("uint8")[..., None]
    expected = shares(both.classify(image=written(tmp_path / "g.png", grey), text=NOTE))
    picture = Image.fromarray(grey[..., 0])
    variants = {
        "rgb.png": picture.convert("RGB"),
        "rgba.png": picture.convert("RGBA"),
        "palette.png": picture.convert("P"),
        "large.png": picture.resize((360, 280), Image.Resampling.BICUBIC),
        "photo.jpg": picture,
        "deep.png": Image.fromarray(np.asarray(picture).astype("uint16") * 257),
    }
    other = written(tmp_path / "other.png", 255 - grey)
    gap = np.abs(shares(both.classify(image=other, text=NOTE)) - expected).max()
    assert gap > 0.01
    for name, variant in variants.items():
        variant.save(tmp_path / name, **({"quality": 98} if name[-3:] == "jpg" else {}))
        found = shares(both.classify(image=tmp_path / name, text=NOTE))
        np.testing.assert_allclose(found, expected, atol=gap / 5, err_msg=name)


def test_the_middle_of_a_wide_picture_is_taken(both, tmp_path):
    wide = np.zeros((28, 96, 1), "uint8")
    wide[:, 30:66] = pixels()
    whole = written(tmp_path / "wide.png", wide)
    middle = written(tmp_path / "middle.png", pixels())
    assert_close(
        shares(both.classify(image=whole, text=NOTE)),
        shares(both.classify(image=middle, text=NOTE)),
        atol=1e-6,
    )


def test_a_saved_model_reads_files_as_its_data_set_did(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["file,label"]
    for n in range(20):
        shape = [(30, 60, 3), (60, 30, 3), (40, 40, 4)][n % 3]
        noise = rng.integers(0, 256, shape).astype("uint8")
        Image.fromarray(noise).save(tmp_path / f"{n}.png")
        lines.append(f"{n}.png,{NAMES[n % 2]}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    data = datasets.from_folder(tmp_path, tmp_path / "list.csv", text=None, size=28)
    model = fuse([encoders.image.cnn((28, 28, 3), filters=(4,))], head=2)
    fill(model)
    path = tmp_path / "own.zip"
    save(path, model, preprocess={"image": "pad"}, class_names=data.class_names)
    asked = saving.load(path)
    expected = model.predict(data.train.xy("image")[0], verbose=0)
    for row, number in zip(expected, data.train.index, strict=True):
        answer = asked.classify(image=tmp_path / f"{number}.png")
        assert_close(shares(answer), row, atol=1e-5)


def test_a_camera_s_note_on_orientation_is_followed(both, tmp_path):
    upright = written(tmp_path / "up.png", pixels())
    turned = Image.fromarray(np.rot90(pixels()[..., 0]).copy())
    exif = turned.getexif()
    exif[0x0112] = 6  # "turn by a quarter to the right to see it upright"
    turned.save(tmp_path / "turned.png", exif=exif)
    assert_close(
        shares(both.classify(image=tmp_path / "turned.png", text=NOTE)),
        shares(both.classify(image=upright, text=NOTE)),
        atol=1e-6,
    )


def test_a_colour_model_takes_a_grey_picture(tmp_path):
    model = made(channels=3)
    asked = saving.load(save(tmp_path / "colour.zip", model))
    x = np.repeat(pixels(), 3, axis=-1)[None].astype("float32")
    expected = model.predict({"image": x, "text": TOKENIZER([NOTE])}, verbose=0)
    grey = written(tmp_path / "grey.png", pixels())
    assert_close(shares(asked.classify(image=grey, text=NOTE)), expected[0], atol=1e-5)


def test_an_absent_modality_is_told_to_a_model_that_can_do_without(lacking, folder):
    model, x = made(presence=True), pixels()[None].astype("float32")
    blank = {"image": np.full_like(x, 99), "text": TOKENIZER(["at all"])}
    cases = {
        (1, 0): ({"image": folder / "x.png"}, {**blank, "image": x}),
        (0, 1): ({"text": NOTE}, {**blank, "text": TOKENIZER([NOTE])}),
    }
    for here, (given_, inputs) in cases.items():
        flags = zip(("image", "text"), np.array(here)[:, None], strict=True)
        inputs["presence"] = dict(flags)
        (expected,) = model.predict(inputs, verbose=0)
        assert_close(shares(lacking.classify(**given_)), expected, atol=1e-5)
    with pytest.raises(ValueError, match="needs one or more of image, text"):
        lacking.classify()


@pytest.fixture(scope="module")
def bad_files(folder) -> Path:
    (folder / "fake.png").write_text("this is no picture")
    (folder / "cut.png").write_bytes((folder / "x.png").read_bytes()[:200])
    written(folder / "blank.png", np.full((30, 30, 1), 7, "uint8"))
    (folder / "empty.txt").write_text(" \n")
    (folder / "latin.txt").write_bytes("Fièvre".encode("latin-1"))
    return folder


PICTURE = {"image": "x.png"}
BAD = {
    "no picture file": ({"image": "none.png", "text": NOTE}, "no file 'none.png'"),
    "no picture": ({"image": "fake.png", "text": NOTE}, "fake.png cannot be read"),
    "half a picture": ({"image": "cut.png", "text": NOTE}, "cut.png cannot be read"),
    "blank picture": ({"image": "blank.png", "text": NOTE}, "blank: every pixel is 7"),
    "a folder": ({"image": ".", "text": NOTE}, "there is no file"),
    "an array": ({"image": pixels(), "text": NOTE}, "of type ndarray, expected a file"),
    "no note file": ({**PICTURE, "text": "none.txt"}, "no file 'none.txt'"),
    "empty note": ({**PICTURE, "text": ""}, "holds no word"),
    "empty file": ({**PICTURE, "text": "empty.txt"}, "holds no word"),
    "no words": ({**PICTURE, "text": "...!"}, "holds no word"),
    "other language": ({**PICTURE, "text": "发热三天"}, "knows none of its words"),
    "encoding": ({**PICTURE, "text": "latin.txt"}, "latin.txt is not UTF-8"),
    "none": ({**PICTURE, "text": None}, "of type NoneType, expected .*leave out"),
    "missing note": (PICTURE, "'text' is missing.*all of image, text"),
    "missing picture": ({"text": NOTE}, "'image' is missing"),
    "unknown": ({**PICTURE, "text": NOTE, "audio": "a.wav"}, "'audio' is unknown"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line(case, both, bad_files, monkeypatch):
    monkeypatch.chdir(bad_files)
    given_, message = BAD[case]
    with pytest.raises((ValueError, TypeError, OSError), match=message) as caught:
        both.classify(**given_)
    assert "\n" not in str(caught.value)


def test_an_answer_that_is_no_probability_is_refused(folder, tmp_path):
    diverged = made()
    head = diverged.layers[-1]
    head.set_weights([np.full_like(w, np.nan) for w in head.get_weights()])
    parts = [encoders.image.cnn((28, 36, 1), filters=(4,))]
    logits = fuse(parts, head=keras.layers.Dense(2, bias_initializer="ones"))
    cases = {
        "nan.zip": (diverged, PREPROCESS, {"text": NOTE}),
        "logits.zip": (logits, {"image": "crop"}, {}),
    }
    for name, (model, preprocess, note) in cases.items():
        asked = saving.load(save(tmp_path / name, model, preprocess=preprocess))
        with pytest.raises(ValueError, match="expected probabilities"):
            asked.classify(image=folder / "x.png", **note)


def test_the_answer_is_that_of_the_model_in_its_order(both, folder):
    answer = both.classify(image=folder / "x.png", text=NOTE)
    x = {"image": pixels()[None].astype("float32"), "text": TOKENIZER([NOTE])}
    assert_close(shares(answer), to_numpy(both.model(x))[0], atol=1e-5)
    assert answer.class_name == max(answer.probabilities, key=answer.probabilities.get)
    assert tuple(answer.probabilities) == NAMES
    told = saving.Answer("b", {"a": 0.25, "b": 0.75})
    assert str(told) == "b 75.0 %, a 25.0 %"


def test_one_modality_alone_can_be_saved(tmp_path, folder):
    reader = encoders.text.bag(len(TOKENIZER.vocabulary), TOKENIZER.length, embed_dim=4)
    path = save(
        tmp_path / "words.zip", fuse([reader], head=2), preprocess={"text": TOKENIZER}
    )
    words = saving.load(path)
    assert words.classify(text=folder / "note.txt") == words.classify(text=NOTE)
    viewer = fuse([encoders.image.cnn((28, 36, 1), filters=(4,))], head=2)
    seen = saving.load(
        save(tmp_path / "picture.zip", viewer, preprocess={"image": "pad"})
    )
    assert seen.classify(image=folder / "x.png").class_name in NAMES
    with pytest.raises(ValueError, match="'text' is unknown to this model: give image"):
        seen.classify(image=folder / "x.png", text=NOTE)
