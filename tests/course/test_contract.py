"""The contract: a clean notebook passes, and every planted violation is found."""

import json

import nbformat
import pytest
from small_notebooks import HEADER, code, markdown, picture

from mmlearn_course import contract, form


def rules(path):
    return [violation.rule for violation in contract.check(path)]


def test_clean_notebook_passes(clean):
    assert contract.check(clean()) == []


def insert(cell, at=4, counts=True):
    """A change that inserts a cell before the cell at `at`, and counts again."""

    def change(cells):
        cells.insert(at, cell)
        if counts:
            renumber(cells)

    return change


def renumber(cells):
    for count, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
        cell.execution_count = count


def remove(text):
    """A change that removes the cells whose source contains `text`."""

    def change(cells):
        cells[:] = [cell for cell in cells if text not in cell.source]
        renumber(cells)

    return change


def output(kind, **fields):
    def change(cells):
        cells[5].outputs.append(nbformat.v4.new_output(kind, **fields))

    return change


def prints(text):
    return output("stream", name="stdout", text=text)


def shows(alt, kind="image/png"):
    def change(cells):
        cells[5].outputs.append(picture(alt, kind))

    return change


def untag(tag):
    def change(cells):
        tagged = [c for c in cells if tag in c.metadata.get("tags", [])]
        tagged[0].metadata["tags"] = []

    return change


def clear(tag):
    def change(cells):
        next(c for c in cells if tag in c.metadata.get("tags", [])).outputs = []

    return change


def swap_sections(cells):
    recap = next(i for i, c in enumerate(cells) if "## Recap" in c.source)
    cells[recap], cells[recap + 1] = cells[recap + 1], cells[recap]


def timestamps(cells):
    cells[4].metadata["execution"] = {"iopub.execute_input": "2025-01-01"}


def out_of_order(cells):
    cells[4].execution_count = 40


def every_cell_long(cells):
    for cell in cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get(
            "tags", []
        ):
            cell.source += "\n# a long cell" * 11


def too_large(cells):
    cells[7].outputs[-1].data["image/png"] = "A" * (form.MAX_BYTES + 1)


def no_outputs(cells):
    for cell in cells:
        if cell.cell_type == "code":
            cell.outputs = []


PLANTED = {
    "second title": (insert(markdown("# Another title")), "title"),
    "computed parameter": (
        lambda cells: cells[0].update(source="seed = int(0)"),
        "parameters",
    ),
    "no parameters": (untag("parameters"), "parameters"),
    "two parameters cells": (insert(code("x = 1", "parameters")), "parameters"),
    "assigned again": (insert(code("epochs = 3")), "parameters"),
    "assigned in a loop": (insert(code("for seed in [1]:\n    pass")), "parameters"),
    "setup not next": (insert(code("1 + 1"), at=1), "setup"),
    "setup without seed": (
        lambda cells: cells[1].update(source="runtime.setup(seed=3)"),
        "setup",
    ),
    "not Python": (insert(code("x = = 1")), "python"),
    "section missing": (remove("## Recap"), "sections"),
    "sections swapped": (swap_sections, "sections"),
    "out of order": (out_of_order, "executed"),
    "results without output": (clear("results"), "outputs"),
    "headline without output": (clear("headline"), "outputs"),
    "stderr": (output("stream", name="stderr", text="hm"), "outputs"),
    "error": (output("error", ename="E", evalue="", traceback=["E"]), "outputs"),
    "warning": (prints("DeprecationWarning: old"), "outputs"),
    "home": (prints("read /home/ada/x.npz"), "outputs"),
    "temporary folder": (prints("in /tmp/x"), "outputs"),
    "Windows path": (prints("C:\\Users"), "outputs"),
    "colour": (prints("\x1b[31mred\x1b[0m"), "outputs"),
    "carriage return": (prints("1%\r2%"), "outputs"),
    "address": (prints("<Model at 0x7f3a2c001d90>"), "outputs"),
    "timestamps": (timestamps, "timestamps"),
    "no alt": (shows(None), "pictures"),
    "short alt": (shows("a figure"), "pictures"),
    "jpeg": (shows("A long enough sentence here.", "image/jpeg"), "pictures"),
    "long cell": (insert(code("x = 1\n" * 41)), "code"),
    "long line": (insert(code("x = '" + "a" * 90 + "'")), "code"),
    "median": (every_cell_long, "code"),
    "no assert": (remove("assert"), "results"),
    "no headline": (untag("headline"), "headline"),
    "two headlines": (insert(code("print(1)", "headline", prints="1\n")), "headline"),
    "four checked": (untag("nbval-check-output"), "checked"),
    "arXiv PDF": (insert(markdown("[x](https://arxiv.org/pdf/1)")), "links"),
    "dead link": (insert(markdown("[x](../data/missing.md)")), "links"),
    "foreign package": (insert(markdown("Run `pip install mmlearn`.")), "install"),
    "size": (too_large, "size"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_violation_is_found(clean, name):
    change, rule = PLANTED[name]
    found = contract.check(clean(change))
    assert {violation.rule for violation in found} == {rule}
    message = found[0].message
    assert "found" in message and "expected" in message
    assert ":" in message and "\n" not in message


def test_cleared_outputs(clean):
    """One violation says it; the others would only say it again."""
    (found,) = contract.check(clean(no_outputs))
    assert str(found).startswith("file: executed: not run yet: ")
    assert "python -m mmlearn refresh 02_clean" in str(found)


def test_what_does_not_depend_on_a_run_is_said_before_it(clean):
    def untagged(cells):
        no_outputs(cells)
        for cell in cells:
            if cell.metadata.get("tags") in (["headline"], ["nbval-check-output"]):
                cell.metadata["tags"] = []

    assert set(rules(clean(untagged))) == {"executed", "headline", "checked"}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda h: h.replace("# A small", "A small"), "title"),
        (lambda h: h.replace("| **You need** | nothing |\n", ""), "header"),
        (lambda h: h.replace("45 s, 0.8 GB", "a while"), "header"),
    ],
)
def test_header(clean, change, rule):
    assert rules(clean(header=change(HEADER))) == [rule]


