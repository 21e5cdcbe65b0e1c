"""Ranks against counting, and intervals over units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlearn.evaluate import retrieval


def drawn(seed: int, num: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num, 4)), rng.normal(size=(size, 4))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 9))
def test_the_rank_is_the_place_of_the_first_right_answer(seed, num, size):
    queries, gallery = drawn(seed, num, size)
    rng = np.random.default_rng(seed)
    answers = rng.integers(0, 3, size)
    shown = rng.choice(answers, num)
    found = retrieval(queries, gallery, shown, answers)
    for q, what, rank in zip(queries, shown, found.ranks, strict=True):
        cosines = gallery @ q / np.linalg.norm(gallery, axis=1)
        assert answers[np.argsort(-cosines)[int(rank) - 1]] == what
        assert what not in answers[np.argsort(-cosines)[: int(rank) - 1]]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_lengths_and_the_order_of_the_gallery_do_not_matter(seed):
    queries, gallery = drawn(seed, 5, 7)
    rng, names = np.random.default_rng(seed), np.arange(7)
    order, lengths = rng.permutation(7), rng.uniform(0.1, 9, (7, 1))
    one = retrieval(queries, gallery, names[:5], names)
    other = retrieval(3 * queries, (lengths * gallery)[order], names[:5], names[order])
    np.testing.assert_allclose(one.ranks, other.ranks)


def test_what_cannot_tell_answers_apart_is_at_chance():
    z = np.ones((101, 4))
    found = retrieval(z, z)
    assert (found.ranks == 51).all()
    assert found.median_rank().mean == 51 and found.recall(10).mean == 0


def test_scores_by_hand():
    gallery = np.eye(4)
    queries = np.array([[9, 1, 0, 0], [9, 8, 0, 0], [1, 2, 3, 4], [1, 2, 3, 4.0]])
    found = retrieval(queries, gallery)
    assert found.ranks.tolist() == [1, 2, 2, 1]
    assert found.recall(1).mean == 0.5 and found.recall(2).mean == 1
    assert found.mrr().mean == 0.75 and found.median_rank().mean == 1.5
    assert found.chance(1) == 0.25 and found.chance(9) == 1
    assert found.table(at=(1,)).rows[0][0] == "R@1"


def test_chance_is_what_random_embeddings_reach():
    queries, gallery = drawn(0, 4000, 40)
    answers = np.arange(40) // 2  # two right answers to each
    shown = np.random.default_rng(1).integers(0, 20, 4000)
    found = retrieval(queries, gallery, shown, answers)
    for k in (1, 5, 10):
        # The gallery is one draw for all queries: wider than 4,000 coins.
        assert found.recall(k).mean == pytest.approx(found.chance(k), abs=0.03)


def test_an_interval_over_groups_is_wider_where_members_agree():
    rng = np.random.default_rng(0)
    family = np.arange(200) // 10
    good = rng.random(20) < 0.5  # whole families are found, or none of it
    gallery = np.eye(200)
    queries = np.where(good[family][:, None], gallery, np.roll(gallery, 1, axis=0))
    alone = retrieval(queries, gallery).recall(1)
    together = retrieval(queries, gallery, groups=family, unit="families").recall(1)
    assert together.mean == alone.mean
    assert together.half_width > 2 * alone.half_width
    assert together.n == 20 and together.unit == "families"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": np.ones((3, 5))}, "queries have 5 numbers, the gallery 4"),
        ({"queries": np.ones(4)}, "queries have shape \\(4,\\)"),
        ({"gallery": np.zeros((3, 4))}, "gallery: an embedding is 0 or not finite"),
        ({"queries": np.full((3, 4), np.nan)}, "queries: an embedding is 0 or not"),
        ({"queries": np.ones((2, 4))}, "2 queries and 3 answers"),
        ({"shown": np.arange(3)}, "give both shown and answers"),
        (
            {"shown": np.array([0, 1, 7]), "answers": np.arange(3)},
            "query .*7.* has no right answer",
        ),
        ({"groups": np.arange(2)}, "groups has shape \\(2,\\), expected \\(3,\\)"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(change, message):
    given_ = {"queries": np.ones((3, 4)), "gallery": np.ones((3, 4))} | change
    with pytest.raises(ValueError, match=message) as raised:
        retrieval(**given_)
    assert "\n" not in str(raised.value)
