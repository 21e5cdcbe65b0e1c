"""Tests of the data sets: their checks, their splits, and CIFAR-10 with captions."""

import hashlib
import io
import os
import pickle
import tarfile
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmlearn import evaluate
from mmlearn.datasets import (
    MultimodalDataset,
    Split,
    cifar10_captions,
    sources,
)
from mmlearn.datasets.base import stratified
from mmlearn.datasets.real import cifar10
from mmlearn.datasets.simulated import templates

SPLITS = ("train", "val", "test")
CLASSES = tuple(templates.CLASS_WORDS)


def split(num: int = 12, num_classes: int = 3) -> Split:
    inputs = {"image": np.ones((num, 2, 2), "float32"), "text": np.arange(num)}
    return Split(inputs, np.arange(num) % num_classes, np.arange(num) + 100)


def dataset(**changes) -> MultimodalDataset:
    parts = {name: split() for name in SPLITS} | changes
    return MultimodalDataset("toy", "real", ("a", "b", "c"), **parts)


def nan_in_row_2() -> np.ndarray:
    image = np.ones((12, 2, 2), "float32")
    image[2, 1, 0] = np.nan
    return image


@pytest.mark.parametrize(
    ("bad", "parts"),
    [
        (replace(split(), labels=np.full(12, 3)), ["label 3", "row 0", "0 to 2"]),
        (replace(split(), labels=np.r_[0:11, -1] * 0 - 1), ["label -1", "row 0"]),
        (replace(split(), labels=np.zeros(12)), ["labels are float64", "whole"]),
        (replace(split(), labels=np.zeros((12, 1), int)), ["labels", "(12, 1)"]),
        (split().replace(image=nan_in_row_2()), ["'image'", "NaN", "row 2"]),
        (split().replace(image=np.full((12, 1), np.inf)), ["'image'", "row 0"]),
        (split().replace(text=np.arange(11)), ["'text'", "11 rows", "12 labels"]),
        (replace(split(), index=np.arange(5)), ["'index'", "5 rows"]),
        (replace(split(), inputs={"image": np.ones(12)}), ["modalities", "'text'"]),
    ],
)
def test_bad_data_is_named_in_one_line(bad, parts):
    # The message says "expected as in 'train'", so that train is the good one here.
    with pytest.raises(ValueError) as caught:
        dataset(val=bad)
    message = str(caught.value)
    assert "\n" not in message
    for part in ["toy", "'val'", *parts]:
        assert part in message


def test_a_split_is_read_by_modality():
    part = split()
    assert len(part) == 12
    assert part["text"] is part.inputs["text"]
    with pytest.raises(KeyError, match="'audio'.*image"):
        part["audio"]
    inputs, labels = part.xy("text")
    assert list(inputs) == ["text"] and labels is part.labels
    assert list(part.xy()[0]) == ["image", "text"]
    with pytest.raises(KeyError, match="'audio'"):
        part.xy("text", "audio")


@given(st.lists(st.integers(0, 11), max_size=12))
def test_take_keeps_rows_together(rows):
    part = split().take(np.array(rows, int))
    np.testing.assert_array_equal(part["text"], rows)
    np.testing.assert_array_equal(part.index, np.array(rows, int) + 100)
    np.testing.assert_array_equal(part.labels, np.array(rows, int) % 3)


def test_take_accepts_a_mask():
    assert split().take(np.arange(12) > 9).index.tolist() == [110, 111]


def test_replace_changes_a_copy():
    part = split()
    changed = part.replace(text=np.zeros(12, int))
    assert part["text"][5] == 5 and changed["text"][5] == 0
    assert changed["image"] is part["image"]
    with pytest.raises(KeyError, match="'audio'"):
        part.replace(audio=np.zeros(12))


def test_map_changes_every_split_and_is_checked_again():
    data = dataset(val=split(6))
    doubled = data.map(text=lambda array: 2 * array)
    for name in SPLITS:
        np.testing.assert_array_equal(doubled[name]["text"], 2 * data[name]["text"])
        assert doubled[name]["image"] is data[name]["image"]
    with pytest.raises(ValueError, match="'image' holds NaN"):
        data.map(image=lambda array: array * np.nan)
    with pytest.raises(KeyError, match="'audio'"):
        data.map(audio=np.negative)


