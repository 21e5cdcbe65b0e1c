"""Fusion by attention over tokens, each modality's tokens on their own axis."""

import keras
from keras import ops

from mmlearn.fusion.base import only_where, require_positive
from mmlearn.fusion.tokens import TokenFusion, anyone, joined, mean
from mmlearn.layers import Attention


@keras.saving.register_keras_serializable(package="mmlearn")
class SelfAttentionFusion(TokenFusion):
    """All modalities' tokens in one Transformer encoder, every token sees every other.

    X = [cls; X_1 W_1 + c_1 + e_1; …; X_M W_M + c_M + e_M],  h = LN(blocks(X))_cls

    e_m is a learned embedding of the modality. Tokens of an absent modality, and masked
    ones, are not attended to; where all are absent, h is a constant ("cls"), or 0
    ("avg").

    Args:
        embed_dim: Length of each token inside, and of h.
        num_heads: Attention heads; divides embed_dim.
        num_layers: Transformer blocks.
        mlp_dim: Width of the blocks' MLP; `None` for 2 · embed_dim.
        dropout: Rate of dropout in the blocks.
        pooling: `"cls"` for a learned token's output, `"avg"` over real tokens, or
            `None` for all tokens, masked ones as zeros.

    Weights:
        `projection_m` (d_m, embed_dim), `projection_bias_m`, `modality_embedding`
        (M, embed_dim), `cls` (embed_dim,) for "cls"; blocks `block_0`, … and `norm`.

    Call arguments:
        inputs: List or dict of features, (B, d_m) or (B, T_m, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.
        mask: A boolean (B, T_m) or `None` for each modality; Keras passes it.
        return_weights: Return the last block's attention (B, num_heads, N, N), too; N
            counts all tokens, [cls] first.

    Returns:
        Features of shape (B, embed_dim), or (B, Σ T_m, embed_dim).

    Example:
        >>> SelfAttentionFusion(8)([keras.Input((5, 8)), keras.Input((3, 6))]).shape
        (None, 8)
    """

    def __init__(self, embed_dim: int, *, pooling: str | None = "cls", **kwargs):
        super().__init__(embed_dim, **kwargs)
        if pooling not in ("cls", "avg", None):
            raise ValueError(
                f"{self.name}: pooling is {pooling!r}, choose 'cls', 'avg' or None"
            )
        self.pooling = pooling

    def build_blocks(self):
        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.modality_embedding = self.add_weight(
            name="modality_embedding",
            shape=(len(self.dims), self.embed_dim),
            initializer=normal,
        )
        if self.pooling == "cls":
            self.cls = self.add_weight(
                name="cls", shape=(self.embed_dim,), initializer=normal
            )
        self.blocks = [self.block(f"block_{n}") for n in range(self.num_layers)]
        self.norm = keras.layers.LayerNormalization(
            dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, None, self.embed_dim))

    def call(
        self, inputs, presence=None, mask=None, return_weights=False, training=None
    ):
        tokens, masks = self.tokens(inputs, presence, mask)
        tokens = [x + self.modality_embedding[m] for m, x in enumerate(tokens)]
        if self.pooling == "cls":
            cls = ops.zeros_like(tokens[0][:, :1]) + self.cls
            tokens, masks = [cls, *tokens], [None, *masks]
        real, x = joined(masks, tokens), ops.concatenate(tokens, axis=1)
        attention = None
        for block in self.blocks:
            x = block(x, mask=real, training=training, return_weights=return_weights)
            if return_weights:
                x, attention = x
        x = self.norm(x)
        if self.pooling == "cls":
            h = x[:, 0]
        elif self.pooling == "avg":
            h = mean(x, real)
        else:
            h = x if real is None else only_where(ops.expand_dims(real, -1), x)
        return (h, attention) if return_weights else h

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}


