"""Emoji: small pictures with their names in two languages (`data/emoji.md`)."""

import csv
from collections.abc import Sequence

import numpy as np

from mmlearn.datasets import sources
from mmlearn.datasets.base import MultimodalDataset, Split
from mmlearn.datasets.splits import grouped_split, linked

VENDORS = ("noto", "twemoji", "openmoji", "fluent")
LANGUAGES = ("en", "zh")
TEXTS = ("name", "keywords")

_PICTURES = ("emoji_noto_twemoji_fluent_32.npz", "emoji_openmoji_32.npz")
_SHARES = (0.6, 0.2, 0.2)


def emoji(
    vendors: str | Sequence[str] = "noto",
    language: str = "en",
    text: str = "name",
    seed: int = 0,
) -> MultimodalDataset:
    """Load emoji: a picture by one or more vendors, a short text, and the group.

    The modalities are `image`, uint8 (N, 32, 32, 3), on white ground, and `text`,
    strings (N,). The classes are Unicode's nine groups, from "Smileys & Emotion" to
    "Flags". All of it is real and in the repository: 1,906 emoji without skin tones.

    A sample is one emoji as one vendor draws it; the samples stand vendor by vendor.
    `fluent` has not drawn 312 of them, most of them flags: those are left out. `index`
    is the row in `records`, the same for every vendor.

    60 % of the emoji are for training, 20 % each for validation and test, by family:
    `groups` are the families, and none is in two splits. A family holds the variants of
    person, gender and direction of one emoji, and what any of the four vendors draws
    alike, byte by byte, such as the flags of France and of Saint Martin. The split
    depends on `seed` alone. So what is trained on one vendor's `train` can be tested on
    another vendor's `test`, whose emoji it has not seen.

    Many names give the group away, honestly: "flag: Italy", "Japanese “here” button".

    Source: Unicode CLDR 48.2 (names), and the vendors' pictures, each under a licence
    of its own: see the card.

    Args:
        vendors: Who drew the pictures: one or more of `VENDORS`.
        language: Of the text, `"en"` or `"zh"`.
        text: `"name"`, the short name; or `"keywords"`, CLDR's search words.
        seed: Seeds the splits.

    Returns:
        The data set, always real.

    Raises:
        ValueError: If an argument is out of its range.
        SourceError: If a data file is damaged.
    """
    vendors = (vendors,) if isinstance(vendors, str) else tuple(vendors)
    if not vendors or set(vendors) - set(VENDORS) or len(set(vendors)) < len(vendors):
        raise ValueError(
            f"vendors is {vendors}: choose one or more of {', '.join(VENDORS)}, each "
            "once"
        )
    for name, value, known in (("language", language, LANGUAGES), ("text", text, TEXTS)):
        if value not in known:
            raise ValueError(f"{name} is {value!r}: choose one of {', '.join(known)}")
    table, drawn = records(), pictures()
    class_names, labels = np.unique(table["group"], return_inverse=True)
    # In Unicode's order, which is the table's.
    first = np.unique(labels, return_index=True)[1]
    class_names, labels = class_names[np.argsort(first)], np.argsort(np.argsort(first))[labels]
    alike = [[picture.tobytes() if picture.any() else b"" for picture in drawn[vendor]] for vendor in VENDORS]
    groups = linked(table["family"], *alike)
    texts = np.array([" ".join(said.split(" | ")) for said in table[f"{text}_{language}"]], dtype=object)
    parts = []
    for rows in grouped_split(groups, labels, _SHARES, seed):
        there = [rows[table[f"has_{vendor}"][rows] == "1"] for vendor in vendors]
        images = [_on_white(drawn[v][there_v]) for v, there_v in zip(vendors, there, strict=True)]
        index = np.concatenate(there)
        inputs = {"image": np.concatenate(images), "text": texts[index]}
        parts.append(Split(inputs, labels[index], index, groups[index]))
    return MultimodalDataset("emoji", "real", tuple(class_names.tolist()), *parts)
