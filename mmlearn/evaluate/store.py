"""Results that were computed before: found again by code, data and seed.

A result is stored under a key made from everything that decides it: the functions that
build and fit the model with all they refer to, the package's own code, the data, the
seed, and the versions, backend and precision in use. If any of these changes, the key
does, and the result is computed anew.
"""

import hashlib
import inspect
import os
import sys
import tempfile
import types
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mmlearn import sources

PACKAGE = Path(__file__).resolve().parent.parent


def folder() -> Path | None:
    """Return where results are kept; `None` where `$MMLEARN_RESULTS` is `off`.

    `$MMLEARN_RESULTS` names another folder; by default they lie in the user's cache.
    """
    named = os.environ.get("MMLEARN_RESULTS")
    if named == "off":
        return None
    return Path(named) if named else sources.cache_dir() / "mmlearn" / "results"


def key(*parts: Any) -> str:
    """Return a key that changes when any part, or the code that runs, changes."""
    running = (
        sys.version_info[:2],
        keras.__version__,
        keras.backend.backend(),
        keras.mixed_precision.global_policy().name,
        _package(),
    )
    digest = hashlib.sha256()
    for piece in _pieces([running, parts], set()):
        digest.update(piece)
    return digest.hexdigest()[:32]


def load(name: str) -> dict[str, np.ndarray] | None:
    """Return a stored result, or `None` if there is none (a damaged one counts so)."""
    if (where := folder()) is None:
        return None
    try:
        with np.load(where / f"{name}.npz", allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError, EOFError):
        return None


def save(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Store a result; it appears under its name only when it is complete."""
    if (where := folder()) is None:
        return
    where.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=where, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(path, where / f"{name}.npz")
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise


@cache
def _package() -> bytes:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in ("classroom", "plots"):
            digest.update(path.read_bytes())
    return digest.digest()


def _pieces(thing: Any, seen: set[int]) -> Iterator[bytes]:
    """Yield bytes that describe a value, with all that a function refers to."""
    if isinstance(thing, str | bytes | int | float | complex | None | np.generic):
        yield f"{type(thing).__name__}:{thing!r}".encode()
        return
    if id(thing) in seen:  # a function that calls itself
        yield b"again"
        return
    seen = seen | {id(thing)}
    yield type(thing).__qualname__.encode()
    if isinstance(thing, np.ndarray):
        yield f"{thing.dtype}{thing.shape}".encode()
        if thing.dtype.kind == "O":
            yield repr(thing.tolist()).encode()
        else:
            yield np.ascontiguousarray(thing).tobytes()
    elif isinstance(thing, Mapping):
        for name, value in thing.items():
            yield from _pieces(name, seen)
            yield from _pieces(value, seen)
    elif isinstance(thing, Sequence) and not isinstance(thing, range):
        for value in thing:
            yield from _pieces(value, seen)
    elif isinstance(thing, Set):
        yield repr(sorted(map(repr, thing))).encode()
    elif isinstance(thing, partial):
        yield from _pieces([thing.func, thing.args, thing.keywords], seen)
    elif isinstance(thing, types.MethodType):
        yield from _pieces([thing.__func__, thing.__self__], seen)
    elif isinstance(thing, types.FunctionType):
        yield from _function(thing, seen)
    elif isinstance(thing, types.CodeType):
        yield thing.co_code
        yield from _pieces([thing.co_names, thing.co_varnames, thing.co_consts], seen)
    elif isinstance(thing, type):
        yield from _class(thing, seen)
    elif isinstance(thing, types.ModuleType):
        yield thing.__name__.encode()
    elif isinstance(thing, keras.Model):
        yield from _pieces([thing.name, thing.get_weights()], seen)
    else:
        yield from _object(thing, seen)


def _function(function: types.FunctionType, seen: set[int]) -> Iterator[bytes]:
    yield f"{function.__module__}.{function.__qualname__}".encode()
    if _is_installed(function):
        return
    yield from _pieces(function.__code__, seen)
    yield from _pieces([function.__defaults__, function.__kwdefaults__], seen)
    captured = inspect.getclosurevars(function)
    yield from _pieces([captured.nonlocals, captured.globals], seen)


def _class(cls: type, seen: set[int]) -> Iterator[bytes]:
    yield f"{cls.__module__}.{cls.__qualname__}".encode()
    if _is_installed(cls):
        return
    yield from _pieces(cls.__bases__, seen)
    for name, value in sorted(vars(cls).items()):
        if isinstance(value, types.FunctionType):
            yield name.encode()
            yield from _pieces(value, seen)


def _object(thing: Any, seen: set[int]) -> Iterator[bytes]:
    yield from _pieces(type(thing), seen)
    if hasattr(thing, "get_config") and not isinstance(thing, type):
        try:
            yield from _pieces(thing.get_config(), seen)
            return
        except NotImplementedError:
            pass
    text = repr(thing)
    # A default repr holds the address, which is another one in each process.
    yield b"" if " at 0x" in text else text.encode()
    if " at 0x" in text and hasattr(thing, "__dict__"):
        yield from _pieces(vars(thing), seen)


def _is_installed(thing: Any) -> bool:
    """Whether this comes from the package or a library, which the versions cover."""
    module = sys.modules.get(thing.__module__)
    file = getattr(module, "__file__", None)
    if thing.__module__ == "__main__" or file is None:
        return module is not None and thing.__module__ in sys.builtin_module_names
    folders = Path(file).resolve().parents
    library = Path(os.__file__).resolve().parent
    return PACKAGE in folders or library in folders or "site-packages" in str(file)