def test_the_data_set_describes_itself():
    data = dataset(test=split(5))
    assert data.modalities == ("image", "text") and data.num_classes == 3
    counts = {name: row.tolist() for name, row in data.class_counts().items()}
    assert counts == {"train": [4, 4, 4], "val": [4, 4, 4], "test": [2, 2, 1]}
    assert "train 12, val 12, test 5; 3 classes" in repr(data)
    with pytest.raises(KeyError, match="'dev'.*train"):
        data["dev"]


def test_class_counts_show_absent_classes():
    counts = dataset(val=split().take(np.array([0, 3]))).class_counts()
    assert counts["val"].tolist() == [2, 0, 0]


@settings(deadline=None)  # the first example imports scikit-learn
@given(st.integers(3, 12), st.integers(0, 5))
def test_a_subset_keeps_the_classes_in_proportion(num, seed):
    data = dataset()
    if 12 - 3 < num < 12:
        with pytest.raises(ValueError, match=f"cannot take {num} of 12"):
            data.subset(num, seed)
        return
    one, two = data.subset(num, seed), data.subset(num, seed)
    assert len(one.train) == num
    counts = one.class_counts()["train"]
    assert counts.max() - counts.min() <= 1
    assert set(one.train.index) <= set(data.train.index)
    np.testing.assert_array_equal(one.train.index, two.train.index)
    assert one.val is data.val and one.test is data.test


def test_another_seed_draws_another_subset():
    draws = {tuple(dataset().subset(6, seed).train.index) for seed in range(5)}
    assert len(draws) > 1


@pytest.mark.parametrize("num", [-1, 0, 2, 13])
def test_a_subset_of_an_impossible_size_is_refused(num):
    with pytest.raises(ValueError, match=f"num_train is {num}: expected 3"):
        dataset().subset(num)


@settings(deadline=None)
@given(
    st.lists(st.integers(2, 9), min_size=2, max_size=4),
    st.integers(0, 3),
    st.data(),
)
def test_stratified_parts_are_disjoint_complete_and_proportional(sizes, seed, draw):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    num = draw.draw(st.integers(len(sizes), len(labels) - len(sizes)))
    first, second = stratified(labels, num, seed)
    assert len(second) == num
    assert sorted([*first, *second]) == list(range(len(labels)))
    for number, size in enumerate(sizes):
        share = size * num / len(labels)
        assert abs((labels[second] == number).sum() - share) < 1 + 1e-9


# --- several labels, or a number ---------------------------------------------------

NUM = 12


def several() -> MultimodalDataset:
    """Two labels a sample: the first holds for a half, the second for a third."""
    both = np.c_[np.arange(NUM) % 2, np.arange(NUM) % 3 == 0].astype("int64")
    parts = {name: replace(split(), labels=both) for name in SPLITS}
    return MultimodalDataset("toy", "real", ("wet", "cold"), **parts)


def number() -> MultimodalDataset:
    parts = {name: replace(split(), labels=np.arange(NUM) / 4) for name in SPLITS}
    return MultimodalDataset("toy", "real", (), **parts)


@pytest.mark.parametrize("make", [dataset, several, number])
def test_the_task_is_what_evaluate_takes_the_labels_for(make):
    data = make()
    assert data.task == evaluate.task_of(data.train.labels)


def test_labels_are_counted_one_by_one():
    data = several()
    assert data.num_classes == 2
    assert data.class_counts()["val"].tolist() == [6, 4]
    assert "2 labels a sample" in repr(data)


def test_numbers_have_no_classes_to_count():
    data = number()
    assert data.num_classes == 0 and "a number to predict" in repr(data)
    with pytest.raises(ValueError, match="toy has numbers to predict"):
        data.class_counts()


@pytest.mark.parametrize("make", [several, number])
@given(num=st.integers(1, NUM), seed=st.integers(0, 5))
def test_a_subset_without_classes_is_drawn_at_random(make, num, seed):
    data = make()
    one, two = data.subset(num, seed), data.subset(num, seed)
    assert len(set(one.train.index)) == len(one.train) == num
    np.testing.assert_array_equal(one.train.index, two.train.index)
    rows = one.train.index - 100
    np.testing.assert_array_equal(one.train.labels, data.train.labels[rows])


