"""The project's files agree: dependencies, versions, addresses, data."""

import ast
import csv
import hashlib
import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import mmlearn
from mmlearn.datasets import sources

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKS = {"cpu": "tensorflow", "gpu": "gpu", "jax": "jax"}
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64"}
MAC = {"sys_platform": "darwin", "platform_machine": "arm64"}


def _lock(name: str) -> list[Requirement]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def _pins(name: str, **environment: str) -> dict[str, str]:
    return {
        pin.name: next(iter(pin.specifier)).version
        for pin in _lock(name)
        if pin.marker is None or pin.marker.evaluate(environment)
    }


def _tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True
    )
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("platform", [LINUX, MAC])
@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_locked_to_a_version_it_allows(lock, platform, python):
    environment = {
        **platform,
        "python_version": python,
        "python_full_version": f"{python}.9",
    }
    pins = _pins(lock, **environment)
    extras = ("pretrained", "notebooks", "test", LOCKS[lock])
    wanted = [line for extra in extras for line in EXTRAS[extra]]
    for line in [*PROJECT["dependencies"], *wanted]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.name in pins, line
            assert requirement.specifier.contains(pins[requirement.name]), line


@pytest.mark.parametrize("platform", [LINUX, MAC])
def test_only_one_tensorflow_at_a_time_and_none_beside_jax(platform):
    cpu, jax = _pins("cpu", **platform), _pins("jax", **platform)
    assert len({"tensorflow", "tensorflow-cpu"} & set(cpu)) == 1
    assert not [name for name in jax if "tensorflow" in name]


def test_conda_takes_the_locked_versions_and_a_supported_python():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [
        entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)
    ]
    assert pip == ["-r requirements/cpu.txt", "-e ."]
    (python,) = [e for e in conda["dependencies"] if str(e).startswith("python=")]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.split("=")[1])


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert mmlearn.__version__ == PROJECT["version"] == citation["version"]
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_links_to_the_repository_are_derived_from_its_one_address():
    address = PROJECT["urls"]["Repository"]
    owner = address.removeprefix("https://github.com/")
    allowed = (address, f"https://colab.research.google.com/github/{owner}")
    for path in _tracked("*.md", "*.ipynb", "*.cff", "*.yml"):
        text = path.read_text(encoding="utf-8")
        for link in re.findall(r"https?://[^\s)>\"\\]+", text):
            if "github" in link or "colab" in link or "binder" in link:
                assert link.startswith(allowed), f"{path.name}: {link}"


def test_no_foreign_package_no_registry_and_no_path_of_a_machine():
    forbidden = re.compile(
        r"pip install mmlearn(?!-course)|py" + r"pi\.org|/ro" + r"ot/|/ho" + r"me/\w"
    )
    for path in _tracked("*.md", "*.txt", "*.toml", "*.yml", "Makefile", ".ci/*"):
        found = forbidden.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_relative_links_resolve():
    for path in _tracked("*.md"):
        for link in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            if not link.startswith("http"):
                assert (path.parent / link).exists(), f"{path.name}: {link}"


def test_every_data_set_has_its_card():
    tracked = _tracked("mmlearn/datasets/real/*", "mmlearn/datasets/simulated/*")
    loaders = [path.read_text() for path in tracked]
    names = set(re.findall(r' name="(\w+)",', "".join(loaders)))
    assert names
    for name in names:
        assert (sources.DATA / f"{name}.md").stat().st_size > 500, name


def test_the_captions_are_the_described_ones():
    path = sources.DATA / "cifar10_captions.tsv"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in (sources.DATA / "cifar10_captions.md").read_text()
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    counts = Counter((row["split"], row["label"]) for row in rows)
    assert set(counts.values()) == {500, 100} and len(counts) == 20
    assert all(row["caption"] and row["vague"] for row in rows)


FLOORS = {
    "files": 0,
    "text": 1,
    "layers": 1,
    "losses": 1,
    "runtime": 1,
    "datasets": 2,
    "encoders": 3,
    "fusion": 2,
    "checks": 3,
    "models": 4,
    "saving": 5,
    "training": 5,
    "evaluate": 6,
    "explain": 7,
    "plots": 8,
}


def _imports(path: Path) -> set[str]:
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*up, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_from_an_upper_floor_to_a_lower_one():
    for path in _tracked("mmlearn/*.py"):
        own = path.relative_to(ROOT / "mmlearn").parts[0].removesuffix(".py")
        if own in ("__init__", "__main__"):
            continue
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "mmlearn" and len(parts) > 1 and parts[1] != own:
                assert FLOORS[parts[1]] < FLOORS[own], f"{path.name} imports {name}"


def test_only_the_command_line_is_imported_from_the_course():
    for path in _tracked("mmlearn/*.py"):
        if path != ROOT / "mmlearn" / "__main__.py":
            tops = {name.split(".")[0] for name in _imports(path)}
            assert "mmlearn_course" not in tops, path.name


def test_the_package_names_no_backend():
    for path in _tracked("mmlearn/*.py"):
        tops = {name.split(".")[0] for name in _imports(path)}
        assert not tops & {"tensorflow", "torch", "jax"}, path.name


def test_the_package_uses_nothing_private_of_keras():
    private = set()
    for path in _tracked("mmlearn/*.py"):
        private |= {(path.name, n) for n in _imports(path) if n.startswith("keras.src")}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
                owner = ast.unparse(node.value)
                if owner not in ("self", "cls"):
                    private.add((path.name, f"{owner}.{node.attr}"))
    own = {
        name for name in private if name[1].endswith(("_repr_markdown_", "_trained"))
    }
    assert private == own


def test_nothing_stands_in_the_root_but_what_belongs_there():
    folders = "benchmarks data docs mmlearn mmlearn_course notebooks requirements"
    files = "CHANGELOG.md CITATION.cff CONTRIBUTING.md LICENSE Makefile README.md"
    files += " README.zh-CN.md conftest.py environment.yml pyproject.toml"
    known = {*folders.split(), "results", "tests", *files.split()}
    found = {path.relative_to(ROOT).parts[0] for path in _tracked()}
    assert {name for name in found if not name.startswith(".")} == known
