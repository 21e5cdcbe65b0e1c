"""Small flow diagrams: boxes joined by arrows."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt

from mmlearn.plots.style import COLOURS, STYLE, show

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
