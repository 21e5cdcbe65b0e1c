"""Order of the modalities, known values, and traps others fell into."""

from functools import partial

import fusion_cases
import keras
import numpy as np
import pytest
from fusion_cases import BATCH, CASES, LATE, PAIR, THREE, E, U, outer
from harness import assert_close, assert_equal, fill, gradients, to_numpy

from mmlearn import fusion as f

# --- order of the modalities -------------------------------------------------------

SYMMETRIC = ["sum", "mean", "max", "product", "deep set shared", "evidential"] + [
    f"decision {rule}{end}"
    for rule in ("mean", "mean_logits", "max", "vote", "product")
    for end in ("", " of logits")
]
ASYMMETRIC = {
    "tensor": f.TensorFusion,
    "low rank": partial(f.LowRankFusion, U),
    "gated": partial(f.GatedFusion, E),
    "weighted": partial(f.WeightedFusion, E),
    "deep set": partial(f.DeepSetFusion, E),
    "sum projected": partial(f.SumFusion, embed_dim=E),
    "stacking": partial(f.StackingFusion, U),
    "decision weighted": partial(f.DecisionFusion, "weighted"),
}
ORDER = [2, 0, 1]


@pytest.mark.parametrize("name", SYMMETRIC)
def test_these_ignore_the_order_of_the_modalities(name):
    x, layer, absent = CASES[name].inputs(), CASES[name].layer, CASES[name].absent
    turned = layer([x[m] for m in ORDER], presence=absent[:, ORDER])
    assert_close(turned, layer(x, presence=absent), atol=1e-6)


@pytest.mark.parametrize("name", ASYMMETRIC)
def test_these_do_not(name):
    layer = ASYMMETRIC[name]()
    x = CASES["decision mean"].inputs()
    layer.build([(None, 3)] * 3)
    fill(layer)
    assert (
        np.abs(to_numpy(layer(x)) - to_numpy(layer([x[m] for m in ORDER]))).max() > 1e-3
    )


@pytest.mark.parametrize(
    "name", ["sum projected", "mean projected", "max projected", "product projected"]
)
def test_projections_that_move_along_keep_the_output(name):
    x, layer = CASES[name].inputs(), CASES[name].layer
    turned = CASES[name].make()
    turned.build([(None, *THREE[m]) for m in ORDER])
    turned.set_weights([layer.get_weights()[m] for m in ORDER])
    assert_close(turned([x[m] for m in ORDER]), layer(x), atol=1e-5)


def test_concat_keeps_each_modality_as_a_block():
    x = CASES["concat"].inputs()
    turned = to_numpy(f.ConcatFusion()([x[m] for m in ORDER]))
    assert_equal(turned, np.concatenate([x[m] for m in ORDER], -1))


# --- shapes and traps --------------------------------------------------------------

LENGTHS = {
    "concat": (f.ConcatFusion, lambda dims: sum(dims)),
    "max": (partial(f.MaxFusion, embed_dim=E), lambda dims: E),
    "deep set": (partial(f.DeepSetFusion, E, units=U), lambda dims: U),
    "gated": (partial(f.GatedFusion, E), lambda dims: E),
    "tensor": (f.TensorFusion, lambda dims: int(np.prod([d + 1 for d in dims]))),
    "tensor dense": (partial(f.TensorFusion, units=U), lambda dims: U),
    "low rank": (partial(f.LowRankFusion, U), lambda dims: U),
    "stacking": (partial(f.StackingFusion, U), lambda dims: U),
}


@pytest.mark.parametrize("batch", [1, BATCH])
@pytest.mark.parametrize("dims", [(3, 4), (2, 3, 4), (2, 3, 4, 2)])
@pytest.mark.parametrize("name", LENGTHS)
def test_one_row_per_sample_whatever_the_modalities(name, dims, batch):
    make, length = LENGTHS[name]
    x = [np.ones((batch, dim), "float32") for dim in dims]
    assert tuple(make()(x).shape) == (batch, length(dims))
    symbolic = make()([keras.Input((dim,)) for dim in dims])
    assert tuple(symbolic.shape) == (None, length(dims))


@pytest.mark.parametrize("dims", [(3, 4), (2, 3, 4), (2, 3, 4, 2)])
def test_the_contracted_tensor_equals_the_materialised_one(dims):
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(BATCH, dim)).astype("float32") for dim in dims]
    z, dense = f.TensorFusion(), f.TensorFusion(units=U)
    dense.build([(None, dim) for dim in dims])
    fill(dense)
    kernel, bias = dense.get_weights()
    materialised = to_numpy(z(x))
    assert_close(materialised, outer(x), atol=1e-5)
    assert_close(dense(x), materialised @ kernel + bias, atol=1e-5)
    # The 1s come first: z starts with 1, then with the last modality.
    assert (materialised[:, 0] == 1).all()
    assert_close(materialised[:, 1 : dims[-1] + 1], x[-1], atol=1e-6)


