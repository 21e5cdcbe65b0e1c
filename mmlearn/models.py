"""`fuse`: the few lines that turn encoders, a fusion layer and a head into a model."""

from collections.abc import Mapping, Sequence

import keras

from mmlearn.fusion import ModalityDropout
from mmlearn.layers import ZeroAbsent


@keras.saving.register_keras_serializable(package="mmlearn")
class MultimodalModel(keras.Model):
    """A functional `keras.Model` that takes a dict of modalities and checks it.

    Keras binds a dict's arrays to a functional model's inputs by position, and only
    warns of an extra key. This class binds by name: a missing, extra or mis-shaped
    modality raises one error that names it, in `fit`, `evaluate`, `predict` and calls,
    also after saving and loading. Make one with `fuse`, or from named inputs:
    `MultimodalModel([image, text], outputs)`.
    """

    @property
    def input_spec(self):
        """`None`: the check in `call` replaces Keras's own."""
        return

    def call(self, inputs, training=None, mask=None):
        return super().call(_bound(self, inputs), training=training)

    # Checked before Keras sees the arrays, too: a backend may trace `call` with unknown
    # sizes, where a wrong one could not be noticed.
    def fit(self, x=None, *args, **kwargs):
        _check_arrays(self, x)
        validation = kwargs.get("validation_data")
        if isinstance(validation, list | tuple):
            # Keras would notice after the first epoch only.
            _check_arrays(self, validation[0])
        if self.compiled and not self.optimizer.built:
            # Variables made while TensorFlow traces a step make it trace it twice.
            self.optimizer.build(self.trainable_variables)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        _check_arrays(self, x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x=None, *args, **kwargs):
        _check_arrays(self, x)
        return super().predict(x, *args, **kwargs)


def fuse(
    encoders: Sequence[keras.Model],
    fusion: keras.layers.Layer | None = None,
    head: int | keras.layers.Layer = 2,
    presence: bool = False,
    modality_dropout: float = 0.0,
    name: str | None = None,
) -> MultimodalModel:
    """Compose encoders, a fusion layer and a head into one model.

    h = fusion(f_1(x_1), …, f_M(x_M));  y = head(h)

    Args:
        encoders: One model per modality, each with one named input.
        fusion: Layer from a list of features to one tensor; `None` for one encoder.
        head: Number of classes for a softmax, or any layer or model.
        presence: Add an input `presence`, a mask of shape (B, M), 1 = present: what
            stands in the place of an absent modality has no effect.
        modality_dropout: Rate at which a present modality is hidden while training;
            needs `presence=True`.
        name: Name of the model.

    Returns:
        A model that takes a dict with one array per modality.

    Raises:
        ValueError: If two encoders share a modality's name, an encoder has several
            inputs, or there are several encoders and no fusion.

    Example:
        `fuse([image_encoder, text_encoder], ConcatFusion(), head=10)`
    """
    for encoder in encoders:
        if len(encoder.inputs) != 1:
            raise ValueError(
                f"encoder {encoder.name!r} has {len(encoder.inputs)} inputs, expected 1"
            )
    inputs = [
        keras.Input(
            e.inputs[0].shape[1:], dtype=e.inputs[0].dtype, name=e.inputs[0].name
        )
        for e in encoders
    ]
    names = [tensor.name for tensor in inputs]
    if len(set(names)) != len(names):
        raise ValueError(f"two encoders share a modality: {names}; give each its name=")
    if fusion is None and len(encoders) != 1:
        raise ValueError(f"{len(encoders)} encoders need a fusion layer, got None")
    if presence and fusion is None:
        raise ValueError("presence=True needs a fusion layer, got None")
    if modality_dropout and not presence:
        raise ValueError("modality_dropout hides by the mask: give presence=True too")
    if presence and "presence" in names:
        raise ValueError("a modality is named 'presence', as is the mask: rename it")
    shown, options = inputs, {}
    if presence:
        mask = keras.Input((len(names),), name="presence")
        here = ModalityDropout(modality_dropout)(mask) if modality_dropout else mask
        shown = [ZeroAbsent(m)(x, presence=here) for m, x in enumerate(inputs)]
        inputs, options = [*inputs, mask], {"presence": here}
    features = [encode(x) for encode, x in zip(encoders, shown, strict=True)]
    joint = features[0] if fusion is None else fusion(features, **options)
    head = classification_head(head) if isinstance(head, int) else head
    return MultimodalModel(inputs, head(joint), name=name)


def encoders_of(model: keras.Model) -> dict[str, keras.Model]:
    """Return a composed model's encoders: modality → the model within that reads it."""
    parts = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    singles = [part for part in parts if len(part.inputs or ()) == 1]
    taken = {tensor.name for tensor in model.inputs}
    return {p.inputs[0].name: p for p in singles if p.inputs[0].name in taken}


def classification_head(
    num_classes: int, hidden: int | None = None, dropout: float = 0.0
) -> keras.Sequential:
    """Return a head that turns features into class probabilities.

    y = softmax(W h + b), after a hidden ReLU layer on request. The softmax is float32
    also under mixed precision.

    Args:
        num_classes: Number of classes, at least 2.
        hidden: Width of a hidden layer; `None` for none.
        dropout: Rate of dropout before the last layer.

    Raises:
        ValueError: If `num_classes` is below 2.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}, expected 2 or more")
    steps = []
    if hidden:
        steps.append(keras.layers.Dense(hidden, activation="relu"))
    if dropout:
        steps.append(keras.layers.Dropout(dropout))
    last = keras.layers.Dense(num_classes, activation="softmax", dtype="float32")
    return keras.Sequential([*steps, last], name="head")


def _check_arrays(model: keras.Model, x) -> None:
    arrays = x.values() if isinstance(x, Mapping) else x
    if isinstance(x, Mapping | list | tuple) and all(
        hasattr(a, "shape") for a in arrays
    ):
        _bound(model, x)


def _bound(model: keras.Model, inputs) -> list:
    """Return the inputs in the model's order, checked by name and shape."""
    names = [tensor.name for tensor in model.inputs]
    if isinstance(inputs, Mapping):
        if missing := [name for name in names if name not in inputs]:
            raise ValueError(
                f"modality {missing[0]!r} is missing: this model takes {names}, got "
                f"{list(inputs)}"
            )
        if extra := [name for name in inputs if name not in names]:
            raise ValueError(
                f"modality {extra[0]!r} is unknown to this model, which takes {names}: "
                "leave it out"
            )
        values = [inputs[name] for name in names]
    else:
        values = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        if len(values) != len(names):
            raise ValueError(f"got {len(values)} arrays, this model takes {names}")
    for tensor, value in zip(model.inputs, values, strict=True):
        expected, found = tuple(tensor.shape[1:]), tuple(value.shape[1:])
        if len(expected) != len(found) or any(
            e is not None and f is not None and e != f
            for e, f in zip(expected, found, strict=True)
        ):
            raise ValueError(
                f"modality {tensor.name!r} has shape {('B', *found)}, expected "
                f"{('B', *expected)}"
            )
    return values
