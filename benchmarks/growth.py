"""Time and memory of fusions as modalities, features or tokens become more.

    python -m benchmarks.growth

Writes results/growth.png and results/growth.md. Needs Linux, for the memory.
"""

import argparse
import json
from functools import partial

import keras
import matplotlib
import numpy as np

from benchmarks import memory, timing
from benchmarks.native import native
from mmlearn import fusion as f

BATCH = 32
AXES = {
    "M": ("modalities M", (2, 3, 4, 6, 8), "d = 64; 8 for TensorFusion, to M = 4"),
    "d": ("feature length d", (32, 64, 128, 256, 512), "M = 2, 16 outputs"),
    "T": ("tokens per modality T", (8, 16, 32, 64, 128), "M = 2, d = 64"),
}
# Per axis: name, layer, input shapes at a size, largest size.
LAYERS = {
    "M": [
        ("ConcatFusion", f.ConcatFusion, lambda m: [(64,)] * m, 8),
        ("GatedFusion", partial(f.GatedFusion, 64), lambda m: [(64,)] * m, 8),
        ("LowRankFusion", partial(f.LowRankFusion, 64), lambda m: [(64,)] * m, 8),
        ("TensorFusion", partial(f.TensorFusion, 16), lambda m: [(8,)] * m, 4),
        (
            "SelfAttentionFusion",
            partial(f.SelfAttentionFusion, 64),
            lambda m: [(64,)] * m,
            8,
        ),
        (
            "CrossModalAttention",
            partial(f.CrossModalAttention, 64),
            lambda m: [(64,)] * m,
            8,
        ),
    ],
    "d": [
        ("ConcatFusion", f.ConcatFusion, lambda d: [(d,)] * 2, 512),
        ("TensorFusion", partial(f.TensorFusion, 16), lambda d: [(d,)] * 2, 512),
        ("LowRankFusion", partial(f.LowRankFusion, 16), lambda d: [(d,)] * 2, 512),
        ("Bilinear, full", partial(f.BilinearFusion, 16), lambda d: [(d,)] * 2, 512),
        (
            "Bilinear, mutan",
            partial(f.BilinearFusion, 16, "mutan", embed_dim=64),
            lambda d: [(d,)] * 2,
            512,
        ),
        (
            "Bilinear, mlb",
            partial(f.BilinearFusion, 16, "mlb", embed_dim=64),
            lambda d: [(d,)] * 2,
            512,
        ),
    ],
    "T": [
        (name, partial(getattr(f, name), 64), lambda t: [(t, 64)] * 2, 128)
        for name in ("SelfAttentionFusion", "CrossModalAttention", "BottleneckFusion")
    ],
}
# Okabe and Ito's colours, told apart by everybody; each also has its marker.
STYLES = {
    "ConcatFusion": ("#000000", "o"),
    "GatedFusion": ("#E69F00", "s"),
    "LowRankFusion": ("#56B4E9", "^"),
    "TensorFusion": ("#D55E00", "D"),
    "SelfAttentionFusion": ("#0072B2", "v"),
    "CrossModalAttention": ("#009E73", "P"),
    "BottleneckFusion": ("#CC79A7", "X"),
    "Bilinear, full": ("#E69F00", "s"),
    "Bilinear, mutan": ("#009E73", "P"),
    "Bilinear, mlb": ("#CC79A7", "X"),
}


def worker(axis: str, which: int) -> None:
    """Print sizes, milliseconds and peak MB of one layer along one axis, as JSON."""
    _, make, shapes, largest = LAYERS[axis][which]
    rng, found = np.random.default_rng(0), []
    for size in AXES[axis][1]:
        if size > largest:
            break
        x = [rng.normal(size=(BATCH, *s)).astype("float32") for s in shapes(size)]
        layer = make()
        along = rng.normal(size=layer(x).shape).astype("float32")
        step = native().layer_step(layer, x, along)
        peak = memory.peak_mb(step)
        # With itself: the median of all rounds is what counts here.
        times = timing.compare(step, step, rounds=7)
        ms = 1e3 * float(np.median([times.first, times.second]))
        found.append((size, ms, peak))
    print(json.dumps(found))


