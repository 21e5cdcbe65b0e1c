"""Parameters from outside: they reach the code, and wrong ones are refused before."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_notebooks import code

from mmlearn_course import notebooks, parameters, runner
from mmlearn_course.cli import main

ROOT = Path(__file__).parents[2]
KNOBS = """seed = 0
rate = 0.5
name = "a"
shuffle = True
widths = (8, 16)
epochs = None
anything = None
size: int | None = None
"""
USE = """found = course.pick(epochs, fast=3, full=20)
print(repr([seed, rate, name, shuffle, widths, epochs, anything, size]))
"""
START = "class course:\n    pick = staticmethod(lambda value, **profiles: value)"


@pytest.fixture
def path(write):
    return write("01_a", code(KNOBS, "parameters"), START, USE)


def injected(path, values):
    return injected_into(notebooks.load(path), values, path)


def injected_into(nb, values, path):
    parameters.inject(nb, values, path)
    cells = [
        cell
        for cell in notebooks.code_cells(nb)
        if "injected-parameters" in notebooks.tags(cell)
    ]
    (knobs,) = notebooks.tagged(nb, "parameters")
    assert nb.cells.index(cells[0]) == nb.cells.index(knobs) + 1
    names: dict = {}
    exec(cells[0].source, names)
    return {name: names[name] for name in values}


def test_every_parameter_reaches_the_code(path, tmp_path):
    values = {
        "seed": 7,
        "rate": 2,
        "name": "it's",
        "shuffle": False,
        "widths": [4],
        "epochs": 1,
        "anything": "free",
        "size": 9,
    }
    run = runner.execute(path, tmp_path / "copy.ipynb", values)
    assert run.error is None
    copy = notebooks.load(tmp_path / "copy.ipynb")
    printed = "".join(notebooks.output_texts(notebooks.code_cells(copy)[-1]))
    assert ast.literal_eval(printed) == list(values.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 3),
        ("rate", 1),
        ("rate", 1e-3),
        ("shuffle", False),
        ("widths", [1]),
        ("epochs", 2),
        ("epochs", None),
        ("anything", "x"),
        ("anything", 1.5),
        ("size", 2),
        ("size", None),
    ],
)
def test_a_value_of_the_right_type_is_taken(path, name, value):
    assert injected(path, {name: value}) == {name: value}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", "abc", "a whole number"),
        ("seed", 1.5, "a whole number"),
        ("seed", True, "a whole number"),
        ("seed", None, "a whole number"),
        ("rate", "half", "a number"),
        ("rate", False, "a number"),
        ("rate", 1e999, "a finite number"),
        ("anything", -1e999, "a finite number"),
        ("name", 3, "a text"),
        ("shuffle", "true", "True or False"),
        ("shuffle", 1, "True or False"),
        ("widths", 8, "a list"),
        ("epochs", "abc", "a whole number or None"),
        ("epochs", 2.5, "a whole number or None"),
        ("size", "big", "a whole number or None"),
    ],
)
def test_a_value_of_another_type_is_refused(path, name, value, expected):
    with pytest.raises(ValueError) as caught:
        injected(path, {name: value})
    message = str(caught.value)
    assert "\n" not in message
    assert (
        f"01_a.ipynb: parameter {name} is {value!r}, expected {expected} (" in message
    )
    assert message.endswith(
        "the parameters are seed, rate, name, shuffle, widths, epochs, anything, size"
    )


@given(
    value=st.one_of(
        st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    )
)
def test_any_literal_arrives_as_it_was_given(value, tmp_path_factory):
    nb = notebooks.nbformat.v4.new_notebook()
    nb.cells = [code("x = None", "parameters")]
    parameters.inject(nb, {"x": value}, tmp_path_factory.getbasetemp() / "x.ipynb")
    names: dict = {}
    exec(nb.cells[1].source, names)
    assert names["x"] == value and type(names["x"]) is type(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "sed", "1"], "no parameter sed: choose from seed, rate, name"),
        (["-p", "seed", "x"], "parameter seed is 'x', expected a whole number"),
        (["-p", "seed", "1", "-p", "rate", "x"], "parameter rate is 'x'"),
    ],
)
def test_a_wrong_parameter_is_one_line_and_nothing_runs(
    path, course, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(course)
    assert main(["run", "1", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("mmlearn: ") and err.count("\n") == 1
    assert not (course / "build").exists()


@pytest.mark.parametrize("path", notebooks.find(ROOT), ids=lambda path: path.stem)
def test_every_parameter_of_the_course_is_read_by_some_cell(path):
    nb = notebooks.load(path)
    after = nb.cells[nb.cells.index(notebooks.tagged(nb, "parameters")[0]) + 1 :]
    read = {
        node.id
        for cell in after
        if cell.cell_type == "code"
        for node in ast.walk(notebooks.tree(cell.source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert set(notebooks.parameters(nb)) <= read


@pytest.mark.parametrize("path", notebooks.find(ROOT), ids=lambda path: path.stem)
def test_the_course_takes_its_own_defaults(path):
    nb = notebooks.load(path)
    defaults = notebooks.parameters(nb)
    assert injected_into(nb, defaults, path) == defaults
