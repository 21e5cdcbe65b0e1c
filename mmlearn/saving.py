"""A trained model with all that it needs to answer: save it, load it elsewhere, ask it.

A saved model is one zip file: `model.keras`, `card.md` (the data card) and
`bundle.json` (class names, preprocessing, versions, checksums). The checksums find
damage, not malice; what `load` refuses keeps out code, addresses and bombs, but says
nothing of what the model was trained to answer.
"""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

import mmlearn

# Importing `models` and `encoders` registers the classes that a saved model names.
from mmlearn import encoders, files, models, text
from mmlearn.datasets import sources
from mmlearn.datasets.own import pictures

FORMAT = 1  # version of the files' layout

_TOKENIZERS = {
    "WordTokenizer": text.WordTokenizer.from_config,
    "MiniLMTokenizer": lambda config: encoders.pretrained.MiniLMTokenizer(**config),
}
_MODEL, _CARD, _ABOUT = "model.keras", "card.md", "bundle.json"
_PLAN = "config.json"  # within model.keras
_UNSAFE = {"Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer"}
# Where a fresh process can find a layer's class.
_KNOWN = {"keras", "keras_hub", mmlearn.__name__}


class Answer(NamedTuple):
    """What a model says of one sample: its class, and every class's probability."""

    class_name: str
    probabilities: dict[str, float]

    def __str__(self) -> str:
        ranked = sorted(self.probabilities.items(), key=lambda pair: -pair[1])
        return ", ".join(f"{name} {100 * share:.1f} %" for name, share in ranked)


@dataclass(frozen=True)
class LoadedModel:
    """A trained model with its preprocessing. Make one with `load`.

    Attributes:
        model: Takes a dict of arrays, gives class probabilities.
        preprocess: Modality of text → its tokenizer; of pictures → how one is fitted.
        class_names: In the order of the model's outputs.
        card: The data card: what the model was trained on, and its limits.
    """

    model: keras.Model
    preprocess: Mapping[str, Any]
    class_names: tuple[str, ...]
    card: str

    def classify(self, **given: str | Path) -> Answer:
        """Classify one sample from files.

        A picture is turned upright as its camera says, made grey or coloured, on white
        where it is transparent, and padded or cropped to the model's size, as `save`
        was told. 16-bit grey values are divided by 257. A text longer than the
        tokenizer's length is cut.

        Args:
            **given: Modality → for a picture, its file; for a text, the text itself, or
                its file: a `Path`, or a name that ends in `.txt`. With a model that has
                a `presence` input, any but one may be left out.

        Returns:
            The most likely class, and the probability of each.

        Raises:
            TypeError: If a modality is given as neither a string nor a path.
            FileNotFoundError: If a file does not exist.
            ValueError: If a modality is missing or unknown, a picture unreadable or
                blank, a text empty, not UTF-8 or without any word that is known, or the
                model's outputs are no probabilities.

        Example:
            `load("chest.zip").classify(image="x.png", text="note.txt")`
        """
        names = list(_shapes(self.model))
        may_lack = len(names) < len(self.model.inputs)
        if unknown := [name for name in given if name not in names]:
            raise ValueError(
                f"modality {unknown[0]!r} is unknown to this model: give "
                f"{', '.join(names)}"
            )
        absent = [name for name in names if name not in given]
        if absent and not (may_lack and given):
            raise ValueError(
                f"modality {absent[0]!r} is missing: this model needs "
                f"{'one or more' if may_lack else 'all'} of {', '.join(names)}"
            )
        inputs = {name: self._row(name, given) for name in names}
        if may_lack:
            inputs["presence"] = {n: np.array([n in given]) for n in names}
        inputs = models.inputs_from(self.model, inputs)
        (shares,) = self.model.predict(inputs, verbose=0).astype(float)
        # NaN fails this test, too.
        if not (shares.min() >= 0 and abs(shares.sum() - 1) < 0.01):
            raise ValueError(
                f"the model answers {shares.tolist()}, expected probabilities: end it "
                "in a softmax, and see whether training diverged"
            )
        said = dict(zip(self.class_names, shares.tolist(), strict=True))
        return Answer(max(said, key=said.get), said)

    def _row(self, name: str, given: Mapping) -> np.ndarray:
        """One modality as the model takes it, (1, ...); zeros where it is absent."""
        shape = _shapes(self.model)[name]
        if name not in given:
            # A picture of any size: one pixel will not do for every network.
            return np.zeros((1, *(224 if n is None else n for n in shape)), "float32")
        value = given[name]
        if not isinstance(value, str | os.PathLike):
            raise TypeError(
                f"{name} is of type {type(value).__name__}, expected a file name or "
                "a text; leave out what is absent"
            )
        if len(shape) == 1:
            return _ids(name, value, self.preprocess[name])
        return _picture(name, Path(value), shape, self.preprocess.get(name, "crop"))


