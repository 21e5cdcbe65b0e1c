"""Drawn pictures of the ten CIFAR-10 classes, for when the photographs are missing.

Each picture shows one figure of its class, in one of two poses, before a backdrop.
Classes share colours and backdrops, so the outline has to be read. What makes the
pictures hard is what makes photographs hard:

- the figure varies in place, size, proportions, tilt and direction;
- its colour may come close to the backdrop's;
- clouds, bushes or stones lie behind it, and in every second picture a post, a branch
  or a blob hides a part of it;
- the focus, the light and the contrast change, and the sensor adds noise;
- about a third of the pictures are taken in fog.
"""

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter

Colour = tuple[int, int, int]

# Figures, each `@name` and its parts, in hundredths of the half width of the figure: x
# to the front, y down. A tone is a CSS colour, or one that `draw` chooses. A part is
#     oval TONE x y rx ry [tilt]    poly TONE x y x y ...    line TONE width x y x y ...
# (`pair` before it adds its mirror image in x = 0), or another figure, moved to x y:
#     use NAME x y [width% height%]
_DRAWINGS = """
@plane_side poly dark -20 -8 15 -8 -10 -42 -24 -42
poly dark -86 -5 -50 -8 -74 -50 -95 -50; oval coat 0 0 95 15; line black 5 -55 -4 60 -4
poly dark -20 4 25 4 -30 56 -48 56; poly dark -85 0 -60 0 -82 18 -96 18
@plane_top pair poly coat 0 -30 0 15 92 45 92 20; pair poly coat 0 60 0 85 36 98 36 80
pair oval dark 36 -10 6 14; oval pale 0 0 12 95; oval lightblue 0 -74 7 8
@wheel oval black 0 0 20 20; oval silver 0 0 9 9
@saloon poly coat -65 0 -45 -36 25 -36 52 0; poly lightblue -53 0 -40 -29 -10 -29 -10 0
poly lightblue -3 0 -3 -29 22 -29 40 0; poly coat -92 2 -85 -3 50 -3 90 6 95 28 -95 28
oval ivory 87 12 7 5; use wheel -55 28; use wheel 55 28
@hatchback poly coat -85 0 -78 -44 5 -44 45 0
poly lightblue -76 -4 -71 -36 -32 -36 -32 -4; poly lightblue -24 -4 -24 -36 2 -36 32 -4
poly coat -88 -4 45 -4 86 8 90 28 -90 28; use wheel -52 28; use wheel 52 28
@cab poly coat 40 28 40 -40 70 -40 86 -2 95 4 95 28; line black 10 -92 26 95 26
poly lightblue 50 -6 50 -32 67 -32 79 -6; use wheel -68 34 95 95; use wheel -24 34 95 95
use wheel 66 34 95 95
@box_truck poly second -95 -66 34 -66 34 22 -95 22; use cab 0 0
@tipper oval ground -32 -40 46 18; poly second -98 -42 30 -32 30 22 -88 22
line dark 5 -60 -36 -56 20; line dark 5 -16 -34 -16 20; use cab 0 0
@hull poly coat -90 5 98 2 70 42 -75 42; line pale 5 -90 5 98 2
poly ground -100 36 -60 41 -30 36 0 41 30 36 60 41 100 36 100 52 -100 52
@liner poly second -62 -30 35 -30 35 10 -62 10; poly ivory -50 -52 10 -52 10 -28 -50 -28
line black 7 -55 -12 28 -12; poly dark -36 -80 -16 -80 -16 -50 -36 -50
line black 4 25 -25 25 -75; use hull 0 0
@sails line black 5 0 10 0 -98; poly ivory -6 -92 -6 0 -70 0; poly second 6 -80 6 0 60 0
use hull 0 0
@bird_head poly orange 14 -10 50 4 14 12; oval coat 0 0 22 21; oval black 8 -5 5 5
@perched line orange 5 -6 20 -6 80 10 82; line orange 5 10 20 10 80 26 82
poly dark -40 0 -30 20 -95 50 -98 32; oval coat 0 8 50 30 -28; oval pale 14 16 24 20 -28
oval dark -14 8 38 16 22; use bird_head 40 -36
@flying poly dark 5 0 35 0 42 -80 20 -60; poly dark -50 5 -95 -8 -95 22
oval coat 0 8 58 20; poly pale -22 10 28 5 -20 -80 -55 -80
poly dark -20 -80 -55 -80 -42 -40; use bird_head 56 -4
@quadruped line dark 12 -32 0 -32 82; line dark 12 46 0 46 82; line coat 12 -46 0 -50 86
line coat 12 32 0 28 86; oval coat 0 0 56 25
@seated oval coat 0 52 42 40; oval coat 0 25 28 40; line dark 4 0 45 0 90
pair line pale 15 13 40 13 88; pair oval pale 13 88 13 7
@cat_head pair poly coat 4 -26 42 -10 38 -66; pair poly pink 16 -32 34 -26 34 -54
oval coat 0 0 43 36; pair oval gold 18 -4 9 8; pair oval black 18 -4 4 8
pair line ivory 3 13 14 60 8; pair line ivory 3 13 16 58 22; oval pink 0 13 6 4
@cat_seated line coat 13 30 80 72 70 74 30 58 10; use seated 0 0; use cat_head 0 -30
@cat_standing line coat 12 -50 10 -78 -25 -68 -80; use quadruped 0 0 104 78
line dark 6 -30 -20 -35 5; line dark 6 -10 -22 -15 5; use cat_head 55 -36 75 75
@dog_seated use seated 0 0; oval coat 0 -34 40 40; pair oval dark 43 -22 15 40 -14
pair oval black 16 -42 6 7; oval tomato 0 12 9 16; oval pale 0 -12 23 20
oval black 0 -22 11 8
@dog_standing line coat 10 -50 -5 -75 -25 -85 -50; use quadruped 0 0 100 84
poly coat 20 -18 50 10 72 -30 42 -50; oval coat 58 -42 25 22; oval pale 84 -32 20 11 8
oval black 100 -38 6 6; oval black 66 -48 5 5; oval dark 44 -28 11 26 12
@deer_head line coat 6 -9 -4 -28 -26 -30 -60; line coat 6 -28 -26 -52 -42
line coat 5 -30 -42 -12 -54; line coat 6 -9 -4 4 -26 14 -60; line coat 5 4 -26 28 -40
oval dark -24 -6 12 5 15; oval coat 0 0 20 10 22; oval black -2 -4 4 4
@deer_alert oval ivory -46 -4 10 13; use quadruped 0 0 74 104
poly coat 16 -10 42 8 62 -36 46 -46; use deer_head 64 -42
@deer_ahead oval ivory -46 -4 10 13; use quadruped 0 0 74 104
poly coat 20 -14 38 10 82 -14 68 -28; use deer_head 84 -20
@horse_body line dark 15 -50 -12 -72 5 -76 55; use quadruped 0 0
@horse_head poly coat -24 -16 -18 -42 -6 -20; oval coat 0 0 30 13 42
oval dark 17 15 9 8; oval black -7 -10 4 4
@horse_alert use horse_body 0 0; poly coat 14 -20 46 16 78 -46 52 -66
line dark 14 10 -22 54 -70; use horse_head 80 -50
@horse_ahead use horse_body 0 0; poly coat 14 -20 42 16 88 -14 64 -42
line dark 14 11 -23 64 -45; use horse_head 89 -22
@eye oval coat 0 2 19 19; oval gold 0 0 14 14; oval black 0 0 9 6
@frog_front pair oval dark 62 26 32 20 -35; pair oval dark 72 50 26 7
pair line coat 12 34 20 30 52; pair oval dark 30 54 17 6; oval coat 0 16 56 36
oval pale 0 30 36 20; oval coat 0 -10 54 28; line black 5 -42 -4 0 7 42 -4
use eye 34 -38; use eye -34 -38
@frog_side poly coat -80 50 -70 12 30 -36 55 40; oval coat 42 -14 42 24 12
oval pale 30 14 30 22; line black 4 40 -2 82 -6; oval dark -42 30 40 17 -22
oval dark -34 50 46 7; line dark 12 30 20 44 50 62 54; use eye 38 -38
"""
_NAMED = dict(block.split(maxsplit=1) for block in _DRAWINGS.split("@")[1:])
_CIRCLE = np.exp(np.arange(20) * 0.1j * np.pi).view(np.float64).reshape(-1, 2)


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([[c, s], [-s, c]])


