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

    Subclasses set `modality_count` where the maths fixes the number of modalities, and
    override `check_shape` where they take more than vectors.
    """

    modality_count: int | None = None

    def build(self, input_shape):
        names, shapes = self._ordered(input_shape)
        if not all(isinstance(shape, list | tuple) for shape in shapes):
            self._ordered(None)
        expected = self.modality_count
        if len(shapes) < 2 or (expected and len(shapes) != expected):
            many = "modality" if len(shapes) == 1 else "modalities"
            raise ValueError(
                f"{self.name}: got {len(shapes)} {many}, expected "
                f"{expected or '2 or more'}"
            )
        for position, (name, shape) in enumerate(zip(names, shapes, strict=True)):
            self.check_shape(position, name, tuple(shape))
        self.modalities = names
        self.ranks = tuple(len(shape) for shape in shapes)
        self.dims = tuple(shape[-1] for shape in shapes)
        self.build_weights()

    def check_shape(self, position: int, name: str, shape: tuple) -> None:
        """Raise a `ValueError` if this modality's shape does not suit the layer."""
        if len(shape) != 2 or shape[1] is None:
            raise ValueError(
                f"{self.name}: {name} has shape {shape}, expected (B, d); "
                "pool sequences and feature maps to vectors first"
            )

    def build_weights(self) -> None:
        """Create the layer's weights; `self.dims` holds each modality's length."""

    def present(self, inputs, presence=None) -> tuple[list, object]:
        """Return the features in order, absent ones as zeros, and the mask or `None`.

        Raises:
            ValueError: If the modalities, their shapes, or the mask's shape differ from
                what the layer was built for.
        """
        names, features = self._ordered(inputs)
        if names != self.modalities:
            raise ValueError(
                f"{self.name}: got {', '.join(names)}, was built for "
                f"{', '.join(self.modalities)}"
            )
        expected = zip(names, features, self.ranks, self.dims, strict=True)
        for name, x, rank, dim in expected:
            if len(x.shape) != rank or x.shape[-1] != dim:
                wanted = ", ".join(["B", *["…"] * (rank - 2), str(dim)])
                raise ValueError(
                    f"{self.name}: {name} has shape {tuple(x.shape)}, "
                    f"expected ({wanted})"
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
        features = [
            only_where(column(is_present, m, rank), x)
            for m, (x, rank) in enumerate(zip(features, self.ranks, strict=True))
        ]
        return features, is_present

    def matrix(self, name: str, *shape: int):
        """Add a weight matrix (or a stack of them)."""
        return self.add_weight(name=name, shape=shape)

    def vector(self, name: str, *shape: int, start: str = "zeros"):
        """Add a weight that starts as zeros or ones, such as a bias."""
        return self.add_weight(name=name, shape=shape, initializer=start)

    def _ordered(self, inputs) -> tuple[tuple[str, ...], list]:
        if isinstance(inputs, Mapping):
            names = tuple(sorted(inputs))
            return names, [inputs[name] for name in names]
        if not isinstance(inputs, list | tuple):
            raise ValueError(
                f"{self.name}: got one tensor, expected a list or a dict of features"
            )
        return tuple(f"input {m}" for m in range(len(inputs))), list(inputs)

    def _check_batch(self, name: str, x, first) -> None:
        # One sample would be broadcast to the others' number without a word.
        if None not in (x.shape[0], first.shape[0]) and x.shape[0] != first.shape[0]:
            raise ValueError(
                f"{self.name}: {name} has {x.shape[0]} samples, expected "
                f"{first.shape[0]} as in {self.modalities[0]}"
            )


def column(mask, m: int, rank: int = 2):
    """Return a mask's column m, shape (B, 1, …), to broadcast over features."""
    chosen = mask[:, m : m + 1]
    return chosen if rank == 2 else ops.reshape(chosen, (-1, *[1] * (rank - 1)))


def only_where(mask, x):
    """Return x where the mask is true, else 0; a product would keep NaN: 0 · NaN."""
    return ops.where(mask, x, ops.zeros_like(x))


def softmax_over_present(scores, is_present=None):
    """Return softmax over the last axis; absent entries get 0 and leave the sum.

    Args:
        scores: Shape (B, M).
        is_present: Boolean (B, M), or `None` where all are present.

    Returns:
        Shares of shape (B, M); a row without any present entry is all 0.
    """
    if is_present is None:
        return ops.softmax(scores, axis=-1)
    # A finite low score, so that a row without any modality stays finite.
    shares = ops.softmax(ops.where(is_present, scores, ops.full_like(scores, -3e4)))
    return shares * ops.cast(is_present, shares.dtype)


def require_positive(layer: keras.layers.Layer, **sizes: int | None) -> None:
    """Raise a `ValueError` naming the first size that is not a whole number ≥ 1."""
    for name, size in sizes.items():
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f"{layer.name}: {name} is {size!r}, expected 1 or more")
