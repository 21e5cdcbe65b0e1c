"""Joint (feature-level) fusion of one vector per modality."""

import functools

import keras
from keras import ops

from mmlearn.fusion.base import (
    Fusion,
    column,
    only_where,
    require_positive,
    softmax_over_present,
)


@keras.saving.register_keras_serializable(package="mmlearn")
class ConcatFusion(Fusion):
    """Put the features side by side.

    h = [x_1; …; x_M], an absent modality as zeros

    Args:
        append_presence: Append the presence mask to h, so that "absent" and "all
            zeros" differ.

    Call arguments:
        inputs: List or dict of features of shape (B, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.

    Returns:
        Features of shape (B, Σ d_m), or (B, Σ d_m + M) with the mask.

    Example:
        >>> ConcatFusion()([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 7)
    """

    def __init__(self, *, append_presence: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.append_presence = append_presence

    def call(self, inputs, presence=None):
        features, is_present = self.present(inputs, presence)
        h = ops.concatenate(features, axis=-1)
        if not self.append_presence:
            return h
        if is_present is None:
            mask = ops.ones((ops.shape(h)[0], len(features)), dtype=h.dtype)
        else:
            mask = ops.cast(is_present, h.dtype)
        return ops.concatenate([h, mask], axis=-1)

    def get_config(self):
        return {**super().get_config(), "append_presence": self.append_presence}


class _Elementwise(Fusion):
    """Base of the layers that combine vectors of one length element by element."""

    def __init__(self, embed_dim: int | None = None, **kwargs):
        super().__init__(**kwargs)
        require_positive(self, embed_dim=embed_dim)
        self.embed_dim = embed_dim

    def build_weights(self):
        if self.embed_dim is not None:
            self.projections = [
                self.matrix(f"projection_{m}", dim, self.embed_dim)
                for m, dim in enumerate(self.dims)
            ]
            return
        for name, dim in zip(self.modalities, self.dims, strict=True):
            if dim != self.dims[0]:
                raise ValueError(
                    f"{self.name}: {name} has {dim} features, {self.modalities[0]} has "
                    f"{self.dims[0]}: give embed_dim= to project them to one length"
                )

    def call(self, inputs, presence=None):
        features, is_present = self.present(inputs, presence)
        if self.embed_dim is not None:
            pairs = zip(features, self.projections, strict=True)
            features = [ops.matmul(x, kernel) for x, kernel in pairs]
        return self.combine(features, is_present)

    def combine(self, features: list, is_present):
        """Return one vector from vectors of one length; absent ones are zeros."""
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), "embed_dim": self.embed_dim}


@keras.saving.register_keras_serializable(package="mmlearn")
class SumFusion(_Elementwise):
    """Add the features of the modalities that are present.

    h = Σ_m W_m x_m; 0 where all are absent

    Args:
        embed_dim: Length to project to by W_m; `None` for no projection: all
            modalities then need the same length.

    Weights:
        `projection_m` (d_m, embed_dim): W_m.

    Call arguments:
        inputs: List or dict of features of shape (B, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.

    Returns:
        Features of shape (B, embed_dim).

    Example:
        >>> SumFusion(embed_dim=8)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    def combine(self, features, is_present):
        return sum(features[1:], start=features[0])


@keras.saving.register_keras_serializable(package="mmlearn")
class MeanFusion(_Elementwise):
    """Average the features of the modalities that are present.

    h = Σ_m p_m W_m x_m / Σ_m p_m; 0 where all are absent. Arguments, weights and
    shapes as in `SumFusion`.

    Example:
        >>> MeanFusion(embed_dim=8)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    def combine(self, features, is_present):
        total = sum(features[1:], start=features[0])
        if is_present is None:
            return total / len(features)
        count = ops.sum(ops.cast(is_present, total.dtype), axis=-1, keepdims=True)
        return total / ops.maximum(count, 1)


@keras.saving.register_keras_serializable(package="mmlearn")
class MaxFusion(_Elementwise):
    """Take the largest of each feature over the modalities that are present.

    h_k = max_m (W_m x_m)_k; 0 where all are absent. Arguments, weights and shapes as in
    `SumFusion`.

    Example:
        >>> MaxFusion(embed_dim=8)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    def combine(self, features, is_present):
        if is_present is None:
            return functools.reduce(ops.maximum, features)
        kept = [
            ops.where(column(is_present, m), x, ops.full_like(x, -float("inf")))
            for m, x in enumerate(features)
        ]
        h = functools.reduce(ops.maximum, kept)
        return only_where(ops.any(is_present, axis=-1, keepdims=True), h)


@keras.saving.register_keras_serializable(package="mmlearn")
class ProductFusion(_Elementwise):
    """Multiply the features of the modalities that are present (Hadamard product).

    h = Π_m W_m x_m; the empty product, 1, where all are absent. Arguments, weights and
    shapes as in `SumFusion`.

    Example:
        >>> ProductFusion(embed_dim=8)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    def combine(self, features, is_present):
        if is_present is not None:
            features = [
                ops.where(column(is_present, m), x, ops.ones_like(x))
                for m, x in enumerate(features)
            ]
        h = features[0]
        for x in features[1:]:
            h = h * x
        return h


