"""Every tool with every kind of label: it works, or says in one line why not.

The answers are the table in `docs/own_data.md`; `python tests/test_kinds.py` writes it.
"""

import re
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from mmlearn import datasets, evaluate, explain, fusion, models, plots
from mmlearn.datasets import MultimodalDataset, Split

GUIDE = Path(__file__).parents[1] / "docs" / "own_data.md"
BEGINS, ENDS = "<!-- tools: begin -->\n", "<!-- tools: end -->\n"
KINDS = ("classes", "classes, one sigmoid column", "several labels", "a number")


@cache
def data_of(kind: str) -> MultimodalDataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2, 3)).astype("float32")
    z = x[:, 0, 0] + 0.5 * x[:, 1, 0]
    labels, names = {
        "several labels": (np.stack([z > 0.3, z < -0.2], axis=1).astype(int), "ab"),
        "a number": (z, ""),
    }.get(kind, ((z > 0.3).astype(int), ("no", "yes")))
    split = Split({"a": x[:, 0], "b": x[:, 1]}, labels, np.arange(60))
    return MultimodalDataset("toy", "synthetic", tuple(names), split, split, split)


def build(kind: str) -> keras.Model:
    head = {
        "classes": keras.layers.Dense(2, "softmax"),
        "classes, one sigmoid column": keras.layers.Dense(1, "sigmoid"),
        "several labels": keras.layers.Dense(2, "sigmoid"),
        "a number": keras.layers.Dense(1),
    }[kind]
    parts = []
    for name in "ab":
        x = keras.Input((3,), name=name)
        parts.append(
            keras.Model(x, keras.layers.Dense(2, name="f")(x), name=f"{name}1")
        )
    return models.fuse(parts, fusion.ConcatFusion(), head)


@cache
def model_of(kind: str) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build(kind)


def predicted(kind: str) -> np.ndarray:
    return model_of(kind).predict(data_of(kind).test.inputs, verbose=0)


def compared(kind: str):
    def made():
        return build(kind)

    return evaluate.compare({"both": made}, data_of(kind), seeds=[0], epochs=1)


def labels_of(kind: str) -> np.ndarray:
    return data_of(kind).test.labels


TOOLS: dict[str, Callable[[str], object]] = {
    "`evaluate.compare`, `.table`, `.gains`": lambda k: (
        (found := compared(k)).table().rows and found.gains().rows
    ),
    "`evaluate.compare(balance=True)`": lambda k: evaluate.compare(
        {"both": lambda: build(k)},
        data_of(k),
        seeds=[0],
        epochs=1,
        balance=True,
        singles={},
    ),
    "`evaluate.scores`, `.table`": lambda k: evaluate.scores(
        predicted(k), labels_of(k)
    ),
    "`evaluate.paired_gain`": lambda k: evaluate.paired_gain(
        predicted(k), predicted(k), labels_of(k)
    ),
    "`evaluate.accuracy`": lambda k: evaluate.accuracy(predicted(k), labels_of(k)),
    "`evaluate.calibration`": lambda k: evaluate.calibration(
        predicted(k), labels_of(k)
    ),
    "`evaluate.conformal`": lambda k: evaluate.conformal(predicted(k), labels_of(k)),
    "`evaluate.missing`": lambda k: evaluate.missing(model_of(k), data_of(k)),
    "`evaluate.robustness`": lambda k: evaluate.robustness(
        model_of(k), data_of(k), "a", "noise"
    ),
    "`evaluate.cost`": lambda k: evaluate.cost(model_of(k), data_of(k).test, repeats=1),
    "`explain.ablation`": lambda k: explain.ablation(model_of(k), data_of(k).test),
    "`explain.permutation`": lambda k: explain.permutation(
        model_of(k), data_of(k).test
    ),
    "`explain.shapley`": lambda k: explain.shapley(model_of(k), data_of(k).test),
    "`explain.emap`": lambda k: explain.emap(model_of(k), data_of(k).test),
    "`explain.reliance`": lambda k: explain.reliance(model_of(k), data_of(k).test),
    "`data.class_counts`": lambda k: data_of(k).class_counts(),
    "`data.subset`": lambda k: data_of(k).subset(20),
    "`datasets.leaks`": lambda k: datasets.leaks(data_of(k)),
    "`plots.confusion`": lambda k: plots.confusion(
        labels_of(k),
        evaluate.metrics.of_classes(predicted(k)).argmax(-1),
        data_of(k).class_names,
    ),
    "`plots.reliability`": lambda k: plots.reliability(
        {"both": predicted(k)[None]}, labels_of(k)
    ),
}


def answer(tool: str, kind: str) -> str:
    """`yes`, or what the refusal says."""
    try:
        TOOLS[tool](kind)
    except ValueError as error:
        return str(error)
    return "yes"


def table() -> str:
    """The guide's table: what is refused is said in a numbered line below it."""
    said: list[str] = []
    lines = [f"| | {' | '.join(KINDS)} |", "|:--" + "|:-:" * len(KINDS) + "|"]
    for tool in TOOLS:
        cells = []
        for kind in KINDS:
            told = re.sub("^.* is defined for", "… is defined for", answer(tool, kind))
            if told != "yes" and told not in said:
                said.append(told)
            cells.append("yes" if told == "yes" else f"no ({said.index(told) + 1})")
        lines.append(f"| {tool} | {' | '.join(cells)} |")
    refusals = [f"{n}. “{told}”" for n, told in enumerate(said, 1)]
    return "\n".join([*lines, "", *refusals]) + "\n"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend")
@pytest.mark.usefixtures("own_results")
def test_the_guide_s_table_is_what_the_tools_say():
    guide = GUIDE.read_text(encoding="utf-8")
    told = guide.split(BEGINS)[1].split(ENDS)[0]
    assert told == table(), "python tests/test_kinds.py writes it anew"
    assert not re.search(r"\n\d+\. .*\n[^\d\n]", told), "each refusal is one line"


@pytest.fixture
def own_results(tmp_path, monkeypatch):
    monkeypatch.setenv("MMLEARN_RESULTS", str(tmp_path))


if __name__ == "__main__":
    old = GUIDE.read_text(encoding="utf-8")
    first, rest = old.split(BEGINS)
    last = rest.split(ENDS)[1]
    GUIDE.write_text(first + BEGINS + table() + ENDS + last, encoding="utf-8")
    sys.exit()
