"""Video encoders: frames in, features out, on top of an image encoder."""

import keras
from keras import layers, ops

from mmlearn.layers import MaskedMean, PositionEmbedding, transformer_blocks


@keras.saving.register_keras_serializable(package="mmlearn")
class EachFrame(layers.Wrapper):
    """Apply a model to each frame, all frames of the batch at once.

    Unlike `keras.layers.TimeDistributed`, which repeats the model per time step, this
    compiles once, and batch normalisation sees all frames together.

    Args:
        layer: A model from (B, height, width, channels) to (B, d).

    Call arguments:
        frames: Pictures of shape (B, T, height, width, channels).

    Returns:
        Features of shape (B, T, d).
    """

    def build(self, input_shape):
        super().build((None, *input_shape[2:]))

    def call(self, frames, training=None):
        steps = frames.shape[1]
        pictures = ops.reshape(frames, (-1, *frames.shape[2:]))
        features = self.layer(pictures, training=training)
        return ops.reshape(features, (-1, steps, features.shape[-1]))

    def compute_output_shape(self, input_shape):
        each = self.layer.compute_output_shape((None, *input_shape[2:]))
        return (*input_shape[:2], each[-1])


def frames(
    image_encoder: keras.Model,
    length: int,
    *,
    over_time: str = "avg",
    num_heads: int = 4,
    dropout: float = 0.1,
    pooling: str | None = "auto",
    name: str = "video",
) -> keras.Model:
    """Return an image encoder applied to each frame, and a summary over time.

    "avg": h = mean of x_t, blind to the order of the frames;
    "gru": h = last state of a GRU over x_1, …, x_T;
    "transformer": h = mean of a Transformer block's x_t, with learned positions.

    All frames share the image encoder's weights, and augmentation in it varies each
    frame on its own. There is no mask: give every video `length` frames, for example
    at equal distances, or the last one repeated.

    Args:
        image_encoder: Such as `image.cnn()`: one input (height, width, channels), a
            vector out. Freeze it first if it should not learn.
        length: Frames in a video.
        over_time: `"avg"`, `"gru"` or `"transformer"`.
        num_heads: Attention heads; divides the length of the features.
        dropout: Rate of dropout in the Transformer and on the features.
        pooling: `"auto"` for the summary, or `None` for the sequence before it.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        those of the image encoder; then `reader` (gru), or `places`, `block0`
        (see `TransformerBlock`), `norm` (transformer)

    Returns:
        A model from (B, length, height, width, channels) to (B, d), or to
        (B, length, d), with the image encoder's number of features d.

    Raises:
        ValueError: If the image encoder has other shapes, `length` is below 1, or
            `over_time` or `pooling` is unknown.

    Example:
        >>> from mmlearn.encoders import image
        >>> frames(image.cnn(), 8).output_shape
        (None, 256)
    """
    shapes = [tuple(x.shape) for x in (*image_encoder.inputs, *image_encoder.outputs)]
    if [len(shape) for shape in shapes] != [4, 2]:
        raise ValueError(
            f"{name}: image_encoder has shapes {shapes}, expected one input (B, "
            "height, width, channels) and one output (B, d): choose its pooling so"
        )
    if length < 1:
        raise ValueError(f"{name}: length is {length}, expected 1 frame or more")
    if over_time not in ("avg", "gru", "transformer"):
        raise ValueError(
            f"{name}: over_time is {over_time!r}, choose one of 'avg', 'gru', "
            "'transformer'"
        )
    if pooling not in ("auto", None):
        raise ValueError(f"{name}: pooling is {pooling!r}, choose one of 'auto', None")
    inputs = keras.Input((length, *shapes[0][1:]), name=name)
    x = EachFrame(image_encoder, name="each_frame")(inputs)
    dim = shapes[1][1]
    if over_time == "gru":
        x = layers.GRU(dim, return_sequences=pooling is None, name="reader")(x)
    elif over_time == "transformer":
        x = PositionEmbedding(name="places")(x)
        x = transformer_blocks(x, 1, num_heads, dropout)
        x = layers.LayerNormalization(name="norm")(x)
    if pooling is not None and over_time != "gru":
        x = MaskedMean()(x)
    return keras.Model(inputs, layers.Dropout(dropout)(x), name=f"{name}_{over_time}")
