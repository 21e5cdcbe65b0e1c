"""`course archive`: one archive, from which the course installs without a network."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from mmlearn_course import archive
from mmlearn_course.cli import main

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "toy-course"
version = "1.0"

[tool.setuptools]
py-modules = ["toy_course"]
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A small course in git, with data in the shared folder and in the cache."""
    root = tmp_path / "clone"
    files = {
        "pyproject.toml": PROJECT,
        "toy_course.py": "ANSWER = 42\n",
        "requirements/cpu.txt": "setuptools>=77\n",
        "requirements/no-deps.txt": "",
        "notebooks/left_over.txt": "not in git",
    }
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    for command in (["init", "-q"], ["add", "pyproject.toml", "*.py", "requirements"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar10.npz").write_bytes(b"pictures")
    (tmp_path / "keras" / "mmlearn").mkdir(parents=True)
    (tmp_path / "keras" / "mmlearn" / "hydraulic_rig.zip").write_bytes(b"signals")
    monkeypatch.setenv("MMLEARN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.chdir(root)
    return root


def test_the_course_installs_from_the_archive_alone(clone, monkeypatch, capsys):
    target = clone.parent / "course.zip"
    if main(["course", "archive", str(target)]):
        pytest.skip(f"no wheels to be had here: {capsys.readouterr().err}")
    told = capsys.readouterr().out
    assert "python install.py" in told and "minilm" in told and "cifar10," not in told
    with zipfile.ZipFile(target) as packed:
        names = set(packed.namelist())
        packed.extractall(clone.parent / "room")
    room = clone.parent / "room" / "mmlearn-course"
    assert not any("left_over" in name for name in names)
    assert (room / "shared" / "cifar10.npz").read_bytes() == b"pictures"
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("KERAS_HOME", str(clone.parent / "other"))
    said = subprocess.run(
        [sys.executable, "install.py"],
        cwd=room,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert str(room / "shared") in said.stdout
    cached = clone.parent / "other" / "mmlearn" / "hydraulic_rig.zip"
    assert cached.read_bytes() == b"signals"
    (python,) = [*room.glob(".venv/bin/python"), *room.glob(".venv/Scripts/python.exe")]
    command = [python, "-c", "import toy_course; print(toy_course.ANSWER)"]
    assert subprocess.check_output(command, cwd=clone.parent, text=True) == "42\n"
    again = subprocess.run([sys.executable, "install.py"], cwd=room, check=False)
    assert again.returncode == 1


def test_another_python_is_refused(tmp_path):
    script = archive._installer()
    mine = ".".join(map(str, sys.version_info[:2]))
    path = tmp_path / "install.py"
    path.write_text(script.replace(f'"{mine}"', '"2.7"'))
    said = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert said.returncode == 1 and "the wheels here are for 2.7" in said.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(clone, monkeypatch):
    target = clone.parent / "out" / "course.zip"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(OSError, match="could not be fetched"):
        archive.pack(target, clone)
    assert list(target.parent.iterdir()) == []
    target.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        archive.pack(target, clone)
    assert target.read_text() == "mine"


@pytest.mark.parametrize("root", [None, Path("/")])
def test_only_a_clone_is_packed(root, tmp_path):
    with pytest.raises(ValueError, match="no clone"):
        archive.pack(tmp_path / "course.zip", root)
