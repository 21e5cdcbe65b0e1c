"""Look for leaks: ways to score well on a data set without learning its task."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mmlearn.datasets.base import SPLITS, MultimodalDataset
from mmlearn.text import PADDING, UNKNOWN, WordTokenizer

MIN_NUMBERS = 16
"""Smaller arrays, such as presence flags, coincide by chance: they are not compared."""

MIN_WORDS = 12
"""Shorter texts coincide by chance; a Chinese character counts as half a word."""

MIN_SUPPORT = 20
"""Samples needed to call a word or a pixel a mark of its class."""

TELL_TALE = 0.25
"""Share of its class that a tell-tale word must reach. Rarer words may well be honest:
only horses have hooves."""

MARK_AUROC = 0.999
"""A pixel is a mark of a class if its value alone is better than this."""

_MOST_PICTURES = 2000  # looked at for marks
_CJK = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True)
class Leak:
    """One way in which the labels leak.

    Attributes:
        kind: `"same array"`, `"same text"`, `"same group"`, `"label word"`,
            `"tell-tale word"` or `"image mark"`.
        where: The modality, and the splits.
        count: Samples concerned.
        example: One of them.
    """

    kind: str
    where: str
    count: int
    example: str


class Leaks(list[Leak]):
    """The leaks that were found; empty means that none was. Prints as a table."""

    def __repr__(self) -> str:
        if not self:
            return "no leak found"
        rows = [("leak", "where", "count", "example")]
        rows += [
            (leak.kind, leak.where, str(leak.count), leak.example) for leak in self
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = []
        for kind, where, count, example in rows:
            kind, where = kind.ljust(widths[0]), where.ljust(widths[1])
            lines.append(f"{kind}  {where}  {count.rjust(widths[2])}  {example}")
        return "\n".join(lines)


def leaks(data: MultimodalDataset, words: Sequence[str] = ()) -> Leaks:
    """Look for the leaks that are easy to make and easy to find.

    - *same array*: a picture, series or other array of a sample is in two splits, equal
      byte by byte. Arrays with fewer than `MIN_NUMBERS` numbers, and constant ones (an
      absent modality), are passed over. Near duplicates are not found.
    - *same text*: a text of `MIN_WORDS` or more is in two splits, word by word.
    - *same group*: a group, such as a patient, is in two splits.
    - *label word*: a text names a class, or holds one of `words`; in any case, as whole
      words (with a plural s), in Chinese anywhere.
    - *tell-tale word*: a word occurs in training texts of a single class only, and in
      `TELL_TALE` of that class or more.
    - *image mark*: one pixel's value tells a class from the rest of the training
      pictures with an AUROC above `MARK_AUROC`.

    The last two are looked for where each sample has one class.

    A clean report is no proof: what is not listed here is not looked for.

    Args:
        data: The data set. Texts are modalities of strings, pictures those of shape
            (N, height, width, channels).
        words: Further words or phrases that give the label away.

    Returns:
        What was found, `print` shows it as a table.

    Example:
        `assert not leaks(data, words=["infiltrate", "肺炎"])`
    """
    if isinstance(words, str):
        raise TypeError(f"words is the string {words!r}, expected a list of words")
    found = Leaks()
    for name, array in data.train.inputs.items():
        if array.dtype.kind in "OU":
            split = WordTokenizer([PADDING, UNKNOWN], 1).split
            texts = {part: split(data[part][name]) for part in SPLITS}
            found += _same(data, name, texts, "same text", _text_key)
            found += _label_words(data, name, [*data.class_names, *words])
            if data.task == "classes":
                found += _tell_tales(data, name, texts["train"])
        elif array.ndim >= 2:
            arrays = {part: data[part][name] for part in SPLITS}
            found += _same(data, name, arrays, "same array", _array_key)
            if array.ndim == 4 and data.task == "classes":
                found += _marks(data, name)
    if all(data[part].groups is not None for part in SPLITS):
        groups = {part: data[part].groups for part in SPLITS}
        found += _same(data, "groups", groups, "same group", lambda group: group)
    return found


def _text_key(words: list[str]) -> tuple[str, ...] | None:
    length = sum(0.5 if _CJK.match(word) else 1 for word in words)
    return tuple(words) if length >= MIN_WORDS else None


def _array_key(array: np.ndarray) -> bytes | None:
    if array.size < MIN_NUMBERS or (array == array.flat[0]).all():
        return None
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()


def _same(data, name, values, kind, key_of) -> list[Leak]:
    """Find what occurs in two splits."""
    rows = {}
    for part in SPLITS:
        first = {}
        keys = [key_of(value) for value in values[part]]
        for row, key in enumerate(keys):
            if key is not None:
                first.setdefault(key, row)
        rows[part] = first, keys
    found = []
    for one, other in combinations(SPLITS, 2):
        first, keys = rows[one][0], rows[other][1]
        again = [row for row, key in enumerate(keys) if key in first]
        if again:
            example = f"{one}[{first[keys[again[0]]]}] = {other}[{again[0]}]"
            found.append(Leak(kind, f"{name}: {one}, {other}", len(again), example))
    return found


def _label_words(data, name: str, words: Sequence[str]) -> list[Leak]:
    found = []
    for word in dict.fromkeys(word.strip() for word in words):
        if not word:
            continue
        pattern = re.escape(word)
        if not _CJK.search(word):
            pattern = rf"(?<!\w){pattern}(?:e?s)?(?!\w)"
        pattern = re.compile(pattern, re.IGNORECASE)
        hits = [
            (part, row, text)
            for part in SPLITS
            for row, text in enumerate(data[part][name])
            if pattern.search(text)
        ]
        if hits:
            part, row, text = hits[0]
            parts = ", ".join(dict.fromkeys(part for part, _, _ in hits))
            example = f"{word!r} in {part}[{row}]: {_around(pattern, text)}"
            found.append(Leak("label word", f"{name}: {parts}", len(hits), example))
    return found


def _around(pattern: re.Pattern, text: str) -> str:
    start, end = pattern.search(text).span()
    piece = text[max(0, start - 15) : end + 15].replace("\n", " ")
    return f"...{piece}..."


def _tell_tales(data, name: str, texts: list[list[str]]) -> list[Leak]:
    labels, counts = data.train.labels, data.class_counts()["train"]
    occurs = defaultdict(Counter)
    for words, label in zip(texts, labels.tolist(), strict=True):
        for word in set(words):
            occurs[word][label] += 1
    found = []
    for word, by_class in sorted(occurs.items()):
        (label, count), *others = by_class.most_common()
        # With one class only, or nearly so, every word would do.
        against = len(labels) - counts[label]
        enough = max(MIN_SUPPORT, TELL_TALE * counts[label])
        if not others and count >= enough and against >= MIN_SUPPORT:
            example = f"{word!r} occurs in {data.class_names[label]!r} only"
            found.append(Leak("tell-tale word", f"{name}: train", count, example))
    return found


def _marks(data, name: str) -> list[Leak]:
    from scipy.stats import rankdata

    rows = np.random.default_rng(0).permutation(len(data.train))[:_MOST_PICTURES]
    labels = data.train.labels[rows]
    counts = np.bincount(labels, minlength=data.num_classes)
    pixels = data.train[name][rows].reshape(len(rows), -1)
    # In turns, as the ranks need much more memory than the pictures.
    ranks = [
        np.stack([part[labels == label].sum(axis=0) for label in range(len(counts))])
        for start in range(0, pixels.shape[1], 1024)
        for part in [rankdata(pixels[:, start : start + 1024], axis=0)]
    ]
    sums = np.concatenate(ranks, axis=1)
    found = []
    for label, count in enumerate(counts):
        rest = len(rows) - count
        if min(count, rest) < MIN_SUPPORT:
            continue
        auroc = (sums[label] - count * (count + 1) / 2) / (count * rest)
        best = int(np.argmax(np.abs(auroc - 0.5)))
        strength = max(auroc[best], 1 - auroc[best])
        if strength > MARK_AUROC:
            place = np.unravel_index(best, data.train[name].shape[1:])
            y, x, channel = map(int, place)
            example = (
                f"pixel [{y}, {x}, {channel}] tells {data.class_names[label]!r}: "
                f"AUROC {strength:.4f}"
            )
            found.append(Leak("image mark", f"{name}: train", int(count), example))
    return found