@keras.saving.register_keras_serializable(package="mmlearn")
class CrossModalAttention(TokenFusion):
    """Each modality's tokens ask the other modalities' tokens.

    X_a ← X_a + mean_b MHA(LN(X_a), LN(X_b));  X_a ← X_a + MLP(LN(X_a)),  b ≠ a

    h joins the means of the modalities' tokens. An absent modality, or one whose tokens
    are all masked, is not asked, and its part of h is 0. Tsai et al. 2019 (MulT),
    https://arxiv.org/abs/1906.00295; Lu et al. 2019, https://arxiv.org/abs/1908.02265

    Args:
        embed_dim: Length of each token inside, and of each modality's part of h.
        num_heads: Attention heads; divides embed_dim.
        num_layers: Rounds of asking.
        mlp_dim: Width of the MLP; `None` for 2 · embed_dim.
        dropout: Rate of dropout on attention and MLP.
        pooling: `"avg"` over real tokens, or `None` for a list of sequences.

    Weights:
        `projection_m` (d_m, embed_dim), `projection_bias_m`; layers `target_n_a` for
        round n and modality a, with `attention_b` for each other modality b.

    Call arguments:
        inputs: List or dict of features, (B, d_m) or (B, T_m, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.
        mask: A boolean (B, T_m) or `None` for each modality; Keras passes it.
        return_weights: Return the last round's attention, too: a dict of dicts,
            `weights[a][b]` of shape (B, num_heads, T_a, T_b); zeros where b is absent.

    Returns:
        Features of shape (B, M · embed_dim), or a list of (B, T_m, embed_dim).

    Example:
        >>> CrossModalAttention(8)([keras.Input((5, 8)), keras.Input((3, 6))]).shape
        (None, 16)
    """

    def __init__(self, embed_dim: int, *, pooling: str | None = "avg", **kwargs):
        super().__init__(embed_dim, **kwargs)
        if pooling not in ("avg", None):
            raise ValueError(
                f"{self.name}: pooling is {pooling!r}, choose 'avg' or None"
            )
        self.pooling = pooling

    def build_blocks(self):
        mlp_dim = self.mlp_dim or 2 * self.embed_dim
        self.rounds = []
        for n in range(self.num_layers):
            targets = []
            for a in range(len(self.dims)):
                sources = [b for b in range(len(self.dims)) if b != a]
                target = _CrossBlock(
                    sources,
                    self.num_heads,
                    mlp_dim,
                    self.dropout,
                    dtype=self.dtype_policy,
                    name=f"target_{n}_{a}",
                )
                target.build((None, None, self.embed_dim))
                targets.append(target)
            self.rounds.append(targets)

    def call(
        self, inputs, presence=None, mask=None, return_weights=False, training=None
    ):
        x, masks = self.tokens(inputs, presence, mask)
        scores = []
        for targets in self.rounds:
            pairs = [
                target(x, a=a, masks=masks, training=training)
                for a, target in enumerate(targets)
            ]
            x, scores = [out for out, _ in pairs], [given for _, given in pairs]
        if self.pooling == "avg":
            means = [mean(tokens, real) for tokens, real in zip(x, masks, strict=True)]
            h = ops.concatenate(means, axis=-1)
        else:
            h = [
                tokens
                if real is None
                else only_where(ops.expand_dims(real, -1), tokens)
                for tokens, real in zip(x, masks, strict=True)
            ]
        if not return_weights:
            return h
        names = self.modalities
        return h, {
            names[a]: {names[b]: attention for b, attention in given.items()}
            for a, given in enumerate(scores)
        }

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}


class _CrossBlock(keras.layers.Layer):
    """One modality's round of asking the others, then an MLP."""

    def __init__(self, sources, num_heads, mlp_dim, dropout, **kwargs):
        super().__init__(**kwargs)
        self.sources, self.num_heads = sources, num_heads
        self.mlp_dim, self.dropout = mlp_dim, dropout

    def build(self, input_shape):
        dim, policy = input_shape[-1], self.dtype_policy
        self.query_norm = keras.layers.LayerNormalization(
            dtype=policy, name="query_norm"
        )
        self.query_norm.build(input_shape)
        self.source_norms, self.attentions = [], []
        for b in self.sources:
            norm = keras.layers.LayerNormalization(dtype=policy, name=f"norm_{b}")
            attention = Attention(
                self.num_heads,
                dropout=self.dropout,
                dtype=policy,
                name=f"attention_{b}",
            )
            norm.build(input_shape)
            attention.build(input_shape, input_shape)
            self.source_norms.append(norm)
            self.attentions.append(attention)
        self.mlp_norm = keras.layers.LayerNormalization(dtype=policy, name="mlp_norm")
        self.mlp_in = keras.layers.Dense(
            self.mlp_dim, activation="gelu", dtype=policy, name="mlp_in"
        )
        self.mlp_out = keras.layers.Dense(dim, dtype=policy, name="mlp_out")
        self.drop = keras.layers.Dropout(self.dropout, dtype=policy)
        self.mlp_norm.build(input_shape)
        self.mlp_in.build(input_shape)
        self.mlp_out.build((*input_shape[:-1], self.mlp_dim))

    def call(self, tokens, a=0, masks=None, training=None):
        queries = self.query_norm(tokens[a])
        answers, counts, scores = 0, 0, {}
        layers = zip(self.sources, self.source_norms, self.attentions, strict=True)
        for b, norm, attention in layers:
            values, real = norm(tokens[b]), masks[b]
            answer, scores[b] = attention(
                queries, values, mask=real, return_weights=True, training=training
            )
            if real is None:
                answers, counts = answers + answer, counts + 1
                continue
            asked = ops.any(real, axis=1, keepdims=True)[:, :, None]
            answers = answers + only_where(asked, answer)
            counts = counts + ops.cast(asked, answer.dtype)
            scores[b] = only_where(asked[:, None], scores[b])
        # A plain number where no source has a mask.
        average = answers / (
            counts if isinstance(counts, int) else ops.maximum(counts, 1)
        )
        x = tokens[a] + self.drop(average, training=training)
        step = self.mlp_out(self.mlp_in(self.mlp_norm(x)))
        return x + self.drop(step, training=training), scores


