"""Encoders that others trained on millions of pictures or sentences.

`image` and `minilm` return a named `keras.Model` like every encoder, frozen unless
asked otherwise; `features` runs a frozen one over a data set once and keeps the result.
"""

from mmlearn.encoders.pretrained.bert import MiniLMTokenizer, minilm
from mmlearn.encoders.pretrained.frozen import features
from mmlearn.encoders.pretrained.images import (
    image,
    imagenet_classifier,
    imagenet_names,
)

__all__ = [
    "MiniLMTokenizer",
    "features",
    "image",
    "imagenet_classifier",
    "imagenet_names",
    "minilm",
]
