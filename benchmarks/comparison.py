"""What `evaluate.compare` adds to the fits that it is made of.

    python -m benchmarks.comparison

Writes results/comparison_<backend>.md.
"""

import argparse
import os
from functools import partial

import keras

from benchmarks import timing
from mmlearn import datasets, evaluate, fusion, models
from mmlearn.evaluate import baselines

EPOCHS, BATCH, SEED = 10, 64, 0


def candidate() -> keras.Model:
    """Two small networks, joined by concatenation."""
    parts = []
    for name in ("first", "second"):
        x = keras.Input((16,), name=name)
        h = keras.layers.Dense(64, activation="relu")(x)
        h = keras.layers.Dense(64, activation="relu")(h)
        parts.append(keras.Model(x, h, name=f"{name}_encoder"))
    return models.fuse(parts, fusion=fusion.ConcatFusion(), head=2)


def bare(builds, data) -> None:
    """Fit each model, and predict what a report of accuracies needs."""
    for build in builds:
        keras.utils.set_random_seed(SEED)
        model = build()
        optimizer = keras.optimizers.AdamW(weight_decay=1e-3)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        inputs = model.inputs_from
        train = inputs(data.train), data.train.labels
        model.fit(*train, BATCH, EPOCHS, verbose=0)
        for split in (data.val, data.test):
            model.predict(inputs(split), batch_size=256, verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--num-train", type=int, default=20000)
    args = parser.parse_args()
    os.environ["MMLEARN_RESULTS"] = "off"  # or all but the first would cost nothing
    data, _ = datasets.interactions(
        "synergistic", num_train=args.num_train, num_val=1000, num_test=1000, seed=SEED
    )
    options = {"seeds": [SEED], "epochs": EPOCHS, "batch_size": BATCH}

    def ours():
        return evaluate.compare({"concat": candidate}, data, **options)

    single = ours().single.removesuffix(" only")
    alone = baselines.singles([candidate], data)
    outputs, size = baselines.outputs_of(data), candidate().count_params()
    larger = partial(baselines.enlarged, alone[single], single, size, outputs)
    fits = partial(bare, [*alone.values(), candidate, larger], data)
    found = timing.compare(ours, fits, args.rounds, warm_up=1)
    header = ["samples", "epochs", "compare, ms", "bare fits, ms", "ratio [95 %]"]
    text = (
        "# What `evaluate.compare` adds\n\n"
        f"{timing.machine(*timing.backend_packages())}\n\n"
        "One candidate, its two single modalities and one of equal size, one seed, "
        "nothing stored, against `fit` and `predict` of the same four models, "
        f"{args.rounds} rounds in turns.\n\n"
    )
    row = [f"{args.num_train:,}", str(EPOCHS), *found.cells()]
    name = f"comparison_{keras.backend.backend()}.md"
    timing.save(name, text + timing.table(header, [row]))


if __name__ == "__main__":
    main()
