"""What can happen to a modality: functions of an array, a severity and a generator.

Each is vectorised, leaves its argument alone, gives the same dtype and shape, and
changes nothing at severity 0. Texts are strings, or rows of word ids padded with 0.
"""

from collections.abc import Callable

import numpy as np

from mmlearn.models import blank

Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def noise(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of `severity` times the array's own standard deviation."""
    grain = rng.standard_normal(x.shape, dtype="float32") * x.std() * severity
    return _like(x + grain, x)


def blur(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Blur pictures (N, height, width, ...) by a Gaussian of `8 · severity` pixels."""
    from scipy.ndimage import gaussian_filter

    sigma = (0, 8 * severity, 8 * severity) + (0,) * (x.ndim - 3)
    return _like(gaussian_filter(x.astype(np.result_type(x, "float32")), sigma), x)


def occlusion(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Put a grey square somewhere in each picture, of `severity` of its area."""
    num, height, width = x.shape[:3]
    tall, wide = (round(size * severity**0.5) for size in (height, width))
    top = rng.integers(0, height - tall + 1, num)[:, None]
    left = rng.integers(0, width - wide + 1, num)[:, None]
    rows, columns = np.arange(height), np.arange(width)
    down = (rows >= top) & (rows < top + tall)
    across = (columns >= left) & (columns < left + wide)
    hidden = down[:, :, None] & across[:, None, :]
    hidden = hidden.reshape(hidden.shape + (1,) * (x.ndim - 3))
    return np.where(hidden, _like(np.float32(x.mean()), x), x)


def word_dropout(x: np.ndarray, severity: float, rng: np.random.Generator):
    """Take each word out with probability `severity`."""
    units, word = _words(x)
    gone = rng.random(_by_word(word)) < severity
    out = np.take_along_axis(gone, np.maximum(word, 0), axis=1) & (units != 0)
    order = np.argsort(out, axis=1, kind="stable")
    kept = np.take_along_axis(np.where(out, 0, units), order, axis=1)
    return _text(kept, units, x)


def swap(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Exchange each pair of neighbouring words with probability `severity`."""
    units, word = _words(x)
    size = _by_word(word)
    place = np.tile(np.arange(size[1]), (size[0], 1))
    last = word.max(axis=1, keepdims=True)
    even = place - place % 2
    swapped = np.repeat(rng.random((size[0], -(-size[1] // 2))) < severity, 2, axis=1)
    swapped = swapped[:, : size[1]] & (even + 1 <= last)
    place = np.where(swapped, even + 1 - place % 2, place)
    target = np.take_along_axis(place, np.maximum(word, 0), axis=1)
    target = np.where(word < 0, units.shape[1] + 1, target)
    order = np.argsort(target, axis=1, kind="stable")
    return _text(np.take_along_axis(units, order, axis=1), units, x)


def typo(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Exchange each word's letters 1 and 2, 3 and 4, … with probability `severity`.

    Raises:
        TypeError: If the texts are ids: these have no letters.
    """
    if x.dtype.kind not in "OU":
        raise TypeError("typo needs texts as strings: ids have no letters")
    units, _ = _words(x)
    letter, place = (units != 0) & (units != 32), np.arange(units.shape[1])
    since = place - np.maximum.accumulate(np.where(units == 32, place, 0), axis=1)
    # The first and second letter of a word, the third and fourth: none moves twice.
    pair = letter[:, :-1] & letter[:, 1:] & (since[:, :-1] % 2 == 1)
    pair &= rng.random(pair.shape) < severity
    first = np.pad(pair, ((0, 0), (0, 1)))
    second = np.pad(pair, ((0, 0), (1, 0)))
    right, left = np.roll(units, -1, axis=1), np.roll(units, 1, axis=1)
    return _text(np.where(first, right, np.where(second, left, units)), units, x)


def drift(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Let signals (N, time, channels) drift away: a ramp, up or down.

    It ends at `2 · severity` standard deviations of the channel.
    """
    ramp = np.linspace(0, 1, x.shape[1], dtype="float32")[:, None]
    sign = rng.choice([-1.0, 1.0], size=(len(x), 1, x.shape[2]))
    scale = x.std(axis=(0, 1), keepdims=True)
    return _like(x + 2 * severity * ramp * sign * scale, x)


def dropout(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Hold signals (N, time, channels) at a value: for one stretch, `severity` long."""
    num, steps = x.shape[:2]
    length = round(severity * steps)
    start = rng.integers(0, steps - length + 1, num)[:, None]
    time = np.arange(steps)
    stuck = (time >= start) & (time < start + length)
    source = np.where(stuck, np.maximum(start - 1, 0), time)
    return np.take_along_axis(x, source[:, :, None], axis=1)


def time_shift(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Turn each signal (N, time, channels) around by up to `severity` of its length."""
    steps = x.shape[1]
    furthest = round(severity * steps)
    shift = rng.integers(-furthest, furthest + 1, len(x))[:, None]
    source = (np.arange(steps) - shift) % steps
    return np.take_along_axis(x, source[:, :, None], axis=1)


def shuffled(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Give `severity` of the samples another sample's content."""
    rows = np.flatnonzero(rng.random(len(x)) < severity)
    result = x.copy()
    # Moved on along a random circle, so that no sample keeps its own.
    circle = rng.permutation(rows)
    result[circle] = x[np.roll(circle, 1)]
    return result


def missing(x: np.ndarray, severity: float, rng: np.random.Generator) -> np.ndarray:
    """Blank `severity` of the samples: an empty text, else the mean of all samples."""
    gone = rng.random(len(x)) < severity
    result = x.copy()
    result[gone] = blank(x)[gone]
    return result


CORRUPTIONS: dict[str, Corruption] = {
    "noise": noise,
    "blur": blur,
    "occlusion": occlusion,
    "word dropout": word_dropout,
    "swap": swap,
    "typo": typo,
    "drift": drift,
    "dropout": dropout,
    "time shift": time_shift,
    "shuffled": shuffled,
    "missing": missing,
}
"""Name → what can happen to a modality; `robustness` takes these names."""


def _like(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values with the dtype of `x`; pictures in whole numbers are rounded and cut."""
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(x.dtype)


def _words(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Units (letters or ids) of texts and each unit's word number, -1 for padding."""
    if x.dtype.kind in "OU":
        # Each word begins with its space, the first one too.
        texts = np.array([f" {' '.join(str(text).split())}" for text in x], dtype="U")
        units = texts.view("uint32").reshape(len(x), texts.dtype.itemsize // 4)
        word = np.cumsum(units == 32, axis=1) - 1
        return units, np.where(units == 0, -1, word)
    if x.dtype.kind not in "iu" or x.ndim != 2:
        raise TypeError(
            f"texts are {x.dtype} of shape {x.shape}, expected strings (N,) or ids "
            "(N, length)"
        )
    return x, np.where(x == 0, -1, np.arange(x.shape[1]))


def _by_word(word: np.ndarray) -> tuple[int, int]:
    return len(word), int(word.max(initial=0)) + 1


def _text(new: np.ndarray, units: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Texts of new units; those whose units are the same stay to the letter."""
    if x.dtype.kind not in "OU":
        return new.astype(x.dtype)
    same = (new == units).all(axis=1)
    new = np.ascontiguousarray(new.astype("uint32"))
    texts = new.view(f"U{new.shape[1]}")[:, 0]
    clean = [" ".join(text.split()) for text in texts.tolist()]
    return np.where(same, x, np.array(clean, dtype=x.dtype))
