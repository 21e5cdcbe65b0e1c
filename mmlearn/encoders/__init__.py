"""Encoders: functions that return a named `keras.Model`, one modality in, features out.

One file per modality. The argument `name` is the modality's name: it becomes the name
of the model's `keras.Input`, and must be the modality's key in the data.
"""

from mmlearn.encoders import audio, image, pretrained, series, tabular, text, video

__all__ = ["audio", "image", "pretrained", "series", "tabular", "text", "video"]


def __dir__() -> list[str]:
    return __all__  # what completion shows
