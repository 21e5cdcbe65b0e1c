"""Graders accept the right answers kept here; wrong ones are rejected with a hint."""

import importlib
import inspect
import itertools
import pkgutil
import re
from pathlib import Path

import pytest

from mmlearn_course import graders, learner_versions, notebooks
from mmlearn_course.graders import Hint

ROOT = Path(__file__).parents[2]
TABLES = [
    importlib.import_module(path.stem)
    for path in sorted(Path(__file__).parent.glob("cases_*.py"))
]
CASES = {grade: cases for table in TABLES for grade, cases in table.CASES.items()}


def name(grade) -> str:
    return f"{grade.__module__.rpartition('.')[2]}.{grade.__name__}"


def written(answer):
    """What tells one way of writing an answer from another."""
    held = [cell.cell_contents for cell in getattr(answer, "__closure__", None) or ()]
    return getattr(answer, "__code__", answer), repr(held)


def stub(*arguments, **named):
    # YOUR CODE HERE
    raise NotImplementedError()


def stops(*arguments, **named):
    return {}["no such key"]


def circular(*arguments, **named):
    found = []
    found.append(found)
    return found


# No exercise has one of these as an answer.
NO_ANSWER = {
    "None": None,
    "stub": stub,
    "stops": stops,
    "returns None": lambda *arguments, **named: None,
    "returns a text": lambda *arguments, **named: "text",
    "returns an object": lambda *arguments, **named: object(),
    "returns nothing in a list": lambda *arguments, **named: [],
    "returns itself in a list": circular,
    "returns NaN": lambda *arguments, **named: float("nan"),
    "takes no arguments": lambda: 7,
    "takes too many arguments": lambda a, b, c, d, e, f, g: 7,
    "text": "text",
    "number": 7,
    "object": object(),
    "type": int,
    "empty dictionary": {},
}


def table(kind: str) -> list:
    return [
        pytest.param(grade, answer, id=f"{name(grade)}: {what}")
        for grade, cases in CASES.items()
        for what, answer in getattr(cases, kind).items()
    ]


@pytest.mark.parametrize(("grade", "answer"), table("right"))
def test_a_right_answer_is_accepted_in_a_line(grade, answer, capsys):
    grade(answer)
    printed = capsys.readouterr().out
    assert re.fullmatch(r"Right: .{10,}\n", printed)


@pytest.mark.parametrize(("grade", "answer"), table("wrong"))
def test_a_wrong_answer_is_rejected_with_a_hint(grade, answer, capsys):
    with pytest.raises(Hint) as caught:
        grade(answer)
    assert re.fullmatch(r".{20,300}", str(caught.value))
    assert "Right" not in capsys.readouterr().out


def test_what_is_no_answer_is_a_hint_not_a_traceback():
    for grade, (what, answer) in itertools.product(CASES, NO_ANSWER.items()):
        try:
            grade(answer)
        except Hint as hint:
            said = str(hint)
        else:
            said = "nothing"
        assert re.fullmatch(r".{20,300}", said), f"{name(grade)}: {what}: {said}"


def test_every_grader_has_enough_cases():
    modules = [module.name for module in pkgutil.iter_modules(graders.__path__)]
    found = {
        function
        for module in modules
        for title, function in inspect.getmembers(
            importlib.import_module(f"mmlearn_course.graders.{module}"),
            inspect.isfunction,
        )
        if title.startswith("grade_")
    }
    assert found == set(CASES)
    for grade, cases in CASES.items():
        assert len(cases.right) >= 2 and len(cases.wrong) >= 3, name(grade)
        assert len(set(map(written, cases.right.values()))) >= 2, name(grade)


def test_every_grader_is_called_in_one_notebook():
    sources = [
        cell.source
        for path in learner_versions.sources(ROOT)
        for cell in notebooks.code_cells(notebooks.load(path))
    ]
    for grade in CASES:
        calls = [s for s in sources if re.search(rf"\b{name(grade)}\(", s)]
        assert len(calls) == 1, name(grade)


def test_a_hint_names_the_line_that_stopped_and_hides_the_grader():
    with pytest.raises(Hint, match=r"`return \{\}\[\"no such key\"\]` with KeyError"):
        graders.grader(lambda answer: answer())(stops)
    with pytest.raises(Hint) as caught:
        next(iter(CASES))(None)
    assert caught.value._render_traceback_() == [f"Hint: {caught.value}"]
