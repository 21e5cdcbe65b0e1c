"""What the attention fusions share: every modality as tokens, with their masks."""

from keras import ops

from mmlearn.fusion.base import Fusion, column, only_where, require_positive
from mmlearn.layers import MaskedMean, TransformerBlock


class TokenFusion(Fusion):
    """Base of the layers that take tokens (B, T_m, d_m), or vectors as one token each.

    Vectors are given an axis of their own, so that samples of a batch never attend to
    each other.
    """

    def __init__(
        self,
        embed_dim: int,
        *,
        num_heads: int = 4,
        num_layers: int = 1,
        mlp_dim: int | None = None,
        dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        require_positive(
            self,
            embed_dim=embed_dim,
            num_heads=num_heads,
            num_layers=num_layers,
            mlp_dim=mlp_dim,
        )
        if embed_dim % num_heads:
            raise ValueError(
                f"{self.name}: num_heads={num_heads} does not divide "
                f"embed_dim={embed_dim}: choose a divisor"
            )
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.num_layers, self.mlp_dim, self.dropout = num_layers, mlp_dim, dropout
        self.supports_masking = True

    def check_shape(self, position, name, shape):
        if len(shape) not in (2, 3) or shape[-1] is None:
            raise ValueError(
                f"{self.name}: {name} has shape {shape}, expected (B, d) or (B, T, d)"
            )

    def build_weights(self):
        self.projections = [
            (
                self.matrix(f"projection_{m}", dim, self.embed_dim),
                self.vector(f"projection_bias_{m}", self.embed_dim),
            )
            for m, dim in enumerate(self.dims)
        ]
        self.build_blocks()

    def build_blocks(self) -> None:
        """Create what comes after the projections."""
        raise NotImplementedError

    def block(self, name: str) -> TransformerBlock:
        """Return a built Transformer block over tokens of length embed_dim."""
        block = TransformerBlock(
            self.num_heads,
            self.mlp_dim or 2 * self.embed_dim,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name=name,
        )
        block.build((None, None, self.embed_dim))
        return block

    def tokens(self, inputs, presence, mask) -> tuple[list, list]:
        """Return projected tokens (B, T_m, embed_dim), and their masks (B, T_m).

        A mask is `None` where every token of the modality is real. Masked tokens are
        zeros before the projection.
        """
        features, is_present = self.present(inputs, presence)
        given = [None] * len(features) if mask is None else _in_order(mask)
        tokens, masks = [], []
        for m, x in enumerate(features):
            sequence = ops.expand_dims(x, 1) if self.ranks[m] == 2 else x
            real = given[m] if self.ranks[m] == 3 else None
            if is_present is not None:
                here = column(is_present, m)
                if real is None:
                    real = ops.ones_like(sequence[:, :, 0], dtype="bool")
                real = ops.logical_and(real, here)
            if real is not None:
                sequence = only_where(ops.expand_dims(real, -1), sequence)
            kernel, bias = self.projections[m]
            tokens.append(ops.matmul(sequence, kernel) + bias)
            masks.append(real)
        return tokens, masks

    def compute_mask(self, inputs, mask=None):
        return None

    @classmethod
    def from_config(cls, config):
        # Models saved before "avg" became the one word say "mean".
        if config.get("pooling") == "mean":
            config = {**config, "pooling": "avg"}
        return super().from_config(config)

    def get_config(self):
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "num_heads": self.num_heads,
            "num_layers": self.num_layers,
            "mlp_dim": self.mlp_dim,
            "dropout": self.dropout,
        }


def _in_order(mask) -> list:
    return [mask[name] for name in sorted(mask)] if isinstance(mask, dict) else mask


def joined(masks: list, tokens: list):
    """One mask over the joined tokens, or `None` where all of them are real."""
    if all(mask is None for mask in masks):
        return None
    full = [
        ops.ones_like(x[:, :, 0], dtype="bool") if mask is None else mask
        for mask, x in zip(masks, tokens, strict=True)
    ]
    return ops.concatenate(full, axis=1)


def anyone(mask, tokens):
    """1 where a modality has a real token, else 0: shape (B, 1, 1)."""
    if mask is None:
        return ops.ones_like(tokens[:, :1, :1])
    return ops.cast(ops.any(mask, axis=1, keepdims=True)[:, :, None], tokens.dtype)


def mean(tokens, mask):
    """Mean over real tokens, 0 where there is none: shape (B, embed_dim)."""
    return MaskedMean().call(tokens, mask)
