"""Gated fusion: one modality decides how much of another passes."""

import keras
from keras import ops

from mmlearn.fusion.base import Fusion, column, only_where, require_positive


@keras.saving.register_keras_serializable(package="mmlearn")
class GatedFusion(Fusion):
    """Gated multimodal unit: each feature of each modality has its own gate.

    h = Σ_m z_m ⊙ tanh(W_m x_m),  z_m = σ(U_m [x_1; …; x_M])      (`tied=False`)
    h = z ⊙ tanh(W_1 x_1) + (1 − z) ⊙ tanh(W_2 x_2)               (`tied=True`, M = 2)

    An absent modality leaves the sum, and counts as zeros where gates are computed. In
    the tied form the other one's gate is then 1. Where all are absent, h is 0.
    Arevalo et al. 2017, https://arxiv.org/abs/1702.01992

    Args:
        embed_dim: Length of h.
        tied: The paper's form for two modalities, whose gates add up to 1.

    Weights:
        `projection_m` (d_m, embed_dim): W_m; `gate_m` (Σ d_m, embed_dim): U_m, only
        m = 0 when tied.

    Call arguments:
        inputs: List or dict of features of shape (B, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.
        return_weights: Return the gates, of shape (B, M, embed_dim), too.

    Returns:
        Features of shape (B, embed_dim); with `return_weights`, a pair.

    Raises:
        ValueError: If `tied` and there are not exactly two modalities.

    Example:
        >>> GatedFusion(8)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    def __init__(self, embed_dim: int, *, tied: bool = False, **kwargs):
        super().__init__(**kwargs)
        require_positive(self, embed_dim=embed_dim)
        self.embed_dim, self.tied = embed_dim, tied
        self.modality_count = 2 if tied else None

    def build_weights(self):
        self.projections = [
            self.matrix(f"projection_{m}", dim, self.embed_dim)
            for m, dim in enumerate(self.dims)
        ]
        gates = 1 if self.tied else len(self.dims)
        self.gates = [
            self.matrix(f"gate_{m}", sum(self.dims), self.embed_dim)
            for m in range(gates)
        ]

    def call(self, inputs, presence=None, return_weights=False):
        features, is_present = self.present(inputs, presence)
        joined = ops.concatenate(features, axis=-1)
        z = [ops.sigmoid(ops.matmul(joined, gate)) for gate in self.gates]
        if self.tied:
            z = [z[0], 1 - z[0]]
        if is_present is not None:
            z = self._only_present(z, is_present)
        pairs = zip(features, self.projections, strict=True)
        g = [ops.tanh(ops.matmul(x, kernel)) for x, kernel in pairs]
        h = sum(gate * value for gate, value in zip(z, g, strict=True))
        return (h, ops.stack(z, axis=1)) if return_weights else h

    def _only_present(self, z: list, is_present) -> list:
        here = [column(is_present, m) for m in range(len(z))]
        if self.tied:
            z = [
                ops.where(other, gate, ops.ones_like(gate))
                for gate, other in zip(z, reversed(here), strict=True)
            ]
        return [only_where(mask, gate) for mask, gate in zip(here, z, strict=True)]

    def get_config(self):
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "tied": self.tied,
        }


@keras.saving.register_keras_serializable(package="mmlearn")
class FiLMFusion(Fusion):
    """Scale and shift the first input's channels by what the second one says.

    h = γ(c) ⊙ x + β(c),  γ(c) = G c + g,  β(c) = H c + b

    γ starts near 1. Where the condition c is absent, h = x; where x is absent, it is 0,
    so that h = β(c); where both are, h is 0. Perez et al. 2017,
    https://arxiv.org/abs/1709.07871

    Weights:
        `gamma_kernel`, `beta_kernel` (d_c, d); `gamma_bias` (starts as ones),
        `beta_bias` (d,).

    Call arguments:
        inputs: List of the features x, of shape (B, …, d) (vector, sequence or feature
            map), and the condition c, of shape (B, d_c). A dict is taken in
            alphabetical order.
        presence: Mask of shape (B, 2), 1 = present; `None` means both are present.

    Returns:
        Features of x's shape.

    Example:
        >>> FiLMFusion()([keras.Input((8, 8, 3)), keras.Input((4,))]).shape
        (None, 8, 8, 3)
    """

    modality_count = 2

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def check_shape(self, position, name, shape):
        if position == 1:
            super().check_shape(position, name, shape)
        elif len(shape) < 2 or shape[-1] is None:
            raise ValueError(
                f"{self.name}: {name} has shape {shape}, expected (B, …, d)"
            )

    def build_weights(self):
        dim, condition_dim = self.dims
        self.gamma_kernel = self.matrix("gamma_kernel", condition_dim, dim)
        self.beta_kernel = self.matrix("beta_kernel", condition_dim, dim)
        self.gamma_bias = self.vector("gamma_bias", dim, start="ones")
        self.beta_bias = self.vector("beta_bias", dim)

    def call(self, inputs, presence=None):
        (x, condition), is_present = self.present(inputs, presence)
        gamma = ops.matmul(condition, self.gamma_kernel) + self.gamma_bias
        beta = ops.matmul(condition, self.beta_kernel) + self.beta_bias
        if is_present is not None:
            told = column(is_present, 1)
            gamma = ops.where(told, gamma, ops.ones_like(gamma))
            beta = only_where(told, beta)
        shape = (-1, *[1] * (self.ranks[0] - 2), self.dims[0])
        return ops.reshape(gamma, shape) * x + ops.reshape(beta, shape)

    def compute_mask(self, inputs, mask=None):
        return mask[0] if isinstance(mask, list | tuple) else None
