"""Tests of the user's own data: what is loaded, what is refused, and the guide."""

import random
import re
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmlearn import datasets, encoders, evaluate
from mmlearn.datasets.splits import deal
from mmlearn.fusion import ConcatFusion
from mmlearn.models import fuse

ROOT = Path(__file__).parent.parent
SPLITS = ("train", "val", "test")
SHARES = (0.6, 0.2, 0.2)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Thirty pictures, each of one colour that tells its number, and their CSV."""
    (tmp_path / "pictures").mkdir()
    lines = ["file,text,label,age,fever,cough"]
    for n in range(30):
        Image.new("RGB", (8, 8), (n, 2 * n, 100)).save(tmp_path / f"pictures/{n}.png")
        lines.append(f'{n}.png,"text, {n}",{"ab"[n % 2]},{n}.5,{n % 2},{n // 2 % 2}')
    (tmp_path / "notes.csv").write_text("\n".join(lines))
    return tmp_path


def load(folder: Path, **options):
    options = {"size": 8, "shares": SHARES, **options}
    return datasets.from_folder(folder / "pictures", folder / "notes.csv", **options)


def edit(folder: Path, row: int, old: str, new: str) -> None:
    """Exchange a piece of a spreadsheet's row of the CSV (row 1: column names)."""
    path = folder / "notes.csv"
    lines = path.read_text().splitlines()
    assert old in lines[row - 1]
    lines[row - 1] = lines[row - 1].replace(old, new)
    path.write_text("\n".join(lines))


def add_column(folder: Path, name: str, value) -> None:
    path = folder / "notes.csv"
    header, *lines = path.read_text().splitlines()
    lines = [f"{line},{value(n)}" for n, line in enumerate(lines)]
    path.write_text("\n".join([f"{header},{name}", *lines]))


def captions(folder: Path) -> None:
    """Let each picture have two more rows, with texts of their own."""
    path = folder / "notes.csv"
    header, *lines = path.read_text().splitlines()
    more = [line.replace("text,", f"{n},") for n in (1, 2) for line in lines]
    path.write_text("\n".join([header, *lines, *more]))
    if "group" in header:
        text = path.read_text().splitlines()
        text[31:] = [f"{line}x" for line in text[31:]]
        path.write_text("\n".join(text))


def joined(data, read) -> np.ndarray:
    return np.concatenate([read(data[name]) for name in SPLITS])


# --- a folder of images -------------------------------------------------------------


def test_each_picture_keeps_its_text_label_and_row(folder):
    data = load(folder)
    assert (data.name, data.source, data.task) == ("notes", "own", "classes")
    assert data.modalities == ("image", "text") and data.class_names == ("a", "b")
    assert sorted(joined(data, lambda part: part.index)) == list(range(30))
    for name in SPLITS:
        part = data[name]
        assert part["image"].dtype == np.uint8 and part["image"].shape[1:] == (8, 8, 3)
        for image, text, label, n in zip(
            part["image"], part["text"], part.labels, part.index, strict=True
        ):
            assert (image == (n, 2 * n, 100)).all()
            assert text == f"text, {n}" and label == n % 2
    counts = data.class_counts()
    assert [counts[name].tolist() for name in SPLITS] == [[9, 9], [3, 3], [3, 3]]


