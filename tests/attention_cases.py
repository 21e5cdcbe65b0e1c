"""Fusion by attention: each layer's equation in plain NumPy, sample by sample.

Of each sample only the real tokens are kept, and nothing is masked: what the layers'
masks must amount to.
"""

from dataclasses import dataclass
from functools import partial

import fusion_cases
import numpy as np
from fusion_cases import Case, E, per_modality, softmax
from harness import to_numpy
from scipy.special import erf

from mmlearn import fusion as f

TOKENS = ((3, 2), (3,), (2, 4))  # two sequences, and a vector between them
DUO = TOKENS[::2]
HEADS = 2


def values(layer) -> list[np.ndarray]:
    return [to_numpy(v).astype("float64") for v in layer.weights]


def layer_norm(layer, x):
    gamma, beta = values(layer)
    spread = np.sqrt(x.var(-1, keepdims=True) + layer.epsilon)
    return (x - x.mean(-1, keepdims=True)) / spread * gamma + beta


def attend(layer, queries, keys):
    """Multi-head attention of (T, e) on (S, e): the answers and (heads, T, S)."""
    wq, bq, wk, bk, wv, bv, wo, bo = values(layer)
    q = np.einsum("te,ehk->htk", queries, wq) + bq[:, None]
    k = np.einsum("se,ehk->hsk", keys, wk) + bk[:, None]
    v = np.einsum("se,ehk->hsk", keys, wv) + bv[:, None]
    shares = softmax(np.einsum("htk,hsk->hts", q, k) / np.sqrt(q.shape[-1]))
    answers = np.einsum("hts,hsk->htk", shares, v)
    return np.einsum("htk,hke->te", answers, wo) + bo, shares


def mlp(layer, x):
    (w1, b1), (w2, b2) = values(layer.mlp_in), values(layer.mlp_out)
    x = layer_norm(layer.mlp_norm, x) @ w1 + b1
    return 0.5 * x * (1 + erf(x / np.sqrt(2))) @ w2 + b2


def block(layer, x):
    normed = layer_norm(layer.attention_norm, x)
    answers, shares = attend(layer.attention, normed, normed)
    x = x + answers
    return x + mlp(layer, x), shares


def projected(layer, x, kept):
    """Each modality's real tokens of one sample, projected: a list of (T, e)."""
    w = {v.name: to_numpy(v).astype("float64") for v in own_weights(layer)}
    tokens = [
        np.atleast_2d(one)[real] @ w[f"projection_{m}"] + w[f"projection_bias_{m}"]
        for m, (one, real) in enumerate(zip(x, kept, strict=True))
    ]
    return w, tokens


def placed(shares, rows, columns):
    """Attention between real tokens at their places among all, 0 for masked keys.

    What masked tokens ask is never used, so that it may be anything: NaN.
    """
    full = np.where(rows[:, None], np.zeros((HEADS, len(rows), len(columns))), np.nan)
    full[np.ix_(range(HEADS), np.flatnonzero(rows), np.flatnonzero(columns))] = shares
    return full


def self_attention(layer, x, kept):
    w, tokens = projected(layer, x, kept)
    tokens = [t + w["modality_embedding"][m] for m, t in enumerate(tokens)]
    first = [w["cls"][None]] if layer.pooling == "cls" else []
    real = np.concatenate([[True] * len(first), *kept]).astype(bool)
    joined, total = np.concatenate([*first, *tokens]), len(real)
    shares = np.zeros((HEADS, 0, 0))
    if len(joined):
        for one in layer.blocks:
            joined, shares = block(one, joined)
        joined = layer_norm(layer.norm, joined)
    full = placed(shares, real, real)
    if layer.pooling == "cls":
        return joined[0], full
    if layer.pooling == "avg":
        return mean(joined), full
    out = np.zeros((total, E))
    out[real] = joined
    return out, full


def mean(tokens):
    return tokens.mean(0) if len(tokens) else np.zeros(E)


def cross_modal(layer, x, kept):
    _, tokens = projected(layer, x, kept)
    count = len(tokens)
    full = {}
    for targets in layer.rounds:
        new = []
        for a, target in enumerate(targets):
            others, answers = [b for b in range(count) if b != a], []
            for place, b in enumerate(others):
                shares = np.zeros((HEADS, len(tokens[a]), len(tokens[b])))
                if len(tokens[b]) and len(tokens[a]):
                    answer, shares = attend(
                        target.attentions[place],
                        layer_norm(target.query_norm, tokens[a]),
                        layer_norm(target.source_norms[place], tokens[b]),
                    )
                    answers.append(answer)
                full[a, b] = placed(shares, kept[a], kept[b])
            asked = tokens[a] + (sum(answers) / len(answers) if answers else 0)
            new.append(asked + mlp(target, asked))
        tokens = new
    if layer.pooling == "avg":
        h = [np.concatenate([mean(one) for one in tokens])]
    else:
        h = [np.zeros((len(real), E)) for real in kept]
        for out, one, real in zip(h, tokens, kept, strict=True):
            out[real] = one
    return (*h, *full.values())


