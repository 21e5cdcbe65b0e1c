"""Models whose answers are known: exact posteriors of `datasets.interactions`."""

import keras
import numpy as np
from test_interactions import hidden_states

from mmlearn.datasets import Interactions, Split
from mmlearn.fusion import SumFusion
from mmlearn.models import MultimodalModel, fuse


def exact(task: Interactions, presence: bool = True) -> MultimodalModel:
    """The task's exact posterior, whatever is present.

    log p(state | x) = Σ_m presence_m z_m · s_m / σ_m² + const, with z_m the signals'
    coordinates of x_m; a class has the sum of its states.
    """
    labels, shown = zip(*hidden_states(task), strict=True)
    noise = task.noise if np.ndim(task.noise) else [task.noise] * task.num_modalities
    encoders = []
    for m, name in enumerate(task.modalities):
        signs = np.array([state[m] for state in shown], float)
        rotation = task.rotations[name][:, : signs.shape[1]]
        encoders.append(linear(name, rotation @ signs.T / max(noise[m], 0.05) ** 2))
    head = keras.Sequential(
        [
            keras.Input((len(labels),)),
            keras.layers.Softmax(),
            keras.layers.Dense(task.num_classes, use_bias=False),
        ]
    )
    head.set_weights([np.eye(task.num_classes)[list(labels)]])
    return fuse(encoders, SumFusion(), head, presence=presence, name="exact")


def linear(name: str, kernel: np.ndarray) -> keras.Model:
    """An encoder that multiplies by a given matrix."""
    x = keras.Input((len(kernel),), name=name)
    y = keras.layers.Dense(kernel.shape[1], use_bias=False)(x)
    model = keras.Model(x, y, name=f"{name}_linear")
    model.set_weights([kernel])
    return model


def assert_share(found: float, expected: float, num: int) -> None:
    """A share of `num` samples is within four standard deviations of its truth."""
    error = 4 * np.sqrt(max(expected * (1 - expected), 1e-9) / num)
    assert abs(found - expected) <= error + 1e-9, (found, expected)


def few(num: int, modalities=("first", "second")) -> Split:
    """Samples that are all the same."""
    x = {name: np.zeros((num, 2), "float32") for name in modalities}
    return Split(x, np.zeros(num, "int64"), np.arange(num))
