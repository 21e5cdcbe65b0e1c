"""Exercise notebooks: learner versions made from solution versions, and their contract.

`NN_name.solutions.ipynb` is what an author edits. Its cells carry nbgrader's metadata,
and what nbgrader would remove is removed here in the same way, without nbgrader.
"""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

from nbformat import NotebookNode

from . import notebooks
from .form import Subject, Violation

SOLUTIONS = ".solutions"
MIN_EXERCISES = 4
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"

# What nbgrader writes in place of a solution.
_STUBS = {
    "code": ("# YOUR CODE HERE", "raise NotImplementedError()"),
    "markdown": ("YOUR ANSWER HERE",),
}
# Regions that nbgrader removes, too, wherever these words stand in a line.
_REGION = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)")
_GRADE_ID = re.compile(r"[A-Za-z0-9_-]+")


def sources(root: Path) -> list[Path]:
    """The solution notebooks of a course, in reading order."""
    return sorted((root / "notebooks" / "exercises").glob(f"*{SOLUTIONS}.ipynb"))


def learner_path(path: Path) -> Path:
    """Where the learner version of a solution notebook belongs.

    Raises:
        ValueError: If the file is not named like a solution notebook.
    """
    if not path.stem.endswith(SOLUTIONS):
        raise ValueError(
            f"{path.name} is no solution notebook: expected a name that ends in "
            f"{SOLUTIONS}.ipynb"
        )
    return path.with_name(f"{path.stem.removesuffix(SOLUTIONS)}.ipynb")


def learner(nb: NotebookNode) -> NotebookNode:
    """Make the learner version of a solution notebook.

    Args:
        nb: The notebook with the solutions.

    Returns:
        A copy with stubs in place of the solutions, without hidden tests, mark schemes
        and outputs.

    Raises:
        ValueError: If a region does not end, or that of a solution is not in a cell
            that nbgrader's metadata mark as one.
    """
    nb = deepcopy(nb)
    for number, cell in enumerate(nb.cells, 1):
        try:
            cell.source = _without_solution(cell)
        except ValueError as error:
            raise ValueError(f"cell {number}: {error}") from None
        if cell.cell_type == "code":
            cell.update(outputs=[], execution_count=None)
    return nb


