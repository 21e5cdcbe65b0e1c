"""A CSV file as a table of strings: what is wrong with it is said with its row."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame


def read(source: "str | Path | DataFrame") -> tuple["DataFrame", Path]:
    """The cells as strings, indexed by row, and what errors call the table.

    A file's rows are numbered as a spreadsheet shows them, a data frame's from 0.
    """
    import pandas

    if not isinstance(source, pandas.DataFrame):
        return _read(Path(source)), Path(source)
    frame = source.reset_index(drop=True)
    frame.columns = [str(name) for name in frame.columns]
    if not len(frame) or not frame.columns.is_unique:
        raise ValueError(
            f"the data frame has {len(frame)} rows and columns {list(frame.columns)}: "
            "expected one row or more, and each name once"
        )
    return frame.astype(object).where(frame.notna(), "").map(str), Path("table")


def _read(path: Path) -> "DataFrame":
    import pandas

    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the path of the CSV file")
    mark = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        # utf-8-sig: spreadsheets write a mark at the start.
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = list(csv.reader(file, delimiter=mark, strict=True))
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8: save it as “CSV UTF-8”") from None
    except csv.Error as error:
        raise ValueError(
            f"{path} is not a CSV file ({error}): save it again from a spreadsheet"
        ) from None
    names = [name.strip() for name in lines[0]] if lines else []
    if len(names) == 1 and ";" in names[0]:
        raise ValueError(f"{path} is separated by semicolons: save it with commas")
    if again := {name for name in names if name and names.count(name) > 1}:
        raise ValueError(f"{path} has two columns {min(again)!r}: rename one")
    rows = {n: cells for n, cells in enumerate(lines[1:], 2) if any(cells)}
    for number, cells in rows.items():
        if len(cells) != len(names):
            raise ValueError(
                f"{path}, row {number} has {len(cells)} cells, there are {len(names)} "
                'column names: complete it; put a text with commas between "quotes"'
            )
    if not rows:
        raise ValueError(f"{path} has no rows below the column names")
    frame = pandas.DataFrame(list(rows.values()), list(rows), names, dtype=object)
    return frame.loc[:, frame.columns != ""]


def require(frame: "DataFrame", columns: Sequence[str], path: Path) -> None:
    for column in columns:
        if column not in frame:
            raise ValueError(
                f"{path} has no column {column!r}, only {list(frame.columns)}: rename "
                "one, or name it in the call"
            )


def once(frame: "DataFrame", column: str, path: Path) -> None:
    """Refuse empty and repeated ids."""
    ids = frame[column].str.strip()
    if (empty := ids == "").any():
        raise ValueError(f"{path}, row {empty.idxmax()}: column {column!r} is empty")
    if (again := ids.duplicated()).any():
        value = ids[again.idxmax()]
        rows = list(ids.index[ids == value])
        raise ValueError(
            f"{path}, rows {rows[0]} and {rows[1]}: {column} {value!r} occurs twice, "
            "expected one row for each sample"
        )


def numbers(frame: "DataFrame", columns: Sequence[str], path: Path) -> np.ndarray:
    """Columns as float32 of shape (rows, len(columns)), all finite, none blurred."""
    import pandas

    given = frame[columns].apply(pandas.to_numeric, errors="coerce")
    given = given.to_numpy("float64")
    with np.errstate(over="ignore"):
        values = given.astype("float32")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"{path}, row {frame.index[row]}, column {columns[column]!r}: found "
            f"{frame[columns[column]].iloc[row]!r}, expected a finite number: correct "
            "it, or remove the sample"
        )
    lost, spread = np.abs(values - given), given.std(axis=0)
    differ = np.ptp(given, axis=0) > 0
    if (blurred := differ & (lost.max(axis=0) > 1e-3 * spread)).any():
        column = blurred.argmax()
        row = lost[:, column].argmax()
        raise ValueError(
            f"{path}, row {frame.index[row]}, column {columns[column]!r}: float32 "
            f"would round {given[row, column]:.12g} to {values[row, column]:.12g}, "
            "but the column's values are close together: subtract a round number from "
            "all of them, such as their mean"
        )
    return values


def steps(
    frame: "DataFrame", sample: str, time: str, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of each sample in the order of time, and of each sample's first row.

    Shapes (N, T) and (N,), both in the order in which the samples first occur.
    """
    import pandas

    ids = frame[sample].str.strip()
    if (empty := ids == "").any():
        raise ValueError(f"{path}, row {empty.idxmax()}: column {sample!r} is empty")
    codes, names = pandas.factorize(ids)
    counts = np.bincount(codes)
    usual = int(np.bincount(counts).argmax())
    if (odd := counts != usual).any():
        raise ValueError(
            f"{path}: {sample} {names[odd.argmax()]!r} has {counts[odd.argmax()]} "
            f"rows, others have {usual}: cut windows of equal length "
            "(datasets.windows), or remove it"
        )
    times = _times(frame[time], time, path)
    order = np.lexsort((times, codes))
    same = (np.diff(codes[order]) == 0) & (np.diff(times[order]) == 0)
    if same.any():
        rows = sorted(frame.index[order[same.argmax() : same.argmax() + 2]])
        raise ValueError(
            f"{path}, rows {rows[0]} and {rows[1]}: {sample} "
            f"{ids[rows[0]]!r} has {time} {frame[time][rows[0]]!r} twice"
        )
    lengths = np.diff(times[order].reshape(len(names), usual).astype("float64"), axis=1)
    if lengths.size:
        shares = lengths / np.median(lengths)
        if (odd := np.abs(shares - 1) > 0.1).any():
            row, step = np.unravel_index(np.abs(shares - 1).argmax(), shares.shape)
            print(
                f"{odd.sum()} of {odd.size} steps of {time} in {path.name} are not as "
                f"long as the usual one ({shares[row, step]:.3g} times in {sample} "
                f"{names[row]!r}), which a network cannot see: resample them, or give "
                "it the times as an input"
            )
    firsts = np.unique(codes, return_index=True)[1]
    return order.reshape(len(names), usual), firsts


def _times(column, name: str, path: Path) -> np.ndarray:
    """Times as numbers that can be ordered: as they are, or dates."""
    import pandas

    times = pandas.to_numeric(column, errors="coerce")
    if times.isna().all():
        times = pandas.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    if (wrong := times.isna() | times.isin([np.inf, -np.inf])).any():
        row = wrong.idxmax()
        raise ValueError(
            f"{path}, row {row}, column {name!r}: found {column[row]!r}, expected a "
            "number in every row, or a date like 2025-03-01 12:00:00"
        )
    if times.dtype.kind == "M":  # dates: NumPy would find no two of them equal
        times = times.astype("int64")
    return times.to_numpy()


def constant(frame: "DataFrame", sample: str, column: str, path: Path) -> None:
    """Refuse a column that changes within a sample."""
    ids = frame[sample].str.strip()
    first = frame[column].groupby(ids).transform("first")
    if (differs := frame[column] != first).any():
        row = differs.idxmax()
        raise ValueError(
            f"{path}, row {row}: {column} of {sample} {ids[row]!r} is "
            f"{frame[column][row]!r}, before it was {first[row]!r}: expected the same "
            "in all rows of a sample"
        )


def listed(columns: str | Sequence[str]) -> list[str]:
    return [columns] if isinstance(columns, str) else list(columns)
