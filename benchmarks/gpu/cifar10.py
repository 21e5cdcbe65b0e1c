"""CIFAR-10, pictures only, to the accuracy that a residual network is capable of.

    python -m benchmarks.gpu.cifar10 RESULT.json [--epochs 50] [--tiny]

45,000 pictures train, 5,000 validate; the 10,000 test pictures are looked at once. SGD
with momentum: of AdamW, 30 epochs reached 0.90 on validation data.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np

from mmlearn import datasets, encoders, models, runtime


class Watch(keras.callbacks.Callback):
    """Notes when each epoch ended, and writes what is known so far."""

    def __init__(self, path: Path, report: dict):
        super().__init__()
        self.path, self.report = path, report

    def on_epoch_end(self, epoch, logs=None):
        row = {"time": time.time()} | {k: float(v) for k, v in (logs or {}).items()}
        self.report["epochs"].append(row)
        self.path.write_text(json.dumps(self.report))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", type=Path)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--decay", type=float, default=5e-3)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    filters, depth, num, num_val = (64, 128, 256, 512), 2, None, 5000
    if args.tiny:
        filters, depth, num, num_val = (8, 8), 1, 40, 40
        args.epochs, args.batch = 2, 8
    runtime.setup(seed=0, profile="full")
    data = datasets.cifar10_captions(pictures="all", num_val=num_val, seed=0)
    parts = (data[name] for name in ("train", "val", "test"))
    train, val, test = (part.take(np.arange(len(part))[:num]) for part in parts)
    augment = encoders.image.augmentation(flip=True, crop=4)
    encoder = encoders.image.resnet(
        filters=filters, num_layers=depth, augment=augment, dropout=0.2
    )
    model = models.fuse([encoder], head=10)
    steps = args.epochs * -(-len(train) // args.batch)
    rising = steps // 10
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - rising, warmup_target=args.rate, warmup_steps=rising
    )
    optimizer = keras.optimizers.SGD(
        schedule, momentum=0.9, nesterov=True, weight_decay=args.decay
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"])
    report = {
        "data": data.source,
        "weights": model.count_params(),
        "batch": args.batch,
        "rate": args.rate,
        "weight_decay": args.decay,
        "start": time.time(),
        "epochs": [],
    }
    model.fit(
        *train.xy("image"),
        args.batch,
        args.epochs,
        verbose=0,
        validation_data=val.xy("image"),
        callbacks=[Watch(args.result, report)],
    )
    p = model.predict(test.xy("image")[0], args.batch, verbose=0)
    report["test_accuracy"] = float((p.argmax(-1) == test.labels).mean())
    report["num_test"] = len(test)
    args.result.write_text(json.dumps(report))
    print(report["epochs"][-1], report["test_accuracy"])


if __name__ == "__main__":
    main()
