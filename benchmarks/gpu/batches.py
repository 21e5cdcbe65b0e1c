"""Which batch size and peak of the learning rate suit notebook 02's full profile?

    python -m benchmarks.gpu.batches RESULT.json [--tiny]

Its image model, trained with each pair and two seeds and judged on validation data.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path

import keras

from mmlearn import datasets, encoders, evaluate, models, runtime, training

SIZES, RATES, SEEDS = (512, 128, 1500), (3e-3, 1e-2), (0, 1)


class Ends(keras.callbacks.Callback):
    """Notes when each epoch ended: the first one compiles."""

    def __init__(self):
        super().__init__()
        self.times = []

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.time())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    filters = (64, 128, 256, 512)
    if args.tiny:
        filters, args.epochs = (8, 8), 2
    runtime.setup(seed=0, profile="full")
    data = datasets.cifar10_captions(seed=0)
    train = data.train.take(range(64)) if args.tiny else data.train
    report = {"num_train": len(train), "fits": []}
    for seed, size, rate in product(SEEDS, SIZES, RATES):
        keras.utils.set_random_seed(seed)
        augment = encoders.image.augmentation(flip=True)
        encoder = encoders.image.cnn(filters=filters, augment=augment)
        model, ends = models.fuse([encoder], head=10), Ends()
        training.compile(model, args.epochs * -(-len(train) // size), rate)
        start = time.time()
        model.fit(*train.xy("image"), size, args.epochs, verbose=0, callbacks=[ends])
        p = model.predict(data.val.xy("image")[0], batch_size=512, verbose=0)
        row = {
            "batch": size,
            "rate": rate,
            "seed": seed,
            "validation": float(evaluate.correct(p, data.val.labels).mean()),
            "first_epoch": ends.times[0] - start,
            "other_epochs": ends.times[-1] - ends.times[0],
        }
        report["fits"].append(row)
        print(row, flush=True)
        args.result.write_text(json.dumps(report))
        if args.tiny:
            break


if __name__ == "__main__":
    main()
