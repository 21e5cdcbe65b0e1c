"""Tests of the tasks with known limits: the limits against exact posteriors."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from sklearn.linear_model import LogisticRegression

from mmlearn.datasets import Interactions, interactions
from mmlearn.datasets.simulated import bayes

BITS = {"redundant": 1, "second": 2, "synergistic": 1}


def subsets(names):
    for size in range(1, len(names) + 1):
        yield from combinations(names, size)


def drawn(task: Interactions, num: int, seed: int = 5):
    """Return each modality's coordinates before the rotation, presence, and labels."""
    split = task.sample(1, 1, num, seed).test
    coordinates = [split[name] @ task.rotations[name] for name in task.modalities]
    ones = np.ones((num, task.num_modalities))
    presence = split.presence and np.stack(list(split.presence.values()), axis=1)
    return coordinates, ones if presence is None else presence, split.labels


def hidden_states(task: Interactions):
    """List every combination of hidden signs: its class, and what each modality has."""
    bits = task.bits
    num_parities, num_others = bits["synergistic"], task.num_modalities - 1
    for label in range(task.num_classes):
        word = format(label, f"0{sum(bits.values())}b")
        signs = iter([1 if letter == "1" else -1 for letter in word])
        by_name = {
            name: [next(signs) for _ in range(num)] for name, num in bits.items()
        }
        for free in product([-1, 1], repeat=num_parities * num_others):
            free = np.reshape(free, (num_others, num_parities))
            last = np.array(by_name["synergistic"]) * np.prod(free, axis=0)
            shown = [
                [*by_name["redundant"], *by_name[name], *parity]
                for name, parity in zip(task.modalities, [*free, last], strict=True)
            ]
            yield label, shown


def best_guesses(task, coordinates, presence, seen, noise) -> np.ndarray:
    """Return the class of the largest posterior, a sum of densities over the states."""
    labels, shown = zip(*hidden_states(task), strict=True)
    scores = np.zeros((len(presence), len(labels)))
    for m, name in enumerate(task.modalities):
        if name in seen:
            signs = np.array([state[m] for state in shown])
            # Of exp(−|z − s|² / 2σ²), only z·s / σ² differs between the states.
            here = coordinates[m][:, : signs.shape[1]] @ signs.T
            scores += presence[:, [m]] * here / max(noise[m], 0.05) ** 2
    density = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (density @ np.eye(task.num_classes)[list(labels)]).argmax(axis=1)


def assert_reached(accuracy: float, limit: float, num: int) -> None:
    assert abs(accuracy - limit) <= 4 * np.sqrt(limit * (1 - limit) / num) + 1e-12


