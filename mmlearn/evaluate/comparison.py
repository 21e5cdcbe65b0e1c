"""`compare`: candidates against every baseline they must beat, over seeds."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras
import numpy as np

from mmlearn import runtime, training
from mmlearn.datasets import MultimodalDataset
from mmlearn.evaluate import baselines, metrics, store, tables
from mmlearn.evaluate.cost import Memory, latency, megabytes
from mmlearn.evaluate.intervals import Estimate
from mmlearn.models import MultimodalModel, inputs_from

Build = Callable[[], keras.Model]
Fit = Callable[[keras.Model, MultimodalDataset, list], object]

_ONE_THREAD = {
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # After what the user has set: flags of one name, the last counts.
    "XLA_FLAGS": " ".join(
        [os.environ.get("XLA_FLAGS", ""), "--xla_cpu_multi_thread_eigen=false"]
    ).strip(),
}


@dataclass
class Comparison:
    """What `compare` found. Displays as a table of test metrics.

    Attributes:
        labels: Labels of the test samples.
        predictions: Name → predictions on the test samples, (seeds, N, ...).
        validation: Name → mean of `correct` on the validation samples, (seeds,).
        parameters: Name → number of weights.
        seconds: Name → seconds of training, (seeds,); empty for the majority.
        memory: Name → bytes by which the process grew while training, (seeds,); NaN
            where it cannot be sampled.
        latency: Name → median seconds of a batch of 1 and of 256.
        single: Name of the best single modality, chosen on validation data.
        cached: Name → number of its fits that were not trained now, but found among
            earlier results.
    """

    labels: np.ndarray
    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    validation: dict[str, np.ndarray] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, np.ndarray] = field(default_factory=dict)
    memory: dict[str, np.ndarray] = field(default_factory=dict)
    latency: dict[str, tuple[float, float]] = field(default_factory=dict)
    single: str | None = None
    cached: dict[str, int] = field(default_factory=dict)
    _trained: dict[str, Callable] = field(default_factory=dict)

    def models(self, name: str) -> list[keras.Model]:
        """Return a candidate's trained models, one per seed.

        They are compiled anew before they can be fitted further.

        Raises:
            KeyError: If no candidate has this name.
        """
        if name not in self._trained:
            raise KeyError(f"no model is called {name!r}: choose {list(self._trained)}")
        return self._trained[name]()

    def add(
        self, name: str, predictions: np.ndarray, parameters: int | None = None
    ) -> None:
        """Add a row of predictions that were made elsewhere, such as step by step.

        Raises:
            ValueError: If there is such a row, or the predictions do not fit.
        """
        if name in self.predictions:
            raise ValueError(f"there is a row {name!r} already: choose another name")
        self.predictions[name] = metrics.per_seed(predictions, self.labels)
        if parameters is not None:
            self.parameters[name] = parameters

    def table(self, columns: Sequence[str] | None = None) -> tables.Table:
        """Return test scores with their intervals; see `evaluate.table`."""
        return tables.table(self.predictions, self.labels, self.parameters, columns)

    def gain(self, name: str, over: str | None = None) -> Estimate:
        """Return the paired gain of one row over another and its 95 % interval.

        Args:
            name: A row.
            over: Another; `None` for the best single modality.
        """
        other = self.predictions[over or self.single]
        return metrics.paired_gain(self.predictions[name], other, self.labels)

    def gains(self) -> tables.Table:
        """Return every row's paired gain over the best single modality."""
        number = metrics.task_of(self.labels) == "regression"
        unit, scale = ("error less by", 1) if number else ("gain, points", 100)
        rows = []
        for name in self.predictions:
            if name != self.single:
                gain = scale * self.gain(name)
                ends = f"{gain.low:+.1f} to {gain.high:+.1f}"
                rows.append((name, f"{gain.mean:+.1f}", ends))
        note = (
            f"against {self.single}, on the same {len(self.labels):,} test samples; "
            "bootstrap over the samples"
        )
        return tables.Table(("model", unit, "95 % interval"), tuple(rows), note)

    def costs(self) -> tables.Table:
        """Return parameters, training time, latency and memory of every model."""
        rows = []
        for name, seconds in self.seconds.items():
            one, many = (f"{1000 * t:.1f}" for t in self.latency[name])
            grown = megabytes(self.memory[name].max())
            spread = f"{metrics.interval(seconds):.1f}"
            rows.append((name, f"{self.parameters[name]:,}", spread, one, many, grown))
        header = ("model", "parameters", "training, s", "ms, batch 1", "ms, batch 256")
        note = "memory: by how much the process grew while training, at most"
        return tables.Table((*header, "memory, MB"), tuple(rows), note)

    def frame(self):
        """Return all of it as a data frame: one row per model, seed and score."""
        import pandas

        rows = []
        for name, predictions in self.predictions.items():
            found = metrics.scores(predictions, self.labels)
            found |= {
                key: values[name]
                for key, values in (("seconds", self.seconds), ("memory", self.memory))
                if name in values
            }
            for score, values in found.items():
                for number, value in enumerate(values):
                    rows.append((name, number, score, float(value)))
        return pandas.DataFrame(rows, columns=["model", "run", "score", "value"])

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()

    def __repr__(self) -> str:
        return repr(self.table())


