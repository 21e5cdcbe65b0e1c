"""Every fusion layer with its options, and its equation in plain NumPy.

An equation gets the layer's weights `w` by name, the features `x` with absent ones as
zeros, and `there` (B, M), true where present. It returns h, or h and the weights that
`return_weights` gives.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import keras
import numpy as np
from harness import fill, to_numpy

from mmlearn import fusion as f

BATCH = 4
THREE = ((2,), (3,), (4,))
SAME = ((3,), (3,), (3,))
PAIR = ((3,), (4,))
MAP = ((2, 2, 3), (4,))
PRIOR = [0.5, 0.3, 0.2]
E, U = 4, 3  # embed_dim and units


@dataclass(frozen=True)
class Case:
    make: Callable  # options -> layer
    shapes: tuple  # of one sample, per modality
    equation: Callable
    weights: dict = field(default_factory=dict)  # name -> shape, as documented
    probabilities: bool = False
    pair: bool = False  # `return_weights` exists
    tolerance: float = 1e-4

    def inputs(self, seed: int = 1, batch: int = BATCH) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        x = [rng.normal(size=(batch, *shape)) for shape in self.shapes]
        if self.probabilities:
            x = [softmax(2 * one) for one in x]
        return [one.astype("float32") for one in x]

    def fresh(self) -> keras.layers.Layer:
        """The layer with its start values."""
        layer = self.make()
        layer.build([(None, *shape) for shape in self.shapes])
        return layer

    def built(self, **options) -> keras.layers.Layer:
        """The layer with weights that do not depend on the backend."""
        layer = self.make(**options)
        layer.build([(None, *shape) for shape in self.shapes])
        fill(layer)
        return layer

    @cached_property
    def layer(self) -> keras.layers.Layer:
        """For tests that do not change it."""
        return self.built()

    @property
    def absent(self) -> np.ndarray:
        """Per sample: all there, one absent, one left, none."""
        rows = {2: ["11", "10", "01", "00"], 3: ["111", "101", "010", "000"]}
        return np.array(
            [[*map(float, row)] for row in rows[len(self.shapes)]], "float32"
        )

    def own_weights(self, layer) -> list:
        return layer.weights

    def expected(self, layer, x, there):
        return self.equation({v.name: to_numpy(v) for v in layer.weights}, x, there)


def per_modality(shapes, **named) -> dict:
    """`name_m` for each modality; a function of its length gives the shape."""
    return {
        f"{name}_{m}": shape(dims[-1])
        for name, shape in named.items()
        for m, dims in enumerate(shapes)
    }


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def norm(v):
    v = np.sign(v) * np.sqrt(np.abs(v))
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def with_one(x):
    return np.concatenate([np.ones((len(x), 1)), x], -1)


# --- joint -------------------------------------------------------------------------


def concat(w, x, there, append=False):
    return np.concatenate([*x, there] if append else x, -1)


def weighted(w, x, there):
    if "score_kernel" in w:
        a = np.concatenate(x, -1) @ w["score_kernel"]
    else:
        a = np.tile(w["scores"], (len(there), 1))
    shares = np.exp(a) * there
    shares /= np.maximum(shares.sum(-1, keepdims=True), 1e-30)
    y = np.stack([one @ w[f"projection_{m}"] for m, one in enumerate(x)], 1)
    return (shares[..., None] * y).sum(1), shares


def pooled(w, x, there, how):
    if w:
        x = [one @ w[f"projection_{m}"] for m, one in enumerate(x)]
    y, real = np.stack(x, 1), there[:, :, None]
    if how == "product":
        return np.where(real, y, 1).prod(1)
    if how == "max":
        best = np.where(real, y, -np.inf).max(1)
        return np.where(there.any(1)[:, None], best, 0)
    h = np.where(real, y, 0).sum(1)
    return h / np.maximum(there.sum(1), 1)[:, None] if how == "mean" else h


def deep_set(w, x, there):
    last = "kernel_1" in w
    s = sum(
        there[:, [m]] * relu(one @ w[f"kernel_{m * last}"] + w[f"bias_{m * last}"])
        for m, one in enumerate(x)
    )
    return relu(s @ w["output_kernel"] + w["output_bias"])


# --- gated -------------------------------------------------------------------------


def gated(w, x, there, tied=False):
    joined = np.concatenate(x, -1)
    g = np.stack([np.tanh(a @ w[f"projection_{m}"]) for m, a in enumerate(x)], 1)
    if tied:
        z = sigmoid(joined @ w["gate_0"])
        z = np.stack([z, 1 - z], 1)
        alone = there & ~there[:, ::-1]
        z = np.where(alone[..., None], 1, z)
    else:
        z = np.stack([sigmoid(joined @ w[f"gate_{m}"]) for m in range(len(x))], 1)
    z = z * there[..., None]
    return (z * g).sum(1), z


def film(w, x, there):
    x, c = x
    told = there[:, [1]]
    gamma = np.where(told, c @ w["gamma_kernel"] + w["gamma_bias"], 1)
    beta = np.where(told, c @ w["beta_kernel"] + w["beta_bias"], 0)
    middle = (1,) * (x.ndim - 2)
    wide = (len(x), *middle, x.shape[-1])
    return gamma.reshape(wide) * x + beta.reshape(wide)


# --- tensor ------------------------------------------------------------------------


def outer(x) -> np.ndarray:
    z = with_one(x[0])
    for one in x[1:]:
        z = (z[:, :, None] * with_one(one)[:, None, :]).reshape(len(z), -1)
    return z


def tensor(w, x, there):
    z = outer(x)
    return z @ w["kernel"] + w["bias"] if w else z


def low_rank(w, x, there):
    p = 1
    for m, one in enumerate(x):
        p = p * np.einsum("bi,rik->brk", with_one(one), w[f"factor_{m}"])
    return np.einsum("brk,r->bk", p, w["rank_weights"]) + w["bias"]


def multiplicative(w, x, there, form="matrix"):
    a, b = x
    if form == "matrix":
        h = np.einsum("bi,bj,ijk->bk", a, b, w["kernel"])
        return h + b @ w["second_kernel"] + a @ w["first_kernel"] + w["bias"]
    if form == "scalar":
        a = a.reshape(len(a), -1)
        scale = (a * w["kernel"]).sum(-1) + w["second_kernel"]
        shift = (a * w["first_kernel"]).sum(-1) + w["bias"]
        return b * scale[:, None] + shift[:, None]
    return (
        b * (a @ w["kernel"] + w["second_kernel"]) + a @ w["first_kernel"] + w["bias"]
    )


# --- bilinear ----------------------------------------------------------------------


def projected(w, x, prefix="", act=None):
    act = act or (lambda p: p)
    return [
        act(one @ w[f"{prefix}projection_{m}"] + w[f"{prefix}projection_bias_{m}"])
        for m, one in enumerate(x)
    ]


def merged(w, p, name, rank):
    """Σ_r over the two merged vectors, each reshaped (B, rank, size)."""
    m = [
        (one @ w[f"{name}_{i}"] + w[f"{name.replace('merge', 'merge_bias')}_{i}"])
        for i, one in enumerate(p)
    ]
    m = [one.reshape(len(one), rank, -1) for one in m]
    return (m[0] * m[1]).sum(1)


def sketches(w, x, size):
    out = [np.zeros((len(one), size)) for one in x]
    for m, one in enumerate(x):
        hashes = w[f"hash_{m}"].astype(int)
        for i in range(one.shape[1]):
            out[m][:, hashes[i]] += w[f"sign_{m}"][i] * one[:, i]
    return out


def circular(a, b):
    size = a.shape[-1]
    rolled = [b[:, (j - np.arange(size)) % size] for j in range(size)]
    return np.stack([(a * one).sum(-1) for one in rolled], -1)


def bilinear(w, x, there, kind, rank=None, act=None, normalize=False, chunks=None):
    last = norm if normalize else lambda v: v
    if kind is None:
        return np.einsum("bi,bj,ijk->bk", *x, w["kernel"]) + w["bias"]
    p = None if kind == "mcb" else projected(w, x, act=act)
    if kind == "mlb":
        v = last(p[0] * p[1])
    elif kind == "mfb":
        v = last((p[0] * p[1]).reshape(len(x[0]), E, rank).sum(-1))
    elif kind == "mfh":
        second = projected(w, x, "second_", act)
        q1 = p[0] * p[1]
        q2 = second[0] * second[1] * q1
        v = [last(q.reshape(len(q), E, rank).sum(-1)) for q in (q1, q2)]
        v = np.concatenate(v, -1)
    elif kind == "mutan":
        v = last(merged(w, p, "merge", rank))
    elif kind == "tucker":
        v = last(np.einsum("bi,bj,ijk->bk", *p, w["core"]) + w["core_bias"])
    elif kind == "block":
        cut = [np.split(one, chunks, -1) for one in p]
        v = [
            last(merged(w, [cut[0][c], cut[1][c]], f"merge_{c}", rank))
            for c in range(chunks)
        ]
        v = np.concatenate(v, -1)
    else:
        v = last(circular(*sketches(w, x, E)))
    return v @ w["output_kernel"] + w["output_bias"]


# --- decisions ---------------------------------------------------------------------


def decision(w, x, there, rule, logits=False, prior=None):
    p = np.stack([softmax(one) if logits else one for one in x], 1)
    classes, real = p.shape[-1], there[..., None]
    prior = np.full(classes, 1 / classes) if prior is None else np.array(prior)
    count = np.maximum(there.sum(1), 1)[:, None]
    log = np.log(np.maximum(p, 1e-7))
    shares = None
    if rule == "mean":
        h = (p * real).sum(1) / count
    elif rule == "mean_logits":
        h = softmax((log * real).sum(1) / count)
    elif rule == "weighted":
        shares = np.exp(w["scores"]) * there
        shares = shares / np.maximum(shares.sum(-1, keepdims=True), 1e-30)
        h = (shares[..., None] * p).sum(1)
    elif rule == "max":
        h = np.where(real, p, 0).max(1)
        h = h / np.maximum(h.sum(-1, keepdims=True), 1e-30)
    elif rule == "vote":
        h = (np.eye(classes)[p.argmax(-1)] * real).sum(1) / count
    else:
        h = softmax((log * real).sum(1) - (there.sum(1)[:, None] - 1) * np.log(prior))
    h = np.where(there.any(1)[:, None], h, prior)
    return h if shares is None else (h, shares)


def stacked(w, x, there, logits=False):
    p = [softmax(one) if logits else one for one in x]
    scores = sum(
        there[:, [m]] * (np.log(np.maximum(one, 1e-7)) @ w[f"kernel_{m}"])
        for m, one in enumerate(p)
    )
    return softmax(scores + w["bias"])


def evidential(w, x, there):
    """Dempster's reduced rule on beliefs, two opinions at a time, as in the paper."""
    classes = x[0].shape[-1]
    belief, doubt = np.zeros_like(x[0], "float64"), np.ones((len(there), 1))
    for m, one in enumerate(x):
        evidence = np.log1p(np.exp(one.astype("float64"))) * there[:, [m]]
        mass = classes + evidence.sum(-1, keepdims=True)
        b, u = evidence / mass, classes / mass
        pairs = np.einsum("bi,bj->bij", belief, b)
        conflict = pairs.sum((1, 2)) - np.einsum("bii->b", pairs)
        left = 1 - conflict[:, None]
        belief = (belief * b + belief * u + b * doubt) / left
        doubt = doubt * u / left
    return (belief * classes / doubt + 1) * doubt / classes


