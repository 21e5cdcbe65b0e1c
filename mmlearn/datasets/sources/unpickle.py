"""Read arrays from pickles that are known: PyTorch's old weights, NumPy's objects.

A pickle may name any function and have it called. So a file is read only if its
SHA-256 is the one written down here, and then only the names that arrays need are
answered.

A legacy weights file is a series of pickles: a magic number, the version, the writer's
system, the dictionary of tensors, the keys of their storages; then the storages, each a
length and the raw numbers.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmlearn.datasets import sources

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001

# NumPy 2 calls the module `_core`; `_codecs` and `bytes` are how protocol 2 writes
# bytes, and no bytes.
_NUMPY = {
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "_codecs.encode",
    "__builtin__.bytes",
}


class UnpickleError(ValueError):
    """A file is damaged, or holds something other than arrays and plain values."""


class _Objects(pickle.Unpickler):
    """Unpickler of NumPy's arrays, dictionaries, lists, numbers and strings."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _NUMPY:
            raise UnpickleError(f"it names {module}.{name}, which is no array")
        return super().find_class(module, name)


class _Tensors(pickle.Unpickler):
    """Unpickler of PyTorch's tensors: views of storages that are filled later."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        names = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor_v2": _tensor,
            "torch.FloatStorage": "<f4",
            "torch.LongStorage": "<i8",
        }
        if f"{module}.{name}" not in names:
            raise UnpickleError(f"it names {module}.{name}, which is no array")
        return names[f"{module}.{name}"]

    def persistent_load(self, pid: tuple) -> np.ndarray:
        _, dtype, key, _, size, _ = pid
        return self.storages.setdefault(key, np.empty(size, dtype))


def read_arrays(path: str | Path, sha256: str) -> dict[str, np.ndarray]:
    """Read a legacy `.pth` file of named tensors (float32 and int64).

    Args:
        path: The file.
        sha256: Its checksum; another file is not opened as a pickle.

    Returns:
        The arrays by name.

    Raises:
        mmlearn.datasets.sources.SourceError: If the checksum is another one.
        UnpickleError: If the file is cut off, names any function or class other than
            the four that arrays need, or is no such file; one line.
    """
    return _read(path, sha256, _arrays, "no weights file in PyTorch's old format")


def read_object_array(path: str | Path, sha256: str) -> np.ndarray:
    """Read a `.npy` file of Python objects: arrays, dicts, lists, strings, numbers.

    Args:
        path: The file.
        sha256: Its checksum; another file is not opened as a pickle.

    Returns:
        The array of objects; of shape () if one object was saved: `[()]` gets it.

    Raises:
        mmlearn.datasets.sources.SourceError: If the checksum is another one.
        UnpickleError: If the file is cut off, names any function or class other than
            those that arrays need, or is no such file; one line.
    """
    return _read(path, sha256, _objects, "no .npy file of objects")


def _read(path: str | Path, sha256: str, reader: Callable, otherwise: str) -> Any:
    with sources.verify(Path(path), sha256).open("rb") as file:
        try:
            found = reader(file)
            if file.read(1):
                raise UnpickleError("something follows its content")
            return found
        except UnpickleError as error:
            raise UnpickleError(f"{path} is refused: {error}") from None
        except Exception as error:
            # A damaged pickle raises errors of any kind.
            raise UnpickleError(
                f"{path} is refused: it is damaged, cut off, or {otherwise} "
                f"({type(error).__name__})"
            ) from error


def _arrays(file: BinaryIO) -> dict[str, np.ndarray]:
    if [_Tensors(file).load() for _ in range(2)] != [_MAGIC, _VERSION]:
        raise UnpickleError("it does not start like PyTorch's old format")
    if _Tensors(file).load()["little_endian"] is not True:
        raise UnpickleError("its numbers are big-endian")
    reader = _Tensors(file)
    tensors = reader.load()
    keys = _Tensors(file).load()
    if sorted(keys) != sorted(reader.storages):
        raise UnpickleError("its storages are not those that its tensors use")
    for key in keys:
        storage = reader.storages[key]
        if int.from_bytes(file.read(8), "little") != storage.size:
            raise UnpickleError(f"storage {key!r} has another size than announced")
        content = file.read(storage.nbytes)
        if len(content) < storage.nbytes:  # NumPy would repeat a single number
            raise UnpickleError(f"storage {key!r} is cut off")
        storage[:] = np.frombuffer(content, storage.dtype)
    return tensors


def _tensor(storage: np.ndarray, offset, shape, strides, *_) -> np.ndarray:
    """A view of a storage; NumPy refuses one that reaches beyond it."""
    size = storage.itemsize
    steps = [size * step for step in strides]
    return np.ndarray(shape, storage.dtype, storage, size * offset, steps)


def _objects(file: BinaryIO) -> np.ndarray:
    if (version := np.lib.format.read_magic(file)) != (1, 0):
        raise UnpickleError(f"it has version {version} of the format, not 1.0")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    loaded = _Objects(file).load()
    if not isinstance(loaded, np.ndarray) or (loaded.dtype, loaded.shape) != (
        dtype,
        shape,
    ):
        raise UnpickleError("it holds something other than an object array")
    return loaded