@keras.saving.register_keras_serializable(package="mmlearn")
class WeightedFusion(Fusion):
    """Project the features to a common length and add them with learned weights.

    h = Σ_m α_m W_m x_m,  α = softmax(a)                        (`per_sample=False`)
    h = Σ_m α_m(x) W_m x_m,  α(x) = softmax(V [x_1; …; x_M])    (`per_sample=True`)

    An absent modality leaves the softmax: the others share its weight. Where all are
    absent, h is 0.

    Args:
        embed_dim: Length of h.
        per_sample: Compute the weights from the sample, instead of learning one per
            modality.

    Weights:
        `projection_m` (d_m, embed_dim) for m = 0..M-1: W_m.
        `scores` (M,): a; or, per sample, `score_kernel` (Σ d_m, M): Vᵀ.

    Call arguments:
        inputs: List or dict of features of shape (B, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.
        return_weights: Return α, of shape (B, M), too.

    Returns:
        Features of shape (B, embed_dim); with `return_weights`, a pair.

    Example:
        >>> x = [keras.Input((3,)), keras.Input((4,))]
        >>> h, weights = WeightedFusion(embed_dim=8)(x, return_weights=True)
        >>> h.shape, weights.shape
        ((None, 8), (None, 2))
    """

    def __init__(self, embed_dim: int, *, per_sample: bool = False, **kwargs):
        super().__init__(**kwargs)
        require_positive(self, embed_dim=embed_dim)
        self.embed_dim, self.per_sample = embed_dim, per_sample

    def build_weights(self):
        self.projections = [
            self.matrix(f"projection_{m}", dim, self.embed_dim)
            for m, dim in enumerate(self.dims)
        ]
        if self.per_sample:
            self.score_kernel = self.vector(
                "score_kernel", sum(self.dims), len(self.dims)
            )
        else:
            self.scores = self.vector("scores", len(self.dims))

    def call(self, inputs, presence=None, return_weights=False):
        features, is_present = self.present(inputs, presence)
        if self.per_sample:
            scores = ops.matmul(ops.concatenate(features, axis=-1), self.score_kernel)
        else:
            rows = ops.zeros((ops.shape(features[0])[0], 1), dtype=features[0].dtype)
            scores = rows + self.scores
        weights = softmax_over_present(scores, is_present)
        h = sum(
            weights[:, m : m + 1] * ops.matmul(x, kernel)
            for m, (x, kernel) in enumerate(
                zip(features, self.projections, strict=True)
            )
        )
        return (h, weights) if return_weights else h

    def get_config(self):
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "per_sample": self.per_sample,
        }


@keras.saving.register_keras_serializable(package="mmlearn")
class DeepSetFusion(Fusion):
    """Sum of encoded modalities, then a layer on the sum: for any subset of modalities.

    h = ρ(Σ_m φ_m(x_m)),  φ_m(x) = relu(W_m x + b_m),  ρ(s) = relu(V s + c)

    Absent modalities leave the sum. Zaheer et al. 2017, https://arxiv.org/abs/1703.06114

    Args:
        embed_dim: Length of φ_m.
        units: Length of h; `None` for `embed_dim`.
        shared: One φ for all modalities, which then need the same length: h does not
            depend on their order.

    Weights:
        `kernel_m` (d_m, embed_dim) and `bias_m` (embed_dim,), only m = 0 when shared;
        `output_kernel` (embed_dim, units) and `output_bias` (units,).

    Call arguments:
        inputs: List or dict of features of shape (B, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.

    Returns:
        Features of shape (B, units).

    Example:
        >>> DeepSetFusion(8)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        units: int | None = None,
        shared: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(self, embed_dim=embed_dim, units=units)
        self.embed_dim, self.units, self.shared = embed_dim, units, shared

    def build_weights(self):
        for name, dim in zip(self.modalities, self.dims, strict=True):
            if self.shared and dim != self.dims[0]:
                raise ValueError(
                    f"{self.name}: {name} has {dim} features, {self.modalities[0]} has "
                    f"{self.dims[0]}: shared=True needs one length"
                )
        dims = self.dims[:1] if self.shared else self.dims
        self.kernels, self.biases = [], []
        for m, dim in enumerate(dims):
            self.kernels.append(self.matrix(f"kernel_{m}", dim, self.embed_dim))
            self.biases.append(self.vector(f"bias_{m}", self.embed_dim))
        units = self.units or self.embed_dim
        self.output_kernel = self.matrix("output_kernel", self.embed_dim, units)
        self.output_bias = self.vector("output_bias", units)

    def call(self, inputs, presence=None):
        features, is_present = self.present(inputs, presence)
        total = 0
        for m, x in enumerate(features):
            which = 0 if self.shared else m
            encoded = ops.relu(ops.matmul(x, self.kernels[which]) + self.biases[which])
            if is_present is not None:
                encoded = only_where(column(is_present, m), encoded)
            total = total + encoded
        return ops.relu(ops.matmul(total, self.output_kernel) + self.output_bias)

    def get_config(self):
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "units": self.units,
            "shared": self.shared,
        }
