"""Files that appear under their name only when they are complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written(path: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a path to write to; what stands there in the end is moved to `path`.

    It lies in a new folder beside `path`, since a move is atomic only within one file
    system. If writing fails, for example on a full disk, nothing is left of it.

    Args:
        path: The file; its folder is made.
        replace: Replace a file of this name, keeping its permissions; else it is
            refused, also where it appears only while this one is being written.

    Raises:
        FileExistsError: If there is such a file, and it is not to be replaced.

    Example:
        >>> with written("notes.txt") as part:  # doctest: +SKIP
        ...     part.write_text("complete, or not there")
    """
    path = Path(path)
    if not replace and path.exists():
        raise _taken(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        if replace:
            if path.exists():
                shutil.copymode(path, part)
            os.replace(part, path)
            return
        try:
            os.link(part, path)  # unlike a move, this replaces nothing
        except FileExistsError:
            raise _taken(path) from None
        except OSError:  # a file system without links
            if path.exists():
                raise _taken(path) from None
            os.replace(part, path)


def _taken(path: Path) -> FileExistsError:
    return FileExistsError(
        f"{path} exists already and is not overwritten: choose another name, or remove "
        "it"
    )
