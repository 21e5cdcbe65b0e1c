"""Answers to the exercises of notebook 00."""

import numpy as np
from exercise_cases import Cases
from scipy import special, stats

from mmlearn_course.graders import start_here


def says(features, weights):
    return lambda: {"features": features, "weights": weights}


# --- 2: h = Σ α_m x_m, from (B, M, D) and (B, M)


def weighted_loop(x, scores):
    rows = []
    for features, row in zip(x, scores, strict=True):
        alpha = np.exp(row - row.max())
        rows.append(sum(a * f for a, f in zip(alpha / alpha.sum(), features)))  # noqa: B905
    return np.stack(rows)


def over_the_batch(x, scores):
    return (special.softmax(scores, axis=0)[..., None] * x).sum(axis=1)


def over_everything(x, scores):
    return (special.softmax(scores)[..., None] * x).sum(axis=1)


def not_normalised(x, scores):
    return (np.exp(scores - scores.max(1, keepdims=True))[..., None] * x).sum(axis=1)


def overflowing(x, scores):
    alpha = np.exp(scores)
    return ((alpha / alpha.sum(1, keepdims=True))[..., None] * x).sum(axis=1)


def less_the_largest_of_all(x, scores):
    alpha = np.exp(scores - scores.max())
    return ((alpha / alpha.sum(1, keepdims=True))[..., None] * x).sum(axis=1)


def clipped(x, scores):
    alpha = np.exp(np.clip(scores, -500, 500))
    return ((alpha / alpha.sum(1, keepdims=True))[..., None] * x).sum(axis=1)


def plain_mean(x, scores):
    return x.mean(axis=1)


def linear_weights(x, scores):
    alpha = np.abs(scores) / np.abs(scores).sum(axis=1, keepdims=True)
    return (alpha[..., None] * x).sum(axis=1)


def sum_over_features(x, scores):
    return (special.softmax(scores, axis=1)[..., None] * x).sum(axis=2)


# --- 3: [image; text; mean; standard deviation]


def three_loop(image, text, series):
    rows = []
    for i, t, s in zip(image, text, series, strict=True):
        rows.append([*i, *t, *(c.mean() for c in s.T), *(c.std() for c in s.T)])
    return rows


def three_moments(image, text, series):
    mean = np.einsum("btc->bc", series) / series.shape[1]
    square = np.einsum("btc,btc->bc", series, series) / series.shape[1]
    return np.hstack((image, text, mean, np.sqrt(square - mean**2)))


def over_channels(image, text, series):
    return np.hstack([image, text, series.mean(axis=2), series.std(axis=2)])


def variance(image, text, series):
    return np.hstack([image, text, series.mean(axis=1), series.var(axis=1)])


def text_first(image, text, series):
    return np.hstack([text, image, series.mean(axis=1), series.std(axis=1)])


def no_spread(image, text, series):
    return np.hstack([image, text, series.mean(axis=1)])


def spread_of_the_batch(image, text, series):
    spread = np.broadcast_to(series.std(axis=(0, 1)), series[:, 0].shape)
    return np.hstack([image, text, series.mean(axis=1), spread])


# --- 4: (difference, low, high)


def difference(fused, single, labels):
    return (fused == labels).astype(float) - (single == labels)


def t_interval(fused, single, labels):
    d = difference(fused, single, labels)
    if not d.any():
        return 0.0, 0.0, 0.0
    low, high = stats.t.interval(0.95, len(d) - 1, loc=d.mean(), scale=stats.sem(d))
    return d.mean(), low, high


def normal(fused, single, labels, reach=1.96, scale=1.0):
    d = scale * difference(fused, single, labels)
    error = d.std(ddof=1) / len(d) ** 0.5
    return [d.mean(), d.mean() - reach * error, d.mean() + reach * error]


