"""What a model costs: weights, operations, time and memory."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import psutil

from mmlearn import runtime
from mmlearn.datasets import Split
from mmlearn.encoders.tabular import Columns
from mmlearn.evaluate.tables import Table
from mmlearn.layers import (
    Attention,
    PositionEmbedding,
    TokenEmbedding,
    TransformerBlock,
)
from mmlearn.models import inputs_from

FREE = (
    keras.layers.InputLayer,
    keras.layers.Embedding,
    keras.layers.Normalization,
    keras.layers.LayerNormalization,
    keras.layers.BatchNormalization,
    TokenEmbedding,
    PositionEmbedding,
    Columns,
)
"""Layers with weights or states that multiply no matrix."""

PRODUCTS = ("Attention", "AdditiveAttention", "MultiHeadAttention", "LogMel", "Dot")
PRODUCTS += ("Matmul", "Einsum", "Tensordot", "Inner", "Outer", "Vdot")
"""Layers and operations that multiply matrices, but may have no weights."""


@dataclass(frozen=True)
class Cost:
    """What one model costs on this machine.

    Attributes:
        name: Name of the model.
        parameters: Number of weights.
        flops: Floating-point operations for one sample, two for each multiply-add of a
            matrix product or convolution, all else neglected; `None` where a layer's
            cannot be counted.
        latency: Batch size → seconds per batch: median, 95th and 99th percentile.
        throughput: Samples per second at the largest batch.
        memory: Bytes by which the process grew at most while predicting; `None` where
            it cannot be sampled, on a GPU.
        device: What it ran on.
    """

    name: str
    parameters: int
    flops: int | None
    latency: Mapping[int, tuple[float, float, float]]
    throughput: float
    memory: int | None
    device: str


class Costs(dict):
    """Name → `Cost`; displays as a table."""

    def table(self) -> Table:
        """Return one row per model."""
        batches = list(next(iter(self.values())).latency)
        header = ("model", "parameters", "MFLOPs")
        header += tuple(f"ms, batch {size} (95 %)" for size in batches)
        rows = []
        for name, cost in self.items():
            times = [
                f"{1000 * median:.1f} ({1000 * high:.1f})"
                for median, high, _ in cost.latency.values()
            ]
            rows.append(
                (name, f"{cost.parameters:,}", _mega(cost.flops), *times)
                + (f"{cost.throughput:,.0f}", megabytes(cost.memory))
            )
        device = next(iter(self.values())).device
        note = f"on {device}; median time of a batch and its 95th percentile"
        return Table((*header, "samples/s", "memory, MB"), tuple(rows), note)

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()

    def __repr__(self) -> str:
        return repr(self.table())


def cost(
    models: keras.Model | Mapping[str, keras.Model],
    inputs: Split | Mapping[str, np.ndarray],
    batch_sizes: tuple[int, ...] = (1, 256),
    repeats: int = 30,
) -> Costs:
    """Measure what models cost: weights, operations, time and memory.

    Args:
        models: A model, or name → model.
        inputs: Samples of every modality, such as `data.test` or its `inputs`; repeated
            to fill a batch.
        batch_sizes: Batch sizes to time.
        repeats: Batches timed for each, after one that compiles.

    Returns:
        Name → `Cost`, which displays as a table.

    Raises:
        ValueError: If there is no sample, or `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}, expected 1 or more")
    if not isinstance(models, Mapping):
        models = {models.name: models}
    return Costs(
        {
            name: _cost(name, m, inputs, batch_sizes, repeats)
            for name, m in models.items()
        }
    )


def _cost(name, model, inputs, batch_sizes, repeats) -> Cost:
    with Memory() as memory:
        times = {size: latency(model, inputs, size, repeats) for size in batch_sizes}
    largest = max(batch_sizes)
    return Cost(
        name,
        model.count_params(),
        flops(model),
        {n: tuple(np.percentile(t, (50, 95, 99))) for n, t in times.items()},
        largest / float(np.median(times[largest])),
        memory.growth,
        runtime.devices()[0],
    )


def latency(
    model: keras.Model,
    inputs: Split | Mapping[str, np.ndarray],
    batch_size: int,
    repeats: int,
) -> np.ndarray:
    """Return the seconds that each of several batches took, shape (repeats,).

    A batch is predicted once before, so that compiling is not counted.

    Raises:
        ValueError: If there is no sample.
    """
    inputs = inputs_from(model, inputs)
    num = len(next(iter(inputs.values())))
    if num == 0:
        raise ValueError("there is no sample to predict: the split is empty")
    rows = np.arange(batch_size) % num
    batch = keras.tree.map_structure(lambda array: array[rows], inputs)
    model.predict_on_batch(batch)
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        model.predict_on_batch(batch)
        taken.append(time.perf_counter() - start)
    return np.array(taken)


class Memory:
    """Samples by how much this process grows, fifty times a second.

    `with Memory() as memory: ...`, then `memory.growth` in bytes; `None` on a GPU,
    whose memory the process does not show.
    """

    growth: int | None = None

    def __enter__(self) -> "Memory":
        if any("gpu" in name.lower() for name in runtime.devices()):
            return self
        self._process, self._done = psutil.Process(), threading.Event()
        self._start = self._process.memory_info().rss
        self.growth = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        if self.growth is not None:
            self._done.set()
            self._thread.join()

    def _watch(self) -> None:
        while True:
            grown = self._process.memory_info().rss - self._start
            self.growth = max(self.growth, grown)
            if self._done.wait(0.02):
                return


def flops(model: keras.Model) -> int | None:
    """Return the floating-point operations of one sample, or `None`.

    Two for each multiply-add of a matrix product or convolution; additions of biases,
    activations and normalisations are neglected. `None` if a layer's operations are not
    known, or a size is open.
    """
    model = getattr(model, "_functional", model)  # which a Sequential wraps
    if not hasattr(model, "_nodes_by_depth"):
        return None
    total = 0
    for node in _nodes(model):
        layer = node.operation
        shapes = [tensor.shape[1:] for tensor in node.input_tensors]
        output = node.outputs[0].shape[1:]
        if any(None in shape for shape in [*shapes, output]):
            return None
        found = _flops(layer, shapes, output)
        if found is None:
            return None
        total += found
    return total


def _nodes(model: keras.Model) -> list:
    return [node for nodes in model._nodes_by_depth.values() for node in nodes]


def _flops(layer, shapes: list[tuple], output: tuple) -> int | None:
    """Operations of one call of a layer, from the shapes without their batch axis."""
    kinds = keras.layers
    if isinstance(layer, keras.Model):
        return flops(layer)
    if isinstance(layer, FREE):
        return 0
    if not getattr(layer, "weights", []):
        return None if type(layer).__name__ in PRODUCTS else 0
    if isinstance(layer, kinds.Dense):
        return 2 * int(np.prod(output[:-1])) * int(np.prod(layer.kernel.shape))
    if isinstance(layer, kinds.DepthwiseConv1D | kinds.DepthwiseConv2D):
        return 2 * int(np.prod(output)) * int(np.prod(layer.kernel.shape[:-2]))
    if isinstance(layer, kinds.Conv1D | kinds.Conv2D | kinds.Conv3D):
        if layer.data_format != "channels_last":
            return None
        return 2 * int(np.prod(output[:-1])) * int(np.prod(layer.kernel.shape))
    if isinstance(layer, kinds.SimpleRNN | kinds.LSTM | kinds.GRU):
        cell = layer.cell
        size = int(np.prod(cell.kernel.shape) + np.prod(cell.recurrent_kernel.shape))
        return 2 * shapes[0][0] * size
    if isinstance(layer, kinds.Bidirectional):
        halves = [
            _flops(half, shapes, output)
            for half in (layer.forward_layer, layer.backward_layer)
        ]
        return None if None in halves else sum(halves)
    if isinstance(layer, Attention):
        (steps, size), sources = shapes[0], shapes[1][0]
        # Queries and outputs for each step, keys and values for each source.
        return 4 * (steps + sources) * size**2 + 4 * steps * sources * size
    if isinstance(layer, TransformerBlock):
        steps, size = shapes[0]
        mlp = 4 * steps * size * layer.mlp_dim
        return 8 * steps * size**2 + 4 * steps**2 * size + mlp
    if type(layer).__module__.startswith("mmlearn.fusion") and all(
        len(shape) == 1 for shape in shapes
    ):
        return _fusion_flops(layer)
    return None


def _fusion_flops(layer) -> int | None:
    """Each matrix of a fusion of vectors meets each sample once."""
    uncounted = any(p in type(layer).__name__ for p in ("Attention", "Bottleneck"))
    if uncounted or getattr(layer, "factorization", None) == "mcb":
        return None
    return 2 * sum(int(np.prod(w.shape)) for w in layer.weights if len(w.shape) > 1)


def _mega(count: int | None) -> str:
    return "n/a" if count is None else f"{count / 1e6:.2f}"


def megabytes(count: float | None) -> str:
    """Return bytes as megabytes for a table; `n/a` for `None` or NaN."""
    return "n/a" if count is None or np.isnan(count) else f"{count / 1e6:,.0f}"
