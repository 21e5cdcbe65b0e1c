"""What notebooks write again and again: a compiled model, a live line for many fits."""

import sys
import time

import keras

from mmlearn import runtime


def compile(
    model: keras.Model,
    steps: int,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-3,
    warmup: float = 0.2,
    loss="sparse_categorical_crossentropy",
    **options,
) -> keras.Model:
    """Compile a model with AdamW; the learning rate warms up, then falls to 0.

    η_t = η t/w for t < w;  η (1 + cos(π (t - w)/(T - w)))/2 after, with the peak η, T
    steps and w = ⌊warmup · T⌋ (AdamW and the cosine: Loshchilov & Hutter 2019,
    https://arxiv.org/abs/1711.05101; the warm-up: Goyal et al. 2017,
    https://arxiv.org/abs/1706.02677). Plain Keras: `CosineDecay` within `AdamW`.

    Args:
        model: Any Keras model.
        steps: Number of training steps to come, T: the epochs times the batches of one,
            `epochs * -(-num_samples // batch_size)`.
        learning_rate: The peak η.
        weight_decay: AdamW's, by which weights shrink at each step times η_t.
        warmup: Share of the steps in which the learning rate rises, 0 to below 1.
        loss: Keras's; here for classes given as numbers.
        **options: Further arguments of `keras.Model.compile`, such as `metrics`.

    Returns:
        The model.

    Raises:
        ValueError: If `steps` is below 1, or `warmup` is outside 0 to below 1.

    Example:
        `training.compile(model, steps=400, learning_rate=3e-3, metrics=["accuracy"])`
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}, expected 1 or more: is the split empty?")
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup is {warmup}, expected a share of 0 to below 1")
    rising = int(warmup * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps - rising, warmup_target=learning_rate, warmup_steps=rising
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay)
    model.compile(optimizer, loss, **options)
    return model


class Progress(keras.callbacks.Callback):
    """One live progress line for a series of fits, instead of pages of epoch lines.

    Pass the same object to each `fit`, with `verbose=0`. When the last fit ends, the
    line says only how many fits were done, so that a notebook's output is the same at
    every run.

    Args:
        label: What is being trained.
        fits: Number of fits to come.
    """

    def __init__(self, label: str, fits: int = 1):
        super().__init__()
        self.label, self.fits = label, fits
        self.done = 0
        self._started = None
        self._line = _Line()

    def on_train_begin(self, logs=None):
        self._started = self._started or time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        share = (self.done + (epoch + 1) / self.params["epochs"]) / self.fits
        left = (time.monotonic() - self._started) * (1 / share - 1)
        bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
        self._line.show(
            f"{self.label} {bar} fit {self.done + 1}/{self.fits}, epoch {epoch + 1}/"
            f"{self.params['epochs']}, {left:.0f} s left"
        )

    def on_train_end(self, logs=None):
        self.done += 1
        if self.done == self.fits:
            many = "fit" if self.fits == 1 else "fits"
            self._line.show(f"{self.label}: {self.fits} {many} done", last=True)


class _Line:
    """A line that is overwritten: a display in a notebook, `\\r` in a terminal."""

    def __init__(self):
        self._handle = None

    def show(self, text: str, last: bool = False) -> None:
        if runtime.in_notebook():
            from IPython.display import display

            data = {"text/plain": text}
            if self._handle is None:
                self._handle = display(data, raw=True, display_id=True)
            else:
                self._handle.update(data, raw=True)
        elif sys.stdout.isatty():
            print(f"\r{text:<100}", end="\n" if last else "", flush=True)
        elif last:
            print(text)
