"""Deal samples out to splits: by class, and with groups kept whole."""

import warnings
from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def stratified(
    labels: np.ndarray, num_second: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split row numbers in two, each class in the same proportion in both.

    Args:
        labels: Class numbers, shape (N,).
        num_second: Rows of the second part.
        seed: Seeds the draw.

    Returns:
        The sorted row numbers of the first and of the second part.

    Raises:
        ValueError: If a part would have fewer rows than there are classes.
    """
    from sklearn.model_selection import train_test_split

    rows, num_classes = np.arange(len(labels)), len(np.unique(labels))
    if not num_classes <= num_second <= len(rows) - num_classes:
        raise ValueError(
            f"cannot take {num_second} of {len(rows)} samples: each part needs one of "
            f"each of the {num_classes} classes"
        )
    first, second = train_test_split(
        rows, test_size=num_second, random_state=seed, stratify=labels
    )
    return np.sort(first), np.sort(second)


def grouped_split(
    groups: np.ndarray, labels: np.ndarray, shares: Sequence[float], seed: int = 0
) -> tuple[np.ndarray, ...]:
    """Split row numbers so that no group, such as a patient, is in two parts.

    The classes are in about the same proportion in every part
    (`sklearn.model_selection.StratifiedGroupKFold`). Groups stay whole, and a share is
    met as a number of folds out of at most ten: parts differ a little from `shares`.

    Args:
        groups: What each sample belongs to, shape (N,).
        labels: Class numbers, shape (N,).
        shares: Share of the samples for each part; they add up to 1.
        seed: Seeds the draw.

    Returns:
        The sorted row numbers of each part.

    Raises:
        ValueError: If the lengths or the shares do not fit, or there are too few groups
            for every part to hold every class.

    Example:
        `train, val, test = grouped_split(patients, labels, (0.6, 0.2, 0.2))`
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups, labels = np.asarray(groups), np.asarray(labels)
    if groups.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"groups are {groups.shape}, labels {labels.shape}: expected one of each "
            "for every sample, shape (N,)"
        )
    if not all(0 < share < 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares are {tuple(shares)}: expected two or more, above 0, adding up to 1"
        )
    for label in np.unique(labels):
        num = len(np.unique(groups[labels == label]))
        if num < len(shares):
            raise ValueError(
                f"class {label} occurs in {num} groups: {len(shares)} parts need at "
                "least one group each"
            )
    parts, rest = [], np.arange(len(labels))
    for number in range(len(shares) - 1, 0, -1):
        share = Fraction(shares[number] / sum(shares[: number + 1]))
        # More folds than groups, or than samples of a class, cannot be dealt.
        _, counts = np.unique(labels[rest], return_counts=True)
        most = min(10, len(np.unique(groups[rest])), max(counts))
        share = share.limit_denominator(most)
        folds = max(2, share.denominator)
        taken = min(max(1, share.numerator), folds - 1)
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            # It warns of classes with fewer samples than folds; checked below.
            warnings.simplefilter("ignore")
            dealt = list(splitter.split(rest, labels[rest], groups[rest]))
        chosen = np.concatenate([fold for _, fold in dealt[:taken]])
        parts.append(np.sort(rest[chosen]))
        rest = np.delete(rest, chosen)
    parts = (rest, *reversed(parts))
    for number, rows in enumerate(parts):
        if missing := set(labels.tolist()) - set(labels[rows].tolist()):
            raise ValueError(
                f"part {number} of the grouped split has no sample of class "
                f"{min(missing)}: try another seed, or merge rare classes"
            )
    return parts


def linked(owners: np.ndarray, *shared: Sequence) -> np.ndarray:
    """Number the owners; those who have something equal get the same number.

    Args:
        owners: Whom each sample belongs to, such as a patient, shape (N,).
        *shared: What equal samples have in common, such as the picture's bytes, one a
            sample; an empty value is never equal.

    Returns:
        Whole numbers, int64 (N,): groups for `grouped_split`.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    _, nodes = np.unique(owners, return_inverse=True)
    edges = [np.stack([nodes, nodes])]
    for column in shared:
        first = {}
        known = [
            first.setdefault(value, node) if value else node
            for value, node in zip(column, nodes, strict=True)
        ]
        edges.append(np.stack([known, nodes]))
    pairs = np.concatenate(edges, axis=1)
    num = nodes.max() + 1
    graph = coo_array((np.ones(pairs.shape[1]), pairs), shape=(num, num))
    return connected_components(graph, directed=False)[1][nodes].astype("int64")


def deal(
    labels: np.ndarray, groups: np.ndarray | None, shares: Sequence[float], seed: int
) -> tuple[np.ndarray, ...]:
    """Split row numbers in three, the classes in proportion, groups kept whole.

    Where a sample has several labels, or a number, samples or groups are drawn at
    random.

    Args:
        labels: As in a `MultimodalDataset`, shape (N,) or (N, num_labels).
        groups: What each sample belongs to, shape (N,); or `None`.
        shares: Shares of train, val and test; they add up to 1.
        seed: Seeds the draw.

    Returns:
        The sorted row numbers of train, val and test.

    Raises:
        ValueError: If the shares do not fit, or there are too few samples or groups.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares are {tuple(shares)}: expected three above 0 that add up to 1"
        )
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        if groups is not None:
            return grouped_split(groups, labels, shares, seed)
        least = len(np.unique(labels))
        rest, rows = np.arange(len(labels)), []
        for share in (shares[2], shares[1]):
            num = max(least, round(share * len(labels)))
            first, second = stratified(labels[rest], num, seed)
            rows.append(rest[second])
            rest = rest[first]
        return rest, rows[1], rows[0]
    own = np.arange(len(labels)) if groups is None else groups
    names = np.unique(own)
    if len(names) < 3:
        raise ValueError(f"{len(names)} samples or groups: three splits need three")
    order = np.random.default_rng(seed).permutation(names)
    num_val, num_test = (max(1, round(s * (len(names) - 2))) for s in shares[1:])
    parts = np.split(order, [len(names) - num_val - num_test, len(names) - num_test])
    return tuple(np.flatnonzero(np.isin(own, part)) for part in parts)
