"""A late-fusion LeNet by mmlearn against the same model written in PyTorch.

    python -m benchmarks.lenet_pytorch --torch-python .venv-jax/bin/python

Two pictures in, 28×28×1 and 112×112×1, about 260,000 parameters, batches of 40, Adam.
Each side trains in a process of its own, with 2 threads; they take turns, never at the
same time. Before the clock starts, the same weights must give the same answers.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

SHAPES, THREADS = {"image": (28, 28, 1), "sound": (112, 112, 1)}, 2
BLOCKS, CHANNELS, HIDDEN, CLASSES = {"image": 4, "sound": 6}, 6, 100, 10


def data(batches: int, batch: int):
    """Random pictures, 0..255, and labels."""
    rng = np.random.default_rng(0)
    count = batches * batch
    x = {
        name: rng.integers(0, 256, (count, *shape)).astype("float32")
        for name, shape in SHAPES.items()
    }
    return x, rng.integers(0, CLASSES, count)


def keras_side(batches: int, batch: int, weights: Path):
    """Return the number of parameters, answers to a batch, and an epoch's function."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
        tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    from mmlearn.encoders import image
    from mmlearn.fusion import ConcatFusion
    from mmlearn.models import classification_head, fuse

    keras.utils.set_random_seed(0)
    encoders = [
        image.lenet(
            shape, filters=CHANNELS, num_layers=BLOCKS[name], embed_dim=None, name=name
        )
        for name, shape in SHAPES.items()
    ]
    head = classification_head(CLASSES, hidden=HIDDEN)
    model = fuse(encoders, ConcatFusion(), head)
    # XLA is slower on a CPU.
    model.compile(
        keras.optimizers.Adam(1e-3, epsilon=1e-8),
        "sparse_categorical_crossentropy",
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    x, labels = data(batches, batch)
    np.savez(weights, *model.get_weights())
    first = model.predict({k: v[:batch] for k, v in x.items()}, verbose=0)

    def epoch():
        model.fit(x, labels, batch_size=batch, verbose=0)

    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    return trained, first, epoch


def torch_side(
    batches: int,
    batch: int,
    weights: Path,
    channels_last: bool = False,
    compiled: bool = False,
):
    """The same in PyTorch's own words; pictures are (B, C, H, W), as is usual there.

    `channels_last` keeps that order, but stores each pixel's channels side by side,
    which PyTorch's manual suggests for convolutions. A batch is moved to the GPU, if
    there is one, when its turn comes, as `fit` does.
    """
    import torch
    from torch import nn

    torch.set_num_threads(THREADS)
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def encoder(num_blocks):
        steps, before = [], 1
        for i in range(num_blocks):
            width, size = CHANNELS * 2**i, 3 if i else 5
            steps += [
                nn.Conv2d(before, width, size, padding="same", bias=False),
                nn.MaxPool2d(2),
                nn.BatchNorm2d(width, eps=1e-3, momentum=0.01),
                nn.ReLU(),
            ]
            before = width
        return nn.Sequential(*steps, nn.Flatten())

    class LateFusion(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoders = nn.ModuleList(encoder(BLOCKS[name]) for name in SHAPES)
            joint = sum(CHANNELS * 2 ** (n - 1) for n in BLOCKS.values())
            self.head = nn.Sequential(
                nn.Linear(joint, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)
            )

        def forward(self, pictures):
            pairs = zip(self.encoders, pictures, strict=True)
            return self.head(torch.cat([f(x / 127.5 - 1) for f, x in pairs], -1))

    model = LateFusion()
    _load(model, np.load(weights))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(device, memory_format=layout)
    forward = torch.compile(model) if compiled else model
    x, labels = data(batches, batch)
    x = [torch.tensor(one.transpose(0, 3, 1, 2).copy()) for one in x.values()]
    x = [one.to(memory_format=layout) for one in x]
    labels = torch.tensor(labels)
    with torch.no_grad():
        model.eval()
        first = model([one[:batch].to(device) for one in x]).softmax(-1).cpu().numpy()
    optimizer, loss = torch.optim.Adam(model.parameters(), 1e-3), nn.CrossEntropyLoss()

    def epoch():
        model.train()
        order = torch.randperm(len(labels))
        for at in range(0, len(labels), batch):
            chosen = order[at : at + batch]
            optimizer.zero_grad()
            pictures = [one[chosen].to(device) for one in x]
            loss(forward(pictures), labels[chosen].to(device)).backward()
            optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return sum(p.numel() for p in model.parameters()), first, epoch


def _load(model, arrays) -> None:
    """Copy the Keras model's weights; both list them layer by layer."""
    import torch

    arrays = [arrays[name] for name in arrays.files]
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Conv2d):
                targets = [module.weight]
            elif isinstance(module, torch.nn.BatchNorm2d):
                targets = [module.weight, module.bias]
                targets += [module.running_mean, module.running_var]
            elif isinstance(module, torch.nn.Linear):
                targets = [module.weight, module.bias]
            else:
                continue
            for target in targets:
                array = arrays.pop(0)
                axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[array.ndim]
                target.copy_(torch.tensor(array.transpose(axes).copy()))


SIDES = {
    "mmlearn": keras_side,
    "PyTorch": torch_side,
    "PyTorch, channels_last": partial(torch_side, channels_last=True),
    "PyTorch, torch.compile": partial(torch_side, compiled=True),
}
USUAL = [name for name in SIDES if "compile" not in name]  # that needs a C++ compiler


def worker(side: str, batches: int, batch: int, weights: Path) -> None:
    """Answer each line on the input with the seconds of an epoch."""
    parameters, first, epoch = SIDES[side](batches, batch, weights)
    epoch()
    from benchmarks.timing import backend_packages, machine

    packages = backend_packages() if side == "mmlearn" else ["torch"]
    hello = {"parameters": parameters, "first": first.tolist()}
    print("REPLY", json.dumps(hello | {"machine": machine(*packages)}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        epoch()
        print("REPLY", json.dumps(time.perf_counter() - start), flush=True)


class Side:
    """A worker process and its answers."""

    def __init__(self, side: str, python: str, args: argparse.Namespace, weights: Path):
        command = [python, "-m", "benchmarks.lenet_pytorch", "--worker", side]
        command += ["--weights", str(weights), "--batches", str(args.batches)]
        command += ["--batch", str(args.batch)]
        threads = {
            name: str(THREADS) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        }
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads,
        )
        self.hello = self.reply()

    def reply(self):
        for line in self.process.stdout:
            if line.startswith("REPLY "):
                return json.loads(line.removeprefix("REPLY "))
        raise RuntimeError(f"a worker stopped, exit code {self.process.wait()}")

    def epoch(self) -> float:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.reply()

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tensorflow-python", default=sys.executable)
    parser.add_argument("--torch-python", default=sys.executable)
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--batches", type=int, default=50, help="in an epoch")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path, help="all sides, to this file")
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, help="of the probabilities"
    )
    parser.add_argument("--worker", choices=SIDES)
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker, args.batches, args.batch, args.weights)
        return
    from benchmarks.timing import Comparison, save, table

    names = list(SIDES) if args.json else USUAL
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.npz"
        # One after the other: the others read the weights that the first wrote.
        sides = [
            Side(
                name,
                args.tensorflow_python if name == "mmlearn" else args.torch_python,
                args,
                weights,
            )
            for name in names
        ]
        answers = [np.array(side.hello["first"]) for side in sides]
        apart = np.max([np.abs(answer - answers[0]) for answer in answers])
        if not apart <= args.tolerance:  # nor where it is NaN
            raise SystemExit(f"not the same model: probabilities {apart:.2g} apart")
        order, shuffle = list(range(len(sides))), random.Random(0).shuffle
        times = np.empty((len(sides), args.rounds))
        for n in range(args.rounds):
            shuffle(order)
            for which in order:
                times[which, n] = sides[which].epoch() / args.batches
        for side in sides:
            side.end()
    rows = []
    for name, side, seconds in zip(names, sides, times, strict=True):
        ours, milliseconds, ratio = Comparison(times[0], seconds).cells()
        row = [name, f"{side.hello['parameters']:,}", milliseconds, ratio]
        rows.append(row if side is not sides[0] else [*row[:2], ours, "1"])
    header = ["model", "parameters", "ms a batch", "mmlearn / it [95 % interval]"]
    if args.json:
        found = {"batch": args.batch, "batches": args.batches, "rounds": args.rounds}
        found |= {"apart": float(apart), "header": header, "rows": rows}
        args.json.write_text(json.dumps(found))
        return
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    text = (
        f"# Late-fusion LeNet: mmlearn on {backend} and plain PyTorch\n\n"
        f"mmlearn: {sides[0].hello['machine']}  \n"
        f"PyTorch: {sides[1].hello['machine']}\n\nTraining, batches of {args.batch}, "
        f"{THREADS} threads each, in turns of {args.batches} batches, {args.rounds} "
        "rounds. `fit` on arrays against a plain loop; both shuffle. A ratio below 1: "
        "mmlearn is faster. With the same weights all gave the same probabilities to "
        f"within {args.tolerance:g}.\n\n"
    )
    save("lenet_pytorch.md", text + table(header, rows))


if __name__ == "__main__":
    main()