def test_a_low_rank_tensor_equals_the_full_one_with_its_kernel():
    layer, full = CASES["low rank"].layer, f.TensorFusion(units=U)
    full.build([(None, *shape) for shape in THREE])
    *factors, ranks, bias = layer.get_weights()
    kernel = np.einsum("rau,rbu,rcu,r->abcu", *factors, ranks)
    full.set_weights([kernel.reshape(-1, U), bias])
    x = CASES["low rank"].inputs()
    assert_close(layer(x), full(x), atol=1e-4)
    assert len(layer.trainable_weights) == 5


def plain(name: str) -> keras.layers.Layer:
    """Without biases, so that h is bilinear in the two inputs."""
    layer = CASES[name].built()
    for weight in layer.trainable_weights:
        if "bias" in weight.name:
            weight.assign(np.zeros(weight.shape))
    return layer


@pytest.mark.parametrize(
    "name", ["mlb", "mfb normalize", "mutan rank", "tucker", "block normalize"]
)
def test_a_factorised_bilinear_map_has_one_full_tensor(name):
    layer, full = plain(name), f.BilinearFusion(U)
    # Its entries are the outputs at the pairs of unit vectors.
    pairs = [(i, j) for i in range(3) for j in range(4)]
    left, right = (np.array(index) for index in zip(*pairs, strict=True))
    units = [np.eye(3)[left], np.eye(4)[right]]
    kernel = to_numpy(layer([one.astype("float32") for one in units]))
    full.build([(None, *shape) for shape in PAIR])
    full.set_weights([kernel.reshape(3, 4, U), np.zeros(U)])
    x = CASES[name].inputs()
    assert_close(layer(x), full(x), atol=1e-4)


def full_tensor(name: str, w: dict) -> np.ndarray:
    """The bilinear map T_ijk, written out from the factors."""
    a, b, out = w["projection_0"], w["projection_1"], w["output_kernel"]
    if name == "mlb":
        return np.einsum("ie,je,ek->ijk", a, b, out)
    if name == "mfb normalize":
        a, b = a.reshape(3, E, -1), b.reshape(4, E, -1)
        return np.einsum("ier,jer,ek->ijk", a, b, out)
    if name == "tucker":
        return np.einsum("ia,jb,abe,ek->ijk", a, b, w["core"], out)
    a = np.einsum("ia,are->ire", a, w["merge_0"].reshape(E, -1, E))
    b = np.einsum("ia,are->ire", b, w["merge_1"].reshape(E, -1, E))
    return np.einsum("ire,jre,ek->ijk", a, b, out)


@pytest.mark.parametrize("name", ["mlb", "mfb normalize", "mutan rank", "tucker"])
def test_that_tensor_is_the_one_of_its_factors(name):
    layer, x = plain(name), CASES[name].inputs()
    kernel = full_tensor(name, {v.name: to_numpy(v) for v in layer.weights})
    assert_close(layer(x), np.einsum("bi,bj,ijk->bk", *x, kernel), atol=1e-4)


SIZE = 8


def sketched(seed: int) -> keras.layers.Layer:
    """Compact bilinear pooling whose output is the sketch itself."""
    layer = f.BilinearFusion(SIZE, "mcb", embed_dim=SIZE, normalize=False, seed=seed)
    layer.build([(None, *shape) for shape in PAIR])
    for weight in layer.trainable_weights:
        value = np.eye(SIZE) if weight.name == "output_kernel" else np.zeros(SIZE)
        weight.assign(value)
    return layer


