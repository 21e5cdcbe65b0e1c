"""The notebook contract: a fast lint of what is stored; nothing is executed."""

import ast
import re
import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from . import learner_versions, links, notebooks
from .form import FORM, Subject, Violation, line_of, without_code

__all__ = ["SECTIONS", "Violation", "check"]

MIN_CHECKED = 5

SECTIONS = (
    "What could fool us",
    "Results",
    "Which modality did the work",
    "Recap",
    "Exercises",
    "References",
)

# A new scope: what is assigned inside does not reach the notebook's variables.
_SCOPES = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def check(path: Path) -> list[Violation]:
    """Check a stored notebook against the contract.

    An exercise notebook has rules of its own: see `learner_versions`.

    Args:
        path: The notebook's file.

    Returns:
        The violations, by cell; empty if there is none. A file that is no notebook
        gives one.

    Raises:
        OSError: If the file cannot be read.
    """
    path = Path(path)
    try:
        nb = notebooks.load(path)
    except ValueError as error:
        return [Violation(None, "format", str(error))]
    missing = list(_ids(nb))
    if invalid := _invalid(nb):
        return [*missing, Violation(None, "format", invalid)]
    subject = Subject(path, nb, list(enumerate(nb.cells, 1)))
    rules = (
        (_title, *learner_versions.RULES)
        if learner_versions.is_exercise(path, nb)
        else _RULES
    )
    found = [violation for rule in (*rules, *FORM) for violation in rule(subject)]
    return sorted([*missing, *found], key=lambda v: v.cell or 0)


def _ids(nb: NotebookNode) -> Iterator[Violation]:
    seen: set[str] = set()
    for number, cell in enumerate(nb.cells, 1):
        name = str(cell.get("id") or "")
        if not name or name in seen:
            what = f"the id {name!r} a second time" if name else "no id"
            message = f"found {what}, expected an own id: save it again in JupyterLab"
            yield Violation(number, "ids", message)
        seen.add(name)


def _invalid(nb: NotebookNode) -> str | None:
    whole = deepcopy(nb)
    for number, cell in enumerate(whole.cells):  # ids have their own rule
        cell["id"] = f"cell-{number}"
    whole["nbformat_minor"] = 5
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nbformat.validate(whole)
    except Exception as error:  # nbformat stumbles over some of what is not valid
        reason = str(error).splitlines()[0]
        return f"found {reason}, expected valid nbformat 4.5: save it in JupyterLab"
    return None


def _title(s: Subject) -> Iterator[Violation]:
    found = [
        (n, line_of(text, heading.start()))
        for n, cell in s.markdown
        for text in [without_code(cell)]
        for heading in re.finditer(r"^# ", text, re.MULTILINE)
    ]
    first = found[:1] if found[:1] and found[0][0] == 1 else []
    for number, line in found[len(first) :]:
        message = (
            "found another `# ` heading, expected exactly one, in cell 1: begin it "
            "with `## `"
        )
        yield Violation(number, "title", message, line)
    if not first:
        message = (
            "found no `# ` heading, expected the notebook's title: begin this cell "
            "with `# ` and a title"
        )
        yield Violation(1, "title", message)


def _header(s: Subject) -> Iterator[Violation]:
    rows = notebooks.header(s.nb)
    if lacking := [key for key in notebooks.HEADER_KEYS if not rows.get(key)]:
        message = (
            f"found no row {', '.join(lacking)} in the header table, expected "
            f"{', '.join(notebooks.HEADER_KEYS)}: add `| **{lacking[0]}** | ... |`"
        )
        yield Violation(1, "header", message)
    if rows.get("Time and memory") and notebooks.stated(s.nb) is None:
        message = (
            f"found {rows['Time and memory']!r}, expected like `45 s, 0.8 GB (fast "
            "profile, 2 CPU cores)`: write the measured time, a comma, the memory"
        )
        yield Violation(1, "header", message, _row(s, "Time and memory"))
    expected = links.open_in(s.path)
    if expected and rows.get("Open in", expected) != expected:
        message = (
            f"found other links under Open in, expected {expected}: {s.refresh} writes "
            "them"
        )
        yield Violation(1, "header", message, _row(s, "Open in"))


def _row(s: Subject, key: str) -> int | None:
    """The line of a row of the header table."""
    source = s.cells[0][1].source
    found = re.search(rf"\*\*\s*{key}\s*\*\*", source)
    return line_of(source, found.start()) if found else None


