"""`MultimodalDataset`: named inputs, labels and splits as plain NumPy arrays."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from mmlearn import sources

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """Some samples: one array per modality, and their labels.

    Attributes:
        inputs: Modality name → array of shape (N, ...).
        labels: Class numbers, int64 of shape (N,).
        index: Each sample's position in the collection it comes from, shape (N,).
        groups: What each sample belongs to, such as its patient, shape (N,); or `None`.
            No group may be in two splits, or the test scores flatter.
    """

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray
    index: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, modality: str) -> np.ndarray:
        """Return one modality's array.

        Raises:
            KeyError: If there is no such modality.
        """
        if modality not in self.inputs:
            raise KeyError(f"modality {modality!r}: choose one of {list(self.inputs)}")
        return self.inputs[modality]

    def xy(self, *modalities: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return what `fit` takes: a dict of the named modalities, and the labels.

        Args:
            *modalities: Names; none means all.

        Example:
            `model.fit(*data.train.xy("image"), validation_data=data.val.xy("image"))`
        """
        names = modalities or tuple(self.inputs)
        return {name: self[name] for name in names}, self.labels

    def take(self, rows: np.ndarray) -> "Split":
        """Return the samples at these positions (integers or a boolean mask)."""
        inputs = {name: array[rows] for name, array in self.inputs.items()}
        groups = None if self.groups is None else self.groups[rows]
        return Split(inputs, self.labels[rows], self.index[rows], groups)

    def replace(self, **inputs: np.ndarray) -> "Split":
        """Return the same samples with some modalities' arrays exchanged.

        Raises:
            KeyError: If a name is not one of the modalities.
        """
        for name in inputs:
            self[name]
        return replace(self, inputs={**self.inputs, **inputs})


@dataclass(frozen=True)
class MultimodalDataset:
    """Samples described by several modalities, split into train, val and test.

    Bad data stops here, with the modality's name, instead of training silently.

    Attributes:
        name: What the data set is called; `data/NAME.md` is its data card.
        source: `"real"`; `"stand-in"` where the real data could not be had; or
            `"synthetic"` where there are none by design.
        class_names: Names of the classes, in the order of the class numbers.
        train, val, test: The splits.

    Raises:
        ValueError: If the splits have different modalities, an array's length differs
            from the number of labels, a label is out of range, or a value is not
            finite.
    """

    name: str
    source: str
    class_names: tuple[str, ...]
    train: Split
    val: Split
    test: Split

    def __post_init__(self):
        for split in SPLITS:
            self._check(split, self[split])

    def __getitem__(self, split: str) -> Split:
        if split not in SPLITS:
            raise KeyError(f"split {split!r}: choose one of {list(SPLITS)}")
        return getattr(self, split)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return tuple(self.train.inputs)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def card(self) -> str:
        """The data card: where the data come from, their licence and their limits."""
        return (sources.DATA / f"{self.name}.md").read_text(encoding="utf-8")

    def class_counts(self) -> dict[str, np.ndarray]:
        """Return split → number of samples of each class, shape (num_classes,)."""
        return {
            split: np.bincount(self[split].labels, minlength=self.num_classes)
            for split in SPLITS
        }

    def map(
        self, **functions: Callable[[np.ndarray], np.ndarray]
    ) -> "MultimodalDataset":
        """Return the data set with a function applied to some modalities' arrays.

        Args:
            **functions: Modality name → function of an array (N, ...) to an array.

        Example:
            `data.map(text=tokenizer)` turns strings into ids.
        """
        mapped = {}
        for name in SPLITS:
            split = self[name]
            arrays = {key: function(split[key]) for key, function in functions.items()}
            mapped[name] = split.replace(**arrays)
        return replace(self, **mapped)

    def subset(self, num_train: int, seed: int = 0) -> "MultimodalDataset":
        """Return the data set with fewer training samples, the classes in proportion.

        Args:
            num_train: Number of training samples to keep, drawn at random.
            seed: Seeds the draw.

        Raises:
            ValueError: If `num_train` is below the number of classes, or above what
                there is.
        """
        if not self.num_classes <= num_train <= len(self.train):
            raise ValueError(
                f"num_train is {num_train}: expected {self.num_classes} (one a class) "
                f"to {len(self.train)} (all)"
            )
        if num_train == len(self.train):
            return self
        _, rows = stratified(self.train.labels, num_train, seed)
        return replace(self, train=self.train.take(rows))

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{name} {array.shape[1:]} {array.dtype}"
            for name, array in self.train.inputs.items()
        )
        sizes = ", ".join(f"{split} {len(self[split])}" for split in SPLITS)
        return (
            f"{self.name} ({self.source}): {sizes}; {self.num_classes} classes; "
            f"{arrays}"
        )

    def _check(self, name: str, split: Split) -> None:
        where = f"{self.name}, split {name!r}"
        if tuple(split.inputs) != self.modalities:
            raise ValueError(
                f"{where}: modalities are {list(split.inputs)}, expected "
                f"{list(self.modalities)} as in 'train'"
            )
        if split.labels.ndim != 1 or split.labels.dtype.kind not in "iu":
            raise ValueError(
                f"{where}: labels are {split.labels.dtype} of shape "
                f"{split.labels.shape}, expected whole numbers of shape (N,)"
            )
        arrays = [*split.inputs.items(), ("index", split.index)]
        if split.groups is not None:
            arrays.append(("groups", split.groups))
        for key, array in arrays:
            if len(array) != len(split):
                raise ValueError(
                    f"{where}: {key!r} has {len(array)} rows for {len(split)} labels"
                )
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                raise ValueError(
                    f"{where}: {key!r} holds NaN or infinity, first in row {row}: "
                    "repair or remove these samples"
                )
        wrong = (split.labels < 0) | (split.labels >= self.num_classes)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{where}: label {split.labels[row]} in row {row} is out of range, "
                f"expected 0 to {self.num_classes - 1}"
            )