@pytest.mark.parametrize(
    ("kind", "num_modalities", "noise", "missing"),
    [
        ("redundant", 2, (0.7, 0.7), 0.0),
        ("redundant", 3, (0.5, 1.0, 2.0), 0.3),
        ("unique", 2, (0.0, 0.0), 0.2),
        ("unique", 3, (0.6, 0.6, 1.5), 0.0),
        ("synergistic", 2, (0.0, 0.0), 0.0),
        ("synergistic", 2, (0.4, 1.0), 0.0),
        ("synergistic", 3, (0.5, 0.5, 0.5), (0.0, 0.1, 0.5)),
        ("mixture", 2, (0.5, 0.5), 0.0),
        ("mixture", 3, (0.0, 0.3, 0.8), 0.1),
        (BITS, 2, (0.5, 0.5), 0.25),
        ({"synergistic": 2, "first": 1}, 3, (0.4, 0.4, 0.4), 0.0),
    ],
)
def test_limits_are_the_accuracy_of_the_exact_posterior(
    kind, num_modalities, noise, missing
):
    task = Interactions(kind, num_modalities, 8, noise, missing)
    num = min(200_000, 4_000_000 // len(list(hidden_states(task))))
    coordinates, presence, labels = drawn(task, num)
    for seen in subsets(task.modalities):
        guesses = best_guesses(task, coordinates, presence, seen, noise)
        assert_reached(np.mean(guesses == labels), task.limit(*seen), num)


@pytest.mark.parametrize(
    ("num_modalities", "noise", "missing"),
    [(2, (0.0, 0.0), 0.0), (2, (0.5, 2.0), 0.2), (3, (0.3, 0.3, 1.0), 0.1)],
)
def test_limits_of_the_linear_task_are_those_of_the_best_prediction(
    num_modalities, noise, missing
):
    task, num = Interactions("linear", num_modalities, 4, noise, missing), 200_000
    coordinates, presence, labels = drawn(task, num)
    for seen in subsets(task.modalities):
        # E[g | g + σ ε] = (g + σ ε) / (1 + σ²); nothing seen: predicted 0, any guess.
        expected = sum(
            presence[:, m] * coordinates[m][:, 0] / (1 + noise[m] ** 2)
            for m, name in enumerate(task.modalities)
            if name in seen
        )
        assert_reached(np.mean((expected > 0) == labels), task.limit(*seen), num)


def test_limit_of_one_side_of_the_bilinear_task():
    task, num = Interactions("bilinear"), 200_000
    coordinates, _, labels = drawn(task, num)
    for side, name in zip(coordinates, task.modalities, strict=True):
        length = np.sqrt((side[:, :8].reshape(-1, 4, 2) ** 2).sum(axis=2))
        assert_reached(np.mean(length.argmax(axis=1) == labels), task.limit(name), num)
    # No other rule does better: per sample, the four probabilities by integration over
    # the score of the class, s ~ N(0, r_k²), all others being below.
    length = length[:4_000]
    score = np.linspace(-8, 8, 801)
    density = np.exp(-(score**2) / 2) / np.sqrt(2 * np.pi) * (score[1] - score[0])
    posterior = np.stack(
        [
            np.prod(
                [
                    ndtr(length[:, k, None] * score / length[:, j, None])
                    for j in range(4)
                    if j != k
                ],
                axis=0,
            )
            @ density
            for k in range(4)
        ],
        axis=1,
    )
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=5e-3)
    best = posterior.max(axis=1)
    assert abs(best.mean() - task.limit("first")) < 4 * best.std() / np.sqrt(len(best))
    assert task.limit() == 1
    # The quadrature has converged.
    assert abs(bayes.bilinear_from_one(4, 120) - bayes.bilinear_from_one(4)) < 1e-8


def test_the_bilinear_label_is_that_of_its_matrices():
    data, task = interactions("bilinear", num_train=500, num_val=1, num_test=1)
    first, second = (task.rotations[name] for name in task.modalities)
    matrices = [
        first[:, 2 * k : 2 * k + 2] @ second[:, 2 * k : 2 * k + 2].T for k in range(4)
    ]
    x1, x2 = data.train["first"], data.train["second"]
    scores = [np.einsum("ni,ij,nj->n", x1, w, x2) for w in matrices]
    assert np.array_equal(np.argmax(scores, axis=0), data.train.labels)
    for w in matrices:
        singular = np.linalg.svd(w, compute_uv=False)
        np.testing.assert_allclose(singular, [1, 1] + [0] * 14, atol=1e-12)


@pytest.mark.parametrize("num_modalities", [2, 3])
def test_extremes(num_modalities):
    names = ("first", "second", "third")[:num_modalities]

    def limits(kind, **options):
        return Interactions(kind, num_modalities, **options).limits()

    xor = limits("synergistic")
    assert [*xor.values()] == [0.5] * (len(xor) - 1) + [1.0]
    assert set(limits("redundant").values()) == {1.0}
    unique = limits("unique")
    assert unique == {seen: 0.5 ** (num_modalities - len(seen)) for seen in unique}
    assert limits("linear")[names] == 1
    # Nothing is left where all is noise, or absent.
    for kind in ("redundant", "synergistic", "mixture", "linear"):
        classes = Interactions(kind, num_modalities).num_classes
        assert limits(kind, noise=1e9)[names] == pytest.approx(1 / classes)
        assert limits(kind, missing=1)[names] == pytest.approx(1 / classes)
    # One that is always there and one that never is.
    lost = Interactions("redundant", missing=[0, 1], noise=0.5)
    assert lost.limit() == lost.limit("first") > lost.limit("second") == 0.5


