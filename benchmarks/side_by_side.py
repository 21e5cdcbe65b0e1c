"""What `evaluate.compare(jobs=...)` gains: fits side by side, of one thread each.

    python -m benchmarks.side_by_side

Writes results/side_by_side_<backend>.md.
"""

import argparse
import os
from functools import partial

import keras

from benchmarks import timing
from mmlearn import datasets, encoders, evaluate, fusion, models
from mmlearn.text import WordTokenizer

VOCAB, LENGTH = 1000, 12


def candidate(reader: str, num_classes: int) -> keras.Model:
    """A small CNN for the picture, and a reader for its caption."""
    options = {} if reader == "bag" else {"cell": reader}
    read = encoders.text.bag if reader == "bag" else encoders.text.recurrent
    parts = [
        encoders.image.cnn((32, 32, 3), (16, 32, 64), embed_dim=64),
        read(VOCAB, LENGTH, **options),
    ]
    return models.fuse(parts, fusion.ConcatFusion(), head=num_classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    os.environ["MMLEARN_RESULTS"] = "off"  # or all but the first would cost nothing
    data = datasets.cifar10_captions().subset(1000)
    words = data.train["text"]
    data = data.map(text=WordTokenizer.fit(words, length=LENGTH, vocab_size=VOCAB))
    rows = []
    for reader in ("bag", "lstm"):
        options = {
            "candidates": {"joint": partial(candidate, reader, data.num_classes)},
            "data": data,
            "seeds": range(4),
            "epochs": 4,
        }
        alone = partial(evaluate.compare, **options)
        together = partial(evaluate.compare, **options, jobs=args.jobs)
        found = timing.compare(alone, together, args.rounds, warm_up=1)
        rows.append([f"CNN and {reader}", *found.cells()])
    header = ["16 fits", "one after another, ms", "side by side, ms", "ratio [95 %]"]
    text = (
        "# What fits side by side gain\n\n"
        f"{timing.machine(*timing.backend_packages())}\n\n"
        f"1,000 pictures with captions, 4 epochs, data: {data.source}; {args.jobs} "
        f"processes of one thread against all threads in one, {args.rounds} rounds in "
        "turns. Processes run before the clock does.\n\n"
    )
    name = f"side_by_side_{keras.backend.backend()}.md"
    timing.save(name, text + timing.table(header, rows))


if __name__ == "__main__":
    main()
