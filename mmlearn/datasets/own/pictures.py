"""A picture from a file, made to fit: the same for a data set and for a saved model."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

FITS = ("pad", "crop")
MOST_PIXELS = 100_000_000
"""A small file may hold a picture that fills the memory."""


def fitted(
    picture: "Image.Image", size: tuple[int | None, int | None], channels: int, fit: str
) -> np.ndarray:
    """Return a picture's pixels, upright as its camera says, on white if transparent.

    Args:
        picture: Of any mode with 8 bits a channel.
        size: Height and width to fit it to; `None` leaves it as it is.
        channels: 3 for colour, 1 for grey.
        fit: `"pad"` adds a black border, so that nothing is cut; `"crop"` cuts to the
            middle, so that no border is added. Neither distorts.

    Returns:
        uint8 (height, width, channels).

    Raises:
        ValueError: If it has more than 100 million pixels; they are not read.
    """
    from PIL import Image, ImageOps

    if picture.width * picture.height > MOST_PIXELS:
        raise ValueError(f"{picture.width} × {picture.height} pixels: make it smaller")
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        # What cannot be seen has any colour, mostly black.
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    picture = picture.convert("L" if channels == 1 else "RGB")
    height, width = size
    if height and width:
        resize = ImageOps.pad if fit == "pad" else ImageOps.fit
        picture = resize(picture, (width, height))
    return np.asarray(picture, "uint8").reshape(*picture.size[::-1], channels)