def save(
    path: str | Path,
    model: keras.Model,
    preprocess: Mapping[str, Any],
    card: str,
    class_names: Sequence[str],
) -> Path:
    """Write a model with its preprocessing and data card to one new zip file.

    The file is complete or not there at all: it is written under another name, loaded
    again on trial, and moved into place.

    Args:
        path: The file to write.
        model: A classifier of pictures (B, height, width, 1 or 3), texts as ids
            (B, length), or both; a further input `presence` says what is there. Its
            pixels are 0 to 255: scaling is a part of it.
        preprocess: Modality of text → its tokenizer (`text.WordTokenizer` or
            `encoders.pretrained.MiniLMTokenizer`); of pictures of a given size → how
            the training pictures were made to fit: `"pad"` with a black border (as
            `datasets.from_folder` does) or `"crop"` to the middle.
        card: The data card, such as `data.card`.
        class_names: In the order of the model's outputs.

    Returns:
        The path.

    Raises:
        FileExistsError: If there is such a file already.
        ValueError: If model, preprocessing and class names do not fit each other, the
            card is empty, or a layer's class cannot be found by another process.
    """
    path = Path(path)
    _check(model, preprocess, card, class_names)
    with files.written(path) as part:
        folder = part.parent / "parts"
        folder.mkdir()
        model.save(folder / _MODEL)
        (folder / _CARD).write_text(card, encoding="utf-8")
        about = {
            "format": FORMAT,
            "versions": {"mmlearn": mmlearn.__version__, "keras": keras.__version__},
            "class_names": list(class_names),
            "preprocess": _told(preprocess),
            "sha256": {name: _digest(folder / name) for name in (_MODEL, _CARD)},
        }
        told = json.dumps(about, ensure_ascii=False, indent=1)
        (folder / _ABOUT).write_text(told, encoding="utf-8")
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (_ABOUT, _CARD, _MODEL):
                archive.write(folder / name, name)
        load(part)
    return path


def load(path: str | Path) -> LoadedModel:
    """Read a model that `save` wrote, on any backend; its checksums are verified.

    Args:
        path: The file.

    Returns:
        The model, ready to `classify`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: In one line, if it is no saved model, is damaged, was made by
            another version, would unpack to far more than its size, names an address or
            a file to be read, holds code, or its parts do not fit each other.

    Example:
        `load("chest.zip").classify(image="x.png", text="note.txt")`
    """
    path = _existing("saved model", Path(path))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        try:
            _unpack(path, (_ABOUT, _CARD, _MODEL), folder)
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            if (version := about["format"]) != FORMAT:
                raise ValueError(
                    f"it has format {version}, this mmlearn reads {FORMAT}: install "
                    "the version that made it"
                )
            for name in (_MODEL, _CARD):
                if _digest(folder / name) != about["sha256"][name]:
                    raise ValueError(f"damaged: {name} is not what was saved")
            _unpack(folder / _MODEL, (_PLAN,), folder)
            plan = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
            _refuse_foreign([plan, about["preprocess"]])
            preprocess = {
                str(name): kind
                if (kind := config.pop("kind")) in pictures.FITS
                else _TOKENIZERS[kind](config)
                for name, config in about["preprocess"].items()
            }
            model = keras.saving.load_model(folder / _MODEL, compile=False)
            class_names = tuple(about["class_names"])
            card = (folder / _CARD).read_text(encoding="utf-8")
            _check(model, preprocess, card, class_names)
        except sources.SourceError:  # a tokenizer's files cannot be had, here and now
            raise
        except Exception as error:  # a file from anywhere can go wrong anywhere
            line = str(error).strip().split("\n")[0][:200]
            kind = "" if type(error) is ValueError else f" ({type(error).__name__})"
            raise ValueError(
                f"{path} is no saved model that this mmlearn can read{kind}: {line}"
            ) from error
    return LoadedModel(model, preprocess, class_names, card)


