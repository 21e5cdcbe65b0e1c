"""Template texts: what can be measured in a picture, and words its class suggests.

They are the only text of pictures that nobody described. A text names the colours
measured in the upper and the lower half, the brightness, and `NUM_WORDS` words drawn
from the class's list below. With probability `OVERLAP` a word is drawn from the list of
another class instead, and many words stand in several lists, so that the text alone
cannot settle the class.
"""

import colorsys

import numpy as np

OVERLAP = 0.25
NUM_WORDS = 3

CLASS_WORDS = {
    "airplane": ("wings", "tail", "metal", "engine", "nose", "high"),
    "automobile": ("wheels", "windows", "metal", "engine", "lights", "low"),
    "bird": ("wings", "tail", "feathers", "beak", "small", "branch"),
    "cat": ("fur", "tail", "whiskers", "ears", "small", "sitting"),
    "deer": ("legs", "antlers", "ears", "slender", "standing", "branch"),
    "dog": ("fur", "tail", "nose", "ears", "legs", "sitting"),
    "frog": ("skin", "eyes", "small", "low", "leaf", "sitting"),
    "horse": ("legs", "mane", "tail", "tall", "standing", "hooves"),
    "ship": ("deck", "mast", "metal", "windows", "waves", "long"),
    "truck": ("wheels", "cab", "metal", "lights", "tall", "long"),
}

_HUES = {  # where a hue ends on the colour circle, in degrees
    20: "red",
    45: "orange",
    70: "yellow",
    165: "green",
    195: "teal",
    255: "blue",
    330: "purple",
    360: "red",
}


def describe(image: np.ndarray, class_name: str, rng: np.random.Generator) -> str:
    """Write a template text for one picture.

    Args:
        image: Picture, uint8 (height, width, 3).
        class_name: Its class, a key of `CLASS_WORDS`.
        rng: Source of randomness.

    Returns:
        A text such as "blue above, green below, bright, wings tail".
    """
    middle = image.shape[0] // 2
    above, below = _colour(image[:middle]), _colour(image[middle:])
    light = "bright" if image.mean() > 127 else "dark"
    names = list(CLASS_WORDS)
    words = []
    for _ in range(NUM_WORDS):
        other = rng.random() < OVERLAP
        owner = names[rng.integers(len(names))] if other else class_name
        words.append(CLASS_WORDS[owner][rng.integers(len(CLASS_WORDS[owner]))])
    return f"{above} above, {below} below, {light}, {' '.join(words)}"


def _colour(pixels: np.ndarray) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(*pixels.mean(axis=(0, 1)) / 255)
    if saturation < 0.15:
        return "black" if value < 0.25 else "white" if value > 0.75 else "grey"
    return next(name for end, name in _HUES.items() if 360 * hue < end)