@pytest.mark.parametrize("make", [several, number])
@pytest.mark.parametrize("num", [0, NUM + 1])
def test_an_impossible_subset_without_classes_is_refused(make, num):
    with pytest.raises(ValueError, match=f"num_train is {num}: expected 1 to 12"):
        make().subset(num)


def not_finite() -> np.ndarray:
    return np.r_[np.arange(NUM - 1.0), np.nan]


@pytest.mark.parametrize(
    ("make", "labels", "parts"),
    [
        (several, np.full((NUM, 2), 2), ["row 0", "[2 2]", "zeros and ones"]),
        (several, np.full((NUM, 2), 0.5), ["row 0", "zeros and ones"]),
        (several, np.zeros((NUM, 3), int), ["(12, 3)", "(N, 2)"]),
        (several, np.zeros(NUM, int), ["(12,)", "(N, 2)"]),
        (several, np.full((NUM, 2), np.nan), ["'labels'", "NaN"]),
        (number, not_finite(), ["'labels'", "NaN", "row 11"]),
        (number, np.zeros(NUM, int), ["int64", "floats", "no class names"]),
        (number, np.zeros((NUM, 1)), ["(12, 1)", "floats of shape (N,)"]),
        (dataset, np.zeros((NUM, 3), int), ["(12, 3)", "whole numbers"]),
    ],
)
@pytest.mark.parametrize("where", ["val", "test"])
def test_labels_that_do_not_fit_are_refused(make, labels, parts, where):
    data = make()
    with pytest.raises(ValueError) as caught:
        replace(data, **{where: replace(data[where], labels=labels)})
    message = str(caught.value)
    assert "\n" not in message
    for part in [f"{where!r}", *parts]:
        assert part in message


def test_own_data_has_no_card_here():
    with pytest.raises(ValueError, match="toy is your own data"):
        _ = replace(dataset(), source="own").card


# --- CIFAR-10 with captions, drawn -----------------------------------------------


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No real data: the stand-in is what anyone without a network sees."""
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    monkeypatch.setattr(sources, "_UNREACHABLE", set())


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory) -> MultimodalDataset:
    """Drawn once for the module: 6,000 pictures take some seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MMLEARN_DATA", raising=False)
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        patch.setenv("MMLEARN_OFFLINE", "1")
        return cifar10_captions(text="vague")


def test_the_stand_in_has_the_sizes_of_the_real_data(stand_in):
    assert stand_in.source == "stand-in"
    assert [len(stand_in[name]) for name in SPLITS] == [4500, 500, 1000]
    for name, counts in stand_in.class_counts().items():
        assert len(set(counts)) == 1, name
    assert stand_in.train["image"].shape[1:] == (32, 32, 3)
    assert stand_in.train["image"].dtype == np.uint8
    assert stand_in.class_names == CLASSES


def test_no_picture_is_in_two_splits(stand_in):
    assert not set(stand_in.train.index) & set(stand_in.val.index)
    pictures = [x.tobytes() for name in SPLITS for x in stand_in[name]["image"]]
    assert len(set(pictures)) == 6000


def test_the_stand_in_says_so_and_is_the_same_at_every_load(stand_in, offline, capsys):
    again = cifar10_captions(text="vague")
    lines = capsys.readouterr().out.splitlines()
    assert "MMLEARN_OFFLINE" in lines[0]
    assert lines[1].startswith("STAND-IN DATA") and len(lines) == 2
    for name in SPLITS:
        for key in ("image", "text"):
            np.testing.assert_array_equal(again[name][key], stand_in[name][key])
        np.testing.assert_array_equal(again[name].labels, stand_in[name].labels)


def test_the_stand_in_texts_are_templates_of_their_pictures(stand_in):
    part = stand_in.test
    words = sorted({w for group in templates.CLASS_WORDS.values() for w in group})
    blank = np.random.default_rng(0)
    for image, text in zip(part["image"][:50], part["text"][:50], strict=True):
        *measured, drawn = text.split(", ")
        # Only the last part is drawn at random.
        expected = templates.describe(image, "cat", blank).split(", ")[:-1]
        assert measured == expected
        assert len(drawn.split()) == templates.NUM_WORDS
        assert set(drawn.split()) <= set(words)


# --- what is done to texts, on made-up archives of a few pictures ------------------