# --- the cases ---------------------------------------------------------------------


def to_e(d):
    return (d, E)


POOLED = {
    "sum": f.SumFusion,
    "mean": f.MeanFusion,
    "max": f.MaxFusion,
    "product": f.ProductFusion,
}
CASES = {
    "concat": Case(f.ConcatFusion, THREE, concat),
    "concat with mask": Case(
        partial(f.ConcatFusion, append_presence=True), THREE, partial(concat, append=1)
    ),
    "weighted": Case(
        partial(f.WeightedFusion, E),
        THREE,
        weighted,
        {**per_modality(THREE, projection=to_e), "scores": (3,)},
        pair=True,
    ),
    "weighted per sample": Case(
        partial(f.WeightedFusion, E, per_sample=True),
        THREE,
        weighted,
        {**per_modality(THREE, projection=to_e), "score_kernel": (9, 3)},
        pair=True,
    ),
}
for name, layer in POOLED.items():
    CASES[name] = Case(layer, SAME, partial(pooled, how=name))
    CASES[f"{name} projected"] = Case(
        partial(layer, embed_dim=E),
        THREE,
        partial(pooled, how=name),
        per_modality(THREE, projection=to_e),
    )
CASES |= {
    "deep set": Case(
        partial(f.DeepSetFusion, E),
        THREE,
        deep_set,
        per_modality(THREE, kernel=to_e, bias=lambda d: (E,))
        | {"output_kernel": (E, E), "output_bias": (E,)},
    ),
    "deep set shared": Case(
        partial(f.DeepSetFusion, E, units=U, shared=True),
        SAME,
        deep_set,
        {
            "kernel_0": (3, E),
            "bias_0": (E,),
            "output_kernel": (E, U),
            "output_bias": (U,),
        },
    ),
    "gated": Case(
        partial(f.GatedFusion, E),
        THREE,
        gated,
        per_modality(THREE, projection=to_e, gate=lambda d: (9, E)),
        pair=True,
    ),
    "gated tied": Case(
        partial(f.GatedFusion, E, tied=True),
        PAIR,
        partial(gated, tied=True),
        {**per_modality(PAIR, projection=to_e), "gate_0": (7, E)},
        pair=True,
    ),
}
for name, shapes in {"film": PAIR, "film map": MAP}.items():
    CASES[name] = Case(
        f.FiLMFusion,
        shapes,
        film,
        {
            "gamma_kernel": (4, 3),
            "gamma_bias": (3,),
            "beta_kernel": (4, 3),
            "beta_bias": (3,),
        },
    )