def test_a_seed_is_one_split(folder):
    rows = [load(folder, seed=seed).test.index.tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_a_picture_is_fitted_in_without_cutting_or_distorting(folder):
    wide = np.full((4, 8, 3), 200, "uint8")
    wide[:, 4:] = 90
    Image.fromarray(wide).save(folder / "pictures/0.png")
    data = load(folder)
    place = next(name for name in SPLITS if 0 in data[name].index)
    image = data[place]["image"][data[place].index == 0][0]
    np.testing.assert_array_equal(image[2:6], wide)
    assert not image[:2].any() and not image[6:].any()
    grey = load(folder, channels=1)
    assert grey.train["image"].shape[1:] == (8, 8, 1)


def test_pictures_come_with_columns_of_numbers_and_names(folder, capsys):
    add_column(folder, "sex", lambda n: "fm"[n % 2])
    tables = {"person": ["sex", "age"], "signs": "fever"}
    data = load(folder, tables=tables, categories=["sex"])
    assert "person, category sex: 0 = f, 1 = m" in capsys.readouterr().out
    assert data.modalities == ("image", "text", "person", "signs")
    for name in SPLITS:
        part = data[name]
        assert part["person"].dtype == np.float32
        found = np.stack([part.index + 0.5, part.index % 2], axis=1)
        np.testing.assert_array_equal(part["person"], found)  # numbers first
        np.testing.assert_array_equal(part["signs"], part.index[:, None] % 2)
    mlp = encoders.tabular.mlp(1, (2,), name="person")
    assert mlp.predict(data.test["person"], verbose=0).shape == (len(data.test), 64)


def test_a_data_frame_is_as_good_as_its_file(folder):
    frame = pandas.read_csv(folder / "notes.csv")
    frame.loc[3, "text"] = None  # as Parquet has it; an empty cell in a file
    edit(folder, 5, '"text, 3"', "")
    tables = {"person": "age"}
    for options in ({}, {"label": ["fever", "cough"]}, {"label": "age"}):
        number = options.get("label") == "age"
        options |= {"regression": True} if number else {"tables": tables}
        ours = load(folder, **options)
        theirs = datasets.from_folder(
            folder / "pictures", frame, **{"size": 8, "shares": SHARES, **options}
        )
        assert (theirs.name, theirs.class_names) == ("table", ours.class_names)
        for name in SPLITS:
            for modality in ours.modalities:
                np.testing.assert_array_equal(
                    theirs[name][modality], ours[name][modality]
                )
            np.testing.assert_array_equal(theirs[name].labels, ours[name].labels)
    with pytest.raises(ValueError, match="table, row 7, column 'age': found 'old'"):
        datasets.from_csv(frame.replace({"age": {7.5: "old"}}), {"a": "age"})
    with pytest.raises(ValueError, match="each name once"):
        datasets.from_csv(
            frame.set_axis([*frame.columns[:-1], "age"], axis=1), {"a": "age"}
        )
    with pytest.raises(ValueError, match="has 0 rows"):
        datasets.from_csv(frame[:0], {"a": "age"})


def test_times_of_a_data_frame_are_in_order():
    moments = pandas.date_range("2026-01-01", periods=3, freq="h")
    frame = pandas.DataFrame(
        [
            (n, t, 10 * n + t.hour, "ab"[n % 2])
            for n in range(20)
            for t in moments[::-1]
        ],
        columns=["id", "when", "heat", "label"],
    )
    data = datasets.from_csv(frame, {"heat": "heat"}, time="when", shares=SHARES)
    for name in SPLITS:
        index = data[name].index[:, None]
        np.testing.assert_array_equal(
            data[name]["heat"][..., 0], 10 * index + [0, 1, 2]
        )


def test_rows_without_a_picture_are_absent(folder, capsys):
    for row in (2, 7, 12):
        edit(folder, row, f"{row - 2}.png", "")
    edit(folder, 7, "text, 5", "")
    for n in (0, 5, 10):
        (folder / f"pictures/{n}.png").unlink()
    data = load(folder, tables={"person": "age"})
    assert "3 of 30 rows of notes.csv have no picture" in capsys.readouterr().out
    for name in SPLITS:
        part = data[name]
        gone = np.isin(part.index, (0, 5, 10))
        np.testing.assert_array_equal(part.presence["image"], ~gone)
        np.testing.assert_array_equal(part.presence["text"], part.index != 5)
        assert part.presence["person"].all() and not part["image"][gone].any()
    assert not [leak for leak in datasets.leaks(data) if leak.kind == "same array"]

    def build():
        parts = [
            encoders.image.lenet(filters=2, embed_dim=4, shape=(28, 28, 3)),
            encoders.tabular.mlp(1, name="person"),
        ]
        return fuse(parts, ConcatFusion(), head=2, presence=True)

    model = build()
    model.compile("adam", "sparse_categorical_crossentropy")
    data = load(folder, size=28, tables={"person": "age"})
    history = model.fit(
        model.inputs_from(data.train), data.train.labels, epochs=1, verbose=0
    )
    assert np.isfinite(history.history["loss"]).all()
    alone = model.predict(model.inputs_from(data.test), verbose=0)
    black = data.test.replace(image=data.test["image"] + 7)
    changed = np.abs(model.predict(model.inputs_from(black), verbose=0) - alone)
    assert not changed[data.test.presence["image"] == 0].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tables": {"person": "wrong"}}, "no column 'wrong'"),
        ({"tables": {"person": "label"}}, "'label' is an input and the label"),
        ({"tables": {"image": "age"}}, "a table is named 'image'"),
        ({"tables": {"person": "text"}}, "row 2, column 'text': found 'text, 0'"),
        ({"tables": {"p": "age"}, "categories": ["sex"]}, "'sex' is in no table"),
        ({"categories": ["age"]}, "'age' is in no table"),
    ],
)
def test_columns_that_cannot_be_a_table_are_refused(folder, options, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)


