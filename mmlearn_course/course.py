"""`python -m mmlearn course new`: lay out a course that nbgrader can run."""

import re
from pathlib import Path

import nbformat

from mmlearn import files

from . import learner_versions, links, notebooks

_TEMPLATES = Path(__file__).parent / "templates" / "course"
# From an exercise notebook to the lectures, which a course's learner may not have.
_LECTURE = re.compile(r"\]\(\.\./")


def new(folder: Path, root: Path | None) -> tuple[list[Path], list[Path]]:
    """Lay out a course; a file that is there already is never touched.

    Writes `nbgrader_config.py`, `README.md`, and for each exercise notebook
    `source/NAME/NAME.ipynb`, with the files of `notebooks/exercises/data` whose names
    begin with its number.

    Args:
        folder: The course's folder; it is created.
        root: The folder that holds `notebooks/`.

    Returns:
        The files that were written, and those that were there and were kept.

    Raises:
        ValueError: If there are no exercise notebooks, or one cannot be converted.
        FileExistsError: If `folder` is a file.
    """
    sources = learner_versions.sources(root) if root else []
    if not sources:
        raise ValueError(
            "there are no notebooks/exercises/ here or above: run it in a clone of the "
            "repository"
        )
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: give the name of a folder")
    contents = {path.name: path.read_bytes() for path in sorted(_TEMPLATES.iterdir())}
    for path in sources:
        name = learner_versions.learner_path(path).stem
        contents[f"source/{name}/{name}.ipynb"] = _assignment(path)
        for data in sorted(path.parent.glob(f"data/{name[:2]}_*")):
            contents[f"source/{name}/data/{data.name}"] = data.read_bytes()
    written, kept = [], []
    for name, content in contents.items():
        target = folder / name
        try:
            with files.written(target) as part:
                part.write_bytes(content)
            written.append(target)
        except FileExistsError:
            kept.append(target)
    return written, kept


def _assignment(path: Path) -> bytes:
    """A solution notebook as an nbgrader source: links go to the repository."""
    nb = notebooks.load(path)
    learner_versions.learner(nb)  # says what is wrong before nbgrader does
    if lectures := links.on_github(path.parents[1]):
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                cell.source = _LECTURE.sub(f"]({lectures}/", cell.source)
    return (nbformat.writes(nb).rstrip("\n") + "\n").encode()
