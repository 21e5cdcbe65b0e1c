"""Learner versions are what their solutions give; graders accept the solutions."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mmlearn_course import contract, kernel, learner_versions, notebooks
from mmlearn_course.cli import main

ROOT = Path(__file__).parents[2]
SOURCES = learner_versions.sources(ROOT)
LEARNERS = [learner_versions.learner_path(path) for path in SOURCES]
SOLUTION = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
STUBBED = "def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"


def cell(source, *, kind="code", name=None, points=None):
    """A cell; with a name an answer, with points as well a grader."""
    make = getattr(nbformat.v4, f"new_{kind}_cell")
    made = make(source)
    if name:
        about = {"schema_version": 3, "task": False, "grade_id": name}
        if points is None:
            about |= {"grade": False, "solution": True, "locked": False}
        else:
            solution = kind == "markdown"
            about |= {"grade": True, "solution": solution, "locked": not solution}
            about["points"] = points
        made.metadata["nbgrader"] = about
    return made


def clean():
    """Four exercises, all in order."""
    nb = nbformat.v4.new_notebook()
    nb.cells = [cell("# Exercises", kind="markdown"), cell("import math")]
    for number in range(4):
        nb.cells.append(cell(SOLUTION, name=f"answer-{number}"))
        nb.cells.append(cell("assert f(1) == 1", name=f"grader-{number}", points=1))
    return nb


def save(nb, folder, name="01_small.solutions.ipynb"):
    path = folder / name
    notebooks.save(nb, path)
    return path


# --- the committed notebooks --------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_committed_learner_version_is_what_its_source_gives(path, tmp_path):
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    learner_versions.write([copy])
    made = learner_versions.learner_path(copy).read_text(encoding="utf-8")
    assert learner_versions.learner_path(path).read_text(encoding="utf-8") == made


def test_every_learner_version_has_a_source():
    found = sorted((ROOT / "notebooks" / "exercises").glob("*.ipynb"))
    assert found == sorted([*SOURCES, *LEARNERS])


@pytest.mark.parametrize("path", [*LEARNERS, *SOURCES], ids=lambda path: path.stem)
def test_an_exercise_notebook_keeps_the_contract(path):
    assert [str(violation) for violation in contract.check(path)] == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_solutions_run_and_are_accepted(path):
    nb = notebooks.load(path)
    run = kernel.play(nb, path, timeout=600)
    assert run.error is None, run.error
    for one in notebooks.code_cells(nb):
        if one.metadata.get("nbgrader", {}).get("points"):
            texts = list(notebooks.output_texts(one))
            assert len(texts) == 1 and texts[0].startswith("Right: "), texts


@pytest.mark.parametrize("path", LEARNERS, ids=lambda path: path.stem)
def test_the_lecture_links_to_its_exercises(path):
    lecture = path.parents[1] / path.name
    assert f"(exercises/{path.name})" in lecture.read_text(encoding="utf-8")


def test_exercises_are_no_lectures():
    assert not set(notebooks.find(ROOT)) & {*SOURCES, *LEARNERS}


def test_pytest_does_not_collect_them():
    command = [sys.executable, "-m", "pytest", "--collect-only", "notebooks/exercises"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


# --- learner versions ---------------------------------------------------------------


def test_a_stub_takes_the_place_of_a_solution():
    nb = clean()
    nb.cells[2].outputs = [nbformat.v4.new_output("stream", text="7")]
    nb.cells[2].execution_count = 3
    nb.cells.append(cell("Because.", kind="markdown", name="why", points=2))
    made = learner_versions.learner(nb)
    assert [c.source for c in made.cells[:4]] == [
        *("# Exercises", "import math", STUBBED, "assert f(1) == 1")
    ]
    assert made.cells[-1].source == "YOUR ANSWER HERE"
    assert made.cells[2].outputs == [] and made.cells[2].execution_count is None
    assert [c.id for c in made.cells] == [c.id for c in nb.cells]
    assert nb.cells[2].source == SOLUTION


def test_what_surrounds_a_solution_stays():
    source = f"a = 1\n{SOLUTION}\nb = 2\n### BEGIN SOLUTION\nc = 3\n### END SOLUTION"
    nb = clean()
    nb.cells[2].source = source
    stub = "# YOUR CODE HERE\nraise NotImplementedError()"
    assert (
        learner_versions.learner(nb).cells[2].source
        == f"a = 1\n{STUBBED}\nb = 2\n{stub}"
    )


@pytest.mark.parametrize("kind", ["HIDDEN TESTS", "MARK SCHEME"])
@pytest.mark.parametrize("comment", ["### ", "# ", "=== "])
def test_what_nbgrader_would_hide_is_hidden(kind, comment, tmp_path):
    nb = clean()
    secret = f"{comment}BEGIN {kind}\nassert f(2) == 2\n{comment}END {kind}"
    nb.cells[3].source = f"assert f(1) == 1\n{secret}\nassert f(3) == 3"
    made = learner_versions.learner(nb)
    assert made.cells[3].source == "assert f(1) == 1\nassert f(3) == 3"
    path = save(nb, tmp_path)
    assert contract.check(path) == []
    learner_versions.write([path])
    told = learner_versions.learner_path(path)
    assert contract.check(told) == []
    made.cells[3].source = nb.cells[3].source
    notebooks.save(made, told)
    (first,) = (v for v in contract.check(told) if v.cell)
    assert first.cell == 4 and f"found `BEGIN {kind}`" in first.message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("### BEGIN SOLUTION\nx = 1", "without"),
        ("### BEGIN SOLUTION\nx = 1\n### END HIDDEN TESTS", "out of order"),
        ("### BEGIN HIDDEN TESTS\nx = 1", "without"),
        ("x = 1\n### END SOLUTION", "out of order"),
        (f"### BEGIN SOLUTION\n{SOLUTION}\n### END SOLUTION", "out of order"),
    ],
)
def test_a_solution_that_does_not_end_is_an_error(source, message, tmp_path, capsys):
    nb = clean()
    nb.cells[2].source = source
    with pytest.raises(ValueError, match=f"cell 3: .*{message}"):
        learner_versions.learner(nb)
    path = save(nb, tmp_path)
    assert main(["exercises", str(path)]) == 2
    assert "01_small.solutions.ipynb: cell 3" in capsys.readouterr().err
    assert not learner_versions.learner_path(path).exists()


def test_a_solution_outside_of_an_answer_is_an_error():
    nb = clean()
    nb.cells[1].source = SOLUTION
    with pytest.raises(ValueError, match="cell 2: .*not marked"):
        learner_versions.learner(nb)


def test_the_verb_writes_what_changed(tmp_path, capsys):
    path = save(clean(), tmp_path)
    target = tmp_path / "01_small.ipynb"
    assert main(["exercises", str(path)]) == 0
    assert "changed: 1" in capsys.readouterr().out
    assert STUBBED in [c.source for c in notebooks.load(target).cells]
    before = target.stat().st_mtime_ns
    assert main(["exercises", str(path)]) == 0
    assert "changed: 0" in capsys.readouterr().out
    assert target.stat().st_mtime_ns == before
    assert main(["exercises", str(target)]) == 2
    assert "ends in .solutions.ipynb" in capsys.readouterr().err


# --- the contract of exercises ------------------------------------------------------


def test_clean_exercises_pass(tmp_path):
    path = save(clean(), tmp_path)
    learner_versions.write([path])
    assert contract.check(path) == []
    assert contract.check(learner_versions.learner_path(path)) == []


def _output(nb):
    nb.cells[1].outputs = [nbformat.v4.new_output("stream", text="7")]


def _same_name(nb):
    nb.cells[4].metadata["nbgrader"]["grade_id"] = "answer-0"


def _old_schema(nb):
    nb.cells[2].metadata["nbgrader"]["schema_version"] = 1


def _no_points(nb):
    del nb.cells[3].metadata["nbgrader"]["points"]


def _bad_name(nb):
    nb.cells[2].metadata["nbgrader"]["grade_id"] = "an answer"


def _no_grader(nb):
    del nb.cells[5]


def _too_few(nb):
    del nb.cells[-2:]


def _no_region(nb):
    nb.cells[2].source = "f = abs"


def _half_a_region(nb):
    nb.cells[2].source = "### BEGIN SOLUTION\nf = abs"


def _not_both(nb):
    nb.cells.append(cell("Because.", kind="markdown", name="why"))


def _long_line(nb):
    nb.cells[1].source = "x = " + "1 + " * 30 + "1"


def _no_title(nb):
    nb.cells[0].source = "Exercises"


def _nowhere(nb):
    nb.cells[0].source += "\n\n[the lecture](../nowhere.ipynb)"


PLANTED = {
    _output: (2, "outputs"),
    _same_name: (5, "nbgrader"),
    _old_schema: (3, "nbgrader"),
    _no_points: (4, "nbgrader"),
    _bad_name: (3, "nbgrader"),
    _no_grader: (5, "exercises"),
    _too_few: (None, "exercises"),
    _no_region: (3, "solutions"),
    _half_a_region: (3, "solutions"),
    _not_both: (11, "nbgrader"),
    _long_line: (2, "code"),
    _no_title: (1, "title"),
    _nowhere: (1, "links"),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_violation_is_found(plant, tmp_path):
    nb = clean()
    plant(nb)
    found = contract.check(save(nb, tmp_path))
    assert PLANTED[plant] in [(v.cell, v.rule) for v in found]
    for violation in found:
        assert "expected" in violation.message and ": " in violation.message


def test_a_solution_left_in_a_learner_version_is_found(tmp_path):
    path = save(clean(), tmp_path, "01_small.ipynb")
    (*_, last) = contract.check(path)
    assert (last.cell, last.rule) == (9, "solutions")


def test_a_learner_version_that_differs_from_its_source_is_found(tmp_path):
    path = save(clean(), tmp_path)
    learner_versions.write([path])
    nb = clean()
    nb.cells = notebooks.load(path).cells
    nb.cells[0].source = "# Other exercises"
    notebooks.save(nb, path)
    (found,) = contract.check(learner_versions.learner_path(path))
    assert found.rule == "solutions" and path.name in found.message


def test_check_without_arguments_covers_the_exercises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "notebooks" / "exercises"
    lecture = tmp_path / "notebooks" / "01_small.ipynb"
    notebooks.save(learner_versions.learner(clean()), lecture)
    learner_versions.write([save(clean(), folder)])
    assert main(["check"]) == 0
    assert "notebooks checked: 3" in capsys.readouterr().out