def test_an_empty_category_and_no_picture_at_all_are_refused(folder):
    add_column(folder, "sex", lambda n: "" if n == 4 else "f")
    with pytest.raises(ValueError, match="row 6: column 'sex' is empty"):
        load(folder, tables={"person": "sex"}, categories=["sex"])
    add_column(folder, "none", lambda n: "")
    with pytest.raises(ValueError, match="column 'none' is empty: no row has"):
        load(folder, file="none")


@pytest.mark.parametrize("num", [1, 2, 3])
def test_what_is_said_of_a_rare_class_helps(tmp_path, num):
    path = tmp_path / "a.csv"
    rows = [f"{n},{'a' if n < 40 else 'b'}" for n in range(40 + num)]
    path.write_text("\n".join(["x,label", *rows]))
    advice = "collect more, merge it with another class, or "
    with pytest.raises(ValueError, match=advice) as told:
        datasets.from_csv(path, {"t": "x"})
    merged = path.read_text().replace(",b", ",a").replace("0,a", "0,c")
    path.write_text(merged)
    datasets.from_csv(path, {"t": "x"})
    if "column 'split'" in str(told.value):
        parts = ["train", "test", "train"]
        named = [f"{row},{parts[n % 3]}" for n, row in enumerate(rows)]
        named[0] = named[0].replace("train", "val")
        path.write_text("\n".join(["x,label,split", *named]))
        data = datasets.from_csv(path, {"t": "x"})
        assert (data.train.labels == 1).any() and (data.test.labels == 1).any()
    assert ("column 'split'" in str(told.value)) == (num > 1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_that_would_fill_the_memory_is_not_read(folder):
    Image.new("1", (13_000, 13_000)).save(folder / "pictures/3.png")
    assert (folder / "pictures/3.png").stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"row 5: .*3.png .*13000 × 13000 pixels"):
        load(folder)


def test_a_table_may_hold_categories(tmp_path, capsys):
    rows = [f"{n},{['red', 'blue'][n % 2]},{n % 2}" for n in range(20)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["size,colour,label", *rows]))
    options = {"shares": SHARES, "categories": ["colour"]}
    data = datasets.from_csv(path, {"thing": ["colour", "size"]}, **options)
    assert "thing, category colour: 0 = blue, 1 = red" in capsys.readouterr().out
    for name in SPLITS:
        index = data[name].index
        expected = np.stack([index, 1 - index % 2], axis=1)
        np.testing.assert_array_equal(data[name]["thing"], expected)
    with pytest.raises(ValueError, match="without time="):
        datasets.from_csv(path, {"thing": "colour"}, time="size", **options)


