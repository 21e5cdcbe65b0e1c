"""Each fusion layer's equation by hand: `equation(o, w, x)`.

`o` are a backend's own operations (`native.py`), `w` the layer's weights by name, `x`
the list of inputs. All modalities are present, as in the layers' default.
"""

from functools import reduce
from operator import add, mul

from mmlearn import fusion as f


def weights(layer) -> dict:
    """The layer's variables by name, those of Transformer blocks in nests."""
    w = {v.name: v for v in layer.weights}
    if isinstance(layer, f.SelfAttentionFusion):
        w = w | {"blocks": [_block(b) for b in layer.blocks], "norm": _own(layer.norm)}
    elif isinstance(layer, f.BottleneckFusion):
        w["rounds"] = [[_block(b) for b in blocks] for blocks in layer.rounds]
    elif isinstance(layer, f.CrossModalAttention):
        w["rounds"] = [[_target(t) for t in targets] for targets in layer.rounds]
    return w


def _own(layer) -> list:
    return list(layer.weights)


def _mlp(block) -> dict:
    parts = {"norm": block.mlp_norm, "in": block.mlp_in, "out": block.mlp_out}
    return {name: _own(part) for name, part in parts.items()}


def _block(block) -> dict:
    return {
        "norm": _own(block.attention_norm),
        "attention": _own(block.attention),
        "mlp": _mlp(block),
    }


def _target(target) -> dict:
    return {
        "norm": _own(target.query_norm),
        "norms": [_own(norm) for norm in target.source_norms],
        "attentions": [_own(attention) for attention in target.attentions],
        "mlp": _mlp(target),
    }


# --- joint and gated -----------------------------------------------------------------


def concat(o, w, x):
    return o.concat(x, -1)


def elementwise(o, w, x, operation):
    if "projection_0" in w:
        x = [one @ w[f"projection_{m}"] for m, one in enumerate(x)]
    return reduce(getattr(o, operation, None) or {"add": add, "mul": mul}[operation], x)


def mean(o, w, x):
    return elementwise(o, w, x, "add") / len(x)


def weighted(o, w, x, per_sample=False):
    if per_sample:
        shares = o.softmax(o.concat(x, -1) @ w["score_kernel"])
        shares = [shares[:, m : m + 1] for m in range(len(x))]
    else:
        shares = o.softmax(w["scores"] + 0)
        shares = [shares[m] for m in range(len(x))]
    terms = enumerate(zip(shares, x, strict=True))
    return reduce(add, (s * (one @ w[f"projection_{m}"]) for m, (s, one) in terms))


def deep_set(o, w, x):
    encoded = (
        o.relu(one @ w[f"kernel_{m}"] + w[f"bias_{m}"]) for m, one in enumerate(x)
    )
    return o.relu(reduce(add, encoded) @ w["output_kernel"] + w["output_bias"])


def gated(o, w, x, tied=False):
    joined = o.concat(x, -1)
    values = [o.tanh(one @ w[f"projection_{m}"]) for m, one in enumerate(x)]
    if tied:
        z = o.sigmoid(joined @ w["gate_0"])
        return z * values[0] + (1 - z) * values[1]
    gates = [o.sigmoid(joined @ w[f"gate_{m}"]) for m in range(len(x))]
    return reduce(add, (z * g for z, g in zip(gates, values, strict=True)))


def film(o, w, x):
    x, condition = x
    gamma = condition @ w["gamma_kernel"] + w["gamma_bias"]
    beta = condition @ w["beta_kernel"] + w["beta_bias"]
    return gamma[:, None] * x + beta[:, None]


# --- products ------------------------------------------------------------------------


def tensor(o, w, x):
    first, second = (o.concat([o.ones(one), one], -1) for one in x)
    rows, columns = first.shape[-1], second.shape[-1]
    if "kernel" not in w:
        return o.reshape(first[:, :, None] * second[:, None], (-1, rows * columns))
    kernel = o.reshape(w["kernel"], (rows, columns, w["bias"].shape[0]))
    return _bilinear(o, first, second, kernel) + w["bias"]


def materialised(o, w, x):
    """TensorFusion of any number of modalities, the outer product made in full."""
    product = o.concat([o.ones(x[0]), x[0]], -1)
    for one in x[1:]:
        one = o.concat([o.ones(one), one], -1)
        length = product.shape[-1] * one.shape[-1]
        product = o.reshape(product[:, :, None] * one[:, None], (-1, length))
    return product @ w["kernel"] + w["bias"]


def low_rank(o, w, x):
    terms = (
        o.einsum("bd,rdu->bru", o.concat([o.ones(one), one], -1), w[f"factor_{m}"])
        for m, one in enumerate(x)
    )
    return o.einsum("r,bru->bu", w["rank_weights"], reduce(mul, terms)) + w["bias"]


def multiplicative(o, w, x, form="matrix"):
    first, second = x
    kernel, v, u, b = (
        w[n] for n in ("kernel", "second_kernel", "first_kernel", "bias")
    )
    if form == "matrix":
        return _bilinear(o, first, second, kernel) + second @ v + first @ u + b
    if form == "scalar":
        kernel, u = kernel[:, None], u[:, None]
    return second * (first @ kernel + v) + (first @ u + b)


def _bilinear(o, first, second, kernel):
    """Σ_ij x_1i x_2j W_iju: one large product of matrices, one small per sample."""
    rows, columns, units = kernel.shape
    half = first @ o.reshape(kernel, (rows, columns * units))
    half = o.reshape(half, (-1, columns, units))
    return o.einsum("bj,bju->bu", second, half)


