"""Find notebooks and read the conventions that they follow.

Every notebook is a plain nbformat-4 file. This module knows where the title, the
header table, the tags and the headline result live; it never runs anything.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4.rwbase import rejoin_lines

from mmlearn import files

HEADER_KEYS = ("You will learn", "You need", "Data", "Time and memory", "Open in")

_NUMBERED = "[0-9][0-9]_*.ipynb"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_ROW = re.compile(r"^\|\s*\*\*(?P<key>.+?)\*\*\s*\|(?P<value>.*?)\|?\s*$")
_STATED = re.compile(
    r"(?P<time>(?:\d+(?:\.\d+)?\s*(?:h|min|s)\b\s*)+),\s*"
    r"(?P<memory>\d+(?:\.\d+)?)\s*(?P<unit>GB|MB)\b"
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(h|min|s)\b")
_SECONDS = {"h": 3600.0, "min": 60.0, "s": 1.0}
_BYTES = {"GB": 1e9, "MB": 1e6}
_MAGIC = re.compile(r"([ \t]*)[%!].*")
_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{5,}")
_STAND_IN = re.compile(r"^STAND-IN DATA: .+", re.MULTILINE)
_ABSOLUTE = re.compile(r"(?<![\w.])(?:/root/|/home/|/Users/|/tmp/)|\b[A-Z]:\\")


@dataclass(frozen=True)
class Stated:
    """Time (seconds) and memory (bytes) that a notebook's header states."""

    seconds: float
    memory: float


class LineError(ValueError):
    """Code that a cell may not hold; `line` is its line in the cell, from 1."""

    def __init__(self, message: str, line: int):
        super().__init__(message)
        self.line = line


def find(root: Path | None, select: str | Sequence[str] | None = None) -> list[Path]:
    """Find the course's notebooks, in reading order.

    Args:
        root: The folder that holds `notebooks/`; None if there is none, so that only
            paths can be selected.
        select: One or several numbers ("02"), names ("02_topic"), or paths of files or
            folders; None selects all.

    Returns:
        The paths, in the order asked for, each once.

    Raises:
        ValueError: If a selection matches nothing; the message lists what exists.
    """
    known = sorted((root / "notebooks").glob(_NUMBERED)) if root else []
    if not select:
        if not known:
            where = (root or Path.cwd()) / "notebooks"
            raise ValueError(
                f"no notebooks like NN_topic.ipynb in {where}: change to the course's "
                "folder, or give a path"
            )
        return known
    found: dict[Path, None] = {}
    for text in [select] if isinstance(select, str) else select:
        found.update(dict.fromkeys(_match(text, known)))
    return list(found)


def _match(text: str, known: list[Path]) -> list[Path]:
    number = f"{int(text):02d}_" if text.isdecimal() else None
    for path in known:
        if path.stem == text or (number and path.name.startswith(number)):
            return [path]
    path = Path(text)
    if path.is_dir():
        if inside := sorted(path.glob(_NUMBERED)) or sorted(path.glob("*.ipynb")):
            return inside
        raise ValueError(f"no notebook in the folder {text}: give another path")
    if path.is_file():
        return [path]
    names = ", ".join(p.stem for p in known) or "none"
    raise ValueError(
        f"no notebook matches {text!r}: give a number, a name or a path (here: {names})"
    )


def load(path: Path) -> NotebookNode:
    """Read a notebook as it is stored, without repairing it.

    Args:
        path: The notebook's file.

    Returns:
        The notebook, with sources and texts joined to strings.

    Raises:
        ValueError: If the file is not a notebook of nbformat 4.
    """
    wanted = "expected a Jupyter notebook of nbformat 4: save it again from JupyterLab"
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON ({error}); {wanted}") from None
    if not isinstance(raw, dict) or raw.get("nbformat") != 4:
        raise ValueError(f"{path} is JSON but not a notebook; {wanted}")
    cells = raw.get("cells")
    if not isinstance(cells, list) or not all(
        isinstance(c, dict) and isinstance(c.get("cell_type"), str) and "source" in c
        for c in cells
    ):
        raise ValueError(f"{path} has no proper list of cells; {wanted}")
    try:
        nb = rejoin_lines(nbformat.from_dict(raw))
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{path} has a cell of a wrong form; {wanted}") from None
    nb.setdefault("metadata", NotebookNode())
    return nb