KINDS = st.sampled_from(
    ["redundant", "unique", "synergistic", "mixture", "linear", BITS, "bilinear"]
)
NOISE = st.lists(st.floats(0, 5), min_size=3, max_size=3)
MISSING = st.lists(st.floats(0, 1), min_size=3, max_size=3)


@settings(max_examples=50, deadline=None)
@given(KINDS, st.sampled_from([2, 3]), NOISE, MISSING, st.integers(0, 2), st.data())
def test_limits_are_monotone_and_within_bounds(kind, num, noise, missing, which, data):
    if kind == "bilinear":
        num, noise = 2, [0, 0, 0]
    which = min(which, num - 1)
    task = Interactions(kind, num, 16, noise[:num], missing[:num])
    limits = task.limits()
    for seen, limit in limits.items():
        assert 1 / task.num_classes - 1e-12 <= limit <= 1 + 1e-12
        for more in limits:
            assert not set(seen) <= set(more) or limit <= limits[more] + 1e-12

    worse = list(missing[:num])
    worse[which] = data.draw(st.floats(worse[which], 1))
    less = Interactions(kind, num, 16, noise[:num], worse).limits()
    assert all(less[seen] <= limit + 1e-12 for seen, limit in limits.items())
    if kind != "bilinear":
        worse = list(noise[:num])
        worse[which] = data.draw(st.floats(worse[which], 9))
        less = Interactions(kind, num, 16, worse, missing[:num]).limits()
        assert all(less[seen] <= limit + 1e-12 for seen, limit in limits.items())


def test_deterministic_and_splits_are_independent():
    data, task = interactions("mixture", 3, 9, 0.5, 0.2, 300, 300, 300, seed=3)
    again, _ = interactions("mixture", 3, 9, 0.5, 0.2, 300, 300, 300, seed=3)
    more = task.sample(300, 50, 10, seed=3)
    other = task.sample(300, 300, 300, seed=4)
    for name in data.modalities:
        assert np.array_equal(data.train[name], again.train[name])
        # The sizes of the other splits do not change a split.
        assert np.array_equal(data.train[name], more.train[name])
    draws = [data.train, data.val, data.test, other.train, other.val, other.test]
    for one, two in combinations(draws, 2):
        assert np.mean(one.labels != two.labels) > 0.5
        rows = {row.tobytes() for row in one["first"] if row.any()}
        assert not rows & {row.tobytes() for row in two["first"]}
    changed = Interactions("mixture", 3, 9, seed=4)
    for name, rotation in task.rotations.items():
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(9), atol=1e-12)
        assert not np.allclose(rotation, changed.rotations[name])


@pytest.mark.parametrize("kind", ["unique", "synergistic", "linear", "bilinear", BITS])
def test_classes_are_equally_probable_and_the_rest_is_noise(kind):
    noise = 0 if kind == "bilinear" else 0.5
    data, task = interactions(kind, noise=noise, num_val=1, num_test=1)
    num, share = len(data.train), 1 / task.num_classes
    counts = data.class_counts()["train"]
    assert np.abs(counts - num * share).max() < 5 * np.sqrt(num * share * (1 - share))
    rest = data.train["second"] @ task.rotations["second"][:, 8:]
    assert np.abs(np.cov(rest.T) - np.eye(8)).max() < 5 * np.sqrt(2 / num)
    means = [rest[data.train.labels == k].mean(axis=0) for k in range(task.num_classes)]
    assert np.abs(means).max() < 5 / np.sqrt(counts.min())


def test_a_bits_data_set_describes_itself():
    data, task = interactions(BITS, num_train=64, num_val=1, num_test=1)
    assert task.bits == {"redundant": 1, "first": 0, "second": 2, "synergistic": 1}
    assert data.source == "synthetic" and data.num_classes == 16
    assert data.class_names[5] == "0101" and data.modalities == ("first", "second")
    assert data.train["first"].dtype == np.float32 and "limits" in data.card
    linear, _ = interactions("linear", num_train=9)
    assert linear.class_names == ("0", "1")


