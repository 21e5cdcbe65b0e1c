"""CIFAR-10 in full, from the JPEG copy `cifar10_jpeg_full.npz` of `$MMLEARN_DATA`."""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image


def decoded(data: bytes) -> np.ndarray:
    """Return a picture's pixels."""
    return np.asarray(Image.open(io.BytesIO(data)))


def part(split: str, num: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pictures, (N, 32, 32, 3) uint8, and labels of a split."""
    path = Path(os.environ["MMLEARN_DATA"]) / "cifar10_jpeg_full.npz"
    with np.load(path) as file:
        data, at = file[f"{split}_jpeg"].tobytes(), file[f"{split}_offsets"]
        labels = file[f"{split}_labels"].astype("int32")[:num]
    pieces = [data[a:b] for a, b in zip(at[:-1], at[1:], strict=True)][:num]
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(decoded, pieces, chunksize=500))), labels
