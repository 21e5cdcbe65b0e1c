"""Figures: one call each, with a sentence that says what the figure shows."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mmlearn.datasets import MultimodalDataset, Split
from mmlearn.evaluate import Interval

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "figure.dpi": 100,
    "savefig.facecolor": "white",
}


def show(figure: Figure, alt: str) -> None:
    """Display a figure with its description, then close it.

    Args:
        figure: A matplotlib figure.
        alt: What the figure shows, in a sentence, for those who cannot see it.

    Raises:
        ValueError: If the description is shorter than 20 characters.
    """
    from IPython.display import display

    if len(alt) < 20:
        raise ValueError(f"alt is {alt!r}: say in a sentence what the figure shows")
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)


def samples(
    data: MultimodalDataset, num: int = 10, split: str = "train", seed: int = 0
) -> None:
    """Show a few pictures of a data set with their texts, classes taken in turn.

    Args:
        data: A data set with an `image`, and a `text` of strings.
        num: Number of samples.
        split: The split to draw from.
        seed: Seeds the draw.
    """
    part = data[split]
    rng = np.random.default_rng(seed)
    chosen = [
        rng.choice(np.flatnonzero(part.labels == number % data.num_classes))
        for number in range(num)
    ]
    titles = [data.class_names[part.labels[row]] for row in chosen]
    listed = ", ".join(dict.fromkeys(titles))
    pictures(
        part.take(np.array(chosen)),
        titles,
        f"{num} pictures of {data.name} ({data.source}), classes in turn: {listed}; "
        "each with its text below.",
    )


def pictures(split: Split, titles: Sequence[str], alt: str, columns: int = 5) -> None:
    """Show pictures in a grid, a title above and the text below each.

    Args:
        split: Samples with an `image` and a `text` of strings.
        titles: One title per sample.
        alt: What the figure shows.
        columns: Pictures in a row.
    """
    rows = -(-len(split) // columns)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(2 * columns, 2.75 * rows), squeeze=False
        )
        for axis in axes.flat:
            axis.axis("off")
        triples = zip(split["image"], split["text"], titles, strict=True)
        for axis, (image, text, title) in zip(axes.flat, triples, strict=False):
            axis.imshow(image)
            axis.set_title(title, loc="center", fontsize=9)
            words = textwrap.fill(text or "(no text)", 24)
            axis.text(
                0.5,
                -0.05,
                words,
                transform=axis.transAxes,
                ha="center",
                va="top",
                fontsize=8,
            )
        figure.tight_layout(h_pad=2.5)
    show(figure, alt)


def bars(
    scores: Mapping[str, Interval], title: str, label: str, reference: str | None = None
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
    widths = [scores[name].half_width for name in names]
    finite = [width if np.isfinite(width) else 0 for width in widths]
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 0.8 + 0.42 * len(names)))
        axis.barh(names, means, xerr=finite, color=COLOURS[0], capsize=3, height=0.65)
        for position, (mean, width) in enumerate(zip(means, finite, strict=True)):
            axis.text(mean + width, position, f" {mean:.1f}", va="center", fontsize=9)
        if reference is not None:
            axis.axvline(scores[reference].mean, color="black", ls="--", lw=1)
        axis.invert_yaxis()
        axis.set(title=title, xlabel=label)
        axis.margins(x=0.12)
        figure.tight_layout()
    listed = "; ".join(f"{name} {scores[name]:.1f}" for name in names)
    show(figure, f"{title}. {label}: {listed}.")


def confusion(labels: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> None:
    """Show how often each class is taken for each other, as counts.

    Args:
        labels: True class numbers, shape (N,).
        predicted: Predicted class numbers, shape (N,).
        names: Class names.
    """
    from sklearn.metrics import confusion_matrix

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
                    column, row, f"{value:.0f}", ha="center", va="center", color=colour
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
            f"{name} from {column[lowest]:.0f} ({rows[lowest]}) to "
            f"{column[highest]:.0f} ({rows[highest]})"
        )
    show(figure, f"{title}. {label}, {len(rows)} rows: {'; '.join(extremes)}.")


Boxes = Mapping[str, tuple[float, float]]
Arrows = Sequence[tuple[str, str]]


def diagrams(
    drawings: Mapping[str, tuple[Boxes, Arrows]], title: str, columns: int = 4
) -> None:
    """Show small flow diagrams side by side: boxes with text, joined by arrows.

    Args:
        drawings: Name → boxes (text → column and row) and arrows (from, to).
        title: The message of the figure.
        columns: Diagrams in a row.
    """
    rows = -(-len(drawings) // columns)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            rows, columns, figsize=(2.5 * columns, 1.7 * rows + 0.4), squeeze=False
        )
        for axis in axes.flat:
            axis.axis("off")
        for axis, (name, (boxes, arrows)) in zip(
            axes.flat, drawings.items(), strict=False
        ):
            _diagram(axis, boxes, arrows)
            axis.set_title(name, loc="center", fontsize=10)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        figure.tight_layout()
    flows = "; ".join(
        f"{name}: " + ", ".join(f"{a} to {b}" for a, b in arrows)
        for name, (_, arrows) in drawings.items()
    )
    show(figure, f"{title}. Boxes and arrows, from left to right. {flows}.")


def _diagram(axis, boxes: Boxes, arrows: Arrows) -> None:
    frame = {"boxstyle": "round,pad=0.3", "fc": "white", "ec": COLOURS[0]}
    drawn = {
        text: axis.text(
            x, -y, text, ha="center", va="center", fontsize=8, bbox=frame, zorder=2
        )
        for text, (x, y) in boxes.items()
    }
    for start, end in arrows:
        axis.annotate(
            "",
            xy=(boxes[end][0], -boxes[end][1]),
            xytext=(boxes[start][0], -boxes[start][1]),
            arrowprops={
                "arrowstyle": "->",
                "patchA": drawn[start].get_bbox_patch(),
                "patchB": drawn[end].get_bbox_patch(),
                "color": "black",
            },
            zorder=1,
        )
    across, down = zip(*boxes.values(), strict=True)
    axis.set_xlim(min(across) - 0.5, max(across) + 0.5)
    axis.set_ylim(-max(down) - 0.6, -min(down) + 0.6)
