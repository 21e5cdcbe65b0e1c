"""Fusion layers: a list or dict of features in, one tensor out.

One file per family. Every layer takes a presence mask: the content of an absent
modality never reaches the output.
"""

from mmlearn.fusion.attention import (
    BottleneckFusion,
    CrossModalAttention,
    SelfAttentionFusion,
)
from mmlearn.fusion.bilinear import BilinearFusion
from mmlearn.fusion.decision import (
    DecisionFusion,
    EvidentialFusion,
    StackingFusion,
)
from mmlearn.fusion.gated import FiLMFusion, GatedFusion
from mmlearn.fusion.joint import (
    ConcatFusion,
    DeepSetFusion,
    MaxFusion,
    MeanFusion,
    ProductFusion,
    SumFusion,
    WeightedFusion,
)
from mmlearn.fusion.presence import ModalityDropout
from mmlearn.fusion.tensor import (
    LowRankFusion,
    MultiplicativeInteraction,
    TensorFusion,
)

__all__ = [
    "BilinearFusion",
    "BottleneckFusion",
    "ConcatFusion",
    "CrossModalAttention",
    "DecisionFusion",
    "DeepSetFusion",
    "EvidentialFusion",
    "FiLMFusion",
    "GatedFusion",
    "LowRankFusion",
    "MaxFusion",
    "MeanFusion",
    "ModalityDropout",
    "MultiplicativeInteraction",
    "ProductFusion",
    "SelfAttentionFusion",
    "StackingFusion",
    "SumFusion",
    "TensorFusion",
    "WeightedFusion",
]


def __dir__() -> list[str]:
    return __all__  # what completion shows
