"""Encoders of series, such as sensors: steps of several channels in, features out.

Every step is real, unless `mask_value` says how padding looks: a step is then masked if
all its channels have that value. It has no influence on the features, and more padding
at the end changes nothing; where every step is padding, the features are finite and the
same for every such series. Choose a value that no sensor gives in all channels at once.
NaN is not allowed. Channels should be about -1..1: normalise first (over the real
steps), then pad.
"""

from collections.abc import Sequence

import keras
from keras import layers, ops

from mmlearn.layers import MaskedMean, PositionEmbedding, transformer_blocks

CELLS = {"lstm": layers.LSTM, "gru": layers.GRU}


@keras.saving.register_keras_serializable(package="mmlearn")
class MaskedConv1D(layers.Conv1D):
    """A 1-D convolution that sees masked steps as zeros, and keeps the mask.

    Args:
        filters: Number of output channels.
        kernel_size: Number of taps.
        padding: `"same"` or `"causal"`, so that the length stays.
        **kwargs: As `keras.layers.Conv1D`, without strides.

    Call arguments:
        sequence: Features of shape (B, T, d).
        mask: Boolean (B, T), `True` where real.

    Returns:
        Features of shape (B, T, filters), with the same mask.
    """

    def __init__(self, filters: int, kernel_size, padding: str = "same", **kwargs):
        super().__init__(filters, kernel_size, padding=padding, **kwargs)
        self.supports_masking = True

    def call(self, sequence, mask=None):
        return super().call(_zeroed(sequence, mask))


