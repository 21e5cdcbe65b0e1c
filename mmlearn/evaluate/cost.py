"""What a model costs: weights, time and memory."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
import psutil

from mmlearn import runtime
from mmlearn.datasets import Split
from mmlearn.evaluate.tables import Table
from mmlearn.models import inputs_from


@dataclass(frozen=True)
class Cost:
    """What one model costs on this machine.

    Attributes:
        name: Name of the model.
        parameters: Number of weights.
        latency: Batch size → seconds per batch: median, 95th and 99th percentile.
        throughput: Samples per second at the largest batch.
        memory: Bytes by which the process grew at most while predicting; `None` where
            it cannot be sampled, on a GPU.
        device: What it ran on.
    """

    name: str
    parameters: int
    latency: Mapping[int, tuple[float, float, float]]
    throughput: float
    memory: int | None
    device: str


class Costs(dict):
    """Name → `Cost`; displays as a table."""

    def table(self) -> Table:
        """Return one row per model."""
        batches = list(next(iter(self.values())).latency)
        header = ("model", "parameters")
        header += tuple(f"ms, batch {size} (95 %)" for size in batches)
        rows = []
        for name, cost in self.items():
            times = [
                f"{1000 * median:.1f} ({1000 * high:.1f})"
                for median, high, _ in cost.latency.values()
            ]
            rows.append(
                (name, f"{cost.parameters:,}", *times)
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
    """Measure what models cost: weights, time and memory.

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


def megabytes(count: float | None) -> str:
    """Return bytes as megabytes for a table; `n/a` for `None` or NaN."""
    return "n/a" if count is None or np.isnan(count) else f"{count / 1e6:,.0f}"
