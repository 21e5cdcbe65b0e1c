"""Pictures of CIFAR-10's ten classes for when the photographs are missing: emoji.

Each is an emoji of its class, as one of four vendors draws it, in a random place, size
and tilt, on a coloured ground. Its colours are mixed anew, so that the outline has to
be read. Light and noise vary, and about a third of the pictures are taken in fog: a
text can then still tell the class.
"""

import numpy as np
from PIL import Image

from mmlearn.datasets.real import emoji

_NAMES = {
    "airplane": ("airplane", "small airplane"),
    "automobile": ("automobile", "sport utility vehicle"),
    "bird": ("bird", "eagle"),
    "cat": ("cat", "cat face"),
    "deer": ("deer", "moose"),
    "dog": ("dog", "dog face"),
    "frog": ("frog",),
    "horse": ("horse", "horse face"),
    "ship": ("ship", "sailboat"),
    "truck": ("delivery truck", "articulated lorry"),
}
CLASS_NAMES: tuple[str, ...] = tuple(_NAMES)

_SIDE = 32


def pictures(num_per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a balanced, shuffled set of pictures.

    Args:
        num_per_class: Pictures of each class, at least 1.
        seed: Seed of the set; the same seed gives the same bytes.

    Returns:
        Images uint8 (10 * num_per_class, 32, 32, 3) and their labels int64, numbers in
        `CLASS_NAMES`.

    Raises:
        ValueError: If `num_per_class` is too small.
        SourceError: If a file of the emoji is damaged.
    """
    if num_per_class < 1:
        raise ValueError(f"num_per_class is {num_per_class}, expected at least 1")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(CLASS_NAMES)), num_per_class))
    names, drawn = emoji.records()["name_en"].tolist(), emoji.pictures()
    figures = [
        np.stack([drawn[vendor][names.index(n)] for n in chosen for vendor in drawn])
        for chosen in _NAMES.values()
    ]
    images = [_placed(rng, rng.choice(figures[label])) for label in labels]
    return np.stack(images), labels


def _placed(rng: np.random.Generator, figure: np.ndarray) -> np.ndarray:
    """Put an emoji, RGBA uint8 (32, 32, 4), into a picture, uint8 (32, 32, 3)."""
    mixed = figure[..., [*rng.permutation(3), 3]]
    mixed[..., :3] = mixed[..., :3] * rng.uniform(0.5, 1, 3)
    side = int(rng.integers(18, _SIDE + 1))
    small = Image.fromarray(mixed[:, :: rng.choice((-1, 1))]).resize((side, side))
    small = small.rotate(rng.normal(0, 8), Image.Resampling.BILINEAR)
    canvas = Image.new("RGBA", (_SIDE, _SIDE))
    canvas.paste(small, tuple(rng.integers(0, _SIDE - side + 1, 2).tolist()))
    image = emoji.on_ground(np.asarray(canvas), rng.uniform(0, 255, 3))
    contrast = rng.uniform(0.6, 1.1)
    if rng.random() < 0.35:  # fog
        contrast *= rng.uniform(0.05, 0.25)
    light, noise = 128 + rng.normal(0, 18), rng.uniform(3, 16)
    image = (image - 128.0) * contrast + rng.normal(light, noise, image.shape)
    return np.clip(image, 0, 255).astype("uint8")