def stratified(
    labels: np.ndarray, num_second: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split row numbers in two, each class in the same proportion in both.

    Args:
        labels: Class numbers, shape (N,).
        num_second: Rows of the second part.
        seed: Seeds the draw.

    Returns:
        The sorted row numbers of the first and of the second part.

    Raises:
        ValueError: If a part would have fewer rows than there are classes.
    """
    from sklearn.model_selection import train_test_split

    rows, num_classes = np.arange(len(labels)), len(np.unique(labels))
    if not num_classes <= num_second <= len(rows) - num_classes:
        raise ValueError(
            f"cannot take {num_second} of {len(rows)} samples: each part needs one of "
            f"each of the {num_classes} classes"
        )
    first, second = train_test_split(
        rows, test_size=num_second, random_state=seed, stratify=labels
    )
    return np.sort(first), np.sort(second)


def grouped_split(
    groups: np.ndarray, labels: np.ndarray, shares: Sequence[float], seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Split row numbers so that no group, such as a patient, is in two parts.

    The classes are in about the same proportion in every part
    (`sklearn.model_selection.StratifiedGroupKFold`). Groups stay whole, and a share is
    met as a number of folds out of at most ten: parts differ a little from `shares`.

    Args:
        groups: What each sample belongs to, shape (N,).
        labels: Class numbers, shape (N,).
        shares: Share of the samples for each part; they add up to 1.
        seed: Seeds the draw.

    Returns:
        The sorted row numbers of each part.

    Raises:
        ValueError: If the lengths or the shares do not fit, or there are too few groups
            for every part to hold every class.

    Example:
        `train, val, test = grouped_split(patients, labels, (0.6, 0.2, 0.2))`
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups, labels = np.asarray(groups), np.asarray(labels)
    if groups.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"groups are {groups.shape}, labels {labels.shape}: expected one of each "
            "for every sample, shape (N,)"
        )
    if not all(0 < share < 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares are {tuple(shares)}: expected two or more, above 0, adding up to 1"
        )
    for label in np.unique(labels):
        num = len(np.unique(groups[labels == label]))
        if num < len(shares):
            raise ValueError(
                f"class {label} occurs in {num} groups: {len(shares)} parts need at "
                "least one group each"
            )
    parts, rest = [], np.arange(len(labels))
    for number in range(len(shares) - 1, 0, -1):
        share = Fraction(shares[number] / sum(shares[: number + 1]))
        # More folds than groups, or than samples of a class, cannot be dealt.
        _, counts = np.unique(labels[rest], return_counts=True)
        most = min(10, len(np.unique(groups[rest])), max(counts))
        share = share.limit_denominator(most)
        folds = max(2, share.denominator)
        taken = min(max(1, share.numerator), folds - 1)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            # It warns of classes with fewer samples than folds; checked below.
            warnings.simplefilter("ignore")
            dealt = list(splitter.split(rest, labels[rest], groups[rest]))
        chosen = np.concatenate([fold for _, fold in dealt[:taken]])
        parts.append(np.sort(rest[chosen]))
        rest = np.delete(rest, chosen)
    parts = (rest, *reversed(parts))
    for number, rows in enumerate(parts):
        if missing := set(labels.tolist()) - set(labels[rows].tolist()):
            raise ValueError(
                f"part {number} of the grouped split has no sample of class "
                f"{min(missing)}: try another seed, or merge rare classes"
            )
    return parts
