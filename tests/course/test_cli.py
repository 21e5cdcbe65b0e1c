"""The command line: verbs, exit codes, one line for people, Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import psutil
import pytest
from small_notebooks import code

from mmlearn_course import notebooks
from mmlearn_course.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(course, monkeypatch):
    """The course, with the current folder in its notebooks."""
    monkeypatch.chdir(course / "notebooks")
    return course


def _heed_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*arguments, cwd):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "mmlearn", *arguments],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, Ctrl-C is ignored, also by children.
        preexec_fn=None if os.name == "nt" else _heed_ctrl_c,
    )


def test_run_and_its_parameters(here, write, capsys):
    write(
        "01_a", code("x = [1]\ny = ''", "parameters"), code("print(x, y)", "headline")
    )
    write("02_b", "1 / 0")
    build = here / "elsewhere"
    arguments = ["run", "1", "-p", "x", "[1, 2]", "-p", "y", "abc"]
    assert main([*arguments, "--build", str(build)]) == 0
    assert "[1, 2] abc" in capsys.readouterr().out
    assert (build / "html" / "01_a.html").exists()
    assert main(["run", "02_b"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert (here / "build" / "index.html").exists()


def test_refresh(here, write, capsys):
    path = write("01_a", "print('stored')")
    assert main(["refresh", "01"]) == 0
    assert "stored" in path.read_text().split('"outputs"')[1]
    write("01_a", "1 / 0")
    assert main(["refresh", "01"]) == 1


@pytest.mark.parametrize("verb", ["run", "refresh"])
def test_a_cell_without_end_is_stopped_on_request(here, write, capsys, verb):
    path = write("01_endless", "while True:\n    pass")
    before = path.read_bytes()
    assert main([verb, "01", "--timeout", "2"]) == 1
    assert "timed out" in capsys.readouterr().out
    assert path.read_bytes() == before
    with pytest.raises(SystemExit):
        main([verb, "01", "--timeout", "0"])
    assert "--timeout: '0': expected whole seconds" in capsys.readouterr().err


def test_check(here, clean, capsys):
    clean(name="01_clean")
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "notebooks checked: 1, violations: 0\n"
    bad = here / "notebooks" / "bad.ipynb"
    bad.write_text("{}")
    assert main(["check", "01", str(bad)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("bad.ipynb: file: format: ")
    assert out.endswith("notebooks checked: 2, violations: 1\n")


@pytest.fixture
def elsewhere(tmp_path, clean, monkeypatch):
    """A course author's folder: no notebooks/, another project's files around it."""
    folder = tmp_path / "author" / "week 1"
    folder.mkdir(parents=True)
    (tmp_path / "author" / "pyproject.toml").write_text("[tool.black]\n")
    text = clean(name="02_clean").read_text().replace("(../data/none.md", "(#none")
    (folder / "lecture.ipynb").write_text(text)
    monkeypatch.chdir(tmp_path / "author")
    return folder


@pytest.mark.parametrize("path", ["week 1/lecture.ipynb", "week 1"])
def test_check_works_on_any_path(elsewhere, capsys, path):
    assert main(["check", path]) == 0
    assert "notebooks checked: 1, violations: 0" in capsys.readouterr().out


@pytest.mark.parametrize("toml", ["[project]\nname = 'x'", "not = = toml", ""])
def test_check_passes_over_other_projects_files(elsewhere, toml):
    (elsewhere.parent / "pyproject.toml").write_text(toml)
    assert main(["check", str(elsewhere)]) == 0


def test_check_tells_cell_line_and_remedy(elsewhere, capsys):
    path = elsewhere / "lecture.ipynb"
    nb = notebooks.load(path)
    nb.cells[2].source += "\n\nfor epochs in [1]:\n    pass"
    nb.cells[3].source = "One.\n\nSee [it](gone.md)."
    notebooks.save(nb, path)
    assert main(["check", "week 1"]) == 1
    first, second, _ = capsys.readouterr().out.splitlines()
    start = os.path.join("week 1", "lecture.ipynb: ")
    assert first.startswith(f"{start}cell 3, line 5: parameters: found epochs")
    assert first.endswith("use another name")
    assert second.startswith(f"{start}cell 4, line 3: links: found a link to gone.md")
    assert second.endswith("correct the path")


def test_all_notebooks_are_checked(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    main(["check"])
    assert "notebooks checked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "77"], "no notebook matches '77'"),
        (["run", "01", "-p", "epoch", "2"], "no parameter epoch: choose from epochs"),
        (["check", "missing.ipynb"], "no notebook matches 'missing.ipynb'"),
        (["refresh", "bad.ipynb"], "JSON but not a notebook"),
        (["run", "01", "--build", "01_a.ipynb"], "01_a.ipynb"),
    ],
)
def test_a_wrong_call_gives_one_line(here, write, capsys, arguments, message):
    write("01_a", code("epochs = 1", "parameters"))
    Path("bad.ipynb").write_text('{"nbformat": 2}')
    before = Path("01_a.ipynb").read_bytes()
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("mmlearn: ") and err.count("\n") == 1
    assert message in err
    assert Path("01_a.ipynb").read_bytes() == before


VERBS = ("run", "refresh", "check", "new", "exercises", "course", "doctor", "data")


@pytest.mark.parametrize("verb", VERBS)
def test_help(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert f"mmlearn {verb}" in capsys.readouterr().out


def test_a_bare_call_prints_the_help(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n    {verb}" in shown for verb in VERBS)
    assert main(["course"]) == 0
    assert "archive" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["rum"])
    assert stop.value.code == 2


def test_the_console_script_is_the_same_command_line():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    scripts = project["project"]["scripts"]
    assert {name: resolve_name(at) for name, at in scripts.items()} == {"mmlearn": main}


def doctor(**environment) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "mmlearn", "doctor"]
    return subprocess.run(command, capture_output=True, text=True, env=env)


def test_doctor_says_what_is_absent_and_what_goes_without(tmp_path):
    empty = str(tmp_path)
    # Level 0 is all that TensorFlow has to say at its start.
    done = doctor(KERAS_HOME=empty, MMLEARN_DATA=empty, TF_CPP_MIN_LOG_LEVEL="0")
    assert done.returncode == 0 and done.stderr == ""
    assert "all in order" not in done.stdout
    lines = [line.strip() for line in done.stdout.splitlines()]
    at = next(i for i, line in enumerate(lines) if re.match(r"minilm .*: absent", line))
    assert "01 and 04 leave out the pretrained sentences" in lines[at + 1]
    assert "stand-ins for cifar10," in lines[-2]
    assert "without " in lines[-1] and "minilm" in lines[-1]


def test_doctor_says_a_problem_once(tmp_path):
    done = doctor(MMLEARN_DATA=str(tmp_path / "none"))
    assert done.returncode == 1
    problems = [line for line in done.stdout.splitlines() if "PROBLEM" in line]
    assert len(problems) == 1 and "not a folder" in problems[0]


def test_the_command_line_imports_no_backend():
    code = (
        "import sys, mmlearn_course.cli, mmlearn_course.runner\n"
        "import mmlearn_course.pages, mmlearn_course.contract\n"
        "print({'keras', 'tensorflow', 'torch', 'jax'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize("verb", ["run", "refresh"])
def test_ctrl_c(course, write, verb):
    write("01_quick", "1")
    sleeping = write(
        "02_sleeps", "open('started', 'w').close()", "import time\ntime.sleep(60)"
    )
    before = sleeping.read_bytes()
    process = start(verb, cwd=course)
    started = course / "notebooks" / "started"
    deadline = time.monotonic() + 40
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert started.exists()
    kernels = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.startswith("mmlearn: stopped") and err.count("\n") == 1
    assert "[2/2] 02_sleeps: started" in out
    assert kernels and not psutil.wait_procs(kernels, timeout=5)[1]
    assert sleeping.read_bytes() == before
    left = {path.name for path in course.rglob("*") if path.is_file()}
    expected = {"01_quick.ipynb", "02_sleeps.ipynb", "started", "none.md"}
    assert left == expected | ({"01_quick.html"} if verb == "run" else set())