CASES |= {
    "tensor": Case(f.TensorFusion, THREE, tensor),
    "tensor dense": Case(
        partial(f.TensorFusion, units=U),
        THREE,
        tensor,
        {"kernel": (3 * 4 * 5, U), "bias": (U,)},
    ),
    "low rank": Case(
        partial(f.LowRankFusion, U, rank=2),
        THREE,
        low_rank,
        per_modality(THREE, factor=lambda d: (2, d + 1, U))
        | {"rank_weights": (2,), "bias": (U,)},
    ),
    "multiplicative": Case(
        partial(f.MultiplicativeInteraction, U),
        PAIR,
        multiplicative,
        {
            "kernel": (3, 4, U),
            "second_kernel": (4, U),
            "first_kernel": (3, U),
            "bias": (U,),
        },
    ),
    "multiplicative vector": Case(
        partial(f.MultiplicativeInteraction, form="vector"),
        PAIR,
        partial(multiplicative, form="vector"),
        {
            "kernel": (3, 4),
            "second_kernel": (4,),
            "first_kernel": (3, 4),
            "bias": (4,),
        },
    ),
    "multiplicative scalar": Case(
        partial(f.MultiplicativeInteraction, form="scalar"),
        PAIR,
        partial(multiplicative, form="scalar"),
        {"kernel": (3,), "second_kernel": (1,), "first_kernel": (3,), "bias": (1,)},
    ),
    "bilinear": Case(
        partial(f.BilinearFusion, U),
        PAIR,
        partial(bilinear, kind=None),
        {"kernel": (3, 4, U), "bias": (U,)},
    ),
}


