"""Small notebooks to test with."""

import nbformat

HEADER = """# A small notebook

You see in one minute whether the tools work.

| | |
|---|---|
| **You will learn** | what a notebook of the course looks like |
| **You need** | nothing |
| **Data** | [none](../data/none.md) |
| **Time and memory** | 45 s, 0.8 GB (fast profile, 2 CPU cores) |
| **Open in** | [GitHub](https://github.com/) |
"""
SECTIONS = (
    "What could fool us",
    "Results",
    "Which modality did the work?",
    "Recap",
    "Exercises",
    "References",
)
# One transparent pixel.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


def markdown(source: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def code(source: str, *tags: str, prints: str | None = None) -> nbformat.NotebookNode:
    cell = nbformat.v4.new_code_cell(source)
    if tags:
        cell.metadata["tags"] = list(tags)
    if prints is not None:
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=prints)]
    return cell


def picture(alt: str | None, kind: str = "image/png") -> nbformat.NotebookNode:
    metadata = {kind: {"alt": alt}} if alt is not None else {}
    return nbformat.v4.new_output("display_data", {kind: PIXEL}, metadata=metadata)


def clean_cells() -> list[nbformat.NotebookNode]:
    """Cells that keep every rule of the contract, after the header."""
    cells = [
        code("seed = 0\nepochs = None", "parameters"),
        code("from mmlearn import runtime\n\nruntime.setup(seed=seed)"),
        markdown("See [the data](../data/none.md#card) and `[x](nowhere.md)`."),
    ]
    for i in range(5):
        cells.append(code(f"print({i})", "nbval-check-output", prints=f"{i}\n"))
    cells[-1].outputs.append(picture("A single transparent point, nothing else."))
    for section in SECTIONS:
        cells.append(markdown(f"## {section}"))
        if section == "Results":
            cells.append(code("print('a  b')", "results", prints="a  b\n"))
            cells.append(code("assert epochs is None"))
            cells.append(code("print('fine')", "headline", prints="fine\n"))
    for count, cell in enumerate((c for c in cells if c.cell_type == "code"), 1):
        cell.execution_count = count
    return cells
