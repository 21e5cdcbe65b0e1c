"""`course new` lays out a course and never touches a file that is there."""

import re
import shutil
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest

from mmlearn_course import course, learner_versions, notebooks
from mmlearn_course.cli import main

ROOT = Path(__file__).parents[2]
NAMES = [
    learner_versions.learner_path(path).stem for path in learner_versions.sources(ROOT)
]


def test_a_course_has_settings_a_page_and_the_assignments(tmp_path, capsys):
    folder = tmp_path / "deep" / "course"
    assert main(["course", "new", str(folder)]) == 0
    written = {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")}
    assert written >= {"README.md", "nbgrader_config.py"}
    assert written >= {f"source/{name}/{name}.ipynb" for name in NAMES}
    settings = (folder / "nbgrader_config.py").read_text(encoding="utf-8")
    compile(settings, "nbgrader_config.py", "exec")
    for name in NAMES:
        source = folder / "source" / name / f"{name}.ipynb"
        original = ROOT / "notebooks" / "exercises" / f"{name}.solutions.ipynb"
        mine = [c.source for c in notebooks.code_cells(notebooks.load(source))]
        assert mine == [
            c.source for c in notebooks.code_cells(notebooks.load(original))
        ]
        assert "](../" not in source.read_text(encoding="utf-8")


def test_files_that_are_there_are_kept(tmp_path, capsys):
    folder = tmp_path / "course"
    course.new(folder, ROOT)
    changed = folder / "nbgrader_config.py"
    changed.write_text("mine", encoding="utf-8")
    gone = folder / "source" / NAMES[0] / f"{NAMES[0]}.ipynb"
    gone.unlink()
    assert main(["course", "new", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "nbgrader_config.py: was there, kept" in out and "1 files written" in out
    assert changed.read_text(encoding="utf-8") == "mine"
    assert gone.exists()


def test_an_assignment_brings_the_data_of_its_number(tmp_path):
    inside = tmp_path / "notebooks" / "exercises"
    shutil.copytree(ROOT / "notebooks" / "exercises", inside)
    (inside / "data").mkdir(exist_ok=True)
    (inside / "data" / "00_notes.csv").write_text("a,b\n", encoding="utf-8")
    folder = tmp_path / "course"
    course.new(folder, tmp_path)
    found = [p.parent.parent.name for p in folder.rglob("00_notes.csv")]
    assert found == ["00_start_here"]


def test_a_course_needs_exercises_and_a_folder(tmp_path, capsys):
    with pytest.raises(ValueError, match="in a clone of the repository"):
        course.new(tmp_path / "course", None)
    taken = tmp_path / "taken"
    taken.touch()
    assert main(["course", "new", str(taken)]) == 2
    assert "is a file: give the name of a folder" in capsys.readouterr().err


def test_the_page_on_otter_has_a_script_that_converts(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "otter.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    path = ROOT / "notebooks" / "exercises" / f"{NAMES[0]}.solutions.ipynb"
    monkeypatch.setattr(sys, "argv", ["to_otter.py", str(path)])
    exec(compile(textwrap.dedent(script), "to_otter.py", "exec"), {})
    nb = nbformat.read(f"{NAMES[0]}.ipynb", as_version=4)
    nbformat.validate(nb)
    raw = [cell.source for cell in nb.cells if cell.cell_type == "raw"]
    questions = [source for source in raw if source.startswith("# BEGIN QUESTION")]
    assert questions[0] == "# BEGIN QUESTION\nname: shapes\npoints: 1"
    for edge in ("SOLUTION", "TESTS", "QUESTION"):
        begun = [source for source in raw if source.startswith(f"# BEGIN {edge}")]
        assert len(begun) == len(questions) == raw.count(f"# END {edge}")
    assert not any("nbgrader" in cell.metadata for cell in nb.cells)