@keras.saving.register_keras_serializable(package="mmlearn")
class MaskedMaxPooling1D(layers.Layer):
    """Maximum over pairs of steps that ignores masked ones; a pair of those gives 0.

    Call arguments:
        sequence: Features of shape (B, T, d).
        mask: Boolean (B, T), `True` where real.

    Returns:
        Features of shape (B, ⌈T / 2⌉, d); a pair is real if one of its steps is.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, sequence, mask=None):
        if mask is not None:
            lowest = ops.full_like(sequence, -3e4)  # finite in half precision
            sequence = ops.where(ops.expand_dims(mask, -1), sequence, lowest)
        # From the first step on, "same" pads at the end only: pairs never shift.
        pooled = ops.max_pool(sequence, 2, 2, padding="same")
        return _zeroed(pooled, self.compute_mask(sequence, mask))

    def compute_mask(self, sequence, previous_mask=None):
        if previous_mask is None:
            return None
        real = ops.expand_dims(ops.cast(previous_mask, "float32"), -1)
        return ops.squeeze(ops.max_pool(real, 2, 2, padding="same"), -1) > 0

    def compute_output_shape(self, input_shape):
        steps = input_shape[1]
        return (input_shape[0], steps and -(-steps // 2), input_shape[2])


def cnn(
    shape: tuple[int | None, int],
    filters: Sequence[int] = (32, 64, 128),
    *,
    kernel_size: int = 5,
    embed_dim: int | None = None,
    dropout: float = 0.3,
    pooling: str | None = "avg",
    mask_value: float | None = None,
    name: str = "series",
) -> keras.Model:
    """Return a 1-D convolutional encoder: each block halves the steps.

    A block is convolution, maximum over 2 steps, batch normalisation, ReLU. A feature
    before the mean sees 1 + kernel_size · (2^n − 1) steps for n blocks.

    Args:
        shape: Steps (`None`: any number) and channels of a series.
        filters: Channels of each block.
        kernel_size: Steps that a convolution sees.
        embed_dim: Length of the features; `None` keeps those of the last.
        dropout: Rate of dropout on the features.
        pooling: `"avg"` over the real steps, or `None` for the sequence.
        mask_value: What all channels of a padding step are; `None`: there is none.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `block0_conv`, `block0_norm`, `block1_conv`, …; `features`, with embed_dim

    Returns:
        A model from (B, steps, channels) to (B, embed_dim), or to
        (B, ⌈steps / 2^n⌉, embed_dim).

    Raises:
        ValueError: If `shape` or `pooling` is unknown, or there is no block.

    Example:
        >>> cnn((64, 3)).output_shape
        (None, 128)
    """
    if not len(filters):
        raise ValueError(f"{name}: filters is {filters}, expected one block or more")
    inputs, x = _steps(shape, name, mask_value)
    for i, channels in enumerate(filters):
        convolve = MaskedConv1D(
            channels, kernel_size, use_bias=False, name=f"block{i}_conv"
        )
        x = convolve(x)
        x = MaskedMaxPooling1D()(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"block{i}_norm")(x))
    x = _pooled(x, pooling, name)
    if embed_dim is not None:
        x = layers.Dense(embed_dim, activation="relu", name="features")(x)
    return keras.Model(inputs, layers.Dropout(dropout)(x), name=f"{name}_cnn")


def recurrent(
    shape: tuple[int | None, int],
    cell: str = "gru",
    *,
    embed_dim: int = 64,
    bidirectional: bool = False,
    dropout: float = 0.3,
    pooling: str | None = "last",
    mask_value: float | None = None,
    name: str = "series",
) -> keras.Model:
    """Return a recurrent encoder that reads the steps one by one.

    Args:
        shape: Steps (`None`: any number) and channels of a series.
        cell: `"lstm"` (Hochreiter & Schmidhuber 1997,
            https://doi.org/10.1162/neco.1997.9.8.1735) or `"gru"` (Cho et al. 2014,
            https://arxiv.org/abs/1406.1078).
        embed_dim: Length of the features.
        bidirectional: Read in both directions, with half of the features each.
        dropout: Rate of dropout on the features.
        pooling: `"last"` state, `"avg"` over the real steps, or `None` for the
            sequence.
        mask_value: What all channels of a padding step are; `None`: there is none.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `reader`, or `both` for two directions

    Returns:
        A model from (B, steps, channels) to (B, embed_dim), or (B, steps, embed_dim).
        Without a real step, `"last"` is 0.

    Raises:
        ValueError: If `shape`, `cell` or `pooling` is unknown, or `embed_dim` is odd
            for two directions.

    Example:
        >>> recurrent((64, 3)).output_shape
        (None, 64)
    """
    if cell not in CELLS:
        raise ValueError(f"{name}: cell is {cell!r}, choose one of {', '.join(CELLS)}")
    if bidirectional and embed_dim % 2:
        raise ValueError(
            f"{name}: embed_dim={embed_dim} is odd: two directions share it"
        )
    inputs, x = _steps(shape, name, mask_value)
    units = embed_dim // 2 if bidirectional else embed_dim
    # cuDNN refuses a series without a real step, and gaps between real ones.
    reader = CELLS[cell](
        units, return_sequences=pooling != "last", use_cudnn=False, name="reader"
    )
    x = (layers.Bidirectional(reader, name="both") if bidirectional else reader)(x)
    x = x if pooling == "last" else _pooled(x, pooling, name, also="last")
    return keras.Model(inputs, layers.Dropout(dropout)(x), name=f"{name}_{cell}")


def tcn(
    shape: tuple[int | None, int],
    *,
    embed_dim: int = 64,
    kernel_size: int = 3,
    num_layers: int = 4,
    causal: bool = False,
    dropout: float = 0.1,
    pooling: str | None = "avg",
    mask_value: float | None = None,
    name: str = "series",
) -> keras.Model:
    """Return a temporal convolutional network: convolutions ever further apart.

    x ← shortcut(x) + f(f(x)),  f = dropout ∘ ReLU ∘ LayerNorm ∘ convolution;
    block i convolves steps that are 2^i apart, so a feature sees

    R = 1 + 2 (kernel_size − 1) (2^num_layers − 1)   steps: `receptive_field`

    (Bai et al. 2018, https://arxiv.org/abs/1803.01271; layer instead of weight
    normalisation, so that no feature sees beyond R.)

    Args:
        shape: Steps (`None`: any number) and channels of a series.
        embed_dim: Length of the features, and channels of every block.
        kernel_size: Steps that a convolution sees.
        num_layers: Number of residual blocks.
        causal: See only the past; otherwise R is centred on a step.
        dropout: Rate of dropout in the blocks.
        pooling: `"avg"` over the real steps, or `None` for the sequence.
        mask_value: What all channels of a padding step are; `None`: there is none.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `shortcut`; `block0_conv0`, `block0_norm0`, `block0_conv1`, `block0_norm1`,
        `block1_conv0`, …

    Returns:
        A model from (B, steps, channels) to (B, embed_dim), or (B, steps, embed_dim).

    Raises:
        ValueError: If `shape` or `pooling` is unknown, or there is no block.

    Example:
        >>> tcn((64, 3)).output_shape
        (None, 64)
    """
    if num_layers < 1:
        raise ValueError(f"{name}: num_layers is {num_layers}, expected 1 or more")
    inputs, x = _steps(shape, name, mask_value)
    for i in range(num_layers):
        shortcut = x if i else MaskedConv1D(embed_dim, 1, name="shortcut")(x)
        for half in range(2):
            x = MaskedConv1D(
                embed_dim,
                kernel_size,
                padding="causal" if causal else "same",
                dilation_rate=2**i,
                name=f"block{i}_conv{half}",
            )(x)
            norm = layers.LayerNormalization(name=f"block{i}_norm{half}")
            x = layers.ReLU()(norm(x))
            x = layers.Dropout(dropout)(x)
        x = layers.Add()([shortcut, x])
    return keras.Model(inputs, _pooled(x, pooling, name), name=f"{name}_tcn")


def receptive_field(*, kernel_size: int = 3, num_layers: int = 4) -> int:
    """Return how many steps a feature of `tcn` sees.

    Example:
        >>> receptive_field(kernel_size=3, num_layers=4)
        61
    """
    return 1 + 2 * (kernel_size - 1) * (2**num_layers - 1)


def transformer(
    shape: tuple[int, int],
    *,
    embed_dim: int = 64,
    num_heads: int = 4,
    num_layers: int = 1,
    dropout: float = 0.1,
    pooling: str | None = "avg",
    mask_value: float | None = None,
    name: str = "series",
) -> keras.Model:
    """Return a Transformer encoder with learned positions.

    Args:
        shape: Steps (a fixed number: positions are learned) and channels of a series.
        embed_dim: Length of the features; `num_heads` divides it.
        num_heads: Attention heads in each block.
        num_layers: Number of blocks.
        dropout: Rate of dropout in the blocks and on the features.
        pooling: `"avg"` over the real steps, or `None` for the sequence.
        mask_value: What all channels of a padding step are; `None`: there is none.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `steps` (channels, embed_dim), `places` (steps, embed_dim), `block0`,
        `block1`, … (see `TransformerBlock`), `norm`

    Returns:
        A model from (B, steps, channels) to (B, embed_dim), or (B, steps, embed_dim).

    Raises:
        ValueError: If `shape` or `pooling` is unknown, `shape` has no number of steps,
            or `num_heads` does not divide `embed_dim`.

    Example:
        >>> transformer((64, 3)).output_shape
        (None, 64)
    """
    inputs, x = _steps(shape, name, mask_value)
    if shape[0] is None:
        raise ValueError(
            f"{name}: shape is {shape}: learned positions need a number of steps"
        )
    x = layers.Dense(embed_dim, name="steps")(x)
    x = PositionEmbedding(name="places")(x)
    x = transformer_blocks(x, num_layers, num_heads, dropout)
    x = _pooled(layers.LayerNormalization(name="norm")(x), pooling, name)
    return keras.Model(inputs, layers.Dropout(dropout)(x), name=f"{name}_transformer")


def _steps(shape, name: str, mask_value: float | None):
    """The model's input, and its steps, with a mask where there may be padding."""
    if len(shape) != 2 or shape[0] == 0 or not shape[1]:
        raise ValueError(
            f"{name}: shape is {shape}, expected (steps or None, channels ≥ 1)"
        )
    inputs = keras.Input(shape, name=name)
    if mask_value is None:
        return inputs, inputs
    # In float32: a small value that half precision rounds to 0 is not padding.
    return inputs, layers.Masking(mask_value, dtype="float32")(inputs)


def _zeroed(sequence, mask):
    if mask is None:
        return sequence
    # `where`, not a product: 0 · NaN is NaN.
    return ops.where(ops.expand_dims(mask, -1), sequence, ops.zeros((), sequence.dtype))


def _pooled(sequence, pooling: str | None, name: str, also: str | None = None):
    if pooling == "avg":
        # In float32: a long sum overflows in half precision.
        return MaskedMean()(sequence)
    if pooling is not None:
        choices = ", ".join(repr(c) for c in ("avg", also, None) if c or c is None)
        raise ValueError(f"{name}: pooling is {pooling!r}, choose one of {choices}")
    return sequence
