"""Audio encoders: raw waveforms in, features out."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from mmlearn.encoders.image import conv_block
from mmlearn.layers import MaskedMean


@keras.saving.register_keras_serializable(package="mmlearn")
class LogMel(layers.Layer):
    """Loudness over time in bands that are spaced like hearing.

    S[t, b] = log(10⁻⁶ + Σ_f |STFT(x)[t, f]|² M[f, b]),
    with triangles M of equal width in mel(f) = 2595 log₁₀(1 + f / 700 Hz)
    (Stevens et al. 1937, https://doi.org/10.1121/1.1915893)

    Unlike `keras.layers.MelSpectrogram` in decibels, a sample's values do not depend
    on the loudest one of its batch. Give the layer `dtype="float32"`: half precision
    has no Fourier transform.

    Args:
        sampling_rate: Samples per second.
        mel_bins: Number of bands.
        window: Length of the Hann window in seconds.
        hop: Time between two windows in seconds.

    Call arguments:
        waveform: Floats of shape (B, samples), about -1..1.

    Returns:
        Features of shape (B, T, mel_bins), with T = 1 + ⌊(samples − N) / hop⌋ for
        windows of N samples: the next power of two.

    Raises:
        ValueError: If a band is narrower than the step between two frequencies.

    Example:
        >>> LogMel()(keras.Input((16000,))).shape
        (None, 61, 64)
    """

    def __init__(
        self,
        sampling_rate: int = 16000,
        *,
        mel_bins: int = 64,
        window: float = 0.032,
        hop: float = 0.016,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.sampling_rate, self.mel_bins = sampling_rate, mel_bins
        self.window, self.hop = window, hop
        self.samples, self.stride = (round(s * sampling_rate) for s in (window, hop))
        if min(self.samples, self.stride, mel_bins) < 1:
            raise ValueError(
                f"{self.name}: mel_bins={mel_bins}, window={window} s, hop={hop} s at "
                f"{sampling_rate} samples/s: each must hold 1 or more"
            )
        self.fft_length = 2 ** (self.samples - 1).bit_length()
        hertz = np.linspace(0, sampling_rate / 2, self.fft_length // 2 + 1)
        places = 2595 * np.log10(1 + hertz / 700)
        edges = np.linspace(0, places[-1], mel_bins + 2)
        rise = (places[:, None] - edges[:-2]) / np.diff(edges)[:-1]
        fall = (edges[2:] - places[:, None]) / np.diff(edges)[1:]
        self.matrix = np.maximum(0, np.minimum(rise, fall)).astype("float32")
        if not self.matrix.any(0).all():
            raise ValueError(
                f"{self.name}: mel_bins={mel_bins} is too many for a window of "
                f"{window} s: {(~self.matrix.any(0)).sum()} hold no frequency: use "
                "fewer, or a longer window"
            )

    def call(self, waveform):
        real, imaginary = ops.stft(
            waveform, self.samples, self.stride, self.fft_length, center=False
        )
        power = ops.square(real) + ops.square(imaginary)
        return ops.log(ops.matmul(power, self.matrix) + 1e-6)

    def compute_output_shape(self, input_shape):
        samples = input_shape[1]
        steps = samples and 1 + (samples - self.fft_length) // self.stride
        return (input_shape[0], steps, self.mel_bins)

    def get_config(self):
        return {
            **super().get_config(),
            "sampling_rate": self.sampling_rate,
            "mel_bins": self.mel_bins,
            "window": self.window,
            "hop": self.hop,
        }


def log_mel_cnn(
    length: int,
    *,
    sampling_rate: int = 16000,
    mel_bins: int = 64,
    window: float = 0.032,
    hop: float = 0.016,
    filters: Sequence[int] = (16, 32, 64),
    embed_dim: int = 64,
    dropout: float = 0.3,
    pooling: str | None = "avg",
    name: str = "audio",
) -> keras.Model:
    """Return a convolutional encoder over the log-mel spectrogram of a waveform.

    Each band is normalised over the batch, then come blocks as in `image.cnn`; they
    halve time and bands. A dense layer sees all bands of a time, since a low and a high
    tone are not the same; then the mean over time. There is no mask: silence is heard.

    Args:
        length: Samples of a waveform.
        sampling_rate: Samples per second.
        mel_bins: Number of bands.
        window: Length of the Fourier window in seconds.
        hop: Time between two windows in seconds.
        filters: Channels of each block.
        embed_dim: Length of the features.
        dropout: Rate of dropout on the features.
        pooling: `"avg"` over time, or `None` for the sequence.
        name: Name of the modality and of the model's input.

    Weights, by layer:
        `bands` (their mean and variance), `block0_conv`, `block0_norm`,
        `block1_conv`, …; `features`

    Returns:
        A model from waveforms (B, length), about -1..1, to (B, embed_dim), or to
        (B, ⌊T / 2^n⌋, embed_dim) for the T windows of `LogMel` and n blocks.

    Raises:
        ValueError: If the waveform is too short, or has too few bands, for the blocks,
            or `pooling` is unknown.

    Example:
        >>> log_mel_cnn(16000).output_shape
        (None, 64)
    """
    if pooling not in ("avg", None):
        raise ValueError(f"{name}: pooling is {pooling!r}, choose one of 'avg', None")
    mel = LogMel(
        sampling_rate,
        mel_bins=mel_bins,
        window=window,
        hop=hop,
        name=f"{name}_mel",
        dtype="float32",
    )
    n = 2 ** len(filters)
    shortest = mel.fft_length + (n - 1) * mel.stride
    if length < shortest:
        raise ValueError(
            f"{name}: length is {length} samples, expected {shortest} or more for "
            f"{len(filters)} blocks: pad the waveforms, or use fewer blocks"
        )
    if mel_bins < n:
        raise ValueError(
            f"{name}: mel_bins is {mel_bins}, expected {n} or more: each of "
            f"{len(filters)} blocks halves them"
        )
    inputs = keras.Input((length,), name=name)
    x = layers.BatchNormalization(name="bands")(mel(inputs))
    x = layers.Reshape((*x.shape[1:], 1))(x)
    for i, channels in enumerate(filters):
        x = conv_block(x, channels, name=f"block{i}")
    x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)
    x = layers.Dense(embed_dim, activation="relu", name="features")(x)
    x = x if pooling is None else MaskedMean()(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, x, name=f"{name}_log_mel_cnn")
