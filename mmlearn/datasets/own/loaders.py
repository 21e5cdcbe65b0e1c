"""Your own data: images with a CSV, or a CSV of sensors (see `docs/own_data.md`).

Whatever is wrong with the files is said in one line, with the row as a spreadsheet
numbers it: the line of column names is row 1.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmlearn.datasets.base import SPLITS, MultimodalDataset, Split
from mmlearn.datasets.own import pictures
from mmlearn.datasets.own import tables as table
from mmlearn.datasets.splits import deal

if TYPE_CHECKING:
    from pandas import DataFrame, Series

PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def from_folder(
    images_folder: str | Path,
    csv: "str | Path | DataFrame",
    *,
    size: int = 64,
    channels: int = 3,
    file: str = "file",
    text: str | None = "text",
    tables: Mapping[str, str | Sequence[str]] | None = None,
    categories: Sequence[str] = (),
    label: str | Sequence[str] = "label",
    regression: bool = False,
    split: str | None = "split",
    group: str | None = "group",
    shares: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> MultimodalDataset:
    """Load a folder of images and a CSV with a row for each: file name, text, label.

    The modalities are `image`, uint8 (N, size, size, channels), and `text`, strings; an
    empty text stays `""`, the value of "no text"; `tables` adds columns of numbers and
    categories. A picture is fitted into the square
    with a black border, so that nothing is cut or distorted (`saving.save` is told so
    by `preprocess={"image": "pad"}`); what is transparent becomes white. `index` is the
    row's number in the CSV, from 0. Images without a row are left out, which is
    printed. Where rows have no file, the data set has `presence`: their picture is
    black and absent, and so is an empty text. A picture with several texts has a row
    for each; it is never in two splits.

    Args:
        images_folder: The folder of the images; names in the CSV are relative to it.
        csv: The file, UTF-8, comma-separated (tab-separated if it ends in `.tsv`); or a
            pandas data frame, such as `pandas.read_parquet(...)` or the `to_pandas()`
            of a Hugging Face data set.
        size: Height and width of the pictures, pixels.
        channels: 3 for colour, 1 for grey.
        file: Column of the file names; empty where there is no picture.
        text: Column of the texts; `None` if there are none.
        tables: Modality → its columns; float32 (N, columns), numbers first, then
            categories as numbers 0, 1, …, as `encoders.tabular.mlp` takes them.
        categories: Those of the tables' columns that hold names instead of numbers.
            Which number means which name is printed.
        label: Column of the classes; or several columns of zeros and ones, one for each
            label that a sample may have.
        regression: The column `label` is a number to predict.
        split: Column with `train`, `val` or `test`, used if there is one; without it,
            the samples are dealt out, the classes in proportion.
        group: Column of what a sample belongs to, such as its patient, used if there is
            one: a group is never in two splits. `None` ignores a column of that name.
        shares: Shares of train, val and test where they are dealt out.
        seed: Seeds the dealing.

    Returns:
        The data set; its `source` is `"own"`, its name that of the CSV, or `table`.

    Raises:
        ValueError: If a file cannot be read, a row or a value is wrong, a picture
            occurs twice with equal texts and tables or is in two groups or splits, or a
            class is too rare to be in every split.
        FileNotFoundError: If the folder, the CSV or an image is missing.
    """
    folder = Path(images_folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder: give the one with the images")
    frame, csv = table.read(csv)
    if channels not in (1, 3) or size < 1:
        raise ValueError(
            f"size is {size}, channels {channels}: expected pixels from 1, and 1 or 3"
        )
    texts = [] if text is None else [text]
    tables = {name: table.listed(columns) for name, columns in (tables or {}).items()}
    if taken := {"image", "text", "presence"} & set(tables):
        raise ValueError(f"a table is named {min(taken)!r}, as something else is")
    _refuse_tables(tables, categories, label, csv)
    columns = [column for own in tables.values() for column in own]
    table.require(frame, [file, *texts, *columns, *table.listed(label)], csv)
    named = frame[file].str.strip() != ""
    if not named.any():
        raise ValueError(f"{csv}, column {file!r} is empty: no row has a picture")
    pictured = _pictured(frame[named], folder, file, [*texts, *columns], group, csv)
    images = np.zeros((len(frame), size, size, channels), "uint8")
    for place, (row, name) in enumerate(frame[file].items()):
        if named[row]:
            images[place] = _picture(folder / name, row, csv, size, channels)
    listed = set(pictured)
    extra = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in PICTURES and path.resolve() not in listed
    ]
    if extra:
        print(
            f"{len(extra)} images in {folder.name} have no row in {csv.name} and are "
            f"left out, such as {extra[0].name}"
        )
    inputs = {"image": images}
    if text is not None:
        if (frame[text].str.strip() == "").all():
            raise ValueError(f"{csv}, column {text!r} is empty: give text=None instead")
        inputs["text"] = np.array(frame[text].tolist(), dtype=object)
    for name, own in tables.items():
        inputs[name] = _table(name, frame, own, categories, csv)
    presence = None
    if not named.all():
        print(f"{(~named).sum()} of {len(named)} rows of {csv.name} have no picture")
        presence = {name: np.ones(len(named), "float32") for name in inputs}
        presence["image"] = named.to_numpy("float32")
        if text is not None:
            presence["text"] = (frame[text].str.strip() != "").to_numpy("float32")
    labels, names = _labels(frame, label, regression, csv)
    # A column that was named and is not there is refused below.
    unowned = group is None or (group == "group" and group not in frame)
    if pictured.duplicated().any() and unowned:
        print(
            f"{named.sum()} rows of {csv.name} show {pictured.nunique()} pictures: the "
            "rows of one are in one split"
        )
        alone = [f"row {row}" for row in frame.index]
        group = "group"
        frame = frame.assign(group=frame[file].where(named, alone))
    dealing = (split, group, shares, seed)
    return _dealt(csv, inputs, presence, labels, names, frame, *dealing)


def _pictured(
    frame: "DataFrame",
    folder: Path,
    file: str,
    others: Sequence[str],
    group: str | None,
    csv: Path,
) -> "Series":
    """Return the path of each row's picture; refuse a row that is there twice."""
    paths = frame[file].map(lambda name: (folder / name).resolve())
    told = frame[list(others)].assign(path=paths)
    if (again := told.duplicated()).any():
        row = again.idxmax()
        same = (told == told.loc[row]).all(axis=1)
        what = " with the same text" if others else ""
        raise ValueError(
            f"{csv}, rows {same.idxmax()} and {row}: {file} {frame[file][row]!r} "
            f"occurs twice{what}, expected one row for each sample"
        )
    if group in frame:
        owners = frame[group].str.strip().groupby(paths).nunique()
        if (owners > 1).any():
            row = frame.index[(paths == owners.idxmax()).argmax()]
            raise ValueError(
                f"{csv}, row {row}: {file} {frame[file][row]!r} is in several groups, "
                "and would be in several splits: give it one"
            )
    return paths


