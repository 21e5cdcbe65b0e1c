"""Write down what a GPU measured, from the JSON of one or more runs.

    python -m benchmarks.gpu.report results.json [more.json ...]

Writes `results/gpu_DEVICE.json` and `.md`, and a line into the header of each notebook
that ran. A later run's job replaces an earlier one's.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np

from benchmarks import timing
from mmlearn_course import notebooks

FOLDER = Path(__file__).parents[2] / "notebooks"
_TIME = "| **Time and memory** |"


def merged(paths: list[Path]) -> dict:
    """Return one report; each job says in which run it was.

    Raises:
        ValueError: If the runs are rehearsals, or of several kinds of device.
    """
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    devices = {run["machine"]["gpu"] for run in runs}
    if len(devices) > 1 or any(run["tiny"] for run in runs):
        raise ValueError(f"expected real runs on one kind of device, got {devices}")
    jobs = {}
    for run in runs:
        jobs |= run["jobs"]
    return {"machine": runs[-1]["machine"], "tiny": False, "jobs": jobs}


def device(report: dict) -> str:
    """Return the device's name, such as `NVIDIA H200`."""
    return report["machine"]["gpu"].split(",")[0]


def busy(percent: list[int]) -> str:
    """Return how busy the device was."""
    if not percent:
        return "no sample"
    half = np.mean(np.array(percent) >= 50)
    return f"{np.median(percent):.0f} % ({100 * half:.0f} %)"


def ended(job: dict) -> str:
    """Return how a job ended."""
    if job["exit_code"] < 0:
        return "cut at its limit"
    if job["tests"]:
        return job["tests"][-1]
    return "complete" if job["exit_code"] == 0 else f"exit code {job['exit_code']}"


def tests(text: str) -> list[str]:
    """Return the names of failed tests, then how many failed and passed."""
    failed = re.findall(r"^FAILED (\S+)", text, re.MULTILINE)
    return failed + re.findall(r"(?:\d+ failed, )?\d+ passed", text)[-1:]


def jobs(report: dict) -> str:
    """Return the table of all jobs."""
    header = ["job", "end", "seconds", "at the same time", "GPU busy, median (≥ 50 %)"]
    rows = []
    for name, job in report["jobs"].items():
        beside = ", ".join(job["beside"]) or "nothing"
        seconds = f"{job['seconds']:.0f}"
        rows.append([name, ended(job), seconds, beside, busy(job["gpu_percent"])])
    return timing.table(header, rows)


def layers(found: dict) -> str:
    """Return the table of the fusion layers."""
    header = ["layer", "precision", "B", "ms", "ms, by hand", "ratio [95 % interval]"]
    header += ["apart", "share of the limit", "limited by"]
    rows = []
    for row in sorted(found["rows"], key=lambda row: (row["layer"], row["dtype"])):
        ratio, low, high = row["ratio"]
        share = row["share_of_limit"]
        rows.append(
            [
                *(row[name] for name in ("layer", "dtype")),
                str(row["batch"]),
                *(f"{ms:.3g}" for ms in row["ms"]),
                f"{ratio:.2f} [{low:.2f}, {high:.2f}]",
                f"{row['apart']:.0e}",
                "–" if share is None else f"{100 * share:.0f} %",
                row["limited_by"],
            ]
        )
    limits = found["limits"]
    text = (
        f"Features of {found['dim']} numbers, forward and backward, `jax.jit`. Limits "
        f"measured beside them: a copy {limits['bytes'] / 1e12:.2f} TB/s, a product of "
        f"8,192² matrices {limits['float32'] / 1e12:.0f} TFLOP/s in float32 (as JAX "
        f"computes it by default) and {limits['bfloat16'] / 1e12:.0f} in bfloat16. "
        "*Apart*: the largest difference from the equation, as a share of its largest "
        "output.\n\n"
    )
    text = text + timing.table(header, rows) if rows else "No row.\n"
    reasons = {}
    for name, error in found["failed"].items():
        reasons.setdefault(error.splitlines()[0][:200], []).append(name)
    for reason, names in reasons.items():
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        text += f"\nNot measured: {len(names)} ({shown}): {reason}\n"
    return text