def write(paths: list[Path]) -> list[Path]:
    """Write the learner versions of solution notebooks.

    Args:
        paths: The solution notebooks.

    Returns:
        The learner versions that were written or changed.

    Raises:
        ValueError: If a file is no solution notebook, or one that cannot be converted.
    """
    made = {}
    for path in paths:
        target = learner_path(path)
        try:
            made[target] = learner(notebooks.load(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    changed = [p for p, nb in made.items() if not p.exists() or notebooks.load(p) != nb]
    for target in changed:
        notebooks.save(made[target], target)
    return changed


def is_exercise(path: Path, nb: NotebookNode) -> bool:
    """Whether a notebook holds exercises rather than a lecture."""
    return path.stem.endswith(SOLUTIONS) or any(map(_about, nb.cells))


def _about(cell: NotebookNode) -> dict:
    """nbgrader's metadata of a cell; empty if it has none."""
    about = cell.metadata.get("nbgrader", {})
    return about if isinstance(about, dict) else {}


def _without_solution(cell: NotebookNode) -> str:
    """A cell's source, a stub with the same indentation in place of each solution.

    Hidden tests and mark schemes leave nothing behind.
    """
    stub = _STUBS.get(cell.cell_type, ())
    lines, inside, solutions = [], None, 0
    for line in cell.source.split("\n"):
        if mark := _REGION.search(line):
            begins, kind = mark[1] == "BEGIN", mark[2]
            if inside != (None if begins else kind):
                raise ValueError(f"found `{line.strip()}` out of order")
            inside = kind if begins else None
            if begins and kind == "SOLUTION":
                solutions += 1
                indent = line[: len(line) - len(line.lstrip())]
                lines += [indent + text for text in stub]
        elif not inside:
            lines.append(line)
    if inside:
        raise ValueError(f"found `BEGIN {inside}` without `END {inside}`")
    marked = _about(cell).get("solution")
    if solutions and not marked:
        raise ValueError("found a solution in a cell that is not marked as one")
    return "\n".join(lines if solutions or not marked else stub)


def _cleared(s: Subject) -> Iterator[Violation]:
    for number, cell in s.code:
        if cell.outputs or cell.execution_count is not None:
            message = (
                "found a stored output or execution count, expected none in an "
                "exercise: clear all outputs"
            )
            yield Violation(number, "outputs", message)


def _metadata(s: Subject) -> Iterator[Violation]:
    seen: set[str] = set()
    for number, cell in s.cells:
        about = _about(cell)
        if not any(about.get(key) for key in ("grade", "solution", "locked", "task")):
            continue
        for problem in _problems(cell, about, seen):
            yield Violation(number, "nbgrader", problem)
        seen.add(str(about.get("grade_id")))


def _problems(cell: NotebookNode, about: dict, seen: set[str]) -> Iterator[str]:
    name, points = about.get("grade_id"), about.get("points")
    if about.get("schema_version") != 3:
        yield (
            f"found schema_version {about.get('schema_version')}, expected 3: run "
            "`nbgrader update` on the notebook"
        )
    if not isinstance(name, str) or not _GRADE_ID.fullmatch(name) or name in seen:
        yield (
            f"found the grade_id {name!r}, expected an own one of letters, digits, "
            "- and _: choose another"
        )
    if about.get("grade") and not (isinstance(points, int | float) and points >= 0):
        yield f"found points {points!r}, expected a number from 0: give the cell points"
    written = cell.cell_type == "markdown" and not about.get("task")
    if written and about.get("grade") != about.get("solution"):
        yield (
            "found a Markdown cell that is graded or a solution, expected both: set "
            "both"
        )


def _graded(s: Subject) -> Iterator[Violation]:
    open_answer = None
    exercises = 0
    for number, cell in s.cells:
        about = _about(cell)
        if about.get("solution") and not about.get("grade"):
            if open_answer:
                yield _ungraded(open_answer)
            open_answer = number
        elif about.get("grade"):
            exercises += 1
            open_answer = None
    if open_answer:
        yield _ungraded(open_answer)
    if exercises < MIN_EXERCISES:
        message = (
            f"found {exercises} graded cells, expected at least {MIN_EXERCISES}: add "
            "exercises, from a warm-up to an open question"
        )
        yield Violation(None, "exercises", message)


def _ungraded(number: int) -> Violation:
    message = (
        "found an answer without a grader, expected a graded cell before the next "
        "answer: add one"
    )
    return Violation(number, "exercises", message)


def _versions(s: Subject) -> Iterator[Violation]:
    """The learner version holds no solution and is what its source gives."""
    mine = s.path.stem.endswith(SOLUTIONS)
    for number, cell in s.cells:
        try:
            _without_solution(cell)
        except ValueError as error:
            message = f"{error}, expected both markers, in a solution cell: correct it"
            yield Violation(number, "solutions", message)
            continue
        about = _about(cell)
        if mine and cell.cell_type == "code" and about.get("solution"):
            if BEGIN not in cell.source:
                message = (
                    f"found no `{BEGIN}`, expected the solution between it and "
                    f"`{END}`: add both"
                )
                yield Violation(number, "solutions", message)
        elif not mine and (mark := _REGION.search(cell.source)):
            message = (
                f"found `{mark[0]}`, expected none in a learner version: run `python "
                "-m mmlearn exercises`"
            )
            yield Violation(number, "solutions", message)
    source = s.path.with_name(f"{s.path.stem}{SOLUTIONS}.ipynb")
    if not mine and source.exists() and not _agree(source, s.nb):
        message = (
            f"found another notebook than {source.name} gives, expected the same: run "
            "`python -m mmlearn exercises`"
        )
        yield Violation(None, "solutions", message)


def _agree(source: Path, nb: NotebookNode) -> bool:
    try:
        return learner(notebooks.load(source)) == nb
    except ValueError:  # the check of the source reports it
        return True


RULES = (_cleared, _metadata, _graded, _versions)
