"""Fusion by products of features: every interaction, in full or at low rank."""

import math

import keras
from keras import ops

from mmlearn.fusion.base import Fusion, require_positive

FORMS = ("matrix", "vector", "scalar")


@keras.saving.register_keras_serializable(package="mmlearn")
class TensorFusion(Fusion):
    """Outer product of all modalities: single, pairwise, … and M-fold products.

    z = [1; x_1] ⊗ … ⊗ [1; x_M], flattened with the last modality's index running
    fastest;  h = K z + b  where `units` is given. Then z is never made: the modalities
    are split in two groups with outer products L and R, and h_u = Σ_r (L K)_ru R_r.

    An absent modality counts as x_m = 0: the products without it remain.
    Zadeh et al. 2017, https://arxiv.org/abs/1707.07250

    Args:
        units: Length of h; `None` returns z itself, of length Π (d_m + 1).

    Weights:
        With `units`: `kernel` (Π (d_m + 1), units), `bias` (units,).

    Call arguments:
        inputs: List or dict of features of shape (B, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.

    Returns:
        Features of shape (B, units), or (B, Π (d_m + 1)).

    Example:
        >>> x = [keras.Input((3,)), keras.Input((4,))]
        >>> TensorFusion()(x).shape, TensorFusion(units=5)(x).shape
        ((None, 20), (None, 5))
    """

    def __init__(self, units: int | None = None, **kwargs):
        super().__init__(**kwargs)
        require_positive(self, units=units)
        self.units = units

    def build_weights(self):
        if self.units is None:
            return
        sizes = [dim + 1 for dim in self.dims]
        self.kernel = self.matrix("kernel", math.prod(sizes), self.units)
        self.bias = self.vector("bias", self.units)
        # Where to split, so that the largest tensor on the way is smallest.
        self.split = min(
            range(1, len(sizes)),
            key=lambda m: math.prod(sizes[:m]) + math.prod(sizes[m:]) * self.units,
        )

    def call(self, inputs, presence=None):
        features, _ = self.present(inputs, presence)
        augmented = [with_one(x) for x in features]
        if self.units is None:
            return _outer(augmented)
        left, right = _outer(augmented[: self.split]), _outer(augmented[self.split :])
        rows, columns = left.shape[1], right.shape[1]
        kernel = ops.reshape(self.kernel, (rows, columns * self.units))
        half = ops.reshape(ops.matmul(left, kernel), (-1, columns, self.units))
        return ops.einsum("br,bru->bu", right, half) + self.bias

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="mmlearn")
class LowRankFusion(Fusion):
    """Tensor fusion with a kernel of low rank: M factors instead of one huge kernel.

    h = Σ_r w_r Π_m (F_m[r]ᵀ [1; x_m]) + b

    An absent modality counts as x_m = 0. Liu et al. 2018,
    https://arxiv.org/abs/1806.00064

    Args:
        units: Length of h.
        rank: Number of terms.

    Weights:
        `factor_m` (rank, d_m + 1, units): F_m, the constant's row first;
        `rank_weights` (rank,): w; `bias` (units,).

    Call arguments:
        inputs: List or dict of features of shape (B, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.

    Returns:
        Features of shape (B, units).

    Example:
        >>> LowRankFusion(8, rank=2)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    def __init__(self, units: int, *, rank: int = 4, **kwargs):
        super().__init__(**kwargs)
        require_positive(self, units=units, rank=rank)
        self.units, self.rank = units, rank

    def build_weights(self):
        self.factors = [
            self.add_weight(
                name=f"factor_{m}",
                shape=(self.rank, dim + 1, self.units),
                # Each term of the product keeps the size of its modality's features.
                initializer=keras.initializers.RandomNormal(stddev=(dim + 1) ** -0.5),
            )
            for m, dim in enumerate(self.dims)
        ]
        self.rank_weights = self.add_weight(
            name="rank_weights",
            shape=(self.rank,),
            initializer=keras.initializers.RandomNormal(stddev=self.rank**-0.5),
        )
        self.bias = self.vector("bias", self.units)

    def call(self, inputs, presence=None):
        features, _ = self.present(inputs, presence)
        terms = 1
        for x, factor in zip(features, self.factors, strict=True):
            terms = terms * ops.einsum("bd,rdu->bru", with_one(x), factor)
        return ops.einsum("r,bru->bu", self.rank_weights, terms) + self.bias

    def get_config(self):
        return {**super().get_config(), "units": self.units, "rank": self.rank}


@keras.saving.register_keras_serializable(package="mmlearn")
class MultiplicativeInteraction(Fusion):
    """A layer on the second input whose weights are computed from the first.

    h = x_2 · (x_1 W + V) + (x_1 U + b)

    In the form "matrix", x_1 W + V has shape (d_2, units); in "vector" and "scalar" the
    weights scale x_2, feature by feature or as a whole. An absent modality counts as
    zeros. Jayakumar et al. 2020,
    https://openreview.net/forum?id=rylnK6VtDH

    Args:
        units: Length of h in the matrix form; the others keep x_2's length.
        form: `"matrix"`, `"vector"` or `"scalar"`.

    Weights:
        form      `kernel` W         `second_kernel` V   `first_kernel` U   `bias` b
        matrix    (d_1, d_2, units)  (d_2, units)        (d_1, units)       (units,)
        vector    (d_1, d_2)         (d_2,)              (d_1, d_2)         (d_2,)
        scalar    (d_1,)             (1,)                (d_1,)             (1,)

    Call arguments:
        inputs: List or dict of two features of shape (B, d_m).
        presence: Mask of shape (B, 2), 1 = present; `None` means both are present.

    Returns:
        Features of shape (B, units), or (B, d_2).

    Raises:
        ValueError: If the form is unknown, or `units` does not go with it.

    Example:
        >>> MultiplicativeInteraction(8)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    modality_count = 2

    def __init__(self, units: int | None = None, *, form: str = "matrix", **kwargs):
        super().__init__(**kwargs)
        if form not in FORMS:
            raise ValueError(
                f"{self.name}: form is {form!r}, choose one of {', '.join(FORMS)}"
            )
        if (units is None) == (form == "matrix"):
            raise ValueError(
                f"{self.name}: units is {units} with form={form!r}: the matrix form "
                "needs units, the others keep the second input's length"
            )
        require_positive(self, units=units)
        self.units, self.form = units, form

    def build_weights(self):
        first, second = self.dims
        if self.form == "matrix":
            tail = (self.units,)
            kernel, v, u = (first, second, *tail), (second, *tail), (first, *tail)
        elif self.form == "vector":
            tail = (second,)
            kernel, v, u = (first, second), tail, (first, second)
        else:
            tail = (1,)
            kernel, v, u = (first,), tail, (first,)
        limit = math.sqrt(6 / (first + second + (self.units or 0)))
        uniform = keras.initializers.RandomUniform(-limit, limit)
        # What scales the second input starts at 1: nothing is lost at the beginning.
        scale = "glorot_uniform" if self.form == "matrix" else "ones"
        self.kernel = self.add_weight(name="kernel", shape=kernel, initializer=uniform)
        self.second_kernel = self.add_weight(
            name="second_kernel", shape=v, initializer=scale
        )
        self.first_kernel = self.add_weight(
            name="first_kernel", shape=u, initializer=uniform
        )
        self.bias = self.vector("bias", *tail)

    def call(self, inputs, presence=None):
        (first, second), _ = self.present(inputs, presence)
        if self.form == "matrix":
            width = self.dims[1] * self.units
            kernel = ops.reshape(self.kernel, (self.dims[0], width))
            weights = ops.reshape(
                ops.matmul(first, kernel), (-1, self.dims[1], self.units)
            )
            product = ops.einsum("bj,bju->bu", second, weights)
            product = product + ops.matmul(second, self.second_kernel)
            return product + ops.matmul(first, self.first_kernel) + self.bias
        if self.form == "vector":
            weights = ops.matmul(first, self.kernel) + self.second_kernel
            shift = ops.matmul(first, self.first_kernel) + self.bias
        else:
            weights = _dot(first, self.kernel) + self.second_kernel
            shift = _dot(first, self.first_kernel) + self.bias
        return second * weights + shift

    def get_config(self):
        return {**super().get_config(), "units": self.units, "form": self.form}


def with_one(x):
    """Return [1; x], shape (B, d + 1)."""
    return ops.pad(x, [[0, 0], [1, 0]], constant_values=1)


def _dot(x, vector):
    return ops.matmul(x, ops.expand_dims(vector, -1))


def _outer(features: list):
    """Flattened outer product, the last one's index fastest: shape (B, Π d_m)."""
    product = features[0]
    for x in features[1:]:
        length = product.shape[1] * x.shape[1]
        product = ops.expand_dims(product, 2) * ops.expand_dims(x, 1)
        product = ops.reshape(product, (-1, length))
    return product
