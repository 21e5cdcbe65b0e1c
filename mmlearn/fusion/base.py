"""What every fusion layer shares: order of modalities, shape checks, presence masks."""

from collections.abc import Mapping

import keras
from keras import ops


class Fusion(keras.layers.Layer):
    """Base of the layers that fuse one feature vector per modality.

    Inputs are a list of tensors of shape (B, d_m), or a dict of them; a dict is taken
    in the alphabetical order of its keys, whatever order it was written in.

    A presence mask of shape (B, M), 1 = present, may be passed as `presence`. The
    content of an absent modality, even NaN, has no effect on the output.
    """

    def build(self, input_shape):
        names, shapes = _ordered(input_shape)
        if not all(isinstance(shape, list | tuple) for shape in shapes):
            raise ValueError(
                f"{self.name}: got one tensor, expected a list or a dict of features"
            )
        if len(shapes) < 2:
            raise ValueError(
                f"{self.name}: got {len(shapes)} modality, expected 2 or more"
            )
        for name, shape in zip(names, shapes, strict=True):
            if len(shape) != 2 or shape[1] is None:
                raise ValueError(
                    f"{self.name}: {name} has shape {tuple(shape)}, expected (B, d); "
                    "pool sequences and feature maps to vectors first"
                )
        self.modalities = names
        self.dims = tuple(shape[1] for shape in shapes)
        self.build_weights()

    def build_weights(self) -> None:
        """Create the layer's weights; `self.dims` holds each modality's length."""

    def present(self, inputs, presence=None) -> tuple[list, object]:
        """Return the features in order, absent ones as zeros, and the mask or `None`.

        Raises:
            ValueError: If the modalities, their shapes, or the mask's shape differ from
                what the layer was built for.
        """
        names, features = _ordered(inputs)
        if names != self.modalities:
            raise ValueError(
                f"{self.name}: got {', '.join(names)}, was built for "
                f"{', '.join(self.modalities)}"
            )
        for name, x, dim in zip(names, features, self.dims, strict=True):
            if len(x.shape) != 2 or x.shape[1] != dim:
                raise ValueError(
                    f"{self.name}: {name} has shape {tuple(x.shape)}, "
                    f"expected (B, {dim})"
                )
            self._check_batch(name, x, features[0])
        if presence is None:
            return features, None
        if len(presence.shape) != 2 or presence.shape[1] != len(features):
            raise ValueError(
                f"{self.name}: presence has shape {tuple(presence.shape)}, expected "
                f"(B, {len(features)}), one column a modality"
            )
        self._check_batch("presence", presence, features[0])
        is_present = ops.cast(presence, "bool")
        # `where`, not a product: 0 · NaN is NaN.
        features = [
            ops.where(is_present[:, m : m + 1], x, ops.zeros_like(x))
            for m, x in enumerate(features)
        ]
        return features, is_present

    def _check_batch(self, name: str, x, first) -> None:
        # One sample would be broadcast to the others' number without a word.
        if None not in (x.shape[0], first.shape[0]) and x.shape[0] != first.shape[0]:
            raise ValueError(
                f"{self.name}: {name} has {x.shape[0]} samples, expected "
                f"{first.shape[0]} as in {self.modalities[0]}"
            )


def _ordered(inputs) -> tuple[tuple[str, ...], list]:
    if isinstance(inputs, Mapping):
        names = tuple(sorted(inputs))
        return names, [inputs[name] for name in names]
    if not isinstance(inputs, list | tuple):
        raise ValueError("fusion takes a list or a dict of features, one per modality")
    return tuple(f"input {m}" for m in range(len(inputs))), list(inputs)
