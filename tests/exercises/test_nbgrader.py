"""nbgrader's own commands make the assignment and grade what was handed in."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmlearn_course import course, learner_versions, notebooks

pytest.importorskip("nbgrader", reason="nbgrader is not installed: see the test extra")

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="nbgrader was not tried on Windows"
)

ROOT = Path(__file__).parents[2]
NAME = "00_start_here"
POINTS = {"shapes": 1, "weighted": 2, "three": 2, "gain": 3}
RIGHT = {
    "shapes": "def prediction():\n    return {'features': [32, 192], 'weights': 1930}",
    "weighted": (
        "from scipy.special import softmax\n"
        "def weighted(x, scores):\n"
        "    return np.einsum('bm,bmd->bd', softmax(scores, axis=1), x)"
    ),
    "three": (
        "def fuse_three(image, text, series):\n"
        "    return np.hstack([image, text, series.mean(1), series.std(1)])"
    ),
    "gain": (
        "def gain(fused, single, labels):\n"
        "    d = (fused == labels) * 1.0 - (single == labels)\n"
        "    half = 1.96 * d.std() / len(d) ** 0.5\n"
        "    return d.mean(), d.mean() - half, d.mean() + half"
    ),
}
PARTLY = {
    "shapes": RIGHT["shapes"],
    "weighted": RIGHT["weighted"],
    "three": "def fuse_three(image, text, series):\n    return image",
}  # and a stub
WRONG = {
    "shapes": "def prediction():\n    return None",
    "weighted": "weighted = broken",
    "three": "def fuse_three(:",
    "gain": "1 / 0",
}


def nbgrader(folder: Path, *arguments: str) -> str:
    """Run one of nbgrader's commands in a course."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    env = {
        **os.environ,
        "PATH": os.pathsep.join(folders),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def hand_in(folder: Path, student: str, answers: dict[str, str]):
    """Put a learner's notebook where nbgrader collects them."""
    nb = notebooks.load(folder / "release" / NAME / f"{NAME}.ipynb")
    for cell in nb.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        cell.source = answers.get(name.removesuffix("-answer"), cell.source)
    notebooks.save(nb, folder / "submitted" / student / NAME / f"{NAME}.ipynb")


def check_release(folder: Path) -> None:
    """What nbgrader releases is the learner version."""
    released = notebooks.load(folder / "release" / NAME / f"{NAME}.ipynb")
    source = notebooks.load(folder / "source" / NAME / f"{NAME}.ipynb")
    made = learner_versions.learner(source)
    assert [c.source for c in released.cells] == [c.source for c in made.cells]
    committed = notebooks.load(ROOT / "notebooks" / "exercises" / f"{NAME}.ipynb")
    assert [c.source for c in notebooks.code_cells(released)] == [
        c.source for c in notebooks.code_cells(committed)
    ]


def test_nbgrader_releases_and_gives_the_expected_points(tmp_path):
    folder = tmp_path / "course"
    course.new(folder, ROOT)
    nbgrader(folder, "generate_assignment", NAME)
    check_release(folder)
    hand_in(folder, "right", RIGHT)
    hand_in(folder, "partly", PARTLY)
    hand_in(folder, "wrong", WRONG)
    nbgrader(folder, "autograde", NAME)
    nbgrader(folder, "export")
    with (folder / "grades.csv").open(newline="") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file)}
    everything = float(sum(POINTS.values()))
    assert {float(row["max_score"]) for row in rows.values()} == {everything}
    scores = {student: float(row["score"]) for student, row in rows.items()}
    partly = float(POINTS["shapes"] + POINTS["weighted"])
    assert scores == {"right": everything, "partly": partly, "wrong": 0.0}
    graded = folder / "autograded" / "partly" / NAME / f"{NAME}.ipynb"
    found = {
        cell.metadata["nbgrader"]["grade_id"]: list(notebooks.output_texts(cell))
        for cell in notebooks.code_cells(notebooks.load(graded))
        if cell.metadata.get("nbgrader", {}).get("points")
    }
    assert all(found[name][0].startswith("Right: ") for name in ("shapes", "weighted"))
    assert all(found[name][0].startswith("Hint: ") for name in ("three", "gain"))
