"""Image encoders and augmentation."""

from collections.abc import Sequence

import keras
from keras import layers

from mmlearn.layers import PositionEmbedding, transformer_blocks


def augmentation(
    *,
    flip: bool = True,
    crop: int = 0,
    rotate: float = 0.0,
    name: str = "augmentation",
) -> keras.Sequential:
    """Return layers that vary pictures at random while training, and only then.

    Args:
        flip: Mirror left and right.
        crop: Shift by up to this many pixels, mirrored pixels at the border.
        rotate: Rotate by up to this share of a full turn, to either side.
        name: Name of the model.

    Returns:
        A model from (B, height, width, channels) to the same shape.

    Example:
        >>> augmentation(crop=2)(keras.Input((32, 32, 3))).shape
        (None, 32, 32, 3)
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
class RandomGround(layers.Layer):
    """Put pictures with an alpha channel on a ground, of a random colour in training.

    x = α c + (1 - α) g, with one ground g ~ U(0, 255)³ per picture while training, and
    white after it.

    Call arguments:
        images: RGBA from 0 to 255, (B, height, width, 4).
        training: Whether to draw the grounds.

    Returns:
        RGB from 0 to 255, (B, height, width, 3).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, images, training=False):
        ops = keras.ops
        images = ops.cast(images, self.compute_dtype)
        opaque = images[..., 3:] / 255
        ground = ops.full((1, 1, 1, 3), 255.0, dtype=self.compute_dtype)
        if training:
            shape = (ops.shape(images)[0], 1, 1, 3)
            ground = keras.random.uniform(
                shape, 0.0, 255.0, dtype=self.compute_dtype, seed=self.seed_generator
            )
        return opaque * images[..., :3] + (1 - opaque) * ground

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 3)


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
    filters: Sequence[int] = (32, 64, 128, 256),
    *,
    embed_dim: int | None = None,
    dropout: float = 0.3,
    augment: keras.Model | None = None,
    pooling: str | None = "avg",
    name: str = "image",
) -> keras.Model:
    """Return a convolutional encoder: a block for each of `filters`, then the mean.

    A block is convolution 3×3, maximum over 2×2, batch normalisation, ReLU. Pixels are
    scaled from 0..255 to -1..1 inside the model.

    Args:
        shape: Height, width (at least 28) and channels of a picture: 1, 3, or 4 with
            alpha (`RandomGround`).
        filters: Channels of each block, at most four.
        embed_dim: Length of the features; `None` keeps those of the last.
        dropout: Rate of dropout on the features.
        augment: Layers applied while training, such as `augmentation()`.
        pooling: `"avg"` (the mean), or `None` for one vector per place of the picture.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `block0_conv`, `block0_norm`, `block1_conv`, …; `features`, with embed_dim

    Returns:
        A model from (B, *shape) to (B, embed_dim), or to (B, T, embed_dim) with
        T = ⌊height / 2^n⌋ · ⌊width / 2^n⌋ for n blocks, row by row.

    Raises:
        ValueError: If the shape is too small, or has another number of channels, or
            there are more than four blocks (each halves the picture), or `pooling` is
            unknown.

    Example:
        >>> cnn().output_shape
        (None, 256)
        >>> cnn(pooling=None).output_shape
        (None, 4, 256)
    """
    if len(filters) > 4 or len(filters) < 1:
        raise ValueError(f"{name}: filters is {filters}, expected one to four blocks")
    inputs, x = _pixels(shape, augment, name)
    for i, channels in enumerate(filters):
        x = conv_block(x, channels, name=f"block{i}")
    x = _pooled(x, pooling, name)
    if embed_dim is not None:
        x = layers.Dense(embed_dim, activation="relu", name="features")(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, x, name=f"{name}_cnn")


