"""Gather what a machine with a GPU and without a network lacks: wheels and data.

    python -m benchmarks.gpu.pack [--python 3.12] [--data cifar10 ...]

Fills `build/gpu/` from `$MMLEARN_DATA` and the cache; it travels with the checkout.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from mmlearn.datasets import sources

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = ["cifar10", "pneumoniamnist", "hydraulic_rig", "covid_cxr"]
# Wheels name the C library that they were built for, and pip matches each exactly.
GLIBC = ["_2_28", "_2_27", "_2_26", "_2_24", "_2_17", "2014", "_2_12", "1"]


def names(file: str) -> list[str]:
    """Return the packages that a list of this folder names."""
    lines = (HERE / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def requirements() -> list[str]:
    """Return the missing packages with their locked versions.

    Raises:
        SystemExit: If one is not in the lock.
    """
    locked = (ROOT / "requirements" / "cpu.txt").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^([\w.-]+)==([\w.+]+)", locked, re.MULTILINE))
    if unknown := [name for name in names("wheels.txt") if name not in versions]:
        raise SystemExit(f"requirements/cpu.txt does not lock {', '.join(unknown)}")
    return [f"{name}=={versions[name]}" for name in names("wheels.txt")]


def wheels(folder: Path, python: str) -> None:
    """Download the wheels for Linux on x86-64."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", "-d", str(folder)]
    command += [f"--python-version={python}"]
    command += [f"--platform=manylinux{version}_x86_64" for version in GLIBC]
    subprocess.run([*command, *requirements()], check=True)


def data(folder: Path, wanted: list[str]) -> None:
    """Copy data sets and weights to where a loader looks below `$MMLEARN_DATA`.

    Raises:
        SystemExit: If one is not on this machine.
    """
    for name in wanted:
        if name in sources.SOURCES:
            found = sources.locate(name)
            path = found and found[0]
            target = folder / sources.SOURCES[name].shared_file
        else:
            path = Path(os.environ.get("MMLEARN_DATA", ".")) / name
            target = folder / name
        if path is None or not path.exists():
            raise SystemExit(f"{name} is not on this machine: see `make doctor`")
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, target)


def size(folder: Path) -> float:
    """Return MiB below a folder."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.12", help="of the other machine")
    help_ = "data sets, weights, or files of $MMLEARN_DATA"
    parser.add_argument("--data", nargs="*", default=DATA, help=help_)
    parser.add_argument("--limit", type=float, default=60, help="MiB, tree included")
    args = parser.parse_args()
    kit = ROOT / "build" / "gpu"
    shutil.rmtree(kit, ignore_errors=True)
    for part in ("wheels", "data"):
        (kit / part).mkdir(parents=True)
    data(kit / "data", args.data)
    wheels(kit / "wheels", args.python)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    tracked = [ROOT / name for name in listed.split("\0") if name]
    parts = {
        "tree": sum(p.stat().st_size for p in tracked if p.exists()) / 2**20,
        "wheels": size(kit / "wheels"),
        "data": size(kit / "data"),
    }
    total = sum(parts.values())
    print(*(f"{name} {mib:.1f} MiB" for name, mib in parts.items()), sep=", ")
    if total > args.limit:
        raise SystemExit(f"{total:.1f} MiB in all, {args.limit:g} fit: less --data")
    print(f"{total:.1f} MiB in all: take the checkout along with {kit}")


if __name__ == "__main__":
    main()
