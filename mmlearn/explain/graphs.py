"""A composed model taken apart: its encoders, its fusion, what comes after."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from mmlearn.datasets import Split
from mmlearn.models import in_order, inputs_from
from mmlearn.runtime import full_precision


class Call(NamedTuple):
    """One call of a layer within a model: what it was given, and what it gave."""

    layer: keras.layers.Layer
    args: tuple
    kwargs: dict
    output: object


def opened(model: keras.Model) -> tuple[keras.Model, list[Call]]:
    """Return a model's twin, and the calls of its layers from inputs to outputs.

    The twin has the same layers and weights, but tensors of its own: models made from
    them leave the graph of the given model as it is.
    """
    calls = []

    def noted(layer, *args, **kwargs):
        output = layer(*args, **kwargs)
        calls.append(Call(layer, args, kwargs, output))
        return output

    # A plain model: a `Sequential` has no calls, and a compiled one would compile anew.
    plain = keras.Model(model.inputs, model.outputs)
    twin = keras.models.clone_model(
        plain, clone_function=lambda layer: layer, call_function=noted
    )
    return twin, calls


def encoders(
    model: keras.Model, calls: list[Call]
) -> dict[str, tuple[keras.Model, object]]:
    """Return modality → its encoder and the tensor it gives in an opened model.

    Only encoders that give one vector are listed: a sequence carries a mask, which
    would be lost between two models.
    """
    taken = {tensor.name for tensor in model.inputs}
    found = {}
    for part, _, _, output in calls:
        if not isinstance(part, keras.Model) or len(part.inputs or ()) != 1:
            continue
        name = part.inputs[0].name
        if name in taken and len(part.outputs) == 1 and len(output.shape) == 2:
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
    twin, calls = opened(model)
    parts = encoders(twin, calls)
    rest = _after(twin, parts, list(arrays))
    run = model if rest is None else rest
    if run is not model:
        names.sort(key=lambda name: name == "presence")  # where it is the last
        arrays = {
            name: full_precision(
                parts[name][0].predict(array, batch_size=256, verbose=0)
            )
            for name, array in arrays.items()
        }

    def predict(given: Mapping[str, np.ndarray]) -> np.ndarray:
        num = len(next(iter(given.values())))
        values = {**given, "presence": np.ones((num, len(arrays)), "float32")}
        given = [values[name] for name in names]
        return full_precision(run.predict(given, batch_size=1024, verbose=0))

    return predict, arrays


def _after(model: keras.Model, parts: dict, modalities: list[str]):
    """What comes after an opened model's encoders; `None` where nothing does."""
    if set(parts) != set(modalities):
        return None
    middle = [parts[name][1] for name in modalities]
    mask = [tensor for tensor in model.inputs if tensor.name == "presence"]
    try:
        return keras.Model([*middle, *mask], model.outputs)
    except ValueError:  # a modality goes another way round its encoder, too
        return None
