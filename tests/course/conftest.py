"""Fixtures that write small notebooks into a temporary course."""

from pathlib import Path

import nbformat
import pytest
from small_notebooks import HEADER, clean_cells, code, markdown


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A course's folder without notebooks."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "none.md").write_text("No data.\n")
    return tmp_path


@pytest.fixture
def write(course):
    """Writes a notebook of the given cells (strings are code) into the course."""

    def write(name: str, *cells, header: str | None = HEADER, **metadata) -> Path:
        nb = nbformat.v4.new_notebook(metadata=metadata)
        nb.cells = [markdown(header)] if header else []
        nb.cells += [code(c) if isinstance(c, str) else c for c in cells]
        path = course / "notebooks" / f"{name}.ipynb"
        nbformat.write(nb, path)
        return path

    return write


@pytest.fixture
def clean(write):
    """Writes a notebook that keeps the contract, changed by the given function."""

    def clean(change=None, name: str = "02_clean", header: str = HEADER) -> Path:
        cells = clean_cells()
        if change:
            change(cells)
        return write(name, *cells, header=header)

    return clean