def batch(start: int, num: int, rng: np.random.Generator) -> dict:
    return {
        b"batch_label": b"batch",
        b"labels": [(start + i) % 10 for i in range(num)],
        b"data": rng.integers(0, 256, (num, 3072), dtype=np.uint8),
        b"filenames": [b"x.png"] * num,
    }


@pytest.fixture
def archive(tmp_path, monkeypatch) -> dict[str, dict]:
    """A small CIFAR-10 in Keras's cache: same members, another checksum."""
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(sources, "_UNREACHABLE", set())
    rng = np.random.default_rng(5)
    batches = {f"data_batch_{i + 1}": batch(60 * i, 60, rng) for i in range(5)}
    batches["test_batch"] = batch(3, 50, rng)
    path = tmp_path / "datasets" / "cifar-10-batches-py-target_archive"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as file:
        for name, content in batches.items():
            packed = pickle.dumps(content)
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(packed)
            file.addfile(member, io.BytesIO(packed))
    for name in ("cifar10", "cifar10_full"):
        source = replace(
            sources.SOURCES[name], sha256=hashlib.sha256(path.read_bytes()).hexdigest()
        )
        monkeypatch.setitem(sources.SOURCES, name, source)
    return batches


@cache
def captions() -> dict[tuple[str, int], dict[str, str]]:
    """The captions, read here by other means than the package's."""
    with open(sources.DATA / "cifar10_captions.tsv", encoding="utf-8") as file:
        header, *rows = (line.rstrip("\n").split("\t") for line in file)
    found = {(row[0], int(row[1])): dict(zip(header, row, strict=True)) for row in rows}
    assert len(found) == 6000
    return found


def small(**options) -> MultimodalDataset:
    return cifar10_captions(**{"pictures": "all", "num_val": 50, **options})


def texts(data: MultimodalDataset, name: str) -> dict[int, str]:
    part = data[name]
    return dict(zip(part.index.tolist(), part["text"], strict=True))


def test_an_archive_in_keras_cache_gives_the_right_pixels(archive, capsys):
    data = small()
    assert data.source == "real" and capsys.readouterr().out == ""
    assert [len(data[name]) for name in SPLITS] == [250, 50, 50]
    rows = {
        "train": np.concatenate(
            [archive[f"data_batch_{i}"][b"data"] for i in range(1, 6)]
        ),
        "test": archive["test_batch"][b"data"],
    }
    for name in SPLITS:
        part = data[name]
        flat = rows["test" if name == "test" else "train"]
        for image, row in zip(part["image"], part.index, strict=True):
            # A row holds the red plane, then green, then blue, each line by line.
            for y, x, channel in ((0, 0, 0), (0, 31, 1), (31, 0, 2), (7, 20, 0)):
                assert image[y, x, channel] == flat[row][channel * 1024 + y * 32 + x]
        offset = 3 if name == "test" else 0
        np.testing.assert_array_equal(part.labels, (part.index + offset) % 10)


def test_pictures_with_a_caption_have_their_own(archive):
    # Pictures without a written caption get a template text.
    for mode in ("caption", "vague"):
        data = small(text=mode)
        for name in SPLITS:
            original = "test" if name == "test" else "train"
            for row, text in texts(data, name).items():
                written = captions().get((original, row))
                assert text == written[mode] if written else " above, " in text


def test_captioned_leaves_out_pictures_without_a_caption(archive):
    data = cifar10_captions(num_val=50)
    known = {row for name, row in captions() if name == "test" and row < 50}
    assert set(data.test.index) == known


def test_label_mode_names_the_class(archive):
    part = small(text="label").train
    assert list(part["text"]) == [CLASSES[label] for label in part.labels]


def test_template_mode_uses_no_caption(archive):
    assert all(" above, " in text for text in small(text="template").test["text"])


def test_words_are_kept_at_the_rate_asked_for_in_order_and_once(archive):
    whole = small()
    some, again = small(keep=0.6), small(keep=0.6)
    kept = total = 0
    for name in SPLITS:
        full, part = texts(whole, name), texts(some, name)
        assert part == texts(again, name)
        for row, text in part.items():
            rest = iter(full[row].split())
            # A subsequence: nothing invented, nothing moved.
            assert all(word in rest for word in text.split())
            kept, total = kept + len(text.split()), total + len(full[row].split())
    assert abs(kept / total - 0.6) < 0.03
    assert texts(small(keep=0.6, seed=1), "test") != texts(some, "test")


