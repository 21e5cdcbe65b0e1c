"""Tests of `compare`: its baselines, its cache, its choices, and what it refuses."""

import ast
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
from harness import assert_close
from known_answers import linear

from mmlearn import evaluate
from mmlearn.datasets import MultimodalDataset, Split, interactions
from mmlearn.evaluate import compare
from mmlearn.fusion import ConcatFusion, WeightedFusion
from mmlearn.models import fuse, inputs_from

DIM = 4
SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True, scope="module")
def _own_results(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMLEARN_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield


@pytest.fixture
def fits(tmp_path, monkeypatch):
    """A `fit` that trains nothing and notes each call, in a fresh cache.

    It knows only the name of its notes: a list, or a `Path`, would be part of the key.
    """
    monkeypatch.setenv("MMLEARN_RESULTS", str(tmp_path / "results"))
    return Fits(tmp_path / "notes")


class Fits:
    def __init__(self, path):
        self.name = str(path)
        path.write_text("")

    def __call__(self, model, data, callbacks):
        with open(self.name, "a") as notes:
            notes.write(f"{model.count_params()}\n")

    @property
    def count(self) -> int:
        return len(Path(self.name).read_text().split())


def encoders(width: int = 6) -> list[keras.Model]:
    made = []
    for name in ("first", "second"):
        x = keras.Input((DIM,), name=name)
        y = keras.layers.Dense(width, activation="relu")(x)
        made.append(keras.Model(x, y, name=f"{name}_dense"))
    return made


def concat():
    model = fuse(encoders(), ConcatFusion(), 4)
    model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy")
    return model


def weighted():
    return fuse(encoders(), WeightedFusion(5), 4)


CANDIDATES = {"concat": concat, "weighted": weighted}
ROWS = ["majority", "first only", "second only", "concat", "weighted"]


@pytest.fixture(scope="module")
def data():
    return interactions("unique", dim=DIM, num_train=300, num_val=60, num_test=80)[0]


@pytest.fixture(scope="module")
def found(data):
    return compare(CANDIDATES, data, seeds=(0, 1), epochs=4)


def test_every_baseline_is_there(found, data):
    *others, last = found.predictions
    assert others == ROWS and last == f"{found.single.split()[0]}, equal size"
    assert found.single in ("first only", "second only")
    for name, predictions in found.predictions.items():
        seeds = 1 if name == "majority" else 2
        assert predictions.shape == (seeds, 80, 4)
        np.testing.assert_allclose(predictions.sum(-1), 1, atol=1e-5)
    assert list(found.parameters) == [*ROWS[1:], last]
    assert found.parameters["concat"] == concat().count_params()
    shares = np.bincount(data.train.labels) / 300
    assert_close(found.predictions["majority"][0], np.tile(shares, (80, 1)), atol=1e-6)


def test_two_modalities_of_unique_information_beat_either(found):
    gain = found.gain("concat")
    assert 0 < gain.low < gain.mean < gain.high
    assert (gain.n, gain.unit) == (len(found.labels), "samples")
    scores = {
        n: evaluate.accuracy(p, found.labels) for n, p in found.predictions.items()
    }
    assert gain.mean == pytest.approx(scores["concat"].mean - scores[found.single].mean)
    nothing = found.gain("concat", over="concat")
    assert nothing.low == nothing.mean == nothing.high == 0


def test_a_repeated_run_is_read_from_the_cache_and_says_what_it_did(
    found, data, capsys
):
    again = compare(CANDIDATES, data, seeds=(0, 1), epochs=4)
    assert capsys.readouterr().out == "comparing models: 10 fits done\n"
    for name in ROWS:
        np.testing.assert_array_equal(again.predictions[name], found.predictions[name])
    for one, other in ((again.seconds, found.seconds), (again.latency, found.latency)):
        assert {k: list(v) for k, v in one.items()} == {
            k: list(v) for k, v in other.items()
        }
    assert again.single == found.single
    # The models, too: those just trained, and those rebuilt from the cache.
    x = inputs_from(concat(), data.test)
    for result in (found, again):
        for number, model in enumerate(result.models("concat")):
            predicted = model.predict(x, verbose=0)
            assert_close(predicted, found.predictions["concat"][number], atol=1e-6)
    with pytest.raises(KeyError, match="'both': choose .*'concat'"):
        found.models("both")


def test_its_tables(found):
    table = found.table()
    assert [row[0] for row in table.rows] == list(found.predictions)
    assert table.rows[0][-2:] == ("–", "1") and table.rows[3][-1] == "2"
    assert repr(found) == repr(table)
    assert found._repr_markdown_() == table._repr_markdown_()
    every = [metric.name for metric in evaluate.METRICS["classes"]]
    assert len(found.table(every).header) == len(every) + 3
    gains = found.gains()
    assert [row[0] for row in gains.rows] == [
        n for n in found.predictions if n != found.single
    ]
    assert found.single in gains.note and "80 test samples" in gains.note
    costs = found.costs()
    assert [row[0] for row in costs.rows] == list(found.parameters)
    assert all("nan" not in cell for row in costs.rows for cell in row)
    for times in found.latency.values():
        assert min(times) > 0
    frame = found.frame()
    assert set(frame["score"]) >= {*every, "seconds", "memory"}
    mine = frame[(frame["model"] == "concat") & (frame["score"] == "accuracy")]
    assert mine["value"].mean() == pytest.approx(
        evaluate.accuracy(found.predictions["concat"], found.labels).mean
    )


def test_a_row_made_elsewhere_can_be_added(data):
    own = evaluate.Comparison(data.test.labels)
    own.add("always 0", np.tile(np.eye(4)[0], (80, 1)), parameters=7)
    assert own.predictions["always 0"].shape == (1, 80, 4)
    assert own.table().rows[0][-2:] == ("7", "1")
    with pytest.raises(ValueError, match="a row 'always 0' already"):
        own.add("always 0", np.zeros((80, 4)))
    with pytest.raises(ValueError, match=r"expected \(seeds, 80"):
        own.add("short", np.zeros((79, 4)))


def planted() -> MultimodalDataset:
    """On validation data `first` is right, on test data only `second` is."""
    rng = np.random.default_rng(0)

    def split(num, right):
        labels = rng.integers(0, 2, num)
        signs = np.eye(2)[labels].astype("float32")
        inputs = {
            name: signs if name == right else 1 - signs for name in ("first", "second")
        }
        return Split(inputs, labels, np.arange(num))

    parts = (split(20, "first"), split(20, "first"), split(30, "second"))
    return MultimodalDataset("planted", "synthetic", ("a", "b"), *parts)


def reader(name: str):
    return lambda: fuse([linear(name, 9 * np.eye(2))], head=keras.layers.Softmax())


READERS = {name: reader(name) for name in ("first", "second")}


def pair():
    parts = [linear(name, 9 * np.eye(2)) for name in ("first", "second")]
    return fuse(parts, ConcatFusion(), 2)


def test_the_best_modality_is_chosen_on_validation_data(fits):
    found = compare(
        {"pair": pair},
        planted(),
        seeds=[0],
        fit=fits,
        singles=READERS,
    )
    scores = {
        n: evaluate.accuracy(p, found.labels).mean for n, p in found.predictions.items()
    }
    assert scores["second only"] == 1 and scores["first only"] == 0
    assert found.validation["first only"] == [1]
    assert found.single == "first only" and "first, equal size" in found.predictions


def test_an_interrupted_run_goes_on_where_it_was(fits, tmp_path):
    switch = tmp_path / "interrupt"
    switch.touch()
    name = str(switch)

    def interrupted(model, data, callbacks):
        fits(model, data, callbacks)
        if os.path.exists(name) and fits.count == 7:
            raise KeyboardInterrupt

    arguments = {
        "candidates": {"one": pair, "other": lambda: pair()},
        "data": planted(),
        "seeds": (0, 1),
        "singles": READERS,
    }
    # Two single modalities and one candidate of two seeds each, then half of the other.
    with pytest.raises(KeyboardInterrupt):
        compare(**arguments, fit=interrupted)
    switch.unlink()
    compare(**arguments, fit=interrupted)
    assert fits.count == 7 + 4
    compare(**arguments, fit=interrupted)
    assert fits.count == 7 + 4
    # One more seed is one more fit of each.
    compare(**{**arguments, "seeds": (0, 1, 2)}, fit=interrupted)
    assert fits.count == 7 + 4 + 5


def test_a_damaged_result_is_computed_anew(data, fits, tmp_path):
    arguments = {"candidates": {"c": concat}, "data": data, "seeds": [0], "fit": fits}
    first = compare(**arguments)
    assert fits.count == 4
    for number, path in enumerate(sorted((tmp_path / "results").iterdir())):
        if number < 2:
            path.write_bytes(path.read_bytes()[:100])
    second = compare(**arguments)
    assert fits.count == 6
    for name, predictions in first.predictions.items():
        assert_close(second.predictions[name], predictions, atol=1e-6)


def test_without_a_cache_all_is_computed_anew(data, fits, monkeypatch, tmp_path):
    monkeypatch.setenv("MMLEARN_RESULTS", "off")
    found = [compare({"c": concat}, data, seeds=[3], fit=fits) for _ in range(2)]
    assert fits.count == 8 and not (tmp_path / "results").exists()
    # The seed decides.
    one, other = (result.predictions["c"] for result in found)
    assert_close(one, other, atol=1e-6)


def test_changed_data_are_trained_on_anew(data, fits):
    compare({"c": concat}, data, seeds=[0], fit=fits)
    train = data.train.replace(first=data.train["first"] + 1)
    compare({"c": concat}, replace(data, train=train), seeds=[0], fit=fits)
    assert fits.count == 8


def test_later_seeds_alone_have_a_latency(data, fits):
    compare({"c": concat}, data, seeds=[0, 1], fit=fits)
    found = compare({"c": concat}, data, seeds=[1], fit=fits)
    assert fits.count == 8
    assert np.isfinite(list(found.latency.values())).all()


def test_a_candidate_may_bring_its_own_fit_of_several_steps(data, fits, capsys):
    def twice(model, data, callbacks):
        model.compile("sgd", "sparse_categorical_crossentropy")
        for _ in range(2):
            x = inputs_from(model, data.train)
            model.fit(x, data.train.labels, 300, callbacks=callbacks, verbose=0)

    found = compare({"a": concat, "b": (weighted, twice)}, data, seeds=[0], fit=fits)
    # Two single modalities, one candidate, the larger one.
    assert fits.count == 4
    assert set(found.parameters) == {
        "first only", "second only", "a", "b", f"{found.single.split()[0]}, equal size"
    }  # fmt: skip
    assert capsys.readouterr().out == "comparing models: 5 fits done\n"


def still():
    model = concat()
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    return model


def test_a_compiled_model_is_trained_as_it_says(data):
    found = compare({"still": still}, data, seeds=[5], epochs=1)
    keras.utils.set_random_seed(5)
    untrained = still().predict(inputs_from(still(), data.test), verbose=0)
    assert_close(found.predictions["still"][0], untrained, atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras takes one step at a time there"
)
def test_several_steps_at_a_time_give_the_same_predictions(data):
    def fit(model, data, callbacks, steps):
        loss = "sparse_categorical_crossentropy"
        model.compile("adam", loss, steps_per_execution=steps)
        split = inputs_from(model, data.train), data.train.labels
        model.fit(*split, 32, epochs=2, verbose=0, callbacks=callbacks)

    found = [
        compare({"weighted": weighted}, data, seeds=[0], fit=partial(fit, steps=steps))
        for steps in (1, 4)
    ]
    for name, predictions in found[0].predictions.items():
        assert_close(found[1].predictions[name], predictions, atol=1e-6)


@pytest.mark.parametrize("balance", [False, True])
def test_balance_weighs_the_classes(balance):
    # Nothing can be learnt but the share of the classes.
    def split(num):
        labels = (np.arange(num) % 10 == 0).astype(int)
        zeros = np.zeros((num, 2), "float32")
        return Split({"first": zeros, "second": zeros}, labels, np.arange(num))

    rare = MultimodalDataset("r", "synthetic", ("a", "b"), *map(split, (200, 20, 20)))

    def build():
        model = pair()
        model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy")
        return model

    one = {"first": READERS["first"]}
    found = compare(
        {"c": build},
        rare,
        seeds=[0],
        epochs=30,
        batch_size=200,
        balance=balance,
        singles=one,
        larger=one,
    )
    share = found.predictions["c"][0, :, 1].mean()
    assert share == pytest.approx(0.5 if balance else 0.1, abs=0.05)


def test_data_with_a_mask_of_their_own_are_compared(fits):
    data, task = interactions(
        "redundant", dim=DIM, missing=0.4, num_train=20, num_val=20, num_test=30
    )

    def masked():
        return fuse(encoders(), ConcatFusion(), 2, presence=True)

    found = compare({"masked": masked}, data, seeds=[0], fit=fits)
    names = ["majority", "first only", "second only", "masked"]
    assert list(found.predictions)[:4] == names
    x = inputs_from(masked(), data.test)
    for name, flags in data.test.presence.items():
        np.testing.assert_array_equal(x["presence"][name], flags)
    predicted = found.models("masked")[0].predict(x, verbose=0)
    assert_close(found.predictions["masked"][0], predicted, atol=1e-6)


def test_the_inputs_of_a_model_are_those_it_takes(data):
    one, two = encoders()
    assert list(inputs_from(fuse([one], head=2), data.test)) == ["first"]
    masked = fuse([two, one], ConcatFusion(), presence=True)
    x = inputs_from(masked, data.test)
    assert list(x) == ["second", "first", "presence"]
    assert list(x["presence"]) == ["second", "first"]
    np.testing.assert_array_equal(list(x["presence"].values()), np.ones((2, 80)))
    with pytest.raises(KeyError, match="'third'"):
        inputs_from(fuse([linear("third", np.eye(2))], head=2), data.test)


def empty(data, split: str):
    return replace(data, **{split: data[split].take(np.arange(0))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": {}}, "nothing to compare"),
        ({"seeds": []}, "nothing to compare"),
        ({"seeds": [1, 2, 1]}, "a repeated one shows no spread"),
        ({"candidates": {"majority": concat}}, "'majority' is the name of a baseline"),
        ({"candidates": {"first only": concat}}, "'first only' is the name"),
        ({"candidates": {"second, equal size": concat}}, "'second, equal size' is"),
        ({"candidates": {"one": lambda: fuse(encoders()[:1], head=4)}}, "for 'second'"),
        ({"data": "val"}, "no validation data"),
        ({"data": "test"}, "no test data"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_fit(data, fits, change, message):
    arguments = {"candidates": CANDIDATES, "data": data, "seeds": [0], **change}
    if isinstance(arguments["data"], str):
        arguments["data"] = empty(data, arguments["data"])
    with pytest.raises(ValueError, match=message):
        compare(**arguments, fit=fits)
    assert fits.count == 0


def test_numbers_to_predict_may_have_any_unit(tmp_path):
    rng = np.random.default_rng(0)
    inputs = {n: rng.normal(size=(600, DIM)).astype("float32") for n in "ab"}
    signal = inputs["a"][:, 0] + inputs["b"][:, 0]
    whole = Split(inputs, signal, np.arange(600))
    thirds = {n: whole.take(np.arange(k, 600, 3)) for k, n in enumerate(SPLITS)}

    def build(*more):
        parts = []
        for name in "ab":
            x = keras.Input((DIM,), name=name)
            y = keras.layers.Dense(8, activation="relu")(x)
            parts.append(keras.Model(x, y))
        head = keras.Sequential([keras.layers.Dense(1), *more])
        return fuse(parts, ConcatFusion(), head=head)

    errors, alone = [], {"seeds": [0], "singles": {}}
    for unit, zero in ((1, 0), (100_000, 250_000), (1e-6, 0)):
        parts = {
            n: replace(s, labels=zero + unit * s.labels) for n, s in thirds.items()
        }
        data = MultimodalDataset("unit", "own", (), **parts)
        found = compare({"both": build}, data, **alone, epochs=20, batch_size=16)
        said = found.predictions["both"][0].reshape(-1)
        errors.append(np.std(said - data.test.labels) / data.test.labels.std())
        model = found.models("both")[0]
        model.save(tmp_path / f"{unit}.keras")
        again = model.predict(inputs_from(build(), data.test))
        assert_close(again.reshape(-1) / unit, said / unit, atol=1e-4)
    assert max(errors) < 0.9  # 1: the mean is all that is known
    assert_close(errors[1], errors[0], atol=0.05)
    assert_close(errors[2], errors[0], atol=0.05)
    # Who scales already does not want it twice.
    mine = partial(build, keras.layers.Rescaling(2.0, 7.0))
    found = compare({"mine": mine, "plain": build}, data, **alone, epochs=1)
    last = {name: found.models(name)[0].layers[-1].name for name in ("mine", "plain")}
    assert last["mine"] != "unit" and last["plain"] == "unit"


def test_what_a_builder_reads_can_be_named(data, fits, tmp_path):
    weights = tmp_path / "weights.bin"
    arguments = {"candidates": {"c": concat}, "data": data, "seeds": [0], "fit": fits}
    with pytest.raises(ValueError, match=r"weights.bin, which is no file"):
        compare(**arguments, depends_on=[weights])
    for content, trained in ((b"1", 4), (b"1", 0), (b"2", 4)):
        weights.write_bytes(content)
        before = fits.count
        found = compare(**arguments, depends_on=[weights, "MODE=3"])
        assert fits.count - before == trained
        assert sum(found.cached.values()) == 4 - trained


def test_a_fit_that_fails_is_named(data):
    def diverged(model, data, callbacks):
        raise FloatingPointError("NaN")

    with pytest.raises(FloatingPointError) as told:
        compare({"c": concat}, data, seeds=[5], fit=diverged)
    assert told.value.__notes__ == ["('first only' was being trained with seed 5)"]


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5])
def test_a_number_of_processes_is_one_or_more(data, jobs):
    with pytest.raises(ValueError, match=f"jobs is {jobs}: give the number"):
        compare({"c": concat}, data, seeds=[0], jobs=jobs)


# A notebook's own code, which no other process can import; its processes are counted.
NOTEBOOK = """
import sys
import keras, numpy as np, psutil
sys.path.insert(0, sys.argv[1])
import test_compare as t
from mmlearn import evaluate

class Mine(keras.layers.Dense):
    pass

def build():
    made = []
    for name in ("first", "second"):
        x = keras.Input((t.DIM,), name=name)
        made.append(keras.Model(x, Mine(6)(x), name=f"{name}_mine"))
    return t.fuse(made, t.ConcatFusion(), 4)

def fit(model, data, callbacks):
    if model.name == "spoilt":
        raise FloatingPointError("NaN")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(t.inputs_from(model, data.train), data.train.labels, epochs=2, verbose=0)

if __name__ == "__main__":
    data = t.interactions("unique", dim=t.DIM, num_train=99, num_val=60, num_test=80)[0]
    both = {
        jobs: evaluate.compare(
            {f"at {jobs}": build}, data, seeds=[3, 4], fit=fit, jobs=jobs
        )
        for jobs in (1, 2)
    }
    for name, found in both[1].predictions.items():
        np.testing.assert_allclose(
            both[2].predictions[name.replace("at 1", "at 2")], found, atol=1e-5
        )
    assert both[2].cached == {}, "an empty cache each"
    for model in both[2].models("at 2"):
        assert isinstance(model.get_layer("first_mine").layers[-1], Mine)
    try:
        t.compare({"bad": (lambda: t.renamed(build()), fit)}, data, seeds=[7], jobs=2)
    except FloatingPointError as error:
        print(error.__notes__)
    print([child.pid for child in psutil.Process().children(recursive=True)])
"""


def renamed(model):
    model.name = "spoilt"
    return model


def process(pid: int) -> psutil.Process | None:
    """A process, unless it has ended, and nobody has asked how."""
    with suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else found


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="takes a while")
def test_processes_side_by_side_train_the_same_and_end_with_the_notebook(tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK)
    ran = subprocess.run(
        [sys.executable, script, Path(__file__).parent],
        env={**os.environ, "MMLEARN_RESULTS": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    notes, pids = ran.stdout.strip().splitlines()[-2:]
    assert notes == "[\"('bad' was being trained with seed 7)\"]"
    assert ast.literal_eval(pids), "there were processes"
    gone = [p for p in map(process, ast.literal_eval(pids)) if p is not None]
    assert not psutil.wait_procs(gone, timeout=30)[1]


def test_only_classes_can_be_balanced(data):
    parts = {n: replace(data[n], labels=data[n].labels / 2) for n in SPLITS}
    numbers = replace(data, class_names=(), **parts)
    with pytest.raises(ValueError, match="balance=True weighs classes"):
        compare({"c": concat}, numbers, seeds=[0], balance=True)
