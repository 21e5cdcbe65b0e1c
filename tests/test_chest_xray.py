"""Tests of the chest X-rays: pictures, notes, and the exact limit of the notes."""

import functools
import hashlib
import http.server
import os
import re
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmlearn.datasets import (
    MultimodalDataset,
    chest_xray_notes,
    notes_limit,
    notes_posterior,
    sources,
)
from mmlearn.datasets.simulated import notes
from mmlearn.datasets.simulated.notes import FINDINGS, LANGUAGES, MENTION
from mmlearn.text import WordTokenizer

SPLITS = ("train", "val", "test")
SHARED = os.path.join(os.environ.get("MMLEARN_DATA", ""), "pneumoniamnist.npz")
real = pytest.mark.skipif(not os.path.isfile(SHARED), reason="no pneumoniamnist.npz")
STATES = len(notes.STATES)
NAMING = {
    "en": r"pneumon|normal|healthy|well child|infiltrat|consolidat|opaci|infect|bronch"
    r"|diagnos|x-?ray|viral|bacteri|antibiotic|flu\b|covid|tubercul",
    "zh": "肺炎|正常|健康|感染|浸润|实变|支气管|诊断|病毒|细菌|抗生素|结核|流感",
}


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No real data, an empty cache and no network."""
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    monkeypatch.setattr(sources, "_UNREACHABLE", set())
    return tmp_path


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory) -> MultimodalDataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MMLEARN_DATA", raising=False)
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        patch.setenv("MMLEARN_OFFLINE", "1")
        return chest_xray_notes(findings=True)


def law() -> np.ndarray:
    """P(state | label) at informativeness 1, (2, findings, 4), by the definition."""
    table = np.zeros((2, len(FINDINGS), STATES))
    for k, chances in enumerate(FINDINGS.values()):
        for label, present in enumerate(chances):
            for state in range(STATES):
                table[label, k, state] = (1 - present) * MENTION[0][state]
                table[label, k, state] += present * MENTION[1][state]
    return table


def sample(num: int = 30_000, share: float = 0.6, **options):
    labels = (np.arange(num) < share * num).astype(int)
    return labels, notes.draw(labels, np.arange(num), **options)


# --- what the notes say --------------------------------------------------------------


def test_the_tables_are_probabilities():
    assert np.allclose(np.sum(MENTION, axis=1), 1) and np.min(MENTION) > 0
    assert all(0 < chance < 1 for pair in FINDINGS.values() for chance in pair)
    assert len(FINDINGS) == 10


@pytest.mark.parametrize("label", [0, 1])
def test_states_are_drawn_as_often_as_the_model_says_and_independently(label):
    num = 20_000
    said = notes.draw(np.full(num, label), np.arange(num), seed=3)
    for k in range(len(FINDINGS)):
        shares = np.bincount(said[:, k], minlength=STATES) / num
        np.testing.assert_allclose(shares, law()[label, k], atol=0.018)
    stated = np.corrcoef((said == 3).T)
    assert np.abs(stated - np.eye(len(FINDINGS))).max() < 0.04


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=10, max_size=10),
    st.floats(0.02, 0.98),
)
def test_the_posterior_is_bayes_rule(said, prior):
    chances = law()[:, np.arange(10), said].prod(axis=1)
    expected = prior * chances[1] / (prior * chances[1] + (1 - prior) * chances[0])
    found = notes_posterior(np.array([said]), prior)
    np.testing.assert_allclose(found, [expected], rtol=1e-9)
    # Without information, what was known before stays.
    np.testing.assert_allclose(notes_posterior(np.array([said]), prior, 0), [prior])


@settings(deadline=None)
@given(
    st.floats(0.1, 3),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=5),
)
def test_informativeness_scales_the_likelihood_ratios(informativeness, changes):
    # Changing one statement moves the log odds in proportion to the informativeness.
    def log_odds(said, by):
        chance = notes_posterior(said[None], 0.5, by)[0]
        return np.log(chance / (1 - chance))

    said = np.zeros(10, int)
    for finding, state in changes:
        other = said.copy()
        other[finding] = state
        step = log_odds(other, informativeness) - log_odds(said, informativeness)
        unit = log_odds(other, 1.0) - log_odds(said, 1.0)
        assert step == pytest.approx(informativeness * unit, abs=1e-8)
        said = other


@pytest.mark.parametrize("informativeness", [0.5, 1.0])
def test_the_limit_is_what_the_true_posterior_scores(informativeness):
    from sklearn.metrics import roc_auc_score

    labels, said = sample(informativeness=informativeness)
    limit = notes_limit(labels, informativeness)
    chances = notes_posterior(said, labels.mean(), informativeness)
    # Standard errors below 0.003; the draws are fixed.
    assert limit.accuracy == pytest.approx(
        np.mean((chances > 0.5) == labels), abs=0.008
    )
    assert limit.auroc == pytest.approx(roc_auc_score(labels, chances), abs=0.008)


def test_the_posterior_is_calibrated():
    labels, said = sample()
    chances = notes_posterior(said, labels.mean())
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        chosen = (chances >= low) & (chances < low + 0.2)
        expected = chances[chosen].mean()
        assert labels[chosen].mean() == pytest.approx(expected, abs=0.025)


def test_the_limit_for_two_findings_done_by_hand(monkeypatch):
    few = {name: FINDINGS[name] for name in ("fever", "crackles")}
    monkeypatch.setattr(notes, "FINDINGS", few)
    notes._enumerated.cache_clear()
    labels = np.array([0, 1, 1, 1])
    limit = notes_limit(labels)
    notes._enumerated.cache_clear()
    both = [row[0][:, None] * row[1] for row in law()[:, [0, 5]]]
    zero, one = both[0].ravel(), both[1].ravel()
    ratio = one / zero
    pairs = (ratio[:, None] > ratio) + 0.5 * np.isclose(ratio[:, None], ratio)
    assert limit.auroc == pytest.approx(one @ pairs @ zero, abs=1e-12)
    accuracy = np.maximum(0.75 * one, 0.25 * zero).sum()
    assert limit.accuracy == pytest.approx(accuracy, abs=1e-12)


def test_the_limit_follows_the_shares_and_the_informativeness():
    even, test = np.repeat([0, 1], 50), np.repeat([0, 1], [234, 390])
    nothing = notes_limit(test, 0)
    assert nothing == pytest.approx((0.625, 0.5), abs=1e-9)
    steps = [notes_limit(test, by) for by in (0, 0.5, 1, 2, 4)]
    assert all(np.less(a, b).all() for a, b in zip(steps, steps[1:], strict=False))
    assert notes_limit(even).auroc == notes_limit(test).auroc
    rare = notes_limit(np.repeat([0, 1], [99, 1])).accuracy
    assert rare >= 0.99 > notes_limit(test).accuracy > notes_limit(even).accuracy
    # Neither useless nor enough: the reason for the parameters.
    assert 0.85 < notes_limit(test).auroc < 0.9


# --- how they say it -----------------------------------------------------------------


def reader(language: str):
    """An ideal reader: sentence → (finding, state), by the phrases and ranges."""
    patterns = []
    for (finding, state), alternatives in notes.phrases(language).items():
        for phrase in alternatives:
            pattern = re.escape(phrase).replace(r"\{\}", r"(\d+(?:\.\d)?)")
            patterns.append((re.compile(pattern), finding, state))

    def read(text: str) -> list[int]:
        said = dict.fromkeys(FINDINGS, 0)
        ends = r"(?<=\.)\s+" if language == "en" else r"(?<=。)"
        for sentence in re.split(ends, text):
            hits = set()
            for pattern, finding, state in patterns:
                if match := pattern.fullmatch(sentence):
                    if match.groups():
                        *ranges, unit = notes._NUMBERS[finding]
                        low, high = ranges[state - 1]
                        if not low <= round(float(match[1]) * unit) <= high:
                            continue
                    hits.add((finding, state))
            assert len(hits) <= 1, sentence
            for finding, state in hits:
                assert said[finding] == 0
                said[finding] = state
        return list(said.values())

    return read


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_tell_exactly_what_is_said(language):
    # Else the limit would not be that of the text.
    read = reader(language)
    rng = np.random.default_rng(0)
    said = rng.integers(0, STATES, (400, len(FINDINGS)))
    texts = notes.write(said, np.arange(400), language)
    assert [read(text) for text in texts] == said.tolist()


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_several_phrasings_and_all_are_used(language):
    phrases = notes.phrases(language)
    assert set(phrases) == {(name, state) for name in FINDINGS for state in (1, 2, 3)}
    assert min(map(len, phrases.values())) >= 3
    rng = np.random.default_rng(0)
    said = rng.integers(1, STATES, (1500, len(FINDINGS)))
    joined = "|".join(notes.write(said, np.arange(1500), language))
    for alternatives in phrases.values():
        for phrase in alternatives:
            pattern = re.escape(phrase).replace(r"\{\}", r"\d+(\.\d)?")
            assert re.search(pattern, joined), phrase


@pytest.mark.parametrize("language", LANGUAGES)
def test_given_what_is_said_the_phrasing_ignores_the_label(language):
    from scipy.stats import chi2_contingency

    labels, said = sample(6000, share=0.5)
    texts = notes.write(said, np.arange(6000), language)
    stated = said[:, list(FINDINGS).index("cough")] == 3
    rows = []
    for phrase in notes.phrases(language)["cough", 3]:
        start = phrase.split("{}")[0]
        uses = np.array([start in text for text in texts])
        rows.append([(uses & stated & (labels == label)).sum() for label in (0, 1)])
    assert np.min(rows) > 100
    assert chi2_contingency(np.array(rows)).pvalue > 0.001


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_note_names_a_diagnosis(language, stand_in):
    said = np.random.default_rng(1).integers(0, STATES, (2000, len(FINDINGS)))
    for text in notes.write(said, np.arange(2000), language):
        assert not re.search(NAMING[language], text, re.IGNORECASE), text


def test_a_note_that_says_nothing_still_is_a_text():
    nothing = np.zeros((50, len(FINDINGS)), int)
    for language in LANGUAGES:
        texts = notes.write(nothing, np.arange(50), language)
        assert all(texts) and len(set(texts)) > 10
        assert all(text.count("{") == 0 for text in texts)


def test_the_tokenizer_reads_both_languages(stand_in):
    patients = stand_in.train.groups[:800]
    for language, words in (("en", ["cough", "possible", "no"]), ("zh", ["咳", "可"])):
        said = stand_in.train["findings"][:800]
        texts = notes.write(said, patients, language)
        tokenizer = WordTokenizer.fit(texts, length=120)
        ids = tokenizer(texts)
        assert set(words) <= set(tokenizer.vocabulary)
        assert (ids[:, 0] > 1).all() and (ids[:, -1] == 0).all()
        assert not (ids == 1).any()
        # Rows that say different things stay different.
        assert len({row.tobytes() for row in ids}) == len(set(texts))
    assert max(map(len, tokenizer.vocabulary[2:])) <= 3  # characters and numbers


# --- the data set --------------------------------------------------------------------


def test_the_stand_in_has_the_form_of_the_real_data(stand_in, offline, capsys):
    data = chest_xray_notes()
    lines = capsys.readouterr().out.splitlines()
    assert "MMLEARN_OFFLINE" in lines[0]
    assert lines[1].startswith("STAND-IN DATA") and len(lines) == 2
    assert data.source == "stand-in" and data.class_names == ("normal", "pneumonia")
    assert data.modalities == ("image", "text")
    assert [len(data[name]) for name in SPLITS] == [4700, 524, 624]
    assert data.class_counts()["test"].tolist() == [234, 390]
    assert data.train["image"].shape[1:] == (28, 28, 1)
    assert data.train["image"].dtype == np.uint8
    for name in SPLITS:
        for key in ("image", "text"):
            np.testing.assert_array_equal(data[name][key], stand_in[name][key])


def test_the_findings_are_those_of_the_texts(stand_in):
    read = reader("en")
    part = stand_in.test
    assert part["findings"].shape == (624, 10) and part["findings"].dtype == np.int8
    assert [read(text) for text in part["text"]] == part["findings"].tolist()


def test_copies_of_a_picture_are_one_patient_and_leave_training(stand_in, offline):
    data = chest_xray_notes(keep_duplicates=True)
    pictures = {name: [x.tobytes() for x in data[name]["image"]] for name in SPLITS}
    again = set(pictures["train"]) & set(pictures["val"])
    assert len(again) == 8
    for picture in again:
        one, other = (pictures[name].index(picture) for name in ("train", "val"))
        assert data.train.groups[one] == data.val.groups[other]
        assert data.train["text"][one] == data.val["text"][other]
    clean = [{x.tobytes() for x in stand_in[name]["image"]} for name in SPLITS]
    assert not (clean[0] & clean[1] or clean[0] & clean[2] or clean[1] & clean[2])
    assert len(stand_in.val) == len(data.val) and len(stand_in.test) == len(data.test)
    assert len(data.train) - len(stand_in.train) == 8


def by_patient(data: MultimodalDataset) -> dict[int, str]:
    return {
        patient: text
        for name in SPLITS
        for patient, text in zip(data[name].groups, data[name]["text"], strict=True)
    }


def test_a_note_depends_on_its_patient_and_the_seed_alone(stand_in, offline):
    whole = by_patient(stand_in)
    some = chest_xray_notes(num_train=300)
    assert len(some.train) == 300
    counts, all_counts = (d.class_counts()["train"] for d in (some, stand_in))
    assert abs(counts[1] / 300 - all_counts[1] / 4700) < 0.01
    assert by_patient(some).items() <= whole.items()
    other = by_patient(chest_xray_notes(num_train=300, seed=1))
    shared = other.keys() & whole.keys()
    assert np.mean([other[patient] == whole[patient] for patient in shared]) < 0.05


def test_both_languages_say_the_same(stand_in, offline):
    chinese = chest_xray_notes(language="zh", findings=True)
    read = reader("zh")
    np.testing.assert_array_equal(chinese.val["findings"], stand_in.val["findings"])
    for text, said in zip(chinese.val["text"], stand_in.val["findings"], strict=True):
        assert read(text) == said.tolist()


def test_the_stand_in_can_be_learnt_but_not_perfectly(stand_in):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    small = stand_in.subset(1500)
    features = {
        name: small[name]["image"]
        .reshape(-1, 14, 2, 14, 2)
        .mean((2, 4))
        .reshape(-1, 196)
        for name in ("train", "test")
    }
    model = RandomForestClassifier(100, random_state=0)
    model.fit(features["train"], small.train.labels)
    chances = model.predict_proba(features["test"])[:, 1]
    assert 0.68 < roc_auc_score(small.test.labels, chances) < 0.97


def test_no_simple_reader_beats_the_limit_and_a_fair_one_comes_near(stand_in):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline

    reader = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=3, max_iter=300)
    )
    reader.fit(stand_in.train["text"], stand_in.train.labels)
    chances = reader.predict_proba(stand_in.test["text"])[:, 1]
    score = roc_auc_score(stand_in.test.labels, chances)
    limit = notes_limit(stand_in.test.labels).auroc
    assert limit - 0.08 < score < limit + 0.03


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "fr"}, "language is 'fr': choose one of en, zh"),
        ({"informativeness": -1}, "informativeness is -1: expected 0 or more"),
        ({"informativeness": float("nan")}, "informativeness is nan"),
        ({"num_train": 1}, "num_train is 1: expected 2"),
        ({"num_train": 9999}, "num_train is 9999"),
    ],
)
def test_bad_arguments_are_refused(offline, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        chest_xray_notes(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prior", [0, 1, -0.1, float("nan")])
def test_an_impossible_prior_is_refused(prior):
    with pytest.raises(ValueError, match="prior is"):
        notes_posterior(np.zeros((1, 10), int), prior)


@pytest.mark.parametrize("labels", [[0, 0], [0, 1, 2], []])
def test_the_limit_needs_both_classes(labels):
    with pytest.raises(ValueError, match="0 and 1"):
        notes_limit(np.array(labels, int))


# --- the pictures of PneumoniaMNIST -------------------------------------------------


@real
def test_the_real_pictures_are_those_of_the_file():
    data = chest_xray_notes()
    assert data.source == "real"
    with np.load(SHARED) as file:
        for name in SPLITS:
            part = data[name]
            images = file[f"{name}_images"][part.index]
            np.testing.assert_array_equal(part["image"][..., 0], images)
            labels = file[f"{name}_labels"][part.index, 0]
            np.testing.assert_array_equal(part.labels, labels)
    assert [len(data[name]) for name in SPLITS] == [4698, 524, 624]
    assert data.class_counts()["test"].tolist() == [234, 390]


@real
def test_8_real_pictures_recur_unless_they_are_removed():
    leaky, clean = chest_xray_notes(keep_duplicates=True), chest_xray_notes()
    assert len(set(leaky.train.groups) & set(leaky.val.groups)) == 8
    assert not set(clean.train.groups) & set(clean.val.groups)


def cached(folder, content: bytes, monkeypatch, **changes):
    """Registers the content, with its MD5, as the official file."""
    changes = {"md5": hashlib.md5(content).hexdigest(), **changes}
    source = replace(sources.SOURCES["pneumoniamnist"], **changes)
    monkeypatch.setitem(sources.SOURCES, "pneumoniamnist", source)
    return folder / "keras" / "mmlearn" / "pneumoniamnist.npz"


def official(path) -> bytes:
    """A file with the official keys and shapes, and few pictures."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name in SPLITS:
        arrays[f"{name}_images"] = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)
        arrays[f"{name}_labels"] = np.array([[0], [1]] * 3, np.uint8)
    np.savez(path, **arrays)
    return path.read_bytes()