def _parameters(s: Subject) -> Iterator[Violation]:
    cells = s.tagged("parameters")
    try:
        names = set(notebooks.parameters(s.nb))
    except ValueError as error:
        where = cells[0][0] if len(cells) == 1 else None
        line = getattr(error, "line", None)
        yield Violation(where, "parameters", str(error), line)
        return
    number, _ = cells[0]
    after = [(n, cell) for n, cell in s.code if n > number]
    following = s.nb.cells[number] if number < len(s.cells) else None
    if not (
        following
        and following.cell_type == "code"
        and re.search(r"\bruntime\.setup\(\s*seed\s*=\s*seed\b", following.source)
    ):
        message = (
            "found no setup cell right after it, expected a code cell that calls "
            "`runtime.setup(seed=seed, ...)`: put imports and that call there"
        )
        yield Violation(number, "setup", message)
    for n, cell in after:
        try:
            bound = list(_assigned(notebooks.tree(cell.source)))
        except ValueError as error:
            message = f"{error}, expected Python: correct it"
            yield Violation(n, "python", message, getattr(error, "line", None))
            continue
        for name in sorted(names & {name for name, _ in bound}):
            message = (
                f"found {name} assigned again, expected only in the `parameters` cell: "
                "use another name"
            )
            line = min(line for other, line in bound if other == name)
            yield Violation(n, "parameters", message, line)


def _assigned(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that code at the top level binds or deletes, and the line of each."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield child.name, child.lineno
        elif isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
            yield child.id, child.lineno
        elif isinstance(child, ast.alias):
            yield (child.asname or child.name).split(".")[0], child.lineno
        elif not isinstance(child, _SCOPES):
            yield from _assigned(child)


def _sections(s: Subject) -> Iterator[Violation]:
    wanted = ("Recap",) if s.path.name.startswith("00_") else SECTIONS
    headings = [
        heading.casefold()
        for _, cell in s.markdown
        for heading in re.findall(r"^## +(.+)", without_code(cell), re.MULTILINE)
    ]
    position = 0
    for section in wanted:
        for i, heading in enumerate(headings[position:], position):
            if heading.startswith(section.casefold()):
                position = i + 1
                break
        else:
            message = (
                f"found no `## {section}` in its place, expected in this order: "
                f"{', '.join(wanted)}: add or move the section"
            )
            yield Violation(None, "sections", message)


def _executed(s: Subject) -> Iterator[Violation]:
    if not s.has_run:
        yield Violation(None, "executed", f"not run yet: {s.refresh}")
        return
    code = [(n, cell) for n, cell in s.code if cell.source.strip()]
    for expected, (number, cell) in enumerate(code, 1):
        if cell.get("execution_count") != expected:
            message = (
                f"found execution count {cell.get('execution_count')}, expected "
                f"{expected}: run {s.refresh}"
            )
            yield Violation(number, "executed", message)
            break


def _tags(s: Subject) -> Iterator[Violation]:
    for tag in ("results", "headline", "nbval-check-output"):
        for number, cell in s.tagged(tag):
            if s.has_run and not cell.outputs:
                message = (
                    f"found no output of a `{tag}` cell, expected some: print in it, "
                    f"then run {s.refresh}"
                )
                yield Violation(number, "outputs", message)
    if (count := len(s.tagged("headline"))) != 1:
        message = (
            f"found {count} cells tagged `headline`, expected exactly one: tag the "
            "cell whose last printed line is the notebook's result"
        )
        yield Violation(None, "headline", message)
    checked = s.tagged("nbval-check-output")
    if (
        count := sum(bool(cell.outputs) or not s.has_run for _, cell in checked)
    ) < MIN_CHECKED:
        message = (
            f"found {count} cells tagged `nbval-check-output` with stored outputs, "
            f"expected at least {MIN_CHECKED}: tag cells that print the same every run"
        )
        yield Violation(None, "checked", message)
    for number, _ in s.tagged("results"):
        following = next((cell for n, cell in s.code if n > number), None)
        if not (following and _asserts(following)):
            message = (
                "found no assert in the code cell after these results, expected one "
                "for every claim: add `assert ...` there"
            )
            yield Violation(number, "results", message)


def _asserts(cell: NotebookNode) -> bool:
    try:
        nodes = ast.walk(notebooks.tree(cell.source))
    except ValueError:  # `python` reports it
        return False
    return any(isinstance(node, ast.Assert) for node in nodes)


_RULES = (_title, _header, _parameters, _sections, _executed, _tags)
