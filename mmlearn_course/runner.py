"""Execute notebooks: copies into a build folder, or outputs back into the originals."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from rich.console import Console

from . import links, notebooks
from .kernel import CellError, OnCell, Run, play
from .parameters import inject
from .progress import each, report

_MINIMAL = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}


def execute(
    path: Path,
    out: Path,
    parameters: dict[str, Any] | None = None,
    on_cell: OnCell = None,
    timeout: int | None = None,
) -> Run:
    """Execute a copy of a notebook, in the notebook's own folder.

    Args:
        path: The notebook; it is never changed.
        out: Where the executed copy goes, also when a cell fails.
        parameters: Values that replace those of the `parameters` cell.
        on_cell: Called several times a second with (cells done, cells in all).
        timeout: Seconds that one cell may take; None for no limit.

    Returns:
        What happened; a failing cell is in `error`.

    Raises:
        ValueError: If the file is no notebook, or a parameter is unknown or of another
            type (see `parameters.inject`).
    """
    nb = notebooks.load(path)
    if parameters:
        inject(nb, parameters, path)
    result = play(nb, path, on_cell, timeout)
    notebooks.save(nb, out)
    return result


def run(
    paths: Sequence[Path],
    build: Path,
    parameters: dict[str, Any] | None = None,
    timeout: int | None = None,
    console: Console | None = None,
) -> list[Run]:
    """Execute copies of notebooks and render them as web pages.

    Writes `notebooks/NAME.ipynb`, `html/NAME.html` and `index.html` into `build`.

    Args:
        paths: The notebooks, in order.
        build: The folder to write to.
        parameters: Values that replace those of every notebook's `parameters` cell.
        timeout: Seconds that one cell may take; None for no limit.
        console: Where the progress and the table go; None for standard output.

    Returns:
        One entry for each notebook.

    Raises:
        ValueError: Before anything runs, if a file is no notebook, a parameter is
            unknown or of another type, or two notebooks have the same name.
    """
    from . import pages

    paths = [Path(p) for p in paths]
    titles: dict[str, str] = {}
    for path in paths:
        nb = notebooks.load(path)
        if parameters:
            inject(nb, parameters, path)
        if path.stem in titles:
            raise ValueError(f"two notebooks are named {path.stem}: run them apart")
        titles[path.stem] = notebooks.title(nb) or path.stem

    def work(path: Path, on_cell: OnCell) -> Run:
        copy = build / "notebooks" / path.name
        result = execute(path, copy, parameters, on_cell, timeout)
        page = build / "html" / f"{path.stem}.html"
        pages.render(copy, page, titles, folder=path.parent)
        return result

    console = console or Console(highlight=False)
    runs = each(paths, work, console)
    pages.index(runs, build / "index.html")
    report(runs, paths, console, compare=not parameters)
    console.print(f"Pages: {build / 'index.html'}", soft_wrap=True, markup=False)
    return runs


def refresh(
    paths: Sequence[Path],
    kind: Callable[[str], str] | None = None,
    timeout: int | None = None,
    console: Console | None = None,
) -> list[Run]:
    """Execute notebooks and store the outputs in the notebooks themselves.

    A notebook is replaced only when every cell succeeded, no output holds a memory
    address or an absolute path, and nobody saved the file in the meantime; otherwise it
    is left as it is.

    Args:
        paths: The notebooks, in order.
        kind: Says of a data set's name whether it is "real" or a "stand-in"; None for
            `mmlearn.datasets.sources.kind`.
        timeout: Seconds that one cell may take; None for no limit.
        console: Where the progress and the table go; None for standard output.

    Returns:
        One entry for each notebook.

    Raises:
        ValueError: Before anything runs, if a file is no notebook.
    """
    paths = [Path(p) for p in paths]
    for path in paths:
        notebooks.load(path)

    def work(path: Path, on_cell: OnCell) -> Run:
        before = path.read_bytes()
        nb = notebooks.load(path)
        result = play(nb, path, on_cell, timeout)
        error = result.error or _unstorable(nb, path)
        if error is None and path.read_bytes() != before:
            told = "was edited while it ran: the edit stays; run refresh again"
            error = CellError(result.cells[1], "", f"{path.name} {told}")
        if error is None:
            _clean(nb, kind)
            links.write(nb, path)
            notebooks.save(nb, path)
        return replace(result, error=error)

    console = console or Console(highlight=False)
    runs = each(paths, work, console)
    report(runs, paths, console, compare=True)
    return runs


def _unstorable(nb: NotebookNode, path: Path) -> CellError | None:
    """What makes the outputs unfit to be stored: they would differ elsewhere."""
    for number, cell in enumerate(notebooks.code_cells(nb), 1):
        for text in notebooks.output_texts(cell):
            if found := notebooks.unrepeatable(text, path.parent, Path.cwd()):
                hint = "print something that is the same on every machine"
                return CellError(number, cell.source, f"prints {found[0]}: {hint}")
    return None


def _clean(nb: NotebookNode, kind: Callable[[str], str] | None) -> None:
    """Reduce the metadata to what is the same on every machine, and say what ran."""
    datasets = nb.metadata.get("mmlearn", {}).get("datasets", [])
    if kind is None and datasets:
        from mmlearn.datasets.sources import kind
    about = {
        "datasets": datasets,
        "sources": {name: kind(name) for name in datasets},
        "profile": os.environ.get("MMLEARN_PROFILE", "fast"),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
    }
    nb.metadata = nbformat.from_dict({**_MINIMAL, "mmlearn": about})
    for cell in nb.cells:
        for key in ("execution", "ExecuteTime"):
            cell.metadata.pop(key, None)
    executed = (c for c in notebooks.code_cells(nb) if c.source.strip())
    for count, cell in enumerate(executed, 1):
        cell.execution_count = count
        for out in cell.outputs:
            if out.output_type == "execute_result":
                out.execution_count = count
