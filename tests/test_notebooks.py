"""The committed notebooks keep the contract, and the tests on them bite."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mmlearn.datasets import sources
from mmlearn_course import contract, notebooks, runner

ROOT = Path(__file__).parent.parent
ALL = notebooks.find(ROOT)
START = ROOT / "notebooks" / "00_start_here.ipynb"
# For each notebook, parameters under which one of its claims is wrong.
PLANTED = {
    "00_start_here": {"mismatch": 1.0},
    "01_encoders": {"num_seeds": 1, "learning_rate": 1e-6, "image_epochs": 1},
    "02_cifar10_captions": {
        "mismatch": 1.0,
        "num_seeds": 1,
        "image_epochs": 1,
        "text_epochs": 1,
        "head_epochs": 1,
        "tune_epochs": 1,
    },
    "03_fusion_zoo": {"num_seeds": 1, "race_epochs": 1, "num_train": 300},
    "04_medical_image_text": {
        "informativeness": 0.0,
        "num_seeds": 2,
        "image_epochs": 2,
        "text_epochs": 2,
        "head_epochs": 2,
    },
    "05_sensor_fusion": {
        "num_seeds": 1,
        "num_fresh": 200,
        "rig_epochs": 1,
        "watch_epochs": 1,
        "fleet_epochs": 1,
        "life_epochs": 1,
    },
    "07_shared_space": {"resolution": 32},
    "12_explain_and_stress": {"keep": 0.02, "num_seeds": 1, "epochs": 2},
}
NO_NETWORK = """
import socket

_connect = socket.socket.connect


def connect(self, address):
    local = not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1")
    if not local:
        raise OSError(101, "Network is unreachable")
    return _connect(self, address)


socket.socket.connect = connect
"""


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_notebook_keeps_the_contract(path):
    assert [str(violation) for violation in contract.check(path)] == []


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_readme_says_what_the_notebook_says(path):
    nb = notebooks.load(path)
    link = f"(notebooks/{path.name})"
    (row,) = [
        line
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and link in line
    ]
    assert notebooks.title(nb) in row
    assert notebooks.headline(nb) in row
    assert notebooks.header(nb)["Time and memory"].split(",")[0] in row


@pytest.mark.verify
@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_a_planted_change_makes_an_assert_fail(path, tmp_path):
    run = runner.execute(path, tmp_path / path.name, PLANTED[path.stem])
    assert run.error is not None and "AssertionError" in run.error.text


def _nbval(path: Path) -> subprocess.CompletedProcess:
    options = ["-p", "no:cacheprovider", "-o", "addopts=", "--nbval-lax"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "--nbval-current-env", str(path)],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def test_nbval_notices_one_changed_digit(tmp_path):
    nb = notebooks.load(START)
    source = nb.metadata.mmlearn.sources["cifar10"]
    if sources.kind("cifar10") != source:
        pytest.skip(f"the stored outputs come from {source} data")
    compared = [
        number
        for number, cell in enumerate(nb.cells)
        if "nbval-check-output" in notebooks.tags(cell)
        and re.search(r"\d", json.dumps(cell.outputs))
    ]
    nb.cells = nb.cells[: compared[0] + 1]
    nbformat.write(nb, path := tmp_path / "short.ipynb")
    assert _nbval(path).returncode == 0
    (output,) = nb.cells[-1].outputs
    digit = re.search(r"\d", output.text)
    other = str((int(digit[0]) + 1) % 10)
    output.text = output.text[: digit.start()] + other + output.text[digit.end() :]
    nbformat.write(nb, path)
    answer = _nbval(path)
    assert answer.returncode == 1 and "1 failed" in answer.stdout


@pytest.mark.verify
def test_start_here_runs_without_network_and_data(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    blocked = subprocess.run([sys.executable, "-c", reach], capture_output=True)
    assert b"Network is unreachable" in blocked.stderr
    run = runner.execute(START, out := tmp_path / START.name)
    assert run.error is None
    assert "STAND-IN DATA" in out.read_text(encoding="utf-8")


@pytest.mark.verify
def test_start_here_runs_on_jax_without_tensorflow(tmp_path):
    python = ROOT / ".venv-other" / "bin" / "python"
    if not python.exists():
        pytest.skip("there is no JAX environment: `make verify` makes it")
    tensorflow = subprocess.run(
        [python, "-c", "import tensorflow"], capture_output=True
    )
    assert b"ModuleNotFoundError" in tensorflow.stderr
    answer = subprocess.run(
        [python, "-m", "mmlearn", "run", "00", "--build", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout
    assert "on jax" in (tmp_path / "notebooks" / START.name).read_text("utf-8")
