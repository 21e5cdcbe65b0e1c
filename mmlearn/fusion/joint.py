"""Joint (feature-level) fusion of one vector per modality."""

import keras
from keras import ops

from mmlearn.fusion.base import Fusion


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
        >>> ConcatFusion()([keras.ops.ones((2, 3)), keras.ops.ones((2, 4))]).shape
        (2, 7)
    """

    def __init__(self, append_presence: bool = False, **kwargs):
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
        >>> x = [keras.ops.ones((2, 3)), keras.ops.ones((2, 4))]
        >>> h, weights = WeightedFusion(embed_dim=8)(x, return_weights=True)
        >>> h.shape, weights.shape
        ((2, 8), (2, 2))
    """

    def __init__(self, embed_dim: int, per_sample: bool = False, **kwargs):
        super().__init__(**kwargs)
        if embed_dim < 1:
            raise ValueError(
                f"{self.name}: embed_dim is {embed_dim}, expected 1 or more"
            )
        self.embed_dim, self.per_sample = embed_dim, per_sample

    def build_weights(self):
        self.projections = [
            self.add_weight(name=f"projection_{m}", shape=(dim, self.embed_dim))
            for m, dim in enumerate(self.dims)
        ]
        if self.per_sample:
            self.score_kernel = self.add_weight(
                name="score_kernel",
                shape=(sum(self.dims), len(self.dims)),
                initializer="zeros",
            )
        else:
            self.scores = self.add_weight(
                name="scores", shape=(len(self.dims),), initializer="zeros"
            )

    def call(self, inputs, presence=None, return_weights=False):
        features, is_present = self.present(inputs, presence)
        if self.per_sample:
            joined = ops.concatenate(features, axis=-1)
            scores = ops.matmul(joined, ops.cast(self.score_kernel, joined.dtype))
        else:
            rows = ops.zeros((ops.shape(features[0])[0], 1), dtype=features[0].dtype)
            scores = rows + ops.cast(self.scores, rows.dtype)
        if is_present is None:
            weights = ops.softmax(scores, axis=-1)
        else:
            # A finite low score, so that a sample without any modality stays finite.
            low = ops.full_like(scores, -3e4)
            weights = ops.softmax(ops.where(is_present, scores, low), axis=-1)
            weights = weights * ops.cast(is_present, weights.dtype)
        h = sum(
            weights[:, m : m + 1] * ops.matmul(x, ops.cast(kernel, x.dtype))
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
