"""Image encoders and augmentation."""

from collections.abc import Sequence

import keras
from keras import layers


def augmentation(
    flip: bool = True, crop: int = 0, rotate: float = 0.0, name: str = "augmentation"
) -> keras.Sequential:
    """Return layers that vary pictures at random while training, and only then.

    Args:
        flip: Mirror left and right.
        crop: Shift by up to this many pixels, mirrored pixels at the border.
        rotate: Rotate by up to this share of a full turn, to either side.
        name: Name of the model.

    Returns:
        A model from (B, height, width, channels) to the same shape.
    """
    steps = []
    if flip:
        steps.append(layers.RandomFlip("horizontal"))
    if crop:
        steps.append(_RandomShift(crop))
    if rotate:
        steps.append(layers.RandomRotation(rotate, fill_mode="reflect"))
    return keras.Sequential(steps or [layers.Identity()], name=name)


@keras.saving.register_keras_serializable(package="mmlearn")
class _RandomShift(layers.Layer):
    """Pad, then crop each picture at a random place: an integer shift, no blur."""

    def __init__(self, pixels: int, **kwargs):
        super().__init__(**kwargs)
        self.pixels = pixels
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, images, training=False):
        if not training:
            return images
        ops, p = keras.ops, self.pixels
        shape = ops.shape(images)
        corners = keras.random.randint(
            (shape[0], 2), 0, 2 * p + 1, seed=self.seed_generator
        )
        padded = ops.pad(images, [[0, 0], [p, p], [p, p], [0, 0]], mode="reflect")
        rows = corners[:, :1] + ops.arange(shape[1])
        columns = corners[:, 1:] + ops.arange(shape[2])
        padded = ops.take_along_axis(padded, rows[:, :, None, None], axis=1)
        return ops.take_along_axis(padded, columns[:, None, :, None], axis=2)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "pixels": self.pixels}


def cnn(
    shape: tuple[int, int, int] = (32, 32, 3),
    widths: Sequence[int] = (32, 64, 128, 256),
    embed_dim: int | None = None,
    dropout: float = 0.3,
    augment: keras.Model | None = None,
    name: str = "image",
) -> keras.Model:
    """Return a convolutional encoder: one block per width, then the mean over pixels.

    A block is convolution 3×3, maximum over 2×2, batch normalisation, ReLU. Pixels are
    scaled from 0..255 to -1..1 inside the model.

    Args:
        shape: Height, width (at least 28) and channels (1 or 3) of a picture.
        widths: Channels of each block, at most four.
        embed_dim: Length of the features; `None` keeps the last width.
        dropout: Rate of dropout on the features.
        augment: Layers applied while training, such as `augmentation()`.
        name: Name of the modality and of the model's input.

    Returns:
        A model from (B, *shape) to (B, embed_dim).

    Raises:
        ValueError: If the shape is too small, or has another number of channels, or
            there are more than four blocks (each halves the picture).
    """
    if len(widths) > 4 or len(widths) < 1:
        raise ValueError(f"{name}: widths is {widths}, expected one to four blocks")
    if len(shape) != 3 or min(shape[:2]) < 28 or shape[2] not in (1, 3):
        raise ValueError(
            f"{name}: shape is {shape}, expected (height ≥ 28, width ≥ 28, 1 or 3)"
        )
    inputs = keras.Input(shape, name=name)
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = augment(x) if augment is not None else x
    for width in widths:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        # Pooling first: what follows then works on a quarter of the pixels.
        x = layers.MaxPooling2D()(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    if embed_dim is not None:
        x = layers.Dense(embed_dim, activation="relu")(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, x, name=f"{name}_cnn")
