"""Which modality did the work, and which part of it?"""

from mmlearn.explain.attributions import fusion_weights, grad_cam, token_attributions
from mmlearn.explain.contributions import (
    Contributions,
    ablation,
    emap,
    permutation,
    reliance,
    shapley,
    shapley_values,
)

__all__ = [
    "Contributions",
    "ablation",
    "emap",
    "fusion_weights",
    "grad_cam",
    "permutation",
    "reliance",
    "shapley",
    "shapley_values",
    "token_attributions",
]


def __dir__() -> list[str]:
    return __all__  # what completion shows