def bootstrap(fused, single, labels):
    d = difference(fused, single, labels)
    rows = np.random.default_rng(5).integers(len(d), size=(2000, len(d)))
    low, high = np.percentile(d[rows].mean(axis=1), [2.5, 97.5])
    return np.array([d.mean(), low, high])


def bootstrap_of_scipy(fused, single, labels):
    gains = difference(fused, single, labels)
    found = stats.bootstrap((gains,), np.mean, rng=0, vectorized=True)
    return gains.mean(), *found.confidence_interval


def bootstrap_of_accuracies(fused, single, labels):
    rng, draws = np.random.default_rng(), []
    for _ in range(2000):
        rows = rng.integers(len(labels), size=len(labels))
        ours = np.mean(fused[rows] == labels[rows])
        draws.append(ours - np.mean(single[rows] == labels[rows]))
    exact = np.mean(fused == labels) - np.mean(single == labels)
    return exact, *np.quantile(draws, [0.025, 0.975])


def unpaired(fused, single, labels):
    a, b = fused == labels, single == labels
    error = np.sqrt((a.var() + b.var()) / len(labels))
    gain = a.mean() - b.mean()
    return gain, gain - 1.96 * error, gain + 1.96 * error


def spread_of_samples(fused, single, labels):
    d = difference(fused, single, labels)
    return d.mean(), d.mean() - 1.96 * d.std(), d.mean() + 1.96 * d.std()


CASES = {
    start_here.grade_shapes: Cases(
        right={
            "tuple": says((32, 192), 1930),
            "list and NumPy": says([32, 192], np.int64(1930)),
            "array and float": says(np.array([32, 192]), 1930.0),
        },
        wrong={
            "samples add up": says((64, 192), 1930),
            "features are summed": says((32, 128), 1930),
            "features multiply": says((32, 8192), 1930),
            "no bias": says((32, 192), 1920),
            "a weight per feature": says((32, 192), 192),
            "a shape of three": says((32, 2, 192), 1930),
            "left open": says(None, None),
            "other keys": lambda: {"shape": (32, 192)},
        },
    ),
    start_here.grade_weighted: Cases(
        right={
            "loop": weighted_loop,
            "einsum": lambda x, s: np.einsum("bm,bmd->bd", special.softmax(s, 1), x),
        },
        wrong={
            "over the batch": over_the_batch,
            "over everything": over_everything,
            "not normalised": not_normalised,
            "overflowing": overflowing,
            "less the largest of all": less_the_largest_of_all,
            "clipped": clipped,
            "plain mean": plain_mean,
            "linear weights": linear_weights,
            "sum over features": sum_over_features,
            "scores added": lambda x, s: (x + s[..., None]).sum(axis=1),
        },
    ),
    start_here.grade_three: Cases(
        right={"loop": three_loop, "moments": three_moments},
        wrong={
            "over channels": over_channels,
            "variance": variance,
            "text first": text_first,
            "no spread": no_spread,
            "spread of the batch": spread_of_the_batch,
            "series flattened": lambda i, t, s: np.hstack(
                [i, t, s.reshape(len(s), -1)]
            ),
        },
    ),
    start_here.grade_gain: Cases(
        right={
            "normal": normal,
            "bootstrap": bootstrap,
            "bootstrap of accuracies": bootstrap_of_accuracies,
            "SciPy's bootstrap": bootstrap_of_scipy,
            "t interval": t_interval,
        },
        wrong={
            "percent": lambda *a: normal(*a, scale=100),
            "one standard error": lambda *a: normal(*a, reach=1),
            "ninety percent": lambda *a: normal(*a, reach=1.645),
            "unpaired": unpaired,
            "spread of samples": spread_of_samples,
            "the wrong way round": lambda f, s, y: normal(s, f, y),
            "no interval": lambda f, s, y: np.mean(f == y) - np.mean(s == y),
            "low and high exchanged": lambda *a: normal(*a, reach=-1.96),
        },
    ),
}
