"""From strings to fixed-length ids: standardise, split, vocabulary, pad.

Built on `tokenizers`, so nothing here needs a backend. Ids are computed once, outside
the model: id 0 is padding, id 1 an unknown word, so an empty text is a row of zeros,
the value of "no text".
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from mmlearn import files

PADDING, UNKNOWN = "[PAD]", "[UNK]"


class WordTokenizer:
    """Turn texts into rows of word ids with a fixed length.

    A text is lower-cased, stripped of punctuation, and split into words (Chinese text
    into characters); accents are stripped, stop words dropped and words stemmed on
    request.

    Args:
        vocabulary: Words, the position being the id; starts with `[PAD]`, `[UNK]`.
        length: Ids in a row: longer texts are cut, shorter ones padded with 0.
        stop_words: Drop common English words (scikit-learn's list).
        stem: Reduce English words to their stem (Snowball): "wheels" → "wheel".
        strip_accents: Read é as e, ñ as n; but also が as か, й as и: other words.

    Raises:
        ValueError: If the vocabulary does not start with `[PAD]`, `[UNK]`, repeats a
            word, or `length` is below 1.

    Example:
        >>> tokenizer = WordTokenizer.fit(["a red car", "a red boat"], length=4)
        >>> tokenizer(["a red plane", ""]).tolist()
        [[2, 3, 1, 0], [0, 0, 0, 0]]
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        length: int,
        *,
        stop_words: bool = False,
        stem: bool = False,
        strip_accents: bool = False,
    ):
        self.vocabulary = list(vocabulary)
        if self.vocabulary[:2] != [PADDING, UNKNOWN]:
            raise ValueError(
                f"the vocabulary starts with {self.vocabulary[:2]}, expected "
                f"[{PADDING!r}, {UNKNOWN!r}]: make it with WordTokenizer.fit"
            )
        if len(set(self.vocabulary)) != len(self.vocabulary):
            raise ValueError("the vocabulary repeats a word: each needs one id")
        if length < 1:
            raise ValueError(f"length is {length}, expected at least 1 word")
        self.length, self.stop_words, self.stem = length, stop_words, stem
        self.strip_accents = strip_accents
        self._normalizer = normalizers.Sequence(
            [
                normalizers.NFC(),  # é may be written as one sign, or as two
                normalizers.BertNormalizer(lowercase=True, strip_accents=strip_accents),
            ]
        )
        ids = {word: i for i, word in enumerate(self.vocabulary)}
        self._encoder = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
        self._encoder.enable_truncation(length)
        self._encoder.enable_padding(pad_id=0, pad_token=PADDING, length=length)

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        length: int,
        *,
        vocab_size: int = 2000,
        stop_words: bool = False,
        stem: bool = False,
        strip_accents: bool = False,
    ) -> "WordTokenizer":
        """Make a tokenizer whose vocabulary is the most frequent words of `texts`.

        Give it the training texts only: words seen in test texts alone are unknown.

        Args:
            texts: Training texts.
            length: Ids in a row.
            vocab_size: Largest number of ids, padding and unknown included.
            stop_words: Drop common English words.
            stem: Reduce English words to their stem.
            strip_accents: Read é as e, ñ as n; but also が as か, й as и.

        Raises:
            ValueError: If there is no word in `texts` or `vocab_size` is below 3.
        """
        if vocab_size < 3:
            raise ValueError(
                f"vocab_size is {vocab_size}: [PAD], [UNK] and a word are 3"
            )
        options = {
            "stop_words": stop_words,
            "stem": stem,
            "strip_accents": strip_accents,
        }
        shell = cls([PADDING, UNKNOWN], length, **options)
        words = shell.split(texts)
        if not any(words):
            raise ValueError("the texts hold no word: a vocabulary needs at least one")
        counts = Counter(word for row in words for word in row)
        frequent = sorted(counts, key=lambda word: (-counts[word], word))
        vocabulary = [PADDING, UNKNOWN, *frequent[: vocab_size - 2]]
        return cls(vocabulary, length, **options)

    def split(self, texts: Iterable[str]) -> list[list[str]]:
        """Return the standardised words of each text.

        Raises:
            TypeError: If an element is not a string, or `texts` is a single string.
        """
        if isinstance(texts, str):
            raise TypeError(f"texts is the string {texts!r}, expected a list of texts")
        return [self._words(text) for text in texts]

    def __call__(self, texts: Iterable[str]) -> np.ndarray:
        """Return the ids of texts as an int32 array of shape (N, length)."""
        rows = self._encoder.encode_batch(self.split(texts), is_pretokenized=True)
        return np.array([row.ids for row in rows], "int32").reshape(-1, self.length)

    def decode(self, ids: np.ndarray) -> list[str]:
        """Return the words behind ids of shape (N, length), one string a row."""
        return [" ".join(self.vocabulary[i] for i in row if i) for row in ids]

    def save(self, path: str | Path) -> None:
        """Write the tokenizer to a new JSON file.

        Raises:
            FileExistsError: If the file is there already.
        """
        told = json.dumps(self.get_config(), ensure_ascii=False, indent=1)
        with files.written(path) as part:
            part.write_text(told, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "WordTokenizer":
        """Read a tokenizer that `save` wrote."""
        return cls.from_config(json.loads(Path(path).read_text(encoding="utf-8")))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WordTokenizer":
        """Return the tokenizer of a `get_config`; older ones stripped accents."""
        return cls(**{"strip_accents": True, **config})

    def get_config(self) -> dict[str, Any]:
        """Return what makes an equal tokenizer, by `from_config`."""
        return {
            "vocabulary": self.vocabulary,
            "length": self.length,
            "stop_words": self.stop_words,
            "stem": self.stem,
            "strip_accents": self.strip_accents,
        }

    def _words(self, text: str) -> list[str]:
        if not isinstance(text, str):
            raise TypeError(
                f"a text is {text!r} ({type(text).__name__}), expected a string; "
                "write an absent text as ''"
            )
        pieces = _SPLITTER.pre_tokenize_str(self._normalizer.normalize_str(text))
        words = [word for word, _ in pieces]
        if self.stop_words:
            words = [word for word in words if word not in self._stop_words]
        return self._stemmer.stemWords(words) if self.stem else words

    @cached_property
    def _stop_words(self) -> frozenset[str]:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        return ENGLISH_STOP_WORDS

    @cached_property
    def _stemmer(self):
        import snowballstemmer

        return snowballstemmer.stemmer("english")


_SPLITTER = pre_tokenizers.Sequence(
    [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="removed")]
)
