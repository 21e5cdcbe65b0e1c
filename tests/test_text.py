"""Tests of the tokenizer: words, vocabulary, ids, files."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmlearn.text import PADDING, UNKNOWN, WordTokenizer

KNOWN = ("boat", "car", "dog", "red", "tree")
WORDS = WordTokenizer([PADDING, UNKNOWN, *KNOWN], length=6)


def words(text: str, **options) -> list[str]:
    return WordTokenizer([PADDING, UNKNOWN], 4, **options).split([text])[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A RED Car", ["a", "red", "car"]),
        ("  Über\tcafé\nÉCOLE ", ["über", "café", "école"]),
        ("x-ray, (left): don't!", ["x", "ray", "left", "don", "t"]),
        ("红色汽车 car", ["红", "色", "汽", "车", "car"]),
        ("3.5 cm", ["3", "5", "cm"]),
        ("[PAD] [UNK]", ["pad", "unk"]),  # cannot be smuggled in as special ids
        ("", []),
        (" ,.! \n", []),
    ],
)
def test_a_text_is_standardised_and_split(text, expected):
    assert words(text) == expected


def test_common_words_are_dropped_on_request_only():
    text = "the cat and a dog are on it"
    assert words(text, stop_words=True) == ["cat", "dog"]
    assert words(text) == text.split()


def test_accents_are_stripped_on_request_only():
    text = "Über cafe\u0301 がく хороший"
    assert words(text) == ["über", "café", "がく", "хороший"]
    assert words(text, strip_accents=True) == ["uber", "cafe", "かく", "хорошии"]


def test_a_tokenizer_saved_before_strips_accents_as_it_did(tmp_path):
    config = WordTokenizer([PADDING, UNKNOWN, "cafe"], 2).get_config()
    del config["strip_accents"]
    (tmp_path / "old.json").write_text(json.dumps(config), encoding="utf-8")
    assert WordTokenizer.load(tmp_path / "old.json")(["Café"]).tolist() == [[2, 0]]


def test_words_are_stemmed_on_request_only():
    assert words("Wheels running", stem=True) == ["wheel", "run"]
    assert words("Wheels running") == ["wheels", "running"]


def test_stop_words_are_dropped_before_stemming():
    # "being" is a stop word; its stem "be" is another one.
    assert words("being wheels", stop_words=True, stem=True) == ["wheel"]


def test_inflections_share_an_id_after_stemming():
    tokenizer = WordTokenizer.fit(["wheels"], length=2, stem=True)
    assert tokenizer(["wheel wheels"]).tolist() == [[2, 2]]


@given(st.permutations(["a red car", "red", "a boat", "tree", "red a", ""]))
def test_the_vocabulary_does_not_depend_on_the_order_of_texts(texts):
    vocabulary = WordTokenizer.fit(texts, length=3).vocabulary
    # By frequency, ties by alphabet.
    assert vocabulary == [PADDING, UNKNOWN, "a", "red", "boat", "car", "tree"]


@given(
    st.lists(st.lists(st.sampled_from(KNOWN), min_size=1).map(" ".join), min_size=1),
    st.integers(3, 8),
)
def test_the_vocabulary_holds_the_most_frequent_words(texts, vocab_size):
    counts = Counter(" ".join(texts).split())
    vocabulary = WordTokenizer.fit(texts, 3, vocab_size=vocab_size).vocabulary
    kept = vocabulary[2:]
    assert len(vocabulary) == min(vocab_size, 2 + len(counts))
    assert all(
        counts[word] <= min(counts[k] for k in kept) for word in set(counts) - set(kept)
    )


def test_fit_sees_the_given_texts_only():
    tokenizer = WordTokenizer.fit(iter(["red car"]), length=3)
    assert set(tokenizer.vocabulary) == {PADDING, UNKNOWN, "red", "car"}
    assert tokenizer(["red boat car"])[0, 1] == 1
    assert "boat" not in tokenizer.vocabulary


def test_padding_is_0_and_unknown_is_1():
    ids = WORDS(["dog zebra", "", "?!"])
    assert ids.tolist() == [[4, 1, 0, 0, 0, 0], [0] * 6, [0] * 6]
    assert ids.dtype == np.int32


def test_long_texts_are_cut_at_the_end():
    assert WORDS([" ".join(KNOWN * 2)]).tolist() == [[2, 3, 4, 5, 6, 2]]


def test_no_texts_give_no_rows():
    assert WORDS([]).shape == (0, 6)


@given(st.lists(st.lists(st.sampled_from(KNOWN), max_size=6), max_size=5))
def test_known_words_survive_encoding_and_decoding(rows):
    texts = [" ".join(row) for row in rows]
    assert WORDS.decode(WORDS(texts)) == texts


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_any_text_has_a_row_of_valid_ids_with_padding_last(texts):
    ids = WORDS(texts)
    assert ids.shape == (len(texts), 6)
    assert ids.min() >= 0 and ids.max() < len(WORDS.vocabulary)
    assert (np.diff((ids == 0).astype(int), axis=1) >= 0).all()
    # Rows do not influence each other.
    np.testing.assert_array_equal(ids, np.concatenate([WORDS([t]) for t in texts]))


@pytest.mark.parametrize(
    "options", [{}, {"stop_words": True, "stem": True, "strip_accents": True}]
)
def test_a_saved_tokenizer_gives_the_same_ids(tmp_path, options):
    texts = ["The wheels of a 汽车", "café wheel", ""]
    tokenizer = WordTokenizer.fit(texts, length=5, **options)
    tokenizer.save(tmp_path / "words.json")
    loaded = WordTokenizer.load(tmp_path / "words.json")
    assert loaded.get_config() == tokenizer.get_config()
    np.testing.assert_array_equal(loaded(texts), tokenizer(texts))


def test_save_never_overwrites(tmp_path):
    path = tmp_path / "words.json"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        WORDS.save(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("text", [None, 3, float("nan"), b"red", ["red"]])
def test_what_is_no_string_is_refused_and_shown(text):
    with pytest.raises(TypeError, match="expected a string") as caught:
        WORDS(["red", text])
    assert repr(text) in str(caught.value)
    assert type(text).__name__ in str(caught.value)


def test_one_string_is_not_taken_for_a_list_of_letters():
    for use in (WORDS, WORDS.split, lambda text: WordTokenizer.fit(text, 3)):
        with pytest.raises(TypeError, match="'red car', expected a list"):
            use("red car")


@pytest.mark.parametrize(
    ("vocabulary", "length", "message"),
    [
        (["red", "car"], 3, "starts with"),
        ([], 3, "starts with"),
        ([UNKNOWN, PADDING, "red"], 3, "starts with"),
        ([PADDING, UNKNOWN, "red", "red"], 3, "repeats a word"),
        ([PADDING, UNKNOWN], 0, "length is 0"),
    ],
)
def test_a_bad_vocabulary_or_length_is_refused(vocabulary, length, message):
    with pytest.raises(ValueError, match=message):
        WordTokenizer(vocabulary, length)


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["red"], {"vocab_size": 2}, "vocab_size is 2"),
        (["red"], {"length": 0}, "length is 0"),
        (["", " . "], {}, "hold no word"),
        ([], {}, "hold no word"),
        (["the"], {"stop_words": True}, "hold no word"),
    ],
)
def test_fit_refuses_what_makes_no_vocabulary(texts, options, message):
    with pytest.raises(ValueError, match=message):
        WordTokenizer.fit(texts, **{"length": 3, **options})


def test_it_works_where_no_backend_can_be_imported():
    code = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("keras", "tensorflow", "jax", "torch"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
from mmlearn.text import WordTokenizer
tokenizer = WordTokenizer.fit(["red cars"], 2, stop_words=True, stem=True)
print(tokenizer(["a red car"]).tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[[3, 2]]", done.stderr