def compare(
    candidates: Mapping[str, Build | tuple[Build, Fit]],
    data: MultimodalDataset,
    *,
    seeds: Iterable[int] = range(3),
    epochs: int = 10,
    batch_size: int = 64,
    fit: Fit | None = None,
    balance: bool = False,
    singles: Mapping[str, Build] | None = None,
    larger: Mapping[str, Build] | None = None,
    depends_on: Sequence = (),
    jobs: int = 1,
) -> Comparison:
    """Train candidates over seeds, and every baseline that they must beat.

    Beside the candidates there are: the majority; a model of each single modality,
    which is the candidate's own encoder with a head; and the best single modality once
    more, with as many weights as the largest candidate. Every fit is kept in the user's
    cache under a key of code, data and seed (see `evaluate.store`): interrupted, it
    goes on where it was; repeated, it returns at once.

    Args:
        candidates: Name → function that returns a new model (compiled, or not), or a
            pair of such a function and a `fit` of its own. Keras's random numbers are
            seeded before each call, which must depend on nothing else that is random.
        data: The data set. The best single modality is chosen on `data.val`; the table
            shows `data.test`.
        seeds: One training of each model per seed.
        epochs, batch_size: For the default `fit`.
        fit: `fit(model, data, callbacks)` trains a model on the modalities that it
            takes (`mmlearn.models.inputs_from`); the callbacks show the progress. The
            default: AdamW and the loss that the labels ask for, unless the model is
            compiled. For a number to predict, it ends an uncompiled model in a
            `Rescaling` by the training labels' mean and standard deviation, unless it
            ends in one already: answers are in the labels' unit, whatever that is.
        balance: Weigh the classes inversely to their frequency, in the default `fit`.
        singles: Modality → function that returns its model, where the candidates are
            not made of one encoder model per modality.
        larger: Modality → function that builds its model of the candidates' size. Each
            is trained. The best single modality is in any case: where it is not given,
            as copies of its encoder and a hidden layer.
        depends_on: What else decides the results and cannot be seen in the functions'
            code: a `Path` (the bytes of a file that they read, such as weights), an
            array, a module, the value of an environment variable.
        jobs: Fits that run side by side, in processes of one thread each (on a GPU, one
            after another). What is trained so is the same whatever their number, and
            differs by rounding from what all threads compute; times are those of one
            thread. Processes come from joblib: within
            `joblib.parallel_config(backend="dask")` they may be on other machines. A
            Dask worker draws random numbers of its own between a fit's: a seed is then
            one repetition, but none that can be repeated.

    Returns:
        A `Comparison`, which displays as a table.

    Raises:
        ValueError: If there is no candidate, seed, validation or test sample, a seed
            repeats, a name is taken, a modality's encoder cannot be found, classes are
            to be balanced where there are none, a file in `depends_on` is missing, or
            `jobs` is below 1.
    """
    seeds = [int(seed) for seed in seeds]
    if not candidates or not seeds:
        raise ValueError("nothing to compare: give candidates and at least one seed")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {seeds}: a repeated one shows no spread")
    if not len(data.val):
        raise ValueError("there is no validation data to choose the best modality on")
    if not len(data.test):
        raise ValueError("there is no test data to compare on: the split is empty")
    if balance and metrics.task_of(data.train.labels) != "classes":
        raise ValueError("balance=True weighs classes, and here are none: leave it out")
    for path in depends_on:
        if isinstance(path, Path) and not path.is_file():
            raise ValueError(f"depends_on names {path}, which is no file")
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"jobs is {jobs!r}: give the number of processes, 1 or more")
    if any("gpu" in name.lower() for name in runtime.devices()):
        jobs = 1
    scale = fit is None and metrics.task_of(data.train.labels) == "regression"
    fit = fit or partial(_fit, epochs=epochs, batch_size=batch_size, balance=balance)
    plans = {n: c if isinstance(c, tuple) else (c, fit) for n, c in candidates.items()}
    alone = singles or baselines.singles([build for build, _ in plans.values()], data)
    plans |= _named({f"{m} only": (build, fit) for m, build in alone.items()}, plans)
    _named([f"{m}, equal size" for m in alone], plans)
    found = Comparison(data.test.labels)
    shares = metrics.majority(data.train.labels, len(data.test), data.num_classes)
    found.predictions["majority"] = shares
    larger = dict(larger or {})
    # One more, if the best single modality is none of these.
    most = len(plans) + len(larger) + (len(larger) < len(alone))
    progress = training.Progress("comparing models", most * len(seeds))
    fingerprint = store.key(data, depends_on)

    def run(plans):
        if scale:
            unit = _unit(data.train.labels)
            plans = {
                name: (partial(_scaled, build, *unit) if by is fit else build, by)
                for name, (build, by) in plans.items()
            }
        keys = {
            name: {s: store.key(fingerprint, code, s) for s in seeds}
            for name, plan in plans.items()
            for code in [store.key(*plan)]
        }
        ready = _side_by_side(plans, keys, data, progress, jobs) if jobs > 1 else {}
        for name, plan in plans.items():
            _run(found, data, keys[name], progress, name, *plan, ready.get(name, {}))

    order = [*(f"{m} only" for m in alone), *candidates]
    run({name: plans[name] for name in order})
    only = order[: len(alone)]
    found.single = max(only, key=lambda name: found.validation[name].mean())
    modality = dict(zip(only, alone, strict=True))[found.single]
    size = max(found.parameters[name] for name in candidates)
    rivals, outputs = [*dict.fromkeys([*larger, modality])], baselines.outputs_of(data)
    progress.fits = (len(plans) + len(rivals)) * len(seeds)
    builds = {
        m: larger.get(m, partial(baselines.enlarged, alone[m], m, size, outputs))
        for m in rivals
    }
    run({f"{m}, equal size": (build, fit) for m, build in builds.items()})
    return found


