"""Is what belongs together near? The rank of the right answer to each query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmlearn.evaluate.intervals import Estimate, bootstrap
from mmlearn.evaluate.tables import Table

_ROWS = 1000  # queries whose similarities are held at a time


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Where the first right answer to each query stands.

    Attributes:
        ranks: 1 = first, (Q,). Wrong answers as near as the right one count half.
        groups: What each query belongs to, (Q,): intervals draw whole groups. `None`:
            each query for itself.
        num_right: Right answers to each query, (Q,).
        size: Number of answers in the gallery, G.
        unit: What is drawn, for the tables.
    """

    ranks: np.ndarray
    groups: np.ndarray | None
    num_right: np.ndarray
    size: int
    unit: str

    def recall(self, k: int) -> Estimate:
        """Return R@k: how often a right answer is among the first k."""
        return self._over(self.ranks <= k)

    def mrr(self) -> Estimate:
        """Return the mean reciprocal rank."""
        return self._over(1 / self.ranks)

    def median_rank(self) -> Estimate:
        """Return the median rank."""
        return self._over(self.ranks, np.median)

    def chance(self, k: int) -> float:
        """Return R@k of answers in random order: 1 - C(G - r, k)/C(G, k) for r right.

        The mean over the queries.
        """
        k = min(k, self.size)
        missed = np.ones(len(self.ranks))
        for i in range(k):  # the next of k draws is wrong, too
            missed *= np.maximum(self.size - self.num_right - i, 0) / (self.size - i)
        return float(1 - missed.mean())

    def table(self, at: Sequence[int] = (1, 5, 10)) -> Table:
        """Return the scores with their intervals, and chance."""
        rows = [
            (f"R@{k}", f"{100 * self.recall(k):.1f}", f"{100 * self.chance(k):.1f}")
            for k in at
        ]
        mrr = self.mrr()
        rows.append(("MRR", f"{mrr:.2f}", "–"))
        rows.append(("median rank", f"{self.median_rank():.0f}", "–"))
        note = (
            f"{len(self.ranks):,} queries among {self.size:,}; R@k in %; 95 % "
            f"bootstrap interval over {mrr.n:,} {self.unit}"
        )
        return Table(("score", "found", "chance"), tuple(rows), note)

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()

    def _over(self, values: np.ndarray, statistic=np.mean) -> Estimate:
        return bootstrap(values, 0, self.unit, self.groups, statistic)


def retrieval(
    queries: np.ndarray,
    gallery: np.ndarray,
    shown: np.ndarray | None = None,
    answers: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    unit: str | None = None,
) -> Retrieval:
    """Rank a gallery by its cosine to each query.

    Args:
        queries: Embeddings of one modality, (Q, embed_dim).
        gallery: Embeddings of the other, (G, embed_dim). A larger gallery is harder:
            compare scores of galleries of equal size only.
        shown: What each query shows, (Q,), any labels; `None`: query i belongs to
            answer i.
        answers: What each answer shows, (G,); right where equal.
        groups: Units of the interval, (Q,), such as families of near copies; `None`:
            each query is one.
        unit: Their name in the plural, for the tables; `None`: "groups", or "queries".

    Returns:
        The ranks; shows as a table with R@1, R@5, R@10, MRR and the median rank.

    Raises:
        ValueError: If shapes do not fit, an embedding is 0 or not finite, or a query
            has no right answer.

    Example:
        >>> z = np.eye(3)
        >>> retrieval(z, z[[0, 2, 1]]).ranks
        array([1. , 2.5, 2.5])
    """
    queries, gallery = _unit(queries, "queries"), _unit(gallery, "gallery")
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} numbers, the gallery {gallery.shape[1]}"
        )
    if (shown is None) != (answers is None):
        raise ValueError("give both shown and answers, or none of them")
    if shown is None:
        if len(queries) != len(gallery):
            raise ValueError(
                f"{len(queries)} queries and {len(gallery)} answers: say with shown "
                "and answers what belongs together"
            )
        shown = answers = np.arange(len(queries))
    shown, answers = (
        _labels(shown, queries, "shown"),
        _labels(answers, gallery, "answers"),
    )
    if groups is not None:
        groups = _labels(groups, queries, "groups")
    ranks, num_right = np.empty(len(queries)), np.empty(len(queries), int)
    for start in range(0, len(queries), _ROWS):
        rows = slice(start, start + _ROWS)
        near = queries[rows] @ gallery.T
        right = shown[rows, None] == answers
        num_right[rows] = right.sum(axis=1)
        best = np.where(right, near, -np.inf).max(axis=1, keepdims=True)
        # Rounding parts the cosines of equal vectors.
        above = (near > best + 1e-12) & ~right
        level = (abs(near - best) <= 1e-12) & ~right
        ranks[rows] = 1 + above.sum(axis=1) + level.sum(axis=1) / 2
    if (num_right == 0).any():
        first = shown[num_right == 0][0]
        raise ValueError(f"query {first!r} has no right answer in the gallery")
    unit = unit or ("queries" if groups is None else "groups")
    return Retrieval(ranks, groups, num_right, len(gallery), unit)


def _unit(x: np.ndarray, what: str) -> np.ndarray:
    """Return embeddings as unit vectors."""
    x = np.asarray(x, "float64")
    if x.ndim != 2 or not len(x):
        raise ValueError(f"{what} have shape {x.shape}, expected (N, embed_dim)")
    length = np.linalg.norm(x, axis=1, keepdims=True)
    if not (np.isfinite(length) & (length > 0)).all():
        raise ValueError(f"{what}: an embedding is 0 or not finite")
    return x / length


def _labels(values: np.ndarray, of: np.ndarray, what: str) -> np.ndarray:
    """Return one label per embedding."""
    values = np.asarray(values)
    if values.shape != (len(of),):
        raise ValueError(f"{what} has shape {values.shape}, expected ({len(of)},)")
    return values
