"""`MultimodalDataset`: named inputs, labels and splits as plain NumPy arrays."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mmlearn import runtime
from mmlearn.datasets import sources
from mmlearn.datasets.splits import grouped_split, stratified

__all__ = ["SPLITS", "MultimodalDataset", "Split", "grouped_split", "stratified"]

SPLITS = ("train", "val", "test")

STAND_INS: dict[str, None] = {}
"""Names of the stand-ins that this process has made: `plots.show` marks its figures."""


@dataclass(frozen=True)
class Split:
    """Some samples: one array per modality, and their labels.

    Attributes:
        inputs: Modality name → array of shape (N, ...).
        labels: Class numbers, int64 of shape (N,); zeros and ones of shape
            (N, num_labels); or floats to predict, shape (N,).
        index: Each sample's position in the collection it comes from, shape (N,).
        groups: What each sample belongs to, such as its patient, shape (N,); or `None`.
            No group may be in two splits, or the test scores flatter.
        presence: Modality → flags of shape (N,), 1 where it is present; or `None`,
            where all are always there.
    """

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray
    index: np.ndarray
    groups: np.ndarray | None = None
    presence: Mapping[str, np.ndarray] | None = None

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
            *modalities: Names; none means all, and `presence` where the split has it.
                Among names, `"presence"` adds the flags of the modalities named.

        Raises:
            KeyError: If there is no such modality, or no `presence`.

        Example:
            `model.fit(*data.train.xy("image"), validation_data=data.val.xy("image"))`
        """
        names = modalities or (
            *self.inputs,
            *(["presence"] if self.presence is not None else []),
        )
        inputs = {name: self[name] for name in names if name != "presence"}
        if "presence" in names:
            if self.presence is None:
                raise KeyError("'presence': all modalities are always there; drop it")
            inputs["presence"] = {name: self.presence[name] for name in inputs}
        return inputs, self.labels

    def take(self, rows: np.ndarray) -> "Split":
        """Return the samples at these positions (integers or a boolean mask)."""

        def taken(arrays):
            return arrays and {name: array[rows] for name, array in arrays.items()}

        groups = None if self.groups is None else self.groups[rows]
        return replace(
            self,
            inputs=taken(self.inputs),
            labels=self.labels[rows],
            index=self.index[rows],
            groups=groups,
            presence=taken(self.presence),
        )

    def replace(self, **inputs: np.ndarray) -> "Split":
        """Return the same samples with some modalities' arrays exchanged.

        What is in half precision becomes float32.

        Raises:
            KeyError: If a name is not one of the modalities.
        """
        for name, x in inputs.items():
            self[name]
            if isinstance(x, np.ndarray):
                inputs[name] = runtime.full_precision(x)
        return replace(self, inputs={**self.inputs, **inputs})


