"""Graders of the exercises for notebook 00 (`exercises/00_start_here.ipynb`)."""

import warnings
from typing import Any

import numpy as np
from scipy.special import softmax

from mmlearn_course.graders import Hint, grader
from mmlearn_course.graders.answers import called, numbers, right, same


@grader
def grade_shapes(answer: Any) -> None:
    """Grade a prediction: the shape of concatenated features, the weights of a head.

    32 samples, 128 and 64 features, 10 classes: the shape of [x_1; x_2], and the size
    of W and b in softmax(W h + b).
    """
    found = called(answer)
    if not isinstance(found, dict) or not {"features", "weights"} <= set(found):
        raise Hint('Expected a dictionary with the keys "features" and "weights".')
    samples, width = numbers(found["features"], (2,), "shape of the features")
    if samples != 32:
        raise Hint(
            "A fusion joins what is known of one sample: it does not change how many "
            "samples there are."
        )
    if width != 192:
        raise Hint("Side by side: every number of both vectors is kept. How many?")
    weights = numbers(found["weights"], (), "number of weights")
    if weights == 1920:
        raise Hint("Nearly: the equation of the head has one more term with weights.")
    if weights != 1930:
        raise Hint("W takes every fused feature to every class: how many entries?")
    right("the samples stay, the features add up, and the head grows with them.")


@grader
def grade_weighted(answer: Any) -> None:
    """Grade h = Σ_m α_m x_m, α = softmax(scores) over the modalities of each sample.

    The answer takes features (B, M, D) and scores (B, M), and returns (B, D).
    """
    rng = np.random.default_rng(0)
    for batch, modalities, dim in ((5, 2, 3), (1, 2, 4), (3, 4, 2)):
        x = rng.normal(size=(batch, modalities, dim))
        scores = rng.normal(size=(batch, modalities))
        h = numbers(called(answer, x, scores), (batch, dim), "fused array")
        alone = [called(answer, x[[i]], scores[[i]]) for i in range(batch)]
        if not same(h, numbers(alone, (batch, 1, dim), "result for one sample")[:, 0]):
            raise Hint(
                "A sample alone gives another result than in a batch: over which axis "
                "must the weights sum to 1?"
            )
        equal = np.repeat(x[:, :1], modalities, axis=1)
        kept = numbers(called(answer, equal, scores), (batch, dim), "fused array")
        if not same(kept, x[:, 0]):
            raise Hint(
                "Where all modalities have the same features, the result should be "
                "those features: do the weights of a sample sum to 1?"
            )
        if not same(h, (softmax(scores, axis=1)[..., None] * x).sum(axis=1)):
            raise Hint("The weights sum to 1, but are not the softmax of the scores.")
    x, scores = np.array([[[1.0], [3.0]]]), np.array([[1000.0, 0.0]])
    large = called(answer, x, scores, where="with a score of 1,000")
    if not same(numbers(large, (1, 1), "result with a score of 1,000"), 1):
        raise Hint("With a score of 1,000 for one modality, the result is off.")
    # Each sample's own largest score has to go: not the batch's, and not a fixed one.
    x, scores = np.array([[[1.0], [3.0]]] * 2), np.array([[900.0, 901], [-900, -901]])
    expected = (softmax(scores, axis=1)[..., None] * x).sum(axis=1)
    what = "Scores of 900 in one sample give NaN in another: whose maximum goes away?"
    far = called(answer, x, scores, where="with scores of 900 and -900")
    if not same(numbers(far, (2, 1), "fused array", what), expected):
        raise Hint(
            "With scores of 900 and 901 the shares should be those of 0 and 1: only "
            "the difference of a sample's scores counts."
        )
    right("every sample has weights of its own, and no sample sees another.")


@grader
def grade_three(answer: Any) -> None:
    """Grade [x_image; x_text; mean over time; standard deviation over time].

    The answer takes (B, D_1), (B, D_2) and a series (B, T, C), and returns
    (B, D_1 + D_2 + 2 C).
    """
    rng = np.random.default_rng(1)
    for batch, d_1, d_2, steps, channels in ((4, 3, 2, 6, 2), (1, 2, 5, 4, 3)):
        image, text = rng.normal(size=(batch, d_1)), rng.normal(size=(batch, d_2))
        series = 2 + rng.normal(size=(batch, steps, channels))
        shape = (batch, d_1 + d_2 + 2 * channels)
        h = numbers(called(answer, image, text, series), shape, "fused array")
        parts = np.split(h, np.cumsum([d_1, d_2, channels]), axis=1)
        if not (same(parts[0], image) and same(parts[1], text)):
            raise Hint("First should come the image, then the text, both unchanged.")
        if not same(parts[2], series.mean(axis=1)):
            raise Hint(
                "After image and text should come the mean of each channel over time: "
                "which axis is time?"
            )
        if not same(parts[3], series.std(axis=1)):
            raise Hint(
                "Last should come the standard deviation of each channel over time "
                "(np.std), for each sample by itself."
            )
    right("a fusion does not mind where features come from.")


@grader
def grade_gain(answer: Any) -> None:
    """Grade the difference of two accuracies on the same samples, with its interval.

    The answer takes the predicted classes of two models and the labels, each (N,), and
    returns (difference, low, high). Any 95 % interval for paired samples will do.
    """
    rng = np.random.default_rng(2)
    labels = rng.integers(10, size=2000)
    for share, more in ((0.6, 0.08), (0.75, 0.03)):
        draw, flip = rng.random(2000), rng.random(2000) < 0.03
        single = np.where((draw < share) ^ flip, labels, (labels + 1) % 10)
        fused = np.where(draw < share + more, labels, (labels + 3) % 10)
        paired = (fused == labels).astype(float) - (single == labels)
        gain, low, high = _interval(answer, fused, single, labels)
        if same(gain, 100 * paired.mean()):
            raise Hint("Expected a share between -1 and 1: this is in percent.")
        if same(gain, -paired.mean()):
            raise Hint("The gain should be positive where the fused model is better.")
        if not same(gain, paired.mean()):
            raise Hint("The first number is not the difference of the two accuracies.")
        if not low <= gain <= high:
            raise Hint("The interval does not contain the difference.")
        # The interval of the paired differences is 3.92 standard errors wide; 2,000
        # resamples of them give that within some percent.
        ratio = (high - low) / (3.92 * paired.std() / np.sqrt(len(paired)))
        if ratio < 0.88:
            raise Hint(
                "The interval is too narrow for 95 %: how many standard errors does "
                "it reach to each side, or which quantiles of how many resamples?"
            )
        if ratio > 1.2:
            raise Hint(
                "The interval is too wide: both models saw the same samples, so look "
                "at the difference sample by sample, and at the error of its mean."
            )
    # SciPy's bootstrap rightly has no interval where no resample differs: NaN.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alike = np.array(called(answer, labels, labels, labels), float)
    if alike.shape != (3,) or alike[0] != 0 or not same(np.nan_to_num(alike), 0):
        raise Hint("Two identical models differ by 0, without any spread.")
    right("now you can tell a gain from an accident.")


def _interval(answer: Any, *arrays: np.ndarray) -> np.ndarray:
    found = called(answer, *arrays)
    return numbers(found, (3,), "triple (difference, low, high)")
