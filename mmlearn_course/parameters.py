"""Values for a notebook's `parameters` cell from outside, checked before anything runs.

As in papermill, a cell with the new values is put after the `parameters` cell. Unlike
there, an unknown name or a value of another type is an error.
"""

import ast
import math
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from . import notebooks

_WORDS = {
    "bool": "True or False",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "list": "a list",
    "tuple": "a list",
    "dict": "a dictionary",
    "None": "None",
}
_ALSO = {"float": {"int"}, "list": {"tuple"}, "tuple": {"list"}}


def inject(nb: NotebookNode, values: dict[str, Any], path: Path) -> None:
    """Insert a cell with these values after the `parameters` cell.

    A value must have the type of the default: `epochs = 3` takes whole numbers,
    `rate = 0.1` any number. The type of a default of None is that of the annotation
    (`epochs: int | None = None`), or of the profiles' values where the notebook says
    `course.pick(epochs, fast=6, full=20)`; with neither, any value passes.

    Args:
        nb: The notebook; it is changed.
        values: Parameter → value, a literal.
        path: The notebook's file, for messages.

    Raises:
        ValueError: If a name is unknown or a value has another type; the message names
            the parameters that there are.
    """
    try:
        known = notebooks.parameters(nb)
    except ValueError as error:
        raise ValueError(f"{path.name} takes no parameters: {error}") from None
    listed = ", ".join(known)
    if unknown := [name for name in values if name not in known]:
        raise ValueError(
            f"{path.name} has no parameter {', '.join(unknown)}: choose from {listed}"
        )
    types = {**_picked(nb), **_annotated(nb)}
    for name, value in values.items():
        default = known[name]
        allowed = types.get(name) or ({_kind(default)} if default is not None else None)
        if default is None and allowed:
            allowed = {*allowed, "None"}
        if problem := _problem(value, allowed):
            raise ValueError(
                f"{path.name}: parameter {name} is {value!r}, expected {problem} (its "
                f"default is {default!r}); the parameters are {listed}"
            )
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    cell = nbformat.v4.new_code_cell(source, id="injected-parameters")
    cell.metadata["tags"] = ["injected-parameters"]
    after = nb.cells.index(notebooks.tagged(nb, "parameters")[0])
    nb.cells.insert(after + 1, cell)


def _problem(value: Any, allowed: set[str] | None) -> str | None:
    """What was expected instead of this value, or None if it is fine."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if not allowed or not allowed <= set(_WORDS):
        return None
    if _kind(value) in allowed.union(*(_ALSO.get(kind, ()) for kind in allowed)):
        return None
    return " or ".join(sorted({_WORDS[kind] for kind in allowed}, reverse=True))


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _annotated(nb: NotebookNode) -> dict[str, set[str]]:
    """Parameter → the types of its annotation, such as {"int", "None"}."""
    (cell,) = notebooks.tagged(nb, "parameters")
    found = {}
    for node in notebooks.tree(cell.source).body:
        if isinstance(node, ast.AnnAssign):
            options = ast.unparse(node.annotation).split("|")
            found[node.target.id] = {o.split("[")[0].strip() for o in options}
    return found


def _picked(nb: NotebookNode) -> dict[str, set[str]]:
    """Parameter → the types that `course.pick(name, fast=..., full=...)` shows."""
    found: dict[str, set[str]] = {}
    for cell in notebooks.code_cells(nb):
        try:
            nodes = list(ast.walk(notebooks.tree(cell.source)))
        except ValueError:  # `check` reports it
            continue
        for node in nodes:
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "pick"
                and node.args
                and isinstance(node.args[0], ast.Name)
            ):
                continue
            for value in [keyword.value for keyword in node.keywords]:
                try:
                    kind = _kind(ast.literal_eval(value))
                except ValueError:
                    kind = "anything"
                found.setdefault(node.args[0].id, set()).add(kind)
    return found