def test_keep_0_leaves_the_absent_text(archive):
    data = small(keep=0.0)
    assert all(text == "" for name in SPLITS for text in data[name]["text"])


def test_a_mismatch_moves_texts_to_other_pictures(archive):
    # Words are hidden first, so that the texts stay the same ones.
    right, wrong = small(keep=0.9), small(keep=0.9, mismatch=0.4)
    for names in (("train", "val"), ("test",)):
        before, after = {}, {}
        for name in names:
            before |= texts(right, name)
            after |= texts(wrong, name)
        assert Counter(before.values()) == Counter(after.values())
        moved = np.mean([before[row] != after[row] for row in before])
        assert abs(moved - 0.4) < 0.02  # two pictures may share a text


@given(st.integers(0, 30), st.floats(0, 1), st.integers(0, 5))
def test_swapped_texts_all_leave_their_rows(num, share, seed):
    before = np.array([f"text {i}" for i in range(num)], dtype=object)
    after = cifar10.swap(before, share, np.random.default_rng(seed))
    assert sorted(after) == sorted(before)
    moved = (after != before).sum()
    # One row alone has no other to swap with.
    assert moved == (round(share * num) if round(share * num) > 1 else 0)
    assert list(before) == [f"text {i}" for i in range(num)]


@given(st.lists(st.text("ab ", max_size=12), max_size=5), st.integers(0, 5))
def test_hiding_words_at_the_ends_of_the_range(lines, seed):
    array = np.array(lines, dtype=object)
    rng = np.random.default_rng(seed)
    tidy = [" ".join(text.split()) for text in lines]
    assert list(cifar10.hide_words(array, 1.0, rng)) == tidy
    assert list(cifar10.hide_words(array, 0.0, rng)) == [""] * len(lines)


def test_another_seed_makes_another_validation_split(archive):
    one, same, other = small(), small(), small(seed=1)
    np.testing.assert_array_equal(one.val.index, same.val.index)
    assert set(one.val.index) != set(other.val.index)
    np.testing.assert_array_equal(one.test.index, other.test.index)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "captions"}, "text is 'captions': choose one of caption"),
        ({"pictures": "some"}, "pictures is 'some'"),
        ({"keep": 1.1}, "keep is 1.1: expected a share"),
        ({"keep": -0.1}, "keep is -0.1"),
        ({"keep": float("nan")}, "keep is nan"),
        ({"mismatch": 2}, "mismatch is 2"),
        ({"num_val": 0}, "cannot take 0 of 300"),
        ({"num_val": 300}, "cannot take 300 of 300"),
    ],
)
def test_bad_arguments_are_refused(archive, options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


# --- CIFAR-10 with captions, real ----------------------------------------------------

real = pytest.mark.skipif(
    "MMLEARN_DATA" not in os.environ, reason="MMLEARN_DATA names no real data"
)


@pytest.fixture(scope="module")
def vague() -> MultimodalDataset:
    return cifar10_captions()


@real
def test_the_real_data_are_complete_and_balanced(vague):
    assert vague.source == "real"
    assert [len(vague[name]) for name in SPLITS] == [4500, 500, 1000]
    for name, counts in vague.class_counts().items():
        assert len(set(counts)) == 1, name
    assert not set(vague.train.index) & set(vague.val.index)


@real
@pytest.mark.parametrize("mode", ["caption", "vague"])
def test_every_real_picture_has_its_own_caption_and_class(vague, mode):
    data = vague if mode == "vague" else cifar10_captions(text=mode)
    for name in SPLITS:
        part = data[name]
        original = "test" if name == "test" else "train"
        for row, text, label in zip(part.index, part["text"], part.labels, strict=True):
            written = captions()[original, int(row)]
            assert text == written[mode]
            assert CLASSES[label] == written["label"]


@real
def test_real_pictures_are_those_of_their_index(vague):
    with np.load(os.path.join(os.environ["MMLEARN_DATA"], "cifar10.npz")) as file:
        rows = {
            int(i): x for i, x in zip(file["index_train"], file["x_train"], strict=True)
        }
    for part in (vague.train, vague.val):
        for row, image in zip(part.index[::50], part["image"][::50], strict=True):
            np.testing.assert_array_equal(image, rows[int(row)])


@real
def test_vague_texts_never_name_the_class(vague):
    for name in SPLITS:
        part = vague[name]
        for text, label in zip(part["text"], part.labels, strict=True):
            assert CLASSES[label] not in text.lower()


# --- templates ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixel", "name", "light"),
    [
        ((255, 0, 0), "red", "dark"),
        ((255, 0, 30), "red", "dark"),
        ((255, 140, 0), "orange", "bright"),
        ((230, 220, 0), "yellow", "bright"),
        ((0, 200, 0), "green", "dark"),
        ((0, 190, 190), "teal", "dark"),
        ((0, 0, 255), "blue", "dark"),
        ((120, 180, 255), "blue", "bright"),
        ((140, 0, 255), "purple", "bright"),
        ((0, 0, 0), "black", "dark"),
        ((128, 128, 128), "grey", "bright"),
        ((255, 255, 255), "white", "bright"),
    ],
)
def test_plain_colours_have_their_names(pixel, name, light):
    image = np.full((8, 8, 3), pixel, "uint8")
    text = templates.describe(image, "cat", np.random.default_rng(0))
    assert text.startswith(f"{name} above, {name} below, {light}, ")