def test_compact_pooling_sketches_the_outer_product():
    x = CASES["bilinear"].inputs()
    seen, products = set(), []
    exact = ((x[0][0] @ x[0][1]) * (x[1][0] @ x[1][1])).item()
    for seed in range(60):
        layer = sketched(seed)
        found = to_numpy(layer(x))
        w = {v.name: to_numpy(v) for v in layer.weights}
        if seed < 3:  # exactly: the count sketch of x1 ⊗ x2, hashes added, signs times
            sketch = np.zeros((BATCH, SIZE))
            for i in range(3):
                for j in range(4):
                    place = int(w["hash_0"][i] + w["hash_1"][j]) % SIZE
                    sign = w["sign_0"][i] * w["sign_1"][j]
                    sketch[:, place] += sign * x[0][:, i] * x[1][:, j]
            assert_close(found, sketch, atol=1e-5)
        for m in range(2):
            assert set(np.unique(w[f"sign_{m}"])) <= {-1, 1}
            assert w[f"hash_{m}"].min() >= 0 and w[f"hash_{m}"].max() < SIZE
        seen.add(tuple(w["hash_1"]))
        products.append(found[0] @ found[1])
    # In expectation over hashes, it keeps the inner product of the outer products.
    error = np.std(products) / np.sqrt(len(products))
    assert abs(np.mean(products) - exact) < 3 * error < 0.5 * np.std(products)
    assert len(seen) > 50  # another seed, another sketch
    assert_equal(sketched(5)(x), sketched(5)(x))


def test_hashes_are_saved_not_drawn_again(tmp_path):
    inputs = [keras.Input(shape) for shape in PAIR]
    layer, x = sketched(0), CASES["bilinear"].inputs()
    model = keras.Model(inputs, layer(inputs))
    for weight in layer.non_trainable_weights:
        if weight.name.startswith("hash"):
            weight.assign((to_numpy(weight) + 1) % SIZE)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(loaded(x), model(x))
    assert np.abs(to_numpy(model(x)) - to_numpy(sketched(0)(x))).max() > 1e-3


# --- known values ------------------------------------------------------------------


