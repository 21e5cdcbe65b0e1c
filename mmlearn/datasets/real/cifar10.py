"""CIFAR-10 pictures with captions (data card: `data/cifar10_captions.md`)."""

import csv
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np

from mmlearn.datasets import sources
from mmlearn.datasets.base import MultimodalDataset, Split, stratified
from mmlearn.datasets.simulated import drawings, templates

TEXTS = ("caption", "vague", "label", "template")
CAPTIONS = sources.DATA / "cifar10_captions.tsv"

Pictures = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Split → images uint8 (N, 32, 32, 3), labels (N,), index (N,)."""


def cifar10_captions(
    text: str = "vague",
    keep: float = 1.0,
    mismatch: float = 0.0,
    pictures: str = "captioned",
    num_val: int = 500,
    seed: int = 0,
) -> MultimodalDataset:
    """Load CIFAR-10 pictures, each with one short text.

    The modalities are `image`, uint8 (N, 32, 32, 3), and `text`, strings (N,). Where
    CIFAR-10 cannot be had, emoji on coloured grounds stand in, with `template` texts.

    Args:
        text: `"caption"` names what is seen; `"vague"` describes the same picture
            without naming it; `"label"` is the class name (a leak, for teaching);
            `"template"` is made from measured colours and class-dependent words.
        keep: Probability of keeping each word. Words are hidden once, here, never
            redrawn; a text that loses all of them is `""`, the absent text.
        mismatch: Share of the texts of each split that move to another picture.
        pictures: `"captioned"`: 5,000 + 1,000 pictures with a written caption;
            `"all"`: 50,000 + 10,000, with template texts where none was written.
        num_val: Pictures taken from the training split for validation.
        seed: Seeds the validation split, the hidden words and the mismatch.

    Returns:
        The data set; `source` says whether it is real.

    Raises:
        ValueError: If an argument is out of its range.
        SourceError: If a data file is damaged.
    """
    _check_arguments(text, keep, mismatch, pictures)
    found = sources.obtain("cifar10" if pictures == "captioned" else "cifar10_full")
    if found is None:
        print(
            "STAND-IN DATA: emoji with template texts instead of CIFAR-10; "
            "figures will differ from those in the prose"
        )
        loaded = _drawn(seed)
        text = "template" if text != "label" else text
    else:
        loaded = _read(found[0])
    rows = _captions()
    if found and pictures == "captioned":
        loaded = {
            split: _only_captioned(split, *loaded[split], rows) for split in loaded
        }
    rng = np.random.default_rng(seed)
    parts = {}
    for split, (images, labels, index) in loaded.items():
        captions = rows if found else {}
        texts = _texts(text, split, images, labels, index, captions, rng)
        texts = swap(hide_words(texts, keep, rng), mismatch, rng)
        parts[split] = Split({"image": images, "text": texts}, labels, index)
    train, val = stratified(parts["train"].labels, num_val, seed)
    return MultimodalDataset(
        name="cifar10_captions",
        source="real" if found else "stand-in",
        class_names=drawings.CLASS_NAMES,
        train=parts["train"].take(train),
        val=parts["train"].take(val),
        test=parts["test"],
    )


def hide_words(texts: np.ndarray, keep: float, rng: np.random.Generator) -> np.ndarray:
    """Drop each word with probability 1 - `keep`.

    Args:
        texts: Strings, shape (N,).
        keep: Probability of keeping a word, 0 to 1.
        rng: Source of randomness.

    Returns:
        Strings, shape (N,); `""` where every word was dropped.
    """
    hidden = [
        " ".join(word for word in text.split() if rng.random() < keep) for text in texts
    ]
    return np.array(hidden, dtype=object)


def swap(texts: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Move a share of the texts to other rows; none of those keeps its own row.

    Args:
        texts: Strings, shape (N,).
        share: Share of the rows to change, 0 to 1.
        rng: Source of randomness.

    Returns:
        The same strings in another order, shape (N,).
    """
    rows = rng.permutation(len(texts))[: round(share * len(texts))]
    swapped = texts.copy()
    swapped[rows] = texts[np.roll(rows, 1)]
    return swapped


def _check_arguments(text: str, keep: float, mismatch: float, pictures: str) -> None:
    if text not in TEXTS:
        raise ValueError(f"text is {text!r}: choose one of {', '.join(TEXTS)}")
    if pictures not in ("captioned", "all"):
        raise ValueError(f"pictures is {pictures!r}: choose 'captioned' or 'all'")
    for name, value in (("keep", keep), ("mismatch", mismatch)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value}: expected a share from 0 to 1")


def _texts(text, split, images, labels, index, rows, rng) -> np.ndarray:
    names = [drawings.CLASS_NAMES[label] for label in labels]
    if text == "label":
        return np.array(names, dtype=object)
    made = [None if text == "template" else rows.get((split, int(i))) for i in index]
    return np.array(
        [
            row[text] if row else templates.describe(image, name, rng)
            for row, image, name in zip(made, images, names, strict=True)
        ],
        dtype=object,
    )


def _captions() -> dict[tuple[str, int], dict[str, str]]:
    with CAPTIONS.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {(row["split"], int(row["index"])): row for row in rows}


def _only_captioned(split, images, labels, index, rows):
    chosen = np.array([(split, int(i)) in rows for i in index])
    return images[chosen], labels[chosen], index[chosen]


def _drawn(seed: int) -> Pictures:
    drawn = {}
    for number, (split, num_per_class) in enumerate((("train", 500), ("test", 100))):
        images, labels = drawings.pictures(num_per_class, seed=2 * seed + number)
        drawn[split] = images, labels, np.arange(len(labels))
    return drawn


def _read(path: Path) -> Pictures:
    if path.suffix != ".npz":
        return _read_archive(path)
    with np.load(path, allow_pickle=False) as file:
        return {
            split: (
                _decode(file, split),
                _labels(file, split),
                _index(file, split),
            )
            for split in ("train", "test")
        }


def _decode(file, split: str) -> np.ndarray:
    if f"x_{split}" in file:
        return file[f"x_{split}"]
    from PIL import Image

    offsets, packed = file[f"{split}_offsets"], file[f"{split}_jpeg"].tobytes()
    starts_ends = zip(offsets[:-1], offsets[1:], strict=True)
    return np.stack(
        [np.asarray(Image.open(io.BytesIO(packed[a:b]))) for a, b in starts_ends]
    )


def _labels(file, split: str) -> np.ndarray:
    name = f"y_{split}"
    # The copy of all pictures names them otherwise.
    return file[name if name in file else f"{split}_labels"].astype("int64").ravel()


def _index(file, split: str) -> np.ndarray:
    name = f"index_{split}"
    return file[name] if name in file else np.arange(_labels(file, split).size)


def _read_archive(path: Path) -> Pictures:
    # Unpickling is safe here: `obtain` has verified the archive's SHA-256.
    batches = {
        "train": [f"data_batch_{i}" for i in range(1, 6)],
        "test": ["test_batch"],
    }
    loaded = {}
    with tarfile.open(path) as archive:
        for split, names in batches.items():
            members = [archive.extractfile(f"cifar-10-batches-py/{n}") for n in names]
            parts = [pickle.load(member, encoding="bytes") for member in members]
            flat = np.concatenate([part[b"data"] for part in parts])
            labels = np.concatenate([part[b"labels"] for part in parts])
            images = flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            loaded[split] = images, labels.astype("int64"), np.arange(len(labels))
    return loaded
