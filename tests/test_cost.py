"""Tests of what models cost: times and memory measured."""

import numpy as np
import pytest

from mmlearn import evaluate, fusion
from mmlearn.encoders import series, tabular
from mmlearn.evaluate.cost import Memory, latency, megabytes
from mmlearn.models import fuse


def both(joint=None, presence: bool = False):
    encoders = [
        tabular.mlp(numeric=6, name="table", hidden=(8,), embed_dim=4),
        series.cnn((16, 2)),
    ]
    return fuse(encoders, joint or fusion.ConcatFusion(), 3, presence=presence)


INPUTS = {
    "table": np.random.default_rng(0).normal(size=(5, 6)).astype("float32"),
    "series": np.random.default_rng(1).normal(size=(5, 16, 2)).astype("float32"),
}


def test_cost_measures_each_model():
    models = {"plain": both(), "masked": both(presence=True)}
    found = evaluate.cost(models, INPUTS, batch_sizes=(1, 8), repeats=5)
    assert list(found) == ["plain", "masked"]
    for name, cost in found.items():
        assert cost.parameters == models[name].count_params()
        assert list(cost.latency) == [1, 8]
        for median, high, highest in cost.latency.values():
            assert 0 < median <= high <= highest
        assert cost.throughput == pytest.approx(8 / cost.latency[8][0])
        assert cost.memory is None or cost.memory >= 0
    table = found.table()
    assert len(table.header) == len(table.rows[0]) == 6
    assert table.rows[0][1] == f"{models['plain'].count_params():,}"
    assert repr(found) == repr(table) and found._repr_markdown_().startswith("| model")
    alone = evaluate.cost(models["plain"], INPUTS, (2,), repeats=1)
    assert list(alone) == [models["plain"].name]


def test_a_batch_is_filled_by_repeating_and_times_are_all_returned():
    taken, model = [], both()
    predict = model.predict_on_batch

    def noted(batch):
        taken.append({name: len(array) for name, array in batch.items()})
        return predict(batch)

    model.predict_on_batch = noted
    assert latency(model, INPUTS, 12, 3).shape == (3,)
    assert taken == [{"table": 12, "series": 12}] * 4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"repeats": 0}, ValueError, "repeats is 0"),
        ({"inputs": {n: x[:0] for n, x in INPUTS.items()}}, ValueError, "no sample"),
        ({"inputs": {"table": INPUTS["table"]}}, KeyError, "'series'"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, error, message):
    settings = {"inputs": INPUTS, "repeats": 2, **change}
    with pytest.raises(error, match=message):
        evaluate.cost(both(), **settings)


def test_memory_sees_what_is_taken():
    with Memory() as memory:
        taken = np.ones(30_000_000)
        taken += 1
    if memory.growth is not None:
        assert memory.growth > 200e6
    assert megabytes(3.2e6) == "3" and megabytes(None) == megabytes(np.nan) == "n/a"