def lenet(
    shape: tuple[int, int, int] = (28, 28, 1),
    *,
    filters: int = 6,
    num_layers: int = 2,
    embed_dim: int | None = 84,
    dropout: float = 0.0,
    augment: keras.Model | None = None,
    pooling: str | None = "flatten",
    name: str = "image",
) -> keras.Model:
    """Return a LeNet: convolve, halve, double the channels; then a dense layer.

    Block i has filters · 2^i channels, 5×5 in the first and 3×3 after it; ReLU and
    batch normalisation in place of the sigmoids of LeCun et al. 1998
    (https://doi.org/10.1109/5.726791). With `embed_dim=None`, four blocks on 28×28
    (48 features) and six on 112×112 (192 features) are a usual pair for written and
    spoken digits.

    Args:
        shape: Height, width (at least 28) and channels of a picture: 1, 3, or 4 with
            alpha (`RandomGround`).
        filters: Channels of the first block.
        num_layers: Number of blocks; each halves height and width.
        embed_dim: Length of the features; `None` keeps those of the last block.
        dropout: Rate of dropout on the features.
        augment: Layers applied while training, such as `augmentation()`.
        pooling: `"flatten"`, so that the dense layer sees where things are, or `None`
            for one vector per place of the picture.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `block0_conv`, `block0_norm`, `block1_conv`, …; `features`, with embed_dim

    Returns:
        A model from (B, *shape) to (B, embed_dim), or to (B, T, embed_dim) with
        T = ⌊height / 2^num_layers⌋ · ⌊width / 2^num_layers⌋.

    Raises:
        ValueError: If the shape is too small for the blocks, or has another number of
            channels, or `pooling` is unknown.

    Example:
        >>> lenet((28, 28, 1)).output_shape
        (None, 84)
    """
    inputs, x = _pixels(shape, augment, name)
    if num_layers < 1 or min(shape[:2]) < 2**num_layers:
        raise ValueError(
            f"{name}: num_layers is {num_layers}, expected 1 to "
            f"{min(shape[:2]).bit_length() - 1}: each halves the {shape[:2]} pixels"
        )
    for i in range(num_layers):
        x = conv_block(x, filters * 2**i, 3 if i else 5, name=f"block{i}")
    x = _pooled(x, pooling, name, vector="flatten")
    if embed_dim is not None:
        x = layers.Dense(embed_dim, activation="relu", name="features")(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, x, name=f"{name}_lenet")


def resnet(
    shape: tuple[int, int, int] = (32, 32, 3),
    filters: Sequence[int] = (16, 32, 64),
    *,
    num_layers: int = 1,
    embed_dim: int | None = None,
    dropout: float = 0.3,
    augment: keras.Model | None = None,
    pooling: str | None = "avg",
    name: str = "image",
) -> keras.Model:
    """Return a small residual network: a stage for each of `filters`.

    x ← shortcut(x) + conv(ReLU(BN(conv(ReLU(BN(x))))))   (pre-activation; He et al.
    2016, https://arxiv.org/abs/1603.05027)

    Args:
        shape: Height, width (at least 28) and channels of a picture: 1, 3, or 4 with
            alpha (`RandomGround`).
        filters: Channels of each stage, at most five.
        num_layers: Residual blocks in a stage; three stages of n are 6n + 2
            convolutions deep.
        embed_dim: Length of the features; `None` keeps those of the last.
        dropout: Rate of dropout on the features.
        augment: Layers applied while training, such as `augmentation()`.
        pooling: `"avg"` (the mean), or `None` for one vector per place of the picture.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `stem`; for stage 0, 1, … and block 0, 1, …: `stage0_block0_norm0`,
        `…_shortcut` where the shape changes, `…_conv0`, `…_norm1`, `…_conv1`; `norm`;
        `features`, with embed_dim

    Returns:
        A model from (B, *shape) to (B, embed_dim), or to (B, T, embed_dim) with
        T = ⌈height / 2^(n-1)⌉ · ⌈width / 2^(n-1)⌉ for n stages.

    Raises:
        ValueError: If the shape is too small, or has another number of channels, or
            there are no blocks, or not one to five stages, or `pooling` is unknown.

    Example:
        >>> resnet().output_shape
        (None, 64)
    """
    if len(filters) > 5 or len(filters) < 1:
        raise ValueError(f"{name}: filters is {filters}, expected one to five stages")
    if num_layers < 1:
        raise ValueError(
            f"{name}: num_layers is {num_layers}, expected 1 or more in a stage"
        )
    inputs, x = _pixels(shape, augment, name)
    x = layers.Conv2D(filters[0], 3, padding="same", use_bias=False, name="stem")(x)
    for stage, channels in enumerate(filters):
        for block in range(num_layers):
            strides = 2 if stage and not block else 1
            x = _residual_block(x, channels, strides, f"stage{stage}_block{block}")
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = _pooled(x, pooling, name)
    if embed_dim is not None:
        x = layers.Dense(embed_dim, activation="relu", name="features")(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, x, name=f"{name}_resnet")


