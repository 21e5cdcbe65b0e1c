"""TensorFusion of three modalities: contracted (the layer) against materialised.

    python -m benchmarks.tensor_memory

Both compute h = K ([1; x_1] ⊗ [1; x_2] ⊗ [1; x_3]) + b; the materialised one makes the
outer product, of 129³ numbers a sample, then multiplies. Peaks come from a process of
their own for each; times from one process, interleaved.
"""

import argparse
import json

import keras
import numpy as np

from benchmarks import memory, timing
from benchmarks.cases import Case
from benchmarks.equations import materialised, weights
from benchmarks.native import native
from mmlearn.fusion import TensorFusion

MODALITIES, DIM, BATCH = 3, 128, 32


def step(which: str, units: int):
    """Return forward and backward of one of the two, compiled."""
    case = Case("", lambda: TensorFusion(units), ((DIM,),) * MODALITIES, materialised)
    layer, inputs, backend = case.build(), case.inputs(BATCH), native()
    along = np.random.default_rng(1).normal(size=(BATCH, units)).astype("float32")
    if which == "contracted":
        return backend.layer_step(layer, inputs, along)
    return backend.equation_step(layer, materialised, weights(layer), inputs, along)


def worker(which: str, units: int) -> None:
    """Print one peak, or the times of both, as JSON."""
    if which == "times":
        steps = (step(name, units) for name in ("contracted", "materialised"))
        result = timing.compare(*steps, rounds=9)
        print(json.dumps(result.cells()))
        return
    print(json.dumps(memory.peak_mb(step(which, units))))


def measure(which: str, units: int):
    return memory.in_new_process(
        "benchmarks.tensor_memory", "--worker", which, "--units", str(units)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--worker", choices=["contracted", "materialised", "times"])
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.units[0])
        return
    rows = []
    for units in args.units:
        ours, full = (measure(w, units) for w in ("contracted", "materialised"))
        gradient = 4e-6 * (DIM + 1) ** MODALITIES * units
        cells = [f"{ours:.0f}", f"{full:.0f}", f"1/{full / ours:.1f}"]
        rows.append([str(units), f"{gradient:.0f}", *cells, *measure("times", units)])
        print(*rows[-1], sep="  ", flush=True)
    name = keras.backend.backend()
    header = ["units", "MB, kernel's gradient", "peak MB, contracted"]
    header += ["peak MB, materialised", "peak ratio", "ms, contracted"]
    header += ["ms, materialised", "time ratio [95 % interval]"]
    text = (
        f"# TensorFusion, {MODALITIES} × {DIM} features, B = {BATCH}, {name}\n\n"
        f"{timing.machine(*timing.backend_packages())}\n\nForward and backward. Peaks "
        "are above what is in use once the layer is built and its step compiled; the "
        "gradient of the kernel, the same for both, is part of them.\n\n"
    )
    timing.save(f"tensor_memory_{name}.md", text + timing.table(header, rows))


if __name__ == "__main__":
    main()
