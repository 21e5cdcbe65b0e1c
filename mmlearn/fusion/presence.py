"""Modality dropout: a model can only cope with what it has met."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="mmlearn")
class ModalityDropout(keras.layers.Layer):
    """Hide modalities at random while training, by their presence mask.

    Each present modality is hidden with probability `rate`, independently; where all
    would be hidden, one of them, drawn at random, stays. In inference the mask is given
    back as it is (Neverova et al. 2016, ModDrop).

    Args:
        rate: Probability of hiding a modality, from 0 to below 1.
        seed: Seeds the draws; `None` for Keras's own random numbers.

    Call arguments:
        presence: Mask of shape (B, M), 1 = present.
        training: Whether to hide.

    Returns:
        Mask of shape (B, M).

    Raises:
        ValueError: If `rate` is outside 0 to below 1.

    Example:
        >>> ModalityDropout(0.3)(keras.Input((2,))).shape
        (None, 2)
    """

    def __init__(self, rate: float = 0.3, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"{self.name}: rate is {rate}, expected 0 to below 1")
        self.rate, self.seed = rate, seed
        self.random = keras.random.SeedGenerator(seed)

    def call(self, presence, training=False):
        if not training or not self.rate:
            return presence
        drawn = keras.random.uniform(ops.shape(presence), seed=self.random)
        drawn = drawn * ops.cast(presence, drawn.dtype)
        # The luckiest of those present stays in any case.
        luckiest = drawn >= ops.max(drawn, axis=-1, keepdims=True)
        stays = ops.logical_or(drawn >= self.rate, luckiest)
        return presence * ops.cast(stays, presence.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