def test_above_and_below_are_measured_apart():
    image = np.zeros((8, 8, 3), "uint8")
    image[:4] = (0, 0, 255)
    image[4:] = (0, 200, 0)
    text = templates.describe(image, "cat", np.random.default_rng(0))
    assert text.startswith("blue above, green below, ")


def test_the_share_of_words_from_other_classes_is_as_documented():
    image, rng = np.zeros((2, 2, 3), "uint8"), np.random.default_rng(0)
    # "frog" alone has these words: how often they come is known exactly.
    own = [
        word
        for word in templates.CLASS_WORDS["frog"]
        if sum(word in group for group in templates.CLASS_WORDS.values()) == 1
    ]
    drawn = [
        word
        for _ in range(3000)
        for word in templates.describe(image, "frog", rng).split(", ")[-1].split()
    ]
    found = np.mean([word in own for word in drawn])
    # Another class's list is drawn among all ten, the class's own included.
    share = 1 - templates.OVERLAP * 9 / 10
    expected = share * len(own) / len(templates.CLASS_WORDS["frog"])
    assert len(own) >= 2 and abs(found - expected) < 0.02


def test_many_words_belong_to_several_classes():
    counts = Counter(w for group in templates.CLASS_WORDS.values() for w in group)
    for group in templates.CLASS_WORDS.values():
        assert sum(counts[word] > 1 for word in group) >= 2


def test_all_pictures_are_read_from_a_jpeg_copy(tmp_path):
    rng, arrays, told = np.random.default_rng(0), {}, {}
    for split, num in (("train", 5), ("test", 3)):
        told[split] = rng.integers(0, 10, num).astype("uint8")
        plain = [np.full((32, 32, 3), 20 * label, "uint8") for label in told[split]]
        files = [io.BytesIO() for _ in plain]
        for pixels, file in zip(plain, files, strict=True):
            Image.fromarray(pixels).save(file, "jpeg")
        pieces = [file.getvalue() for file in files]
        arrays[f"{split}_jpeg"] = np.frombuffer(b"".join(pieces), "uint8")
        arrays[f"{split}_offsets"] = np.cumsum([0, *map(len, pieces)])
        arrays[f"{split}_labels"] = told[split]
    np.savez(tmp_path / "copy.npz", **arrays)
    found = cifar10._read(tmp_path / "copy.npz")
    for split, (images, labels, index) in found.items():
        assert labels.tolist() == told[split].tolist()
        assert index.tolist() == list(range(len(labels)))
        shades = images.mean(axis=(1, 2, 3))
        np.testing.assert_allclose(shades, 20.0 * labels, atol=2)


@pytest.mark.skipif(
    sources.locate("cifar10_full") is None, reason="the full pictures are not here"
)
def test_all_pictures_of_cifar10():
    data = cifar10_captions(pictures="all", num_val=5000)
    assert data.source == "real"
    assert [len(data[s]) for s in ("train", "val", "test")] == [45000, 5000, 10000]