def bottleneck(layer, x, kept):
    w, tokens = projected(layer, x, kept)
    shared, here = w["bottlenecks"], [m for m, one in enumerate(tokens) if len(one)]
    if not here:
        return (np.zeros(E),)
    for blocks in layer.rounds:
        updates = []
        for m in here:
            joined, _ = block(blocks[m], np.concatenate([tokens[m], shared]))
            tokens[m] = joined[: -len(shared)]
            updates.append(joined[-len(shared) :])
        shared = np.mean(updates, 0)
    return (np.mean([mean(tokens[m]) for m in here], 0),)


def own_weights(layer) -> list:
    """Those that are not a sub-layer's."""
    inner = {
        id(v) for sub in layer._flatten_layers(include_self=False) for v in sub.weights
    }
    return [v for v in layer.weights if id(v) not in inner]


@dataclass(frozen=True)
class AttentionCase(Case):
    blocks: int = 1  # Transformer blocks, with 16 weights each
    further: int = 0  # other sub-layers' weights

    def own_weights(self, layer):
        own = own_weights(layer)
        assert len(layer.weights) - len(own) == 16 * self.blocks + self.further
        return own

    @property
    def lengths(self) -> list[int]:
        """Number of tokens per modality; a vector is one."""
        return [shape[0] if len(shape) == 2 else 1 for shape in self.shapes]

    def expected(self, layer, x, there, masks=None):
        """All outputs, flat; `masks` says which tokens are real, `None` for all."""
        full = [np.ones((len(there), length), bool) for length in self.lengths]
        masks = masks or full
        masks = [
            one if mask is None else mask for one, mask in zip(full, masks, strict=True)
        ]
        rows = []
        for i, present in enumerate(there):
            kept = [
                mask[i] & bool(here) for mask, here in zip(masks, present, strict=True)
            ]
            rows.append(self.equation(layer, [one[i] for one in x], kept))
        return [np.stack(column) for column in zip(*rows, strict=True)]


def named(shapes=TOKENS, **more) -> dict:
    return (
        per_modality(
            shapes, projection=lambda d: (d, E), projection_bias=lambda d: (E,)
        )
        | more
    )


EMBEDDING = {"modality_embedding": (3, E)}
CASES = {
    "self-attention": AttentionCase(
        partial(f.SelfAttentionFusion, E, num_heads=HEADS),
        TOKENS,
        self_attention,
        named(**EMBEDDING, cls=(E,)),
        pair=True,
        further=2,
    ),
    "self-attention mean": AttentionCase(
        partial(
            f.SelfAttentionFusion,
            E,
            num_heads=HEADS,
            num_layers=2,
            mlp_dim=5,
            pooling="avg",
        ),
        TOKENS,
        self_attention,
        named(**EMBEDDING),
        pair=True,
        blocks=2,
        further=2,
    ),
    "self-attention tokens": AttentionCase(
        partial(f.SelfAttentionFusion, E, num_heads=HEADS, dropout=0.2, pooling=None),
        TOKENS,
        self_attention,
        named(**EMBEDDING),
        pair=True,
        further=2,
    ),
    # Per target: 8 weights and a norm for each of the two others; the query's norm,
    # the MLP's, and the MLP.
    "cross-modal": AttentionCase(
        partial(f.CrossModalAttention, E, num_heads=HEADS),
        TOKENS,
        cross_modal,
        named(),
        pair=True,
        blocks=0,
        further=3 * (2 * 10 + 8),
    ),
    "cross-modal tokens": AttentionCase(
        partial(
            f.CrossModalAttention,
            E,
            num_heads=HEADS,
            num_layers=2,
            mlp_dim=5,
            dropout=0.2,
            pooling=None,
        ),
        DUO,
        cross_modal,
        named(DUO),
        pair=True,
        blocks=0,
        further=2 * 2 * (10 + 8),
    ),
    "bottleneck": AttentionCase(
        partial(f.BottleneckFusion, E, num_heads=HEADS, num_bottlenecks=2, dropout=0.2),
        DUO,
        bottleneck,
        named(DUO, bottlenecks=(2, E)),
        blocks=4,
    ),
}
ALL = fusion_cases.CASES | CASES