def save(nb: NotebookNode, path: Path) -> None:
    """Write a notebook atomically, in the layout that Jupyter itself writes.

    Args:
        nb: The notebook.
        path: The file to write or replace.
    """
    write_atomically(path, nbformat.writes(nb).rstrip("\n") + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that no reader ever sees half of it.

    Args:
        path: The file to write or replace; its folder is created.
        text: The whole content.
    """
    path = path.resolve()  # a link stays one
    with files.written(path, replace=True) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells of a notebook, in order."""
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def tagged(nb: NotebookNode, tag: str) -> list[NotebookNode]:
    """The code cells that carry `tag`, in order."""
    return [cell for cell in code_cells(nb) if tag in tags(cell)]


def title(nb: NotebookNode) -> str | None:
    """The text of the first cell's `# ` heading, or None."""
    match = re.search(r"^# +(.+?)\s*$", _first_markdown(nb), re.MULTILINE)
    return match[1] if match else None


def promise(nb: NotebookNode) -> str:
    """The sentence between the title and the header table ("" if there is none)."""
    lines = _first_markdown(nb).splitlines()
    kept = [line for line in lines if not line.startswith(("#", "|"))]
    paragraphs = "\n".join(kept).strip().split("\n\n")
    return " ".join(paragraphs[0].split())


def header(nb: NotebookNode) -> dict[str, str]:
    """The rows of the header table: bold key to text."""
    rows = map(_ROW.match, _first_markdown(nb).splitlines())
    return {m["key"].strip(): m["value"].strip() for m in rows if m}


def stated(nb: NotebookNode) -> Stated | None:
    """The time and memory that the header states, or None if they cannot be read."""
    match = _STATED.search(header(nb).get("Time and memory", ""))
    if not match:
        return None
    seconds = sum(float(n) * _SECONDS[u] for n, u in _DURATION.findall(match["time"]))
    return Stated(seconds, float(match["memory"]) * _BYTES[match["unit"]])


def stand_ins(nb: NotebookNode) -> tuple[str, ...]:
    """What the loaders said of stand-ins for data that were not to be had, each once.

    Read from what was printed, so that it is what ran, whatever the machine has now.
    """
    said = [
        plain(line).strip()
        for cell in code_cells(nb)
        for out in cell.get("outputs", [])
        if out.get("name") == "stdout"
        for line in _STAND_IN.findall(out.text)
    ]
    return tuple(dict.fromkeys(said))


def headline(nb: NotebookNode) -> str | None:
    """The last line that the `headline` cell printed, or None.

    Where it comes from a stand-in, it begins with that.
    """
    for cell in tagged(nb, "headline"):
        printed = "".join(
            out.text for out in cell.get("outputs", []) if out.get("name") == "stdout"
        )
        if lines := printed.strip().splitlines():
            mark = "STAND-IN DATA: " if stand_ins(nb) else ""
            return mark + plain(lines[-1]).strip()
    return None


def parameters(nb: NotebookNode) -> dict[str, Any]:
    """Read the `parameters` cell.

    Args:
        nb: The notebook.

    Returns:
        Name to value, in order.

    Raises:
        ValueError: If there is not exactly one such cell, or if it holds anything but
            assignments of literals.
    """
    cells = tagged(nb, "parameters")
    if len(cells) != 1:
        raise ValueError(
            f"found {len(cells)} code cells tagged `parameters`, expected exactly one: "
            "tag the cell that assigns the knobs"
        )
    values: dict[str, Any] = {}
    for node in tree(cells[0].source).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        if not targets or not all(isinstance(t, ast.Name) for t in targets):
            raise LineError(_not_literal(node), node.lineno)
        try:
            value = ast.literal_eval(node.value)
        except ValueError:
            raise LineError(_not_literal(node), node.lineno) from None
        values.update({target.id: value for target in targets})
    return values


def _not_literal(node: ast.AST) -> str:
    return (
        f"found `{ast.unparse(node)}` in the `parameters` cell, expected only "
        "`name = literal`: move computed values to the setup cell"
    )


def tree(source: str) -> ast.Module:
    """Parse a code cell.

    Args:
        source: The cell's source; lines of IPython magic are passed over.

    Returns:
        The module's syntax tree.

    Raises:
        ValueError: If what remains is not Python.
    """
    lines = source.split("\n")
    while True:
        try:
            return ast.parse("\n".join(lines))
        except SyntaxError as error:
            # Only a line that cannot be Python is magic: `%` may also continue one.
            at = min(error.lineno or 1, len(lines)) - 1
            if not _MAGIC.match(lines[at]):
                message = f"found a cell that is not Python ({error.msg})"
                raise LineError(message, at + 1) from None
            lines[at] = _MAGIC.sub(r"\1pass", lines[at])


def output_texts(cell: NotebookNode) -> Iterator[str]:
    """Everything textual that a cell's stored outputs hold (no pictures)."""
    for out in cell.get("outputs", []):
        if out.output_type == "stream":
            yield out.text
        elif out.output_type == "error":
            yield "\n".join(out.get("traceback", []))
        else:
            for kind, data in out.get("data", {}).items():
                if kind.startswith("text/"):
                    yield data


def unrepeatable(text: str, *folders: Path) -> list[str]:
    """Find what would differ on another machine or in another run.

    Args:
        text: A stored output.
        folders: Folders whose absolute path must not occur either.

    Returns:
        A short description of each memory address or absolute path.
    """
    found = [f"the memory address {m[0]}" for m in _ADDRESS.finditer(text)]
    for match in _ABSOLUTE.finditer(text):
        start = text[match.start() : match.start() + 40].split("\n")[0]
        found.append(f"the absolute path {start.split()[0]!r}")
    known = {str(f.resolve()) for f in folders if len(f.resolve().parts) > 1}
    found += [f"the absolute path {name!r}" for name in sorted(known) if name in text]
    return found


def plain(text: str) -> str:
    """The text without ANSI colour codes."""
    return _ANSI.sub("", text)


def _first_markdown(nb: NotebookNode) -> str:
    first = nb.cells[0] if nb.cells else None
    return first.source if first and first.cell_type == "markdown" else ""