def _parts(drawing: str) -> Iterator[tuple[str, float, np.ndarray]]:
    """Tone, line width (0: filled) and points float (n, 2) of each part."""
    for part in drawing.strip().replace("\n", ";").split(";"):
        words = part.split()
        paired = words[0] == "pair"
        kind, tone, *rest = words[paired:]
        numbers = [float(word) / 100 for word in rest]
        if kind == "use":
            x, y, *scale = numbers
            wide, high = scale or (1.0, 1.0)
            for sub, width, points in _parts(_NAMED[tone]):
                yield sub, width * wide, points * (wide, high) + (x, y)
            continue
        width = numbers.pop(0) if kind == "line" else 0.0
        if kind == "oval":
            x, y, rx, ry, *tilt = numbers
            points = _turned(_CIRCLE * (rx, ry), 100 * sum(tilt)) + (x, y)
        else:
            points = np.reshape(numbers, (-1, 2))
        yield tone, width, points
        if paired:
            yield tone, width, points * (-1, 1)


# Colours by their CSS names, which Pillow reads.
_SKIES = "skyblue lightgray cornflowerblue lightsteelblue"
_FIELDS = "olivedrab darkolivegreen darkseagreen darkkhaki"
_STREETS = "gray darkgray dimgray"
_WATERS = "steelblue cadetblue slategray"
_SANDS = "tan burlywood wheat rosybrown"
_PLAIN = f"{_SKIES} {_FIELDS} {_STREETS} {_WATERS} {_SANDS}"
_PAINTS = "whitesmoke gray darkslategray firebrick royalblue goldenrod seagreen sienna"
_COATS = "whitesmoke gray darkslategray saddlebrown peru sienna burlywood dimgray"
_SKINS = f"olivedrab darkolivegreen yellowgreen seagreen goldenrod {_COATS}"
_BACKDROPS = {  # above and below the horizon
    "sky": (_SKIES, _SKIES),
    "grass": (f"{_SKIES} {_FIELDS}", _FIELDS),
    "road": (f"{_SKIES} {_FIELDS} {_STREETS}", _STREETS),
    "water": (f"{_SKIES} {_FIELDS}", _WATERS),
    "sand": (f"{_SKIES} {_WATERS}", _SANDS),
    "plain": (_PLAIN, _PLAIN),
}
_STYLES = {  # poses, usual colours, usual backdrops, standard deviation of the tilt
    "airplane": ("plane_side plane_top", _PAINTS, "sky sky sky road water plain", 25),
    "automobile": ("saloon hatchback", _PAINTS, "road road grass sand plain", 5),
    "bird": ("perched flying", _COATS, "sky sky water grass sand plain", 8),
    "cat": ("cat_seated cat_standing", _COATS, "plain plain grass sand road", 5),
    "deer": ("deer_alert deer_ahead", _COATS, "grass grass sand plain", 5),
    "dog": ("dog_seated dog_standing", _COATS, "plain grass grass sand road", 5),
    "frog": ("frog_front frog_side", _SKINS, "water grass sand plain", 5),
    "horse": ("horse_alert horse_ahead", _COATS, "grass grass sand plain road", 5),
    "ship": ("liner sails", _PAINTS, "water water water sky plain", 5),
    "truck": ("box_truck tipper", _PAINTS, "road road grass sand plain", 5),
}
CLASS_NAMES: tuple[str, ...] = tuple(_STYLES)
_FIGURES = {name: list(_parts(drawing)) for name, drawing in _NAMED.items()}
_SUPERSAMPLING = 4
_MIN_SIZE = 16
_MIN_CONTRAST = 65.0