def lenet(found: dict) -> str:
    """Return the table of the late-fusion LeNet."""
    return (
        f"Training, batches of {found['batch']}, turns of {found['batches']} batches, "
        f"{found['rounds']} rounds; arrays wait in the machine's memory. With the same "
        f"weights the probabilities differed by at most {found['apart']:.1g}.\n\n"
        + timing.table(found["header"], found["rows"])
    )


def cifar10(found: dict) -> str:
    """Return what the residual network reached."""
    ends = [epoch["time"] for epoch in found["epochs"]]
    first, others = ends[0] - found["start"], np.median(np.diff(ends))
    text = (
        f"A pre-activation residual network of {found['weights']:,} weights on a JPEG "
        f"copy of CIFAR-10: {len(ends)} epochs, batches of {found['batch']}, "
        f"{first:.0f} s for the first, {others:.2f} s for each of the others. "
        f"Validation {found['epochs'][-1]['val_accuracy']:.4f}"
    )
    if "test_accuracy" in found:
        text += f", test {found['test_accuracy']:.4f} (n = {found['num_test']:,})"
    return text + ". One seed.\n"


def batches(found: dict) -> str:
    """Return the table of batch sizes and rates."""
    header = ["batch", "peak rate", "seed", "validation", "s, first epoch", "s, others"]
    rows = []
    for fit in found["fits"]:
        numbers = [fit[n] for n in ("validation", "first_epoch", "other_epochs")]
        numbers = [f"{n:.3f}" if n < 1 else f"{n:.1f}" for n in numbers]
        rows.append([*(str(fit[n]) for n in ("batch", "rate", "seed")), *numbers])
    head = "Notebook 02's image model in the full profile.\n\n"
    return head + timing.table(header, rows)


def notebook(found: dict) -> str:
    """Return how far a notebook came, and which of its cells failed."""
    text = f"{len(found['ends'])} of {found['cells']} cells ran"
    text += f" in {found['ends'][-1]:.0f} s.\n" if found["ends"] else ".\n"
    for fault in found["failed"]:
        line = fault["source"].strip().splitlines()[0]
        text += f"- cell {fault['cell']} (`{line[:60]}`): {fault['error'][:200]}\n"
    return text


PARTS = {"layers": layers, "lenet": lenet, "cifar10": cifar10, "batches": batches}


def markdown(report: dict) -> str:
    """Return the whole report."""
    about = report["machine"]
    text = (
        f"# On a GPU: {about['gpu']}\n\n{about['cores']} cores, Python "
        f"{about['python']}, {about['date']}. What each job does and how it is run: "
        f"`benchmarks/gpu/run.py`.\n\n{jobs(report)}"
    )
    for name, job in report["jobs"].items():
        if failed := job["tests"][:-1]:
            text += f"\n## {name}\n\nFailed: `{'`, `'.join(failed)}`\n"
        if found := job.get("result"):
            part = PARTS.get(name, notebook)
            text += f"\n## {name}\n\n{part(found)}"
    return text


def headers(report: dict) -> None:
    """Say in each notebook's header how long the full profile took, if it ended."""
    for name, job in report["jobs"].items():
        found = job.get("result") or {}
        if "cells" not in found or job["exit_code"]:
            continue
        path = next(FOLDER.glob(f"{name}_*.ipynb"))
        nb = notebooks.load(path)
        seconds = 10 * -(-int(found["ends"][-1]) // 10)
        told = f"; full profile: {seconds} s on one {device(report)} (JAX)"
        lines = nb.cells[0].source.splitlines()
        at = next(n for n, line in enumerate(lines) if line.startswith(_TIME))
        lines[at] = re.sub(r"(; full profile: .*)? \|$", f"{told} |", lines[at])
        nb.cells[0].source = "\n".join(lines)
        notebooks.save(nb, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    report = merged(parser.parse_args().runs)
    name = "gpu_" + re.sub(r"\W+", "_", device(report)).lower()
    for job in report["jobs"].values():
        job["tests"] = tests(job.pop("end_of_output", ""))
    timing.save(f"{name}.json", json.dumps(report))
    timing.save(f"{name}.md", markdown(report))
    headers(report)


if __name__ == "__main__":
    main()