def _named(new, taken: Mapping):
    for name in (*new, "majority"):
        if name in taken:
            raise ValueError(f"{name!r} is the name of a baseline: rename that model")
    return new


def _run(found, data, keys, progress, name, build, fit, ready) -> None:
    """Train one model over the seeds, or find it in the cache; note what came out."""
    results, fresh = [], {}
    for seed, key in keys.items():
        result = ready.get(seed)
        if result is None:
            result = store.load(key)
            if result is not None:
                found.cached[name] = found.cached.get(name, 0) + 1
                progress.on_train_end()
        if result is None:
            shown = [_Epochs(progress)]
            result, fresh[seed] = _trained(name, build, fit, data, seed, shown)
            progress.on_train_end()
            if not results:
                result["latency"] = _latency(fresh[seed], data.test)
            store.save(key, result)
        results.append(result)
    found.predictions[name] = np.stack([r["test"] for r in results])
    right = [metrics.correct(r["val"], data.val.labels).mean() for r in results]
    found.validation[name] = np.array(right)
    found.parameters[name] = int(results[0]["parameters"])
    found.seconds[name] = np.array([float(r["seconds"]) for r in results])
    found.memory[name] = np.array([float(r["memory"]) for r in results])
    found._trained[name] = partial(_restored, build, list(keys), results, fresh)
    timed = [r["latency"] for r in results if "latency" in r]
    if not timed:  # by processes side by side
        timed = [_latency(found.models(name)[0], data.test)]
        store.save(next(iter(keys.values())), results[0] | {"latency": timed[0]})
    found.latency[name] = tuple(timed[0].tolist())


def _side_by_side(plans, keys, data, progress, jobs) -> dict[str, dict[int, dict]]:
    """Train in processes what is not in the cache: name → seed → what came out.

    Weights come back, no models: a process need not know a notebook's layers.
    """
    import joblib

    policy = keras.mixed_precision.global_policy().name
    tasks = [
        joblib.delayed(_in_a_process)(name, *plans[name], data, seed, policy)
        for name, named in keys.items()
        for seed, key in named.items()
        if store.load(key) is None
    ]
    ready = {name: {} for name in plans}
    progress.on_train_begin()
    with _one_thread_each():
        workers = joblib.Parallel(jobs, return_as="generator_unordered")
        for name, seed, result in workers(tasks):
            store.save(keys[name][seed], result)
            ready[name][seed] = result
            progress.params = {"epochs": 1}
            progress.on_epoch_end(0)
            progress.on_train_end()
    return ready


