"""Chest X-rays of case reports, with their notes (data card: `data/covid_cxr.md`)."""

import io
import re

import numpy as np

from mmlearn.datasets import sources
from mmlearn.datasets.base import MultimodalDataset, Split
from mmlearn.datasets.splits import grouped_split, linked

CLASS_NAMES = ("other finding", "COVID-19")
MASK = "[MASK]"
LICENCES = ("all", "open")

DIAGNOSES = (
    r"(?:novel[- ]|2019[- ])?coronavirus(?: disease)?(?: 2019)?",
    r"(?:novel[- ])?covid(?:[- ]?19)?",
    r"sars[- ]cov(?:[- ]?2)?",
    r"2019[- ]ncov",
    r"pneumonia[es]?",
    r"(?:broncho)?pneumonic",
    r"bronchopneumonia",
    r"pneumocyst\w+(?: (?:jiroveci\w?|carinii))?",
    r"pcp",
    r"a?rds",
    r"(?:acute |adult )?respiratory distress(?: syndrome)?",
    r"legionell\w+(?: pneumophil\w+)?",
    r"legionnaires\W? disease",
    r"(?:strepto|pneumo)cocc\w+(?: pneumoniae)?",
    r"klebsiell\w+(?: pneumoniae)?",
    r"e(?:scherichia|\.) ?coli",
    r"mycoplasm\w+(?: pneumoniae)?",
    r"varicell\w+(?:[- ]zoster)?",
    r"chicken ?pox",
    r"influenza\w*",
    r"h1n1",
    r"lipoid",
)
"""What counts as naming a diagnosis: regular expressions of whole words."""

_SHARES = (0.6, 0.2, 0.2)


def covid_cxr(
    mask_diagnosis: bool = True, licence: str = "all", seed: int = 0
) -> MultimodalDataset:
    """Load frontal chest X-rays of case reports, with the notes that came with them.

    The modalities are `image`, uint8 (N, 160, 160, 1), and `text`, strings (N,); a
    picture without a note has `""`. Class 1 is COVID-19, also with ARDS; class 0 is
    every other entry: other infections, ARDS without it, lipoid pneumonia, and no
    finding. 60 % of the samples are for training, 20 % each for validation and test;
    `groups` are the patients, and none is in two splits. Patients who share a picture
    or a note count as one. `index` is the row in the file, see `records`.

    Source: Cohen et al. 2020, https://arxiv.org/abs/2006.11988. Each picture has its
    own licence, most of them for non-commercial use only. There is no stand-in, and no
    download: the file is prepared from the authors' collection.

    Args:
        mask_diagnosis: Whether `MASK` replaces the words that name a diagnosis
            (`DIAGNOSES`); without it, the notes give many labels away.
        licence: `"all"`, or `"open"` for CC BY and CC BY-SA only.
        seed: Seeds the splits.

    Returns:
        The data set, always real.

    Raises:
        ValueError: If an argument is out of its range.
        SourceError: If the file cannot be had, or is damaged.
    """
    if licence not in LICENCES:
        raise ValueError(
            f"licence is {licence!r}: choose one of {', '.join(map(repr, LICENCES))}"
        )
    table = records()
    labels = np.array(["COVID-19" in name for name in table["finding"]], dtype="int64")
    texts = table["clinical_notes"].astype(object)
    groups = linked(table["patientid"], table["image_jpeg"], texts)
    if mask_diagnosis:
        texts = np.array([mask(text) for text in texts], dtype=object)
    index = np.arange(len(labels))
    if licence == "open":
        index = np.flatnonzero(["-NC" not in name for name in table["license"]])
    images = np.stack([_decode(table["image_jpeg"][row]) for row in index])
    inputs = {"image": images, "text": texts[index]}
    whole = Split(inputs, labels[index], index, groups[index])
    train, val, test = grouped_split(whole.groups, whole.labels, _SHARES, seed)
    return MultimodalDataset(
        name="covid_cxr",
        source="real",
        class_names=CLASS_NAMES,
        train=whole.take(train),
        val=whole.take(val),
        test=whole.take(test),
    )


def records() -> dict[str, np.ndarray]:
    """Return the table behind `covid_cxr`, one row for each picture.

    Returns:
        Column → array (279,): `image_jpeg` (bytes, 160 × 160 grey), and strings, `""`
        where nothing is known: `patientid`, `finding`, `age` in years, `sex`,
        `temperature` in °C, `pO2_saturation` in %, `view`, `license`, `url`, `doi`,
        `clinical_notes` and others.

    Raises:
        SourceError: If the file cannot be had, or is damaged.

    Example:
        `records()["license"][data.test.index]`
    """
    with np.load(sources.require("covid_cxr"), allow_pickle=False) as file:
        table = {name: file[name] for name in file.files}
    packed, offsets = table.pop("image_jpeg").tobytes(), table.pop("image_offsets")
    pictures = np.empty(len(offsets) - 1, dtype=object)
    for row, (start, end) in enumerate(zip(offsets[:-1], offsets[1:], strict=True)):
        pictures[row] = packed[start:end]
    return {"image_jpeg": pictures, **table}


def mask(text: str) -> str:
    """Replace the words that name a diagnosis.

    Args:
        text: A note.

    Returns:
        The note with `MASK` in place of each match of `DIAGNOSES`, in any case.
    """
    return _NAMED.sub(MASK, text)


_NAMED = re.compile(rf"(?<!\w)(?:{'|'.join(DIAGNOSES)})(?!\w)", re.IGNORECASE)


def _decode(packed: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(packed)).convert("L"))[..., None]
