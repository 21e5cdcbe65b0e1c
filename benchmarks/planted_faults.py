"""Do the tests notice? Plant faults one by one, and see which tests fail.

Each fault is one a person makes: a sign, an order, a forgotten mask. It is planted
in a copy of the repository, and the whole test file of that part is run until a test
fails. A fault that no test notices is a test that is missing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import timing

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Fault:
    """A change of one place in one file, and the test file that must notice."""

    what: str
    path: str
    before: str
    after: str
    tests: str


FAULTS = [
    Fault(
        "presence columns swapped",
        "mmlearn/fusion/base.py",
        "chosen = mask[:, m : m + 1]",
        "chosen = mask[:, ::-1][:, m : m + 1]",
        "test_fusion.py",
    ),
    Fault(
        "presence bound by order, not by name",
        "mmlearn/models.py",
        'ops.cast(flags[name], "float32") for name in names',
        'ops.cast(flag, "float32") for flag in flags.values()',
        "test_presence.py",
    ),
    Fault(
        "an absent modality's NaN passes the mask",
        "mmlearn/fusion/base.py",
        "return ops.where(mask, x, ops.zeros_like(x))",
        "return ops.cast(mask, x.dtype) * x",
        "test_fusion.py",
    ),
    Fault(
        "a dict's names ignored",
        "mmlearn/fusion/base.py",
        "names = tuple(sorted(inputs))",
        "names = tuple(inputs)",
        "test_fusion.py",
    ),
    Fault(
        "an absent factor is 0 in a product, not 1",
        "mmlearn/fusion/joint.py",
        "ops.where(column(is_present, m), x, ops.ones_like(x))",
        "ops.where(column(is_present, m), x, ops.zeros_like(x))",
        "test_fusion.py",
    ),
    Fault(
        "a mean counts absent modalities",
        "mmlearn/fusion/joint.py",
        "return total / ops.maximum(count, 1)",
        "return total / len(features)",
        "test_fusion.py",
    ),
    Fault(
        "a maximum takes 0 for an absent modality",
        "mmlearn/fusion/joint.py",
        'ops.full_like(x, -float("inf"))',
        "ops.zeros_like(x)",
        "test_fusion.py",
    ),
    Fault(
        "weights frozen",
        "mmlearn/fusion/base.py",
        "return self.add_weight(name=name, shape=shape)",
        "return self.add_weight(name=name, shape=shape, trainable=False)",
        "test_fusion.py",
    ),
    Fault(
        "attention not scaled by √k",
        "mmlearn/layers.py",
        "q * q.shape[-1] ** -0.5",
        "q",
        "test_layers.py",
    ),
    Fault(
        "attention sees padding",
        "mmlearn/layers.py",
        "scores = ops.where(seen, scores, ops.full_like(scores, -3e4))",
        "scores = scores + 0 * ops.cast(seen, scores.dtype)",
        "test_layers.py",
    ),
    Fault(
        "a masked mean divides by the length",
        "mmlearn/layers.py",
        "ops.where(real, x, ops.zeros_like(x))",
        "x",
        "test_layers.py",
    ),
    Fault(
        "a wrong epsilon in pretrained weights",
        "mmlearn/encoders/pretrained/images.py",
        "epsilon=1e-3",
        "epsilon=1e-5",
        "test_pretrained.py",
    ),
    Fault(
        "windows end one step early",
        "mmlearn/datasets/windows.py",
        "np.arange(begin, end - length + 1, step)",
        "np.arange(begin, end - length, step)",
        "test_windows.py",
    ),
    Fault(
        "scaled by all samples, test included",
        "mmlearn/datasets/windows.py",
        "known = data.train[key]",
        "known = np.concatenate([data[name][key] for name in SPLITS])",
        "test_windows.py",
    ),
    Fault(
        "a leak between validation and test not seen",
        "mmlearn/datasets/leaks.py",
        "in combinations(SPLITS, 2):",
        "in list(combinations(SPLITS, 2))[:2]:",
        "test_leaks.py",
    ),
    Fault(
        "groups straddle the splits",
        "mmlearn/datasets/splits.py",
        "return grouped_split(groups, labels, shares, seed)",
        "return grouped_split(np.arange(len(labels)), labels, shares, seed)",
        "test_own.py",
    ),
    Fault(
        "a gain with the wrong sign",
        "mmlearn/evaluate/metrics.py",
        "correct(ours, labels).mean(0) - correct(theirs, labels).mean(0)",
        "correct(theirs, labels).mean(0) - correct(ours, labels).mean(0)",
        "test_evaluate.py",
    ),
    Fault(
        "an interval by the population's deviation",
        "mmlearn/evaluate/intervals.py",
        "scores.std(ddof=1)",
        "scores.std()",
        "test_evaluate.py",
    ),
    Fault(
        "conformal sets without the + 1",
        "mmlearn/evaluate/conformal.py",
        "(len(scores) + 1) * (1 - alpha)",
        "len(scores) * (1 - alpha)",
        "test_conformal.py",
    ),
    Fault(
        "concordance counts pairs whose order is not known",
        "mmlearn/evaluate/survival.py",
        "np.flatnonzero(events)",
        "np.arange(len(events))",
        "test_survival.py",
    ),
    Fault(
        "Shapley's weights do not add up to 1",
        "mmlearn/explain/contributions.py",
        "factorial(size) * factorial(total - size - 1) / factorial(total)",
        "factorial(size) * factorial(total - size) / factorial(total)",
        "test_explain.py",
    ),
    Fault(
        "modality dropout hides while predicting, too",
        "mmlearn/fusion/presence.py",
        "if not training or not self.rate",
        "if not self.rate",
        "test_presence.py",
    ),
]


def noticed(fault: Fault, copy: Path) -> str | None:
    """Return the test that fails once the fault is there, or `None`.

    Raises:
        ValueError: If the code has changed, so that the fault cannot be planted.
    """
    path = copy / fault.path
    code = path.read_text(encoding="utf-8")
    if code.count(fault.before) != 1:
        raise ValueError(
            f"{fault.path} has {fault.before!r} {code.count(fault.before)} times, "
            "expected once: bring the fault up to date"
        )
    path.write_text(code.replace(fault.before, fault.after), encoding="utf-8")
    run = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:nbval", "-o"]
    run += ["addopts=", "--no-header", "--tb=no", f"tests/{fault.tests}"]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(
        run, cwd=copy, env=environment, capture_output=True, text=True
    )
    path.write_text(code, encoding="utf-8")
    failed = [x for x in done.stdout.splitlines() if x.startswith(("FAILED", "ERROR"))]
    if done.returncode not in (0, 1) and not failed:
        raise RuntimeError(f"{fault.tests} did not run: {done.stdout}{done.stderr}")
    return failed[0].split()[1].split("::", 1)[1] if failed else None


def main() -> None:
    """Plant all, and write which test noticed each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "course"
        skip = shutil.ignore_patterns(".*", "build", "*.egg-info")
        shutil.copytree(ROOT, copy, ignore=skip)
        for fault in FAULTS:
            name = noticed(fault, copy)
            found = f"`{fault.tests}`: `{name}`" if name else "**no test**"
            rows.append([fault.what, f"`{fault.path}`", found])
            print(*rows[-1], sep="  ", flush=True)
    seen = sum("no test" not in row[-1] for row in rows)
    text = (
        f"# Planted faults\n\n{timing.machine(*timing.backend_packages())}\n\n"
        f"{seen} of {len(rows)} faults were noticed. Each was planted alone, and "
        "the test file of that part run until one failed: `benchmarks/README.md`.\n\n"
    )
    text += timing.table(["fault", "planted in", "noticed by"], rows)
    timing.save("planted_faults.md", text)


if __name__ == "__main__":
    main()
