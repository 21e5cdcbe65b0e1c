"""Blocks shared by encoders and fusion layers."""

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="mmlearn")
class MaskedMean(keras.layers.Layer):
    """Mean of a sequence over its real positions; a zero vector where there is none.

    h = Σ_t m_t x_t / max(1, Σ_t m_t)

    Unlike `GlobalAveragePooling1D`, an empty sequence gives 0, not NaN.

    Call arguments:
        sequence: Features of shape (B, T, d).
        mask: Boolean (B, T), `True` where real; Keras passes it from an embedding.

    Returns:
        Features of shape (B, d).
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, sequence, mask=None):
        # In float32: half precision overflows where a long sequence is added up.
        x = ops.cast(sequence, "float32")
        if mask is None:
            return ops.cast(ops.mean(x, axis=1), sequence.dtype)
        real = ops.expand_dims(mask, -1)
        # `where`, not a product: 0 · NaN is NaN.
        total = ops.sum(ops.where(real, x, ops.zeros_like(x)), axis=1)
        count = ops.sum(ops.cast(real, "float32"), axis=1)
        return ops.cast(total / ops.maximum(count, 1), sequence.dtype)

    def compute_mask(self, sequence, previous_mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])


@keras.saving.register_keras_serializable(package="mmlearn")
class PositionEmbedding(keras.layers.Layer):
    """Add a vector per position to a sequence of fixed length.

    x_t ← x_t + P[t], with learned P, or P[t, 2i] = sin(t / 10000^(2i/d)) and
    P[t, 2i + 1] = cos(t / 10000^(2i/d)) (Vaswani et al. 2017,
    https://arxiv.org/abs/1706.03762)

    Args:
        learned: Whether P is learned; else it is made of sines and cosines.

    Weights:
        `positions` (T, d): P, if it is learned.

    Call arguments:
        sequence: Features of shape (B, T, d), T and d known.

    Returns:
        Features of shape (B, T, d), with the same mask.

    Raises:
        ValueError: If the length T is not known: give the input a fixed length.
    """

    def __init__(self, *, learned: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.learned = learned
        self.supports_masking = True

    def build(self, input_shape):
        if input_shape[1] is None:
            raise ValueError(f"{self.name}: positions need a fixed length, not None")
        if not self.learned:
            self.positions = _waves(*input_shape[1:])
            return
        self.positions = self.add_weight(
            name="positions",
            shape=tuple(input_shape[1:]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )

    def call(self, sequence):
        return sequence + ops.cast(self.positions, sequence.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "learned": self.learned}


def _waves(length: int, dim: int) -> np.ndarray:
    """Sines in the even columns, cosines in the odd ones, ever slower: (T, d)."""
    column = np.arange(dim)
    angle = np.arange(length)[:, None] / 10000 ** (column // 2 * 2 / dim)
    return np.where(column % 2, np.cos(angle), np.sin(angle)).astype("float32")


@keras.saving.register_keras_serializable(package="mmlearn")
class Attention(keras.layers.Layer):
    """Multi-head attention: queries from one sequence, keys and values from another.

    A_i = softmax(Q_i K_iᵀ / √k);  y = Σ_i A_i V_i O_i + o,  with Q_i = x W_i + q_i and
    K_i, V_i alike from the other sequence, k = d / num_heads (Vaswani et al. 2017,
    https://arxiv.org/abs/1706.03762). The weights have the shapes and the order of
    `keras.layers.MultiHeadAttention`'s, which took 1.2 to 1.6 times as long
    (`results/attention_tensorflow.md`).

    Args:
        num_heads: Number of heads; divides d.
        dropout: Rate of dropout on the attention A.

    Weights (h heads):
        `query_kernel`, `key_kernel`, `value_kernel` (d, h, k) with biases (h, k);
        `output_kernel` (h, k, d), `output_bias` (d,).

    Call arguments:
        queries: Features of shape (B, T, d).
        sources: Features of shape (B, S, d).
        mask: Boolean (B, S), or (B, T, S) for each query; positions that are `False`
            get no attention, unless all are.
        use_causal_mask: Let no query see the positions after its own.
        return_weights: Return A, of shape (B, h, T, S), too.

    Returns:
        Features of shape (B, T, d); with `return_weights`, a pair.
    """

    def __init__(self, num_heads: int, *, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.num_heads, self.dropout = num_heads, dropout
        self.supports_masking = True

    def build(self, queries_shape, sources_shape=None):
        dim = queries_shape[-1]
        heads = (self.num_heads, dim // self.num_heads)
        for part in ("query", "key", "value"):
            kernel = self.add_weight(name=f"{part}_kernel", shape=(dim, *heads))
            bias = self.add_weight(
                name=f"{part}_bias", shape=heads, initializer="zeros"
            )
            setattr(self, part, (kernel, bias))
        self.output_kernel = self.add_weight(name="output_kernel", shape=(*heads, dim))
        self.output_bias = self.add_weight(
            name="output_bias", shape=(dim,), initializer="zeros"
        )
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def call(
        self,
        queries,
        sources,
        mask=None,
        return_weights=False,
        training=None,
        use_causal_mask=False,
    ):
        inputs = {"query": queries, "key": sources, "value": sources}
        q, k, v = (
            ops.tensordot(x, getattr(self, part)[0], axes=1) + getattr(self, part)[1]
            for part, x in inputs.items()
        )
        scores = ops.einsum("bthk,bshk->bhts", q * q.shape[-1] ** -0.5, k)
        if mask is not None and len(mask.shape) == 2:
            mask = ops.expand_dims(mask, 1)
        if use_causal_mask:
            steps = [ops.arange(length) for length in ops.shape(scores)[2:]]
            earlier = ops.expand_dims(steps[1] <= ops.expand_dims(steps[0], 1), 0)
            mask = earlier if mask is None else ops.logical_and(mask, earlier)
        if mask is not None:
            seen = ops.expand_dims(mask, 1)
            # A finite low score, so that a row without any real source stays finite.
            scores = ops.where(seen, scores, ops.full_like(scores, -3e4))
        # Keras warns of a softmax over one source, which takes all attention.
        alone = scores.shape[-1] == 1
        weights = ops.exp(scores - scores) if alone else ops.softmax(scores)
        answers = ops.einsum(
            "bhts,bshk->bthk", self.drop(weights, training=training), v
        )
        y = ops.tensordot(answers, self.output_kernel, axes=2) + self.output_bias
        return (y, weights) if return_weights else y

    def compute_mask(self, queries, previous_mask=None):
        return None

    def compute_output_shape(self, queries_shape, sources_shape=None):
        return queries_shape

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "dropout": self.dropout,
        }


@keras.saving.register_keras_serializable(package="mmlearn")
class TransformerBlock(keras.layers.Layer):
    """Self-attention and an MLP, each with a residual and a normalisation.

    x ← x + MHA(LN(x));  x ← x + MLP(LN(x))   (pre-norm: Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745), or
    x ← LN(x + MHA(x));  x ← LN(x + MLP(x))   (post-norm: Vaswani et al. 2017,
    https://arxiv.org/abs/1706.03762)

    Args:
        num_heads: Number of attention heads; divides the feature length.
        mlp_dim: Width of the MLP's hidden layer.
        dropout: Rate of dropout on attention and MLP.
        activation: Of the MLP's hidden layer.
        epsilon: Of the normalisations; PyTorch's is 1e-5.
        norm_first: Pre-norm, else post-norm.

    Weights:
        `attention_norm`, `attention` (see `Attention`), `mlp_norm`, `mlp_in`,
        `mlp_out`, in this order.

    Call arguments:
        sequence: Features of shape (B, T, d).
        mask: Boolean (B, T), or (B, T, T) for each query; positions that are `False`
            are not attended to.
        use_causal_mask: Let no position attend to those after it.
        return_weights: Return the attention, of shape (B, num_heads, T, T), too.

    Returns:
        Features of shape (B, T, d), with the same mask; with `return_weights`, a pair.

    Raises:
        ValueError: If `num_heads` does not divide d.
    """

    def __init__(
        self,
        num_heads: int,
        mlp_dim: int,
        *,
        dropout: float = 0.0,
        activation: str = "gelu",
        epsilon: float = 1e-3,
        norm_first: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads, self.mlp_dim, self.dropout = num_heads, mlp_dim, dropout
        self.activation, self.epsilon = activation, epsilon
        self.norm_first = norm_first
        self.supports_masking = True

    def build(self, input_shape):
        dim = input_shape[-1]
        if dim % self.num_heads:
            raise ValueError(
                f"{self.name}: num_heads={self.num_heads} does not divide the feature "
                f"length {dim}: choose a divisor"
            )
        policy = self.dtype_policy
        options = {"epsilon": self.epsilon, "dtype": policy}
        self.attention_norm = keras.layers.LayerNormalization(
            name="attention_norm", **options
        )
        self.attention = Attention(
            self.num_heads, dropout=self.dropout, dtype=policy, name="attention"
        )
        self.mlp_norm = keras.layers.LayerNormalization(name="mlp_norm", **options)
        self.mlp_in = keras.layers.Dense(
            self.mlp_dim, self.activation, dtype=policy, name="mlp_in"
        )
        self.mlp_out = keras.layers.Dense(dim, dtype=policy, name="mlp_out")
        self.drop = keras.layers.Dropout(self.dropout, dtype=policy)
        self.attention_norm.build(input_shape)
        self.attention.build(input_shape, input_shape)
        self.mlp_norm.build(input_shape)
        self.mlp_in.build(input_shape)
        self.mlp_out.build((*input_shape[:-1], self.mlp_dim))

    def call(
        self,
        sequence,
        mask=None,
        training=None,
        return_weights=False,
        use_causal_mask=False,
    ):
        x = self.attention_norm(sequence) if self.norm_first else sequence
        attended, weights = self.attention(
            x,
            x,
            mask=mask,
            return_weights=True,
            training=training,
            use_causal_mask=use_causal_mask,
        )
        sequence = sequence + self.drop(attended, training=training)
        if not self.norm_first:
            sequence = self.attention_norm(sequence)
        x = self.mlp_norm(sequence) if self.norm_first else sequence
        x = self.mlp_out(self.mlp_in(x))
        sequence = sequence + self.drop(x, training=training)
        if not self.norm_first:
            sequence = self.mlp_norm(sequence)
        return (sequence, weights) if return_weights else sequence

    def get_config(self):
        config = super().get_config()
        config.update(
            num_heads=self.num_heads,
            mlp_dim=self.mlp_dim,
            dropout=self.dropout,
            activation=self.activation,
            epsilon=self.epsilon,
            norm_first=self.norm_first,
        )
        return config


def transformer_blocks(x, num_layers: int, num_heads: int, dropout: float):
    """Apply `block0`, `block1`, … of an encoder, their MLPs twice as wide as x."""
    for i in range(num_layers):
        block = TransformerBlock(
            num_heads, 2 * x.shape[-1], dropout=dropout, name=f"block{i}"
        )
        x = block(x)
    return x


@keras.saving.register_keras_serializable(package="mmlearn")
class ZeroAbsent(keras.layers.Layer):
    """Zero a modality where it is absent, before its encoder sees it.

    Whatever stands in the place of an absent modality, even NaN, then reaches neither
    the features nor, through them, the gradients of the encoder's weights.

    Args:
        modality: The modality's column in the presence mask.

    Call arguments:
        inputs: A modality's array of shape (B, …).
        presence: Mask of shape (B, M), 1 = present.

    Returns:
        An array like `inputs`.
    """

    def __init__(self, modality: int, **kwargs):
        super().__init__(**kwargs)
        self.modality = modality

    def call(self, inputs, presence):
        here = ops.cast(presence[:, self.modality], "bool")
        here = ops.reshape(here, (-1, *[1] * (len(inputs.shape) - 1)))
        return ops.where(here, inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, inputs_shape, presence_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "modality": self.modality}


@keras.saving.register_keras_serializable(package="mmlearn")
class Temperature(keras.layers.Layer):
    """Multiply by the root of a learned 1/τ, so that dot products are cosines over τ.

    y = e^(s/2) x,  s = log(1/τ) at most log 100 (Radford et al. 2021,
    https://arxiv.org/abs/2103.00020, whose scale is clipped there, too).

    Weights, by layer: `log_scale`: s, a number.

    Args:
        temperature: τ at the start, 0.01 or more.

    Raises:
        ValueError: If `temperature` is below 0.01.
    """

    def __init__(self, temperature: float = 0.07, **kwargs):
        super().__init__(**kwargs)
        if not temperature >= 0.01:
            raise ValueError(f"temperature is {temperature}, expected 0.01 or more")
        self.temperature = temperature

    def build(self, input_shape):
        start = keras.initializers.Constant(-math.log(self.temperature))
        self.log_scale = self.add_weight(shape=(), initializer=start, name="log_scale")

    def call(self, x):
        limit = ops.cast(math.log(100), self.log_scale.dtype)
        root = ops.exp(ops.minimum(self.log_scale, limit) / 2)
        return x * ops.cast(root, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}
