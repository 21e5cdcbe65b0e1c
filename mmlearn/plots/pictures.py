"""Pictures with their texts, and what a model saw in them."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from mmlearn.datasets import MultimodalDataset, Split
from mmlearn.plots.style import COLOURS, STYLE, show


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
            axis.imshow(_of_one(image), cmap="gray", vmin=0, vmax=1)
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


def _of_one(images: np.ndarray) -> np.ndarray:
    """Pixels as shares of 1; they are given as these, or as 0 to 255."""
    return np.clip(images / (255 if images.max() > 1 else 1), 0, 1)


def overlay(
    images: np.ndarray, maps: np.ndarray, titles: Sequence[str], alt: str
) -> None:
    """Show pictures, and below each where a model found evidence, in colour on grey.

    The colour scale is common to all, and a line surrounds what is above half of a
    map's maximum, so that a dark place of the picture can be marked, too.

    Args:
        images: Shape (N, height, width, channels), 0 to 255 or 0 to 1.
        maps: Shape (N, height, width), 0 to 1, such as `explain.grad_cam` gives.
        titles: One per picture.
        alt: What the figure shows; where each map is brightest is added.
    """
    num, images = len(images), _of_one(images)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2, num, figsize=(1.8 * num, 4), squeeze=False, layout="constrained"
        )
        for axis in axes.flat:
            axis.axis("off")
        for column, (shown, found, title) in enumerate(
            zip(images, maps, titles, strict=True)
        ):
            axes[0, column].imshow(shown, cmap="gray")
            wrapped = textwrap.fill(title, 18)
            axes[0, column].set_title(wrapped, loc="center", fontsize=9)
            grey = shown.mean(axis=-1)
            axes[1, column].imshow(grey, cmap="gray", vmin=0, vmax=1)
            heat = axes[1, column].imshow(
                found, cmap="inferno", vmin=0, vmax=1, alpha=0.6
            )
            if found.max() > 0:
                half = [found.max() / 2]
                axes[1, column].contour(found, half, colors="white", linewidths=1)
        figure.colorbar(heat, ax=axes, shrink=0.5, label="share of a map's maximum")
    places = []
    for found, title in zip(maps, titles, strict=True):
        if found.max() <= 0:
            places.append(f"{title}: nowhere")
            continue
        row, column = np.unravel_index(found.argmax(), found.shape)
        down = ("top", "middle", "bottom")[min(3 * row // found.shape[0], 2)]
        across = ("left", "centre", "right")[min(3 * column // found.shape[1], 2)]
        places.append(f"{title}: {down} {across}")
    show(figure, f"{alt} Brightest: {'; '.join(places)}.")


def words(
    texts: Sequence[Sequence[str]],
    attributions: Sequence[np.ndarray],
    titles: Sequence[str],
    label: str = "change of the class's probability, points",
) -> None:
    """Show how much each word of a few texts speaks for a class, as bars.

    Args:
        texts: The words of each text.
        attributions: For each text, one number per word, as shares of 1.
        titles: One per text.
        label: What is measured, with its unit.
    """
    with plt.rc_context(STYLE):
        tallest = max(len(text) for text in texts)
        size = (3.2 * len(texts), 1 + 0.26 * tallest)
        figure, axes = plt.subplots(1, len(texts), figsize=size, squeeze=False)
        parts = zip(axes.flat, texts, attributions, titles, strict=True)
        for axis, text, values, title in parts:
            points = 100 * np.asarray(values)[: len(text)]
            hatches = ["" if value >= 0 else "///" for value in points]
            places = np.arange(len(text))
            colours = [COLOURS[0] if value >= 0 else "white" for value in points]
            axis.barh(
                places, points, color=colours, edgecolor=COLOURS[0], hatch=hatches
            )
            axis.set_yticks(places, text)
            axis.invert_yaxis()
            axis.axvline(0, color="black", lw=0.8)
            axis.set_title(textwrap.fill(title, 28), fontsize=9)
        figure.supxlabel(label, fontsize=9)
        figure.tight_layout()
    told = []
    for text, values, title in zip(texts, attributions, titles, strict=True):
        if len(text):
            best = int(np.argmax(np.asarray(values)[: len(text)]))
            told.append(f"{title}: '{text[best]}' {100 * values[best]:+z.0f}")
    show(figure, f"{label}, word by word. Strongest: {'; '.join(told)}.")
