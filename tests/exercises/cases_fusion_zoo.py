"""Answers to the exercises of notebook 03."""

import keras
import numpy as np
from exercise_cases import Cases
from keras import layers, ops
from scipy.special import expit, softmax

from mmlearn_course.graders import fusion_zoo

# --- 1: the gated multimodal unit


def gmu(x1, x2, w1, w2, u1, u2, gate=expit, squash=np.tanh):
    both = np.hstack([x1, x2])
    return gate(both @ u1) * squash(x1 @ w1) + gate(both @ u2) * squash(x2 @ w2)


def gmu_in_keras(x1, x2, w1, w2, u1, u2):
    x1, x2, w1, w2, u1, u2 = (ops.cast(a, "float32") for a in (x1, x2, w1, w2, u1, u2))
    h = 0
    for x, w, u in ((x1, w1, u1), (x2, w2, u2)):
        h = h + ops.sigmoid(ops.concatenate([x1, x2], -1) @ u) * ops.tanh(x @ w)
    return h


def own_gates(x1, x2, w1, w2, u1, u2):
    first = expit(x1 @ u1[:3]) * np.tanh(x1 @ w1)
    return first + expit(x2 @ u2[3:]) * np.tanh(x2 @ w2)


def tied_gates(x1, x2, w1, w2, u1, u2):
    z = expit(np.hstack([x1, x2]) @ u1)
    return z * np.tanh(x1 @ w1) + (1 - z) * np.tanh(x2 @ w2)


# --- 2: XOR with a linear head


def says(*values):
    return lambda: dict(zip(fusion_zoo.BEATS_CHANCE, values, strict=True))


# --- 3: Σ softmax(a)_m x_m over those present; (B, M, D), (B, M), (B, M)


def weighted_by_infinity(x, scores, presence):
    here = presence > 0
    scores = np.where(here, scores, -np.inf)
    some = here.any(axis=1, keepdims=True)
    shares = softmax(np.where(some, scores, 0), axis=1) * here
    return (shares[..., None] * np.where(here[..., None], x, 0)).sum(axis=1)


def weighted_by_loop(x, scores, presence):
    h = np.zeros((x.shape[0], x.shape[2]))
    for row in range(len(x)):
        here = np.flatnonzero(presence[row])
        if len(here):
            h[row] = softmax(scores[row, here]) @ x[row, here]
    return h


def largest_of_all(x, scores, presence):
    e = np.exp(scores - scores.max(axis=1, keepdims=True)) * presence
    x = np.where(presence[..., None] > 0, x, 0)
    shares = e / np.maximum(e.sum(axis=1, keepdims=True), 1e-9)
    return (shares[..., None] * x).sum(axis=1)


def masked_after(x, scores, presence):
    x = np.where(presence[..., None] > 0, x, 0)
    return ((softmax(scores, axis=1) * presence)[..., None] * x).sum(axis=1)


def score_of_zero(x, scores, presence):
    x = np.where(presence[..., None] > 0, x, 0)
    return (softmax(scores * presence, axis=1)[..., None] * x).sum(axis=1)


def keeps_nan(x, scores, presence):
    e = np.exp(scores) * presence
    shares = e / np.maximum(e.sum(axis=1, keepdims=True), 1e-9)
    return (shares[..., None] * x).sum(axis=1)


def none_is_nan(x, scores, presence):
    e = np.exp(scores) * presence
    x = np.where(presence[..., None] > 0, x, 0)
    return ((e / e.sum(axis=1, keepdims=True))[..., None] * x).sum(axis=1)


def over_the_batch(x, scores, presence):
    e = np.exp(scores) * presence
    shares = e / np.maximum(e.sum(axis=0), 1e-9)
    return (shares[..., None] * np.where(presence[..., None] > 0, x, 0)).sum(axis=1)


# --- 4: attention within the sample


class Stacked(layers.Layer):
    def call(self, features):
        tokens = ops.stack(features, axis=1)
        return ops.mean(layers.Attention()([tokens, tokens]), axis=1)


class ByHand(layers.Layer):
    def call(self, features):
        tokens = ops.stack(features, axis=1)
        scores = ops.matmul(tokens, ops.transpose(tokens, (0, 2, 1)))
        h = ops.matmul(ops.softmax(scores / 8**0.5), tokens)
        return ops.reshape(h, (-1, 16))


class WithHeads(layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 4)

    def call(self, features):
        tokens = ops.stack(features, axis=1)
        return self.attention(tokens, tokens)


class Product(layers.Layer):
    def call(self, features):
        return features[0] * features[1]


