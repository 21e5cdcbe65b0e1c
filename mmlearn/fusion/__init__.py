"""Fusion layers: a list or dict of features in, one tensor out."""

from mmlearn.fusion.joint import ConcatFusion, WeightedFusion

__all__ = ["ConcatFusion", "WeightedFusion"]
