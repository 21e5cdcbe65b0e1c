"""Tests of explanations on tasks and models whose true answers are known."""

from dataclasses import replace
from itertools import combinations
from math import comb

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from known_answers import assert_share, exact, few, linear
from scipy.special import ndtr

from mmlearn import explain
from mmlearn.datasets import Split, interactions
from mmlearn.fusion import ConcatFusion
from mmlearn.models import MultimodalModel, fuse, inputs_from

NUM, NOISE = 4_000, 0.5
SIGN = ndtr(1 / NOISE)
"""Best possible share of right guesses of one sign under this noise."""


def task_of(kind, num_modalities: int = 2):
    data, task = interactions(
        kind, num_modalities, 6, NOISE, num_train=9, num_val=9, num_test=NUM
    )
    return data.test, task


@pytest.fixture(scope="module", params=["redundant", "unique", "synergistic"])
def known(request):
    split, task = task_of(request.param)
    return request.param, split, task, exact(task)


def limits(task) -> dict[frozenset, float]:
    values = {frozenset(seen): limit for seen, limit in task.limits().items()}
    return {frozenset(): 1 / task.num_classes} | values


def test_ablation_is_what_the_bayes_limit_loses(known):
    _, split, task, model = known
    found = explain.ablation(model, split)
    for name, other in (("first", "second"), ("second", "first")):
        truth = task.limit() - task.limit(other)
        assert found[name] == pytest.approx(truth, abs=0.025)
        one = found.values[name]
        assert one.low <= one.mean <= one.high and one.high - one.low < 0.06


def test_shapley_values_are_those_of_the_bayes_limits(known):
    _, split, task, model = known
    found = explain.shapley(model, split)
    truth = explain.shapley_values(limits(task), ["first", "second"])
    for name, value in truth.items():
        assert found[name] == pytest.approx(value, abs=0.02)
    total = sum(found[name] for name in truth)
    accuracy = np.mean(model_guesses(model, split) == split.labels)
    none = found_without_any(model, split)
    assert total == pytest.approx(accuracy - none, abs=1e-6)


def found_without_any(model, split) -> float:
    x = inputs_from(model, split, only=())
    return np.mean(model.predict(x, verbose=0).argmax(-1) == split.labels)


def model_guesses(model, split) -> np.ndarray:
    x = inputs_from(model, split)
    return model.predict(x, verbose=0).argmax(-1)


def test_permutation_loses_what_theory_says(known):
    kind, split, task, model = known
    both = ndtr(np.sqrt(2) / NOISE)
    # What is left when one modality is another sample's: redundant signs then agree
    # in half of the cases, a parity is a coin.
    kept = {
        "redundant": both / 2 + 1 / 4,
        "unique": SIGN / 2,
        "synergistic": 1 / 2,
    }[kind]
    found = explain.permutation(model, split)
    for name in ("first", "second"):
        assert found[name] == pytest.approx(task.limit() - kept, abs=0.025)
    by_class = explain.reliance(model, split)
    for name, lost in by_class.items():
        assert lost.shape == (task.num_classes,)
        shares = np.bincount(split.labels) / NUM
        assert lost @ shares == pytest.approx(found[name], abs=1e-6)


def test_emap_finds_interactions_where_there_are_any(known):
    kind, split, _, model = known
    whole, additive, gain = explain.emap(model, split, num=300)
    guesses = model_guesses(model, split)[:300]
    assert whole == pytest.approx(np.mean(guesses == split.labels[:300]))
    assert gain.mean == pytest.approx(whole - additive)
    assert gain.low <= gain.mean <= gain.high
    if kind in ("redundant", "unique"):
        assert gain.mean == pytest.approx(0, abs=0.025)
    else:
        assert_share(additive, 0.5, 300)
        assert gain.low > 0.3


def test_unequal_modalities_are_ranked_and_an_unused_one_gets_nothing():
    split, task = task_of({"first": 2, "second": 1})
    model = exact(task)
    for found in (
        explain.ablation(model, split),
        explain.permutation(model, split, repeats=2),
        explain.shapley(model, split),
    ):
        assert found["first"] > found["second"] + 0.1 > 0.1
    split, task = task_of({"first": 1})
    model = exact(task)
    for found in (
        explain.ablation(model, split),
        explain.permutation(model, split, repeats=2),
        explain.shapley(model, split),
    ):
        one = found.values["second"]
        assert one.low == one.mean == one.high == 0
        assert found["first"] > 0.4
    assert (explain.reliance(model, split, repeats=2)["second"] == 0).all()


@pytest.mark.parametrize("kind", ["mixture", {"synergistic": 1, "third": 1}])
def test_three_modalities(kind):
    split, task = task_of(kind, 3)
    model = exact(task)
    truth = explain.shapley_values(limits(task), list(task.modalities))
    found = explain.shapley(model, split)
    for name, value in truth.items():
        assert found[name] == pytest.approx(value, abs=0.02)
    lost = explain.ablation(model, split)
    for name in task.modalities:
        rest = [other for other in task.modalities if other != name]
        assert lost[name] == pytest.approx(task.limit() - task.limit(*rest), abs=0.025)
    whole, additive, _ = explain.emap(model, split, modality="third", num=100)
    assert whole > additive + 0.1


