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
FILES = {
    "emoji.tsv": "dfd26a150ea1ad7ef1b88506e999c3667a5d47fa7db9727c36d6c09ebad39818",
    "emoji_noto_twemoji_fluent_32.npz": (
        "045613124aa306c33244d8b3eef08a2dd2b5fd3768f88ae2926b7fd0440bbae8"
    ),
    "emoji_openmoji_32.npz": (
        "e0aed07b321dc73491a7ba6d7da7c2d69ae598723ead60a774326285ae218d26"
    ),
}
"""The files in `data/` and their SHA-256; `data/make_emoji.py` makes them."""

_SHARES = (0.6, 0.2, 0.2)


def emoji(
    *,
    vendor: str | Sequence[str] = "noto",
    language: str = "en",
    text: str = "name",
    flags: bool = False,
    alpha: bool = False,
    seed: int = 0,
) -> MultimodalDataset:
    """Load emoji: a picture by one or more vendors, a short text, and the group.

    The modalities are `image`, uint8 (N, 32, 32, 3), and `text`, strings (N,). The
    classes are Unicode's groups, such as "Food & Drink". All of it is real and in the
    repository. `index` is the row in `records`, the same for every vendor: a split has
    the same emoji in the same order, whoever drew them.

    60 % of the emoji are for training, 20 % each for validation and test, by family:
    `groups` are the families, and none is in two splits. A family holds the variants of
    person, gender and direction of one emoji, all pictures of parents with children,
    and what any vendor draws alike, pixel by pixel. There are no skin tones. The split
    depends on `seed` alone: what is trained on one vendor's `train` is new to it in
    another vendor's `test`.

    Source: Unicode CLDR 48.2 (names), and the vendors' pictures, each under a licence
    of its own: see the card.

    Args:
        vendor: Who drew the pictures, of `VENDORS`. With several, all emoji of the
            first come first, then all of the second, and so on.
        language: Of the text, `"en"` or `"zh"`.
        text: `"name"`, the short name; or `"keywords"`, CLDR's search words.
        flags: Whether to keep the flags and what `fluent` has not drawn: all 1,906 of
            the other vendors, 1,594 of `fluent`. Without them 1,586 remain, which all
            four have drawn.
        alpha: Whether pictures keep their fourth channel, how opaque a pixel is, to put
            them on other grounds (`on_ground`); they are on white without it.
        seed: Seeds the splits.

    Returns:
        The data set, always real.

    Raises:
        ValueError: If an argument is out of its range.
        SourceError: If a data file is damaged.

    Example:
        `emoji(vendor=("noto", "twemoji")).train.xy("image")`
    """
    vendors = (vendor,) if isinstance(vendor, str) else tuple(vendor)
    if not vendors or set(vendors) - set(VENDORS) or len(set(vendors)) < len(vendors):
        raise ValueError(
            f"vendor is {vendor!r}: choose one or more of {', '.join(VENDORS)}, each "
            "once"
        )
    for name, value, known in (
        ("language", language, LANGUAGES),
        ("text", text, TEXTS),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}: choose one of {', '.join(known)}")
    table, drawn = records(), pictures()
    groups = table["group"]
    kept = drawn["fluent"].any(axis=(1, 2, 3)) & (groups != "Flags")
    class_names = tuple(dict.fromkeys(groups[kept | flags].tolist()))
    # Those that are left out are dealt, too, so that `flags` moves no emoji.
    _, numbers = np.unique(groups, return_inverse=True)
    family = np.where(table["subgroup"] == "family", "family", table["family"])
    alike = (
        [image.tobytes() if there else b"" for image, there in zip(*seen, strict=True)]
        for seen in ((on_ground(p), p.any(axis=(1, 2, 3))) for p in drawn.values())
    )
    families = linked(family, *alike)
    said = np.array(
        [words.replace(" | ", " ") for words in table[f"{text}_{language}"]], object
    )
    parts = []
    for rows in grouped_split(families, numbers, _SHARES, seed):
        there = [rows[drawn[v][rows].any(axis=(1, 2, 3))] for v in vendors]
        there = [mine[kept[mine] | flags] for mine in there]
        images = np.concatenate(
            [drawn[v][mine] for v, mine in zip(vendors, there, strict=True)]
        )
        index = np.concatenate(there)
        labels = np.array([class_names.index(name) for name in groups[index]])
        inputs = {"image": images if alpha else on_ground(images), "text": said[index]}
        parts.append(Split(inputs, labels, index, families[index]))
    train, val, test = parts
    return MultimodalDataset(
        name="emoji",
        source="real",
        class_names=class_names,
        train=train,
        val=val,
        test=test,
    )


def records() -> dict[str, np.ndarray]:
    """Return the table behind `emoji`, one row for each of 1,906.

    Returns:
        Column → strings (1906,): `emoji`, `code`, `group`, `subgroup`, `name_en`,
        `keywords_en` (with " | " between them), `name_zh`, `keywords_zh`, `family`,
        and `has_` with each vendor's name, "1" where it has drawn the emoji.

    Raises:
        SourceError: If the file is damaged.

    Example:
        `records()["name_zh"][data.test.index]`
    """
    with _verified("emoji.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: np.array([row[name] for row in rows], object) for name in rows[0]}


def pictures() -> dict[str, np.ndarray]:
    """Return all pictures: vendor → RGBA, uint8 (1906, 32, 32, 4), in `records`' order.

    What a vendor has not drawn is all zeros.

    Raises:
        SourceError: If a file is damaged.
    """
    drawn = {}
    for name in FILES:
        if name.endswith(".npz"):
            with np.load(_verified(name), allow_pickle=False) as file:
                drawn |= {vendor: file[vendor] for vendor in file.files}
    return drawn


def on_ground(
    pictures: np.ndarray, colour: np.ndarray | tuple[int, int, int] = (255, 255, 255)
) -> np.ndarray:
    """Put pictures on a ground, which shows where they are not opaque.

    Args:
        pictures: RGBA, uint8 (..., 4).
        colour: RGB from 0 to 255, shape (3,), or what broadcasts to the pictures.

    Returns:
        RGB, uint8 (..., 3).
    """
    opaque = pictures[..., 3:].astype("float32") / 255
    mixed = opaque * pictures[..., :3] + (1 - opaque) * np.asarray(colour, "float32")
    return np.rint(mixed).astype("uint8")


def _verified(name: str):
    return sources.verify(sources.DATA / name, FILES[name])
