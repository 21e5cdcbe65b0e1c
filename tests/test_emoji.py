"""The emoji set: four vendors aligned, families in one split, files and licences."""

import numpy as np
import pytest

from mmlearn.datasets import emoji, sources
from mmlearn.datasets.base import SPLITS
from mmlearn.datasets.real import emoji as module

LICENCES = {
    "emoji.tsv": "Unicode-3.0",
    "emoji_noto_twemoji_fluent_32.npz": "CC BY 4.0",
    "emoji_openmoji_32.npz": "CC BY-SA 4.0",
}


@pytest.fixture(scope="module")
def data():
    return emoji()


@pytest.fixture(scope="module")
def table():
    return module.records()


def test_1586_emoji_remain_without_flags_and_what_a_vendor_lacks(data, table):
    index = np.concatenate([data[name].index for name in SPLITS])
    assert len(index) == len(set(index)) == 1586
    for vendor in module.VENDORS:
        assert set(table[f"has_{vendor}"][index]) == {"1"}
    assert "Flags" not in data.class_names and data.num_classes == 8
    assert data.train["image"].shape[1:] == (32, 32, 3)
    assert data.train["image"].dtype == np.uint8
    assert abs(len(data.train) / 1586 - 0.6) < 0.03
    assert abs(len(data.test) / 1586 - 0.2) < 0.02


def test_labels_and_texts_are_those_of_the_table(data, table):
    for name in SPLITS:
        split = data[name]
        groups = np.array(data.class_names)[split.labels]
        assert (groups == table["group"][split.index]).all()
        assert (split["text"] == table["name_en"][split.index]).all()


@pytest.mark.parametrize("flags", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_family_and_no_picture_is_in_two_splits(table, flags, seed):
    data = emoji(vendor=module.VENDORS, flags=flags, seed=seed)
    family = np.where(table["subgroup"] == "family", "family", table["family"])
    for said in (
        lambda split: split.groups,
        lambda split: family[split.index],
        lambda split: [image.tobytes() for image in split["image"]],
    ):
        train, val, test = (set(said(data[name])) for name in SPLITS)
        assert not train & val and not train & test and not val & test


def test_skin_tones_are_absent_and_variants_share_a_family(table):
    assert not any("skin tone" in name for name in table["name_en"])
    where = {name: row for row, name in enumerate(table["name_en"])}
    family = table["family"]
    for one, other in (
        ("woman running", "man running: facing right"),
        ("man", "woman"),
        ("man teacher", "woman teacher"),
        ("person surfing", "man surfing"),
    ):
        rows = [where[name] for name in (one, other)]
        assert family[rows[0]] == family[rows[1]], (one, other)
    assert family[where["female sign"]] != family[where["right arrow"]]
    assert (family != "").all()


def test_every_vendor_has_the_same_emoji_in_the_same_order(data):
    alone = {vendor: emoji(vendor=vendor) for vendor in module.VENDORS}
    together = emoji(vendor=module.VENDORS)
    for name in SPLITS:
        for found in alone.values():
            np.testing.assert_array_equal(found[name].index, data[name].index)
            np.testing.assert_array_equal(found[name]["text"], data[name]["text"])
        images = [found[name]["image"] for found in alone.values()]
        np.testing.assert_array_equal(together[name]["image"], np.concatenate(images))
        assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("vendor", module.VENDORS[1:])
def test_vendors_draw_the_same_concept(vendor):
    """A vendor's picture resembles another's of the same emoji, row by row."""
    grey = []
    for name in ("noto", vendor):
        rows = emoji(vendor=name).train["image"].mean(axis=3).reshape(-1, 1024)
        rows = rows - rows.mean(axis=1, keepdims=True)
        grey.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    likeness = grey[0] @ grey[1].T
    ranks = (likeness > np.diag(likeness)[:, None]).mean(axis=1)
    assert np.median(ranks) < 0.2  # by chance 0.5; OpenMoji's outlines give 0.15


def test_flags_move_no_emoji(data):
    more = emoji(flags=True)
    assert sum(len(more[name]) for name in SPLITS) == 1906
    assert more.class_names[:8] == data.class_names
    assert more.class_names[8] == "Flags"
    for name in SPLITS:
        assert set(data[name].index) <= set(more[name].index)
    lacking = emoji(flags=True, vendor="fluent")
    assert sum(len(lacking[name]) for name in SPLITS) == 1906 - 312


def test_chinese_names_belong_to_the_same_emoji(data):
    chinese = emoji(language="zh")
    np.testing.assert_array_equal(chinese.train["image"], data.train["image"])
    known = {"dog face": "狗脸", "pizza": "披萨", "rocket": "火箭"}
    found = {}
    for name in SPLITS:
        texts = zip(data[name]["text"], chinese[name]["text"], strict=True)
        found |= {english: said for english, said in texts}
    assert {name: found[name] for name in known} == known
    latin = {said for said in found.values() if said.isascii()}
    assert latin == {"OK", "DVD", "DNA"}  # as people say them in Chinese


def test_keywords_are_words(data):
    texts = emoji(text="keywords").train["text"]
    assert not any("|" in text or not text for text in texts)


def test_pictures_can_be_put_on_any_ground(data):
    with_alpha = emoji(alpha=True).train["image"]
    assert with_alpha.shape[-1] == 4
    on_white = module.on_ground(with_alpha)
    np.testing.assert_array_equal(on_white, data.train["image"])
    red = module.on_ground(with_alpha, (255, 0, 0))
    empty, full = with_alpha[..., 3] == 0, with_alpha[..., 3] == 255
    assert (red[empty] == (255, 0, 0)).all()
    np.testing.assert_array_equal(red[full], with_alpha[full][:, :3])


def test_the_split_depends_on_the_seed(data):
    np.testing.assert_array_equal(emoji().test.index, data.test.index)
    assert set(emoji(seed=1).test.index) != set(data.test.index)


def test_licences_and_checksums_stand_beside_the_files():
    card = (sources.DATA / "emoji.md").read_text(encoding="utf-8")
    page = (module.sources.DATA.parent / "docs/data_licences.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| `emoji`")]
    for name, licence in LICENCES.items():
        assert module.FILES[name] in card and name in card
        assert licence in card and licence in row and f"`data/{name}`" in row


@pytest.mark.parametrize("name", LICENCES)
def test_a_damaged_file_is_refused(tmp_path, monkeypatch, name):
    for file in LICENCES:
        (tmp_path / file).write_bytes((sources.DATA / file).read_bytes())
    with (tmp_path / name).open("ab") as file:
        file.write(b" ")
    monkeypatch.setattr(sources, "DATA", tmp_path)
    with pytest.raises(sources.SourceError, match=f"{name} is damaged"):
        emoji()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"vendor": "apple"}, "vendor is 'apple'"),
        ({"vendor": ()}, "choose one or more of noto"),
        ({"vendor": ("noto", "noto")}, "each once"),
        ({"language": "de"}, "language is 'de'"),
        ({"text": "names"}, "choose one of name, keywords"),
    ],
)
def test_what_makes_no_sense_is_refused(argument, message):
    with pytest.raises(ValueError, match=message):
        emoji(**argument)