def test_without_a_mask_the_absent_come_from_other_samples():
    split, task = task_of("unique")
    model = exact(task, presence=False)
    truth = explain.shapley_values(limits(task), ["first", "second"])
    found = explain.shapley(model, split)
    for name, value in truth.items():
        assert found[name] == pytest.approx(value, abs=0.02)
    # The same through the whole model, where it cannot be taken apart.
    taken_apart = explain.permutation(model, split, repeats=1)
    whole = explain.permutation(in_one_piece(model), split, repeats=1)
    for name in ("first", "second"):
        assert whole[name] == pytest.approx(taken_apart[name], abs=1e-3)


def in_one_piece(model) -> MultimodalModel:
    """The same model, whose inputs go another way round the encoders, too."""
    nothing = [layers.Rescaling(0.0)(x) for x in model.inputs]
    hidden = [
        layers.Dense(2, use_bias=False, kernel_initializer="zeros")(x) for x in nothing
    ]
    parts = [p for p in model.layers if "linear" in p.name]
    joint = layers.Add()([p(x) for p, x in zip(parts, model.inputs, strict=True)])
    [head] = [p for p in model.layers if isinstance(p, keras.Sequential)]
    outputs = layers.Add()([head(joint), *[h[:, :1] * 0 for h in hidden]])
    return MultimodalModel(model.inputs, outputs)


def test_log_likelihood_adds_up():
    split, task = task_of("redundant")
    model = exact(task)
    found = explain.shapley(model, split, value="log likelihood")
    x = inputs_from(model, split)
    own = model.predict(x, verbose=0)[np.arange(NUM), split.labels]
    total = np.mean(np.log(np.maximum(own, 1e-12))) - np.log(0.5)
    assert found["first"] + found["second"] == pytest.approx(total, abs=1e-4)


def test_a_contribution_shows_itself_as_a_table():
    split, task = task_of("unique")
    found = explain.ablation(exact(task), split.take(np.arange(200)))
    table = found.table()
    assert [row[0] for row in table.rows] == ["first", "second"]
    assert table.rows[0][1] == f"{100 * found['first']:.1f}"
    assert repr(found) == repr(table) and "200 samples" in table.note
    assert found._repr_markdown_().startswith("| modality")


names = st.integers(2, 5).map(lambda num: [f"m{k}" for k in range(num)])


@settings(deadline=None, max_examples=30)
@given(names, st.integers(0, 1000))
def test_shapley_values_have_their_axioms(names, seed):
    rng = np.random.default_rng(seed)
    subsets = [
        frozenset(s) for k in range(len(names) + 1) for s in combinations(names, k)
    ]
    values = {subset: rng.normal(size=3) for subset in subsets}
    found = explain.shapley_values(values, names)
    total = values[frozenset(names)] - values[frozenset()]
    np.testing.assert_allclose(sum(found.values()), total)
    # Of a sum, each gets its own; two that are alike get the same.
    own = dict(zip(names, rng.normal(size=len(names)), strict=True))
    additive = {s: sum(own[name] for name in s) for s in subsets}
    assert explain.shapley_values(additive, names) == pytest.approx(own)
    alike = {s: 1 / comb(len(names), len(s)) for s in subsets}
    assert np.ptp(list(explain.shapley_values(alike, names).values())) < 1e-12
    # All orders of arrival, as the definition says for two.
    if len(names) == 2:
        a, b = map(frozenset, ([names[0]], [names[1]]))
        both, none = values[a | b], values[frozenset()]
        first = (values[a] - none + both - values[b]) / 2
        np.testing.assert_allclose(found[names[0]], first)


def seven() -> MultimodalModel:
    parts = [linear(f"m{k}", np.eye(2)) for k in range(7)]
    return fuse(parts, ConcatFusion(), 2)


def two(presence: bool = False) -> MultimodalModel:
    parts = [linear(name, np.eye(2)) for name in ("first", "second")]
    return fuse(parts, ConcatFusion(), 2, presence=presence)


def absent() -> Split:
    split = few(4)
    flags = {"first": np.ones(4, bool), "second": np.array([True, False, True, True])}
    return replace(split, presence=flags)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (
            lambda: explain.shapley(seven(), few(4, [f"m{k}" for k in range(7)])),
            ValueError,
            "7 modalities have 128 subsets: up to 6",
        ),
        (
            lambda: explain.shapley(two(), few(4), value="auc"),
            ValueError,
            "value is 'auc'",
        ),
        (
            lambda: explain.ablation(fuse([linear("first", np.eye(2))]), few(4)),
            ValueError,
            "takes .'first'. only",
        ),
        (lambda: explain.permutation(two(), few(1)), ValueError, "1 samples cannot"),
        (lambda: explain.emap(two(), few(4), "third"), KeyError, "'third'"),
        (
            lambda: explain.permutation(two(True), absent()),
            ValueError,
            "modalities are absent from these samples",
        ),
        (
            lambda: explain.shapley_values({frozenset(): 0.0}, ["a"]),
            ValueError,
            "value of .'a'. is missing",
        ),
        (lambda: explain.fusion_weights(two(), few(2).inputs), ValueError, "no layer"),
        (lambda: explain.grad_cam(two(), few(2).inputs), ValueError, "no encoder of"),
        (
            lambda: explain.grad_cam(two(), few(2).inputs, modality="first"),
            ValueError,
            "no feature maps",
        ),
        (lambda: explain.token_attributions(two(), few(2).inputs), KeyError, "'text'"),
    ],
)
def test_what_cannot_be_explained_is_refused(use, error, message):
    with pytest.raises(error, match=message):
        use()