def measure() -> dict:
    """Return {axis: {layer: [(size, ms, MB), …]}}."""
    found = {}
    for axis, layers in LAYERS.items():
        found[axis] = {}
        for which, (name, *_) in enumerate(layers):
            found[axis][name] = memory.in_new_process(
                "benchmarks.growth", "--worker", axis, str(which)
            )
            print(axis, name, found[axis][name], flush=True)
    return found


def exponent(points: list, column: int) -> float:
    """Slope over the last three sizes on logarithmic axes: 1 is linear, 2 quadratic."""
    sizes, *values = np.array(points[-3:]).T
    return float(np.polyfit(np.log(sizes), np.log(values[column] + 1e-9), 1)[0])


def draw(found: dict) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, grid = plt.subplots(2, 3, figsize=(12, 6.5), layout="constrained")
    for (axis, layers), (upper, lower) in zip(found.items(), grid.T, strict=True):
        label, sizes, note = AXES[axis]
        for name, points in layers.items():
            color, marker = STYLES[name]
            size, ms, peak = zip(*points, strict=True)
            style = {"color": color, "marker": marker, "label": name}
            upper.plot(size, ms, **style)
            # A logarithmic axis has no 0; pages are 4 kB.
            lower.plot(size, np.maximum(peak, 0.01), **style)
        for place in (upper, lower):
            place.set(xscale="log", yscale="log", xlabel=label)
            place.set_xticks(sizes, [str(size) for size in sizes])
            place.minorticks_off()
            place.grid(alpha=0.3)
        upper.set_title(note, fontsize=9)
        upper.legend(
            fontsize=7, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.07)
        )
    grid[0, 0].set_ylabel("ms per step")
    grid[1, 0].set_ylabel("peak memory of a step, MB")
    timing.RESULTS.mkdir(exist_ok=True)
    fig.savefig(timing.RESULTS / "growth.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", nargs=2, metavar=("AXIS", "LAYER"))
    args = parser.parse_args()
    if args.worker:
        worker(args.worker[0], int(args.worker[1]))
        return
    found = measure()
    draw(found)
    rows, said = [], []
    for axis, layers in found.items():
        for name, points in layers.items():
            (first, ms, peak), (last, last_ms, last_peak) = points[0], points[-1]
            rows.append([name, f"{axis} = {first} … {last}"])
            rows[-1] += [f"{ms:.2f} → {last_ms:.2f}", f"{peak:.1f} → {last_peak:.1f}"]
            slopes = [exponent(points, column) for column in (0, 1)]
            rows[-1] += [f"{slope:.1f}" for slope in slopes]
        times = {name: points[-1][1] for name, points in layers.items()}
        said.append(
            f"At the largest {AXES[axis][0]}, {max(times, key=times.get)} takes "
            f"longest and {min(times, key=times.get)} is fastest."
        )
    alt = (
        "Six line charts on logarithmic axes: time above, peak memory below, against "
        f"the number of modalities, feature length and tokens. {' '.join(said)}"
    )
    header = ["layer", "range", "ms", "peak MB", "slope of time", "slope of memory"]
    text = (
        f"# Growth, {keras.backend.backend()}\n\n"
        f"{timing.machine(*timing.backend_packages())}\n\n"
        f"Forward and backward, compiled, B = {BATCH}, from the smallest to the "
        "largest size. A slope is that over the last three sizes on logarithmic axes: "
        f"1 means linear, 2 quadratic.\n\n![{alt}](growth.png)\n\n"
        f"{timing.table(header, rows)}"
    )
    timing.save("growth.md", text)


if __name__ == "__main__":
    main()
