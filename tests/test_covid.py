"""Tests of the real chest X-rays with notes; most need the file in MMLEARN_DATA."""

import hashlib
import io
import os
from dataclasses import replace

import numpy as np
import pytest

from mmlearn.datasets import covid_cxr, leaks, sources
from mmlearn.datasets.real.covid import CLASS_NAMES, MASK, mask, records

SPLITS = ("train", "val", "test")
SHARED = os.path.join(os.environ.get("MMLEARN_DATA", ""), "covid_cxr.npz")
real = pytest.mark.skipif(not os.path.isfile(SHARED), reason="no covid_cxr.npz")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No real data, an empty cache and no network."""
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    monkeypatch.setattr(sources, "_UNREACHABLE", set())
    return tmp_path


@pytest.fixture
def made_up(offline, monkeypatch) -> dict[str, np.ndarray]:
    """A small file of the same form in the cache: 60 pictures of 30 patients."""
    from PIL import Image

    rng = np.random.default_rng(0)
    packed = []
    for _ in range(60):
        file = io.BytesIO()
        pixels = rng.integers(0, 256, (160, 160), dtype=np.uint8)
        Image.fromarray(pixels).save(file, "JPEG")
        packed.append(file.getvalue())
    packed[59] = packed[0]  # patients 0 and 29 share a picture
    patients = np.arange(60) // 2
    covid = patients % 3 > 0
    texts = [f"Patient {number}: fever." if number % 4 else "" for number in patients]
    texts[2] = texts[56] = "Cough and pneumonia for a month."  # patients 1 and 28
    table = {
        "image_jpeg": np.frombuffer(b"".join(packed), np.uint8),
        "image_offsets": np.cumsum([0, *map(len, packed)]),
        "patientid": np.array([f"{number}" for number in patients]),
        "finding": np.where(covid, "COVID-19, ARDS", "ARDS"),
        "license": np.where(patients % 2, "CC BY-NC-SA", "CC BY 3.0"),
        "clinical_notes": np.array(texts),
    }
    path = offline / "keras" / "mmlearn" / "covid_cxr.npz"
    path.parent.mkdir(parents=True)
    np.savez(path, **table)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = replace(sources.SOURCES["covid_cxr"], sha256=digest)
    monkeypatch.setitem(sources.SOURCES, "covid_cxr", source)
    return table


def check_splits(data, table):
    """Labels, notes and patients are those of the row; no patient is in two splits."""
    assert data.class_names == CLASS_NAMES and data.modalities == ("image", "text")
    seen, patients = [], []
    for name in SPLITS:
        part = data[name]
        findings = table["finding"][part.index]
        np.testing.assert_array_equal(part.labels, ["COVID-19" in f for f in findings])
        assert part["image"].shape[1:] == (160, 160, 1)
        assert part["image"].dtype == np.uint8
        written = table["clinical_notes"][part.index]
        assert [text == "" for text in part["text"]] == (written == "").tolist()
        seen += part.index.tolist()
        patients.append(set(table["patientid"][part.index]))
        assert set(part.labels) == {0, 1}
    assert len(seen) == len(set(seen))
    assert sum(map(len, patients)) == len(set.union(*patients))


def test_the_file_is_read_row_by_row(made_up):
    from PIL import Image

    data = covid_cxr(mask_diagnosis=False)
    check_splits(data, made_up)
    assert data.source == "real" and sum(len(data[name]) for name in SPLITS) == 60
    offsets, packed = made_up["image_offsets"], made_up["image_jpeg"].tobytes()
    for name in SPLITS:
        part = data[name]
        for image, text, row in zip(
            part["image"], part["text"], part.index, strict=True
        ):
            file = io.BytesIO(packed[offsets[row] : offsets[row + 1]])
            np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(file)))
            assert text == made_up["clinical_notes"][row]
        assert (np.diff(part.index) > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_patients_who_share_a_picture_or_a_note_stay_together(made_up, seed):
    data = covid_cxr(seed=seed)
    check_splits(data, made_up)
    group = {
        row: group
        for name in SPLITS
        for row, group in zip(data[name].index, data[name].groups, strict=True)
    }
    assert group[0] == group[1] == group[58] == group[59]
    assert group[2] == group[3] == group[56] == group[57]
    assert len(set(group.values())) == 28
    assert leaks(data) == []


def test_open_licences_only(made_up):
    data = covid_cxr(licence="open")
    check_splits(data, made_up)
    for name in SPLITS:
        assert set(records()["license"][data[name].index]) == {"CC BY 3.0"}
    assert sum(len(data[name]) for name in SPLITS) == 30


def test_a_mask_replaces_the_diagnosis_by_default(made_up):
    masked, plain = covid_cxr(), covid_cxr(mask_diagnosis=False)
    for name in SPLITS:
        np.testing.assert_array_equal(masked[name].index, plain[name].index)
        assert list(masked[name]["text"]) == [mask(t) for t in plain[name]["text"]]
    texts = [text for name in SPLITS for text in masked[name]["text"]]
    assert texts.count(f"Cough and {MASK} for a month.") == 2


@pytest.mark.parametrize(
    "named",
    [
        "COVID-19",
        "covid19",
        "Covid 19",
        "COVID",
        "SARS-CoV-2",
        "sars cov 2",
        "Coronavirus disease 2019",
        "novel coronavirus",
        "pneumonia",
        "ARDS",
        "acute respiratory distress syndrome",
        "Pneumocystis jirovecii",
        "PCP",
        "Legionella pneumophila",
        "Streptococcus pneumoniae",
        "Klebsiella",
        "E. coli",
        "E.Coli",
        "Mycoplasma",
        "varicella",
        "Influenza",
    ],
)
def test_words_that_name_a_diagnosis_are_masked(named):
    assert mask(f"Known ({named}), day 3.") == f"Known ({MASK}), day 3."


@pytest.mark.parametrize(
    "text",
    ["", "towards the periphery", "colitis, viral load", "Fever and cough.", "RT-PCR"],
)
def test_other_words_stay(text):
    assert mask(text) == text


def test_without_the_file_one_line_says_where_it_belongs(offline):
    with pytest.raises(sources.SourceError) as caught:
        covid_cxr()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("covid_cxr.npz", "MMLEARN_DATA", "ieee8023/covid-chestxray-dataset"):
        assert part in message
    described = sources.describe("covid_cxr")
    assert "absent" in described and "MMLEARN_DATA" in described


def test_a_data_set_that_cannot_be_downloaded_still_has_its_stand_in(offline, capsys):
    # Occupancy: its loader falls back, since `obtain` never raises for an absent file.
    assert sources.obtain("occupancy") is None
    assert "occupancy.npz" in capsys.readouterr().out
    assert "stand-in (a simulated office)" in sources.describe("occupancy")


def test_a_damaged_file_is_refused(offline, monkeypatch):
    monkeypatch.setenv("MMLEARN_DATA", str(offline))
    (offline / "covid_cxr.npz").write_bytes(b"another file")
    with pytest.raises(sources.SourceError, match="covid_cxr.npz is damaged"):
        covid_cxr()


def test_an_unknown_licence_is_refused():
    with pytest.raises(ValueError, match="licence is 'free': choose one of 'all'"):
        covid_cxr(licence="free")


# --- the real file -----------------------------------------------------------------


@real
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("licence", "num"), [("all", 279), ("open", 101)])
def test_the_real_splits_keep_patients_apart(licence, num, seed):
    data, table = covid_cxr(licence=licence, seed=seed), records()
    check_splits(data, table)
    assert sum(len(data[name]) for name in SPLITS) == num
    assert leaks(data, words=["covid", "coronavirus", "sars-cov-2", "pneumonia"]) == []
    if licence == "open":
        for name in SPLITS:
            assert not any("NC" in x for x in table["license"][data[name].index])
    else:
        shares = [data[name].labels.mean() for name in SPLITS]
        assert max(shares) - min(shares) < 0.05
        assert len(data.train) / num == pytest.approx(0.6, abs=0.04)


@real
def test_the_real_notes_give_the_label_away_without_the_mask():
    found = leaks(covid_cxr(mask_diagnosis=False), words=["covid"])
    assert {leak.kind for leak in found} == {"label word"}
    assert max(leak.count for leak in found) >= 20


@real
def test_the_real_table_is_complete():
    table = records()
    assert {len(column) for column in table.values()} == {279}
    assert len(set(table["patientid"])) == 154
    assert (table["clinical_notes"] != "").sum() == 187
