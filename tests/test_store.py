"""Tests of the store of results: its keys change when a result would, and only then."""

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from functools import cached_property, partial

import keras
import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlearn.datasets import interactions
from mmlearn.evaluate import store
from mmlearn.evaluate.store import key


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLEARN_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def made(source: str, **variables):
    """The function `build` of a notebook's cell."""
    cell = {"__name__": "a_notebook", "keras": keras, "np": np, **variables}
    exec(source, cell)
    return cell["build"]


HELPED = "def helper():\n    return {}\ndef build():\n    return helper()"
LAYER = (
    "class Layer(keras.layers.Layer):\n"
    "    width = {}\n"
    "    @staticmethod\n"
    "    def scale():\n        return {}\n"
    "    @property\n"
    "    def size(self):\n        return {}\n"
    "    def call(self, x):\n        return super().call(x)\n"
    "def build():\n    return Layer()"
)
DEFAULT = "def build(n={}, *, m={}):\n    return n + m"
NESTED = "def build():\n    return [WIDTH for _ in range(3)]"
INNER = "def build():\n    def inner():\n        return {}\n    return inner()"
CHANGES = {
    "code": [made(f"def build():\n    return {n}") for n in (1, 2)],
    "operation": [made(f"def build(a=1):\n    return a {o} 2") for o in "+-"],
    "global": [made("def build():\n    return WIDTH", WIDTH=n) for n in (1, 2)],
    "type of a global": [
        made("def build():\n    return WIDTH", WIDTH=n) for n in (1, 1.0)
    ],
    "global in a comprehension": [made(NESTED, WIDTH=n) for n in (1, 2)],
    "global list": [made("def build():\n    return W", W=w) for w in ([1], [1, 2])],
    "nesting": [made("def build():\n    return W", W=w) for w in ([[1], 2], [[1, 2]])],
    "global array": [
        made("def build():\n    return W", W=np.array(w)) for w in ([1, 2], [1, 3])
    ],
    "helper": [made(HELPED.format(n)) for n in (1, 2)],
    "inner function": [made(INNER.format(n)) for n in (1, 2)],
    "default": [made(DEFAULT.format(n, 1)) for n in (1, 2)],
    "keyword default": [made(DEFAULT.format(1, n)) for n in (1, 2)],
    "attribute of a class": [made(LAYER.format(n, 1, 1)) for n in (1, 2)],
    "static method": [made(LAYER.format(1, n, 1)) for n in (1, 2)],
    "property": [made(LAYER.format(1, 1, n)) for n in (1, 2)],
    "partial": [partial(made(DEFAULT.format(1, 1)), n) for n in (1, 2)],
    "method": [{"a": 1}.get, {"a": 2}.get],
    "layer": [keras.layers.Dense(n) for n in (1, 2)],
    "optimizer": [keras.optimizers.SGD(rate) for rate in (0.1, 0.2)],
}
CHANGES["method"] = [keras.layers.Dense(n).call for n in (1, 2)]


@pytest.mark.parametrize("change", CHANGES)
def test_a_key_changes_with_what_decides_the_result(change):
    one, other = CHANGES[change]
    assert key(one) == key(one)
    assert key(one) != key(other)


def test_a_key_changes_with_a_closure():
    def outer(width):
        return lambda: width

    assert key(outer(1)) == key(outer(1)) != key(outer(2))


def test_a_key_does_not_change_with_what_is_not_read():
    source = "def build(x):\n    return x.shape + WIDTH"
    same = [made(source, WIDTH=1, other=n, shape=n) for n in (1, 2)]
    assert key(same[0]) == key(same[1])
    # Cells move, and are run again.
    moved = made("\n\n\n" + LAYER.format(1, 1, 1))
    assert key(made(LAYER.format(1, 1, 1))) == key(moved)


def test_a_key_does_not_depend_on_how_keras_counts_names():
    def model():
        x = keras.Input((2,))
        layer = keras.layers.Dense(2, kernel_initializer="ones")
        return keras.Model(x, layer(x))

    one, other = model(), model()
    assert one.name != other.name
    assert key(one) == key(other)
    assert key(keras.layers.Dense(3)) == key(keras.layers.Dense(3))
    other.layers[1].set_weights([np.zeros((2, 2)), np.zeros(2)])
    assert key(one) != key(other)


