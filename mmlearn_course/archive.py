"""`python -m mmlearn course archive`: all in one file, for rooms without internet."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mmlearn import files
from mmlearn.datasets import sources

_TEMPLATES = Path(__file__).parent / "templates" / "archive"
_FOLDER = "mmlearn-course"
_LOCKS = {"requirements/cpu.txt": (), "requirements/no-deps.txt": ("--no-deps",)}


def pack(target: Path, root: Path | None) -> list[str]:
    """Write a zip archive: the repository, the locked wheels, the data that are here.

    Unpacked, `python install.py` makes the environment without a network. The wheels
    are those for this system and this version of Python. Data sets are taken from
    `$MMLEARN_DATA` and from the cache; they keep their licences.

    Args:
        target: The archive's file. It appears when it is complete.
        root: The folder that holds `notebooks/`, a clone of the repository.

    Returns:
        The data sets and weights that are not here, and so not in the archive.

    Raises:
        ValueError: If `root` is no clone.
        FileExistsError: If the archive exists already.
        OSError: If pip cannot fetch the wheels, or the disk is full.
    """
    if root is None or not (root / ".git").exists():
        raise ValueError(
            "this is no clone of the repository: run it in one, so that only its own "
            "files go into the archive"
        )
    with files.written(target) as part:
        wheels = part.parent / "wheels"
        for lock, options in _LOCKS.items():
            _pip("wheel", "-q", "-w", str(wheels), "-r", str(root / lock), *options)
        missing = []
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in _tracked(root):
                archive.write(root / name, f"{_FOLDER}/{name}")
            archive.writestr(f"{_FOLDER}/install.py", _installer())
            # Wheels and most data are compressed already.
            for wheel in sorted(wheels.iterdir()):
                name = f"{_FOLDER}/wheels/{wheel.name}"
                archive.write(wheel, name, zipfile.ZIP_STORED)
            for name in sources.SOURCES:
                if (found := sources.locate(name)) is None:
                    missing.append(name)
                    continue
                for file, inside in _files(*found):
                    archive.write(file, f"{_FOLDER}/{inside}", zipfile.ZIP_STORED)
    return missing


def _installer() -> str:
    script = (_TEMPLATES / "install.py").read_text(encoding="utf-8")
    version = ".".join(map(str, sys.version_info[:2]))
    return script.replace("PYTHON_VERSION", version)


def _files(path: Path, where: str) -> Iterator[tuple[Path, str]]:
    """A data set's files, and where they lie in the archive."""
    shared = where == "shared"
    base = Path(os.environ["MMLEARN_DATA"]) if shared else sources.cache_dir()
    inside = "shared" if shared else "keras"
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            yield file, f"{inside}/{file.relative_to(base).as_posix()}"


def _tracked(root: Path) -> list[str]:
    """The repository's own files: nothing that somebody left lying around."""
    command = ["git", "-C", str(root), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if (root / name).is_file()]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        reason = (run.stderr.strip() or "no message").splitlines()[-1]
        raise OSError(f"the wheels could not be fetched ({reason}): connect and repeat")