def test_the_product_of_experts_is_the_exact_posterior():
    """Three pieces of evidence, independent given the class: the prior counts once."""
    rng = np.random.default_rng(0)
    prior = np.array(fusion_cases.PRIOR)
    tables = [rng.dirichlet(np.ones(values), size=3) for values in (2, 3, 4)]
    seen = np.array([[0, 2, 1], [1, 0, 3], [1, 1, 0], [0, 0, 2]])
    presence = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]], bool)
    posteriors, exact = [], np.tile(prior, (BATCH, 1))
    for m, table in enumerate(tables):
        likelihood = table[:, seen[:, m]].T
        single = prior * likelihood
        posteriors.append((single / single.sum(1, keepdims=True)).astype("float32"))
        exact *= np.where(presence[:, [m]], likelihood, 1)
    exact /= exact.sum(1, keepdims=True)
    product = f.DecisionFusion("product", prior=fusion_cases.PRIOR)
    assert_close(product(posteriors, presence=presence), exact, atol=1e-5)
    # The rule without the prior, and the mean, are not that posterior.
    for other in (f.DecisionFusion("product"), f.DecisionFusion("mean")):
        assert (
            np.abs(to_numpy(other(posteriors, presence=presence)) - exact).max() > 0.05
        )


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith(LATE)])
@pytest.mark.parametrize("presence", [False, True])
def test_decisions_are_probabilities(name, presence):
    mask = CASES[name].absent if presence else None
    p = to_numpy(CASES[name].layer(CASES[name].inputs(), presence=mask))
    assert (p >= 0).all()
    assert_close(p.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("rule", fusion_cases.DECISIONS)
def test_certain_decisions_stay_finite(rule):
    """Probabilities of exactly 0 and 1, also in contradiction."""
    x = [np.eye(3, dtype="float32")[[0, 1, 2, 0]], np.eye(3, dtype="float32")[[0] * 4]]
    layer = f.DecisionFusion(rule)
    p = to_numpy(layer(x))
    assert_close(p.sum(-1), 1, atol=1e-5)
    assert_close(p[0], [1, 0, 0], atol=1e-3)
    weights, inputs = gradients(layer, x)
    for gradient in [*weights.values(), *inputs]:
        assert gradient is None or np.isfinite(gradient).all()


def test_one_expert_keeps_its_opinion():
    x, presence = CASES["decision mean"].inputs(), np.eye(3)[[0, 1, 2, 1]] == 1
    own = np.stack(x, 1)[presence]
    for rule in ("mean", "mean_logits", "weighted", "max", "product"):
        layer = f.DecisionFusion(rule, prior=fusion_cases.PRIOR)
        assert_close(layer(x, presence=presence), own, atol=1e-5)


def test_learned_shares_start_equal():
    x = CASES["decision mean"].inputs()
    assert_close(
        f.DecisionFusion("weighted")(x), f.DecisionFusion("mean")(x), atol=1e-6
    )


def opinion(*scores, presence=None):
    """Probabilities and uncertainty of the evidence, as arrays."""
    x = [np.array(one, "float32") for one in scores]
    p, doubt = f.EvidentialFusion()(x, presence=presence, return_uncertainty=True)
    return to_numpy(p), to_numpy(doubt)


def test_evidence_adds_up():
    weak, strong, none = [[1.0, 0.0, 0.0]], [[6.0, 0.0, 0.0]], [[-40.0] * 3]
    agreed, doubt = opinion(weak, strong)
    for one in (weak, strong):
        alone, alone_doubt = opinion(one, none)
        assert agreed[0, 0] > alone[0, 0] and doubt[0] < alone_doubt[0]
        # Who has no evidence changes nothing, and is as good as absent.
        hidden = opinion(one, strong, presence=np.array([[1, 0]]))
        assert_close(hidden[0], alone, atol=1e-6)
        assert_close(hidden[1], alone_doubt, atol=1e-6)


def test_contradiction_leaves_a_draw_and_silence_full_doubt():
    left, right = [[8.0, -8.0, -8.0]], [[-8.0, 8.0, -8.0]]
    p, doubt = opinion(left, right)
    assert_close(p[0, 0], p[0, 1], atol=1e-6)
    assert p[0, 2] < 0.1
    # Undecided, but not for want of evidence.
    assert doubt[0] < opinion(left, [[-40.0] * 3])[1][0]
    p, doubt = opinion([[9.0] * 3], [[9.0] * 3], presence=np.array([[0, 0]]))
    assert_close(p, 1 / 3, atol=1e-6)
    assert doubt.shape == (1,) and doubt[0] == 1


def test_uncertainty_is_the_dirichlets():
    """u = K / S for one opinion, where S is the sum of its parameters."""
    scores = CASES["evidential"].inputs()[0]
    p, doubt = opinion(scores, np.full_like(scores, -40))
    alpha = np.log1p(np.exp(scores)) + 1
    assert_close(doubt, U / alpha.sum(-1), atol=1e-6)
    assert_close(p, alpha / alpha.sum(-1, keepdims=True), atol=1e-6)


def test_any_amount_of_evidence_stays_finite():
    x = [
        np.array([[1e30, 0, -1e30]], "float32"),
        np.array([[1e30, 1e30, 0]], "float32"),
    ]
    p, doubt = opinion(*x)
    assert_close(p, [[1, 0, 0]], atol=1e-6)
    assert 0 <= doubt[0] < 1e-6
    layer = f.EvidentialFusion()
    layer.build([(None, 3)] * 2)
    _, inputs = gradients(layer, x)
    assert all(np.isfinite(gradient).all() for gradient in inputs)


def test_a_tied_gate_with_one_absent_is_open():
    x, layer = CASES["gated tied"].inputs(), CASES["gated tied"].layer
    h, z = layer(x, presence=CASES["gated tied"].absent, return_weights=True)
    h, z = to_numpy(h), to_numpy(z)
    for row, m in ((1, 0), (2, 1)):
        alone = np.tanh(x[m][row] @ to_numpy(layer.weights[m]))
        assert_close(h[row], alone, atol=1e-6)
        assert (z[row, m] == 1).all() and (z[row, 1 - m] == 0).all()
    assert_close(z[0].sum(0), 1, atol=1e-6)
    assert (h[3] == 0).all() and (z[3] == 0).all()


EMPTY = {"product": 1, "product projected": 1} | dict.fromkeys(
    ["sum", "mean", "max", "sum projected", "mean projected", "max projected"]
    + ["gated", "gated tied", "film", "film map", "weighted"],
    0,
)


@pytest.mark.parametrize("name", EMPTY)
def test_without_any_modality_the_output_is_exact(name):
    mask = np.zeros_like(CASES[name].absent)
    h = to_numpy(CASES[name].layer(CASES[name].inputs(), presence=mask))
    assert (h == EMPTY[name]).all()


def test_a_low_feature_that_is_present_is_the_largest():
    """In raw units, features may lie below any "lowest" constant."""
    x = [np.full((BATCH, 3), value, "float32") for value in (-1e6, -2e6, 0)]
    presence = np.array([[1, 1, 0]] * BATCH)
    assert (to_numpy(f.MaxFusion()(x, presence=presence)) == -1e6).all()


def test_film_starts_near_the_features():
    layer = f.FiLMFusion()
    layer.build([(None, *shape) for shape in fusion_cases.MAP])
    start = {v.name: to_numpy(v) for v in layer.weights}
    assert (start["gamma_bias"] == 1).all() and (start["beta_bias"] == 0).all()
    x = CASES["film map"].inputs()[0]
    silent = np.zeros((BATCH, 4), "float32")
    assert_close(layer([x, silent]), x, atol=1e-6)
