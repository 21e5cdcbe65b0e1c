"""Image encoders trained on ImageNet: pixels 0..255 in, each with its own scaling."""

import os

import keras
import numpy as np
from keras import layers

from mmlearn.datasets import sources
from mmlearn.datasets.sources.unpickle import read_arrays

# What Keras offers: the builder, the module with the scaling (`None`: part of the
# model), and the file of the weights in Keras's cache.
_KERAS = {
    "vgg16": (
        keras.applications.VGG16,
        keras.applications.vgg16,
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "resnet50": (
        keras.applications.ResNet50,
        keras.applications.resnet50,
        "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    ),
    "efficientnetv2-b0": (
        keras.applications.EfficientNetV2B0,
        None,
        "efficientnetv2-b0_notop.h5",
    ),
    "mobilenetv3": (
        keras.applications.MobileNetV3Large,
        None,
        "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    ),
}
ARCHITECTURES = ("efficientnet-lite0", *_KERAS)

# EfficientNet-B0's stages: repeats, kernel, stride, expansion, channels.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def image(
    architecture: str = "efficientnet-lite0",
    shape: tuple[int | None, int | None, int] = (32, 32, 3),
    *,
    resolution: int | None = None,
    trainable: bool = False,
    pooling: str | None = "avg",
    weights: str | None = "imagenet",
    name: str = "image",
) -> keras.Model:
    """Return an image encoder with weights trained on ImageNet.

    Inside, the middle square of a picture is taken, resized, and scaled as the weights
    expect it. While the encoder is frozen, batch normalisation keeps its statistics,
    too.

    Args:
        architecture: `"efficientnet-lite0"` (1,280 features; Tan & Le 2019,
            https://arxiv.org/abs/1905.11946, without squeeze-and-excitation),
            `"vgg16"` (512; https://arxiv.org/abs/1409.1556), `"resnet50"` (2,048;
            https://arxiv.org/abs/1512.03385), `"efficientnetv2-b0"` (1,280;
            https://arxiv.org/abs/2104.00298) or `"mobilenetv3"` (large, 960;
            https://arxiv.org/abs/1905.02244).
        shape: Height, width (`None`: any) and channels (3, or 1: grey, taken thrice)
            of a picture with pixels 0..255.
        resolution: Height and width that the network sees, 32 or more; `None` is
            224, what the weights were trained with. 96 is five times as fast.
        trainable: Fine-tune the weights with the rest of a model.
        pooling: `"avg"` over places, or `None` for the sequence of places.
        weights: `"imagenet"`, or `None` for random ones.
        name: Name of the modality and of the model's input.

    Returns:
        A model from (B, *shape) to (B, d), or to (B, T, d) with T places, row by row:
        one place for each 32 × 32 pixels of `resolution`.

    Raises:
        ValueError: If an argument is not one of those above.
        mmlearn.datasets.sources.SourceError: If the weights cannot be had.

    Example:
        >>> image(weights=None).output_shape
        (None, 1280)
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"{name}: architecture is {architecture!r}, choose one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    if pooling not in ("avg", None):
        raise ValueError(f"{name}: pooling is {pooling!r}, choose 'avg' or None")
    inputs, x = _pictures(shape, resolution, weights, name)
    if architecture == "efficientnet-lite0":
        x = _efficientnet_lite0(x)
    else:
        x = _application(architecture, x, weights)
    if pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="pool")(x)
    else:
        x = layers.Reshape((-1, x.shape[-1]), name="places")(x)
    model = keras.Model(inputs, x, name=f"{name}_{architecture}")
    if architecture == "efficientnet-lite0" and weights:
        _fill(model)
    model.trainable = trainable
    return model


def imagenet_classifier(
    shape: tuple[int | None, int | None, int] = (224, 224, 3),
    *,
    resolution: int | None = None,
    weights: str | None = "imagenet",
    name: str = "image",
) -> keras.Model:
    """Return EfficientNet-Lite0 with its classifier of the 1,000 ImageNet classes.

    Args:
        shape, resolution, weights, name: See `image`.

    Returns:
        A frozen model from (B, *shape) to probabilities (B, 1000), in the order of
        `imagenet_names()`.

    Raises:
        ValueError, mmlearn.datasets.sources.SourceError: See `image`.
    """
    inputs, x = _pictures(shape, resolution, weights, name)
    x = layers.GlobalAveragePooling2D(name="pool")(_efficientnet_lite0(x))
    x = layers.Dense(1000, activation="softmax", dtype="float32", name="fc")(x)
    model = keras.Model(inputs, x, name=f"{name}_classifier")
    if weights:
        _fill(model)
    model.trainable = False
    return model


def imagenet_names() -> list[str]:
    """Return the short English names of the 1,000 ImageNet classes, in their order."""
    lines = (sources.DATA / "imagenet_classes.txt").read_text("utf-8").splitlines()
    return lines[1:]  # the first line names the source


def _pictures(shape, resolution, weights, name):
    """Return the input, and the pictures as (B, resolution, resolution, 3)."""
    if weights not in ("imagenet", None):
        raise ValueError(f"{name}: weights is {weights!r}, choose 'imagenet' or None")
    if len(shape) != 3 or shape[2] not in (1, 3) or 0 in shape:
        raise ValueError(f"{name}: shape is {shape}, expected (height, width, 1 or 3)")
    size = 224 if resolution is None else resolution
    if size < 32:
        raise ValueError(f"{name}: resolution is {size}, expected 32 pixels or more")
    inputs = x = keras.Input(shape, name=name)
    if tuple(shape[:2]) != (size, size):
        x = layers.Resizing(
            size,
            size,
            crop_to_aspect_ratio=True,
            antialias=True,  # a large picture is averaged, not sampled
            name="resize",
        )(x)
    if shape[2] == 1:
        x = layers.Concatenate(name="grey_thrice")([x, x, x])
    return inputs, x


def _application(architecture, x, weights):
    build, scaling, file = _KERAS[architecture]
    here = sources.cache_dir() / "models" / file
    if weights and os.environ.get("MMLEARN_OFFLINE") and not here.is_file():
        raise sources.SourceError(
            f"{architecture}: not downloaded, since MMLEARN_OFFLINE is set"
        )
    if scaling is not None:
        x = scaling.preprocess_input(x)
    try:
        return build(include_top=False, weights=weights, input_tensor=x).output
    except Exception as error:
        # Keras raises a bare Exception when a download fails.
        if "URL fetch failure" not in str(error):
            raise
        raise sources.SourceError(
            f"{architecture}: its weights could not be downloaded; connect to the "
            f"network, put {file} into {here.parent}, or use 'efficientnet-lite0'"
        ) from error


def _efficientnet_lite0(x):
    """Apply the network up to its last convolution; layers are named as in the file."""
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scale")(x)
    x = _normalised(_conv(32, 3, 2, "conv_stem")(x), "bn0")
    number = 0
    for repeats, kernel, stride, expansion, width in _STAGES:
        for repeat in range(repeats):
            strides = stride if repeat == 0 else 1
            x = _block(x, f"blocks-{number}", kernel, strides, expansion, width)
            number += 1
    return _normalised(_conv(1280, 1, 1, "conv_head")(x), "bn1")


def _block(x, prefix, kernel, stride, expansion, width):
    """Widen, filter each channel, narrow; with a residual where the shape stays.

    The inverted residual of Sandler et al. 2018, https://arxiv.org/abs/1801.04381.
    """
    start, channels = x, x.shape[-1]
    if expansion > 1:
        x = _conv(expansion * channels, 1, 1, f"{prefix}-expand_conv")(x)
        x = _normalised(x, f"{prefix}-bn0")
    x = layers.DepthwiseConv2D(
        kernel,
        stride,
        "same",
        use_bias=False,
        # He et al. 2015 for one channel in; Keras would count them all.
        depthwise_initializer=keras.initializers.RandomNormal(stddev=2**0.5 / kernel),
        name=f"{prefix}-depthwise_conv",
    )(x)
    x = _normalised(x, f"{prefix}-bn1")
    x = _conv(width, 1, 1, f"{prefix}-project_conv")(x)
    x = _normalised(x, f"{prefix}-bn2", activated=False)
    if stride == 1 and channels == width:
        x = layers.Add(name=f"{prefix}-add")([x, start])
    return x


def _conv(width, kernel, stride, name):
    return layers.Conv2D(
        width,
        kernel,
        stride,
        "same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )


def _normalised(x, name, activated=True):
    x = layers.BatchNormalization(epsilon=1e-3, name=name)(x)
    return layers.ReLU(max_value=6, name=f"{name}-relu")(x) if activated else x


def _fill(model: keras.Model) -> None:
    """Put the arrays of EfficientNet-Lite0's file into the layers of the same names."""
    folder = sources.require("efficientnet-lite0")
    ((file, sha256),) = sources.SOURCES["efficientnet-lite0"].files.items()
    arrays = read_arrays(folder / file, sha256)
    for layer in model.layers:
        if not layer.weights:
            continue
        # "blocks-0-bn1" here (PyTorch allows no dot) is "_blocks.0._bn1" there.
        parts = [p if p.isdigit() else f"_{p}" for p in layer.name.split("-")]
        names = ["weight", "bias", "running_mean", "running_var"]
        values = [arrays[".".join([*parts, n])] for n in names[: len(layer.weights)]]
        values[0] = _keras_order(values[0], isinstance(layer, layers.DepthwiseConv2D))
        layer.set_weights(values)


def _keras_order(kernel: np.ndarray, depthwise: bool) -> np.ndarray:
    """From PyTorch's order of axes, output first, to Keras's, output last."""
    if kernel.ndim == 4:
        return kernel.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
    return kernel.T
