"""`python -m mmlearn_course.reference`: write `docs/api.md` and `docs/architecture.md`.

Both are made of the first sentence of each docstring; a test holds them to the code.
"""

import ast
import inspect
import re
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import mmlearn

MADE = "Made by `python -m mmlearn_course.reference` from the docstrings.\n"


def public_names(module: ModuleType) -> list[str]:
    """Return what a module offers: its `__all__`, or what it defines itself."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    )


def api() -> str:
    """Return the page of all public names: in short, then each with its purpose."""
    short, long = [], []
    for module in _modules():
        path, names = module.__name__, public_names(module)
        inner = [n for n in names if inspect.ismodule(getattr(module, n))]
        if len(inner) == len(names):  # a folder whose files hold the names
            continue
        shown = ", ".join(f"[`{n}`](#{_anchor(path, n)})" for n in names)
        short.append(f"| `{path}` | {shown} |")
        long.append(f"\n## `{path}`\n\n{_purpose(inspect.getdoc(module))}\n")
        for name in names:
            value = getattr(module, name)
            doc = inspect.getdoc(value) if callable(value) else None
            purpose = _purpose(doc or _constant_doc(module, name))
            anchor = f'<a id="{_anchor(path, name)}"></a>'
            long.append(f"- {anchor}**`{name}`**: {purpose}")
    head = f"# What can be called\n\n{MADE}\n| in | names |\n|---|---|\n"
    return head + "\n".join([*short, *long]) + "\n"


def architecture(root: Path) -> str:
    """Return the page that says of each file of the two packages what it holds."""
    lines = [
        "# Where what is\n",
        MADE,
        "Notebooks import `mmlearn`. `mmlearn_course` runs, checks, renders, grades "
        "and packs the notebooks; it imports `mmlearn`, and only `mmlearn/__main__.py` "
        "imports it back.",
    ]
    folder = None
    for path in sorted(root.glob("mmlearn*/**/*.py"), key=_folders_first):
        if "templates" in path.parts:
            continue
        if path.parent != folder:
            folder = path.parent
            lines.append(f"\n## `{folder.relative_to(root).as_posix()}/`\n")
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if path.name == "__init__.py":
            lines.append(f"{_purpose(doc)}\n")
        else:
            lines.append(f"- `{path.name}`: {_purpose(doc)}")
    return "\n".join(lines) + "\n"


def write(root: Path) -> None:
    """Write both pages into `docs/`."""
    (root / "docs/api.md").write_text(api(), encoding="utf-8")
    (root / "docs/architecture.md").write_text(architecture(root), encoding="utf-8")


def _modules() -> list[ModuleType]:
    """Return what `mmlearn` offers, each folder followed by its public files."""
    found = []
    for name in mmlearn.__all__:
        module = getattr(mmlearn, name)
        inner = (getattr(module, n) for n in public_names(module))
        found += [module, *filter(inspect.ismodule, inner)]
    return found


def _constant_doc(module: ModuleType, name: str) -> str | None:
    """Return the string that follows a constant, or a file's own docstring."""
    value = getattr(module, name)
    if inspect.ismodule(value):
        return inspect.getdoc(value)
    for path in Path(module.__file__).parent.glob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for line, after in pairwise(body):
            is_it = ast.unparse(line).startswith((f"{name} = ", f"{name}: "))
            if is_it and isinstance(after, ast.Expr):
                return ast.literal_eval(after.value)
    return None


def _purpose(doc: str | None) -> str:
    """Return the first sentence of a docstring, on one line."""
    first = " ".join((doc or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.) ", first)[0]


def _anchor(path: str, name: str) -> str:
    return f"{path.removeprefix('mmlearn.')}.{name}"


def _folders_first(path: Path) -> tuple:
    return (path.parent.as_posix(), path.name != "__init__.py", path.name)


if __name__ == "__main__":
    write(Path(__file__).parent.parent)
