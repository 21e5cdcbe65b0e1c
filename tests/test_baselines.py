"""Tests of the single-modality models that `compare` adds."""

import numpy as np
import pytest
from harness import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from known_answers import linear

from mmlearn.encoders import text
from mmlearn.evaluate import baselines
from mmlearn.fusion import SelfAttentionFusion
from mmlearn.models import fuse

SIZES = st.floats(1, 8)


@settings(deadline=None, max_examples=10)
@given(st.integers(16, 40), st.integers(16, 40), st.integers(2, 5), SIZES)
def test_the_larger_model_of_one_modality_has_the_size_asked_for(
    dim, width, num, factor
):
    def build():
        return fuse([linear("first", np.ones((dim, width)))], head=num)

    size = int(factor * build().count_params())
    model = baselines.enlarged(build, "first", size, ("classes", num))
    assert abs(model.count_params() / size - 1) < 0.05
    x = np.ones((3, dim), "float32")
    assert model.predict({"first": x}, verbose=0).shape == (3, num)


def test_an_encoder_that_is_larger_than_all_is_not_shrunk():
    def build():
        return fuse([linear("first", np.ones((50, 50)))], head=2)

    model = baselines.enlarged(build, "first", 100, ("classes", 2))
    assert model.count_params() == build().count_params()


def test_encoders_of_sequences_are_averaged_where_they_are_alone():
    def build():
        names = ("title", "body")
        parts = [text.bag(9, 5, embed_dim=8, pooling=None, name=name) for name in names]
        return fuse(parts, SelfAttentionFusion(8, num_heads=2), 3)

    x = {"body": np.array([[1, 2, 0, 0, 0], [0, 0, 0, 0, 0]], "int32")}
    single = baselines.alone(build, "body", ("classes", 3))
    size = build().count_params()
    larger = baselines.enlarged(build, "body", size, ("classes", 3))
    for model in (single, larger):
        assert model.predict(x, verbose=0).shape == (2, 3)
    assert abs(larger.count_params() / size - 1) < 0.05
    # Padding has no effect.
    assert_close(
        single.predict(x, verbose=0)[0],
        single.predict({"body": x["body"][:, [0, 1, 2, 2, 2]]}, verbose=0)[0],
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("task", "shape"), [("multilabel", (3, 4)), ("regression", (3, 1))]
)
def test_baselines_of_other_tasks_have_their_outputs(task, shape):
    def build():
        return fuse([linear("first", np.ones((3, 2)))], head=2)

    outputs = (task, shape[1])
    x = {"first": np.random.default_rng(0).normal(size=(3, 3)).astype("float32")}
    for model in (
        baselines.alone(build, "first", outputs),
        baselines.enlarged(build, "first", 60, outputs),
    ):
        predicted = model.predict(x, verbose=0)
        assert predicted.shape == shape
        if task == "multilabel":
            assert (predicted > 0).all() and (predicted < 1).all()