def test_the_official_download_is_verified_by_its_md5(offline, monkeypatch, capsys):
    served = offline / "served"
    served.mkdir()
    content = official(served / "pneumoniamnist.npz")
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(served)
    )
    monkeypatch.setattr(handler.func, "log_message", lambda *args: None)
    monkeypatch.delenv("MMLEARN_OFFLINE")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        url = f"http://127.0.0.1:{server.server_port}/pneumoniamnist.npz"
        path = cached(offline, b"another file", monkeypatch, url=url)
        with pytest.raises(sources.SourceError, match="expected checksum"):
            sources.download("pneumoniamnist")
        assert not path.exists()
        cached(offline, content, monkeypatch, url=url)
        data = chest_xray_notes()
        server.shutdown()
    assert data.source == "real" and len(data.train) == 6
    assert path.read_bytes() == content


def test_a_damaged_file_is_refused(offline, monkeypatch):
    path = cached(offline, b"the right file", monkeypatch)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another file")
    with pytest.raises(sources.SourceError, match="damaged.*MD5"):
        chest_xray_notes()
    path.unlink()
    monkeypatch.setenv("MMLEARN_DATA", str(offline))
    (offline / "pneumoniamnist.npz").write_bytes(b"another file")
    with pytest.raises(sources.SourceError, match="damaged.*SHA-256"):
        chest_xray_notes()


@real
def test_notes_do_not_depend_on_the_order_of_the_file(offline, monkeypatch):
    # The shared file holds the official pictures in another order.
    with np.load(SHARED) as file:
        arrays = {key: file[key][::-1][:40] for key in file.files}
    path = cached(offline, b"", monkeypatch)
    path.parent.mkdir(parents=True)
    np.savez(path, **arrays)
    cached(offline, path.read_bytes(), monkeypatch)
    reversed_file = by_patient(chest_xray_notes())
    monkeypatch.setenv("MMLEARN_DATA", os.path.dirname(SHARED))
    assert reversed_file.items() <= by_patient(chest_xray_notes()).items()
