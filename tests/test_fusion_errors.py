"""What does not fit is refused in one line that names the layer and the modality."""

from functools import partial

import fusion_cases
import numpy as np
import pytest
from attention_cases import ALL as CASES
from fusion_cases import BATCH, E

from mmlearn import fusion as f


def one(*shape) -> np.ndarray:
    return np.ones((BATCH, *shape), "float32")


def complaint(call, layer) -> str:
    """The one line that the layer says; Keras wraps it in further ones."""
    with pytest.raises(ValueError) as caught:
        call(layer)
    lines = [line for line in str(caught.value).splitlines() if "joined: " in line]
    assert len(lines) == 1, str(caught.value)
    return lines[0].replace("\x1b[1m", "").replace("\x1b[0m", "")


@pytest.mark.parametrize("name", CASES)
def test_a_misfit_is_named_in_one_line(name):
    case = CASES[name]
    x, count = case.inputs(), len(case.shapes)
    names = ["a", "b", "c"][:count]
    named = dict(zip(names, x, strict=True))
    new, ready, ready_by_name = (case.make(name="joined") for _ in range(3))
    ready(x), ready_by_name(named)
    longer = np.concatenate([x[-1], x[-1]], -1)
    other_name = {**{k: named[k] for k in names[:-1]}, "z": x[-1]}
    for layer, call, expected in [
        (new, lambda layer: layer(x[:1]), ["1 modality"]),
        (new, lambda layer: layer(x[0]), ["one tensor"]),
        (ready, lambda layer: layer(x[0]), ["list or a dict"]),
        (
            new,
            lambda layer: layer([*x[:-1], one(2, 2, 2, 2)]),
            [f"input {count - 1}"],
        ),
        (
            new,
            lambda layer: layer({**named, names[-1]: one(2, 2, 2, 2)}),
            [f"{names[-1]} "],
        ),
        (new, lambda layer: layer([*x[:-1], np.ones(BATCH, "float32")]), ["input"]),
        (ready, lambda layer: layer([*x, x[-1]]), ["input"]),
        (
            ready,
            lambda layer: layer([*x[:-1], longer]),
            [f"input {count - 1}", str(longer.shape)],
        ),
        (
            ready,
            lambda layer: layer([*x[:-1], x[-1][:1]]),
            [f"input {count - 1}", "1 sample"],
        ),
        (ready_by_name, lambda layer: layer(other_name), ["z", names[-1]]),
        (ready_by_name, lambda layer: layer({**named, "z": x[0]}), ["z"]),
        (ready_by_name, lambda layer: layer(x), ["input 0", "built for"]),
        (
            ready,
            lambda layer: layer(x, presence=one(count + 1)),
            ["presence", str(count)],
        ),
        (ready, lambda layer: layer(x, presence=np.ones(BATCH)), ["presence"]),
        (
            ready,
            lambda layer: layer(x, presence=np.ones((1, count))),
            ["presence has 1"],
        ),
    ]:
        line = complaint(call, layer)
        assert line.startswith("joined: ")
        for part in expected:
            assert part in line


PAIRED = [name for name, case in fusion_cases.CASES.items() if len(case.shapes) == 2]


@pytest.mark.parametrize("name", PAIRED)
def test_layers_of_two_refuse_three(name):
    x = CASES[name].inputs()
    layer = CASES[name].make(name="joined")
    line = complaint(lambda layer: layer([*x, x[-1]]), layer)
    assert line.startswith("joined: ") and "3" in line and "2" in line


@pytest.mark.parametrize(
    "make",
    [
        f.SumFusion,
        f.MeanFusion,
        f.MaxFusion,
        f.ProductFusion,
        partial(f.DeepSetFusion, E, shared=True),
        f.DecisionFusion,
        partial(f.DecisionFusion, "product"),
    ],
)
def test_unequal_lengths_are_named(make):
    x = {"a": one(3), "b": one(4), "c": one(3)}
    line = complaint(lambda layer: layer(x), make(name="joined"))
    assert line.startswith("joined: ") and "b" in line.split() and "4" in line


@pytest.mark.parametrize(
    ("make", "parts_of_it"),
    [
        (partial(f.SumFusion, embed_dim=0), ["embed_dim", "0"]),
        (partial(f.DeepSetFusion, 0), ["embed_dim", "0"]),
        (partial(f.GatedFusion, 0), ["embed_dim", "0"]),
        (partial(f.TensorFusion, units=0), ["units", "0"]),
        (partial(f.LowRankFusion, 3, rank=0), ["rank", "0"]),
        (
            partial(f.MultiplicativeInteraction, 3, form="tensor"),
            ["'tensor'", "matrix"],
        ),
        (f.MultiplicativeInteraction, ["units"]),
        (partial(f.MultiplicativeInteraction, 3, form="vector"), ["units", "vector"]),
        (partial(f.MultiplicativeInteraction, 3, form="scalar"), ["units", "scalar"]),
        (partial(f.BilinearFusion, 3, "mbl", embed_dim=4), ["'mbl'", "mlb"]),
        (partial(f.BilinearFusion, 3, "mlb"), ["embed_dim"]),
        (partial(f.BilinearFusion, 3, embed_dim=4), ["embed_dim"]),
        (partial(f.BilinearFusion, 3, rank=4), ["rank"]),
        (partial(f.BilinearFusion, 3, normalize=True), ["normalize"]),
        (
            partial(f.BilinearFusion, 3, "mutan", embed_dim=4, activation="tanh"),
            ["activation", "mutan"],
        ),
        (partial(f.BilinearFusion, 3, "mlb", embed_dim=4, rank=2), ["rank"]),
        (
            partial(f.BilinearFusion, 3, "block", embed_dim=4, chunks=3),
            ["chunks", "3", "4"],
        ),
        (partial(f.DecisionFusion, "avg"), ["'avg'", "mean"]),
        (partial(f.DecisionFusion, prior=(0.5, -0.5, 1.0)), ["prior"]),
        (partial(f.StackingFusion, 0), ["num_classes", "0"]),
    ],
)
def test_bad_settings_are_refused(make, parts_of_it):
    with pytest.raises(ValueError) as caught:
        make(name="joined")
    line = str(caught.value)
    assert line.startswith("joined: ") and len(line.splitlines()) == 1
    for part in parts_of_it:
        assert part in line


def test_a_prior_has_one_number_per_class():
    layer = f.DecisionFusion("product", prior=(0.5, 0.5), name="joined")
    line = complaint(lambda layer: layer([one(3), one(3)]), layer)
    assert "prior" in line and "2" in line and "3" in line
