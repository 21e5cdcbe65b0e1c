"""Each fusion layer against its equation on the device, and against its limits. JAX.

    python -m benchmarks.gpu.layers RESULT.json [--batch 4096] [--dim 1024] [--tiny]

Forward and backward, compiled, in float32 and in bfloat16. The limit of a step is the
larger of two times: each input, weight, output and gradient moved once at the speed of
a copy, and its operations at the speed of a product of large matrices; both speeds are
measured here.
"""

import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import jax
import keras
import numpy as np
from jax import numpy as jnp

from benchmarks import timing
from benchmarks.cases import Case, cases
from benchmarks.equations import weights
from benchmarks.native import native

LARGEST = 2**27  # numbers in an output: what does not fit runs with a smaller batch
AT_ONCE = 8  # pairs of programs that are compiled together
DTYPES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def speed(function, *arguments, calls: int = 20) -> float:
    """Return the seconds of one call, the median."""
    run, seconds = jax.jit(function), []
    for _ in range(calls):
        start = time.perf_counter()
        # One at a time: results that wait take memory, and memory takes time.
        jax.block_until_ready(run(*arguments))
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def limits(size: int) -> dict[str, float]:
    """Measure bytes a second, and operations a second in both precisions."""
    x = jnp.ones((size, 4 * size))
    found = {"bytes": 2 * x.nbytes / speed(lambda x: x + 1, x)}
    for dtype in DTYPES:
        a, b = jax.random.normal(jax.random.key(0), (2, size, size)).astype(dtype)
        found[dtype] = 2 * size**3 / speed(jnp.matmul, a, b)
    return found


def lowered(equation, dtype: str):
    """Return the equation with its weights cast, as Keras's policies do."""

    def cast(o, w, x):
        def one(v):
            return v.astype(dtype) if jnp.issubdtype(v.dtype, jnp.floating) else v

        return equation(o, keras.tree.map_structure(one, w), x)

    return cast


def steps(case: Case, batch: int, dtype: str):
    """Return the layer's step, the equation's, and the batch."""
    keras.config.set_dtype_policy(DTYPES[dtype])
    # Each new shape of a weight is a program to compile: quicker for a CPU.
    with jax.default_device(jax.devices("cpu")[0]):
        backend, layer = native(), case.build()
    shapes = [(1, *shape) for shape in case.shapes]
    out = layer.compute_output_spec([keras.KerasTensor(s) for s in shapes]).shape
    batch = min(batch, max(1, LARGEST // int(np.prod(out))))
    few = [x.astype(jnp.dtype(dtype)) for x in case.inputs(min(batch, 256))]
    inputs = [np.resize(x, (batch, *x.shape[1:])) for x in few]
    along = np.random.default_rng(1).random((batch, *out[1:]), "float32") - 0.5
    equation = case.equation
    if dtype != "float32":
        equation = lowered(equation, dtype)
    ours = backend.layer_step(layer, inputs, along)
    by_hand = backend.equation_step(layer, equation, weights(layer), inputs, along)
    return ours, by_hand, batch


def apart(ours, by_hand) -> float:
    """Return the largest difference of the outputs, as a share of the largest."""
    one, other = (jax.tree.leaves(run()[0]) for run in (ours, by_hand))
    pairs = [
        (jnp.asarray(a, "float32"), jnp.asarray(b, "float32"))
        for a, b in zip(one, other, strict=True)
    ]
    return max(float(abs(a - b).max() / abs(b).max()) for a, b in pairs)


def measure(case: Case, made, found: dict[str, float], dtype: str, rounds: int) -> dict:
    """Return one row."""
    ours, by_hand, batch = made
    result = timing.compare(ours, by_hand, rounds, at_least=0.01, warm_up=2)
    row = {
        "layer": case.name,
        "dtype": dtype,
        "batch": batch,
        "ms": [1e3 * float(np.median(t)) for t in (result.first, result.second)],
        "ratio": result.ratio,
        "apart": apart(ours, by_hand),
    }
    try:
        operations, moved = by_hand.cost()
    except Exception as error:  # a compiler that cannot count costs no measured time
        return row | {"share_of_limit": None, "limited_by": str(error)[:80]}
    memory, arithmetic = moved / found["bytes"], operations / found[dtype]
    share = max(memory, arithmetic) / float(np.median(result.first))
    by = "memory" if memory > arithmetic else "arithmetic"
    return row | {"share_of_limit": share, "limited_by": by}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    if args.tiny:
        args.batch, args.dim = 16, 8
    every = cases(args.dim)
    # Some of each family first: what a cut leaves is a sample.
    chosen = [case for start in range(9) for case in every[start::9]]
    chosen = chosen[:4] if args.tiny else chosen
    report = {"dim": args.dim, "rows": [], "failed": {}}
    report["limits"] = limits(256 if args.tiny else 8192)
    pairs = list(product(chosen, DTYPES))
    for start in range(0, len(pairs), AT_ONCE):
        few = pairs[start : start + AT_ONCE]
        begun = {}
        with ThreadPoolExecutor() as pool:  # XLA compiles several at a time
            for case, dtype in few:
                made = steps(case, args.batch, dtype)
                begun[case, dtype] = made, [pool.submit(step) for step in made[:2]]
        for (case, dtype), (made, first) in begun.items():
            try:
                for one in first:
                    one.result()
                row = measure(case, made, report["limits"], dtype, args.rounds)
                report["rows"].append(row)
            except Exception as error:  # too large for the device, say
                report["failed"][f"{case.name}, {dtype}"] = str(error)[:500]
        args.result.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
