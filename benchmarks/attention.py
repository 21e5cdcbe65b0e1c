"""Our attention against `keras.layers.MultiHeadAttention`, which has the same weights.

    python -m benchmarks.attention

Forward and backward, as in `fusion_layers`. Once both take the same time,
`layers.Attention` can go. KERAS_BACKEND chooses the backend.
"""

import argparse

import keras
import numpy as np

from benchmarks import timing
from benchmarks.native import native
from mmlearn.layers import Attention

BATCH, HEADS = 64, 4


@keras.saving.register_keras_serializable(package="benchmarks")
class ToItself(keras.layers.Layer):
    """A layer of queries and sources, given one sequence for both."""

    def __init__(self, attention: keras.layers.Layer):
        super().__init__()
        self.attention = attention

    def build(self, shapes):
        self.attention.build(shapes[0], shapes[0])

    def call(self, inputs):
        return self.attention(inputs[0], inputs[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    rows = []
    for length, dim in ((8, 64), (16, 64), (64, 64), (64, 256)):
        x = np.random.default_rng(0).normal(size=(BATCH, length, dim))
        x = x.astype("float32")
        theirs = keras.layers.MultiHeadAttention(HEADS, dim // HEADS)
        pair = [ToItself(layer) for layer in (theirs, Attention(HEADS))]
        for layer in pair:
            layer([x])
        pair[1].set_weights(pair[0].get_weights())
        steps = [native().layer_step(layer, [x], np.ones_like(x)) for layer in pair]
        result = timing.compare(*steps, args.rounds)
        rows.append([str(length), str(dim), *result.cells()])
        print(*rows[-1], sep="  ", flush=True)
    name = keras.backend.backend()
    text = (
        f"# Attention, {name}\n\n{timing.machine(*timing.backend_packages())}\n\n"
        "Forward and backward of `keras.layers.MultiHeadAttention` and of "
        f"`mmlearn.layers.Attention`, a sequence to itself, batch {BATCH}, {HEADS} "
        "heads, in turns.\n\n"
    )
    header = ["T", "d", "ms, Keras", "ms, ours", "ratio [95 % interval]"]
    timing.save(f"attention_{name}.md", text + timing.table(header, rows))


if __name__ == "__main__":
    main()