@contextmanager
def _one_thread_each():
    """Tell processes that start now; libraries read it when they are loaded."""
    kept = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _in_a_process(name, build, fit, data, seed, policy) -> tuple[str, int, dict]:
    # A process on another machine was started by someone else.
    os.environ.update(_ONE_THREAD)
    keras.mixed_precision.set_global_policy(policy)
    result, _ = _trained(name, build, fit, data, seed, [])
    keras.utils.clear_session()
    return name, seed, result


def _trained(name, build, fit, data, seed, callbacks) -> tuple[dict, keras.Model]:
    keras.utils.set_random_seed(seed)
    try:
        model = build()
        with Memory() as memory:
            start = time.perf_counter()
            fit(model, data, callbacks)
            seconds = time.perf_counter() - start
    except Exception as error:
        error.add_note(f"({name!r} was being trained with seed {seed})")
        raise
    # Predictions would be traced once more for each number of steps at a time.
    model.steps_per_execution = 1
    result = {
        split: runtime.full_precision(
            model.predict(inputs_from(model, data[split]), batch_size=256, verbose=0)
        )
        for split in ("val", "test")
    }
    result |= {
        "parameters": np.array(model.count_params()),
        "seconds": np.array(seconds),
        "memory": np.array(np.nan if memory.growth is None else memory.growth),
    }
    result |= {f"weight {n}": w for n, w in enumerate(model.get_weights())}
    return result, model


class _Epochs(keras.callbacks.Callback):
    """Shows a fit's epochs. When it is done, `compare` says: it may have many steps."""

    def __init__(self, progress: training.Progress):
        super().__init__()
        self.progress = progress

    def on_train_begin(self, logs=None):
        self.progress.on_train_begin()

    def on_epoch_end(self, epoch, logs=None):
        self.progress.params = self.params
        self.progress.on_epoch_end(epoch)


def _latency(model, split) -> np.ndarray:
    """Median seconds of a batch of 1 and of 256."""
    times = [latency(model, split, *how) for how in ((1, 20), (256, 5))]
    return np.array([np.median(t) for t in times])


def _restored(build, seeds, results, fresh) -> list[keras.Model]:
    restored = []
    for seed, result in zip(seeds, results, strict=True):
        if seed not in fresh:
            keras.utils.set_random_seed(seed)
            model = build()
            count = sum(name.startswith("weight ") for name in result)
            model.set_weights([result[f"weight {n}"] for n in range(count)])
            fresh[seed] = model
        restored.append(fresh[seed])
    return restored


def _unit(labels: np.ndarray) -> tuple[float, float]:
    """Standard deviation and mean of numbers to predict."""
    return float(labels.std()) or 1.0, float(labels.mean())


def _last_layer(model: keras.Model) -> keras.layers.Layer:
    last = model.layers[-1]
    return _last_layer(last) if isinstance(last, keras.Model) else last


def _scaled(build: Build, scale: float, offset: float) -> keras.Model:
    """A model that answers in the unit of its labels, from weights of ordinary size."""
    model = build()
    if model.compiled or isinstance(_last_layer(model), keras.layers.Rescaling):
        return model
    answer = keras.layers.Rescaling(scale, offset, name="unit")(model.outputs[0])
    return MultimodalModel(model.inputs, answer)


def _fit(model, data, callbacks, epochs, batch_size, balance) -> None:
    task = metrics.task_of(data.train.labels)
    if not model.compiled:
        sigmoid = task == "classes" and model.output_shape[-1] == 1
        loss = {
            "classes": f"{'binary' if sigmoid else 'sparse_categorical'}_crossentropy",
            "multilabel": "binary_crossentropy",
            "regression": "mse",
        }[task]
        # Of order 1 in any unit: an optimizer does not see gradients of 1e-12.
        weight = [1 / _unit(data.train.labels)[0] ** 2] if loss == "mse" else None
        optimizer = keras.optimizers.AdamW(weight_decay=1e-3)
        model.compile(optimizer, loss, loss_weights=weight)
    weights = None
    if balance:
        counts = np.bincount(data.train.labels, minlength=data.num_classes)
        share = counts.sum() / len(counts)
        weights = {n: share / max(c, 1) for n, c in enumerate(counts)}
    model.fit(
        inputs_from(model, data.train),
        data.train.labels,
        batch_size,
        epochs,
        verbose=0,
        callbacks=callbacks,
        class_weight=weights,
    )