def _colour(rng: np.random.Generator, names: str) -> Colour:
    mean = ImageColor.getrgb(rng.choice(names.split()))
    return tuple(np.clip(mean + rng.normal(0, 12, 3), 0, 255).astype(int).tolist())


def _shade(colour: Colour, factor: float) -> Colour:
    return tuple(min(255, int(channel * factor)) for channel in colour)


def _backdrop(rng: np.random.Generator, scene: list[Colour], side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), scene[0])
    canvas = ImageDraw.Draw(image)
    horizon = side * rng.uniform(0.4, 0.8)
    canvas.rectangle((0, horizon, side, side), fill=scene[1])
    for x, y, rx, ry in rng.uniform(0.06, 0.94, (rng.integers(1, 5), 4)) * side:
        fill = _shade(scene[int(y > horizon)], rng.uniform(0.75, 1.25))
        canvas.ellipse((x - rx / 2, y - ry / 5, x + rx / 2, y + ry / 5), fill=fill)
    return image


def _place(
    rng: np.random.Generator, points: np.ndarray, side: int, tilt: float
) -> tuple[np.ndarray, float]:
    """Bend, turn, mirror and shift a figure into the picture; also its scale."""
    bend, phase = rng.normal(0, 0.05, 2), rng.uniform(0, 6.3, 2)
    points = points + bend * np.sin(2 * points[:, ::-1] + phase)
    points = _turned(points * rng.uniform(0.87, 1.1, 2), rng.normal(0, tilt))
    reach = rng.uniform(0.6, 0.95)
    # Small figures wander further; large ones stay inside the frame.
    shift = rng.uniform(-1, 1, 2) * (1.05 - reach)
    points = points * (rng.choice((-1, 1)) * reach, reach) + shift
    return (points + 1) * side / 2, reach * side / 2


