"""How scores fall when a modality is damaged, or not there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import keras
import numpy as np

from mmlearn.datasets import MultimodalDataset, Split
from mmlearn.evaluate import metrics
from mmlearn.evaluate.corruptions import CORRUPTIONS, Corruption
from mmlearn.evaluate.tables import Table
from mmlearn.models import inputs_from, modalities_of

Models = Mapping[str, keras.Model | Sequence[keras.Model]]


@dataclass(frozen=True)
class Robustness:
    """Scores under a corruption of growing severity.

    Attributes:
        modality, corruption: What was damaged, and how.
        severities: Shape (levels,), the first is 0.
        curves: Name → accuracy (mean of `correct`), shape (runs, levels).
    """

    modality: str
    corruption: str
    severities: np.ndarray
    curves: Mapping[str, np.ndarray]

    def relative(self, name: str) -> metrics.Estimate:
        """Return the relative robustness: the area under score / clean score.

        1 where nothing is lost; mean over the severities by the trapezoidal rule.
        """
        curve = self.curves[name]
        return metrics.interval(self._area(curve / curve[:, :1]))

    def effective(self, name: str, reference: str) -> metrics.Estimate:
        """Return the effective robustness: what is left beyond what is to be expected.

        Expected is the reference's curve, moved on the logit scale so that it starts at
        this model's clean accuracy β: mean over severities of
        acc(s) − σ(logit acc_ref(s) + logit acc(0) − logit acc_ref(0)) (after Taori et
        al. 2020). 0 where a model falls as the reference does.
        """
        from scipy.special import expit, logit

        def bounded(share):
            return logit(np.clip(share, 1e-3, 1 - 1e-3))

        curve, other = self.curves[name], self.curves[reference].mean(axis=0)
        moved = bounded(other) - bounded(other[0]) + bounded(curve[:, :1])
        return metrics.interval(self._area(curve - expit(moved)))

    def table(self) -> Table:
        """Return accuracy by severity, and the relative robustness."""
        header = ("model", *(f"at {level:g}" for level in self.severities), "relative")
        rows = []
        for name, curve in self.curves.items():
            cells = [f"{metrics.interval(100 * column):.1f}" for column in curve.T]
            rows.append((name, *cells, f"{self.relative(name):.2f}"))
        note = (
            f"accuracy in % under {self.corruption} of {self.modality}, by severity; "
            "relative: area under the curve as a share of the clean score"
        )
        return Table(header, tuple(rows), note)

    def _area(self, curve: np.ndarray) -> np.ndarray:
        span = self.severities[-1] - self.severities[0]
        return np.trapezoid(curve, self.severities, axis=-1) / span

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()

    def __repr__(self) -> str:
        return repr(self.table())


def robustness(
    models: keras.Model | Models,
    data: MultimodalDataset,
    modality: str,
    corruption: str | Corruption,
    severities: Sequence[float] = (0, 0.25, 0.5, 0.75, 1),
    prepare: Mapping[str, Callable] | None = None,
    seed: int = 0,
) -> Robustness:
    """Damage one modality of the test samples, more and more, and score the models.

    All models see the same damaged samples.

    Args:
        models: A model, or name → model, or name → models (one per seed).
        data: The data set; the test split is used.
        modality: The modality to damage.
        corruption: One of `corruptions.CORRUPTIONS`, or a function of an array, a
            severity and a `numpy` generator.
        severities: From 0 (intact) to 1, rising.
        prepare: Modality → function applied after the damage, such as a tokenizer,
            where `data` holds what the models do not take.
        seed: Seeds the damage.

    Raises:
        KeyError: If the modality or the corruption is unknown.
        ValueError: If the severities do not rise from 0 to at most 1, or the labels
            are numbers.
    """
    levels = np.asarray(severities, float)
    if len(levels) < 2 or levels[0] != 0 or (np.diff(levels) <= 0).any():
        raise ValueError(f"severities are {severities}: expected 0, then rising values")
    if levels[-1] > 1:
        raise ValueError(f"the largest severity is {levels[-1]}, expected at most 1")
    if isinstance(corruption, str) and corruption not in CORRUPTIONS:
        raise KeyError(f"corruption {corruption!r}: choose one of {list(CORRUPTIONS)}")
    damage = CORRUPTIONS[corruption] if isinstance(corruption, str) else corruption
    name = corruption if isinstance(corruption, str) else damage.__name__
    metrics.need(data.test.labels, "robustness", "classes", "multilabel")
    clean = data.test[modality]
    runs = _runs(models)
    curves: dict[str, list] = {key: [] for key in runs}
    for level in levels:
        rng = np.random.default_rng(seed)
        worse = damage(clean, level, rng) if level else clean
        split = data.test.replace(**{modality: worse})
        for key, function in (prepare or {}).items():
            split = split.replace(**{key: function(split[key])})
        for key, trained in runs.items():
            curves[key].append([_accuracy(m, split) for m in trained])
    arrays = {key: np.array(curve).T for key, curve in curves.items()}
    return Robustness(modality, name, levels, arrays)


@dataclass(frozen=True)
class Missing:
    """Scores for every subset of modalities at test time.

    Attributes:
        scores: Name → subset (a tuple of modalities) → accuracy, shape (runs,).
    """

    scores: Mapping[str, Mapping[tuple[str, ...], np.ndarray]]

    def table(self) -> Table:
        """Return one row per model, one column per subset."""
        subsets = list(next(iter(self.scores.values())))
        header = ("model", *(" + ".join(subset) for subset in subsets))
        rows = tuple(
            (name, *(f"{metrics.interval(100 * found[s]):.1f}" for s in subsets))
            for name, found in self.scores.items()
        )
        return Table(header, rows, "accuracy in % with these modalities present")

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()

    def __repr__(self) -> str:
        return repr(self.table())


def missing(models: keras.Model | Models, data: MultimodalDataset) -> Missing:
    """Score models on the test samples with every subset of modalities present.

    A model with a `presence` input is told what is absent; to any other the absent
    modality is an empty text, or the mean of all samples.

    Args:
        models: A model, or name → model, or name → models (one per seed); all take the
            same modalities.
        data: The data set; the test split is used.

    Returns:
        Scores for each subset with at least one modality, the whole one first.

    Raises:
        ValueError: If the labels are numbers.
    """
    metrics.need(data.test.labels, "missing", "classes", "multilabel")
    names = modalities_of(next(iter(_runs(models).values()))[0])
    sizes = range(len(names), 0, -1)
    subsets = [subset for size in sizes for subset in combinations(names, size)]
    found = {
        name: {
            subset: np.array([_accuracy(m, data.test, subset) for m in trained])
            for subset in subsets
        }
        for name, trained in _runs(models).items()
    }
    return Missing(found)


def _runs(models: keras.Model | Models) -> dict[str, list[keras.Model]]:
    if isinstance(models, keras.Model):
        models = {models.name: models}
    return {
        name: [m] if isinstance(m, keras.Model) else list(m)
        for name, m in models.items()
    }


def _accuracy(model: keras.Model, split: Split, only=None) -> float:
    inputs = inputs_from(model, split, only)
    predictions = model.predict(inputs, batch_size=256, verbose=0)
    return float(metrics.correct(predictions, split.labels).mean())
