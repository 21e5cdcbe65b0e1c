"""The runner: copies are executed and measured; originals change only by refresh."""

import io
import json
import sys

import nbformat
import psutil
import pytest
from rich.console import Console
from small_notebooks import HEADER, code, markdown

from mmlearn_course import notebooks, runner
from mmlearn_course.progress import TimeLeft, duration


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=160)


def printed(console):
    return console.file.getvalue()


def stdout(path):
    nb = notebooks.load(path)
    return ["".join(notebooks.output_texts(c)) for c in notebooks.code_cells(nb)]


# Reading


def test_find(course, write):
    paths = [write("01_b", "1"), write("00_a", "1")]
    (course / "notebooks" / "notes.ipynb").write_text("{}")
    first, second = sorted(paths)
    assert notebooks.find(course) == [first, second]
    assert notebooks.find(course, "1") == notebooks.find(course, "01_b") == [second]
    assert notebooks.find(course, ["01", "00", "01"]) == [second, first]
    assert notebooks.find(course, str(second)) == [second]
    assert notebooks.find(course, str(course / "notebooks")) == [first, second]
    for unknown in ("7", "01_c", "notebooks/9.ipynb"):
        with pytest.raises(ValueError, match="here: 00_a, 01_b"):
            notebooks.find(course, unknown)


def test_find_in_an_empty_course(course):
    with pytest.raises(ValueError, match="no notebooks like"):
        notebooks.find(course)


def test_the_header(write):
    nb = notebooks.load(write("01_a", "1"))
    assert notebooks.title(nb) == "A small notebook"
    assert notebooks.promise(nb) == "You see in one minute whether the tools work."
    assert tuple(notebooks.header(nb)) == notebooks.HEADER_KEYS
    assert notebooks.stated(nb) == notebooks.Stated(45.0, 0.8e9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6 min, 1.4 GB (fast)", (360, 1.4e9)),
        ("1 min 30 s, 900 MB", (90, 9e8)),
        ("about 1.5 h, 2 GB; full profile: 3 h, 9 GB", (5400, 2e9)),
        ("soon, 2 GB", None),
        ("6 min", None),
    ],
)
def test_stated(write, text, expected):
    header = HEADER.replace("45 s, 0.8 GB (fast profile, 2 CPU cores)", text)
    stated = notebooks.stated(notebooks.load(write("01_a", header=header)))
    assert stated == (notebooks.Stated(*expected) if expected else None)


def test_time_left():
    clock = [0.0]
    left = TimeLeft([10, 30, 20], lambda: clock[0])
    left.start()
    assert left.seconds() == 60
    clock[0] = 20.0  # twice as long as stated
    left.end()
    left.start()
    assert left.seconds() == 60 + 40
    clock[0] = 100.0  # 80 s instead of 60 s, half of the cells done
    assert left.seconds(0.5) == 80 + 40
    for _ in range(2):
        left.end()
    assert left.seconds() == 0
    assert (duration(59), duration(60), duration(3720)) == (
        "59 s",
        "1 min",
        "1 h 2 min",
    )


# Executing


def test_execute(write, tmp_path):
    path = write(
        "01_a",
        code("seed = 0\nname = 'a'", "parameters"),
        "import os, sys\nprint(sys.executable)\nprint(os.getcwd())",
        "",
        "ballast = bytearray(200_000_000)",
        "import time\ntime.sleep(0.5)",
        code("print('more')\nprint(f'{seed} {name}')", "headline"),
        kernelspec={"name": "no-such-kernel", "display_name": "x"},
    )
    before = path.read_bytes()
    out, seen = tmp_path / "out" / "01_a.ipynb", []
    run = runner.execute(
        path, out, {"seed": 3, "name": "b c"}, lambda *cells: seen.append(cells)
    )
    assert run.error is None
    assert (run.name, run.title, run.headline) == ("01_a", "A small notebook", "3 b c")
    assert run.cells == (6, 6) and seen[-1][1] == 6
    assert 0.5 < run.seconds < 60
    assert run.peak_memory > 200_000_000
    assert path.read_bytes() == before
    copy = nbformat.read(out, as_version=4)
    nbformat.validate(copy)
    assert copy.cells[2].metadata.tags == ["injected-parameters"]
    assert copy.cells[2].source == "seed = 3\nname = 'b c'"
    assert stdout(out)[2].split() == [sys.executable, str(path.parent)]
    assert all("execution" not in cell.metadata for cell in copy.cells)
    assert list(out.parent.iterdir()) == [out]