@dataclass(frozen=True)
class MultimodalDataset:
    """Samples described by several modalities, split into train, val and test.

    Bad data stops here, with the modality's name, instead of training silently.

    Attributes:
        name: What the data set is called; `data/NAME.md` is its data card.
        source: `"real"`; `"stand-in"` where the real data could not be had;
            `"synthetic"` where there are none by design; or `"own"`: the user's.
        class_names: Names of the classes, in the order of the class numbers; of the
            labels, where a sample may have several; empty for numbers to predict.
        train, val, test: The splits.

    Raises:
        ValueError: If the splits have different modalities, an array's length differs
            from the number of labels, a label is out of range or of another kind than
            in `train`, a value is not finite, or `presence` does not say of each
            modality, by 0 or 1, whether it is there.
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
        if self.source == "stand-in":
            STAND_INS[self.name] = None

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
        """Number of classes, or of labels; 0 for numbers to predict."""
        return len(self.class_names)

    @property
    def task(self) -> str:
        """`"classes"`, `"multilabel"` or `"regression"`, as `evaluate.task_of` says."""
        if not self.class_names:
            return "regression"
        return "classes" if self.train.labels.ndim == 1 else "multilabel"

    @property
    def card(self) -> str:
        """The data card: where the data come from, their licence and their limits.

        Raises:
            ValueError: For the user's own data.
        """
        if self.source == "own":
            raise ValueError(
                f"{self.name} is your own data: its card is yours to write"
            )
        return (sources.DATA / f"{self.name}.md").read_text(encoding="utf-8")

    def class_counts(self) -> dict[str, np.ndarray]:
        """Return split → number of samples of each class or label, (num_classes,).

        Raises:
            ValueError: If the labels are numbers to predict.
        """
        if self.task == "regression":
            raise ValueError(
                f"{self.name} has numbers to predict: there are no classes to count"
            )
        if self.task == "multilabel":
            return {
                split: np.count_nonzero(self[split].labels, axis=0) for split in SPLITS
            }
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

        Where a sample has several labels, or a number, they are drawn at random.

        Args:
            num_train: Number of training samples to keep, drawn at random.
            seed: Seeds the draw.

        Raises:
            ValueError: If `num_train` is below the number of classes, or above what
                there is.
        """
        least = self.num_classes if self.task == "classes" else 1
        if not least <= num_train <= len(self.train):
            why = " (one a class)" if self.task == "classes" else ""
            raise ValueError(
                f"num_train is {num_train}: expected {least}{why} to "
                f"{len(self.train)} (all)"
            )
        if num_train == len(self.train):
            return self
        if self.task == "classes":
            _, rows = stratified(self.train.labels, num_train, seed)
        else:
            rows = np.random.default_rng(seed).permutation(len(self.train))
            rows = np.sort(rows[:num_train])
        return replace(self, train=self.train.take(rows))

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{name} {array.shape[1:]} {array.dtype}"
            for name, array in self.train.inputs.items()
        )
        sizes = ", ".join(f"{split} {len(self[split])}" for split in SPLITS)
        lacking = "" if self.train.presence is None else "; some are absent"
        return (
            f"{self.name} ({self.source}): {sizes}; {self._answer()}; {arrays}{lacking}"
        )

    def _answer(self) -> str:
        if self.task == "regression":
            return "a number to predict"
        word = "classes" if self.task == "classes" else "labels a sample"
        return f"{self.num_classes} {word}"

    def _check(self, name: str, split: Split) -> None:
        where = f"{self.name}, split {name!r}"
        if tuple(split.inputs) != self.modalities:
            raise ValueError(
                f"{where}: modalities are {list(split.inputs)}, expected "
                f"{list(self.modalities)} as in 'train'"
            )
        labels, num = split.labels, self.num_classes
        expected = {
            "classes": "whole numbers of shape (N,)",
            "multilabel": f"zeros and ones of shape (N, {num}), one per class name",
            "regression": "floats of shape (N,), since there are no class names",
        }[self.task]
        fits = {
            "classes": labels.ndim == 1 and labels.dtype.kind in "iu",
            "multilabel": labels.shape[1:] == (num,) and labels.dtype.kind in "biuf",
            "regression": labels.ndim == 1 and labels.dtype.kind == "f",
        }[self.task]
        if not fits:
            raise ValueError(
                f"{where}: labels are {labels.dtype} of shape {labels.shape}, expected "
                f"{expected}"
            )
        arrays = [*split.inputs.items(), ("index", split.index), ("labels", labels)]
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
        self._check_presence(where, split)
        if self.task == "classes":
            wrong, allowed = (labels < 0) | (labels >= num), f"0 to {num - 1}"
        elif self.task == "multilabel":
            wrong, allowed = ~np.isin(labels, (0, 1)).all(axis=1), "zeros and ones"
        else:
            return
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(
                f"{where}: label {labels[row]} in row {row} is out of range, expected "
                f"{allowed}"
            )

    def _check_presence(self, where: str, split: Split) -> None:
        if split.presence is None and self.train.presence is None:
            return
        found = split.presence if isinstance(split.presence, Mapping) else {}
        if set(found) != set(self.modalities):
            raise ValueError(
                f"{where}: presence says of {list(found)} whether they are there, "
                f"expected a dict of flags for {list(self.modalities)}, in each split"
            )
        for name, flags in found.items():
            if flags.shape != (len(split),) or not np.isin(flags, (0, 1)).all():
                raise ValueError(
                    f"{where}: presence of {name!r} is {flags.dtype} of shape "
                    f"{flags.shape}, expected 0 or 1 for each of {len(split)} samples"
                )
