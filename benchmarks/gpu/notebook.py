"""Execute one notebook and note when each cell ended.

    python -m benchmarks.gpu.notebook 02 RESULT.json FOLDER [--fast] [--half]

A failing cell is noted and the rest goes on: one run shows every claim that does not
hold. Both files are written after each cell, so that a cut leaves what is done.
"""

import argparse
import json
import os
import time
from pathlib import Path

from mmlearn_course import notebooks
from mmlearn_course.kernel import play

_HALF = "\nimport keras\nkeras.config.set_dtype_policy('mixed_bfloat16')"
FOLDER = Path(__file__).parents[2] / "notebooks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("number", help="of a notebook, or a path")
    parser.add_argument("result", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fast", action="store_true", help="in the fast profile")
    parser.add_argument("--half", action="store_true", help="a GPU's precision")
    args = parser.parse_args()
    if args.fast:
        os.environ["MMLEARN_PROFILE"] = "fast"
    path = Path(args.number)
    if path.suffix != ".ipynb":
        path = next(FOLDER.glob(f"{args.number}_*.ipynb"))
    nb = notebooks.load(path)
    code = [cell for cell in notebooks.code_cells(nb) if cell.source.strip()]
    for cell in code:
        cell.metadata.setdefault("tags", []).append("raises-exception")
        if args.half and "runtime.setup(" in cell.source:
            cell.source += _HALF
    start, ends = time.time(), []

    def write() -> None:
        failed = [
            {
                "cell": n,
                "error": f"{out.ename}: {out.evalue}"[:1000],
                "source": c.source,
            }
            for n, c in enumerate(code, 1)
            for out in c.outputs
            if out.output_type == "error"
        ]
        found = {"start": start, "ends": ends, "cells": len(code), "failed": failed}
        args.result.write_text(json.dumps(found))
        notebooks.save(nb, args.folder / path.name)

    def on_cell(done: int, total: int) -> None:
        if done > len(ends):
            ends.extend([round(time.time() - start, 1)] * (done - len(ends)))
            write()

    run = play(nb, path, on_cell)
    on_cell(len(code), len(code))
    print(f"{run.name}: {run.seconds:.0f} s, {run.peak_memory / 1e9:.1f} GB", run.error)
    print(*run.stand_ins, sep="\n")


if __name__ == "__main__":
    main()