def test_parameters_must_be_known(write, tmp_path):
    out = tmp_path / "out.ipynb"
    known = write("01_a", code("seed = 0\nepochs = 1", "parameters"))
    with pytest.raises(ValueError, match="no parameter sed: choose from seed, epochs"):
        runner.execute(known, out, {"sed": 1})
    with pytest.raises(ValueError, match="02_b.ipynb takes no parameters"):
        runner.execute(write("02_b", "1"), out, {"seed": 1})
    assert not out.exists()


def test_a_dying_kernel_and_a_slow_cell(write, tmp_path):
    out = tmp_path / "out.ipynb"
    died = runner.execute(write("01_a", "1", "import os\nos._exit(3)"), out).error
    assert (died.cell, "kernel died" in died.text) == (2, True)
    slow = write("02_b", "import time\ntime.sleep(30)")
    run = runner.execute(slow, out, timeout=1)
    assert (run.error.cell, "timed out" in run.error.text) == (1, True)
    assert run.seconds < 20
    assert not psutil.Process().children()


@pytest.fixture
def three(write):
    """Notebooks of which the second fails in its third code cell."""
    bad = ("1", "2", "print('so far')\nassert 1 > 2, 'one is not more'", "4")
    return [
        write(
            "01_good", code("x = 1", "parameters"), code("print('81 %')", "headline")
        ),
        write("02_bad", *bad),
        write("03_good", "3", header=HEADER.replace("45 s, 0.8 GB", "3 s, 9 GB")),
    ]


def test_run(three, tmp_path, console):
    before = [path.read_bytes() for path in three]
    build = tmp_path / "build"
    runs = runner.run(three, build, console=console)
    assert [run.error is None for run in runs] == [True, False, True]
    error = runs[1].error
    assert error.cell == 3 and error.source.startswith("print('so far')")
    assert error.text.endswith("AssertionError: one is not more")
    assert "\x1b" not in error.text
    assert runs[1].cells == (2, 4)
    assert [path.read_bytes() for path in three] == before
    files = {str(p.relative_to(build)) for p in build.rglob("*") if p.is_file()}
    names = [path.stem for path in three]
    assert files == {"index.html"} | {
        file for n in names for file in (f"html/{n}.html", f"notebooks/{n}.ipynb")
    }
    text = printed(console)
    assert "\x1b" not in text and "\r" not in text
    lines = text.splitlines()
    assert lines[0] == "[1/3] 01_good: started (about 45 s)"
    assert lines[1].startswith("[1/3] 01_good: ok, 2/2 cells, ")
    assert "02_bad, code cell 3:" in lines
    assert "  | AssertionError: one is not more" in lines
    assert any("01_good" in line and "81 %" in line for line in lines)
    remarks = [line for line in lines if line.startswith("Remark: 03_good")]
    assert any("states 9.0 GB of memory, measured 0." in line for line in remarks)
    assert not any(line.startswith("Remark: 02_bad") for line in lines)


def test_a_run_on_stand_ins_says_so_wherever_results_are(
    write, tmp_path, console, monkeypatch
):
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    path = write(
        "01_a",
        "from mmlearn import datasets, plots\nimport matplotlib.pyplot as plt",
        "data = datasets.occupancy()",
        "plots.show(plt.subplots()[0], 'A figure without anything in it.')",
        code("print('81 %')", "headline"),
        mmlearn={"datasets": ["occupancy"], "sources": {"occupancy": "real"}},
    )
    (run,) = runner.run([path], tmp_path / "build", console=console)
    assert run.error is None
    lines = printed(console).splitlines()
    assert any("01_a" in line and "STAND-IN DATA: 81 %" in line for line in lines)
    (said,) = run.stand_ins
    assert said.startswith("STAND-IN DATA: ")
    html = {p.name: p.read_text() for p in tmp_path.glob("build/**/*.html")}
    assert said in html["index.html"] and "STAND-IN DATA: 81 %" in html["index.html"]
    assert html["01_a.html"].index(said) < html["01_a.html"].index("<h1")
    assert "<figcaption>STAND-IN DATA (occupancy). A figure" in html["01_a.html"]
    copy = notebooks.load(tmp_path / "build" / "notebooks" / "01_a.ipynb")
    assert "sources" not in copy.metadata.mmlearn  # "real" was of the stored outputs