def wired(activation="relu", crossed=False, name="picture", rate=0.1):
    """Two branches whose weights have equal shapes and values."""
    inputs = [keras.Input((3,), name=name), keras.Input((3,), name="note")]
    dense = partial(keras.layers.Dense, 3, activation, kernel_initializer="ones")
    branches = [dense()(x) for x in inputs]
    left, right = branches[::-1] if crossed else branches
    h = keras.layers.Dropout(rate)(keras.layers.Subtract()([left, right]))
    return keras.Model(inputs, h)


@pytest.mark.parametrize(
    "other", [{"activation": "tanh"}, {"crossed": True}, {"name": "x"}, {"rate": 0.2}]
)
def test_a_key_changes_with_what_layers_do_and_how_they_are_joined(other):
    assert key(wired()) == key(wired())
    assert key(wired(**other)) != key(wired())


def test_a_model_without_a_config_has_a_key():
    class Own(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.dense = keras.layers.Dense(units)

        def call(self, x):
            return self.dense(x)

    def made(units):
        model = Own(units)
        model(np.ones((1, 2), "float32"))
        model.dense.set_weights([np.ones((2, units)), np.ones(units)])
        return model

    assert key(made(2)) == key(made(2)) != key(made(3))


def test_functions_that_call_each_other_have_a_key():
    source = "def odd(n):\n    return n and build(n - {})\n"
    source += "def build(n):\n    return odd(n)"
    assert key(made(source.format(1))) == key(made(source.format(1)))
    assert key(made(source.format(1))) != key(made(source.format(2)))


def test_a_key_changes_with_a_module_of_the_user(tmp_path, monkeypatch):
    path = tmp_path / "made_by_the_learner.py"
    path.write_text("def net():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import made_by_the_learner

    build = made("def build():\n    return own.net()", own=made_by_the_learner)
    first = key(build)
    made_by_the_learner.net.__kwdefaults__ = {"width": 3}  # a setting
    second = key(build)
    assert second != first
    path.write_text("def net():\n    return 22\n")
    assert key(build) == second  # not what runs
    importlib.reload(made_by_the_learner)
    third = key(build)
    assert third not in (first, second)
    made_by_the_learner.RATE = 0.5
    assert key(build) not in (first, second, third)


def test_a_key_changes_with_what_the_user_names(tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"1")
    first = key(path)
    path.write_bytes(b"2")
    assert key(path) != first
    rows = np.arange(5000.0)
    changed = rows.copy()
    changed[2500] += 1
    one, other = (pandas.DataFrame({"a": a, "b": "x"}) for a in (rows, changed))
    assert key(one) == key(one.copy()) != key(other)


def test_what_cannot_be_seen_into_is_never_found_again():
    generator = (n for n in range(3))
    assert key(generator) != key(generator)


def test_use_does_not_change_the_key_of_a_class():
    build = made(
        "class Layer(keras.layers.Layer):\n"
        "    def build(self, shape):\n        self.w = self.add_weight(shape[1:])\n"
        "    def call(self, x):\n        return self.w * x\n"
        "def build():\n    return Layer()"
    )
    before = key(build)
    build()(np.ones((2, 3), "float32"))
    assert key(build) == before


def test_what_is_kept_of_a_computation_does_not_change_the_key():
    class Settings:
        def __init__(self, size):
            self.size = size

        @cached_property
        def doubled(self):
            return 2 * self.size

    one = Settings(3)
    before = key(one)
    assert one.doubled == 6
    assert key(one) == before != key(Settings(4))


def test_a_key_changes_with_the_data():
    data, _ = interactions("unique", dim=2, num_train=5, num_val=3, num_test=3)
    copy, _ = interactions("unique", dim=2, num_train=5, num_val=3, num_test=3)
    assert key(data) == key(copy)
    inputs = data.test["first"].copy()
    inputs[1, 1] += 1
    other = replace(data, test=data.test.replace(first=inputs))
    assert key(data) != key(other)
    labels = data.val.labels[::-1].copy()
    labels[0] = (labels[0] + 1) % data.num_classes
    assert key(data) != key(replace(data, val=replace(data.val, labels=labels)))


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def marked(value):
    """With the types written out: 1, 1.0 and True are equal in Python."""
    if isinstance(value, list):
        return [marked(v) for v in value]
    if isinstance(value, dict):
        return {k: marked(v) for k, v in value.items()}
    return (type(value).__name__, repr(value))


@settings(deadline=None)
@given(json, json)
def test_keys_of_plain_values_are_equal_where_these_are(one, other):
    orders = [str(marked(value)) for value in (one, other)]
    assert (key(one) == key(other)) == (orders[0] == orders[1])


def test_a_key_changes_with_seed_precision_backend_and_code(monkeypatch):
    keys = {key("x", 0), key("x", 1)}
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        keys.add(key("x", 0))
    finally:
        keras.config.set_dtype_policy("float32")
    with monkeypatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "another")
        keys.add(key("x", 0))
    with monkeypatch.context() as patch:
        patch.setattr(store, "_package", lambda: b"changed")
        keys.add(key("x", 0))
    assert len(keys) == 5
    assert key("x", 0) in keys


SCRIPT = """
import numpy as np, keras
from functools import partial
from mmlearn import text
from mmlearn.datasets import interactions
from mmlearn.evaluate import store
from mmlearn.models import fuse

WIDTHS, KINDS = {"a", "bb", "ccc"}, frozenset(["x", "y", "z"])
DATA, TASK = interactions("unique", dim=2, num_train=5, num_val=3, num_test=3)
WORDS = text.WordTokenizer.fit(["a red car", "a blue car"], length=4)

class Layer(keras.layers.Layer):
    def call(self, x):
        return super().call(x) if "a" in {"a", "b"} else len(WIDTHS | KINDS)

def build(size, layer=keras.layers.Dense(3), start=keras.initializers.Zeros()):
    if size in {"u", "v", "w"}:
        return Layer(), TASK.num_classes, WORDS.vocabulary, print, np.tanh, object()
    return [fuse for _ in DATA.modalities], lambda: Layer

store._package = lambda: b"not edited in between"
print(store.key(partial(build, 3), DATA, open))
"""


def test_a_key_is_the_same_in_another_process(tmp_path):
    found = []
    for number in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": number}
        answer = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(answer.stdout.split()[-1])
    assert len(found[0]) == 32 and found[0] == found[1]


def test_a_result_is_found_again(results):
    arrays = {"test": np.arange(6.0).reshape(2, 3), "weight 0": np.ones(2, "int8")}
    assert store.load("k") is None
    store.save("k", arrays)
    found = store.load("k")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array)
    assert [path.name for path in results.iterdir()] == ["k.npz"]