def _unpack(path: Path, names: Sequence[str], folder: Path) -> None:
    """Unpack files of a zip, unless they are far larger than weights could be."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > 2**26 and size > 20 * path.stat().st_size:
            raise ValueError(
                f"{path.name} would unpack to {size / 1e6:,.0f} MB, which no weights do"
            )
        for name in names:
            archive.extract(name, folder)


def _refuse_foreign(plan: Any) -> None:
    """Refuse layers that run code of their own, files and addresses that are read."""
    if isinstance(plan, str) and "://" in plan:
        raise ValueError(f"it names an address, {plan[:60]!r}, and none is asked")
    if isinstance(plan, Mapping):
        if plan.get("class_name") in _UNSAFE:
            raise ValueError(f"it holds a {plan['class_name']}, which may run any code")
        if "class_name" in plan:
            _refuse_unknown(plan["class_name"], plan)
        if isinstance(plan.get("vocabulary"), str):
            raise ValueError(f"it would read the file {plan['vocabulary'][:60]!r}")
        plan = list(plan.values())
    if isinstance(plan, list):
        for entry in plan:
            _refuse_foreign(entry)


def _refuse_unknown(kind: str, plan: Mapping) -> None:
    module = str(plan.get("module") or "keras")
    if module.split(".")[0] not in _KNOWN | {"builtins"}:
        raise ValueError(f"it holds a {kind} of {module}, which is none of Keras's")
    name = str(plan.get("registered_name"))
    known = keras.saving.get_registered_object(name) is not None
    if name.startswith(f"{mmlearn.__name__}>") and not known:
        raise ValueError(
            f"it holds a {kind}, which this version has not: see docs/upgrading.md"
        )


def _check(model, preprocess: Mapping, card: str, class_names: Sequence[str]) -> None:
    """Refuse what could be saved, but not used."""
    shapes, outputs = _shapes(model), model.output_shape[-1]
    if len(set(class_names)) != len(class_names) or len(class_names) != outputs:
        raise ValueError(
            f"class_names are {list(class_names)}, expected {outputs} different names, "
            "one for each output of the model"
        )
    if not card.strip():
        raise ValueError("card is empty: give the data card, such as data.card")
    if unknown := [name for name in preprocess if name not in shapes]:
        raise ValueError(
            f"preprocess has {unknown[0]!r}, which the model does not take: choose "
            f"from {list(shapes)}"
        )
    for name, shape in shapes.items():
        how = preprocess.get(name)
        if len(shape) == 3 and shape[-1] in (1, 3):
            as_it_is = how is None and None in shape  # pictures of any size
            if how not in pictures.FITS and not as_it_is:
                raise ValueError(
                    f"preprocess[{name!r}] is {how!r}: say how the training "
                    "pictures were made to fit, 'pad' (as datasets.from_folder does) "
                    "or 'crop'"
                )
            continue
        kind, length = type(how).__name__, getattr(how, "length", None)
        if name in preprocess:
            if kind not in _TOKENIZERS or shape != (length,):
                raise ValueError(
                    f"preprocess[{name!r}] is a {kind} of length {length}, expected "
                    f"one of {', '.join(_TOKENIZERS)} that gives shape {shape}"
                )
        else:
            raise ValueError(
                f"modality {name!r} has shape {shape}: expected a picture (height, "
                "width, 1 or 3), or a text with its tokenizer in preprocess"
            )
    plan = keras.saving.serialize_keras_object(model)
    for name, kind, module in _layers(plan):
        if module.split(".")[0] not in _KNOWN or kind == "Lambda":
            raise ValueError(
                f"layer {name!r} ({kind}) is code that another process would not have: "
                "use layers of keras and mmlearn"
            )
    _refuse_foreign([plan, list(_told(preprocess).values())])


def _told(preprocess: Mapping) -> dict[str, dict]:
    """Preprocessing as JSON."""
    return {
        name: {"kind": how}
        if how in pictures.FITS
        else {"kind": type(how).__name__, **how.get_config()}
        for name, how in preprocess.items()
    }


def _layers(plan: Any) -> Iterator[tuple[str, str, str]]:
    """Yield name, class and module of every layer in a model's serialized form."""
    if isinstance(plan, Mapping):
        config = plan.get("config")
        if isinstance(config, Mapping) and {"name", "trainable"} <= set(config):
            yield config["name"], plan["class_name"], plan["module"]
        plan = list(plan.values())
    if isinstance(plan, list | tuple):
        for entry in plan:
            yield from _layers(entry)


def _shapes(model: keras.Model) -> dict[str, tuple]:
    """Each modality's shape, in the model's order; `presence` is none."""
    return {
        tensor.name: tuple(tensor.shape[1:])
        for tensor in model.inputs
        if tensor.name != "presence"
    }


def _ids(name: str, value: str | Path, tokenizer) -> np.ndarray:
    """The ids of a text, shape (1, length)."""
    if isinstance(value, os.PathLike) or value.endswith(".txt"):
        file = _existing(name, Path(value))
        try:
            value = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{name}: {file} is not UTF-8: save it as UTF-8"
            ) from error
    ids = tokenizer([value])
    if not ids.any():
        raise ValueError(f"{name} is {value[:40]!r}: it holds no word")
    if isinstance(tokenizer, text.WordTokenizer) and (ids < 2).all():
        raise ValueError(
            f"{name} is {value[:40]!r}: the model knows none of its words; is it in "
            "another language?"
        )
    return ids


def _picture(name: str, file: Path, shape: tuple, fit: str) -> np.ndarray:
    """A picture's pixels, float32 (1, height, width, channels), 0 to 255."""
    from PIL import Image, ImageOps

    _existing(name, file)
    try:
        with Image.open(file) as picture:
            if picture.mode.startswith("I"):
                # Pillow would cut 16-bit values at 255.
                upright = ImageOps.exif_transpose(picture)
                wide = np.asarray(upright, "float32").clip(0, 65535) / 257
                picture = Image.fromarray(np.rint(wide).astype("uint8"))
            pixels = pictures.fitted(picture, shape[:2], shape[-1], fit)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = str(error) if type(error) is ValueError else type(error).__name__
        raise ValueError(
            f"{name}: {file} cannot be read as a picture ({reason}): "
            "give a PNG or JPEG file"
        ) from error
    if pixels.min() == pixels.max():
        raise ValueError(f"{name}: {file} is blank: every pixel is {pixels.min()}")
    return pixels[None].astype("float32")


def _existing(name: str, path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{name}: there is no file {str(path)!r}")
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
