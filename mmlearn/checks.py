"""What arrays may not hold: found before training, said with the modality's name."""

from collections.abc import Mapping
from types import FunctionType
from typing import Any

import keras
import numpy as np
from keras import ops


def arrays(
    given: Mapping[str, Any],
    mask: Any | None,
    encoders: Mapping[str, keras.Model],
) -> None:
    """Refuse what a backend would read as something else, or train to NaN on.

    Args:
        given: Modality → array or tensor (N, ...).
        mask: What is present, (N, M) in the order of `given`; `None` for all.
        encoders: Modality → the model that reads it, where there is one.

    Raises:
        ValueError: If there is NaN or infinity where the modality is present, an id for
            which the encoder has no vector, or pixels of 0 to 1 where it scales 0 to
            255 itself.
    """
    present = None if mask is None else _numpy(mask)
    for place, (name, array) in enumerate(given.items()):
        array = _numpy(array)
        if array is None or not array.size:
            continue
        there = True if present is None else present[:, place] > 0
        _finite(
            repr(name),
            array,
            there,
            "fill them, or say by presence that the modality is absent",
        )
        if name in encoders:
            _pixels(name, array, encoders[name])
            _ids(name, array, encoders[name])


def labels(model: keras.Model, y: Any) -> None:
    """Refuse labels that the head cannot give, which some backends train on.

    Args:
        model: A compiled model; of one with several outputs or losses, or a loss that
            is not Keras's, nothing is known.
        y: Labels of shape (N,) or (N, K).

    Raises:
        ValueError: If a class has no column in the head, or a label is NaN.
    """
    y = None if isinstance(y, Mapping | list | tuple) else _numpy(y)
    if y is None or not y.size or len(model.outputs) > 1:
        return
    loss = getattr(model, "loss", None)
    kind = loss if isinstance(loss, FunctionType) else type(loss)
    if not isinstance(loss, str) and not kind.__module__.startswith("keras."):
        return  # several, none yet, or one's own
    _finite("y", y, True, "leave these samples out, or fill them")
    loss = getattr(loss, "name", getattr(loss, "__name__", loss))
    num = model.output_shape[-1]
    if loss == "sparse_categorical_crossentropy" and num == 1:
        raise ValueError(
            "the head has one column, and sparse_categorical_crossentropy wants one "
            "for each class: compile with binary_crossentropy, or end in Dense(2, "
            "'softmax')"
        )
    most = {"sparse_categorical_crossentropy": num, "binary_crossentropy": 2}.get(loss)
    if most and (y.min() < 0 or y.max() >= most):
        raise ValueError(
            f"labels are {y.min()} to {y.max()}, expected 0 to {most - 1} for a head "
            f"of {num} columns and {loss}"
        )


class Finite(keras.callbacks.Callback):
    """Stop a training whose loss is no number, and say which features were largest.

    The model gets back the weights that it had before that epoch.

    Args:
        given: What `fit` was given; only of arrays the features can be looked at.
        encoders: Modality → the model that reads it.
    """

    def __init__(self, given: Any, encoders: Mapping[str, keras.Model]):
        super().__init__()
        self.given = given if isinstance(given, Mapping) else {}
        self.encoders = encoders

    def on_epoch_begin(self, epoch, logs=None):
        self.weights = self.model.get_weights()

    def on_epoch_end(self, epoch, logs=None):
        if np.isfinite((logs or {}).get("loss", 0.0)):
            return
        self.model.set_weights(self.weights)
        largest = {name: self._largest(name) for name in self.encoders}
        told = ", ".join(f"{v:.3g} of {n!r}" for n, v in largest.items() if v)
        raise ValueError(
            f"the loss became NaN or infinite in epoch {epoch + 1}"
            + (f"; the largest features before it were {told}" if told else "")
            + ": lower the learning rate, or bring the inputs to a common scale"
        )

    def _largest(self, name: str) -> float | None:
        array = _numpy(self.given.get(name))
        if array is None or not len(array):
            return None
        features = self.encoders[name](ops.convert_to_tensor(array[:256]))
        return float(np.abs(ops.convert_to_numpy(features).astype("float64")).max())


def _numpy(array: Any) -> np.ndarray | None:
    """An array or a tensor as an array; `None` for others, such as ragged ones."""
    if ops.is_tensor(array):
        return ops.convert_to_numpy(array)
    return np.asarray(array) if hasattr(array, "__array__") else None


def _finite(what: str, array: np.ndarray, there: Any, advice: str) -> None:
    """Refuse NaN and infinity, but in samples that are not there."""
    if array.dtype.kind != "f":
        return
    whole = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if len(bad := np.flatnonzero(~whole & there)):
        raise ValueError(
            f"{what} holds NaN or infinity in {len(bad)} of {len(whole)} samples, "
            f"the first is {bad[0]}: {advice}"
        )


def _ids(name: str, ids: np.ndarray, encoder: keras.Model) -> None:
    """Refuse ids for which the encoder has no vector."""
    known = [
        layer.input_dim
        for layer in encoder.layers
        if isinstance(layer, keras.layers.Embedding)
    ]
    if len(known) != 1:
        return
    if ids.dtype.kind == "f" and (ids != np.round(ids)).any():
        raise ValueError(f"ids of {name!r} are {ids.dtype}, expected whole numbers")
    if ids.min() < 0 or ids.max() >= known[0]:
        raise ValueError(
            f"ids of {name!r} are {ids.min():.0f} to {ids.max():.0f}, but its encoder "
            f"has {known[0]} of them, from 0: was it made for another tokenizer?"
        )


def _pixels(name: str, pixels: np.ndarray, encoder: keras.Model) -> None:
    """Refuse pixels of 0 to 1 where an encoder scales 0 to 255 itself: all is dark."""
    if pixels.dtype.kind != "f":
        return
    most = pixels.max()
    if (0 < most <= 1 or most > 256) and _scales_bytes(encoder):
        raise ValueError(
            f"pixels of {name!r} are {pixels.min():.3g} to {most:.5g}, but its encoder "
            "was made for 0 to 255, and scales them itself: give the picture's own "
            "numbers"
        )


def _scales_bytes(encoder: keras.Model) -> bool:
    return any(
        np.all(np.asarray(layer.scale) < 0.1)
        if isinstance(layer, keras.layers.Rescaling)
        else isinstance(layer, keras.Model) and _scales_bytes(layer)
        for layer in encoder.layers
    )