def test_missing_modalities_are_zeros_with_a_presence_mask():
    data, task = interactions("unique", 3, 6, 0.5, (0.0, 0.3, 1.0))
    assert list(data.train.presence) == list(data.modalities) == list(task.modalities)
    presence = np.stack(list(data.train.presence.values()), axis=1)
    assert presence.shape == (20_000, 3) and presence.dtype == bool
    assert presence[:, 0].all() and not presence[:, 2].any()
    assert abs(presence[:, 1].mean() - 0.7) < 4 * np.sqrt(0.21 / 20_000)
    for m, name in enumerate(task.modalities):
        assert np.array_equal(data.train[name].any(axis=1), presence[:, m] == 1)
    # Absence says nothing about the label.
    rates = [presence[data.train.labels == k, 1].mean() for k in range(8)]
    assert np.ptp(rates) < 8 * np.sqrt(0.21 / 2_500)


def logistic(data, features) -> float:
    model = LogisticRegression(C=1.0, max_iter=300)
    model.fit(features(data.train), data.train.labels)
    return model.score(features(data.test), data.test.labels)


def side_by_side(split):
    return np.hstack([split["first"], split["second"]])


def products(split):
    return np.einsum("ni,nj->nij", split["first"], split["second"]).reshape(
        len(split), -1
    )


@pytest.mark.parametrize(
    ("kind", "noise", "features"),
    [
        ("redundant", 0.8, side_by_side),
        ("unique", 0.5, side_by_side),
        ("linear", 0.5, side_by_side),
        ("linear", 0.0, side_by_side),
        ("synergistic", 0.3, products),
        ("bilinear", 0.0, products),
    ],
)
def test_a_model_of_the_right_form_comes_close_to_the_limit(kind, noise, features):
    data, task = interactions(kind, dim=8, noise=noise)
    assert abs(logistic(data, features) - task.limit()) < 0.02
    alone = logistic(data, lambda split: split["first"])
    assert alone < task.limit("first") + 0.02


def test_a_linear_model_stays_at_chance_where_the_modalities_interact():
    data, task = interactions("synergistic")
    assert abs(logistic(data, side_by_side) - 0.5) < 0.02
    data, task = interactions("bilinear")
    assert abs(logistic(data, side_by_side) - 0.25) < 0.02


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"kind": "xor"}, ["kind is 'xor'", "synergistic"]),
        ({"kind": None}, ["kind is None", "dict"]),
        ({"kind": {"third": 1}}, ["'third'", "first, second"]),
        ({"kind": {"first": 0.5}}, ["0.5 bits 'first'", "whole"]),
        ({"kind": {"first": -1}}, ["-1 bits 'first'"]),
        ({"kind": {}}, ["0 bits", "1 to 6"]),
        ({"kind": {"unique": 4}}, ["8 bits", "1 to 6"]),
        ({"num_modalities": 4}, ["num_modalities is 4", "2 or 3"]),
        ({"kind": "bilinear", "num_modalities": 3}, ["bilinear", "2"]),
        ({"kind": "bilinear", "noise": 0.1}, ["noise is 0.1", "expected 0"]),
        ({"kind": "bilinear", "dim": 7}, ["dim is 7", "8 or more"]),
        ({"kind": "mixture", "dim": 2}, ["dim is 2", "3 or more"]),
        ({"noise": -1}, ["noise is -1", "from 0"]),
        ({"noise": float("nan")}, ["noise is nan"]),
        ({"noise": [1, 1, 1]}, ["noise has 3 numbers", "2 modalities"]),
        ({"missing": 1.5}, ["missing is 1.5", "from 0 to 1"]),
        ({"num_val": 0}, ["num_val is 0", "1 or more"]),
    ],
)
def test_bad_arguments_raise_one_clear_line(arguments, parts):
    with pytest.raises(ValueError) as error:
        interactions(**{"kind": "synergistic", **arguments})
    message = str(error.value)
    assert "\n" not in message and all(part in message for part in parts), message


def test_an_unknown_modality_is_named():
    with pytest.raises(ValueError, match="'third': choose among first, second"):
        Interactions("unique").limit("third")
