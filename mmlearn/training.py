"""What `fit` lacks: one live line for many fits."""

import sys
import time

import keras

from mmlearn import runtime


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
