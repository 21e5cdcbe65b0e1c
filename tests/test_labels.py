"""Several labels, or a number: from the data set to `compare`, with known answers."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from mmlearn import datasets, encoders, evaluate, fusion, models
from mmlearn.datasets import MultimodalDataset, Split

SIZES = {"train": 256, "val": 64, "test": 64}


def made(class_names: tuple[str, ...], answer) -> MultimodalDataset:
    """Two modalities of three numbers, and labels made from them."""
    rng = np.random.default_rng(5)
    parts = {}
    for name, num in SIZES.items():
        inputs = {m: rng.normal(size=(num, 3)).astype("float32") for m in ("a", "b")}
        parts[name] = Split(inputs, answer(inputs["a"], inputs["b"]), np.arange(num))
    return MultimodalDataset("toy", "synthetic", class_names, **parts)


def several() -> MultimodalDataset:
    """Each modality knows one label; of three labels, the last one needs both."""

    def answer(a, b):
        held = [a[:, 0] > 0, b[:, 0] > 0, a[:, 1] + b[:, 1] > 0]
        return np.stack(held, axis=1).astype("int64")

    return made(("first", "second", "both"), answer)


def number() -> MultimodalDataset:
    return made((), lambda a, b: a[:, 0] + b[:, 0])


def compared(data: MultimodalDataset):
    """Compared with the training that the labels ask for."""
    activation = "sigmoid" if data.task == "multilabel" else None

    def build():
        pair = [
            encoders.tabular.mlp(3, hidden=(), embed_dim=16, dropout=0.0, name=m)
            for m in data.modalities
        ]
        head = keras.layers.Dense(data.num_classes or 1, activation=activation)
        return models.fuse(pair, fusion.ConcatFusion(), head)

    return evaluate.compare({"both": build}, data, seeds=[0], epochs=25, batch_size=8)


@pytest.fixture(scope="module")
def of_labels():
    data = several()
    return data, compared(data)


@pytest.fixture(scope="module")
def of_numbers():
    data = number()
    return data, compared(data)


def test_several_labels_are_compared(of_labels):
    data, found = of_labels
    assert all(p.shape == (1, 64, 3) for p in found.predictions.values())
    share = {
        name: evaluate.correct(p, data.test.labels).mean()
        for name, p in found.predictions.items()
    }
    # One modality knows a label for certain, half of another, nothing of the third.
    assert share["both"] > 0.9
    assert 0.6 < share["a only"] < 0.85 and 0.6 < share["b only"] < 0.85
    assert share["majority"] < 0.7
    gain = found.gain("both")
    assert 0 < gain.low < gain.mean < gain.high
    shares = data.train.labels.mean(axis=0)
    np.testing.assert_allclose(found.predictions["majority"][0, 0], shares)


def test_a_number_is_compared(of_numbers):
    data, found = of_numbers
    error = {
        name: -evaluate.correct(p, data.test.labels).mean()
        for name, p in found.predictions.items()
    }
    # The sum of two standard normals: with one of them known, one is left.
    assert error["both"] < 0.3
    assert 0.6 < error["a only"] < 1.1 and 0.6 < error["b only"] < 1.1
    assert error["majority"] > error[found.single]
    gain = found.gain("both")
    assert gain.low > 0 and gain.mean == pytest.approx(
        error[found.single] - error["both"]
    )
    np.testing.assert_allclose(
        found.predictions["majority"], np.median(data.train.labels)
    )


@pytest.mark.parametrize("which", ["of_labels", "of_numbers"])
def test_the_tables_show_every_model(which, request):
    data, found = request.getfixturevalue(which)
    rows = {"majority", "a only", "b only", "both", f"{found.single[0]}, equal size"}
    assert set(found.predictions) == rows
    for shown in (found.table(), found.gains(), found.costs()):
        assert "both" in repr(shown)
    score = "MAE" if data.task == "regression" else "AUROC"
    assert score in repr(found.table())
    values = found.frame()
    assert np.isfinite(values[values.score == score].value).all()


@pytest.mark.parametrize(
    ("which", "loss"), [("of_labels", "binary_crossentropy"), ("of_numbers", "mse")]
)
def test_the_loss_is_the_one_that_the_labels_ask_for(which, loss, request):
    found = request.getfixturevalue(which)[1]
    assert found.models("both")[0].loss == loss


@pytest.mark.parametrize("make", [several, number])
def test_leaks_that_need_no_classes_are_found(make):
    data = make()
    assert datasets.leaks(data) == []
    test = data.test.inputs | {"picture": np.zeros((64, 8, 8, 3), "uint8")}
    train = data.train.inputs | {
        "picture": np.random.default_rng(0).integers(0, 9, (256, 8, 8, 3), "uint8")
    }
    test["picture"][5] = train["picture"][7]
    val = data.val.inputs | {"picture": np.zeros((64, 8, 8, 3), "uint8")}
    data = replace(
        data,
        train=replace(data.train, inputs=train),
        val=replace(data.val, inputs=val),
        test=replace(data.test, inputs=test),
    )
    (leak,) = datasets.leaks(data)
    assert leak.kind == "same array" and "train[7] = test[5]" in leak.example
