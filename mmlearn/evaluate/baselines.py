"""The single-modality models that every fusion must beat, made from its own parts."""

from collections.abc import Callable, Sequence
from functools import partial

import keras

from mmlearn import models
from mmlearn.datasets import MultimodalDataset
from mmlearn.evaluate.metrics import task_of
from mmlearn.layers import MaskedMean

Build = Callable[[], keras.Model]
Outputs = tuple[str, int]
"""The task (see `metrics.task_of`), and the number of the model's outputs."""


def singles(builds: Sequence[Build], data: MultimodalDataset) -> dict[str, Build]:
    """Modality → function that builds a candidate's encoder of it, and a head."""
    outputs, found = outputs_of(data), {}
    for build in builds:
        parts = models.encoders_of(build())
        found |= {m: partial(alone, build, m, outputs) for m in parts if m not in found}
    if missing := [m for m in data.modalities if m not in found]:
        raise ValueError(
            f"no candidate has an encoder model for {missing[0]!r}: compose them with "
            f"models.fuse, or give singles={{{missing[0]!r}: build, ...}}"
        )
    return {m: found[m] for m in data.modalities}


def alone(build: Build, modality: str, outputs: Outputs) -> keras.Model:
    """A model of one modality: a candidate's encoder of it, and a head."""
    encoder = models.encoders_of(build())[modality]
    source = encoder.inputs[0]
    x = keras.Input(source.shape[1:], dtype=source.dtype, name=modality)
    return models.MultimodalModel([x], _head(outputs)(_vector(encoder(x))))


def enlarged(build: Build, modality: str, size: int, outputs: Outputs) -> keras.Model:
    """A model of one modality with `size` weights: copies of its encoder, a layer."""
    encoder = models.encoders_of(build()).get(modality)
    if encoder is None:
        raise ValueError(
            f"the model of {modality!r} has no encoder model to enlarge: give larger="
        )
    own, features = encoder.count_params(), encoder.output_shape[-1]
    num = outputs[1]
    copies = max(1, (size - num) // (own + features * num))
    parts = [encoder]
    for number in range(1, copies):
        parts.append(models.encoders_of(build())[modality])
        parts[-1].name = f"{encoder.name}_{number}"
    source = encoder.inputs[0]
    x = keras.Input(source.shape[1:], dtype=source.dtype, name=modality)
    h = [_vector(part(x)) for part in parts]
    h = keras.layers.Concatenate()(h) if copies > 1 else h[0]
    # A layer narrower than the outputs would be a bottleneck.
    each, rest = copies * features + 1 + num, size - copies * own - num
    hidden = max(num, round(rest / each))
    if abs(rest - hidden * each) < abs(rest - copies * features * num):
        h = keras.layers.Dense(hidden, activation="relu")(h)
    return models.MultimodalModel([x], _head(outputs)(h))


def outputs_of(data: MultimodalDataset) -> Outputs:
    """What a model of these data gives."""
    task = task_of(data.train.labels)
    if task == "multilabel":
        return task, data.train.labels.shape[1]
    return task, data.num_classes if task == "classes" else 1


def _vector(features):
    """One vector per sample: the mean of a sequence."""
    return MaskedMean()(features) if len(features.shape) == 3 else features


def _head(outputs: Outputs) -> keras.layers.Layer:
    task, num = outputs
    if task == "classes":
        return models.classification_head(num)
    activation = "sigmoid" if task == "multilabel" else None
    return keras.layers.Dense(num, activation=activation, dtype="float32")
