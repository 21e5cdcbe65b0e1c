"""Text encoders: rows of word ids in (0 = padding), features out.

Every encoder ignores padding, and gives a text without words a defined, finite result.
"""

import keras
from keras import layers

from mmlearn.layers import MaskedMean, PositionEmbedding, transformer_blocks

CELLS = {"rnn": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}


def bag(
    vocab_size: int,
    length: int,
    *,
    embed_dim: int = 64,
    dropout: float = 0.3,
    word_dropout: float = 0.0,
    pooling: str | None = "avg",
    name: str = "text",
) -> keras.Model:
    """Return a bag of embeddings: the mean of the word vectors; order is ignored.

    x = LayerNorm(mean of E[w_t] over the real words); normalised, so that the features
    are of a size with another modality's. A text without words gives the layer's
    learned offset.

    Args:
        vocab_size: Number of ids.
        length: Ids in a row.
        embed_dim: Length of the features.
        dropout: Rate of dropout on the features.
        word_dropout: Rate at which whole words are hidden while training.
        pooling: `"avg"` (the mean), or `None` for the whole sequence.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `words` (vocab_size, embed_dim), `norm`

    Returns:
        A model from ids (B, length) to (B, embed_dim), or (B, length, embed_dim).

    Example:
        >>> bag(vocab_size=2000, length=16).output_shape
        (None, 64)
    """
    inputs = keras.Input((length,), dtype="int32", name=name)
    x = layers.Embedding(vocab_size, embed_dim, mask_zero=True, name="words")(inputs)
    x = _hide_words(x, word_dropout)
    x = layers.LayerNormalization(name="norm")(_pooled(x, pooling, name))
    return keras.Model(inputs, layers.Dropout(dropout)(x), name=f"{name}_bag")


def recurrent(
    vocab_size: int,
    length: int,
    *,
    cell: str = "gru",
    embed_dim: int = 64,
    bidirectional: bool = False,
    dropout: float = 0.3,
    word_dropout: float = 0.0,
    pooling: str | None = "last",
    name: str = "text",
) -> keras.Model:
    """Return a recurrent encoder that reads the words one by one.

    Args:
        vocab_size: Number of ids.
        length: Ids in a row.
        cell: `"rnn"` (simple), `"lstm"` (Hochreiter & Schmidhuber 1997) or `"gru"`
            (Cho et al. 2014).
        embed_dim: Length of the features and of the word vectors.
        bidirectional: Read in both directions, with half of the features each.
        dropout: Rate of dropout on the features.
        word_dropout: Rate at which whole words are hidden while training.
        pooling: `"last"` state, `"avg"` over the words, or `None` for the sequence.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `words` (vocab_size, embed_dim); `reader`, or `both` for two directions

    Returns:
        A model from ids (B, length) to (B, embed_dim), or (B, length, embed_dim).

    Raises:
        ValueError: If `cell` or `pooling` is unknown, or `embed_dim` is odd for two
            directions.

    Example:
        >>> recurrent(vocab_size=2000, length=16).output_shape
        (None, 64)
    """
    if cell not in CELLS:
        raise ValueError(f"{name}: cell is {cell!r}, choose one of {', '.join(CELLS)}")
    if bidirectional and embed_dim % 2:
        raise ValueError(
            f"{name}: embed_dim={embed_dim} is odd: two directions share it"
        )
    inputs = keras.Input((length,), dtype="int32", name=name)
    x = layers.Embedding(vocab_size, embed_dim, mask_zero=True, name="words")(inputs)
    x = _hide_words(x, word_dropout)
    units = embed_dim // 2 if bidirectional else embed_dim
    # cuDNN refuses a text without words; the simple RNN has no such variant.
    options = {} if cell == "rnn" else {"use_cudnn": False}
    reader = CELLS[cell](
        units, return_sequences=pooling != "last", name="reader", **options
    )
    x = (layers.Bidirectional(reader, name="both") if bidirectional else reader)(x)
    x = x if pooling == "last" else _pooled(x, pooling, name, also="last")
    return keras.Model(inputs, layers.Dropout(dropout)(x), name=f"{name}_{cell}")


def transformer(
    vocab_size: int,
    length: int,
    *,
    embed_dim: int = 64,
    num_heads: int = 4,
    num_layers: int = 1,
    dropout: float = 0.1,
    word_dropout: float = 0.0,
    pooling: str | None = "avg",
    name: str = "text",
) -> keras.Model:
    """Return a Transformer encoder with learned positions and a padding mask.

    Args:
        vocab_size: Number of ids.
        length: Ids in a row.
        embed_dim: Length of the features; `num_heads` divides it.
        num_heads: Attention heads in each block.
        num_layers: Number of blocks.
        dropout: Rate of dropout in the blocks and on the features.
        word_dropout: Rate at which whole words are hidden while training.
        pooling: `"avg"` over the words, or `None` for the sequence.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `words` (vocab_size, embed_dim), `places` (length, embed_dim), `block0`,
        `block1`, … (see `TransformerBlock`), `norm`

    Returns:
        A model from ids (B, length) to (B, embed_dim), or (B, length, embed_dim).

    Raises:
        ValueError: If `num_heads` does not divide `embed_dim`, or `pooling` is unknown.

    Example:
        >>> transformer(vocab_size=2000, length=16).output_shape
        (None, 64)
    """
    inputs = keras.Input((length,), dtype="int32", name=name)
    x = layers.Embedding(vocab_size, embed_dim, mask_zero=True, name="words")(inputs)
    x = PositionEmbedding(name="places")(x)
    x = _hide_words(x, word_dropout)
    x = transformer_blocks(x, num_layers, num_heads, dropout)
    x = layers.LayerNormalization(name="norm")(x)
    x = _pooled(x, pooling, name)
    return keras.Model(inputs, layers.Dropout(dropout)(x), name=f"{name}_transformer")


def _pooled(sequence, pooling: str | None, name: str, also: str | None = None):
    if pooling == "avg":
        return MaskedMean()(sequence)
    if pooling is not None:
        choices = ", ".join(repr(c) for c in ("avg", also, None) if c or c is None)
        raise ValueError(f"{name}: pooling is {pooling!r}, choose one of {choices}")
    return sequence


def _hide_words(sequence, rate: float):
    """Zero whole word vectors at random while training."""
    return layers.Dropout(rate, noise_shape=(None, sequence.shape[1], 1))(sequence)
