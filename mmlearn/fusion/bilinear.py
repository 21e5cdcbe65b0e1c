"""Bilinear fusion of two modalities, in full and with the field's factorizations."""

import math

import keras
import numpy as np
from keras import ops

from mmlearn.fusion.base import Fusion, only_where, require_positive

FACTORIZATIONS = (None, "mlb", "mfb", "mfh", "mutan", "tucker", "block", "mcb")
_RANKED = ("mfb", "mfh", "mutan", "block")
_NORMALIZED = ("mfb", "mfh", "block", "mcb")


@keras.saving.register_keras_serializable(package="mmlearn")
class BilinearFusion(Fusion):
    """Products of each feature of one modality with each feature of the other.

    h_k = x_1ᵀ W_k x_2 + b_k                             (`factorization=None`)

    W has d_1 · d_2 · units numbers. The factorizations make a joint vector v of far
    fewer, and h = O v + o. With p_m = P_m x_m + c_m of length embed_dim:

    - `"mlb"`: v = p_1 ⊙ p_2 (Kim et al. 2017, https://arxiv.org/abs/1610.04325).
    - `"mfb"`: p_m has rank times as many entries; v sums each group of `rank` products
      (Yu et al. 2017, https://arxiv.org/abs/1708.01471).
    - `"mfh"`: two such blocks, the second's products times the first's; v joins both
      (Yu et al. 2018, https://arxiv.org/abs/1708.03619).
    - `"mutan"`: v = Σ_r (A_r p_1) ⊙ (B_r p_2) (Ben-younes et al. 2017,
      https://arxiv.org/abs/1705.06676).
    - `"tucker"`: v_k = p_1ᵀ T_k p_2 with a full core T.
    - `"block"`: mutan on each of `chunks` pieces of p_1, p_2 (Ben-younes et al. 2019,
      https://arxiv.org/abs/1902.00038).
    - `"mcb"`: v = sketch(x_1) * sketch(x_2), circular convolution of random count
      sketches, by FFT (Gao et al. 2016, https://arxiv.org/abs/1606.01847).

    An absent modality counts as zeros.

    Args:
        units: Length of h.
        factorization: `None` or one of the names above.
        embed_dim: Length of v (of each block, for mfh); needed by the factorizations.
        rank: Products summed in each entry of v, for mfb, mfh, mutan, block; `None`
            for 4.
        chunks: Pieces of block; divides embed_dim; `None` for 4.
        normalize: Signed square root and L2 normalisation of v (of each block or
            chunk); `None` follows the papers: yes for mfb, mfh, block and mcb.
        activation: Applied to each p_m, for mlb, mfb and mfh; published code has ReLU
            or tanh there.
        seed: Seeds mcb's hashes.

    Weights (m = 0, 1; k = rank, s = embed_dim / chunks):
        full: `kernel` (d_1, d_2, units), `bias` (units,)
        all others: `output_kernel` (length of v, units), `output_bias` (units,)
        mlb, mutan, tucker, block: `projection_m` (d_m, embed_dim),
            `projection_bias_m` (embed_dim,)
        mfb, mfh: the same with embed_dim · k columns (each group of k is summed); mfh
            also `second_projection_m`, `second_projection_bias_m`
        mutan: `merge_m` (embed_dim, k · embed_dim), `merge_bias_m`; r runs slowest
        tucker: `core` (embed_dim, embed_dim, embed_dim), `core_bias` (embed_dim,)
        block: `merge_c_m` (s, k · s), `merge_bias_c_m` for chunks c = 0, 1, …
        mcb: `hash_m` (d_m,) and `sign_m` (d_m,), fixed

    Call arguments:
        inputs: List or dict of two features of shape (B, d_m).
        presence: Mask of shape (B, 2), 1 = present; `None` means both are present.

    Returns:
        Features of shape (B, units).

    Raises:
        ValueError: If an argument is unknown, or does not go with the factorization.

    Example:
        >>> BilinearFusion(8)([keras.Input((3,)), keras.Input((4,))]).shape
        (None, 8)
    """

    modality_count = 2

    def __init__(
        self,
        units: int,
        factorization: str | None = None,
        *,
        embed_dim: int | None = None,
        rank: int | None = None,
        chunks: int | None = None,
        normalize: bool | None = None,
        activation: str | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(
            self, units=units, embed_dim=embed_dim, rank=rank, chunks=chunks
        )
        self.units, self.factorization = units, factorization
        self.embed_dim, self.rank, self.chunks = embed_dim, rank, chunks
        self.normalize, self.activation, self.seed = normalize, activation, seed
        self._check_options()

    def _check_options(self):
        kind = self.factorization
        if kind not in FACTORIZATIONS:
            names = ", ".join(repr(name) for name in FACTORIZATIONS)
            raise ValueError(
                f"{self.name}: factorization is {kind!r}, choose one of {names}"
            )
        belongs = {
            "embed_dim": kind is not None,
            "rank": kind in _RANKED,
            "chunks": kind == "block",
            "normalize": kind is not None,
            "activation": kind in ("mlb", "mfb", "mfh"),
        }
        for option, allowed in belongs.items():
            if getattr(self, option) and not allowed:
                raise ValueError(
                    f"{self.name}: {option}={getattr(self, option)!r} does not go with "
                    f"factorization={kind!r}: leave it out"
                )
        if kind is not None and self.embed_dim is None:
            raise ValueError(f"{self.name}: factorization={kind!r} needs embed_dim=")
        if kind == "block" and self.embed_dim % (self.chunks or 4):
            raise ValueError(
                f"{self.name}: chunks={self.chunks or 4} does not divide "
                f"embed_dim={self.embed_dim}: choose a divisor"
            )

    def build_weights(self):
        kind, dim = self.factorization, self.embed_dim
        if kind is None:
            limit = math.sqrt(6 / (sum(self.dims) + self.units))
            self.kernel = self.add_weight(
                name="kernel",
                shape=(*self.dims, self.units),
                initializer=keras.initializers.RandomUniform(-limit, limit),
            )
            self.bias = self.vector("bias", self.units)
            return
        if kind == "mcb":
            self._build_sketches()
        else:
            wide = dim * (self.rank or 4) if kind in ("mfb", "mfh") else dim
            self.projections = self._pair("projection", self.dims, wide)
        if kind == "mfh":
            self.second = self._pair("second_projection", self.dims, wide)
        elif kind == "mutan":
            self.merges = [self._pair("merge", (dim, dim), dim * (self.rank or 4))]
        elif kind == "block":
            size = dim // (self.chunks or 4)
            self.merges = [
                self._pair("merge", (size, size), size * (self.rank or 4), f"_{chunk}")
                for chunk in range(self.chunks or 4)
            ]
        elif kind == "tucker":
            self.core = self.matrix("core", dim, dim, dim)
            self.core_bias = self.vector("core_bias", dim)
        length = 2 * dim if kind == "mfh" else dim
        self.output_kernel = self.matrix("output_kernel", length, self.units)
        self.output_bias = self.vector("output_bias", self.units)

    def _pair(self, name: str, dims, columns: int, suffix: str = "") -> list:
        """Kernels and biases of one affine map for each of the two modalities."""
        return [
            (
                self.matrix(f"{name}{suffix}_{m}", dim, columns),
                self.vector(f"{name}_bias{suffix}_{m}", columns),
            )
            for m, dim in enumerate(dims)
        ]

    def _build_sketches(self):
        rng = np.random.default_rng(self.seed)
        self.sketches = []
        for m, dim in enumerate(self.dims):
            places = rng.integers(0, self.embed_dim, dim)
            signs = rng.choice([-1.0, 1.0], dim)
            self.sketches.append(
                (
                    self._constant(f"hash_{m}", places, "int32"),
                    self._constant(f"sign_{m}", signs, "float32"),
                )
            )

    def _constant(self, name: str, value: np.ndarray, dtype: str):
        return self.add_weight(
            name=name,
            shape=value.shape,
            dtype=dtype,
            trainable=False,
            initializer=lambda shape, dtype: ops.convert_to_tensor(value, dtype),
        )

    def call(self, inputs, presence=None):
        (first, second), _ = self.present(inputs, presence)
        kind = self.factorization
        if kind is None:
            width = self.dims[1] * self.units
            kernel = ops.reshape(self.kernel, (self.dims[0], width))
            half = ops.matmul(first, kernel)
            half = ops.reshape(half, (-1, self.dims[1], self.units))
            return ops.einsum("bj,bju->bu", second, half) + self.bias
        if kind == "mcb":
            v = self._normed(self._convolved(first, second))
        else:
            v = self._joint(first, second)
        return ops.matmul(v, self.output_kernel) + self.output_bias

    def _joint(self, first, second):
        kind, dim = self.factorization, self.embed_dim
        activation = keras.activations.get(self.activation)
        p = [activation(x) for x in _affine(self.projections, first, second)]
        if kind == "mlb":
            return self._normed(p[0] * p[1])
        if kind in ("mfb", "mfh"):
            products = p[0] * p[1]
            v = self._normed(self._pooled(products))
            if kind == "mfb":
                return v
            q = [activation(x) for x in _affine(self.second, first, second)]
            deeper = self._normed(self._pooled(q[0] * q[1] * products))
            return ops.concatenate([v, deeper], axis=-1)
        if kind == "tucker":
            core = ops.reshape(self.core, (dim, dim * dim))
            half = ops.reshape(ops.matmul(p[0], core), (-1, dim, dim))
            return self._normed(ops.einsum("bj,bjk->bk", p[1], half) + self.core_bias)
        size = dim // len(self.merges)
        pieces = []
        for chunk, merge in enumerate(self.merges):
            place = slice(chunk * size, (chunk + 1) * size)
            merged = _affine(merge, p[0][:, place], p[1][:, place])
            products = ops.reshape(merged[0] * merged[1], (-1, self.rank or 4, size))
            pieces.append(self._normed(ops.sum(products, axis=1)))
        return ops.concatenate(pieces, axis=-1)

    def _pooled(self, products):
        groups = ops.reshape(products, (-1, self.embed_dim, self.rank or 4))
        return ops.sum(groups, axis=-1)

    def _convolved(self, first, second):
        """Circular convolution of the two count sketches, in float32."""
        spectra = []
        for x, (places, signs) in zip((first, second), self.sketches, strict=True):
            scatter = ops.one_hot(places, self.embed_dim, dtype="float32")
            scatter = scatter * ops.expand_dims(ops.cast(signs, "float32"), -1)
            sketch = ops.matmul(ops.cast(x, "float32"), scatter)
            spectra.append(ops.rfft(sketch))
        (a, b), (c, d) = spectra
        # A product of complex numbers, as pairs of real and imaginary parts.
        v = ops.irfft((a * c - b * d, a * d + b * c), self.embed_dim)
        return ops.cast(v, self.compute_dtype)

    def _normed(self, v):
        if not self._normalizes:
            return v
        v = ops.cast(v, "float32")
        v = v * _inverse_root(ops.abs(v))
        length = ops.sum(v * v, axis=-1, keepdims=True)
        return ops.cast(v * _inverse_root(length), self.compute_dtype)

    @property
    def _normalizes(self) -> bool:
        if self.normalize is None:
            return self.factorization in _NORMALIZED
        return self.normalize

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "factorization": self.factorization,
            "embed_dim": self.embed_dim,
            "rank": self.rank,
            "chunks": self.chunks,
            "normalize": self.normalize,
            "activation": self.activation,
            "seed": self.seed,
        }


def _affine(pair: list, first, second) -> list:
    """p_m = P_m x_m + c_m for both modalities."""
    return [
        ops.matmul(x, kernel) + bias
        for x, (kernel, bias) in zip((first, second), pair, strict=True)
    ]


def _inverse_root(x):
    """1/√x, and 0 with gradient 0 where x is 0: its slope there is infinite."""
    positive = x > 1e-12
    return only_where(positive, ops.rsqrt(ops.where(positive, x, ops.ones_like(x))))