def test_a_column_split_is_followed(folder):
    add_column(folder, "split", lambda n: SPLITS[n // 10])
    data = load(folder)
    for number, name in enumerate(SPLITS):
        assert data[name].index.tolist() == list(range(10 * number, 10 * number + 10))
    assert len(load(folder, split=None).train) == 18


def test_a_group_is_never_in_two_splits(folder):
    add_column(folder, "patient", lambda n: f"p{n // 2}")
    data = load(folder, group="patient")
    places = [set(data[name].groups) for name in SPLITS]
    assert sum(map(len, places)) == len(set.union(*places)) == 15
    assert len(set(load(folder, group=None).train.index)) == 18


def test_several_labels(folder):
    data = load(folder, label=["fever", "cough"])
    assert data.task == "multilabel" and data.class_names == ("fever", "cough")
    for name in SPLITS:
        n = data[name].index
        np.testing.assert_array_equal(data[name].labels.T, [n % 2, n // 2 % 2])
        assert evaluate.task_of(data[name].labels) == "multilabel"


def test_a_number_to_predict(folder):
    data = load(folder, label="age", regression=True)
    assert data.task == "regression" and data.class_names == ()
    for name in SPLITS:
        np.testing.assert_array_equal(data[name].labels, data[name].index + 0.5)


def test_images_alone_and_other_columns(folder):
    edit(folder, 1, "file,text,label", "name,note,finding")
    data = load(folder, file="name", text=None, label="finding")
    assert data.modalities == ("image",)
    assert load(folder, file="name", text="note", label="finding").train["text"][0]


def test_what_spreadsheets_write(folder):
    """A mark at the start, blank lines, spaces around names, empty last columns."""
    text = (folder / "notes.csv").read_text().replace("file,", " file ,")
    lines = [line + "," for line in text.splitlines()]
    content = "\ufeff" + "\r\n".join([*lines[:5], "", *lines[5:], ",,,,,,", ""])
    (folder / "notes.csv").write_text(content, encoding="utf-8", newline="")
    assert sorted(joined(load(folder), lambda part: part.index)) == list(range(30))


def test_a_tab_separated_file_and_texts_that_look_like_nothing(folder):
    text = (folder / "notes.csv").read_text().replace('"text, 0"', "NA")
    (folder / "notes.tsv").write_text(re.sub(r'"?,(?! )"?', "\t", text))
    data = datasets.from_folder(folder / "pictures", folder / "notes.tsv", size=8)
    texts = joined(data, lambda part: part["text"])
    assert "NA" in texts and "text, 7" in texts


def test_whole_numbers_are_classes_in_their_order(folder):
    add_column(folder, "grade", lambda n: f"{[2, 10, 1][n % 3]}.0")
    assert load(folder, label="grade").class_names == ("1", "2", "10")


def test_names_that_look_like_numbers_stay_names(folder):
    path = folder / "notes.csv"
    header, *lines = path.read_text().splitlines()
    kinds = ["007", "7", "1E2", "100"]
    lines = [re.sub(",[ab],", f",{kinds[n % 4]},", s) for n, s in enumerate(lines)]
    path.write_text("\n".join([header, *lines]))
    assert sorted(load(folder).class_names) == sorted(kinds)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_transparent_is_white(folder, channels):
    seen = np.zeros((8, 8, 4), "uint8")  # black on nothing, which is black, too
    seen[2:6, 2:6, 3] = 255
    Image.fromarray(seen).save(folder / "pictures/0.png")
    data = load(folder, channels=channels)
    (split,) = [data[name] for name in SPLITS if 0 in data[name].index]
    (picture,) = split["image"][split.index == 0]
    assert (picture[2:6, 2:6] == 0).all() and (picture[:2] == 255).all()


def test_images_without_a_row_are_named(folder, capsys):
    Image.new("RGB", (8, 8)).save(folder / "pictures/more.JPG", "JPEG")
    (folder / "pictures/readme.txt").write_text("no image")
    assert len(joined(load(folder), lambda part: part.index)) == 30
    out = capsys.readouterr().out
    assert out.startswith("1 images in pictures have no row in notes.csv")
    assert "more.JPG" in out and out.count("\n") == 1


def damaged(folder):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype="uint8")
    path = folder / "pictures/4.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def deep(folder):
    Image.fromarray(np.full((8, 8), 3000, "uint16")).save(folder / "pictures/4.png")


def latin(folder):
    text = (folder / "notes.csv").read_text().replace("text, 0", "Übersicht")
    (folder / "notes.csv").write_bytes(text.encode("latin-1"))


def semicolons(folder):
    text = (folder / "notes.csv").read_text()
    (folder / "notes.csv").write_text(text.replace(",", ";"))


def empty(folder):
    (folder / "notes.csv").write_text("file,text,label\n\n")


def torn_group(folder):
    add_column(folder, "group", lambda n: f"p{n % 6}")
    add_column(folder, "split", lambda n: SPLITS[n // 10])


WRONG_FOLDERS = {
    "no image": (lambda f: (f / "pictures/4.png").unlink(), {}, ["row 6", "4.png"]),
    "damaged image": (damaged, {}, ["row 6", "4.png", "cannot be read"]),
    "no picture at all": (
        lambda f: (f / "pictures/4.png").write_text("hello"),
        {},
        ["row 6", "4.png", "cannot be read"],
    ),
    "16 bits": (deep, {}, ["row 6", "more than 8 bits"]),
    "no column": (lambda f: edit(f, 1, "label", "class"), {}, ["'label'", "'class'"]),
    "no named column": (lambda f: None, {"group": "patient"}, ["'patient'"]),
    "two columns of a name": (lambda f: edit(f, 1, "text", "file"), {}, ["'file'"]),
    "cell too many": (lambda f: edit(f, 9, '"', ""), {}, ["row 9", "7 cells", "6"]),
    "cell too few": (lambda f: edit(f, 9, ",7.5", ""), {}, ["row 9", "5 cells"]),
    "open quote": (lambda f: edit(f, 31, '29"', "29"), {}, ["not a CSV file"]),
    "twice": (
        lambda f: edit(f, 9, '7.png,"text, 7"', '3.png,"text, 3"'),
        {},
        ["rows 5 and 9", "'3.png'", "same text"],
    ),
    "twice without texts": (
        lambda f: edit(f, 9, "7.png", "./3.png"),
        {"text": None},
        ["rows 5 and 9", "'./3.png'"],
    ),
    "a picture of two groups": (
        lambda f: (add_column(f, "group", lambda n: f"p{n}"), captions(f)),
        {},
        ["row 2", "'0.png'", "several groups"],
    ),
    "captions, and no such group": (captions, {"group": "patient"}, ["'patient'"]),
    "a picture in two splits": (
        lambda f: (
            captions(f),
            add_column(f, "split", lambda n: SPLITS[n // 2 % 3] if n < 30 else "train"),
        ),
        {},
        [".png'", "several splits"],
    ),
    "no label": (lambda f: edit(f, 9, ",b,", ", ,"), {}, ["row 9", "label is empty"]),
    "one sample": (lambda f: edit(f, 9, ",b,", ",c,"), {}, ["row 9", "'c'", "one sam"]),
    "one class": (lambda f: None, {"label": "text"}, ["'text, 0'", "one sample"]),
    "a number as class": (lambda f: None, {"label": "age"}, ["0.5", "regression=True"]),
    "not 0 or 1": (
        lambda f: edit(f, 9, ",1,1", ",1,3"),
        {"label": ["fever", "cough"]},
        ["row 9", "'cough'", "found 3"],
    ),
    "not a number": (
        lambda f: edit(f, 9, "7.5", "7;5"),
        {"label": "age", "regression": True},
        ["row 9", "'age'", "'7;5'"],
    ),
    "not finite": (
        lambda f: edit(f, 9, "7.5", "inf"),
        {"label": "age", "regression": True},
        ["row 9", "'age'", "'inf'", "finite"],
    ),
    "unknown split": (
        lambda f: add_column(f, "split", lambda n: "tset" if n == 7 else "train"),
        {},
        ["row 9", "'tset'", "train, val or test"],
    ),
    "no validation": (
        lambda f: add_column(f, "split", lambda n: "test" if n % 3 else "train"),
        {},
        ["'val'"],
    ),
    "class not in test": (
        lambda f: add_column(f, "split", lambda n: SPLITS[2 * (n % 4 == 0) or n // 20]),
        {},
        ["'test'", "no sample"],
    ),
    "torn group": (torn_group, {}, ["group 'p0'", "several splits"]),
    "few groups": (
        lambda f: add_column(f, "group", lambda n: n % 2),
        {},
        ["class 'a'", "1 groups"],
    ),
    "few groups, no classes": (
        lambda f: add_column(f, "group", lambda n: n % 2),
        {"label": "age", "regression": True},
        ["2 samples or groups"],
    ),
    "two numbers": (
        lambda f: None,
        {"label": ["fever", "cough"], "regression": True},
        ["one label column"],
    ),
    "shares": (lambda f: None, {"shares": (0.5, 0.6, 0.1)}, ["shares", "add up to 1"]),
    "size": (lambda f: None, {"size": 0}, ["size is 0"]),
    "encoding": (latin, {}, ["UTF-8"]),
    "semicolons": (semicolons, {}, ["semicolons"]),
    "no rows": (empty, {}, ["no rows"]),
    "no CSV": (lambda f: (f / "notes.csv").unlink(), {}, ["notes.csv", "missing"]),
    "no texts": (
        lambda f: add_column(f, "n", lambda n: ""),
        {"text": "n"},
        ["text=No"],
    ),
}


@pytest.mark.parametrize("name", WRONG_FOLDERS)
def test_what_is_wrong_with_the_files_is_said_in_one_line(folder, name):
    change, options, parts = WRONG_FOLDERS[name]
    load(folder)
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_folder_that_is_none(folder):
    with pytest.raises(FileNotFoundError, match="images is no folder"):
        datasets.from_folder(folder / "images", folder / "notes.csv")


# --- sensors ------------------------------------------------------------------------

SENSORS = {"heat": ["t1", "t2"], "shake": "v"}


def sensors(num: int = 24, steps: int = 5) -> list[str]:
    """Rows of a long table, in which every value tells sample and step."""
    return [
        f"w{n},{10 * k + n},{n}.{k},-{n}.{k},{k},{'xy'[n % 2]}"
        for n in range(num)
        for k in range(steps)
    ]


def long(folder: Path, rows: list[str], **options):
    path = folder / "rig.csv"
    path.write_text("\n".join(["id,s,t1,t2,v,label", *rows]))
    options = {"modalities": SENSORS, "time": "s", "shares": SHARES, **options}
    return datasets.from_csv(path, **options)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 99))
def test_rows_of_a_series_may_come_in_any_order(tmp_path_factory, seed):
    rows = sensors()
    random.Random(seed).shuffle(rows)
    order = list(dict.fromkeys(row.split(",")[0] for row in rows))
    data = long(tmp_path_factory.mktemp("rig"), rows)
    assert data.train["heat"].shape[1:] == (5, 2)
    assert data.train["shake"].shape[1:] == (5, 1)
    for name in SPLITS:
        for heat, shake, label, index in zip(
            data[name]["heat"],
            data[name]["shake"],
            data[name].labels,
            data[name].index,
            strict=True,
        ):
            n = int(order[index][1:])
            expected = np.array([n + k / 10 for k in range(5)], "float32")
            np.testing.assert_array_equal(heat[:, 0], expected)
            np.testing.assert_array_equal(heat[:, 1], -expected)
            np.testing.assert_array_equal(shake[:, 0], range(5))
            assert label == n % 2


def test_times_may_be_dates(tmp_path):
    rows = [row.split(",") for row in sensors(12)]
    dated = [
        ",".join([id_, f"2025-03-0{1 + int(v)} 12:00:00", t1, t2, v, label])
        for id_, _, t1, t2, v, label in reversed(rows)
    ]
    data = long(tmp_path, dated)
    assert (data.train["shake"][:, :, 0] == np.arange(5)).all()


def test_the_same_date_twice_is_refused(tmp_path):
    rows = [
        f"w{n},2025-03-0{max(k, 2)} 12:00:00,{n},{n},{k},{'xy'[n % 2]}"
        for n in range(12)
        for k in range(1, 5)
    ]
    with pytest.raises(ValueError, match=r"rows 2 and 3: id 'w0' has s '2025-03-02"):
        long(tmp_path, rows)


def test_unequal_steps_are_told(tmp_path, capsys):
    long(tmp_path, sensors())
    assert capsys.readouterr().out == ""
    rows = sensors()
    replaced(11, "w1,41,", "w1,71,")(rows)
    long(tmp_path, rows)
    told = capsys.readouterr().out
    assert "1 of 96 steps of s in rig.csv" in told and "4 times in id 'w1'" in told


def test_numbers_too_close_for_float32_are_refused(tmp_path):
    path = tmp_path / "map.csv"
    rows = [f"{5432100 + n / 100:.2f},{'ab'[n % 2]}" for n in range(30)]
    path.write_text("\n".join(["north,label", *rows]))
    with pytest.raises(
        ValueError, match="'north': float32 would round 5432100"
    ) as told:
        datasets.from_csv(path, {"place": "north"})
    assert "\n" not in str(told.value)
    path.write_text("\n".join(["north,label", *[f"7654321.9,{r[-1]}" for r in rows]]))
    datasets.from_csv(path, {"place": "north"})  # all alike: nothing to lose


def test_a_table_has_one_row_per_sample(tmp_path):
    path = tmp_path / "people.csv"
    rows = [f"{n},{2 * n},{n / 4},{'no' if n % 3 else 'yes'}" for n in range(30)]
    path.write_text("\n".join(["age,hb,crp,sick", *rows]))
    data = datasets.from_csv(
        path, {"person": ["age"], "blood": ["hb", "crp"]}, label="sick"
    )
    assert data.class_names == ("no", "yes")
    for name in SPLITS:
        n = data[name].index
        np.testing.assert_array_equal(data[name]["person"], n[:, None])
        np.testing.assert_array_equal(data[name]["blood"], np.c_[2 * n, n / 4])


def replaced(row: int, old: str, new: str):
    def change(rows):
        assert old in rows[row - 2]
        rows[row - 2] = rows[row - 2].replace(old, new)

    return change


WRONG_SENSORS = {
    "step missing": (lambda rows: rows.pop(7), {}, ["'w1'", "4 rows", "others have 5"]),
    "time twice": (replaced(9, ",21,", ",11,"), {}, ["rows 8 and 9", "'w1'", "'11'"]),
    "no time": (replaced(9, ",21,", ",soon,"), {}, ["row 9", "'s'", "'soon'"]),
    "empty value": (replaced(9, ",2,y", ",,y"), {}, ["row 9", "'v'", "''", "finite"]),
    "NaN": (replaced(9, ",2,y", ",NaN,y"), {}, ["row 9", "'v'", "'NaN'"]),
    "infinity": (replaced(9, "-1.2", "-inf"), {}, ["row 9", "'t2'", "'-inf'"]),
    "too large": (replaced(9, ",2,y", ",1e60,y"), {}, ["row 9", "'1e60'"]),
    "label changes": (replaced(9, "y", "x"), {}, ["row 9", "label", "'w1'", "'y'"]),
    "no id": (replaced(9, "w1", ""), {}, ["row 9", "'id' is empty"]),
    "label as input": (lambda rows: None, {"label": "v"}, ["'v'", "input"]),
    "no input": (lambda rows: None, {"modalities": {"heat": []}}, ["modalities="]),
    "no column": (
        lambda rows: None,
        {"modalities": {"heat": "t3"}},
        ["'t3'", "only ['id'"],
    ),
    "rows of one sample as a table": (
        lambda rows: None,
        {"time": None},
        ["rows 2 and 3", "'w0'"],
    ),
}


@pytest.mark.parametrize("name", WRONG_SENSORS)
def test_what_is_wrong_with_sensors_is_said_in_one_line(tmp_path, name):
    change, options, parts = WRONG_SENSORS[name]
    rows = sensors()
    long(tmp_path, rows)
    change(rows)
    with pytest.raises(ValueError) as caught:
        long(tmp_path, rows, **options)
    message = str(caught.value)
    assert "\n" not in message and "rig.csv" in message or "column" in message
    for part in parts:
        assert part in message


# --- how samples are dealt out ------------------------------------------------------


@settings(deadline=None)
@given(
    st.integers(6, 60),
    st.integers(0, 5),
    st.sampled_from(["classes", "multilabel", "regression"]),
    st.booleans(),
)
def test_every_sample_is_dealt_once_and_groups_stay_whole(num, seed, task, grouped):
    numbers = np.arange(num)
    labels = {
        "classes": numbers % 2,
        "multilabel": np.c_[numbers % 2, numbers % 3 == 0],
        "regression": numbers / 2,
    }[task]
    groups = np.array([f"g{n // 2}" for n in numbers]) if grouped else None
    try:
        parts = deal(labels, groups, SHARES, seed)
    except ValueError as error:
        assert num < 14 and grouped, error  # too few groups to deal
        return
    assert sorted(np.concatenate(parts)) == list(range(num))
    assert all(len(part) for part in parts)
    if grouped:
        places = [set(groups[part]) for part in parts]
        assert sum(map(len, places)) == len(set(groups))
    elif task == "classes":
        for part in parts:
            counts = np.bincount(labels[part], minlength=2)
            assert counts.min() >= 1 and abs(counts[0] - counts[1]) <= 1 + num % 2


# --- the guide ----------------------------------------------------------------------


def test_a_picture_with_several_texts_is_in_one_split(folder, capsys):
    captions(folder)
    data = load(folder)
    assert "90 rows of notes.csv show 30 pictures" in capsys.readouterr().out
    seen = {}
    for name in SPLITS:
        part = data[name]
        for image, text, owner in zip(
            part["image"], part["text"], part.groups, strict=True
        ):
            assert text.endswith(f" {owner.removesuffix('.png')}")
            seen.setdefault(image.tobytes(), []).append((name, text))
    assert len(seen) == 30
    for rows in seen.values():
        splits, texts = zip(*rows, strict=True)
        assert len(set(splits)) == 1 and len(set(texts)) == 3
    assert not [leak for leak in datasets.leaks(data) if leak.kind == "same group"]


def test_rows_without_a_picture_share_no_group_with_each_other(folder):
    captions(folder)
    for row in (5, 9):
        edit(folder, row, f"{row - 2}.png", "")
    data = load(folder)
    alone = [g for g in joined(data, lambda part: part.groups) if g.startswith("row")]
    assert sorted(alone) == ["row 5", "row 9"]


def test_the_guide_runs_as_it_is_written(tmp_path, monkeypatch):
    guide = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    example = guide.split("## A worked example")[1].split("\n## ")[0]
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", example, re.DOTALL):
        exec(block, names)
    found, labels = names["found"], names["samples"].test.labels
    right = {
        name: evaluate.accuracy(predictions, labels).mean
        for name, predictions in found.predictions.items()
    }
    assert right["both"] > 0.8
    assert max(right["image only"], right["text only"]) < 0.7
    assert names["datasets"].leaks(names["data"]) == []


def test_the_guide_calls_functions_that_exist():
    guide = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\bdatasets\.(\w+)", guide))
    assert used >= {"from_folder", "from_csv", "leaks"}
    assert all(hasattr(datasets, name) for name in used)
