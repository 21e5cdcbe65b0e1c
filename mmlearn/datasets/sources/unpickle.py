"""Read arrays from pickles without trust: PyTorch's old weights, NumPy's object arrays.

A pickle may name any function and have it called. These readers know the few names that
arrays need, and answer each with something harmless: a file can build dictionaries,
lists and arrays with it, or be refused.

A legacy weights file is a series of pickles: a magic number, the version, the writer's
system, the dictionary of tensors, the keys of their storages; then the storages, each a
length and the raw numbers.
"""

import math
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001


class UnpickleError(ValueError):
    """A file is damaged, or holds something other than arrays and plain values."""


class _Storage(NamedTuple):
    key: str
    dtype: str
    size: int


class _View(NamedTuple):
    """A tensor before its numbers have been read."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Dictionary(OrderedDict):
    def __setstate__(self, state: Any) -> None:
        """Ignore attributes that the file attaches to the dictionary."""


class _Rebuild:
    """Checks a tensor's description; an object without attributes to be changed."""

    __slots__ = ()

    def __call__(self, storage, offset, shape, strides, *_) -> _View:
        numbers = [offset, *shape, *strides]
        if (
            type(storage) is not _Storage
            or any(type(n) is not int or n < 0 for n in numbers)
            or len(shape) != len(strides)
        ):
            raise UnpickleError("a tensor is not described by whole numbers")
        count = math.prod(shape)
        last = offset + sum(
            (n - 1) * step for n, step in zip(shape, strides, strict=True)
        )
        # The count, too: a stride of 0 would blow up a few numbers to any size.
        if count and (last >= storage.size or count > storage.size):
            raise UnpickleError(f"a tensor reaches beyond storage {storage.key!r}")
        return _View(storage, offset, tuple(shape), tuple(strides))


