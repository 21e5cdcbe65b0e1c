"""Features of a frozen encoder: computed once, kept in the cache."""

import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mmlearn import files
from mmlearn.datasets import sources


def features(
    encoder: keras.Model,
    data: np.ndarray,
    batch_size: int = 64,
    label: str = "features",
) -> np.ndarray:
    """Return the encoder's features of each row, computed once.

    They are kept in the cache (`mmlearn/features/` beside Keras's data sets) under a
    name made of the encoder's structure and weights and of the data: whatever changes,
    they are computed anew. The encoder runs as in inference, without dropout.

    Args:
        encoder: A model with one input and one output.
        data: Array of shape (N, …), as the encoder takes it: pictures, ids, ….
        batch_size: Rows computed at a time.
        label: What the progress bar says.

    Returns:
        float32 array of shape (N, …), as the encoder gives it.

    Raises:
        ValueError: If the encoder has several inputs or outputs, or the data are no
            numbers, have another shape, no rows, or NaN or infinity in them.
    """
    data = _checked(encoder, data)
    folder = sources.cache_dir() / "mmlearn" / "features"
    path = folder / f"{_key(encoder, data)}.npz"
    found = _read(path, len(data))
    if found is None:
        found = _compute(encoder, data, batch_size, label)
        try:
            _write(path, found)
        except OSError as error:
            print(f"{label}: not kept in {folder} ({error.strerror})")
    return found


def _checked(encoder: keras.Model, data: np.ndarray) -> np.ndarray:
    data = np.asarray(data)
    if len(encoder.inputs) != 1 or len(encoder.outputs) != 1:
        raise ValueError(
            f"{encoder.name} has {len(encoder.inputs)} inputs and "
            f"{len(encoder.outputs)} outputs, expected one of each"
        )
    (tensor,) = encoder.inputs
    if data.dtype.kind not in "biuf":
        raise ValueError(
            f"{tensor.name}: the data are {data.dtype}, expected numbers; turn texts "
            "into ids with the encoder's tokenizer"
        )
    expected = tensor.shape[1:]
    if data.ndim != len(tensor.shape) or any(
        e not in (None, found)
        for e, found in zip(expected, data.shape[1:], strict=True)
    ):
        raise ValueError(
            f"{tensor.name}: the data have shape {data.shape}, expected "
            f"{('N', *expected)}"
        )
    if len(data) == 0:
        raise ValueError(f"{tensor.name}: the data have no rows")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        raise ValueError(
            f"{tensor.name}: the data have NaN or infinity in them: fill or drop those"
        )
    return data


def _key(encoder: keras.Model, data: np.ndarray) -> str:
    """Return a checksum of all that the features depend on."""
    structure = json.dumps(_without_names(json.loads(encoder.to_json()), {}))
    digest = hashlib.sha256(f"{keras.__version__} {keras.backend.backend()}".encode())
    digest.update(structure.encode())
    for array in [*encoder.get_weights(), data]:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _without_names(part: Any, names: dict[str, int]) -> Any:
    """Replace each layer's name in a configuration by its place in the order.

    Keras numbers layers as they are created ("dense_7"): that is no difference. Nor is
    whether they may be trained.
    """
    if isinstance(part, list):
        return [
            names.get(each, each)
            if isinstance(each, str)
            else _without_names(each, names)
            for each in part
        ]
    if not isinstance(part, dict) or part.get("class_name") == "DTypePolicy":
        return part
    return {
        key: names.setdefault(value, len(names))
        if key == "name" and isinstance(value, str)
        else _without_names(value, names)
        for key, value in part.items()
        if key != "trainable"
    }


def _compute(
    encoder: keras.Model, data: np.ndarray, batch_size: int, label: str
) -> np.ndarray:
    from tqdm import tqdm

    size = min(batch_size, len(data))
    found = []
    shown = {"desc": label, "unit": " rows", "leave": False, "file": sys.stdout}
    with tqdm(total=len(data), delay=1, **shown) as bar:
        for start in range(0, len(data), size):
            batch = data[start : start + size]
            # A last batch of another size would be compiled anew: it is filled up.
            full = np.concatenate([batch, np.repeat(batch[:1], size - len(batch), 0)])
            rows = encoder.predict_on_batch(full)[: len(batch)]
            found.append(np.asarray(rows, "float32"))
            bar.update(len(batch))
    return np.concatenate(found)


def _read(path: Path, rows: int) -> np.ndarray | None:
    """Return what is kept, or `None` if there is nothing, or it is damaged."""
    try:
        # An archive has a checksum of its content, which a bare array has not.
        with np.load(path, allow_pickle=False) as archive:
            found = archive["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return found if len(found) == rows else None


def _write(path: Path, found: np.ndarray) -> None:
    with files.written(path, replace=True) as part:
        np.savez(part, features=found)