@pytest.mark.parametrize(
    "change",
    [
        insert(code("scores = [seed for seed in range(3)]")),
        insert(code("def f(seed):\n    seed = 1\n    return seed")),
        insert(code("%config InlineBackend.figure_format = 'png'\nprint('%s'\n  % 1)")),
        insert(markdown("```\n# a comment\n## Recap\n```")),
        insert(markdown('`pip install "mmlearn-course[jax]"`, `pip install -e .`')),
        insert(markdown("[a](https://arxiv.org/abs/1706.03762), $[a](b)$, [c](#top)")),
        prints("see https://example.org/home/x, 3/4, at 0x10"),
        shows("The cross of two lines in the middle.", "image/svg+xml"),
    ],
)
def test_allowed(clean, change):
    assert contract.check(clean(change)) == []


def test_the_first_notebook_needs_only_a_recap(clean):
    def only_recap(cells):
        cells[:] = [
            c for c in cells if c.cell_type == "code" or "## " not in c.source
        ] + [markdown("## Recap")]

    assert rules(clean(only_recap, name="00_start")) == []
    assert "sections" in rules(clean(only_recap, name="01_next"))


def test_ids(clean):
    path = clean()
    raw = json.loads(path.read_text())
    raw["cells"][3]["id"] = raw["cells"][2]["id"]
    del raw["cells"][5]["id"]
    path.write_text(json.dumps(raw))
    assert [(v.cell, v.rule) for v in contract.check(path)] == [(4, "ids"), (6, "ids")]


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[]", "3", '{"nbformat": 3}', '{"nbformat": 4, "cells": 7}']
    + ['{"nbformat": 4, "cells": [7]}', "\x00"]
    + ['{"nbformat": 4, "cells": [{"cell_type": "code", "source": ""}]}']
    + ['{"nbformat": 4, "cells": [{"cell_type": 3, "source": ""}]}']
    + ['{"nbformat": 4, "cells": [{"cell_type": "raw", "source": [3]}]}']
    + ['{"nbformat": 4, "cells": [{"cell_type": "raw", "source": "", "id": []}]}'],
)
def test_what_is_no_notebook_gives_one_violation(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    found = [v for v in contract.check(path) if v.rule != "ids"]
    assert [violation.rule for violation in found] == ["format"]


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        (code("x = 1\ny = '" + "a" * 90 + "'"), 2),
        (code("x = 1\n\nx = = 1"), 3),
        (code("import os\nepochs = 3"), 2),
        (markdown("Text.\n\n# Another title"), 3),
        (markdown("```\ncode\n```\n[x](missing.md)"), 4),
        (markdown("$$a\nb$$ and [x](missing.md)"), 2),
        (markdown("[x](https://arxiv.org/abs/1)\n[y](https://arxiv.org/pdf/1)"), 2),
        (code("1\n# pip install mmlearn"), 2),
    ],
)
def test_a_violation_names_its_line(clean, cell, line):
    (violation,) = contract.check(clean(insert(cell)))
    assert (violation.cell, violation.line) == (6, line)


def test_a_violation_in_the_header_names_its_row(clean):
    (violation,) = contract.check(clean(header=HEADER.replace("0.8 GB", "much")))
    assert HEADER.splitlines()[violation.line - 1].startswith("| **Time and memory**")


def test_a_computed_parameter_names_its_line(clean):
    change = {"source": "seed = 0\nepochs = 2 * 3"}
    (violation,) = contract.check(clean(lambda cells: cells[0].update(change)))
    assert (violation.cell, violation.line) == (2, 2)


def test_a_violation_names_its_cell(clean):
    (violation,) = contract.check(clean(insert(code("x = '" + "a" * 90 + "'"))))
    assert violation.cell == 6
    assert str(violation).startswith("cell 6, line 1: code: found ")