def block_weights(chunks, rank):
    size = E // chunks
    return {
        f"{name}_{c}_{m}": shape
        for c in range(chunks)
        for m in range(2)
        for name, shape in {
            "merge": (size, size * rank),
            "merge_bias": (size * rank,),
        }.items()
    }


def factors(width, prefix=""):
    return per_modality(
        PAIR,
        **{
            f"{prefix}projection": lambda d: (d, width),
            f"{prefix}projection_bias": lambda d: (width,),
        },
    )


MERGES = per_modality(PAIR, merge=lambda d: (E, 2 * E), merge_bias=lambda d: (2 * E,))
HASHES = per_modality(PAIR, hash=lambda d: (d,), sign=lambda d: (d,))
CORE = {"core": (E, E, E), "core_bias": (E,)}
for name, layer_options, reference_options, named, length in [
    ("mlb", {}, {}, factors(E), E),
    ("mlb", {"activation": "tanh"}, {"act": np.tanh}, factors(E), E),
    ("mlb", {"normalize": True}, {"normalize": True}, factors(E), E),
    ("mfb", {"rank": 2}, {"rank": 2, "normalize": True}, factors(2 * E), E),
    ("mfb", {"normalize": False}, {"rank": 4}, factors(4 * E), E),
    (
        "mfh",
        {"rank": 2},
        {"rank": 2, "normalize": True},
        factors(2 * E) | factors(2 * E, "second_"),
        2 * E,
    ),
    (
        "mfb",
        {"activation": "relu"},
        {"rank": 4, "normalize": True, "act": relu},
        factors(4 * E),
        E,
    ),
    (
        "mfh",
        {"activation": "tanh"},
        {"rank": 4, "normalize": True, "act": np.tanh},
        factors(4 * E) | factors(4 * E, "second_"),
        2 * E,
    ),
    ("mutan", {"rank": 2}, {"rank": 2}, factors(E) | MERGES, E),
    ("tucker", {}, {}, factors(E) | CORE, E),
    (
        "block",
        {"rank": 2, "chunks": 2},
        {"rank": 2, "chunks": 2, "normalize": True},
        factors(E) | block_weights(2, 2),
        E,
    ),
    (
        "block",
        {"normalize": False},
        {"rank": 4, "chunks": 4},
        factors(E) | block_weights(4, 4),
        E,
    ),
    ("mcb", {}, {"normalize": True}, HASHES, E),
    ("mcb", {"normalize": False, "seed": 3}, {}, HASHES, E),
]:
    CASES[" ".join([name, *layer_options])] = Case(
        partial(f.BilinearFusion, U, name, embed_dim=E, **layer_options),
        PAIR,
        partial(bilinear, kind=name, **reference_options),
        {**named, "output_kernel": (length, U), "output_bias": (U,)},
        # The square root magnifies a rounding error near 0.
        tolerance=3e-3 if reference_options.get("normalize") else 1e-4,
    )
DECISIONS = ("mean", "mean_logits", "weighted", "max", "vote", "product")
for rule in DECISIONS:
    for options in ({}, {"from_logits": True, "prior": PRIOR}):
        CASES[f"decision {rule}" + (" of logits" if options else "")] = Case(
            partial(f.DecisionFusion, rule, **options),
            SAME,
            partial(
                decision,
                rule=rule,
                logits="from_logits" in options,
                prior=options.get("prior"),
            ),
            {"scores": (3,)} if rule == "weighted" else {},
            probabilities=not options,
            pair=rule == "weighted",
        )
for logits in (False, True):
    CASES["stacking" + " of logits" * logits] = Case(
        partial(f.StackingFusion, U, from_logits=logits),
        THREE,
        partial(stacked, logits=logits),
        per_modality(THREE, kernel=lambda d: (d, U)) | {"bias": (U,)},
        probabilities=not logits,
    )
CASES["evidential"] = Case(f.EvidentialFusion, SAME, evidential)
# How the names of decision-level ones start.
LATE = ("decision", "stacking", "evidential")