class _ArraysOnly(pickle.Unpickler):
    """Unpickler of dictionaries, lists, numbers, strings and tensors.

    What a file gets for a name cannot be altered, so that it changes nothing here.
    """

    def __init__(self, file: BinaryIO, room: int):
        super().__init__(file)
        self.room = room
        self.storages: dict[str, _Storage] = {}
        self.names = {
            "collections.OrderedDict": _Dictionary,
            "torch._utils._rebuild_tensor_v2": _Rebuild(),
            "torch.FloatStorage": "<f4",
            "torch.LongStorage": "<i8",
        }

    def find_class(self, module: str, name: str) -> Any:
        if (found := self.names.get(f"{module}.{name}")) is None:
            raise UnpickleError(f"it names {module}.{name}, which is no array")
        return found

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", "<f4" | "<i8" as dtype, str(key), str(), int(size), None):
                pass
            case _:
                raise UnpickleError("it refers to something that is no storage")
        storage = _Storage(key, dtype, size)
        if self.storages.setdefault(key, storage) != storage or size < 0:
            raise UnpickleError(f"storage {key!r} has no definite size")
        needed = sum(_bytes(each) for each in self.storages.values())
        if needed > self.room:
            raise UnpickleError(
                f"its storages need {needed:,} bytes or more, it has {self.room:,}"
            )
        return storage


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read a legacy `.pth` file of named tensors (float32 and int64).

    Args:
        path: The file.

    Returns:
        The arrays by name.

    Raises:
        UnpickleError: If the file is cut off, names any function or class other than
            the four that arrays need, reaches beyond its own content, or is no such
            file; one line. Nothing in the file is run.
    """
    with Path(path).open("rb") as file:
        try:
            return _arrays(file, Path(path).stat().st_size)
        except UnpickleError as error:
            raise UnpickleError(f"{path} is refused: {error}") from None
        except Exception as error:
            # A damaged pickle raises errors of any kind.
            raise UnpickleError(
                f"{path} is refused: it is damaged, cut off, or no weights file in "
                f"PyTorch's old format ({type(error).__name__})"
            ) from error


def _arrays(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    if [_plain(file) for _ in range(2)] != [_MAGIC, _VERSION]:
        raise UnpickleError("it does not start like PyTorch's old format")
    system = _plain(file)
    if system["little_endian"] is not True:
        raise UnpickleError("its numbers are big-endian")
    reader = _ArraysOnly(file, room=size)
    views = reader.load()
    if not isinstance(views, dict) or not all(
        isinstance(name, str) and type(view) is _View for name, view in views.items()
    ):
        raise UnpickleError("it holds something other than named arrays")
    keys = _plain(file)
    if sorted(keys) != sorted(reader.storages):
        raise UnpickleError("its storages are not those that its tensors use")
    numbers = {key: _numbers(file, reader.storages[key]) for key in keys}
    if file.read(1):
        raise UnpickleError("something follows its last storage")
    return {name: _array(view, numbers) for name, view in views.items()}


def _plain(file: BinaryIO) -> Any:
    """Unpickle what needs no name at all."""
    reader = _ArraysOnly(file, room=0)
    reader.names = {}
    return reader.load()


def _numbers(file: BinaryIO, storage: _Storage) -> np.ndarray:
    (count,) = struct.unpack("<q", file.read(8))
    if count != storage.size:
        raise UnpickleError(f"storage {storage.key!r} has another size than announced")
    content = file.read(_bytes(storage))
    if len(content) < _bytes(storage):
        raise UnpickleError(f"it is cut off in storage {storage.key!r}")
    return np.frombuffer(content, storage.dtype)


def _array(view: _View, numbers: dict[str, np.ndarray]) -> np.ndarray:
    flat = numbers[view.storage.key]
    return np.lib.stride_tricks.as_strided(
        flat[view.offset :],
        view.shape,
        [step * flat.itemsize for step in view.strides],
    ).copy()


def _bytes(storage: _Storage) -> int:
    return storage.size * np.dtype(storage.dtype).itemsize


class _Array:
    """An array before it is made: what the file says of it, checked."""

    __slots__ = ("value",)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, content = state
        if type(shape) is not tuple or type(dtype) is not _Dtype:
            raise UnpickleError("an array is not described by a shape and a type")
        if any(type(n) is not int or n < 0 for n in shape):
            raise UnpickleError("an array's shape is not whole numbers")
        kind = dtype.value
        wanted, size = (list, 1) if kind.hasobject else (bytes, kind.itemsize)
        # The length, too: a file cannot blow up a few numbers to any size.
        if type(content) is not wanted or len(content) != size * math.prod(shape):
            raise UnpickleError("an array's content does not fit its shape and type")
        self.value = shape, kind, "F" if fortran else "C", content


class _Dtype:
    __slots__ = ("value",)

    def __init__(self, code: Any):
        if type(code) is not str or code not in _CODES:
            raise UnpickleError(f"it has an array of type {code!r}, not of numbers")
        self.value = np.dtype(code if code[0] == "O" else f"<{code}")

    def __setstate__(self, state: Any) -> None:
        # Further items would describe fields and subarrays.
        if state[1] not in ("<", "|") or any(state[2:5]):
            raise UnpickleError("it has an array of an unknown or big-endian type")


_CODES = {"b1", "f2", "f4", "f8", "O8", "O4"}
_CODES |= {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}


class _Named:
    """Answers a name in the file; an object without attributes to be changed."""

    __slots__ = ("_answer",)

    def __init__(self, answer):
        object.__setattr__(self, "_answer", answer)

    def __setattr__(self, name: str, value: Any) -> None:
        raise UnpickleError("it changes what it names")

    def __call__(self, *arguments: Any) -> Any:
        return self._answer(*arguments)


def _encoded(text: str, encoding: str) -> bytes:
    """Return the bytes that protocol 2 writes as text."""
    if type(text) is not str or encoding != "latin1":
        raise UnpickleError("it has text in another encoding than latin1")
    return text.encode("latin1")


_NUMPY_NAMES = {
    "numpy.ndarray": _Named(lambda *_: _Array()),
    "numpy.dtype": _Named(lambda code, *_: _Dtype(code)),
    # How protocol 2 writes bytes, and no bytes.
    "_codecs.encode": _Named(_encoded),
    "__builtin__.bytes": _Named(lambda: b""),
    # NumPy 2 calls the module `_core`.
    **{
        f"numpy.{core}.multiarray._reconstruct": _Named(lambda *_: _Array())
        for core in ("core", "_core")
    },
}


def read_object_array(path: str | Path) -> np.ndarray:
    """Read a `.npy` file of Python objects: arrays, dicts, lists, strings, numbers.

    Args:
        path: The file.

    Returns:
        The array of objects; of shape () if one object was saved: `[()]` gets it.

    Raises:
        UnpickleError: If the file is cut off, names any function or class other than
            those that arrays of numbers need, or is no such file; one line. Nothing in
            the file is run.
    """
    with Path(path).open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise UnpickleError(f"it has version {version} of the format, not 1.0")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            reader = _ArraysOnly(file, room=0)
            reader.names = _NUMPY_NAMES
            loaded = _made(reader.load(), {})
            if (
                not dtype.hasobject
                or not isinstance(loaded, np.ndarray)
                or (loaded.dtype, loaded.shape) != (dtype, shape)
            ):
                raise UnpickleError("it holds something other than an object array")
            if file.read(1):
                raise UnpickleError("something follows the array")
            return loaded
        except UnpickleError as error:
            raise UnpickleError(f"{path} is refused: {error}") from None
        except Exception as error:
            # A damaged pickle raises errors of any kind.
            raise UnpickleError(
                f"{path} is refused: it is damaged, cut off, or no .npy file of "
                f"objects ({type(error).__name__})"
            ) from error


def _made(item: Any, done: dict[int, Any], depth: int = 0) -> Any:
    """Replace descriptions of arrays by arrays, in what was read.

    What occurs in several places is made once, lest a small file become a huge one.
    """
    if depth > 20:
        raise UnpickleError("it is nested too deeply, or holds itself")
    if item is None or type(item) in (str, bytes, int, float, complex, bool):
        return item
    if id(item) in done:
        return done[id(item)]

    def each(parts):
        return [_made(part, done, depth + 1) for part in parts]

    if type(item) in (list, tuple):
        made = type(item)(each(item))
    elif type(item) is dict:
        made = dict(zip(item, each(item.values()), strict=True))
    elif type(item) is _Array:
        shape, kind, order, content = item.value
        if kind.hasobject:
            made = np.empty(len(content), dtype=object)
            for place, part in enumerate(each(content)):
                made[place] = part
        else:
            made = np.frombuffer(content, kind).copy()
        made = made.reshape(shape, order=order)
    else:
        raise UnpickleError(f"it holds {type(item).__name__}, which is no plain value")
    done[id(item)] = made
    return made
