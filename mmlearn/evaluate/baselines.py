"""The single-modality models that every fusion must beat, made from its own parts."""

from collections.abc import Callable, Sequence
from functools import partial

import keras

from mmlearn import models
from mmlearn.datasets import MultimodalDataset
from mmlearn.evaluate.metrics import task_of

Build = Callable[[], keras.Model]


def singles(builds: Sequence[Build], data: MultimodalDataset) -> dict[str, Build]:
    """Modality → function that builds a candidate's encoder of it, and a head."""
    found = {}
    for build in builds:
        parts = models.encoders_of(build())
        found |= {m: partial(alone, build, m, data) for m in parts if m not in found}
    if missing := [m for m in data.modalities if m not in found]:
        raise ValueError(
            f"no candidate has an encoder model for {missing[0]!r}: compose them with "
            f"models.fuse, or give singles={{{missing[0]!r}: build, ...}}"
        )
    return {m: found[m] for m in data.modalities}


def alone(build: Build, modality: str, data: MultimodalDataset) -> keras.Model:
    return models.fuse([models.encoders_of(build())[modality]], head=_head(data))


def enlarged(build: Build, modality: str, size: int, data) -> keras.Model:
    """A model of one modality with `size` weights: copies of its encoder, a layer."""
    encoder = models.encoders_of(build()).get(modality)
    if encoder is None:
        raise ValueError(
            f"the model of {modality!r} has no encoder model to enlarge: give larger="
        )
    own, features = encoder.count_params(), encoder.output_shape[-1]
    outputs = _num_outputs(data)
    copies = max(1, (size - outputs) // (own + features * outputs))
    parts = [encoder]
    for number in range(1, copies):
        parts.append(models.encoders_of(build())[modality])
        parts[-1].name = f"{encoder.name}_{number}"
    source = encoder.inputs[0]
    x = keras.Input(source.shape[1:], dtype=source.dtype, name=modality)
    h = [part(x) for part in parts]
    h = keras.layers.Concatenate()(h) if copies > 1 else h[0]
    hidden = round((size - copies * own - outputs) / (copies * features + 1 + outputs))
    if hidden >= outputs:
        h = keras.layers.Dense(hidden, activation="relu")(h)
    return models.MultimodalModel([x], _head(data)(h))


def _num_outputs(data: MultimodalDataset) -> int:
    labels = data.train.labels
    task = task_of(labels)
    return {"classes": data.num_classes, "regression": 1}.get(task) or labels.shape[1]


def _head(data: MultimodalDataset) -> keras.layers.Layer:
    task, num = task_of(data.train.labels), _num_outputs(data)
    if task == "classes":
        return models.classification_head(num)
    activation = "sigmoid" if task == "multilabel" else None
    return keras.layers.Dense(num, activation=activation, dtype="float32")
