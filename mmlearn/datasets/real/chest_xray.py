"""Chest X-rays with made-up notes (data card: `data/chest_xray_notes.md`)."""

import hashlib
from pathlib import Path

import numpy as np

from mmlearn.datasets import sources
from mmlearn.datasets.base import SPLITS, MultimodalDataset, Split
from mmlearn.datasets.simulated import notes

CLASS_NAMES = ("normal", "pneumonia")

SIZES = {"train": (1214, 3494), "val": (135, 389), "test": (234, 390)}
"""Split → pictures of each class in the official split; drawn ones are as many."""

_SIDE = 28
_REPEATED = 8  # training pictures that recur in validation, as in the shared file


def chest_xray_notes(
    num_train: int | None = None,
    informativeness: float = 1.0,
    language: str = "en",
    findings: bool = False,
    keep_duplicates: bool = False,
    seed: int = 0,
) -> MultimodalDataset:
    """Load chest X-rays of children, each with a note made for it.

    The modalities are `image`, uint8 (N, 28, 28, 1), and `text`, strings (N,). The
    pictures are PneumoniaMNIST, in its own splits. The notes are drawn from the label
    by a stated model (`simulated.notes`): `notes_limit` tells how well the text
    alone could do at best. Given the label, picture and note are independent. Where the
    pictures cannot be had, drawn ones stand in.

    `groups` are the patients. The source names none, so each picture is a patient; its
    number comes from the picture's bytes, so that copies of a picture share it, and
    their note. `index` is the position in the split of the source.

    Source: Yang et al. 2023, https://doi.org/10.1038/s41597-022-01721-8, CC BY 4.0; the
    pictures are from Kermany et al. 2018, https://doi.org/10.1016/j.cell.2018.02.010.

    Args:
        num_train: Training samples to keep, the classes in proportion; none means all.
        informativeness: How much the notes say about the label, from 0, nothing.
        language: Of the notes, `"en"` or `"zh"`; they say the same in both.
        findings: Whether to add the modality `findings`, int8 (N, 10): what each note
            says of `notes.FINDINGS`, as a position in `notes.STATES`.
        keep_duplicates: Whether to keep training pictures that recur in validation or
            test, and validation ones that recur in test: a leak, for teaching.
        seed: Seeds the notes and the choice of `num_train` samples. A patient's note
            depends on neither the other arguments but `informativeness` and `language`,
            nor on the other patients.

    Returns:
        The data set; `source` says whether the pictures are real.

    Raises:
        ValueError: If an argument is out of its range.
        SourceError: If a data file is damaged.
    """
    notes.check(informativeness, language)
    found = sources.obtain("pneumoniamnist")
    if found is None:
        print(
            "STAND-IN DATA: drawn pictures of chests instead of PneumoniaMNIST; "
            "figures will differ from those in the prose"
        )
    loaded = _read(found[0]) if found else _drawn()
    parts, held_out = {}, set()
    # Test first: where a picture is in two splits, the training copy goes.
    for name in reversed(SPLITS):
        images, labels = loaded[name]
        patients = _patients(images)
        said = notes.draw(labels, patients, informativeness, seed)
        text = notes.write(said, patients, language, seed)
        inputs = {"image": images, "text": text}
        if findings:
            inputs["findings"] = said
        part = Split(inputs, labels, np.arange(len(labels)), patients)
        if not keep_duplicates:
            part = part.take(~np.isin(patients, list(held_out)))
        held_out.update(patients.tolist())
        parts[name] = part
    data = MultimodalDataset(
        name="chest_xray_notes",
        source="real" if found else "stand-in",
        class_names=CLASS_NAMES,
        **parts,
    )
    return data if num_train is None else data.subset(num_train, seed)


def _patients(images: np.ndarray) -> np.ndarray:
    """Return a whole number below 2^63 for each picture, equal for equal pictures."""
    digests = [hashlib.sha256(image.tobytes()).digest() for image in images]
    return np.array([int.from_bytes(digest[:8]) >> 1 for digest in digests])


def _read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    with np.load(path, allow_pickle=False) as file:
        return {
            name: (
                file[f"{name}_images"].reshape(-1, _SIDE, _SIDE, 1),
                file[f"{name}_labels"].astype("int64").ravel(),
            )
            for name in SPLITS
        }


def _drawn() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    drawn = {}
    for name, counts in SIZES.items():
        labels = rng.permutation(np.repeat([0, 1], counts))
        drawn[name] = draw(labels, rng), labels
    for row in range(_REPEATED):
        images, labels = drawn["val"]
        images[row] = drawn["train"][0][
            np.flatnonzero(drawn["train"][1] == labels[row])[row]
        ]
    return drawn


def draw(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw pictures that look a little like chest X-rays.

    Two dark lungs in a bright body, with heart, spine and ribs, in varying size, place,
    exposure and noise. Class 1 has one to three bright patches in the lungs, some of
    them faint. Every picture has bright vessels near the heart, which look like them.

    Args:
        labels: 0 or 1, shape (N,).
        rng: Source of randomness.

    Returns:
        Pictures, uint8 (N, 28, 28, 1).
    """
    num = len(labels)

    def uniform(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (num, 1, 1))

    def blob(x, y, width, height) -> np.ndarray:
        return np.exp(-(((across - x) / width) ** 2) - ((down - y) / height) ** 2)

    axis = np.linspace(-1, 1, _SIDE)
    size = uniform(0.85, 1.15)
    across = (axis + uniform(-0.12, 0.12)) / size
    down = (axis[:, None] + uniform(-0.12, 0.12)) / size
    across = across + uniform(-0.1, 0.1) * down

    side = np.array([-1, 1])
    wide, high, apart = uniform(0.28, 0.36), uniform(0.55, 0.75), uniform(0.4, 0.48)
    lungs = 0
    for sign in side:
        out = ((across - sign * apart) / wide) ** 2 + ((down + 0.05) / high) ** 2
        lungs = lungs + 1 / (1 + np.exp(np.clip(8 * (out - 1), -30, 30)))
    body = 1 / (1 + np.exp(np.clip(14 * (np.abs(across) - 0.95), -30, 30)))
    bright = 0.75 * body - uniform(0.35, 0.5) * lungs
    bright = bright + uniform(0.2, 0.4) * blob(0.1, 0.3, uniform(0.25, 0.45), 0.35)
    bright = bright + uniform(0.05, 0.15) * blob(0, 0, 0.1, 3)
    ribs = np.sin(uniform(14, 18) * (down + 0.15 * across**2) + uniform(0, 6))
    bright = bright + uniform(0.02, 0.06) * ribs * lungs
    for sign in side:
        vessels = blob(sign * 0.22, uniform(-0.1, 0.2), uniform(0.1, 0.25), 0.25)
        bright = bright + uniform(0, 0.2) * vessels
    patches = np.where(labels == 1, rng.integers(1, 4, num), 0)
    for number in range(3):
        place = blob(
            rng.choice(side, (num, 1, 1)) * (apart + uniform(-0.15, 0.15)),
            uniform(-0.45, 0.5),
            uniform(0.1, 0.3),
            uniform(0.1, 0.3),
        )
        there = (patches > number)[:, None, None]
        bright = bright + there * uniform(0.02, 0.4) * place * lungs
    bright = (bright - 0.4) * uniform(0.7, 1.1) + 0.5 + uniform(-0.1, 0.1)
    bright = bright + rng.normal(size=bright.shape) * uniform(0.02, 0.05)
    return np.clip(255 * bright, 0, 255).astype("uint8")[..., None]