@pytest.mark.parametrize("left", [0, 1, 30, 200, -1, -30])
def test_a_damaged_result_counts_as_none(results, left):
    store.save("k", {"a": np.arange(100.0), "b": np.arange(3)})
    path = results / "k.npz"
    path.write_bytes(path.read_bytes()[:left])
    assert store.load("k") is None
    store.save("k", {"a": np.zeros(1)})
    assert store.load("k")["a"] == [0]


def test_flipped_bytes_count_as_none(results):
    store.save("k", {"a": np.arange(100.0)})
    content = bytearray((results / "k.npz").read_bytes())
    content[300] ^= 255
    (results / "k.npz").write_bytes(content)
    assert store.load("k") is None


def test_nothing_is_left_of_a_failed_save(results):
    with pytest.raises(Exception, match="pickle"):
        store.save("k", {"a": np.array([lambda: 0], dtype=object)})
    assert list(results.iterdir()) == []


def test_a_cache_that_cannot_be_written_loses_nothing(monkeypatch, tmp_path, capsys):
    taken = tmp_path / "file"
    taken.write_text("mine")
    monkeypatch.setenv("MMLEARN_RESULTS", str(taken / "results"))
    store.save("k", {"a": np.zeros(1)})
    store.save("k", {"a": np.zeros(1)})
    told = capsys.readouterr().err
    assert "not kept for the next time" in told and told.count("\n") == 1
    assert store.load("k") is None and taken.read_text() == "mine"


def test_off_means_that_nothing_is_kept(monkeypatch, results):
    monkeypatch.setenv("MMLEARN_RESULTS", "off")
    store.save("k", {"a": np.zeros(1)})
    assert store.folder() is None and store.load("k") is None
    assert not results.exists()


def test_results_lie_in_the_cache_by_default(monkeypatch, tmp_path):
    from mmlearn.datasets import sources

    monkeypatch.delenv("MMLEARN_RESULTS")
    assert store.folder() == sources.cache_dir() / "mmlearn" / "results"
