"""The documents are true where a machine can tell, and the CI workflows are sound."""

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import keras
import nbformat
import pytest
import yaml
from packaging.specifiers import SpecifierSet

import mmlearn
from mmlearn import encoders, fusion
from mmlearn.datasets import sources
from mmlearn_course import notebooks, reference
from mmlearn_course.cli import main

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("README*.md")])
WORKFLOWS = [ROOT / ".github/workflows/ci.yml", ROOT / "docs/course_ci.yml"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NOTEBOOKS = notebooks.find(ROOT)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_relative_links_resolve(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        target = unquote(link.split("#")[0])
        if not re.match(r"[a-z]+:", link) and target:
            assert (path.parent / target).exists(), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_tables_have_as_many_cells_as_columns(path):
    columns = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            columns = None
            continue
        cells = re.sub(r"`[^`]*`", "", line).count("|") - 1
        columns = columns or cells
        assert cells == columns, line


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_of_the_documents_exist(path, capsys):
    used = re.findall(r"python -m mmlearn ([a-z]+)", path.read_text(encoding="utf-8"))
    for verb in set(used):
        with pytest.raises(SystemExit) as stop:
            main([verb, "--help"])
        assert stop.value.code == 0, verb
    targets = re.findall(r"`make ([a-z]+)", path.read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = re.search(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)[1].split()
    assert set(targets) <= set(known)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["docs/instructors.md", "README.zh-CN.md"])
def test_every_notebook_is_listed(path, name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert f"notebooks/{path.name})" in text
    title = notebooks.title(notebooks.load(path))
    (link,) = set(re.findall(rf"\[([^]]+)\]\([./]*notebooks/{path.name}\)", text))
    assert title.startswith(link.removeprefix(path.name[:2]).strip())


def test_the_licences_of_all_data_and_weights_are_stated():
    text = page("data_licences.md")
    for name in sources.SOURCES:
        assert f"`{name}`" in text, name
    for card in sources.DATA.glob("*.md"):
        assert f"(../data/{card.name})" in text, card.name
    for file in sources.DATA.iterdir():
        assert file.suffix == ".md" or f"data/{file.name}" in text, file.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_stored_outputs_show_is_stated(path):
    rows = page("data_licences.md").splitlines()
    used = notebooks.load(path).metadata.get("mmlearn", {}).get("datasets", [])
    for name in used:
        (row,) = [row for row in rows if row.startswith("|") and f"`{name}`" in row]
        assert path.name[:2] in row.split("|")[-2], name


def test_the_glossary_has_every_fusion_and_both_languages():
    text = page("glossary.md")
    names = set(re.findall(r"`(\w+(?:Fusion|Attention|Interaction|Dropout))`", text))
    assert names == set(fusion.__all__)
    rows = [row.split("|") for row in text.splitlines() if row.startswith("|")]
    terms = [row for row in rows if row[1].strip() not in ("English", "layer", ":--")]
    assert len(terms) > 40
    for row in terms:
        assert re.search(r"[a-zA-Z]", row[1]) and re.search(r"[\u4e00-\u9fff]", row[2])
        assert row[3].strip()


# --- workflows ----------------------------------------------------------------------


def workflow(path: Path) -> dict:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    loaded["on"] = loaded.pop(True)  # YAML 1.1 reads `on` as true
    return loaded


def steps(path: Path) -> list[dict]:
    return [step for job in workflow(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_the_structure_that_github_expects(path):
    found = workflow(path)
    assert set(found) <= {
        *("name", "on", "permissions", "concurrency", "defaults", "env", "jobs")
    }
    assert found["permissions"] == {"contents": "read"}
    assert {"push", "workflow_dispatch"} <= set(found["on"])
    for job in found["jobs"].values():
        assert set(job) <= {
            *("name", "runs-on", "needs", "timeout-minutes", "strategy", "env", "steps")
        }
        assert job["runs-on"] and job["timeout-minutes"] <= 120
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step
            assert set(step) <= {"name", "uses", "with", "run", "if", "env"}, step
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
            else:
                assert step["name"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_expressions_of_a_workflow_refer_to_what_there_is(path):
    for job in workflow(path)["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        keys = set(matrix) | {key for more in matrix.get("include", []) for key in more}
        text = yaml.dump(job)
        for expression in re.findall(r"\$\{\{(.*?)\}\}", text):
            assert re.match(r"\s*(matrix\.|hashFiles\(|github\.)", expression)
        for key in re.findall(r"matrix\.(\w+)", text):
            assert key in keys, key
        for name in re.findall(r"hashFiles\(([^)]*)\)", text):
            for file in re.findall(r"'+([^',]+)'+", name):
                assert list(ROOT.glob(file)), file


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_scripts_of_a_workflow_are_shell_and_name_what_there_is(path, capsys):
    bash = shutil.which("bash")
    for step in steps(path):
        script = re.sub(r"\$\{\{.*?\}\}", "x", step.get("run", ""))
        if bash:
            checked = subprocess.run([bash, "-n", "-c", script], capture_output=True)
            assert checked.returncode == 0, checked.stderr
        words = shlex.split(script, comments=True)
        for word in words:
            if re.match(r"(tests|requirements|notebooks)\b", word):
                assert list(ROOT.glob(word)), word
        for number, word in enumerate(words):
            if word == "mmlearn":
                with pytest.raises(SystemExit) as stop:
                    main([words[number + 1], "--help"])
                assert stop.value.code == 0, words[number + 1]


def test_the_matrix_is_three_systems_two_pythons_two_backends():
    matrix = workflow(WORKFLOWS[0])["jobs"]["tests"]["strategy"]["matrix"]
    assert {name.split("-")[0] for name in matrix["os"]} == {
        *("ubuntu", "macos", "windows")
    }
    allowed = SpecifierSet(PROJECT["requires-python"])
    minors = [minor for minor in range(5, 40) if allowed.contains(f"3.{minor}.5")]
    assert matrix["python"] == [f"3.{minors[0]}", f"3.{minors[-1]}"]
    assert matrix["backend"] == ["tensorflow", "jax"]
    locks = {entry["backend"]: entry["lock"] for entry in matrix["include"]}
    assert set(locks) == set(matrix["backend"])
    assert all((ROOT / lock).exists() for lock in locks.values())


def test_the_workflow_runs_the_same_tests_as_make():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    made = re.search(r"^TESTS := (.*)$", makefile, re.MULTILINE)[1]
    made = made.replace("$(SLOWEST)", "").split()
    scripts = [s.get("run", "") for s in steps(WORKFLOWS[0])]
    assert [s.split()[1:] for s in scripts if "-n auto" in s] == [made]
    assert makefile.count("$(TESTS)") == 3  # a backend each


def test_a_renamed_test_file_does_not_drop_out(tmp_path):
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:nbval", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode and "there is no test_attributions.py" in done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_caches_packages_and_keeps_what_it_made(path):
    found = steps(path)
    pythons = [s for s in found if s.get("uses", "").startswith("actions/setup-python")]
    assert pythons
    for step in pythons:
        assert step["with"]["cache"] == "pip"
        assert list(ROOT.glob(step["with"]["cache-dependency-path"]))
    (kept,) = [s for s in found if s.get("uses", "").startswith("actions/upload")]
    scripts = " ".join(step.get("run", "") for step in found)
    assert kept["with"]["path"] in scripts and kept["if"] == "always()"


def test_the_nbval_report_is_made_by_the_step_that_runs_the_notebooks():
    runs = [step["run"] for step in steps(WORKFLOWS[0]) if "run" in step]
    (made,) = [script for script in runs if "--junitxml" in script]
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    assert "notebooks" in shlex.split(made)
    assert "--nbval" in options["pytest"]["ini_options"]["addopts"]


def test_the_workflows_say_that_they_have_not_run():
    assert "has not run on GitHub yet" in WORKFLOWS[1].read_text(encoding="utf-8")
    assert "has not run on GitHub yet" in page("instructors.md")


def test_the_reference_is_what_the_docstrings_say():
    for page, text in {
        "api.md": reference.api(),
        "architecture.md": reference.architecture(ROOT),
    }.items():
        stored = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert stored == text, (
            f"docs/{page} is not of today: python -m mmlearn_course.reference"
        )


USES = {
    "cifar10": r"datasets\.cifar10_captions\((?!.*pictures=)",
    "cifar10_full": r"datasets\.cifar10_captions\(.*pictures=",
    "hydraulic_rig": r"datasets\.hydraulic_rig\(",
    "pneumoniamnist": r"datasets\.chest_xray_notes\(",
    "covid_cxr": r"datasets\.covid_cxr\(",
    "occupancy": r"datasets\.occupancy\(",
    "watch": r"datasets\.watch_imu\(",
    "efficientnet-lite0": r"\"efficientnet-lite0\"",
    "minilm": r"pretrained\.minilm\(",
}


@pytest.mark.parametrize("name", sources.SOURCES)
def test_data_list_names_the_notebooks_that_use_a_set(name):
    users = []
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(c.source for c in cells if c.cell_type == "code")
        if re.search(USES[name], code):
            users.append(path.name[:2])
    assert sources.SOURCES[name].notebooks == tuple(users)


MODULES = sorted(
    info.name for info in pkgutil.walk_packages(mmlearn.__path__, "mmlearn.")
)
MODULES.remove("mmlearn.__main__")
# Those with others' weights would have to fetch them.
ENCODERS = sorted(set(encoders.__all__) - {"pretrained"})


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_run(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module, extraglobs={"keras": keras})
    assert found.failed == 0


@pytest.mark.parametrize("folder", ["fusion", *(f"encoders.{n}" for n in ENCODERS)])
def test_every_fusion_and_encoder_shows_how_it_is_called(folder):
    module = importlib.import_module(f"mmlearn.{folder}")
    for name in reference.public_names(module):
        made = getattr(module, name)
        if folder == "fusion" or made.__annotations__.get("return") is keras.Model:
            assert ">>> " in inspect.getdoc(made), f"{folder}.{name}"
