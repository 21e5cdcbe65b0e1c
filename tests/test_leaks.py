"""Tests of grouped splits and of the search for leaks: each planted one is found."""

import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mmlearn.datasets import (
    Leaks,
    MultimodalDataset,
    Split,
    chest_xray_notes,
    cifar10_captions,
    grouped_split,
    interactions,
    leaks,
    sources,
)
from mmlearn.datasets.leaks import MIN_SUPPORT, TELL_TALE

SPLITS = ("train", "val", "test")
FOLDER = os.environ.get("MMLEARN_DATA", "")
NAMING = ("infiltrate", "consolidation", "肺炎", "正常", "健康")


@pytest.fixture(scope="module", params=["stand-in", "real"])
def whole(request, tmp_path_factory) -> MultimodalDataset:
    """The chest X-rays without a leak."""
    if request.param == "real":
        if not os.path.isfile(os.path.join(FOLDER, "pneumoniamnist.npz")):
            pytest.skip("no pneumoniamnist.npz")
        return chest_xray_notes(findings=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MMLEARN_DATA", raising=False)
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        patch.setenv("MMLEARN_OFFLINE", "1")
        patch.setattr(sources, "_UNREACHABLE", set())
        return chest_xray_notes(findings=True)


@pytest.fixture(scope="module")
def clean(whole) -> MultimodalDataset:
    """Fewer of them, to plant leaks in."""
    return whole.subset(1500)


def change(data: MultimodalDataset, part: str, **arrays) -> MultimodalDataset:
    return replace(data, **{part: data[part].replace(**arrays)})


def only(found: Leaks, kind: str) -> tuple:
    """Returns the single leak, which has to be of this kind."""
    assert [leak.kind for leak in found] == [kind], found
    assert kind in str(found) and str(found[0].count) in str(found)
    return found[0]


# --- grouped splits -----------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.integers(12, 60),
    st.integers(0, 1000),
    st.sampled_from([(0.6, 0.2, 0.2), (0.5, 0.5), (0.7, 0.15, 0.15), (0.1, 0.9)]),
)
def test_grouped_parts_are_complete_and_share_no_group(num_groups, seed, shares):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, num_groups, 6 * num_groups)
    labels = rng.integers(0, 2, len(groups))
    try:
        parts = grouped_split(groups, labels, shares, seed)
    except ValueError as error:
        assume("has no sample of class" not in str(error))
        raise
    again = grouped_split(groups, labels, shares, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    held = [set(groups[rows]) for rows in parts]
    assert sum(map(len, held)) == len(set(groups))
    for rows, same, share in zip(parts, again, shares, strict=True):
        np.testing.assert_array_equal(rows, same)
        assert abs(len(rows) / len(groups) - share) < 0.2
        assert set(labels[rows]) == {0, 1}


def test_grouped_parts_are_stratified_and_follow_the_seed():
    rng = np.random.default_rng(0)
    labels_of = (np.arange(200) < 50).astype(int)
    groups = np.repeat(np.arange(200), rng.integers(1, 4, 200))
    labels = labels_of[groups]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = grouped_split(groups, labels, (0.6, 0.2, 0.2), 0)
        other = grouped_split(groups, labels, (0.6, 0.2, 0.2), 1)
    for rows, share in zip(one, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(rows) / len(groups) - share) < 0.02
        assert abs(labels[rows].mean() - labels.mean()) < 0.05
    assert set(one[2]) != set(other[2])


def test_a_handful_of_groups_can_be_split():
    labels = np.tile([0, 1], 3)
    for shares in ((0.6, 0.2, 0.2), (0.9, 0.1)):
        groups = np.repeat(np.arange(3), 2)
        parts = grouped_split(groups, labels, shares)
        assert sorted(np.concatenate(parts)) == list(range(6))
        assert all(set(labels[rows]) == {0, 1} for rows in parts)


@pytest.mark.parametrize(
    ("groups", "labels", "shares", "message"),
    [
        ([1, 2, 3], [0, 1], (0.5, 0.5), r"groups are \(3,\), labels \(2,\)"),
        ([1, 2], [0, 1], (0.5, 0.6), "shares are .* adding up to 1"),
        ([1, 2], [0, 1], (1.0,), "shares are"),
        ([1, 2], [0, 1], (1.2, -0.2), "shares are"),
        ([1, 1, 2, 2], [0, 1, 1, 1], (0.5, 0.5), "class 0 occurs in 1 groups"),
    ],
)
def test_what_cannot_be_split_by_group_is_refused(groups, labels, shares, message):
    with pytest.raises(ValueError, match=message) as caught:
        grouped_split(np.array(groups), np.array(labels), shares)
    assert "\n" not in str(caught.value)


def grouped(num: int = 6) -> Split:
    rows = np.arange(num)
    return Split({"x": rows * 1.0}, rows % 2, rows, np.array(list("abcdef"))[:num])


def test_groups_stay_with_their_samples():
    part = grouped()
    assert part.take(np.array([4, 0])).groups.tolist() == ["e", "a"]
    assert part.take(part.labels == 1).groups.tolist() == ["b", "d", "f"]
    assert part.replace(x=np.zeros(6)).groups is part.groups
    assert Split(part.inputs, part.labels, part.index).take([1]).groups is None


def test_groups_of_another_length_are_refused():
    bad = replace(grouped(), groups=np.arange(5))
    with pytest.raises(ValueError, match="'val'.*'groups' has 5 rows for 6 labels"):
        MultimodalDataset("toy", "real", ("a", "b"), grouped(), bad, grouped())


# --- a clean data set raises no alarm -----------------------------------------------


def test_the_clean_chest_xrays_are_clean(whole):
    found = leaks(whole, words=NAMING)
    assert found == [] and not found and str(found) == "no leak found"


@pytest.mark.parametrize("options", [{"language": "zh"}, {"informativeness": 2.0}])
def test_other_notes_are_clean_too(clean, options, monkeypatch, tmp_path):
    if clean.source == "stand-in":
        monkeypatch.delenv("MMLEARN_DATA", raising=False)
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    data = chest_xray_notes(num_train=1500, **options)
    assert data.source == clean.source
    assert leaks(data, words=NAMING) == []


@pytest.mark.skipif(
    not os.path.isfile(os.path.join(FOLDER, "cifar10.npz")), reason="no cifar10.npz"
)
def test_vague_captions_are_clean():
    assert leaks(cifar10_captions(text="vague")) == []


def test_vectors_and_presence_flags_are_no_leak():
    data, _ = interactions("mixture", missing=0.3, num_train=500, num_test=500)
    assert leaks(data) == []


def test_absent_modalities_and_short_texts_coincide_without_alarm(clean):
    data = clean
    for part in SPLITS:
        image, text = data[part]["image"].copy(), data[part]["text"].copy()
        image[:5], text[:5], text[5:9] = 0, "", "2-year-old girl. No cough."
        data = change(data, part, image=image, text=text)
    assert leaks(data) == []


# --- each planted leak is found, and nothing else -----------------------------------


def test_a_picture_in_two_splits_is_found(clean):
    image = clean.test["image"].copy()
    image[[7, 9]] = clean.train["image"][[30, 4]]
    leak = only(leaks(change(clean, "test", image=image)), "same array")
    assert leak.count == 2 and leak.where == "image: train, test"
    assert leak.example == "train[30] = test[7]"


def test_a_changed_pixel_makes_another_picture(clean):
    image = clean.test["image"].copy()
    image[7] = clean.train["image"][30]
    image[7, 0, 0, 0] ^= 1
    assert leaks(change(clean, "test", image=image)) == []


def test_a_long_note_in_two_splits_is_found_in_any_spelling(clean):
    row = max(range(500), key=lambda row: len(clean.val["text"][row]))
    text = clean.test["text"].copy()
    text[3] = clean.val["text"][row].upper().replace(".", " ;")
    leak = only(leaks(change(clean, "test", text=text)), "same text")
    assert leak.where == "text: val, test" and leak.count == 1
    assert leak.example == f"val[{row}] = test[3]"


def test_a_long_chinese_note_in_two_splits_is_found(clean):
    note = "患儿三岁,女孩。昨日起高热。呼吸急促。咳得厉害。家中无人生病。"
    data = clean
    for part, text in (("train", note), ("val", note)):
        texts = data[part]["text"].copy()
        texts[0] = text
        data = change(data, part, text=texts)
    assert only(leaks(data), "same text").count == 1


def test_a_patient_in_two_splits_is_found(clean):
    groups = clean.val.groups.copy()
    groups[10:13] = clean.train.groups[5]
    data = replace(clean, val=replace(clean.val, groups=groups))
    leak = only(leaks(data), "same group")
    assert leak.count == 3 and leak.example == "train[5] = val[10]"


@pytest.mark.parametrize(
    ("planted", "word"),
    [
        ("Signs of Pneumonia.", "pneumonia"),
        ("Two earlier pneumonias.", "pneumonia"),
        ("INFILTRATES seen.", "infiltrate"),
        ("确诊肺炎三天", "肺炎"),
    ],
)
def test_a_label_word_is_found(clean, planted, word):
    text = clean.val["text"].copy()
    text[17] = f"{text[17]} {planted}"
    leak = only(leaks(change(clean, "val", text=text), NAMING), "label word")
    assert leak.count == 1 and leak.where == "text: val"
    assert repr(word) in leak.example and "val[17]" in leak.example


def test_a_part_of_another_word_is_no_label_word(clean):
    text = clean.val["text"].copy()
    text[17] = f"{text[17]} Abnormally tired. Pneumoniae."
    assert leaks(change(clean, "val", text=text), ["pneum", "tire"]) == []


def marked(data: MultimodalDataset, share: float, word: str) -> MultimodalDataset:
    """Writes a word into a share of the training notes of class 1."""
    text = data.train["text"].copy()
    rows = np.flatnonzero(data.train.labels == 1)
    rows = rows[: int(np.ceil(share * len(rows)))]
    text[rows] = [f"{note} {word}" for note in text[rows]]
    return change(data, "train", text=text)


@pytest.mark.parametrize("share", [1.0, 0.5, TELL_TALE + 0.01])
def test_a_tell_tale_word_is_found(clean, share):
    leak = only(leaks(marked(clean, share, "Portable.")), "tell-tale word")
    assert "'portable'" in leak.example and "'pneumonia'" in leak.example
    assert abs(leak.count - share * clean.class_counts()["train"][1]) <= 1


def test_a_word_of_both_classes_or_of_few_notes_is_no_tell_tale(clean):
    assert leaks(marked(clean, TELL_TALE / 2, "Portable.")) == []
    data = marked(clean, 0.9, "Portable.")
    text = data.train["text"].copy()
    row = np.flatnonzero(data.train.labels == 0)[0]
    text[row] += " Portable."
    assert leaks(change(data, "train", text=text)) == []


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("value", [0, 255])
def test_a_mark_in_the_pictures_is_found(clean, label, value):
    image = clean.train["image"].copy()
    # The others are never as dark, or as bright, at this place.
    image[:, 2:4, 20:24] = np.clip(image[:, 2:4, 20:24], 10, 245)
    image[clean.train.labels == label, 2:4, 20:24] = value
    found = leaks(change(clean, "train", image=image))
    assert {leak.kind for leak in found} == {"image mark"}
    assert f"tells {clean.class_names[label]!r}" in "".join(x.example for x in found)
    assert all(leak.where == "image: train" for leak in found)
    assert "pixel [2, 2" in found[0].example


def test_a_mark_outside_one_class_is_found_among_many(clean):
    # A softer mark, in noise, is found as long as it separates.
    image = clean.train["image"].astype("float32")
    noise = np.random.default_rng(0).normal(0, 1, len(image))
    image[:, 27, 0, 0] = np.where(clean.train.labels == 1, 10, 0) + noise
    assert {leak.kind for leak in leaks(change(clean, "train", image=image))} == {
        "image mark"
    }


def test_few_samples_are_no_proof_of_a_mark(clean):
    few = clean.subset(2 * MIN_SUPPORT)
    image = few.train["image"].copy()
    image[few.train.labels == 0, 0, 0] = 255
    image[few.train.labels == 1, 0, 0] = 0
    assert few.class_counts()["train"].min() < MIN_SUPPORT
    assert leaks(marked(change(few, "train", image=image), 1.0, "Portable.")) == []


def test_all_leaks_are_reported_together_as_a_table(clean):
    data = marked(clean, 1.0, "Portable. Pneumonia.")
    image = data.val["image"].copy()
    image[0] = data.train["image"][0]
    found = leaks(change(data, "val", image=image))
    kinds = {leak.kind for leak in found}
    assert kinds == {"same array", "label word", "tell-tale word"}
    lines = str(found).splitlines()
    assert len(lines) == len(found) + 1 and lines[0].split()[:2] == ["leak", "where"]
    column = lines[0].index("example")
    assert all(line[column - 1] == " " != line[column] for line in lines)


def test_words_have_to_be_a_list(clean):
    with pytest.raises(TypeError, match="words is the string 'pneumonia'"):
        leaks(clean, words="pneumonia")
