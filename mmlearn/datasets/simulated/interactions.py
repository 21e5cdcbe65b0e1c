"""Synthetic modalities with a known Bayes limit (data card: `data/interactions.md`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from math import isfinite, prod
from numbers import Integral

import numpy as np

from mmlearn.datasets.base import SPLITS, MultimodalDataset, Split
from mmlearn.datasets.simulated import bayes

MODALITIES = ("first", "second", "third")
KINDS = ("redundant", "unique", "synergistic", "mixture", "linear", "bilinear")
MAX_BITS = 6

# The bilinear task: rank of each W_k, and number of classes.
RANK, NUM_CLASSES = 2, 4


def interactions(
    kind: str | Mapping[str, int],
    num_modalities: int = 2,
    dim: int = 16,
    noise: float | Sequence[float] = 0.0,
    missing: float | Sequence[float] = 0.0,
    num_train: int = 20_000,
    num_val: int = 2_000,
    num_test: int = 10_000,
    seed: int = 0,
) -> tuple[MultimodalDataset, "Interactions"]:
    """Draw a synthetic data set whose Bayes-optimal accuracy is known.

    Args:
        kind, num_modalities, dim, noise, missing: See `Interactions`.
        num_train, num_val, num_test: Samples of each split, drawn independently.
        seed: Seeds the task (its rotations) and the samples.

    Returns:
        The data set, and the task it was drawn from: `task.limit()` is the best
        possible accuracy from all modalities, `task.limit("first")` from one.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> data, task = interactions("synergistic", noise=0.5, num_train=100)
        >>> [round(task.limit(*names), 3) for names in ([], ["first"], ["second"])]
        [0.956, 0.5, 0.5]
    """
    task = Interactions(kind, num_modalities, dim, noise, missing, seed)
    return task.sample(num_train, num_val, num_test, seed), task


@dataclass(frozen=True)
class Interactions:
    """A synthetic classification task with a known Bayes limit.

    The modalities are `first`, `second` and, of three, `third`: float32 vectors (N,
    dim). Each is x_m = Q_m [s_m + σ_m ε; ε'], where s_m are hidden signals, ε and ε'
    are standard normal, and Q_m is a fixed random rotation. The label consists of
    random bits; a class is one combination of them. Each bit is a sign ±1 that is

    - `redundant`: a signal of every modality;
    - unique: a signal of one modality, and of no other;
    - `synergistic`: the product of random signs, one in each modality (XOR, parity).

    Without noise, a task of two modalities thus has exactly the stated numbers of bits
    of redundant, unique and synergistic information in the sense of Bertschinger et al.
    2014 (https://arxiv.org/abs/1311.2862). Two more kinds have no such bits:

    - `linear`: y = [Σ_m g_m > 0], the signals g_m being standard normal;
    - `bilinear`: y = argmax_k x_1ᵀ W_k x_2 with x_m ~ N(0, I) and four W_k of rank 2,
      whose singular values are 1, and singular vectors orthogonal across k.

    Every class of every kind has the same probability.

    Attributes:
        kind: `"redundant"` or `"synergistic"`: one such bit; `"unique"`: one bit for
            each modality; `"mixture"`: all of these; or the numbers of bits, such as
            `{"redundant": 1, "first": 2, "synergistic": 1}`, where `"unique"` stands
            for every modality; or `"linear"`, or `"bilinear"`.
        num_modalities: 2 or 3; the bilinear task has 2.
        dim: Length of each vector; what the signals leave over is pure noise.
        noise: Standard deviation σ of the noise on the signals, one number or one per
            modality; 0 for the bilinear task.
        missing: Probability that a modality is absent from a sample, one number or one
            per modality. Where it is not 0, the splits have `presence`, and an absent
            vector is stored as zeros.
        seed: Seeds the rotations.

    Raises:
        ValueError: If an attribute is out of its range.
    """

    kind: str | Mapping[str, int]
    num_modalities: int = 2
    dim: int = 16
    noise: float | Sequence[float] = 0.0
    missing: float | Sequence[float] = 0.0
    seed: int = 0

    def __post_init__(self):
        if self.num_modalities not in (2, 3):
            raise ValueError(f"num_modalities is {self.num_modalities}: choose 2 or 3")
        if self.kind == "bilinear" and self.num_modalities != 2:
            raise ValueError(
                f"num_modalities is {self.num_modalities}: the bilinear task has 2"
            )
        self._check_kind()
        self._check_numbers("noise", "numbers from 0")
        self._check_numbers("missing", "probabilities from 0 to 1", 1)
        if self.kind == "bilinear" and any(self._each(self.noise)):
            raise ValueError(
                f"noise is {self.noise}: expected 0, the limit of the bilinear task is "
                "known without noise only"
            )
        used = max(self._num_signals)
        if self.dim < used:
            raise ValueError(f"dim is {self.dim}: this task needs {used} or more")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return MODALITIES[: self.num_modalities]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        if self.kind == "bilinear":
            return NUM_CLASSES
        return 2 if self.kind == "linear" else 2 ** sum(self.bits.values())

    @cached_property
    def bits(self) -> dict[str, int]:
        """Number of bits: redundant, unique to each modality, and synergistic.

        Empty for the linear and the bilinear task.
        """
        if self.kind in ("linear", "bilinear"):
            return {}
        given = self.kind
        if given == "mixture":
            given = {"redundant": 1, "unique": 1, "synergistic": 1}
        elif isinstance(given, str):
            given = {given: 1}
        each = given.get("unique", 0)
        return {
            "redundant": given.get("redundant", 0),
            **{name: given.get(name, 0) + each for name in self.modalities},
            "synergistic": given.get("synergistic", 0),
        }

    @cached_property
    def rotations(self) -> dict[str, np.ndarray]:
        """Modality → Q_m, (dim, dim): `x @ Q_m` starts with the signals.

        These are, in order, its redundant, unique and synergistic bits. In the bilinear
        task, columns 2k and 2k + 1 belong to class k:
        W_k = Q_1[:, 2k:2k+2] Q_2[:, 2k:2k+2]ᵀ.
        """
        rng = np.random.default_rng([self.seed, 1])
        drawn = {}
        for name in self.modalities:
            q, r = np.linalg.qr(rng.normal(size=(self.dim, self.dim)))
            # LAPACK's choice of signs differs between machines.
            drawn[name] = q * np.sign(np.diag(r))
        return drawn

    def limit(self, *modalities: str) -> float:
        """Return the Bayes limit: the best accuracy that any classifier can expect.

        The product over the bits of what is possible for each: Φ(√Σ_m σ_m⁻²) for a
        redundant one (the sum runs over the modalities that are seen and present),
        Φ(1/σ_m) for a unique one, 1/2 + 1/2 Π_m (2Φ(1/σ_m) − 1) for a synergistic one,
        and 1/2 for a bit that is not seen, Φ being the normal distribution function.
        `bayes.py` derives these, and those of the other two kinds; a
        single modality of the bilinear task is a numerical integral with an error below
        1e-6. With missing modalities, the sum over the presence patterns, each times
        its probability.

        Args:
            *modalities: Names that the classifier sees; none means all.

        Raises:
            ValueError: If a name is not one of the modalities.
        """
        names = modalities or self.modalities
        for name in names:
            if name not in self.modalities:
                raise ValueError(
                    f"modality {name!r}: choose among {', '.join(self.modalities)}"
                )
        seen = [m for m, name in enumerate(self.modalities) if name in names]
        absent = self._each(self.missing)
        total = 0.0
        for pattern in product((False, True), repeat=len(seen)):
            there = dict(zip(seen, pattern, strict=True))
            chance = prod(1 - absent[m] if p else absent[m] for m, p in there.items())
            total += chance * self._limit([m for m, p in there.items() if p])
        return float(total)

    def limits(self) -> dict[tuple[str, ...], float]:
        """Return the limit of every set of modalities, the single ones first."""
        names = self.modalities
        sizes = range(1, len(names) + 1)
        subsets = (s for size in sizes for s in combinations(names, size))
        return {subset: self.limit(*subset) for subset in subsets}

    def sample(
        self,
        num_train: int = 20_000,
        num_val: int = 2_000,
        num_test: int = 10_000,
        seed: int = 0,
    ) -> MultimodalDataset:
        """Draw a data set; its splits are independent draws from the same task.

        Args:
            num_train, num_val, num_test: Samples of each split.
            seed: Seeds the samples.

        Returns:
            The data set. The name of a class is its bits, in the order of `bits`; in
            the linear and the bilinear task, its number.

        Raises:
            ValueError: If a number of samples is below 1.
        """
        sizes = dict(zip(SPLITS, (num_train, num_val, num_test), strict=True))
        for split, num in sizes.items():
            if num < 1:
                raise ValueError(f"num_{split} is {num}: expected 1 or more")
        digits = f"0{sum(self.bits.values())}b" if self.bits else "d"
        drawn = {
            split: self._draw(num, np.random.default_rng([seed, 2 + number]))
            for number, (split, num) in enumerate(sizes.items())
        }
        return MultimodalDataset(
            name="interactions",
            source="synthetic",
            class_names=tuple(format(k, digits) for k in range(self.num_classes)),
            **drawn,
        )

    def _each(self, value: float | Sequence[float]) -> tuple[float, ...]:
        return (value,) * self.num_modalities if np.ndim(value) == 0 else tuple(value)

    def _check_kind(self) -> None:
        if self.kind in KINDS:
            return
        if not isinstance(self.kind, Mapping):
            raise ValueError(
                f"kind is {self.kind!r}: choose one of {', '.join(KINDS)}, or give a "
                "dict of numbers of bits"
            )
        known = ("redundant", "unique", *self.modalities, "synergistic")
        for name, num in self.kind.items():
            if name not in known:
                raise ValueError(
                    f"kind has bits {name!r}: choose among {', '.join(known)}"
                )
            if not isinstance(num, Integral) or num < 0:
                raise ValueError(
                    f"kind has {num} bits {name!r}: expected a whole number from 0"
                )
        if not 1 <= (total := sum(self.bits.values())) <= MAX_BITS:
            raise ValueError(
                f"kind has {total} bits in all: expected 1 to {MAX_BITS} "
                f"({2**MAX_BITS} classes)"
            )

    def _check_numbers(self, name: str, wanted: str, highest: float = np.inf) -> None:
        value = getattr(self, name)
        each = self._each(value)
        if len(each) != self.num_modalities:
            raise ValueError(
                f"{name} has {len(each)} numbers: expected one, or one for each of "
                f"{self.num_modalities} modalities"
            )
        if not all(0 <= number <= highest and isfinite(number) for number in each):
            raise ValueError(f"{name} is {value}: expected {wanted}")

    @property
    def _num_signals(self) -> list[int]:
        """Number of signals of each modality."""
        if not self.bits:
            num = 1 if self.kind == "linear" else NUM_CLASSES * RANK
            return [num] * self.num_modalities
        common = self.bits["redundant"] + self.bits["synergistic"]
        return [common + self.bits[name] for name in self.modalities]

    def _limit(self, present: list[int]) -> float:
        """Return the limit where exactly these modalities are seen and present."""
        noise = self._each(self.noise)
        observed = [noise[m] for m in present]
        complete = len(present) == self.num_modalities
        if self.kind == "linear":
            return bayes.sign_of_sum(observed, self.num_modalities)
        if self.kind == "bilinear":
            if len(present) == 1:
                return bayes.bilinear_from_one(NUM_CLASSES)
            return 1.0 if complete else 1 / NUM_CLASSES
        limit = bayes.sign(observed) ** self.bits["redundant"]
        for m, name in enumerate(self.modalities):
            limit *= bayes.sign([noise[m]] if m in present else []) ** self.bits[name]
        one = bayes.parity(noise) if complete else 0.5
        return limit * one ** self.bits["synergistic"]

    def _draw(self, num: int, rng: np.random.Generator) -> Split:
        signals, labels = self._signals(num, rng)
        inputs = {}
        for (name, rotation), signal, sigma in zip(
            self.rotations.items(), signals, self._each(self.noise), strict=True
        ):
            coordinates = rng.normal(size=(num, self.dim))
            used = signal.shape[1]
            coordinates[:, :used] = signal + sigma * coordinates[:, :used]
            inputs[name] = (coordinates @ rotation.T).astype("float32")
        absent, presence = self._each(self.missing), None
        if any(absent):
            drawn = rng.random((num, len(absent))) >= absent
            presence = dict(zip(self.modalities, drawn.T, strict=True))
            for name, here in presence.items():
                inputs[name] *= here[:, None]
        labels = labels.astype("int64")
        return Split(inputs, labels, np.arange(num), presence=presence)

    def _signals(self, num: int, rng: np.random.Generator) -> tuple[list, np.ndarray]:
        """Return the signals of each modality, and the labels."""
        if not self.bits:
            drawn = [rng.normal(size=(num, used)) for used in self._num_signals]
            if self.kind == "linear":
                return drawn, sum(drawn)[:, 0] > 0
            scores = np.prod(drawn, axis=0).reshape(num, NUM_CLASSES, RANK).sum(axis=2)
            return drawn, scores.argmax(axis=1)
        bits = rng.choice([-1.0, 1.0], (num, sum(self.bits.values())))
        # Read as a binary number, the first bit counting most.
        labels = (bits > 0) @ (2 ** np.arange(bits.shape[1])[::-1])
        ends = np.cumsum(list(self.bits.values()))[:-1]
        redundant, *unique, parity = np.split(bits, ends, axis=1)
        signs = rng.choice([-1.0, 1.0], (self.num_modalities, *parity.shape))
        signs[-1] = parity * signs[:-1].prod(axis=0)
        parts = zip(unique, signs, strict=True)
        return [np.hstack([redundant, own, sign]) for own, sign in parts], labels
