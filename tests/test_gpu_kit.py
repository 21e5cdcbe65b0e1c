"""The kit for a GPU without a network runs where only that machine's packages are."""

import importlib.metadata
import json
import os
import subprocess
import venv
from pathlib import Path

import keras
import nbformat
import pytest

from benchmarks.gpu import pack, report, run

ROOT = Path(__file__).parents[1]
JOBS = {"jax": ["doctor", "layers", "cifar10"], "torch": ["doctor", "cifar10"]}


def test_each_missing_package_has_a_locked_version():
    assert all("==" in line for line in pack.requirements())
    assert not set(pack.names("wheels.txt")) & set(pack.names("machine.txt"))


@pytest.fixture
def kit(tmp_path):
    """A kit without wheels and data: the loaders fall back on what the tree holds."""
    (tmp_path / "kit" / "data").mkdir(parents=True)
    return tmp_path / "kit"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python that has the packages of the two lists, and no others."""
    folder = tmp_path_factory.mktemp("machine")
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    for name in [*pack.names("machine.txt"), *pack.names("wheels.txt")]:
        found = importlib.metadata.distribution(name)
        tops = {file.parts[0] for file in found.files} - {"..", "__pycache__"}
        for top in tops:
            if not (site / top).exists():
                (site / top).symlink_to(found.locate_file(top))
    return folder / "bin" / "python"


def run_there(python, kit, out, jobs: list[str]) -> dict:
    """Return what the jobs reported; each must end well."""
    command = [python, run.__file__, out, "--kit", kit, "--tiny", "--budget", "300"]
    env = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [*command, "--jobs", ",".join(jobs)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads((out / "results.json").read_text())
    for name in jobs:
        job = found["jobs"][name]
        assert job["exit_code"] == 0, job["end_of_output"]
    return found


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="that machine has no TensorFlow"
)
def test_the_jobs_run_on_a_machine_with_nothing_else(python, kit, tmp_path):
    found = run_there(python, kit, tmp_path, JOBS[keras.backend.backend()])
    learned = found["jobs"]["cifar10"]["result"]
    assert learned["num_test"] == 40 and len(learned["epochs"]) == 2
    assert learned["data"] != "real"
    if "layers" in found["jobs"]:
        result = found["jobs"]["layers"]["result"]
        assert result["failed"] == {} and len(result["rows"]) == 8
        assert all(row["apart"] < 0.05 for row in result["rows"])
        for job in found["jobs"].values():
            job["tests"] = report.tests(job["end_of_output"])
        assert "| ConcatFusion | float32 |" in report.markdown(found)


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="that machine has no TensorFlow"
)
def test_a_notebook_goes_on_after_a_cell_that_fails(python, tmp_path):
    cells = ["# Small", "x = 2", "assert x == 3, x", "print(x)"]
    nb = nbformat.v4.new_notebook()
    nb.cells = [nbformat.v4.new_markdown_cell(cells[0])]
    nb.cells += [nbformat.v4.new_code_cell(source) for source in cells[1:]]
    path, result = tmp_path / "small.ipynb", tmp_path / "small.json"
    nbformat.write(nb, path)
    out = tmp_path / "out"
    out.mkdir()
    command = [python, "-m", "benchmarks.gpu.notebook", path, result, out, "--fast"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=env, cwd=ROOT, check=True)
    found = json.loads(result.read_text())
    assert [fault["cell"] for fault in found["failed"]] == [2]
    assert len(found["ends"]) == 3
    executed = nbformat.read(out / "small.ipynb", 4)
    assert executed.cells[-1].outputs[0].text == "2\n"


def test_jobs_stop_at_their_limit_and_leave_what_is_done(monkeypatch, tmp_path):
    slow = ["-c", "import sys, time; print('begun', flush=True); time.sleep(60)"]
    monkeypatch.setitem(run.JOBS, "slow", run.Job(slow, 2))
    monkeypatch.setitem(run.JOBS, "quick", run.Job(["-c", "print('done')"], 30))
    gpu = run.Utilisation()
    found = run.together(
        ["slow", "quick"], dict(os.environ), tmp_path, 60, gpu, tiny=False
    )
    assert found["quick"]["exit_code"] == 0 and found["slow"]["exit_code"] < 0
    assert found["slow"]["end_of_output"] == "begun\n"
    assert found["quick"]["seconds"] < found["slow"]["seconds"] < 10
    assert found["quick"]["beside"] == ["slow"]


def test_a_rehearsal_is_no_result(tmp_path):
    rehearsed = {"machine": {"gpu": "none"}, "tiny": True, "jobs": {}}
    (tmp_path / "results.json").write_text(json.dumps(rehearsed))
    with pytest.raises(ValueError, match="expected real runs"):
        report.merged([tmp_path / "results.json"])


def test_the_report_names_tests_that_failed():
    said = "FAILED tests/a.py::b[c] - Err...\n2 failed, 14 passed, 3 warnings in 5.1s\n"
    assert report.tests(said) == ["tests/a.py::b[c]", "2 failed, 14 passed"]
    assert report.tests("151 passed in 2s") == ["151 passed"] and not report.tests("")
