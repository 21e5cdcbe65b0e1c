"""Heads of one sigmoid column, several labels or a number: answered, or refused."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from known_answers import linear

from mmlearn import evaluate, explain, fusion, models
from mmlearn.datasets import MultimodalDataset, Split

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2, 3)).astype("float32")
LABELS = (X[:, 0, 0] + 0.5 * X[:, 1, 0] > 0.3).astype("int64")
SPLIT = Split({"a": X[:, 0], "b": X[:, 1]}, LABELS, np.arange(60))
DATA = MultimodalDataset("toy", "synthetic", ("no", "yes"), SPLIT, SPLIT, SPLIT)


def built(head):
    inputs = [keras.Input((3,), name=name) for name in "ab"]
    h = keras.layers.Concatenate()(inputs)
    return models.MultimodalModel(inputs, head(h))


def pair():
    """One rule, as one sigmoid column and as two softmax columns."""
    weights = np.array([[3.0], [0], [0], [1.5], [0], [0]]), np.array([-0.9])
    one = built(keras.layers.Dense(1, "sigmoid"))
    one.set_weights(weights)
    two = built(keras.layers.Dense(2, "softmax"))
    two.set_weights([np.insert(w, 0, 0, axis=-1) for w in weights])
    return one, two


TOOLS = {
    "missing": lambda m: evaluate.missing(m, DATA).scores[m.name],
    "robustness": lambda m: evaluate.robustness(m, DATA, "a", "noise").curves[m.name],
    "ablation": lambda m: explain.ablation(m, SPLIT).values,
    "permutation": lambda m: explain.permutation(m, SPLIT).values,
    "Shapley": lambda m: explain.shapley(m, SPLIT).values,
    "log likelihood": lambda m: explain.shapley(m, SPLIT, "log likelihood").values,
    "EMAP": lambda m: explain.emap(m, SPLIT)[:2],
    "reliance": lambda m: explain.reliance(m, SPLIT),
    "scores": lambda m: evaluate.scores(m.predict(SPLIT.inputs), LABELS),
    "accuracy": lambda m: evaluate.accuracy(m.predict(SPLIT.inputs), LABELS).mean,
    "calibration": lambda m: evaluate.calibration(m.predict(SPLIT.inputs), LABELS)[1],
    "conformal": lambda m: (
        evaluate.conformal(m.predict(SPLIT.inputs), LABELS)
        .sets(m.predict(SPLIT.inputs))
        .sum()
    ),
}


def flat(found) -> np.ndarray:
    if isinstance(found, dict):
        return np.concatenate([flat(value) for value in found.values()])
    if isinstance(found, evaluate.Estimate):
        return np.array([found.mean, found.low, found.high])
    return np.ravel(np.asarray(found, float))


@pytest.mark.parametrize("tool", TOOLS)
def test_one_sigmoid_column_says_what_two_softmax_columns_say(tool):
    one, two = (flat(TOOLS[tool](model)) for model in pair())
    np.testing.assert_allclose(one, two, atol=1e-4)
    assert np.nanmax(np.abs(one)) > 0


def test_one_sigmoid_column_is_not_always_class_0():
    one, _ = pair()
    assert evaluate.accuracy(one.predict(SPLIT.inputs), LABELS).mean == 1


def test_a_column_of_logits_is_refused():
    one, _ = pair()
    logits = built(keras.layers.Dense(1))
    logits.set_weights(one.get_weights())
    with pytest.raises(ValueError, match="one column is .* end it in a sigmoid"):
        evaluate.missing(logits, DATA)


def test_compare_trains_a_sigmoid_column_by_its_own_loss():
    def build():
        parts = [linear(name, np.eye(3)) for name in "ab"]
        return models.fuse(
            parts, fusion.ConcatFusion(), keras.layers.Dense(1, "sigmoid")
        )

    found = evaluate.compare({"both": build}, DATA, seeds=[0], epochs=1)
    (model,) = found.models("both")
    assert model.loss == "binary_crossentropy"
    right = evaluate.correct(model.predict(SPLIT.inputs, verbose=0), LABELS)
    np.testing.assert_array_equal(
        evaluate.correct(found.predictions["both"], LABELS), right
    )
    assert "both" in repr(found.table())


@pytest.mark.parametrize("labels", [LABELS[:, None] * [1, 0], X[:, 0, 0]])
@pytest.mark.parametrize("tool", ["EMAP", "reliance", "log likelihood"])
def test_what_has_no_score_for_these_labels_says_so(tool, labels, monkeypatch):
    width = 1 if labels.ndim == 1 else 2
    model = built(keras.layers.Dense(width, "sigmoid"))
    monkeypatch.setitem(globals(), "SPLIT", replace(SPLIT, labels=labels))
    kind = "regression" if width == 1 else "multilabel"
    with pytest.raises(ValueError, match=f"is defined for .*, these are {kind}"):
        TOOLS[tool](model)


@pytest.mark.parametrize(
    "tool", ["missing", "robustness", "ablation", "permutation", "Shapley"]
)
def test_what_counts_right_answers_refuses_numbers(tool, monkeypatch):
    numbers = replace(SPLIT, labels=X[:, 0, 0])
    monkeypatch.setitem(globals(), "SPLIT", numbers)
    parts = dict.fromkeys(("train", "val", "test"), numbers)
    monkeypatch.setitem(globals(), "DATA", replace(DATA, class_names=(), **parts))
    with pytest.raises(ValueError, match="these are regression: compare evaluate.sc"):
        TOOLS[tool](built(keras.layers.Dense(1)))


@pytest.mark.parametrize(
    "loss",
    [["mse"], keras.losses.binary_crossentropy, lambda y, p: keras.ops.mean(p - y)],
)
def test_other_forms_of_a_loss_train(loss):
    model = built(keras.layers.Dense(1, "sigmoid"))
    model.compile("sgd", loss)
    model.fit(SPLIT.inputs, LABELS.astype("float32"), verbose=0)


@pytest.mark.parametrize(
    ("units", "loss", "labels", "message"),
    [
        (2, "sparse_categorical_crossentropy", 2, "labels are 0 to 2, expected 0 to 1"),
        (2, keras.losses.SparseCategoricalCrossentropy(), -1, "labels are -1 to 1"),
        (1, "sparse_categorical_crossentropy", 1, "the head has one column"),
        (1, "binary_crossentropy", 2, "expected 0 to 1 for a head of 1 col"),
    ],
)
def test_a_label_that_the_head_cannot_give_stops_before_the_first_step(
    units, loss, labels, message
):
    model = built(keras.layers.Dense(units, "softmax" if units > 1 else "sigmoid"))
    model.compile("sgd", loss)
    wrong = LABELS.copy()
    wrong[0], wrong[1], wrong[2] = labels, 0, 1
    before = model.get_weights()[0].copy()
    for use in (
        lambda: model.fit(SPLIT.inputs, wrong, verbose=0),
        lambda: model.evaluate(SPLIT.inputs, wrong, verbose=0),
        lambda: model.fit(
            SPLIT.inputs, LABELS, validation_data=(SPLIT.inputs, wrong), verbose=0
        ),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    np.testing.assert_array_equal(model.get_weights()[0], before)
