"""A fresh notebook: it keeps the contract once it has run, and overwrites nothing."""

import nbformat
import pytest

from mmlearn_course import contract, new, notebooks, runner
from mmlearn_course.cli import main


def test_a_fresh_notebook_keeps_the_contract_once_it_has_run(course, monkeypatch):
    monkeypatch.chdir(course)
    assert main(["new", "my_topic"]) == 0
    path = course / "notebooks" / "01_my_topic.ipynb"
    (before,) = contract.check(path)
    assert "not run yet: " in str(before)
    assert main(["refresh", "1"]) == 0
    assert [str(violation) for violation in contract.check(path)] == []
    assert main(["check"]) == 0
    nb = notebooks.load(path)
    assert notebooks.title(nb) == "My topic"
    assert "both" in notebooks.headline(nb)


def test_the_assert_of_a_fresh_notebook_bites(course):
    path = new.write("my_topic", course)
    told = path.read_text(encoding="utf-8")
    # Each vector tells all, so that together they cannot be better.
    path.write_text(told.replace("synergistic", "redundant"), encoding="utf-8")
    run = runner.execute(path, course / "copy.ipynb", {"num_seeds": 1, "noise": 0.01})
    assert run.error is not None and "AssertionError" in run.error.text


def test_numbers_follow_each_other(course):
    names = [new.write(name, course).name for name in ("a", "07_b", "c")]
    assert names == ["01_a.ipynb", "07_b.ipynb", "08_c.ipynb"]


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "own.ipynb"]) == 0
    assert capsys.readouterr().out.startswith("own.ipynb: written; next: ")
    nb = nbformat.read(tmp_path / "own.ipynb", as_version=4)
    nbformat.validate(nb)
    assert notebooks.title(nb) == "Own"


@pytest.mark.parametrize(
    "name", ["here", "07_here", "03_here", "notebooks/03_here.ipynb"]
)
def test_nothing_is_overwritten(course, write, monkeypatch, capsys, name):
    monkeypatch.chdir(course)
    path = write("03_here", "1")
    before = path.read_bytes()
    assert main(["new", name]) == 2
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == before
    err = capsys.readouterr().err
    assert "03_here.ipynb exists already" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("03_other", "number 03 is taken by 03_here.ipynb"),
        ("My topic", "is no notebook's name"),
        ("../x", "is no notebook's name"),
        ("", "is no notebook's name"),
        ("nowhere/x.ipynb", "no folder nowhere"),
    ],
)
def test_a_name_that_does_not_fit_is_refused(course, write, name, message, monkeypatch):
    monkeypatch.chdir(course)
    write("03_here", "1")
    files = sorted(course.rglob("*"))
    with pytest.raises(ValueError, match=message):
        new.write(name, course)
    assert sorted(course.rglob("*")) == files


def test_without_a_course_a_path_is_needed():
    with pytest.raises(ValueError, match="give a path, topic.ipynb"):
        new.write("topic", None)
