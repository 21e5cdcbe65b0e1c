"""A sentence encoder: MiniLM, a small BERT trained on a billion pairs of sentences."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from mmlearn.datasets import sources
from mmlearn.layers import MaskedMean

_BERT = {
    "vocabulary_size": 30522,
    "num_layers": 6,
    "num_heads": 12,
    "hidden_dim": 384,
    "intermediate_dim": 1536,
    "max_sequence_length": 512,
}


def minilm(
    length: int = 64,
    *,
    trainable: bool = False,
    pooling: str | None = "avg",
    weights: str | None = "minilm",
    name: str = "text",
) -> keras.Model:
    """Return all-MiniLM-L6-v2: a BERT of six layers whose mean states are sentences.

    h = Σ_t m_t BERT(x)_t / Σ_t m_t   (Reimers & Gurevych 2019,
    https://arxiv.org/abs/1908.10084; Wang et al. 2020,
    https://arxiv.org/abs/2002.10957)

    Texts of like meaning have a high cosine similarity. A text without words gives
    zeros. Needs the package `keras-hub`.

    Args:
        length: Ids in a row, at most 512; make them with `MiniLMTokenizer(length)`.
        trainable: Fine-tune the weights with the rest of a model.
        pooling: `"avg"` over the real tokens, or `None` for the sequence; padding is
            zero there, and masked.
        weights: `"minilm"`: the files of `python -m mmlearn data get minilm`, fetched
            if need be; a folder or address that keras-hub reads, such as
            `"hf://sentence-transformers/all-MiniLM-L6-v2"`; `None` for random ones.
        name: Name of the modality and of the model's input.

    Returns:
        A model from ids (B, length) to (B, 384), or (B, length, 384).

    Raises:
        ValueError: If `length` or `pooling` is out of range.
        ImportError: If `keras-hub` is missing.
        mmlearn.datasets.sources.SourceError: If the weights cannot be had.
    """
    if not 1 <= length <= _BERT["max_sequence_length"]:
        raise ValueError(f"{name}: length is {length}, expected 1 to 512 tokens")
    if pooling not in ("avg", None):
        raise ValueError(f"{name}: pooling is {pooling!r}, choose 'avg' or None")
    inputs = keras.Input((length,), dtype="int32", name=name)
    if weights is None:
        encode = TokenStates(_BERT, name="bert")
    else:
        bert = _load(str(_place(weights)))
        encode = TokenStates({key: getattr(bert, key) for key in _BERT}, name="bert")
        for layer in encode.bert.layers:
            layer.set_weights(bert.get_layer(layer.name).get_weights())
    x = encode(inputs)
    if pooling == "avg":
        x = MaskedMean(name="pool")(x)
    model = keras.Model(inputs, x, name=f"{name}_minilm")
    model.trainable = trainable
    return model


class MiniLMTokenizer:
    """Turn texts into rows of MiniLM's token ids with a fixed length.

    A text becomes `[CLS]`, its word pieces, `[SEP]`, then padding with id 0; longer
    texts are cut. An empty text is a row of zeros, the value of "no text".

    Args:
        length: Ids in a row, the two markers included: 3 to 512.
        weights: Where `tokenizer.json` is, as in `minilm`.

    Raises:
        ValueError: If `length` is out of range.
        mmlearn.datasets.sources.SourceError: If the file cannot be had.
    """

    def __init__(self, length: int = 64, *, weights: str = "minilm"):
        if not 3 <= length <= _BERT["max_sequence_length"]:
            raise ValueError(f"length is {length}, expected 3 to 512 tokens")
        self.length, self.weights = length, weights
        self._encoder = _load_tokenizer(_place(weights))
        self._encoder.enable_truncation(length)
        self._encoder.enable_padding(pad_id=0, pad_token="[PAD]", length=length)

    @property
    def vocabulary(self) -> list[str]:
        """The word pieces, the position being the id."""
        ids = self._encoder.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def __call__(self, texts: Iterable[str]) -> np.ndarray:
        """Return the ids of texts as an int32 array of shape (N, length).

        Raises:
            TypeError: If an element is not a string, or `texts` is a single string.
        """
        if isinstance(texts, str):
            raise TypeError(f"texts is the string {texts!r}, expected a list of texts")
        texts = list(texts)
        for text in texts:
            if not isinstance(text, str):
                raise TypeError(
                    f"a text is {text!r} ({type(text).__name__}), expected a string; "
                    "write an absent text as ''"
                )
        rows = self._encoder.encode_batch(texts)
        ids = np.array([row.ids for row in rows], "int32").reshape(-1, self.length)
        # Markers alone are no text.
        ids[[all(row.special_tokens_mask) for row in rows]] = 0
        return ids

    def decode(self, ids: np.ndarray) -> list[str]:
        """Return the texts behind ids of shape (N, length), in lower case."""
        return self._encoder.decode_batch(np.asarray(ids).tolist())

    def get_config(self) -> dict[str, Any]:
        """Return what makes an equal tokenizer: `MiniLMTokenizer(**config)`."""
        return {"length": self.length, "weights": self.weights}


@keras.saving.register_keras_serializable(package="mmlearn")
class TokenStates(layers.Layer):
    """keras-hub's BERT as a layer with one input: the states of its last block.

    Args:
        bert: Arguments of `keras_hub.models.BertBackbone`.

    Call arguments:
        ids: Integers of shape (B, T); 0 is padding.

    Returns:
        Features of shape (B, T, hidden_dim), zero at padding, with a mask.

    Raises:
        ImportError: If `keras-hub` is missing.
    """

    def __init__(self, bert: dict[str, int], **kwargs):
        super().__init__(**kwargs)
        self.arguments = dict(bert)
        bert = _backbone()(**self.arguments, dtype=self.dtype_policy)
        # Without its other output, whose weights would never be trained.
        self.bert = keras.Model(bert.input, bert.output["sequence_output"])

    def call(self, ids, training=None):
        real = ops.not_equal(ids, 0)
        states = self.bert(
            {
                "token_ids": ids,
                "segment_ids": ops.zeros_like(ids),
                "padding_mask": ops.cast(real, "int32"),
            },
            training=training,
        )
        return ops.where(ops.expand_dims(real, -1), states, 0)

    def compute_mask(self, ids, mask=None):
        return ops.not_equal(ids, 0)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.arguments["hidden_dim"])

    def get_config(self):
        return {**super().get_config(), "bert": self.arguments}


def _backbone():
    try:
        from keras_hub.models import BertBackbone
    except ImportError as error:
        raise ImportError(
            f"MiniLM needs keras-hub ({error}): pip install --no-deps keras-hub==0.32.0"
            " && pip install regex safetensors sentencepiece rich tokenizers"
        ) from error
    return BertBackbone


def _place(weights: str) -> Path | str:
    """Return the folder of the weights, or the address as it is."""
    return sources.require("minilm") if weights == "minilm" else weights


def _load(place: str):
    backbone = _backbone()
    try:
        return backbone.from_preset(place)
    except Exception as error:
        # Files, network and hub each raise errors of their own.
        raise _unavailable(place, error) from error


def _load_tokenizer(place: Path | str):
    from tokenizers import Tokenizer

    try:
        if str(place).startswith("hf://"):
            return Tokenizer.from_pretrained(str(place).removeprefix("hf://"))
        return Tokenizer.from_file(str(Path(place) / "tokenizer.json"))
    except Exception as error:
        raise _unavailable(str(place), error) from error


def _unavailable(place: str, error: Exception) -> sources.SourceError:
    return sources.SourceError(
        f"MiniLM could not be read from {place} ({type(error).__name__}): correct the "
        "address, or leave weights='minilm' and run python -m mmlearn data get minilm"
    )
