"""Results that were computed before: found again by code, data and seed.

A result is stored under a key made from everything that decides it: the functions that
build and fit the model with all they refer to, the package's own code, the data, the
seed, and the versions, backend and precision in use. If any of these changes, the key
does, and the result is computed anew; so it is where an object cannot be seen into.
What code does not show, such as a file that it reads, is named by the user.
"""

import dis
import hashlib
import os
import pickle
import sys
import types
import zipfile
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mmlearn import files
from mmlearn.datasets import sources

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
    """Return a key that changes when any part, or the code that runs, changes.

    A `Path` stands for the bytes of its file, a module for its functions and settings.
    """
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
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def save(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Store a result; it appears under its name only when it is complete.

    Where it cannot be kept, this is printed: what was computed is not lost by it.
    """
    if (where := folder()) is None:
        return
    try:
        with files.written(where / f"{name}.npz", replace=True) as part:
            np.savez(part, **arrays)
    except OSError as error:
        _complain(f"results are not kept for the next time: {error}")


@cache  # once will do
def _complain(message: str) -> None:
    print(message, file=sys.stderr)


@cache
def _package() -> bytes:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] != "plots":
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
    if keras.ops.is_tensor(thing) or isinstance(thing, keras.Variable):
        thing = keras.ops.convert_to_numpy(thing)
    if isinstance(thing, np.ndarray):
        yield f"{thing.dtype}{thing.shape}".encode()
        if thing.dtype.kind == "O":
            yield repr(thing.tolist()).encode()
        else:
            yield np.ascontiguousarray(thing).tobytes()
    elif isinstance(thing, Mapping):
        yield str(len(thing)).encode()
        for name, value in thing.items():
            yield from _pieces(name, seen)
            yield from _pieces(value, seen)
    elif isinstance(thing, Sequence) and not isinstance(thing, range):
        yield str(len(thing)).encode()
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
        if getattr(thing, "__file__", None) and not _is_installed(thing):
            yield from _pieces(dict(_own(thing)), seen)
    elif isinstance(thing, Path):
        yield thing.read_bytes() if thing.is_file() else str(thing).encode()
    elif isinstance(thing, keras.Model):
        yield from _pieces([type(thing), _plan(thing), thing.get_weights()], seen)
    else:
        yield from _object(thing, seen)


def _own(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield what a module defines, as it was loaded: its file may have been edited."""
    for name, value in vars(module).items():
        made = isinstance(value, types.FunctionType | type)
        if made and value.__module__ != module.__name__:
            continue
        if not name.startswith("__") and not isinstance(value, types.ModuleType):
            yield name, value


def _function(function: types.FunctionType, seen: set[int]) -> Iterator[bytes]:
    yield f"{function.__module__}.{function.__qualname__}".encode()
    if _is_installed(function):
        return
    yield from _pieces(function.__code__, seen)
    yield from _pieces([function.__defaults__, function.__kwdefaults__], seen)
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # a name without a value yet
            continue
        yield from _pieces(value, seen)
    known, names = function.__globals__, _globals(function.__code__)
    used = {name: known[name] for name in sorted(names) if name in known}
    yield from _pieces(used, seen)


def _globals(code: types.CodeType) -> set[str]:
    """Global names that code reads, also in the functions within it."""
    steps = dis.get_instructions(code)
    read = {s.argval for s in steps if s.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return read.union(*map(_globals, inner))


def _class(cls: type, seen: set[int]) -> Iterator[bytes]:
    yield f"{cls.__module__}.{cls.__qualname__}".encode()
    if _is_installed(cls):
        return
    yield from _pieces(cls.__bases__, seen)
    for name, value in sorted(vars(cls).items()):
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        # Python keeps notes under such names, such as a class's first line.
        if not name.startswith("__") or isinstance(value, types.FunctionType):
            yield name.encode()
            yield from _pieces(value, seen)


def _plan(model: keras.Model) -> Any:
    """Return what the layers are and how they are joined."""
    try:
        plan = model.get_config()
    except (NotImplementedError, TypeError, ValueError):  # no plan, or not to be told
        return [type(layer) for layer in model.layers]
    # Keras counts the nameless ones on and on; here, a number says the place.
    names = {
        name: f"{name.rstrip('_0123456789')} {place}"
        for place, name in enumerate(dict.fromkeys(_names(plan)))
    }

    def renamed(value):
        if isinstance(value, Mapping):
            return {name: renamed(entry) for name, entry in value.items()}
        if isinstance(value, list | tuple):
            return [renamed(entry) for entry in value]
        return names.get(value, value) if isinstance(value, str) else value

    return renamed(plan)


def _names(plan: Any) -> Iterator[str]:
    """Yield the names of all layers in a model's config."""
    if isinstance(plan, Mapping):
        # A layer or an input, no dtype or initializer.
        if "name" in plan and {"trainable", "batch_shape"} & set(plan):
            yield plan["name"]
        plan = list(plan.values())
    if isinstance(plan, list | tuple):
        for entry in plan:
            yield from _names(entry)


def _object(thing: Any, seen: set[int]) -> Iterator[bytes]:
    kind = type(thing)
    yield from _pieces(kind, seen)
    if isinstance(thing, property):
        yield from _pieces([thing.fget, thing.fset, thing.fdel], seen)
        return
    if isinstance(thing, cached_property):  # it holds a lock, too
        yield from _pieces(thing.func, seen)
        return
    state = None
    with suppress(NotImplementedError, TypeError):
        # What pickle would keep; a repr may leave out most of it.
        has_config = hasattr(thing, "get_config")
        state = thing.get_config() if has_config else thing.__getstate__()
    if isinstance(thing, keras.layers.Layer) and state:
        # Keras counts the nameless ones, in each process anew.
        state = [{**state, "name": ""}, thing.get_weights()]
    if isinstance(state, Mapping):
        # What is computed once and kept says nothing new.
        kept = [n for n in state if isinstance(getattr(kind, n, 0), cached_property)]
        state = {name: state[name] for name in state if name not in kept}
    if state is not None:
        yield from _pieces(state, seen)
        return
    try:
        yield pickle.dumps(thing)
    except Exception:  # libraries raise all kinds
        text = repr(thing)
        # An address is another one in each process; the state cannot be known, and so
        # the result is never found again.
        yield os.urandom(16) if " at 0x" in text else text.encode()


def _is_installed(thing: Any) -> bool:
    """Whether this comes from the package or a library, which the versions cover."""
    name = getattr(thing, "__module__", None) or getattr(thing, "__name__", None)
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if name == "__main__" or file is None:
        return module is not None and name in sys.builtin_module_names
    path = Path(file).resolve()
    library = Path(os.__file__).resolve().parent
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    return PACKAGE in path.parents or library in path.parents
