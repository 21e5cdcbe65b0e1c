"""Which pixels, which words, which modality: for single samples."""

import inspect
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from mmlearn.evaluate.metrics import of_classes
from mmlearn.explain.graphs import encoders, opened
from mmlearn.models import in_order, inputs_from, modalities_of
from mmlearn.runtime import full_precision


def grad_cam(
    model: keras.Model,
    inputs: Mapping[str, np.ndarray],
    classes: Sequence[int] | None = None,
    modality: str = "image",
) -> np.ndarray:
    """Return where in each picture the model finds evidence for a class (Grad-CAM).

    L = relu(Σ_k α_k A_k), α_k = mean over the positions of ∂ log p_class / ∂A_k, with
    A_k the channels of the encoder's last feature maps (Selvaraju et al. 2017) of at
    least 4 by 4 positions: smaller ones cannot say where.

    Args:
        model: A composed model with an encoder for `modality`.
        inputs: Modality → array (N, ...); a few samples.
        classes: A class number per sample; `None` for the predicted ones.
        modality: The modality whose encoder has feature maps.

    Returns:
        Maps of shape (N, height, width) in 0 to 1, each scaled to its own maximum.

    Raises:
        ValueError: If the encoder has no feature maps, or there is no such encoder.
    """
    twin, calls = opened(model)
    parts = encoders(twin, calls)
    if modality not in parts:
        raise ValueError(f"there is no encoder of {modality!r}, only of {list(parts)}")
    encoder, features = parts[modality]
    inner, last = _last_maps(encoder)
    names = [tensor.name for tensor in model.inputs]
    tensors = in_order(model, inputs_from(model, inputs))
    given = dict(zip(names, tensors, strict=True))
    whole = of_classes(model.predict(tensors, batch_size=256, verbose=0))
    classes = whole.argmax(axis=-1) if classes is None else np.asarray(classes)
    front = keras.Model(inner.inputs, last)
    back = keras.Model([last], inner.outputs)
    others = {name: given[name] for name in given if name != modality}
    rest_inputs = [features, *(t for t in twin.inputs if t.name in others)]
    fixed = [ops.convert_to_tensor(others[t.name]) for t in rest_inputs[1:]]
    rest = keras.Model(rest_inputs, twin.outputs)
    activations = front.predict(given[modality], batch_size=256, verbose=0)

    def score(shifted):
        shares = rest([back(shifted, training=False), *fixed], training=False)
        shares = shares[0] if isinstance(shares, list) else shares
        if shares.shape[-1] == 1:
            shares = ops.concatenate([1 - shares, shares], axis=-1)
        return ops.log(ops.maximum(ops.cast(shares, "float32"), 1e-12))

    slopes = _gradient(score, activations, classes, whole.shape[-1])
    weights = slopes.mean(axis=(1, 2), keepdims=True)
    found = np.maximum((weights * activations).sum(axis=-1), 0)
    size = encoder.input_shape[1:3]
    found = ops.image.resize(found[..., None], size, interpolation="bilinear")
    found = full_precision(ops.convert_to_numpy(found))[..., 0]
    top = found.max(axis=(1, 2), keepdims=True)
    return found / np.where(top > 0, top, 1)


def token_attributions(
    model: keras.Model,
    inputs: Mapping[str, np.ndarray],
    classes: Sequence[int] | None = None,
    modality: str = "text",
) -> np.ndarray:
    """Return how much each word raises the probability of a class.

    p(class | all words) - p(class | all words but this one): leave one out.

    Args:
        model: A composed model.
        inputs: Modality → array (N, ...), the words as ids padded with 0.
        classes: A class number per sample; `None` for the predicted ones.
        modality: The modality of words.

    Returns:
        Shape (N, length); 0 for padding.

    Raises:
        KeyError: If there is no such modality.
    """
    if modality not in modalities_of(model):
        names = list(modalities_of(model))
        raise KeyError(f"modality {modality!r}: choose from {names}")
    ids = np.asarray(inputs[modality])
    num, length = ids.shape
    given = inputs_from(model, inputs)
    whole = of_classes(model.predict(given, batch_size=256, verbose=0))
    classes = whole.argmax(axis=-1) if classes is None else np.asarray(classes)
    own = np.take_along_axis(whole, classes[:, None], axis=1)
    found = np.zeros((num, length))
    for place in range(length):
        shorter = np.concatenate(
            [ids[:, :place], ids[:, place + 1 :], np.zeros((num, 1), ids.dtype)], axis=1
        )
        less = {**given, modality: shorter}
        less = of_classes(model.predict(less, batch_size=256, verbose=0))
        lost = own - np.take_along_axis(less, classes[:, None], axis=1)
        found[:, place] = lost[:, 0]
    return np.where(ids == 0, 0, found)