def _hide(rng: np.random.Generator, canvas: ImageDraw.ImageDraw, side: int) -> None:
    fill = _colour(rng, f"{_PLAIN} {_COATS} {_PAINTS}")
    x, y = rng.uniform(0.2, 0.8, 2) * side
    if rng.random() < 0.5:
        rx, ry = rng.uniform(0.1, 0.2, 2) * side
        canvas.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill)
    else:
        dx, dy = rng.normal(0, 9 * side, 2)
        width = int(rng.uniform(0.05, 0.16) * side)
        canvas.line((x - dx, y - dy, x + dx, y + dy), fill=fill, width=width)


def _photograph(rng: np.random.Generator, image: Image.Image, size: int) -> np.ndarray:
    image = image.resize((size, size), Image.Resampling.HAMMING)
    if rng.random() < 0.4:
        radius = rng.uniform(0.3, 0.8) * size / 32
        image = image.filter(ImageFilter.GaussianBlur(radius))
    contrast = rng.uniform(0.6, 1.1)
    # Fog hides some figures almost wholly: a text can then still tell the class.
    if rng.random() < 0.35:
        contrast *= rng.uniform(0.05, 0.25)
    pixels = (np.asarray(image, dtype=np.float64) - 128) * contrast
    pixels += 128 + rng.normal(0, 18) + rng.normal(0, rng.uniform(3, 16), pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def draw(label: int, rng: np.random.Generator, size: int = 32) -> np.ndarray:
    """Draw one picture of a class.

    Args:
        label: The class, 0 to 9, in the order of `CLASS_NAMES`.
        rng: The source of all variation; the same state gives the same picture.
        size: Side of the picture in pixels, at least 16.

    Returns:
        The picture, uint8 (size, size, 3).

    Raises:
        ValueError: If the label or the size is out of range.
    """
    if label not in range(len(CLASS_NAMES)):
        raise ValueError(f"label is {label!r}, expected an integer from 0 to 9")
    if size < _MIN_SIZE:
        raise ValueError(f"size is {size}, expected at least {_MIN_SIZE} pixels")
    poses, colours, backdrops, tilt = _STYLES[CLASS_NAMES[label]]
    # Now and then a class turns up where, or in a colour that, it rarely does.
    if rng.random() < 0.3:
        backdrops = " ".join(_BACKDROPS)
    if rng.random() < 0.2:
        colours = f"{_PAINTS} {_SKINS}"
    side = size * _SUPERSAMPLING
    scene = [_colour(rng, half) for half in _BACKDROPS[rng.choice(backdrops.split())]]
    for _ in range(6):
        coat = _colour(rng, colours)
        if min(math.dist(coat, other) for other in scene) >= _MIN_CONTRAST:
            break
    tones = {"coat": coat, "dark": _shade(coat, 0.6), "pale": _shade(coat, 1.3)}
    tones |= {"second": _colour(rng, _PAINTS), "ground": scene[1]}

    figure = _FIGURES[rng.choice(poses.split())]
    corners = np.concatenate([points for _, _, points in figure])
    corners, scale = _place(rng, corners, side, tilt)
    image = _backdrop(rng, scene, side)
    canvas = ImageDraw.Draw(image)
    start = 0
    for tone, width, points in figure:
        path = corners[start : start + len(points)].ravel().tolist()
        start += len(points)
        fill = tones.get(tone, tone)
        if width:
            thick = max(1, round(width * scale))
            canvas.line(path, fill=fill, width=thick, joint="curve")
        else:
            canvas.polygon(path, fill=fill)
    if rng.random() < 0.5:
        _hide(rng, canvas, side)
    return _photograph(rng, image, size)


def pictures(
    num_per_class: int, seed: int, size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a balanced, shuffled set of pictures.

    Args:
        num_per_class: Pictures of each class, at least 1.
        seed: Seed of the set; the same seed gives the same bytes.
        size: Side of the pictures in pixels, at least 16.

    Returns:
        Images uint8 (10 * num_per_class, size, size, 3) and their labels int64.

    Raises:
        ValueError: If `num_per_class` or `size` is too small.
    """
    if num_per_class < 1:
        raise ValueError(f"num_per_class is {num_per_class}, expected at least 1")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(CLASS_NAMES)), num_per_class))
    return np.stack([draw(label, rng, size) for label in labels]), labels
