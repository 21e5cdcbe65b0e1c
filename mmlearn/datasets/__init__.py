"""Data sets: a loader, a data card and an embedded stand-in for each."""

from mmlearn.datasets.base import MultimodalDataset, Split
from mmlearn.datasets.cifar10 import cifar10_captions
from mmlearn.datasets.hydraulic import hydraulic_rig
from mmlearn.datasets.interactions import Interactions, interactions

__all__ = [
    "Interactions",
    "MultimodalDataset",
    "Split",
    "cifar10_captions",
    "hydraulic_rig",
    "interactions",
]