@keras.saving.register_keras_serializable(package="mmlearn")
class BottleneckFusion(TokenFusion):
    """Modalities exchange what they know through a few shared tokens only.

    [X_m; Z_m] ← block_m([X_m; Z]) for each m;  Z ← mean of Z_m over present modalities

    Z are `num_bottlenecks` learned tokens; h is the mean of the present modalities'
    mean tokens, 0 where all are absent. Nagrani et al. 2021 (MBT),
    https://arxiv.org/abs/2107.00135

    Args:
        embed_dim: Length of each token inside, and of h.
        num_heads: Attention heads; divides embed_dim.
        num_layers: Rounds; information crosses from the second one on.
        mlp_dim: Width of the blocks' MLP; `None` for 2 · embed_dim.
        dropout: Rate of dropout in the blocks.
        num_bottlenecks: Number of shared tokens.

    Weights:
        `projection_m` (d_m, embed_dim), `projection_bias_m`, `bottlenecks`
        (num_bottlenecks, embed_dim); blocks `block_n_m`.

    Call arguments:
        inputs: List or dict of features, (B, d_m) or (B, T_m, d_m).
        presence: Mask of shape (B, M), 1 = present; `None` means all are present.
        mask: A boolean (B, T_m) or `None` for each modality; Keras passes it.

    Returns:
        Features of shape (B, embed_dim).

    Raises:
        ValueError: If there are fewer than two rounds: nothing would be exchanged.

    Example:
        >>> BottleneckFusion(8)([keras.Input((5, 8)), keras.Input((3, 6))]).shape
        (None, 8)
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        num_layers: int = 2,
        num_bottlenecks: int = 4,
        **kwargs,
    ):
        super().__init__(embed_dim, num_layers=num_layers, **kwargs)
        require_positive(self, num_bottlenecks=num_bottlenecks)
        if num_layers < 2:
            raise ValueError(
                f"{self.name}: num_layers is {num_layers}, expected 2 or more: what "
                "the first round collects is read in the second"
            )
        self.num_bottlenecks = num_bottlenecks

    def build_blocks(self):
        self.bottlenecks = self.add_weight(
            name="bottlenecks",
            shape=(self.num_bottlenecks, self.embed_dim),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
        )
        self.rounds = [
            [self.block(f"block_{n}_{m}") for m in range(len(self.dims))]
            for n in range(self.num_layers)
        ]

    def call(self, inputs, presence=None, mask=None, training=None):
        x, masks = self.tokens(inputs, presence, mask)
        here = [anyone(real, tokens) for real, tokens in zip(masks, x, strict=True)]
        count = ops.maximum(sum(here[1:], start=here[0]), 1)
        shared = ops.zeros_like(x[0][:, :1]) + self.bottlenecks
        for blocks in self.rounds:
            updates = 0
            for m, block in enumerate(blocks):
                both = ops.concatenate([x[m], shared], axis=1)
                real = joined([masks[m], None], [x[m], shared])
                both = block(both, mask=real, training=training)
                x[m] = both[:, : -self.num_bottlenecks]
                kept = both[:, -self.num_bottlenecks :]
                updates = updates + only_where(here[m] > 0, kept)
            shared = updates / count
        h = sum(mean(tokens, real) for tokens, real in zip(x, masks, strict=True))
        return h / count[:, 0]

    def get_config(self):
        return {**super().get_config(), "num_bottlenecks": self.num_bottlenecks}
