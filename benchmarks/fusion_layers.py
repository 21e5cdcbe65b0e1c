"""Each fusion layer against the same equation in the backend's own operations.

    python -m benchmarks.fusion_layers [--only NAME] [--batch 128] [--dim 256]

Forward and backward, with gradients of weights and inputs; compiled by `tf.function` or
`jax.jit`, eager on PyTorch. KERAS_BACKEND chooses the backend.
"""

import argparse

import keras
import numpy as np

from benchmarks import timing
from benchmarks.cases import Case, cases
from benchmarks.equations import weights
from benchmarks.native import native


def steps(case: Case, batch: int):
    """Return the layer's step and the equation's, on the same weights and inputs."""
    backend, layer, inputs = native(), case.build(), case.inputs(batch)
    shape = layer(inputs).shape
    along = np.random.default_rng(1).normal(size=shape).astype("float32")
    ours = backend.layer_step(layer, inputs, along)
    by_hand = backend.equation_step(layer, case.equation, weights(layer), inputs, along)
    return ours, by_hand


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-save", action="store_true", help="print only")
    args = parser.parse_args()
    rows = []
    for case in cases(args.dim):
        if args.only not in case.name:
            continue
        result = timing.compare(*steps(case, args.batch), args.rounds)
        rows.append([case.name, str(args.batch), str(args.dim), *result.cells()])
        print(*rows[-1], sep="  ", flush=True)
    name = keras.backend.backend()
    how = "eager" if name == "torch" else "compiled"
    header = ["layer", "B", "d", "ms, layer", "ms, by hand", "ratio [95 % interval]"]
    text = (
        f"# Fusion layers, {name} ({how})\n\n"
        f"{timing.machine(*timing.backend_packages())}\n\nForward and backward of each "
        "layer, and of its equation in the backend's own operations; how it was "
        "measured: `benchmarks/README.md`.\n\n"
    )
    text += timing.table(header, rows)
    if args.no_save or args.only:
        print(text)
    else:
        timing.save(f"fusion_layers_{name}.md", text)


if __name__ == "__main__":
    main()
