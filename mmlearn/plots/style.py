"""How every figure looks, and how it is shown."""

import re

import matplotlib.pyplot as plt
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmlearn.datasets import base

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""

# Fonts with Chinese and Japanese characters, as systems bring them.
_CJK = {
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "PingFang SC",
    "SimHei",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Yu Gothic",
}.intersection(font_manager.get_font_names())
_CJK_CHARACTER = re.compile("[\u3040-\u30ff\u3400-\u9fff]")

STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.prop_cycle": plt.cycler(color=COLOURS),
    "figure.dpi": 100,
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a caption may cost $20
}
"""Matplotlib settings of every figure, for `plt.rc_context`."""


def show(figure: Figure, alt: str) -> None:
    """Display a figure with its description, then close it.

    Where a stand-in for a data set has been loaded, figure and description say so.
    Where there is no font for its Chinese or Japanese, a line says how to get one.

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
    texts = figure.findobj(lambda artist: isinstance(artist, Text))
    texts = [text for text in texts if _CJK_CHARACTER.search(text.get_text())]
    for text in texts:
        text.set_fontfamily([*text.get_fontfamily(), *sorted(_CJK)])
    if texts and not _CJK:
        print(
            "no font here has Chinese or Japanese characters, they become boxes: "
            "install Noto Sans CJK (Debian and Ubuntu: fonts-noto-cjk) and restart"
        )
    display(figure, metadata={"image/png": {"alt": alt}})
    plt.close(figure)
