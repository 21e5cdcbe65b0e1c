"""Tests of what models cost: operations counted by hand, times and memory measured."""

import keras
import numpy as np
import pytest
from keras import layers

from mmlearn import evaluate, fusion
from mmlearn.encoders import image, series, tabular, text
from mmlearn.evaluate.cost import Memory, flops, latency, megabytes
from mmlearn.layers import Attention, TransformerBlock
from mmlearn.models import fuse


def of(layer, *shapes: tuple[int, ...]) -> int | None:
    inputs = [keras.Input(shape) for shape in shapes]
    return flops(keras.Model(inputs, layer(*inputs)))


def block(steps: int, size: int, mlp: int) -> int:
    """Four projections, scores, answers, and two layers of the MLP."""
    attention = 4 * steps * size * size + 2 * steps * steps * size
    return 2 * (attention + 2 * steps * size * mlp)


# Two for each multiply-add.
COUNTS = {
    "dense": (layers.Dense(5), [(7,)], 2 * 7 * 5),
    "dense on a sequence": (layers.Dense(5), [(3, 7)], 2 * 3 * 7 * 5),
    "convolution": (layers.Conv2D(6, 3), [(8, 10, 2)], 2 * 6 * 8 * (3 * 3 * 2) * 6),
    "strides": (
        layers.Conv2D(6, 3, strides=2, padding="same"),
        [(8, 10, 2)],
        2 * 4 * 5 * (3 * 3 * 2) * 6,
    ),
    "groups": (layers.Conv2D(6, 3, groups=2), [(8, 10, 4)], 2 * 6 * 8 * 3 * 3 * 2 * 6),
    "convolution in time": (layers.Conv1D(4, 5), [(9, 3)], 2 * 5 * 5 * 3 * 4),
    "depthwise": (
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        [(8, 10, 4)],
        2 * 6 * 8 * 9 * 8,
    ),
    "LSTM": (layers.LSTM(5), [(9, 3)], 2 * 9 * 4 * (3 * 5 + 5 * 5)),
    "GRU": (layers.GRU(5), [(9, 3)], 2 * 9 * 3 * (3 * 5 + 5 * 5)),
    "two directions": (
        layers.Bidirectional(layers.LSTM(5)),
        [(9, 3)],
        2 * 2 * 9 * 4 * (3 * 5 + 5 * 5),
    ),
    "transformer": (TransformerBlock(2, 16), [(6, 8)], block(6, 8, 16)),
    "attention": (
        Attention(2),
        [(6, 8), (10, 8)],
        2 * (2 * 6 * 64 + 2 * 10 * 64 + 2 * 6 * 10 * 8),
    ),
    "no product": (layers.LayerNormalization(), [(8,)], 0),
    "no weights": (layers.MaxPooling2D(), [(8, 8, 2)], 0),
    "open length": (layers.Dense(5), [(None, 7)], None),
    "unknown weights": (layers.SeparableConv2D(4, 3), [(8, 8, 2)], None),
    "Keras's attention": (layers.MultiHeadAttention(2, 4), [(6, 8), (6, 8)], None),
    "product of inputs": (
        lambda x, y: layers.Dot(axes=-1)([x, y]),
        [(6, 8), (5, 8)],
        None,
    ),
    "an operation": (keras.ops.matmul, [(6, 8), (8, 5)], None),
}


@pytest.mark.parametrize("case", COUNTS)
def test_operations_equal_a_count_by_hand(case):
    layer, shapes, expected = COUNTS[case]
    assert of(layer, *shapes) == expected


def test_operations_of_nested_shared_and_sequential_models():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    one = 2 * (4 * 3 + 3 * 2)
    assert flops(inner) == one
    left, right = keras.Input((4,)), keras.Input((4,))
    shared = keras.Model([left, right], layers.Add()([inner(left), inner(right)]))
    assert flops(shared) == 2 * one
    assert flops(keras.Sequential([layers.Dense(3)])) is None


class Opaque(keras.Model):
    def call(self, inputs):
        return inputs


def test_a_model_without_a_graph_is_not_counted():
    assert flops(Opaque()) is None


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


def test_a_fused_model_costs_the_sum_of_its_parts():
    encoders = [
        tabular.mlp(numeric=6, name="table", hidden=(8,), embed_dim=4),
        series.cnn((16, 2)),
    ]
    parts = [flops(encoder) for encoder in encoders]
    assert parts[0] == 2 * (6 * 8 + 8 * 4)
    d = encoders[1].output_shape[-1]
    assert flops(both()) == sum(parts) + 2 * (4 + d) * 3
    weighted = both(fusion.WeightedFusion(7))
    assert flops(weighted) == sum(parts) + 2 * (4 + d) * 7 + 2 * 7 * 3
    # The mask costs nothing.
    assert flops(both(presence=True)) == flops(both())


@pytest.mark.parametrize(
    "joint",
    [fusion.SelfAttentionFusion(8, 2), fusion.BilinearFusion(8, "mcb", embed_dim=16)],
)
def test_a_fusion_that_is_not_counted_says_so(joint):
    model = both(joint)
    assert flops(model) is None
    found = evaluate.cost(model, INPUTS, batch_sizes=(2,), repeats=1)
    assert found.table().rows[0][2] == "n/a"


@pytest.mark.parametrize(
    "encoder",
    [
        image.cnn((28, 28, 1), widths=(4,)),
        image.lenet(),
        image.resnet(),
        image.vit(),
        series.tcn((16, 2)),
        text.bag(9, 5, 4),
        text.recurrent(9, 5, embed_dim=4),
        text.transformer(9, 5, 8),
        series.transformer((16, 2), 8),
        tabular.mlp(numeric=2, categories=(3,), embed_dim=4),
    ],
    ids=lambda encoder: encoder.name,
)
def test_the_encoders_of_this_package_can_be_counted(encoder):
    assert flops(encoder) is not None


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
    assert len(table.header) == len(table.rows[0]) == 7
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
