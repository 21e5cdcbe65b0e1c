"""What each modality contributes to a model's predictions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from math import factorial

import keras
import numpy as np

from mmlearn import evaluate
from mmlearn.datasets import Split
from mmlearn.evaluate.metrics import need, of_classes
from mmlearn.explain.graphs import predictor
from mmlearn.models import inputs_from, modalities_of
from mmlearn.runtime import full_precision

MOST = 6
"""Modalities up to which all subsets are tried."""


@dataclass(frozen=True)
class Contributions:
    """One number for each modality, with its interval. Displays as a table.

    Attributes:
        title: What the numbers are.
        values: Modality → mean over the samples with its 95 % bootstrap interval;
            shares of 1.
        note: How they were computed.
    """

    title: str
    values: Mapping[str, evaluate.Estimate]
    note: str

    def __getitem__(self, modality: str) -> float:
        """Return a modality's contribution."""
        return self.values[modality].mean

    def table(self) -> evaluate.Table:
        """Return one row per modality, in points."""
        rows = tuple(
            (name, f"{100 * x.mean:.1f}", f"{100 * x.low:.1f} to {100 * x.high:.1f}")
            for name, x in self.values.items()
        )
        header = ("modality", f"{self.title}, points", "95 % interval")
        return evaluate.Table(header, rows, self.note)

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()

    def __repr__(self) -> str:
        return repr(self.table())


def ablation(model: keras.Model, split: Split) -> Contributions:
    """Return what is lost when a modality is absent.

    accuracy(all) - accuracy(all but m). A model with a `presence` input is told; to any
    other the modality is blank (no words; the mean of all samples).

    Args:
        model: A model of two or more modalities.
        split: Samples to score.
    """
    names = _modalities(model)
    intact = _right(_predict(model, split), split)
    lost = {}
    for name in names:
        rest = [other for other in names if other != name]
        lost[name] = intact - _right(_predict(model, split, rest), split)
    note = f"accuracy lost without it; {len(split):,} samples"
    return _contributions("ablation", lost, note)


def permutation(
    model: keras.Model, split: Split, repeats: int = 5, seed: int = 0
) -> Contributions:
    """Return what is lost when a modality comes from another sample.

    The perceptual score before normalisation (Gat et al. 2021): accuracy(intact) -
    accuracy(m permuted), mean over `repeats` permutations without fixed points.

    Args:
        model: A model of two or more modalities.
        split: Samples to score, at least two.
        repeats: Number of permutations.
        seed: Seeds them.

    Raises:
        ValueError: If there are fewer than two samples.
    """
    names, lost = _modalities(model), {}
    predict, arrays = predictor(model, split)
    intact = _right(predict(arrays), split)
    for name in names:
        moved = [
            _right(predict({**arrays, name: arrays[name][rows]}), split)
            for rows in _permutations(len(split), repeats, seed)
        ]
        lost[name] = intact - np.mean(moved, axis=0)
    note = f"accuracy lost with another sample's; {len(split):,} samples"
    return _contributions("permutation", lost, note)


