"""Losses of aligned embeddings against NumPy, and models that learn with them."""

import keras
import numpy as np
import pytest
from harness import to_numpy
from keras import ops
from scipy.linalg import sqrtm
from sklearn.cross_decomposition import CCA

from mmlearn import evaluate, losses, models

B, E = 12, 5


def embeddings(num: int = B, modalities: int = 2, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(num, 1, E))
    mixed = shared + rng.normal(size=(num, modalities, E))
    return mixed.astype("float32")


def slope(loss: keras.losses.Loss, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The gradient with respect to the embeddings."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(lambda z: loss(y, z))(ops.convert_to_tensor(z)))
    if backend == "torch":
        import torch

        x = torch.tensor(z, requires_grad=True)
        loss(ops.convert_to_tensor(y), x).backward()
        return x.grad.numpy()
    import tensorflow as tf

    x = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(y, x)
    return tape.gradient(value, x).numpy()


def info_nce(y: np.ndarray, z: np.ndarray) -> float:
    """The equation, sample by sample and pair by pair."""
    found, num = [], z.shape[1]
    for m in range(num):
        for n in range(m + 1, num):
            for i in range(len(z)):
                others = [j for j in range(len(z)) if j == i or y[j] != y[i]]
                s = [z[i, m] @ z[j, n] for j in others]
                t = [z[j, m] @ z[i, n] for j in others]
                both = np.log(np.exp(s).sum()) + np.log(np.exp(t).sum())
                found.append(both / 2 - z[i, m] @ z[i, n])
    return float(np.mean(found))


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("labels", [np.arange(B), np.arange(B) // 3])
def test_info_nce_is_its_equation(modalities, labels):
    z = embeddings(modalities=modalities)
    found = float(losses.InfoNCE()(labels, z))
    assert found == pytest.approx(info_nce(labels, z.astype("float64")), rel=1e-5)


def test_info_nce_of_a_wide_batch_is_log_b_where_nothing_is_known():
    z = np.zeros((B, 2, E), "float32")
    assert float(losses.InfoNCE()(np.arange(B), z)) == pytest.approx(np.log(B))


def test_a_twin_is_no_wrong_answer():
    z = embeddings()
    z[1] = z[0]  # the same thing twice
    apart, twins = np.arange(B), np.array([0, 0, *range(2, B)])
    assert float(losses.InfoNCE()(twins, z)) < float(losses.InfoNCE()(apart, z))


def test_weights_of_samples_count():
    z, y = embeddings(), np.arange(B)
    each = to_numpy(losses.InfoNCE(reduction=None)(y, z))
    assert each.shape == (B,)
    only = np.eye(B, dtype="float32")[3] * B
    found = float(losses.InfoNCE()(y, z, sample_weight=only))
    assert found == pytest.approx(each[3], rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [losses.InfoNCE(), losses.CCALoss(regularization=0.1), losses.CCALoss(2, 0.1)],
    ids=["info_nce", "cca", "cca of two"],
)
def test_the_gradient_is_that_of_finite_differences(loss):
    z, y = embeddings(), np.arange(B)
    found = slope(loss, y, z)
    for i, m, e in ((0, 0, 0), (3, 1, 2), (B - 1, 0, E - 1)):
        step = np.zeros_like(z)
        step[i, m, e] = 1e-2
        change = float(loss(y, z + step)) - float(loss(y, z - step))
        assert found[i, m, e] == pytest.approx(change / 2e-2, abs=2e-3)


@pytest.mark.parametrize("components", [None, 2])
def test_cca_is_the_sum_of_the_canonical_correlations(components):
    z = embeddings(50).astype("float64")
    a, b = (z[:, m] - z[:, m].mean(0) for m in range(2))
    covariances = (a.T @ a / 49, b.T @ b / 49)
    roots = [np.linalg.inv(sqrtm(c + 0.1 * np.eye(E))) for c in covariances]
    t = roots[0] @ (a.T @ b / 49) @ roots[1]
    expected = np.linalg.svd(t, compute_uv=False)[:components].sum()
    loss = losses.CCALoss(components, regularization=0.1)
    found = float(loss(np.zeros(50), z.astype("float32")))
    assert found == pytest.approx(-expected, rel=1e-4)


def test_the_gradient_of_cca_is_finite_where_correlations_are_equal():
    x = np.random.default_rng(0).normal(size=(40, E)).astype("float32")
    same = np.stack([x, x], axis=1)  # each correlation is about 1
    loss = losses.CCALoss(regularization=1e-3)
    assert float(loss(np.zeros(40), same)) == pytest.approx(-E, abs=0.02)
    assert np.isfinite(slope(loss, np.zeros(40), same)).all()


@pytest.mark.parametrize("shape", [(B, E), (B, 1, E), (B, 2, E, 1)])
@pytest.mark.parametrize("loss", [losses.InfoNCE(), losses.CCALoss()])
def test_other_shapes_are_refused(loss, shape):
    with pytest.raises(ValueError, match="expected \\(B, M, embed_dim\\)"):
        loss(np.arange(B), np.ones(shape, "float32"))


def test_cca_is_of_two():
    with pytest.raises(ValueError, match="2 modalities, got 3"):
        losses.CCALoss()(np.arange(B), embeddings(modalities=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_components": 0}, "num_components is 0"),
        ({"regularization": 0}, "regularization is 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        losses.CCALoss(**options)


# --- one space ---------------------------------------------------------------


def encoder(name: str, size: int, **options) -> keras.Model:
    x = keras.Input((size,), name=name)
    h = keras.layers.Dense(16, activation="relu", name="hidden", **options)(x)
    return keras.Model(x, h, name=f"{name}_encoder")


def world(num: int, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two views of the same hidden numbers."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(num, 3))
    views = np.random.default_rng(9)
    x = {
        name: (np.tanh(hidden @ views.normal(size=(3, size)))).astype("float32")
        for name, size in (("image", 8), ("text", 6))
    }
    return x, np.arange(num)


def aligned() -> models.MultimodalModel:
    keras.utils.set_random_seed(0)
    return models.shared_space([encoder("image", 8), encoder("text", 6)], embed_dim=4)


def embedded(model, x) -> list[np.ndarray]:
    return [models.embedder(model, n).predict(x[n], verbose=0) for n in x]


def test_a_model_learns_what_belongs_together_and_finds_what_it_never_saw():
    model, (x, y), (new, _) = aligned(), world(512, seed=1), world(100, seed=2)
    model.compile(keras.optimizers.Adam(1e-2), losses.InfoNCE())
    before = evaluate.retrieval(*embedded(model, new)).recall(10).mean
    model.fit(x, y, batch_size=128, epochs=15, verbose=0)
    after = evaluate.retrieval(*embedded(model, new)).recall(10).mean
    assert after > max(0.5, before + 0.2)


def test_deep_cca_finds_it_once_a_linear_one_has_turned_the_embeddings():
    model, (x, y), (new, _) = aligned(), world(512, seed=1), world(100, seed=2)
    model.compile(keras.optimizers.Adam(1e-2), losses.CCALoss(3))
    turn = CCA(3)

    def found():
        turn.fit(*embedded(model, x))
        return evaluate.retrieval(*turn.transform(*embedded(model, new))).recall(10)

    before = found().mean
    model.fit(x, y, batch_size=128, epochs=15, verbose=0)
    assert found().mean > max(0.5, before + 0.05)


def test_the_output_is_unit_vectors_over_the_temperature():
    model, (x, _) = aligned(), world(6, seed=1)
    z = model.predict(x, verbose=0)
    assert z.shape == (6, 2, 4)
    np.testing.assert_allclose((z**2).sum(-1), 1 / 0.07, rtol=1e-4)
    alone = models.embedder(model, "text").predict(x["text"], verbose=0)
    np.testing.assert_allclose(alone, z[:, 1] * 0.07**0.5, atol=1e-5)


def test_the_temperature_is_learned_and_its_scale_stays_below_100():
    model, (x, y) = aligned(), world(64, seed=1)
    model.compile(keras.optimizers.Adam(1e-1), losses.InfoNCE())
    layer = model.get_layer("temperature")
    before = float(to_numpy(layer.log_scale))
    model.fit(x, y, batch_size=32, epochs=1, verbose=0)
    assert float(to_numpy(layer.log_scale)) != before
    layer.log_scale.assign(20.0)
    z = model.predict(x, verbose=0)
    np.testing.assert_allclose((z**2).sum(-1), 100, rtol=1e-4)


def test_an_aligned_model_is_saved_and_trains_on(tmp_path):
    model, (x, y) = aligned(), world(32, seed=1)
    model.compile(keras.optimizers.Adam(1e-2), losses.CCALoss(3, 0.01))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5
    )
    assert again.loss.num_components == 3 and again.loss.regularization == 0.01
    again.fit(x, y, verbose=0)


def test_half_precision_gives_finite_losses():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model, (x, y) = aligned(), world(64, seed=1)
        for loss in (losses.InfoNCE(), losses.CCALoss()):
            model.compile("adam", loss)
            history = model.fit(x, y, batch_size=32, verbose=0).history["loss"]
            assert np.isfinite(history).all()
    finally:
        keras.config.set_dtype_policy("float32")


def test_what_cannot_be_aligned_is_refused():
    with pytest.raises(ValueError, match="1 encoder, expected two"):
        models.shared_space([encoder("image", 8)], 4)
    with pytest.raises(ValueError, match="two encoders share a modality"):
        models.shared_space([encoder("image", 8), encoder("image", 6)], 4)
    x = keras.Input((3, 8), name="text")
    sequence = keras.Model(x, keras.layers.Dense(4)(x), name="words")
    with pytest.raises(ValueError, match="'words' gives .* expected vectors"):
        models.shared_space([encoder("image", 8), sequence], 4)
    with pytest.raises(ValueError, match="embeds no 'sound'"):
        models.embedder(aligned(), "sound")


@pytest.mark.parametrize("temperature", [0, -1, float("nan")])
def test_a_temperature_that_cannot_be_is_refused(temperature):
    with pytest.raises(ValueError, match="temperature is .* expected 0.01 or more"):
        models.shared_space([encoder("a", 2), encoder("b", 2)], 4, temperature)
