"""Tables that print as text and display as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmlearn.evaluate.intervals import interval
from mmlearn.evaluate.metrics import METRICS, per_seed, scores, task_of

COLUMNS = {
    "classes": ("accuracy", "balanced accuracy", "macro F1", "AUROC", "log loss"),
    "multilabel": ("accuracy", "balanced accuracy", "macro F1", "AUROC", "log loss"),
    "regression": ("R²", "MAE", "RMSE", "correlation"),
}
"""Task → the columns that a table shows unless told otherwise."""


@dataclass(frozen=True)
class Table:
    """Results of several candidates; prints as text, displays as Markdown."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str

    def _repr_markdown_(self) -> str:
        lines = [self.header, (":--",) + ("--:",) * (len(self.header) - 1), *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"{table}\n\n*{self.note}*"

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        text = [
            "  ".join(
                cell.ljust(width) for cell, width in zip(line, widths, strict=True)
            )
            for line in lines
        ]
        return "\n".join([*(line.rstrip() for line in text), self.note])


def table(
    candidates: Mapping[str, np.ndarray],
    labels: np.ndarray,
    parameters: Mapping[str, int] | None = None,
    columns: Sequence[str] | None = None,
) -> Table:
    """Return the scores of some candidates, with their intervals over seeds.

    Args:
        candidates: Name → predictions, such as (seeds, N, num_classes).
        labels: Labels of the test samples.
        parameters: Name → number of the model's weights.
        columns: Names of scores (see `scores`); `None` for the five that are read most.

    Returns:
        A table; ± is the 95 % t-interval over seeds.

    Raises:
        ValueError: If a column is unknown, a class has no test sample, or a row cannot
            be probabilities.
    """
    task = task_of(labels)
    known = {metric.name: metric for metric in METRICS[task]}
    columns = list(columns or COLUMNS[task])
    if unknown := [name for name in columns if name not in known]:
        raise ValueError(f"score {unknown[0]!r} is unknown: choose from {list(known)}")
    rows = []
    for name, predictions in candidates.items():
        found = scores(predictions, labels)
        cells = []
        for column in columns:
            percent = known[column].percent
            spread = interval((100 if percent else 1) * found[column])
            cells.append(f"{spread:.1f}" if percent else f"{spread:.2f}")
        weights = f"{parameters[name]:,}" if name in (parameters or {}) else "–"
        rows.append((name, *cells, weights, str(len(per_seed(predictions, labels)))))
    header = ("model", *(known[c].title for c in columns), "parameters", "seeds")
    note = (
        f"{len(labels):,} test samples; ± is the 95 % t-interval over seeds, absent "
        "where there is one seed"
    )
    return Table(header, tuple(rows), note)