def reliance(
    model: keras.Model, split: Split, repeats: int = 5, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return, class by class, what is lost when a modality comes from another sample.

    Returns:
        Modality → lost share of each class's samples, shape (num_classes,); NaN for a
        class without a sample.

    Raises:
        ValueError: If the labels are no classes.
    """
    need(split.labels, "reliance", "classes")
    predict, arrays = predictor(model, split)
    intact = of_classes(predict(arrays))
    before, classes = _right(intact, split), range(intact.shape[-1])
    found = {}
    for name in _modalities(model):
        moved = [
            _right(predict({**arrays, name: arrays[name][rows]}), split)
            for rows in _permutations(len(split), repeats, seed)
        ]
        lost = before - np.mean(moved, axis=0)
        here = [split.labels == number for number in classes]
        found[name] = np.array([lost[h].mean() if h.any() else np.nan for h in here])
    return found


def emap(
    model: keras.Model, split: Split, modality: str | None = None, num: int = 200
) -> tuple[float, float, evaluate.Estimate]:
    """Return how well the model does without any interaction of its modalities.

    The empirical multimodally-additive projection (Hessel & Lee 2020) replaces the
    model's logits f(x_i, z_i) by the nearest sum of a function of each side,
    mean_j f(x_i, z_j) + mean_j f(x_j, z_i) - mean_jk f(x_j, z_k). If its accuracy is
    the model's, the model does nothing that a sum of two unimodal models could not.

    Args:
        model: A model of two or more modalities that gives class probabilities.
        split: Samples; the first `num` are used, each with each.
        modality: One side; the others together are the other. `None` for the first.
        num: Number of samples; num² predictions are made.

    Returns:
        The model's accuracy, its projection's, and the difference with its 95 %
        bootstrap interval, all on these samples.

    Raises:
        KeyError: If there is no such modality.
        ValueError: If the labels are no classes.
    """
    need(split.labels, "EMAP", "classes")
    names = _modalities(model)
    modality = modality or names[0]
    if modality not in names:
        raise KeyError(f"modality {modality!r}: choose one of {names}")
    split = split.take(np.arange(min(num, len(split))))
    predict, arrays = predictor(model, split)
    size = len(split)
    logits, chunk = [], max(1, 20000 // size)
    for start in range(0, size, chunk):
        rows = np.arange(start, min(start + chunk, size))
        mixed = {
            name: a[np.repeat(rows, size) if name == modality else _tiled(rows, size)]
            for name, a in arrays.items()
        }
        shares = of_classes(predict(mixed))
        logits.append(np.log(np.maximum(shares, 1e-12)))
    grid = np.concatenate(logits).astype("float64")
    grid = grid.reshape(size, size, -1)  # [i, j]: x_i with z_j
    projected = grid.mean(axis=1) + grid.mean(axis=0) - grid.mean(axis=(0, 1))
    paired = grid[np.arange(size), np.arange(size)]
    whole = (paired.argmax(-1) == split.labels).astype(float)
    additive = (projected.argmax(-1) == split.labels).astype(float)
    gain = evaluate.bootstrap(whole - additive)
    return float(whole.mean()), float(additive.mean()), gain


def shapley(
    model: keras.Model,
    split: Split,
    value: str = "accuracy",
    draws: int = 8,
    seed: int = 0,
) -> Contributions:
    """Return the Shapley value of each modality, over all subsets of modalities.

    φ_m = Σ_{S ∌ m} |S|! (M-|S|-1)!/M! · (v(S ∪ {m}) - v(S)); they add up to
    v(all) - v(none) (Shapley 1953; over modalities, Parcalabescu & Frank 2023). v(S) is
    the score with the modalities S alone: a model with a `presence` input is told what
    is absent; to any other the absent modalities come, together, from other samples,
    and its probabilities are averaged over `draws` of these.

    Args:
        model: A model of two to six modalities.
        split: Samples to score.
        value: `"accuracy"`, or `"log likelihood"` of the true class in nats.
        draws: Number of samples that stand in for the absent.
        seed: Seeds their draw.

    Raises:
        ValueError: If there are more than six modalities, or `value` is unknown.
    """
    if value not in ("accuracy", "log likelihood"):
        raise ValueError(f"value is {value!r}, choose 'accuracy' or 'log likelihood'")
    names = _modalities(model)
    _check_number(names)
    masked = len(names) < len(model.inputs)
    predict, arrays = (None, None) if masked else predictor(model, split)
    values = {}
    for subset in _subsets(names):
        if masked:
            shares = _predict(model, split, sorted(subset))
        elif len(subset) == len(names):
            shares = predict(arrays)
        else:
            drawn = [
                predict({n: a if n in subset else a[rows] for n, a in arrays.items()})
                for rows in _permutations(len(split), draws, seed)
            ]
            shares = np.mean(drawn, axis=0)
        if not subset:
            # Nothing is known: the same answer for every sample.
            shares = np.tile(shares.mean(axis=0), (len(split), 1))
        values[subset] = _value(shares, split, value)
    note = f"Shapley values of {value} over modalities; {len(split):,} samples"
    return _contributions("Shapley value", shapley_values(values, names), note)


def shapley_values(
    values: Mapping[frozenset, np.ndarray | float], names: list[str]
) -> dict[str, np.ndarray | float]:
    """Return exact Shapley values from the value of every subset.

    Args:
        values: Subset of the names → value: a number, or one per sample, shape (N,).
        names: The players.

    Raises:
        ValueError: If there are more than six, or a subset has no value.
    """
    _check_number(names)
    if missing := [s for s in _subsets(names) if s not in values]:
        raise ValueError(f"the value of {sorted(missing[0])} is missing")
    total, found = len(names), {}
    for name in names:
        found[name] = 0.0
        for subset in _subsets([other for other in names if other != name]):
            size = len(subset)
            weight = factorial(size) * factorial(total - size - 1) / factorial(total)
            gain = values[subset | {name}] - values[subset]
            found[name] = found[name] + weight * gain
    return found


def _check_number(names: list[str]) -> None:
    if len(names) > MOST:
        raise ValueError(
            f"{len(names)} modalities have {2 ** len(names)} subsets: up to {MOST} are "
            "tried; join some"
        )


def _tiled(rows: np.ndarray, size: int) -> np.ndarray:
    return np.tile(np.arange(size), len(rows))


def _subsets(names: list[str]) -> Iterator[frozenset]:
    for size in range(len(names) + 1):
        yield from map(frozenset, combinations(names, size))


def _modalities(model: keras.Model) -> list[str]:
    names = list(modalities_of(model))
    if len(names) < 2:
        raise ValueError(f"this model takes {names} only: nothing to compare it with")
    return names


def _permutations(num: int, repeats: int, seed: int) -> list[np.ndarray]:
    """Random permutations that leave no sample in its place."""
    if num < 2:
        raise ValueError(f"{num} samples cannot be exchanged: give two or more")
    rng, found = np.random.default_rng(seed), []
    for _ in range(repeats):
        circle = rng.permutation(num)
        rows = np.empty(num, int)
        rows[circle] = np.roll(circle, 1)
        found.append(rows)
    return found


def _predict(model: keras.Model, split: Split, only=None) -> np.ndarray:
    inputs = inputs_from(model, split, only)
    return full_precision(model.predict(inputs, batch_size=256, verbose=0))


def _value(shares: np.ndarray, split: Split, value: str) -> np.ndarray:
    if value == "accuracy":
        return _right(shares, split)
    need(split.labels, "log likelihood", "classes")
    shares = of_classes(shares)
    own = shares[np.arange(len(split)), split.labels]
    return np.log(np.maximum(own, 1e-12))


def _right(predictions: np.ndarray, split: Split) -> np.ndarray:
    need(split.labels, "a contribution to accuracy", "classes", "multilabel")
    return evaluate.correct(predictions, split.labels)[0]


def _contributions(title: str, samples: Mapping, note: str) -> Contributions:
    values = {m: evaluate.bootstrap(v) for m, v in samples.items()}
    return Contributions(title, values, note)