def fusion_weights(model: keras.Model, inputs: Mapping[str, np.ndarray]):
    """Return what the model's fusion layer gives as its weights, gates or attention.

    Args:
        model: A composed model whose fusion has `return_weights`.
        inputs: Modality → array (N, ...).

    Returns:
        The layer's weights for these samples, as NumPy arrays in its own structure.

    Raises:
        ValueError: If no layer of the model has weights to return.
    """
    twin, calls = opened(model)
    for layer, args, kwargs, _ in calls:
        if "return_weights" in inspect.signature(layer.call).parameters:
            reader = keras.Model(twin.inputs, _Weights(layer)(*args, **kwargs))
            arrays = in_order(model, inputs_from(model, inputs))
            found = reader.predict(arrays, batch_size=256, verbose=0)
            return keras.tree.map_structure(full_precision, found)
    raise ValueError(f"no layer of {model.name!r} has weights to return")


class _Weights(keras.layers.Layer):
    """What a fusion layer gives beside its output.

    A layer of its own: Keras cannot build a model from a layer's second call where that
    has another number of outputs than the first.
    """

    def __init__(self, layer: keras.layers.Layer):
        super().__init__(dtype=layer.dtype_policy)
        self.layer, self.supports_masking = layer, True

    def call(self, *args, **options):
        return self.layer(*args, **{**options, "return_weights": True})[1]


def _last_maps(encoder: keras.Model):
    """An encoder's twin and its maps (N, height, width, k) nearest to the output.

    Preferred are those after a ReLU, where more means more evidence, and of at least 4
    by 4 positions.
    """
    twin, calls = opened(encoder)
    maps = [
        (call.layer, tensor)
        for call in reversed(calls)
        for tensor in keras.tree.flatten(call.output)
        if len(tensor.shape) == 4
    ]
    if not maps:
        raise ValueError(f"encoder {encoder.name!r} has no feature maps (N, h, w, k)")

    def flaws(pair):
        layer, tensor = pair
        rectified = isinstance(layer, keras.layers.ReLU) or (
            getattr(layer, "activation", None) is keras.activations.relu
        )
        return (min(tensor.shape[1:3]) < 4) + (not rectified)

    return twin, min(maps, key=flaws)[1]


def _gradient(score, at: np.ndarray, classes: np.ndarray, num_classes: int):
    """The gradient of the classes' scores by a tensor, on any backend.

    Keras has no function for gradients. One step of plain gradient ascent, from a shift
    of zero and with learning rate 1, moves the shift by exactly the gradient.
    """
    probe = _Shifted(score, at.shape)
    source = keras.Input(batch_shape=at.shape)
    model = keras.Model(source, probe(source))
    model.compile(
        keras.optimizers.SGD(1.0),
        lambda wanted, scores: -ops.sum(wanted * scores) / len(at),
        jit_compile=False,
    )
    wanted = np.eye(num_classes, dtype="float32")[classes] * len(at)
    model.train_on_batch(at, wanted)
    return ops.convert_to_numpy(probe.shift)


class _Shifted(keras.layers.Layer):
    """score(x + shift): the shift alone is trained."""

    def __init__(self, score, shape):
        super().__init__(dtype="float32")
        # A plain function is not tracked: the weights in it stay as they are.
        self.score = score
        self.shift = self.add_weight(shape=shape, initializer="zeros", name="shift")

    def call(self, x):
        return self.score(x + self.shift)
