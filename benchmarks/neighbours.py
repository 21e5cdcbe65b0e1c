"""Nearest neighbours among 10³ to 10⁶ points: NumPy, and FAISS, exact and by cells.

    pip install faiss-cpu
    python -m benchmarks.neighbours

Points are unit vectors of 128 numbers around 1,000 centres, made up; queries are drawn
like them. NumPy multiplies by all points and takes the ten largest products. FAISS does
the same (`IndexFlatIP`), or looks only into the cells nearest to the query
(`IndexIVFFlat`; Johnson et al. 2017, https://arxiv.org/abs/1702.08734). Both are called
alike: `index.search(queries, 10)`.
"""

import argparse
import time

import numpy as np

from benchmarks import timing

DIM, QUERIES, FIRST = 128, 16, 10


def points(num: int, rng: np.random.Generator, centres: np.ndarray) -> np.ndarray:
    """Return unit vectors around centres, float32 (num, DIM)."""
    x = centres[rng.integers(0, len(centres), num)]
    x = x + 0.7 * rng.normal(size=x.shape).astype("float32") / np.sqrt(DIM)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def by_numpy(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return the places of the ten nearest, (Q, 10), in any order."""
    return np.argpartition(queries @ gallery.T, -FIRST, axis=1)[:, -FIRST:]


def by_cells(gallery: np.ndarray, probes: int):
    """Return an index of about √N cells, trained on its points."""
    import faiss

    cells = int(4 * np.sqrt(len(gallery)))
    quantizer = faiss.IndexFlatIP(DIM)
    index = faiss.IndexIVFFlat(quantizer, DIM, cells, faiss.METRIC_INNER_PRODUCT)
    index.train(gallery[: 50 * cells])
    index.add(gallery)
    index.nprobe = probes
    return index


def measure(num: int, probes: int) -> list[str]:
    """Return a row of the table."""
    import faiss

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(1000, DIM)).astype("float32")
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    gallery, queries = points(num, rng, centres), points(QUERIES, rng, centres)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(gallery)
    start = time.perf_counter()
    index = by_cells(gallery, probes)
    built = time.perf_counter() - start
    exact, quick = flat.search(queries, FIRST)[1], index.search(queries, FIRST)[1]
    same = [
        set(a) == set(b) for a, b in zip(exact, by_numpy(queries, gallery), strict=True)
    ]
    if not all(same):
        raise RuntimeError(f"NumPy and FAISS differ for {num:,} points")
    found = np.mean(
        [len(set(a) & set(b)) / FIRST for a, b in zip(exact, quick, strict=True)]
    )
    few = {"rounds": 9, "warm_up": 1}
    plain = timing.compare(
        lambda: by_numpy(queries, gallery), lambda: flat.search(queries, FIRST), **few
    )
    ratio = timing.compare(
        lambda: by_numpy(queries, gallery), lambda: index.search(queries, FIRST), **few
    )
    return [
        f"{num:,}",
        *plain.cells(),
        *ratio.cells()[1:],
        f"{100 * found:.0f} %",
        f"{built:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [1_000, 10_000, 100_000, 1_000_000]
    parser.add_argument("--sizes", type=int, nargs="+", default=sizes)
    parser.add_argument("--probes", type=int, default=16)
    args = parser.parse_args()
    rows = []
    for num in args.sizes:
        rows.append(measure(num, args.probes))
        print(*rows[-1], sep="  ", flush=True)
    header = ["points", "ms, NumPy", "ms, FAISS exact", "NumPy / exact [95 %]"]
    header += ["ms, FAISS cells", "NumPy / cells [95 %]", "of the ten nearest"]
    header += ["s to build"]
    text = (
        "# Nearest neighbours\n\n"
        f"{timing.machine('numpy', 'faiss-cpu')}\n\n{QUERIES} queries at a time, "
        f"{DIM} numbers a point, the ten nearest by cosine. Cells: four times the root "
        f"of the number of points, {args.probes} of them looked into.\n\n"
    )
    timing.save("neighbours.md", text + timing.table(header, rows))


if __name__ == "__main__":
    main()
