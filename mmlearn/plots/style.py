"""How every figure looks, and how it is shown."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from mmlearn.datasets import base

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
"""Matplotlib settings of every figure, for `plt.rc_context`."""


def show(figure: Figure, alt: str) -> None:
    """Display a figure with its description, then close it.

    Where a stand-in for a data set has been loaded, figure and description say so.

    Args:
        figure: A matplotlib figure.
        alt: What the figure shows, in a sentence, for those who cannot see it.

    Raises:
        ValueError: If the description is shorter than 20 characters.
    """
    from IPython.display import display

    if len(alt) < 20:
        raise ValueError(f"alt is {alt!r}: say in a sentence what the figure shows")
    if base.STAND_INS:
        names = ", ".join(base.STAND_INS)
        mark = f"STAND-IN DATA ({names})"
        # Below the axes: notebooks cut a figure to what is drawn, so nothing is hidden.
        figure.text(1, 0, mark, ha="right", va="top", color="#B00000", fontsize=9)
        alt = f"{mark}. {alt}"
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)
