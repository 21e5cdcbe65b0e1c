"""A composed model taken apart: its encoders, its fusion, what comes after."""

from collections.abc import Callable, Mapping

import keras
import numpy as np
from keras import ops

from mmlearn.datasets import Split
from mmlearn.models import in_order, inputs_from


def nodes(model: keras.Model) -> list:
    """Return the calls of a functional model's layers."""
    return [node for depth in model._nodes_by_depth.values() for node in depth]


def between(inputs: list, outputs: list) -> keras.Model:
    """Return the part of a model from some of its tensors to others.

    Keras notes a new origin on an `Input` that is given beside other tensors: undone
    here, or the whole model could not be saved afterwards.
    """
    origins = [tensor._keras_history for tensor in inputs]
    try:
        return keras.Model(inputs, outputs)
    finally:
        for tensor, origin in zip(inputs, origins, strict=True):
            tensor._keras_history = origin


def encoders(model: keras.Model) -> dict[str, tuple[keras.Model, object]]:
    """Return modality → its encoder and the tensor it gives in this model.

    Only encoders that give one vector are listed: a sequence carries a mask, which
    would be lost between two models.
    """
    taken = {tensor.name for tensor in model.inputs}
    found = {}
    for node in nodes(model):
        part = node.operation
        if not isinstance(part, keras.Model) or len(part.inputs or ()) != 1:
            continue
        name, output = part.inputs[0].name, node.outputs[0]
        if name in taken and len(node.outputs) == 1 and len(output.shape) == 2:
            found[name] = (part, output)
    return found


def predictor(
    model: keras.Model, samples: Split | Mapping[str, np.ndarray]
) -> tuple[Callable, dict[str, np.ndarray]]:
    """Return a quick way to predict again with modalities recombined.

    Where each modality has an encoder that gives a vector, the encoders run once, and
    what comes after them is all that is computed again.

    Args:
        model: A composed model.
        samples: A split, or modality → array (N, ...); all modalities are present.

    Returns:
        A function of modality → array, and the arrays to recombine and give to it.

    Raises:
        ValueError: If the model takes a `presence` mask and modalities are absent.
    """
    names = [tensor.name for tensor in model.inputs]
    given = in_order(model, inputs_from(model, samples))
    arrays = dict(zip(names, given, strict=True))
    if not np.all(ops.convert_to_numpy(arrays.pop("presence", 1))):
        raise ValueError(
            "modalities are absent from these samples: take those that have all, "
            "split.take(np.all(list(split.presence.values()), axis=0))"
        )
    parts = encoders(model)
    run = _after(model, parts, list(arrays))
    if run is not model:
        names.sort(key=lambda name: name == "presence")  # where it is the last
        arrays = {
            name: parts[name][0].predict(array, batch_size=256, verbose=0)
            for name, array in arrays.items()
        }

    def predict(given: Mapping[str, np.ndarray]) -> np.ndarray:
        num = len(next(iter(given.values())))
        values = {**given, "presence": np.ones((num, len(arrays)), "float32")}
        return run.predict([values[name] for name in names], batch_size=1024, verbose=0)

    return predict, arrays


def _after(model: keras.Model, parts: dict, modalities: list[str]):
    """What comes after the encoders, or the whole model where it has no such part."""
    if set(parts) != set(modalities):
        return model
    middle = [parts[name][1] for name in modalities]
    mask = [tensor for tensor in model.inputs if tensor.name == "presence"]
    try:
        return between([*middle, *mask], model.outputs)
    except ValueError:  # a modality goes another way round its encoder, too
        return model
