"""Data sets: a loader, a data card and an embedded stand-in for each."""

from mmlearn.datasets.base import MultimodalDataset, Split
from mmlearn.datasets.cifar10 import cifar10_captions

__all__ = ["MultimodalDataset", "Split", "cifar10_captions"]
