"""Figures: one call each, with a sentence that says what the figure shows."""

from mmlearn.plots.diagrams import diagrams
from mmlearn.plots.pictures import overlay, pictures, samples, words
from mmlearn.plots.results import (
    bars,
    comparison,
    confusion,
    contributions,
    embeddings,
    heat,
    reliability,
    robustness,
)
from mmlearn.plots.style import COLOURS, STYLE, show

__all__ = [
    "COLOURS",
    "STYLE",
    "bars",
    "comparison",
    "confusion",
    "contributions",
    "diagrams",
    "embeddings",
    "heat",
    "overlay",
    "pictures",
    "reliability",
    "robustness",
    "samples",
    "show",
    "words",
]


def __dir__() -> list[str]:
    return __all__  # what completion shows
