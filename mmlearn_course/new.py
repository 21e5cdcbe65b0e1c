"""`python -m mmlearn new`: a fresh notebook that keeps the contract once it has run.

It is small and complete, on synthetic data that need no download: the author exchanges
the data, the encoders and the sentences, and keeps the order.
"""

import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mmlearn import files

from . import links

_NAME = re.compile(r"(?:(?P<number>\d\d)_)?[a-z0-9]+(?:_[a-z0-9]+)*")


def write(name: str, root: Path | None) -> Path:
    """Write a fresh notebook; an existing file is never touched.

    Args:
        name: Such as "my_topic" or "14_my_topic", for the folder `notebooks/`, where a
            missing number is the next one; or a path that ends in `.ipynb`.
        root: The folder that holds `notebooks/`; None if there is none.

    Returns:
        The notebook's path.

    Raises:
        ValueError: If the name is not like that, or its number is taken.
        FileExistsError: If there is such a file, or one of that name with any number.
    """
    path = Path(name)
    if path.suffix == ".ipynb":
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent}: make it first")
    else:
        path = _in_course(name, root)
    text = nbformat.writes(_notebook(path)).rstrip("\n") + "\n"
    with files.written(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return path


def _in_course(name: str, root: Path | None) -> Path:
    match = _NAME.fullmatch(name)
    if not match:
        raise ValueError(
            f"{name!r} is no notebook's name: expected small letters, digits and _, "
            "such as my_topic or 14_my_topic, or a path that ends in .ipynb"
        )
    if root is None:
        raise ValueError(
            f"there is no folder notebooks/ here or above it: give a path, {name}.ipynb"
        )
    folder = root / "notebooks"
    topic = name.removeprefix(f"{match['number']}_")
    for path in sorted(folder.glob(f"[0-9][0-9]_{topic}.ipynb")):
        raise FileExistsError(
            f"{path} exists already and is not overwritten: choose another name"
        )
    taken = {p.name[:2]: p for p in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    number = match["number"]
    if number is None:
        number = f"{max(map(int, taken), default=0) + 1:02}"
        name = f"{number}_{name}"
    elif number in taken:
        raise ValueError(
            f"number {number} is taken by {taken[number].name}: choose another"
        )
    return folder / f"{name}.ipynb"


def _notebook(path: Path) -> NotebookNode:
    nb = nbformat.v4.new_notebook()
    nb.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
            # Names in `sources.SOURCES` of the data sets that the notebook loads.
            "mmlearn": {"datasets": []},
        }
    )
    topic = re.sub(r"^\d\d_", "", path.stem).replace("_", " ")
    title = topic[:1].upper() + topic[1:]
    where = links.open_in(path) or "JupyterLab, from the folder of this file"
    for number, (tags, source) in enumerate(_CELLS):
        source = source.strip().replace("TITLE", title).replace("OPEN_IN", where)
        make = nbformat.v4.new_markdown_cell
        if tags is not None:
            make = nbformat.v4.new_code_cell
        cell = make(source, id=f"cell-{number:02}")
        if tags:
            cell.metadata["tags"] = [tags]
        nb.cells.append(cell)
    return nb


_CELLS: tuple[tuple[str | None, str], ...] = (
    (
        None,
        """
# TITLE

One sentence: the question that this notebook answers.

| | |
|:--|:--|
| **You will learn** | one goal; another goal |
| **You need** | the notebook before this one |
| **Data** | synthetic, drawn when asked for; exchange it for yours |
| **Time and memory** | 20 s, 1.0 GB (fast profile, 2 CPU cores) |
| **Open in** | OPEN_IN |
""",
    ),
    (
        "parameters",
        """
seed = 0
profile = None  # "fast" (laptop) or "full" (GPU); None: $MMLEARN_PROFILE, else "fast"
num_seeds = None  # None: what the profile says
epochs = None
noise = 0.3  # of the data
""",
    ),
    (
        "",
        """
from mmlearn import runtime  # first, so that the backend starts quietly

course = runtime.setup(seed=seed, profile=profile)
seeds = range(seed, seed + course.pick(num_seeds, fast=2, full=5))
""",
    ),
    (
        "",
        """
from mmlearn import datasets, encoders, evaluate, fusion, models, plots
""",
    ),
    (
        None,
        """
## Look at the data first

What is a sample, what are its modalities, where do they come from? Here: two vectors,
and the class is the XOR of a bit in each, so that neither vector alone tells anything.
""",
    ),
    (
        "nbval-check-output",
        """
data, task = datasets.interactions(
    "synergistic",
    dim=4,
    noise=noise,
    num_train=1500,
    num_val=500,
    num_test=1000,
    seed=seed,
)
print(data)
""",
    ),
    (
        "nbval-check-output",
        """
for split, counts in data.class_counts().items():
    print(f"{split:5} {counts}")
""",
    ),
    (
        None,
        """
## One encoder per modality

Say why these encoders, and build them in the open.
""",
    ),
    (
        "nbval-check-output",
        """
def build():
    \"\"\"An encoder for each modality, their concatenation, a head.\"\"\"
    pair = [
        encoders.tabular.mlp(4, embed_dim=16, dropout=0.0, name=name)
        for name in data.modalities
    ]
    head = models.classification_head(data.num_classes, hidden=32)
    return models.fuse(pair, fusion.ConcatFusion(), head)


print(f"{build().count_params():,} weights")
""",
    ),
    (
        None,
        """
**Predict first.** Write down what each modality alone will reach, and what both will.
""",
    ),
    (
        "",
        """
found = evaluate.compare(
    {"both": build}, data, seeds=seeds, epochs=course.pick(epochs, fast=10, full=30)
)
""",
    ),
    (
        None,
        """
## What could fool us

Name what could make the result look better than it is, and show that it does not.
""",
    ),
    (
        "nbval-check-output",
        """
print(datasets.leaks(data))
""",
    ),
    (
        None,
        """
## Results

The test data were not used until now.
""",
    ),
    (
        "results",
        """
found.table(["accuracy"])
""",
    ),
    (
        "",
        """
assert found.gain("both").low > 0, "fusion does not beat the better single modality"
""",
    ),
    (
        "headline",
        """
labels = data.test.labels
share = {
    name: 100 * evaluate.accuracy(found.predictions[name], labels).mean
    for name in (found.single, "both")
}
print(f"{found.single} {share[found.single]:.0f} %, both {share['both']:.0f} %")
""",
    ),
    (
        "",
        """
plots.comparison(found)
""",
    ),
    (
        None,
        """
## Which modality did the work?

Hide or exchange one modality at a time. Here, theory answers: the best possible
accuracy from one modality, and from both.
""",
    ),
    (
        "nbval-check-output",
        """
for name in data.modalities:
    print(f"{name:6} {100 * task.limit(name):.0f} %")
""",
    ),
    (
        "nbval-check-output",
        """
print(f"both   {100 * task.limit():.0f} %")
""",
    ),
    (
        None,
        """
## Recap

- *The question, once more?* The answer, with its number and what it holds for.

## Exercises

1. **Warm up.** Change one parameter and say what happens before you run it.
2. **Fix it.** Break the model on purpose; how would you notice?
3. **Adapt it.** Exchange the data for your own.
4. **Go further.** A question without a known answer.

## References

- The paper that this notebook rests on, with a link to its page.
""",
    ),
)
