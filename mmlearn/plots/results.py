"""Scores and contributions as figures."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np

from mmlearn import evaluate
from mmlearn.evaluate import Estimate
from mmlearn.explain import Contributions
from mmlearn.plots.style import COLOURS, STYLE, show

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
LINES = ("-", "--", ":", "-.")


def bars(
    scores: Mapping[str, Estimate], title: str, label: str, reference: str | None = None
) -> None:
    """Show means as horizontal bars with their 95 % intervals.

    Args:
        scores: Name → mean and interval, in the order to show.
        title: The message of the figure.
        label: What is measured, with its unit.
        reference: Name whose mean is drawn as a dashed line through all bars.
    """
    names = list(scores)
    means = [scores[name].mean for name in names]
    widths = [_width(scores[name]) for name in names]
    ends = [mean + np.nan_to_num(w) for mean, w in zip(means, widths, strict=True)]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 0.8 + 0.42 * len(names)))
        axis.barh(names, means, xerr=widths, color=COLOURS[0], capsize=3, height=0.65)
        for position, (mean, end) in enumerate(zip(means, ends, strict=True)):
            axis.text(end, position, f" {mean:.1f}", va="center", fontsize=9)
        if reference is not None:
            axis.axvline(scores[reference].mean, color="black", ls="--", lw=1)
        axis.invert_yaxis()
        axis.set(title=title, xlabel=label)
        axis.margins(x=0.12)
        figure.tight_layout()
    listed = "; ".join(f"{name} {scores[name]:.1f}" for name in names)
    show(figure, f"{title}. {label}: {listed}.")


def _width(one: Estimate) -> float:
    """The half-width to draw: NaN, so none, for one seed, where 0 would read as ± 0."""
    return one.half_width if np.isfinite(one.half_width) else np.nan


def confusion(labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> None:
    """Show how often each class is taken for each other, as counts.

    Args:
        labels: True class numbers, shape (N,).
        predicted: Predicted class numbers, shape (N,).
        names: Class names.

    Raises:
        ValueError: If these are no class numbers.
    """
    from sklearn.metrics import confusion_matrix

    for what, numbers in (("labels", labels), ("predicted", predicted)):
        numbers = np.asarray(numbers)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise ValueError(
                f"{what} are {numbers.dtype} of shape {numbers.shape}, expected class "
                "numbers (N,); of probabilities, take argmax(axis=-1)"
            )
    counts = confusion_matrix(labels, predicted, labels=range(len(names)))
    wrong = counts * (1 - np.eye(len(names), dtype=int))
    true, taken = np.unravel_index(wrong.argmax(), wrong.shape)
    title = (
        f"Most frequent mistake: {names[true]} taken for {names[taken]} "
        f"({wrong[true, taken]} times)"
    )
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6, 5.4))
        axis.imshow(counts, cmap="Blues")
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if count > counts.max() / 2 else "black"
            axis.text(column, row, count, ha="center", va="center", color=colour)
        ticks = range(len(names))
        axis.set_xticks(ticks, names, rotation=45, ha="right")
        axis.set_yticks(ticks, names)
        axis.set(title=title, xlabel="predicted class", ylabel="true class")
        figure.tight_layout()
    right = int(np.trace(counts))
    show(figure, f"Confusion matrix, {right} of {counts.sum()} right. {title}.")


def heat(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    label: str,
    limits: tuple[float, float] | None = None,
) -> None:
    """Show a table of numbers as a heat map, each number written in its cell.

    Args:
        values: Shape (rows, columns); NaN leaves a cell empty.
        rows, columns: Their names.
        title: The message of the figure.
        label: What is measured, with its unit.
        limits: Values of the lightest and darkest colour; `None` for the extremes.
    """
    values = np.asarray(values, float)
    low, high = limits or (np.nanmin(values), np.nanmax(values))
    with plt.rc_context(STYLE):
        size = (1.6 + 0.95 * len(columns), 1.4 + 0.29 * len(rows))
        figure, axis = plt.subplots(figsize=size)
        axis.imshow(values, cmap="cividis_r", vmin=low, vmax=high, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = value > (low + high) / 2
                colour = "white" if dark else "black"
                axis.text(
                    column, row, f"{value:z.0f}", ha="center", va="center", color=colour
                )
        axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axis.set_yticks(range(len(rows)), rows)
        axis.set_title(textwrap.fill(title, 60), loc="left", fontsize=11)
        axis.set_xlabel(label)
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
        figure.tight_layout()
    extremes = []
    for name, column in zip(columns, values.T, strict=True):
        lowest, highest = np.nanargmin(column), np.nanargmax(column)
        extremes.append(
            f"{name} from {column[lowest]:z.0f} ({rows[lowest]}) to "
            f"{column[highest]:z.0f} ({rows[highest]})"
        )
    show(figure, f"{title}. {label}, {len(rows)} rows: {'; '.join(extremes)}.")


def comparison(found: evaluate.Comparison, score: str = "accuracy") -> None:
    """Show one score of every row of a comparison, with its intervals.

    Args:
        found: What `evaluate.compare` returned.
        score: Name of a score; see `evaluate.METRICS`.
    """
    metrics = evaluate.METRICS[evaluate.task_of(found.labels)]
    metric = next(m for m in metrics if m.name == score)
    scale = 100 if metric.percent else 1
    spread = {
        name: evaluate.interval(scale * evaluate.scores(p, found.labels)[score])
        for name, p in found.predictions.items()
    }
    seeds = max(len(p) for p in found.predictions.values())
    pick = max if metric.higher else min
    best = pick(spread, key=lambda name: spread[name].mean)
    label = f"test {metric.title} ({seeds} seeds, {len(found.labels):,} samples)"
    title = f"Best: {best}; the dashed line is the best single modality"
    bars(spread, title, label, reference=found.single)


def reliability(
    candidates: Mapping[str, np.ndarray], labels: np.ndarray, num_bins: int = 10
) -> None:
    """Show how often models are right where they say how sure they are.

    Args:
        candidates: Name → probabilities, (seeds, N, num_classes); seeds are pooled.
        labels: Class numbers, shape (N,), or zeros and ones (N, num_labels).
        num_bins: Bins of equal width.
    """
    told = []
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 4.4))
        axis.plot([0, 100], [0, 100], color="grey", lw=1, label="as sure as right")
        for number, (name, p) in enumerate(candidates.items()):
            p = np.asarray(p)
            p = p[None] if p.ndim == 2 else p
            pooled = np.tile(labels, (len(p),) + (1,) * (labels.ndim - 1))
            sure, right, _ = evaluate.calibration(np.concatenate(p), pooled, num_bins)
            error = evaluate.scores(p, labels)["calibration error"].mean()
            here = np.isfinite(right)
            axis.plot(
                100 * sure[here],
                100 * right[here],
                marker=MARKERS[number % len(MARKERS)],
                ls=LINES[number % len(LINES)],
                color=COLOURS[number % len(COLOURS)],
                label=f"{name} (error {100 * error:.1f})",
            )
            told.append(f"{name} {100 * error:.1f}")
        axis.set(
            title="Below the diagonal: surer than right",
            xlabel="confidence, %",
            ylabel="right, %",
        )
        axis.legend(frameon=False, fontsize=8)
        figure.tight_layout()
    show(
        figure, f"Reliability diagram. Calibration error in points: {'; '.join(told)}."
    )


def robustness(found: evaluate.Robustness, title: str | None = None) -> None:
    """Show how accuracy falls as one modality is damaged more and more.

    Args:
        found: What `evaluate.robustness` returned.
        title: The message of the figure; `None` for one made from the data.
    """
    ends = {name: 100 * curve.mean(axis=0)[-1] for name, curve in found.curves.items()}
    best = max(ends, key=ends.get)
    title = (
        title or f"At full {found.corruption}, {best} is left with {ends[best]:.0f} %"
    )
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3.6))
        for number, (name, curve) in enumerate(found.curves.items()):
            spread = [evaluate.interval(100 * column) for column in curve.T]
            axis.errorbar(
                found.severities,
                [one.mean for one in spread],
                yerr=[_width(one) for one in spread],
                marker=MARKERS[number % len(MARKERS)],
                ls=LINES[number % len(LINES)],
                color=COLOURS[number % len(COLOURS)],
                capsize=3,
                label=name,
            )
        axis.set(
            title=title,
            xlabel=f"severity of {found.corruption} ({found.modality})",
            ylabel="accuracy, %",
        )
        axis.legend(frameon=False, fontsize=8)
        figure.tight_layout()
    told = "; ".join(
        f"{name} from {100 * curve.mean(0)[0]:.0f} to {ends[name]:.0f}"
        for name, curve in found.curves.items()
    )
    show(figure, f"{title}. Accuracy in %: {told}.")


def contributions(found: Mapping[str, Contributions], title: str) -> None:
    """Show what each modality contributes, by several measures or in several models.

    Args:
        found: Name of the measure or model → contributions.
        title: The message of the figure.
    """
    modalities = list(next(iter(found.values())).values)
    height = 0.8 / len(modalities)
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 1 + 0.55 * len(found)))
        for number, modality in enumerate(modalities):
            own = [100 * one.values[modality] for one in found.values()]
            places = (
                np.arange(len(found)) + (number - (len(modalities) - 1) / 2) * height
            )
            axis.barh(
                places,
                [one.mean for one in own],
                height,
                xerr=[
                    [one.mean - one.low for one in own],
                    [one.high - one.mean for one in own],
                ],
                color=COLOURS[number % len(COLOURS)],
                edgecolor="black",
                hatch=("", "///", "...", "xx", "--", "oo")[number % 6],
                capsize=2,
                label=modality,
            )
        axis.set_yticks(range(len(found)), list(found))
        axis.invert_yaxis()
        axis.axvline(0, color="black", lw=0.8)
        axis.set(title=title, xlabel="contribution, points of accuracy")
        axis.legend(
            frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5)
        )
        figure.tight_layout()
    told = "; ".join(
        f"{name}: " + ", ".join(f"{m} {100 * one[m]:z.0f}" for m in modalities)
        for name, one in found.items()
    )
    show(figure, f"{title}. Contributions in points, {told}.")


def embeddings(
    features: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    title: str,
    method: str = "pca",
    seed: int = 0,
) -> None:
    """Show features in two dimensions, each class with its own marker.

    Args:
        features: Shape (N, dim).
        labels: Class numbers, shape (N,).
        names: Class names.
        title: The message of the figure.
        method: `"pca"` (quick, keeps distances) or `"tsne"` (keeps neighbours).
        seed: Seeds t-SNE.

    Raises:
        ValueError: If the method is unknown.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if method not in ("pca", "tsne"):
        raise ValueError(f"method is {method!r}, choose 'pca' or 'tsne'")
    points = PCA(2) if method == "pca" else TSNE(2, init="pca", random_state=seed)
    flat = points.fit_transform(np.asarray(features, float))
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 4.6))
        for number, name in enumerate(names):
            here = labels == number
            axis.scatter(
                *flat[here].T,
                s=16,
                marker=MARKERS[number % len(MARKERS)],
                color=COLOURS[number % len(COLOURS)],
                alpha=0.7,
                label=name,
            )
        kind = {"pca": "principal component", "tsne": "t-SNE"}[method]
        axis.set(title=title, xlabel=f"{kind} 1", ylabel=f"{kind} 2")
        axis.legend(
            frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5)
        )
        figure.tight_layout()
    from sklearn.neighbors import KNeighborsClassifier

    near = KNeighborsClassifier(6).fit(flat, labels).kneighbors(flat)[1][:, 1:]
    alike = (labels[near] == labels[:, None]).mean()
    show(
        figure,
        f"{title}. {len(flat):,} samples of {len(names)} classes in the plane: of a "
        f"sample's five neighbours, {100 * alike:.0f} % are of its class.",
    )
