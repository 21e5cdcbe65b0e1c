"""Links to open a notebook elsewhere, derived from the repository's one address."""

import re
import tomllib
from pathlib import Path

from nbformat import NotebookNode

_ROW = re.compile(r"^\|\s*\*\*Open in\*\*\s*\|.*$", re.MULTILINE)
_GITHUB = "https://github.com/"


def open_in(path: Path) -> str | None:
    """Return the header's "Open in" entry for a notebook.

    Args:
        path: The notebook, in a checkout whose `pyproject.toml` names the address.

    Returns:
        Markdown links, or `None` outside of such a checkout.
    """
    if page := on_github(path):
        colab = page.replace(_GITHUB, "https://colab.research.google.com/github/", 1)
        return f"[Colab]({colab}), [GitHub]({page})"
    return None


def on_github(path: Path) -> str | None:
    """The address of a file or folder of a checkout, or `None` outside of one."""
    path = path.resolve()
    for folder in path.parents:
        if (project := folder / "pyproject.toml").exists():
            # Around a course author's notebook, it may be any other project's.
            try:
                known = tomllib.loads(project.read_text(encoding="utf-8"))
            except ValueError:
                return None
            address = known.get("project", {}).get("urls", {}).get("Repository", "")
            if not address.startswith(_GITHUB):
                return None
            return f"{address}/blob/main/{path.relative_to(folder).as_posix()}"
    return None


def write(nb: NotebookNode, path: Path) -> None:
    """Write the "Open in" entry into the header table, where the address is known."""
    if entry := open_in(path):
        row = f"| **Open in** | {entry} |"
        nb.cells[0].source = _ROW.sub(lambda _: row, nb.cells[0].source)
