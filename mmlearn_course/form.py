"""Rules of the notebook contract on form: outputs, pictures, code, links."""

import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from nbformat import NotebookNode

from . import notebooks

MAX_BYTES = 1_500_000
MAX_MEDIAN_LINES, MAX_LINES, MAX_COLUMNS = 10, 40, 88
MIN_ALT = 20
PICTURES = ("image/png", "image/svg+xml")

_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE_OR_MATH = re.compile(r"`[^`\n]*`|\$\$.*?\$\$|\$[^$\n]+\$", re.DOTALL)
_LINK = re.compile(r"\]\(\s*<?([^)>\s]+)")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//", re.IGNORECASE)
_FOREIGN = re.compile(r"pip3? install\b[^\n]*?(?<![\w./-])mmlearn(?![\w/-])")


@dataclass(frozen=True)
class Violation:
    """One broken rule: where, and why.

    Attributes:
        cell: The cell's number among all cells; None for the whole file.
        rule: The rule's name.
        message: What was found, what was expected: what to do.
        line: The line of the cell's source, from 1; None if no line is to blame.
    """

    cell: int | None
    rule: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = "file" if self.cell is None else f"cell {self.cell}"
        if self.line is not None:
            where += f", line {self.line}"
        return f"{where}: {self.rule}: {self.message}"


Numbered = list[tuple[int, NotebookNode]]


@dataclass(frozen=True)
class Subject:
    """A notebook under check, its cells numbered from 1."""

    path: Path
    nb: NotebookNode
    cells: Numbered

    @property
    def refresh(self) -> str:
        """The command that executes the notebook and stores its outputs."""
        name = self.path.stem if self.path.parent.name == "notebooks" else self.path
        return f"`python -m mmlearn refresh {name}`"

    @property
    def has_run(self) -> bool:
        """Whether any output is stored; without one, no rule asks for single ones."""
        return any(cell.outputs for _, cell in self.code)

    @property
    def code(self) -> Numbered:
        """The code cells."""
        return [(n, cell) for n, cell in self.cells if cell.cell_type == "code"]

    @property
    def markdown(self) -> Numbered:
        """The Markdown cells."""
        return [(n, cell) for n, cell in self.cells if cell.cell_type == "markdown"]

    def tagged(self, tag: str) -> Numbered:
        """The code cells that carry `tag`."""
        return [(n, cell) for n, cell in self.code if tag in notebooks.tags(cell)]


def without_code(cell: NotebookNode) -> str:
    """The source of a Markdown cell, its fenced blocks emptied, line by line."""
    return _FENCED.sub(lambda block: "\n" * block[0].count("\n"), cell.source)


def line_of(text: str, position: int) -> int:
    """The line, from 1, that a position in a text is in."""
    return text.count("\n", 0, position) + 1


def _outputs(s: Subject) -> Iterator[Violation]:
    for number, cell in s.code:
        for found, fix in _blemishes(s, cell):
            message = f"found {found}, expected none in stored outputs: {fix}"
            yield Violation(number, "outputs", message)


def _blemishes(s: Subject, cell: NotebookNode) -> Iterator[tuple[str, str]]:
    """What must not be in a cell's outputs, and how to get rid of it."""
    for out in cell.outputs:
        if out.output_type == "error":
            yield f"the error {out.get('ename')}", "make the cell succeed"
        if out.get("name") == "stderr":
            yield "output on stderr", "silence its cause, or print to stdout"
    for text in notebooks.output_texts(cell):
        if "Warning" in text:
            yield "a warning", "remove its cause"
        if "\r" in text or "\x1b[" in text:
            yield "terminal control codes", "print plain lines without colours"
        for found in notebooks.unrepeatable(text, s.path.parent, Path.cwd()):
            yield found, "print what is the same on every machine"


def _timestamps(s: Subject) -> Iterator[Violation]:
    for number, cell in s.cells:
        if found := [k for k in ("execution", "ExecuteTime") if k in cell.metadata]:
            message = (
                f"found the metadata {found[0]!r}, expected no execution times: run "
                f"{s.refresh}"
            )
            yield Violation(number, "timestamps", message)


def _pictures(s: Subject) -> Iterator[Violation]:
    for number, cell in s.code:
        for out in cell.outputs:
            for kind in out.get("data", {}):
                if not kind.startswith("image/"):
                    continue
                if kind not in PICTURES:
                    message = f"found {kind}, expected PNG or SVG: display it as PNG"
                    yield Violation(number, "pictures", message)
                    continue
                about = out.metadata.get(kind, {})
                alt = about.get("alt", "") if isinstance(about, dict) else ""
                if len(str(alt).strip()) < MIN_ALT:
                    message = (
                        f"found the alt text {alt!r}, expected {MIN_ALT} characters or "
                        "more that say what the picture shows: "
                        f'display(fig, metadata={{"{kind}": {{"alt": "..."}}}})'
                    )
                    yield Violation(number, "pictures", message)


def _code(s: Subject) -> Iterator[Violation]:
    lengths = []
    for number, cell in s.code:
        lines = cell.source.splitlines()
        lengths.append(len(lines))
        if len(lines) > MAX_LINES:
            message = (
                f"found {len(lines)} lines, expected at most {MAX_LINES}: split the "
                "cell, or move the helper to the package"
            )
            yield Violation(number, "code", message)
        for i, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS:
                message = (
                    f"found {len(line)} columns, expected at most {MAX_COLUMNS}: run "
                    "`ruff format`, or split the line"
                )
                yield Violation(number, "code", message, i)
    if lengths and (median := statistics.median(lengths)) > MAX_MEDIAN_LINES:
        message = (
            f"found a median of {median:g} lines in a code cell, expected at most "
            f"{MAX_MEDIAN_LINES}: let each cell do one thing"
        )
        yield Violation(None, "code", message)


def _links(s: Subject) -> Iterator[Violation]:
    for number, cell in s.markdown:
        text = _CODE_OR_MATH.sub(
            lambda found: "\n" * found[0].count("\n"), without_code(cell)
        )
        for match in _LINK.finditer(text):
            target = match[1]
            if _ELSEWHERE.match(target):
                continue
            file = unquote(re.split(r"[#?]", target)[0])
            if not (s.path.parent / file).exists():
                message = (
                    f"found a link to {target}, expected a file that exists beside "
                    "the notebook: correct the path"
                )
                yield Violation(number, "links", message, line_of(text, match.start()))
        if "arxiv.org/pdf" in cell.source:
            line = line_of(cell.source, cell.source.index("arxiv.org/pdf"))
            message = (
                "found a link to an arXiv PDF, expected the page of the paper: write "
                "arxiv.org/abs/... instead"
            )
            yield Violation(number, "links", message, line)


def _foreign(s: Subject) -> Iterator[Violation]:
    for number, cell in s.cells:
        found = _FOREIGN.search(cell.source)
        if found or any(map(_FOREIGN.search, notebooks.output_texts(cell))):
            message = (
                "found `pip install mmlearn`, which is somebody else's package, "
                "expected `mmlearn-course`: correct the name"
            )
            line = line_of(cell.source, found.start()) if found else None
            yield Violation(number, "install", message, line)


def _size(s: Subject) -> Iterator[Violation]:
    if (size := s.path.stat().st_size) > MAX_BYTES:
        message = (
            f"found {size / 1e6:.2f} MB, expected at most {MAX_BYTES / 1e6} MB: lower "
            "the dpi of the largest figures, or show fewer"
        )
        yield Violation(None, "size", message)


FORM = (_outputs, _timestamps, _pictures, _code, _links, _foreign, _size)