def test_run_checks_all_before_it_starts(three, tmp_path, console):
    build = tmp_path / "build"
    with pytest.raises(ValueError, match="02_bad.ipynb takes no parameters"):
        runner.run(three, build, {"x": 2}, console=console)
    with pytest.raises(ValueError, match="two notebooks are named 01_good"):
        runner.run([three[0], three[0]], build, console=console)
    assert not build.exists() and printed(console) == ""


def test_run_on_a_terminal(write, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    runner.run([write("01_a", "1")], tmp_path / "build", console=console)
    assert "[1/1] 01_a" in printed(console) and "left" in printed(console)


# Refreshing


def test_refresh(write, console, monkeypatch):
    monkeypatch.setenv("MMLEARN_PROFILE", "full")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    path = write(
        "01_a",
        code("print('é')", "headline"),
        "",
        "print(1, end='')\nprint(2)\n3",
        mmlearn={"datasets": ["cifar10"]},
        kernelspec={"name": "mine", "display_name": "Mine"},
        language_info={"name": "python", "version": "3.1"},
        widgets={},
    )
    raw = json.loads(path.read_text())
    raw["cells"][1]["metadata"]["execution"] = {"iopub.status.busy": "2025"}
    path.write_text(json.dumps(raw))
    runs = runner.refresh([path], lambda name: f"kind of {name}", console=console)
    assert runs[0].error is None
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n}\n") and '\n "cells"' in text and "é" in text
    nb = json.loads(text)
    assert nb["metadata"] == {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
        "mmlearn": {
            "datasets": ["cifar10"],
            "sources": {"cifar10": "kind of cifar10"},
            "profile": "full",
            "backend": "jax",
        },
    }
    cells = [cell for cell in nb["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [1, None, 2]
    assert cells[0]["metadata"] == {"tags": ["headline"]}
    outputs = cells[2]["outputs"]
    assert [out["output_type"] for out in outputs] == ["stream", "execute_result"]
    assert outputs[1]["execution_count"] == 2
    again = path.read_bytes()
    runner.refresh([path], lambda name: f"kind of {name}", console=console)
    assert path.read_bytes() == again


def test_an_edit_during_the_run_stays(write, console):
    edit = "file = Path('01_edited.ipynb')\nfile.write_text(file.read_text() + '\\n')"
    path = write("01_edited", "from pathlib import Path", edit)
    before = path.read_text()
    (run,) = runner.refresh([path], console=console)
    assert "01_edited.ipynb was edited while it ran" in run.error.text
    assert path.read_text() == before + "\n"


def test_a_link_to_a_notebook_stays_one(write, console, tmp_path):
    path = write("01_linked", "print(1)")
    real = tmp_path / "elsewhere.ipynb"
    path.rename(real)
    path.symlink_to(real)
    (run,) = runner.refresh([path], console=console)
    assert run.error is None and path.is_symlink() and stdout(real) == ["1\n"]


def test_refresh_leaves_what_fails_as_it_is(write, console):
    paths = [
        write("01_fails", "print(1)", "1 / 0"),
        write("02_address", "1", "object()"),
        write("03_path", "import os\nprint(os.getcwd())"),
        write("04_good", markdown("No data."), "print(1)"),
    ]
    before = [path.read_bytes() for path in paths]
    runs = runner.refresh(paths, console=console)
    changed = [p.read_bytes() != b for p, b in zip(paths, before, strict=True)]
    assert changed == [False, False, False, True]
    errors = [run.error for run in runs]
    assert [error and error.cell for error in errors] == [2, 2, 1, None]
    assert "the memory address 0x" in errors[1].text
    assert "the absolute path" in errors[2].text
    assert stdout(paths[3]) == ["1\n"]
    assert all(p.suffix == ".ipynb" for p in paths[0].parent.iterdir())