class OverFeatures(layers.Layer):
    def call(self, features):
        query, key = (ops.expand_dims(x, -1) for x in features)
        return ops.squeeze(layers.Attention()([query, key]), -1)


class MixesSamples(layers.Layer):
    def call(self, features):
        return layers.Attention()(features)


class OneKey(layers.Layer):
    def call(self, features):
        return layers.Attention()([x[:, None] for x in features])[:, 0]


class BatchAsSequence(layers.Layer):
    def call(self, features):
        tokens = ops.stack(features, axis=0)
        return ops.mean(layers.Attention()([tokens, tokens]), axis=0)


class NoAttention(layers.Layer):
    def call(self, features):
        return ops.concatenate(features, axis=-1)


class FirstOnly(layers.Layer):
    def call(self, features):
        tokens = ops.expand_dims(features[0], 1)
        return layers.Attention()([tokens, tokens])[:, 0]


class WeightsInCall(layers.Layer):
    def call(self, features):
        tokens = ops.stack([layers.Dense(8)(x) for x in features], axis=1)
        return ops.mean(layers.Attention()([tokens, tokens]), axis=1)


# --- 5: product of experts, the prior once; (M, B, C), (C,)


def experts_by_logs(p, prior):
    return softmax(np.log(p).sum(axis=0) - (len(p) - 1) * np.log(prior), axis=1)


def experts_by_evidence(p, prior):
    h = np.tile(prior, (p.shape[1], 1))
    for posterior in p:
        h = h * posterior / prior
    return h / h.sum(axis=1, keepdims=True)


def normal(h):
    return h / h.sum(axis=-1, keepdims=True)


# --- 6: low rank for any number of modalities


def low_rank_by_loop(features, factors, rank_weights, bias):
    h = 1
    for x, factor in zip(features, factors, strict=True):
        ones = np.ones((len(x), 1))
        h = h * np.einsum("bi,riu->bru", np.hstack([ones, x]), factor)
    return np.einsum("r,bru->bu", rank_weights, h) + bias


def low_rank_by_rank(features, factors, rank_weights, bias):
    h = bias
    for r, weight in enumerate(rank_weights):
        parts = [x @ f[r, 1:] + f[r, 0] for x, f in zip(features, factors, strict=True)]
        h = h + weight * np.prod(parts, axis=0)
    return h


def only_two(features, factors, rank_weights, bias):
    return low_rank_by_loop(features[:2], factors[:2], rank_weights, bias)


def one_last(features, factors, rank_weights, bias):
    h = 1
    for x, factor in zip(features, factors, strict=True):
        ones = np.ones((len(x), 1))
        h = h * np.einsum("bi,riu->bru", np.hstack([x, ones]), factor)
    return np.einsum("r,bru->bu", rank_weights, h) + bias


def without_one(features, factors, rank_weights, bias):
    pairs = zip(features, factors, strict=True)
    parts = [np.einsum("bi,riu->bru", x, f[:, 1:]) for x, f in pairs]
    return np.einsum("r,bru->bu", rank_weights, np.prod(parts, axis=0)) + bias


def summed(features, factors, rank_weights, bias):
    h = 0
    for x, factor in zip(features, factors, strict=True):
        ones = np.ones((len(x), 1))
        h = h + np.einsum("bi,riu->bru", np.hstack([ones, x]), factor)
    return np.einsum("r,bru->bu", rank_weights, h) + bias


# --- 7: a fusion of one's own


def with_one(x):
    return np.hstack([np.ones((len(x), 1)), x])


def tensor(x1, x2):
    return np.einsum("bi,bj->bij", with_one(x1), with_one(x2)).reshape(len(x1), -1)


def squares_of_all(x1, x2):
    both = np.hstack([x1, x2])
    rows, columns = np.triu_indices(32)
    return np.hstack([both, both[:, rows] * both[:, columns]])


P1, P2 = np.random.default_rng(1).normal(size=(2, 16, 300))


def projected(x1, x2):
    return np.hstack([x1, x2, (x1 @ P1) * (x2 @ P2)])


def keras_model():
    first, second = keras.Input((16,)), keras.Input((16,))
    pairs = ops.reshape(
        ops.expand_dims(first, 2) * ops.expand_dims(second, 1), (-1, 256)
    )
    model = keras.Model([first, second], ops.concatenate([first, second, pairs], 1))
    return lambda x1, x2: model([x1, x2])


def products_only(x1, x2):
    return np.einsum("bi,bj->bij", x1, x2).reshape(len(x1), -1)


def batch_scaled(x1, x2):
    h = tensor(x1, x2)
    return h / (1 + h.std(axis=0))


