"""What a thread that tunes TensorFlow's input pipeline costs `fit`.

    python -m benchmarks.pipeline

Writes results/pipeline_tensorflow.md. Once both take the same time,
`runtime._stop_tuning_pipelines` can go.
"""

import argparse

import numpy as np
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter

from benchmarks import timing
from mmlearn import encoders, models, runtime

EPOCHS, BATCH, SEED = 5, 64, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    tuned = ArrayDataAdapter.get_tf_dataset
    runtime.setup(seed=SEED)
    untuned = ArrayDataAdapter.get_tf_dataset
    rng = np.random.default_rng(SEED)
    pictures = rng.integers(0, 255, (4500, 32, 32, 3), dtype="uint8")
    labels = rng.integers(0, 10, 4500)
    encoder = encoders.image.cnn(filters=(16, 32, 64, 128))
    model = models.fuse([encoder], head=10)
    model.compile("adam", "sparse_categorical_crossentropy")

    def epochs(get_tf_dataset):
        ArrayDataAdapter.get_tf_dataset = get_tf_dataset
        model.fit({"image": pictures}, labels, BATCH, EPOCHS, verbose=0)

    found = timing.compare(
        lambda: epochs(tuned), lambda: epochs(untuned), args.rounds, warm_up=1
    )
    text = (
        "# What tuning the input pipeline costs\n\n"
        f"{timing.machine(*timing.backend_packages())}\n\n"
        f"`fit` of a small CNN on 4,500 pictures, {EPOCHS} epochs in batches of "
        f"{BATCH}, with Keras's own pipeline and with the one that `runtime.setup` "
        f"leaves, {args.rounds} rounds in turns.\n\n"
    )
    header = ["Keras's own, ms", "not tuned, ms", "ratio [95 %]"]
    timing.save("pipeline_tensorflow.md", text + timing.table(header, [found.cells()]))


if __name__ == "__main__":
    main()