def from_csv(
    csv: "str | Path | DataFrame",
    modalities: Mapping[str, str | Sequence[str]],
    *,
    sample: str = "id",
    time: str | None = None,
    categories: Sequence[str] = (),
    label: str | Sequence[str] = "label",
    regression: bool = False,
    split: str | None = "split",
    group: str | None = "group",
    shares: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> MultimodalDataset:
    """Load a CSV of sensors in long form, or of a table with one row per sample.

    With `time`, a row is one moment of one sample, and a modality is float32
    (N, T, channels), in the order of the times; every sample has the same T. Without,
    a row is a sample, and a modality is float32 (N, channels). Values are not scaled.
    `index` numbers the samples in the order in which they first occur, from 0.

    Args:
        csv: The file, or a pandas data frame: see `from_folder`.
        modalities: Name → its columns, of numbers, or also of categories in a table.
        sample: Column that tells samples apart; a table needs none.
        time: Column of the times, numbers or dates; `None` for a table.
        categories: As in `from_folder`, where a row is a sample.
        label, regression, split, group, shares, seed: As in `from_folder`; in long form
            they must be the same in all rows of a sample.

    Returns:
        The data set; its `source` is `"own"`, its name that of the CSV. If the moments
        of samples are not equally far apart, which a network cannot see, this is
        printed.

    Raises:
        ValueError: If a column is missing, a value is not a finite number or has more
            digits that matter than float32 holds, rows of a sample are missing,
            repeated or contradict each other, or a class is too rare to be in every
            split.
        FileNotFoundError: If there is no such file.

    Example:
        `from_csv("rig.csv", {"heat": ["t1", "t2"], "shake": "v1"}, time="second")`
    """
    frame, csv = table.read(csv)
    modalities = {name: table.listed(columns) for name, columns in modalities.items()}
    inputs = [column for columns in modalities.values() for column in columns]
    if not inputs or not all(modalities.values()):
        raise ValueError('no input columns: give modalities={"name": ["column", ...]}')
    _refuse_tables(modalities, categories, label, csv)
    if categories and time is not None:
        raise ValueError("categories are read where a row is a sample, without time=")
    keys = [] if time is None else [sample, time]
    table.require(frame, [*keys, *inputs, *table.listed(label)], csv)
    numbers = {
        name: _table(name, frame, own, categories, csv)
        for name, own in modalities.items()
    }
    if time is None:
        if sample in frame:
            table.once(frame, sample, csv)
    else:
        order, firsts = table.steps(frame, sample, time, csv)
        for column in [*table.listed(label), split, group]:
            if column in frame:
                table.constant(frame, sample, column, csv)
        numbers = {name: array[order] for name, array in numbers.items()}
        frame = frame.iloc[firsts]
    labels, names = _labels(frame, label, regression, csv)
    dealing = (split, group, shares, seed)
    return _dealt(csv, numbers, None, labels, names, frame, *dealing)


def _refuse_tables(tables, categories, label, csv: Path) -> None:
    """Refuse columns that cannot be what they are said to be."""
    columns = {column for own in tables.values() for column in own}
    if both := columns & set(table.listed(label)):
        raise ValueError(
            f"column {min(both)!r} is an input and the label, so that the answer would "
            "be in the question: leave it out of the modalities"
        )
    if unknown := [name for name in categories if name not in columns]:
        raise ValueError(
            f"{csv}: the category {unknown[0]!r} is in no table: name it there, too"
        )


def _table(
    name: str, frame: "DataFrame", columns: list[str], categories, csv: Path
) -> np.ndarray:
    """Columns as float32 (N, K): the numbers, then categories by their number."""
    numeric = [column for column in columns if column not in categories]
    found = [table.numbers(frame, numeric, csv)] if numeric else []
    for column in columns:
        if column in categories:
            values = frame[column].str.strip()
            if (empty := values == "").any():
                raise ValueError(
                    f"{csv}, row {empty.idxmax()}: column {column!r} is empty: write a "
                    "name for “unknown”"
                )
            names = sorted(set(values))
            found.append(values.map(names.index).to_numpy("float32")[:, None])
            told = ", ".join(f"{n} = {title}" for n, title in enumerate(names[:8]))
            more = f", … {len(names)} in all" if len(names) > 8 else ""
            print(f"{name}, category {column}: {told}{more}")
    return np.concatenate(found, axis=1)


def _picture(path: Path, row: int, csv: Path, size: int, channels: int) -> np.ndarray:
    from PIL import Image

    where = f"{csv}, row {row}: the image {path}"
    if not path.is_file():
        raise FileNotFoundError(f"{where} is missing: correct its name")
    try:
        with Image.open(path) as image:
            deep = image.mode.startswith(("I", "F"))
            pixels = pictures.fitted(image, (size, size), channels, "pad")
    except Exception as error:  # decoders raise all kinds
        reason = str(error) if type(error) is ValueError else type(error).__name__
        raise ValueError(
            f"{where} cannot be read ({reason}): save it again as PNG or JPEG, or "
            "remove its row"
        ) from None
    if deep:  # Pillow would cut 16 bits off at 255: a white picture
        raise ValueError(
            f"{where} has more than 8 bits a pixel: scale it to 0-255 and save it again"
        )
    return pixels


def _labels(
    frame: "DataFrame", label: str | Sequence[str], regression: bool, csv: Path
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels and class names, as `MultimodalDataset` takes them."""
    if regression:
        if not isinstance(label, str):
            raise ValueError(f"regression needs one label column, got {list(label)}")
        return table.numbers(frame, [label], csv)[:, 0], ()
    if not isinstance(label, str):
        values = table.numbers(frame, list(label), csv)
        if not np.isin(values, (0, 1)).all():
            row, column = np.argwhere(~np.isin(values, (0, 1)))[0]
            raise ValueError(
                f"{csv}, row {frame.index[row]}, column {label[column]!r}: found "
                f"{values[row, column]:g}, expected 0 or 1"
            )
        return values.astype("int64"), tuple(label)
    values = frame[label].str.strip()
    if (empty := values.str.lower().isin(["", "nan"])).any():
        raise ValueError(
            f"{csv}, row {empty.idxmax()}: the label is empty: fill it in, or remove "
            "the row"
        )
    values = _tidied(values, label, csv)
    names = sorted(set(values), key=_number_or_name)
    if len(names) == 1:
        raise ValueError(f"{csv}: every label is {names[0]!r}, expected two classes")
    return np.array([names.index(value) for value in values]), tuple(names)


def _tidied(values, label: str, csv: Path):
    """Class names; whole numbers written as 1.0 become 1, but 007 and 1E2 are names."""
    import pandas

    numbers = pandas.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        return values
    if (broken := numbers % 1 != 0).any():
        raise ValueError(
            f"{csv}, row {broken.idxmax()}: the label {values[broken.idxmax()]} is no "
            f"class: give regression=True if {label!r} is a number to predict"
        )
    whole = values.str.fullmatch(r"-?(0|[1-9]\d*)(\.0*)?").all()
    return values.str.partition(".")[0] if whole else values


def _number_or_name(name: str) -> tuple:
    try:
        return 0, int(name), ""
    except ValueError:
        return 1, 0, name


def _dealt(
    csv: Path,
    inputs: Mapping[str, np.ndarray],
    presence: Mapping[str, np.ndarray] | None,
    labels: np.ndarray,
    names: tuple[str, ...],
    frame: "DataFrame",
    split: str | None,
    group: str | None,
    shares: Sequence[float],
    seed: int,
) -> MultimodalDataset:
    """The data set, split as the CSV says, or by class and by group."""
    for column, usual in ((split, "split"), (group, "group")):
        if column not in (None, usual):
            table.require(frame, [column], csv)
    groups = frame[group].str.strip().to_numpy(object) if group in frame else None
    if groups is not None and (groups == "").any():
        row = frame.index[(groups == "").argmax()]
        raise ValueError(f"{csv}, row {row}: column {group!r} is empty")
    if labels.ndim == 1 and names:
        counts = np.bincount(labels)
        if (rare := counts < 2).any():
            row = frame.index[(labels == rare.argmax()).argmax()]
            raise ValueError(
                f"{csv}, row {row}: class {names[rare.argmax()]!r} has one sample, "
                "expected several for each split: collect more, merge it with another "
                "class, or give regression=True for a number to predict"
            )
    if given := split in frame:
        parts = _given(frame, split, groups, csv)
    else:
        try:
            parts = deal(labels, groups, shares, seed)
        except ValueError as error:
            named = re.sub(
                r"class (\d+)", lambda m: f"class {names[int(m[1])]!r}", str(error)
            )
            raise ValueError(f"{csv}: {named}") from None
    _every_class(labels, names, parts, given, groups, csv)
    whole = Split(inputs, labels, np.arange(len(labels)), groups, presence)
    return MultimodalDataset(
        csv.stem,
        "own",
        names,
        **{name: whole.take(rows) for name, rows in zip(SPLITS, parts, strict=True)},
    )


def _given(frame: "DataFrame", split: str, groups, csv: Path) -> list[np.ndarray]:
    values = frame[split].str.strip().str.lower()
    if (wrong := ~values.isin(SPLITS)).any():
        row = wrong.idxmax()
        raise ValueError(
            f"{csv}, row {row}: column {split!r} holds {frame[split][row]!r}, expected "
            "train, val or test; split=None deals the samples out instead"
        )
    if absent := [name for name in SPLITS if name not in set(values)]:
        raise ValueError(
            f"{csv}: no row of column {split!r} says {absent[0]!r}: all three are "
            "needed; split=None deals the samples out instead"
        )
    if groups is not None:
        places = values.groupby(groups).nunique()
        if (torn := places > 1).any():
            raise ValueError(
                f"{csv}: group {torn.idxmax()!r} is in several splits, which would "
                "flatter the test: keep its rows together"
            )
    return [np.flatnonzero(values == name) for name in SPLITS]


def _every_class(labels, names, parts, given: bool, groups, csv: Path) -> None:
    """Refuse a split without some class or label: scores would not be defined."""
    for name, rows in zip(SPLITS, parts, strict=True):
        if given and name == "val":
            continue
        for number, title in enumerate(names):
            few = (
                not (labels[rows] == number).any()
                if labels.ndim == 1
                else np.ptp(labels[rows, number]) == 0
            )
            if few:
                what = "no sample" if labels.ndim == 1 else "one value only"
                how = "collect more, or change the seed"
                if given:
                    how = "move some there"
                elif labels.ndim == 1 and groups is None:  # no seed would help
                    num = (labels == number).sum()
                    how = (
                        f"{num} in all are too few for three splits: collect more, "
                        "merge it with another class, or say in a column 'split' "
                        "where each goes"
                    )
                raise ValueError(
                    f"{csv}: {title!r} has {what} in split {name!r}: {how}"
                )
