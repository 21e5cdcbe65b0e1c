"""Is fusion really better, which modality did the work, and at what cost?"""

from mmlearn.evaluate.comparison import Comparison, compare
from mmlearn.evaluate.conformal import Conformal, conformal
from mmlearn.evaluate.corruptions import CORRUPTIONS
from mmlearn.evaluate.cost import Cost, cost
from mmlearn.evaluate.intervals import Estimate, bootstrap, interval
from mmlearn.evaluate.metrics import (
    METRICS,
    accuracy,
    calibration,
    correct,
    majority,
    paired_gain,
    scores,
    task_of,
)
from mmlearn.evaluate.retrieval import Retrieval, retrieval
from mmlearn.evaluate.stress import Missing, Robustness, missing, robustness
from mmlearn.evaluate.survival import concordance
from mmlearn.evaluate.tables import COLUMNS, Table, table

__all__ = [
    "COLUMNS",
    "CORRUPTIONS",
    "METRICS",
    "Comparison",
    "Conformal",
    "Cost",
    "Estimate",
    "Missing",
    "Retrieval",
    "Robustness",
    "Table",
    "accuracy",
    "bootstrap",
    "calibration",
    "compare",
    "concordance",
    "conformal",
    "correct",
    "cost",
    "interval",
    "majority",
    "missing",
    "paired_gain",
    "retrieval",
    "robustness",
    "scores",
    "table",
    "task_of",
]


def __dir__() -> list[str]:
    return __all__  # what completion shows