def bilinear(o, w, x, kind=None, rank=4, chunks=4):
    first, second = x
    if kind is None:
        return _bilinear(o, first, second, w["kernel"]) + w["bias"]
    if kind == "mcb":
        length = w["output_kernel"].shape[0]
        spectra = [
            o.rfft(o.sketch(one, w[f"hash_{m}"], w[f"sign_{m}"], length))
            for m, one in enumerate(x)
        ]
        v = _normed(o, o.irfft(spectra[0] * spectra[1], length))
    else:
        v = _joint(o, w, *_pair(w, "projection", first, second), x, kind, rank, chunks)
    return v @ w["output_kernel"] + w["output_bias"]


def _joint(o, w, p, q, x, kind, rank, chunks):
    if kind == "mlb":
        return p * q
    if kind in ("mfb", "mfh"):
        products = p * q
        v = _normed(o, o.sum(o.reshape(products, (len(p), -1, rank)), -1))
        if kind == "mfb":
            return v
        p, q = _pair(w, "second_projection", *x)
        deeper = o.sum(o.reshape(p * q * products, (len(p), -1, rank)), -1)
        return o.concat([v, _normed(o, deeper)], -1)
    if kind == "tucker":
        return _bilinear(o, p, q, w["core"]) + w["core_bias"]
    if kind == "mutan":
        p, q = _pair(w, "merge", p, q)
        return o.sum(o.reshape(p * q, (len(p), rank, -1)), 1)
    size, pieces = p.shape[-1] // chunks, []
    for c in range(chunks):
        place = slice(c * size, (c + 1) * size)
        a, b = _pair(w, "merge", p[:, place], q[:, place], f"_{c}")
        piece = o.sum(o.reshape(a * b, (len(p), rank, size)), 1)
        pieces.append(_normed(o, piece))
    return o.concat(pieces, -1)


def _pair(w, name, first, second, suffix=""):
    return [
        x @ w[f"{name}{suffix}_{m}"] + w[f"{name}_bias{suffix}_{m}"]
        for m, x in enumerate((first, second))
    ]


def _normed(o, v):
    v = v * _inverse_root(o, o.abs(v))
    return v * _inverse_root(o, o.sum(v * v, -1)[:, None])


def _inverse_root(o, x):
    """1/√x, and 0 where x is 0, so that gradients stay finite."""
    positive = x > 1e-12
    return o.where(positive, o.rsqrt(o.where(positive, x, 1.0)), 0.0)


# --- decisions -----------------------------------------------------------------------


def decision(o, w, p, rule):
    if rule == "mean":
        return reduce(add, p) / len(p)
    if rule == "weighted":
        shares = o.softmax(w["scores"] + 0)
        return reduce(add, (shares[m] * one for m, one in enumerate(p)))
    if rule == "max":
        highest = reduce(o.maximum, p)
        return highest / o.sum(highest, -1)[:, None]
    logs = reduce(add, (o.log(o.maximum(one, 1e-7)) for one in p))
    if rule == "mean_logits":
        return o.softmax(logs / len(p))
    # A uniform prior changes every class alike: the softmax does not see it.
    return o.softmax(logs)


def stacking(o, w, p):
    logs = (o.log(o.maximum(one, 1e-7)) @ w[f"kernel_{m}"] for m, one in enumerate(p))
    return o.softmax(reduce(add, logs) + w["bias"])


def evidential(o, w, x):
    classes, product, scale = x[0].shape[-1], 1, 1
    for one in x:
        factor = 1 + o.softplus(one) / classes
        largest = o.largest(factor)
        product, scale = product * (factor / largest), scale / largest
    shares = classes * product + (1 - classes) * scale
    return shares / o.sum(shares, -1)[:, None]


# --- attention -----------------------------------------------------------------------


def _tokens(o, w, x):
    return [
        o.dense(one, w[f"projection_{m}"], w[f"projection_bias_{m}"])
        for m, one in enumerate(x)
    ]


def _with_mlp(o, w, x):
    return x + o.dense(
        o.gelu(o.dense(o.layer_norm(x, *w["norm"]), *w["in"])), *w["out"]
    )


def _transform(o, w, x):
    normed = o.layer_norm(x, *w["norm"])
    return _with_mlp(o, w["mlp"], x + o.attend(w["attention"], normed, normed))


def self_attention(o, w, x):
    tokens = [t + w["modality_embedding"][m] for m, t in enumerate(_tokens(o, w, x))]
    joined = o.concat([o.repeat(w["cls"][None], x[0]), *tokens], 1)
    for block in w["blocks"]:
        joined = _transform(o, block, joined)
    return o.layer_norm(joined, *w["norm"])[:, 0]


def cross_modal(o, w, x):
    tokens = _tokens(o, w, x)
    for targets in w["rounds"]:
        new = []
        for a, target in enumerate(targets):
            queries = o.layer_norm(tokens[a], *target["norm"])
            others = [t for b, t in enumerate(tokens) if b != a]
            answers = [
                o.attend(attention, queries, o.layer_norm(other, *norm))
                for other, norm, attention in zip(
                    others, target["norms"], target["attentions"], strict=True
                )
            ]
            asked = tokens[a] + reduce(add, answers) / len(answers)
            new.append(_with_mlp(o, target["mlp"], asked))
        tokens = new
    return o.concat([o.mean(t, 1) for t in tokens], -1)


def bottleneck(o, w, x):
    tokens, shared = _tokens(o, w, x), o.repeat(w["bottlenecks"], x[0])
    count = w["bottlenecks"].shape[0]
    for blocks in w["rounds"]:
        updates = []
        for m, block in enumerate(blocks):
            both = _transform(o, block, o.concat([tokens[m], shared], 1))
            tokens[m] = both[:, :-count]
            updates.append(both[:, -count:])
        shared = reduce(add, updates) / len(updates)
    return reduce(add, (o.mean(t, 1) for t in tokens)) / len(tokens)