def vit(
    shape: tuple[int, int, int] = (32, 32, 3),
    *,
    patch_size: int = 4,
    embed_dim: int = 64,
    num_heads: int = 4,
    num_layers: int = 4,
    dropout: float = 0.1,
    augment: keras.Model | None = None,
    pooling: str | None = "avg",
    name: str = "image",
) -> keras.Model:
    """Return a vision Transformer: the patches of the picture are its words.

    x_t = W patch_t + b + P[t], then Transformer blocks and a layer normalisation
    (Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929; pooled by the mean
    instead of a class token).

    Args:
        shape: Height, width (at least 28) and channels of a picture: 1, 3, or 4 with
            alpha (`RandomGround`).
        patch_size: Side of a patch in pixels; divides height and width.
        embed_dim: Length of the features; `num_heads` divides it.
        num_heads: Attention heads in each block.
        num_layers: Number of blocks.
        dropout: Rate of dropout in the blocks and on the features.
        augment: Layers applied while training, such as `augmentation()`.
        pooling: `"avg"` (the mean), or `None` for one vector per patch.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `patches`, `places` (see `PositionEmbedding`), `block0`, `block1`, … (see
        `TransformerBlock`), `norm`

    Returns:
        A model from (B, *shape) to (B, embed_dim), or to (B, T, embed_dim) with
        T = height / patch_size · width / patch_size, row by row.

    Raises:
        ValueError: If the shape is too small, or has another number of channels, or
            `patch_size` does not divide it, or `num_heads` does not divide
            `embed_dim`, or `pooling` is unknown.

    Example:
        >>> vit().output_shape
        (None, 64)
    """
    inputs, x = _pixels(shape, augment, name)
    if patch_size < 1 or shape[0] % patch_size or shape[1] % patch_size:
        raise ValueError(
            f"{name}: patch_size={patch_size} does not divide {shape[0]} × {shape[1]} "
            "pixels: choose a common divisor"
        )
    x = layers.Conv2D(embed_dim, patch_size, strides=patch_size, name="patches")(x)
    x = layers.Reshape((-1, embed_dim))(x)
    x = PositionEmbedding(name="places")(x)
    x = transformer_blocks(x, num_layers, num_heads, dropout)
    x = layers.LayerNormalization(name="norm")(x)
    if pooling == "avg":
        x = layers.GlobalAveragePooling1D()(x)
    elif pooling is not None:
        raise _unknown_pooling(pooling, "avg", name)
    return keras.Model(inputs, layers.Dropout(dropout)(x), name=f"{name}_vit")


def conv_block(x, filters: int, kernel_size: int = 3, *, name: str):
    """Convolve, halve by the maximum, normalise, ReLU: half the places, `filters`."""
    x = layers.Conv2D(
        filters, kernel_size, padding="same", use_bias=False, name=f"{name}_conv"
    )(x)
    # Pooling first: what follows then works on a quarter of the pixels.
    x = layers.MaxPooling2D()(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU()(x)


def _residual_block(x, filters: int, strides: int, name: str):
    def convolved(x, kernel_size: int, strides: int, part: str):
        return layers.Conv2D(
            filters,
            kernel_size,
            strides,
            padding="same",
            use_bias=False,
            name=f"{name}_{part}",
        )(x)

    y = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm0")(x))
    # A shortcut that changes the shape starts after the shared activation.
    changes = strides > 1 or x.shape[-1] != filters
    shortcut = convolved(y, 1, strides, "shortcut") if changes else x
    y = convolved(y, 3, strides, "conv0")
    y = layers.ReLU()(layers.BatchNormalization(name=f"{name}_norm1")(y))
    y = convolved(y, 3, 1, "conv1")
    return layers.Add()([shortcut, y])


def _pixels(shape, augment: keras.Model | None, name: str):
    """The model's input, and its pixels scaled to -1..1."""
    if len(shape) != 3 or min(shape[:2]) < 28 or shape[2] not in (1, 3, 4):
        raise ValueError(
            f"{name}: shape is {shape}, expected (height ≥ 28, width ≥ 28, 1, 3 or 4)"
        )
    inputs = keras.Input(shape, name=name)
    x = RandomGround(name="ground")(inputs) if shape[2] == 4 else inputs
    x = layers.Rescaling(1 / 127.5, offset=-1)(x)
    return inputs, augment(x) if augment is not None else x


def _pooled(x, pooling: str | None, name: str, vector: str = "avg"):
    """A vector per picture, or with `None` a vector per place, row by row."""
    if pooling is None:
        return layers.Reshape((-1, x.shape[-1]))(x)
    if pooling != vector:
        raise _unknown_pooling(pooling, vector, name)
    pool = layers.Flatten if vector == "flatten" else layers.GlobalAveragePooling2D
    return pool()(x)


def _unknown_pooling(pooling, vector: str, name: str) -> ValueError:
    return ValueError(f"{name}: pooling is {pooling!r}, choose one of {vector!r}, None")