def redrawn(x1, x2):
    return (x1 @ np.random.randn(16, 99)) * (x2 @ np.random.randn(16, 99))


CASES = {
    fusion_zoo.grade_gated: Cases(
        right={"NumPy": gmu, "Keras, in a loop": gmu_in_keras},
        wrong={
            "gates see one modality": own_gates,
            "tied gates": tied_gates,
            "no tanh": lambda *a: gmu(*a, squash=lambda h: h),
            "softmax for sigmoid": lambda *a: gmu(
                *a, gate=lambda h: softmax(h, axis=1)
            ),
            "gates exchanged": lambda x1, x2, w1, w2, u1, u2: gmu(
                x1, x2, w1, w2, u2, u1
            ),
            "the second in front": lambda x1, x2, w1, w2, u1, u2: gmu(
                x2, x1, w2, w1, u2, u1
            ),
            "sigmoid forgotten": lambda *a: gmu(*a, gate=lambda h: h),
        },
    ),
    fusion_zoo.grade_xor_prediction: Cases(
        right={
            "bool": says(False, False, False, False, True, True, True),
            "NumPy": says(*np.array([0, 0, 0, 0, 1, 1, 1], bool)),
            "computed": lambda: {
                name: not name.startswith(("sum", "mean", "weighted"))
                and name != "concat"
                for name in fusion_zoo.BEATS_CHANCE
            },
        },
        wrong={
            "all can": says(*[True] * 7),
            "only products": says(False, False, False, False, True, True, False),
            "concatenation can": says(True, False, False, False, True, True, True),
            "weights help": says(False, False, True, False, True, True, True),
            "left open": says(*[None] * 7),
        },
    ),
    fusion_zoo.grade_weighted: Cases(
        right={"minus infinity": weighted_by_infinity, "loop": weighted_by_loop},
        wrong={
            "masked after the softmax": masked_after,
            "a score of zero": score_of_zero,
            "largest of all": largest_of_all,
            "NaN gets through": keeps_nan,
            "none is NaN": none_is_nan,
            "over the batch": over_the_batch,
            "mask ignored": lambda x, s, p: (softmax(s, 1)[..., None] * x).sum(axis=1),
            "mean": lambda x, s, p: x.mean(axis=1),
        },
    ),
    fusion_zoo.grade_mended: Cases(
        right={"stacked": Stacked, "by hand": ByHand, "with heads": WithHeads},
        wrong={
            "mixes samples": MixesSamples,
            "one key": OneKey,
            "batch as sequence": BatchAsSequence,
            "no attention": NoAttention,
            "product": Product,
            "over features": OverFeatures,
            "first only": FirstOnly,
            "weights in call": WeightsInCall,
        },
    ),
    fusion_zoo.grade_experts: Cases(
        right={"logarithms": experts_by_logs, "evidence": experts_by_evidence},
        wrong={
            "prior in every one": lambda p, prior: normal(p.prod(axis=0)),
            "prior divided out for all": lambda p, prior: normal(
                p.prod(axis=0) / prior ** len(p)
            ),
            "prior divided out once": lambda p, prior: normal(p.prod(axis=0) / prior),
            "mean": lambda p, prior: p.mean(axis=0),
            "not normalised": lambda p, prior: p.prod(axis=0) / prior ** (len(p) - 1),
            "normalised over the batch": lambda p, prior: (
                p.prod(axis=0) / p.prod(axis=0).sum(axis=0)
            ),
        },
    ),
    fusion_zoo.grade_low_rank: Cases(
        right={"loop": low_rank_by_loop, "rank by rank": low_rank_by_rank},
        wrong={
            "only two": only_two,
            "1 last": one_last,
            "without 1": without_one,
            "summed": summed,
            "no bias": lambda x, f, w, b: low_rank_by_loop(x, f, w, 0),
            "no weights": lambda x, f, w, b: low_rank_by_loop(x, f, 1 + 0 * w, b),
        },
    ),
    fusion_zoo.grade_my_fusion: Cases(
        right={
            "tensor": tensor,
            "squares of all": squares_of_all,
            "projected products": projected,
            "Keras": keras_model(),
        },
        wrong={
            "concatenation": lambda x1, x2: np.hstack([x1, x2]),
            "sum": lambda x1, x2: x1 + x2,
            "products of neighbours": lambda x1, x2: np.hstack([x1, x2, x1 * x2]),
            "products only": products_only,
            "scaled by the batch": batch_scaled,
            "redrawn": redrawn,
            "too many": lambda x1, x2: np.tile(tensor(x1, x2), 3),
        },
    ),
}
