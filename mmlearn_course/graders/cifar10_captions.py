"""Graders of the exercises for notebook 02 (`exercises/02_cifar10_captions.ipynb`)."""

import warnings
from typing import Any

import numpy as np
from scipy import stats

from mmlearn_course.graders import Hint, grader
from mmlearn_course.graders.answers import (
    called,
    numbers,
    prediction,
    right,
    same,
    unchanged,
)

SHARES = ("nothing", "a part", "everything")
LOST = {"label": "nothing", "half": "a part", "noise": "everything"}


@grader
def grade_lost(answer: Any) -> None:
    """Grade a prediction: what a model loses if every picture is a wrong one."""
    hint = (
        "Not all three are right: for each kind of text ask what a model can still "
        "tell from the text alone."
    )
    prediction(called(answer), LOST, SHARES, hint)
    right("what the text gives away, the picture need not tell.")


@grader
def grade_mismatched(answer: Any) -> None:
    """Grade `mismatched(texts, share, seed)`: give some samples another's text.

    Exactly round(share · N) of the N samples get the text of another sample, every
    text stays in the data once, and the seed decides which samples those are.
    """
    for total, share in ((40, 0.0), (40, 0.5), (7, 1.0), (7, 0.4), (200, 0.25)):
        texts = [f"text {i}" for i in range(total)]
        damaged = set()
        for seed in range(8):
            found = _texts(called(answer, np.array(texts), share, seed), total)
            moved = [i for i in range(total) if found[i] != texts[i]]
            if set(found) != set(texts):
                raise Hint(
                    "Some text is there twice and another is gone: was it overwritten "
                    "before it was moved?"
                )
            if len(moved) > round(share * total):
                raise Hint(f"With share={share}, {len(moved)} of {total} texts moved.")
            if share == 0.4 and len(moved) == int(share * total):
                raise Hint("0.4 · 7 = 2.8 samples: round to 3, int() cuts to 2.")
            if len(moved) < round(share * total):
                raise Hint(
                    f"With share={share}, only {len(moved)} of {total} samples have "
                    f"another text (seed {seed}): can a chosen one get its own back?"
                )
            damaged.add(tuple(moved))
            if found != _texts(called(answer, np.array(texts), share, seed), total):
                raise Hint("The same seed gives another result the second time.")
        if 0 < share < 1 and len(damaged) < 2:
            raise Hint("Every seed damages the same samples: choose them at random.")
        if total > 7 and 0 < share < 1 and all(_a_block(m, total) for m in damaged):
            raise Hint(
                "The damaged samples stand side by side: choose each at random, or an "
                "order of the data decides with you."
            )
    unchanged(answer, np.array(texts), 0.5, 0)
    right("every damaged sample has a wrong text, and no text is lost.")


@grader
def grade_chosen(answer: Any) -> None:
    """Grade `chosen(val, test)`: choose a fusion, and report its score.

    The answer takes two dicts, candidate → scores over seeds (S,), and returns (name,
    mean test score, half-width of its 95 % t-interval).
    """
    rng = np.random.default_rng(0)
    for seeds, best, tempting in ((5, "weighted", "gated"), (3, "gated", "concat")):
        names = ("concat", "weighted", "gated", "sum")
        val = {name: 70 + rng.normal(0, 0.5, seeds) for name in names}
        test = {name: 68 + rng.normal(0, 0.5, seeds) for name in names}
        val[best] = 74 + rng.normal(0, 1, seeds)
        test[tempting] = 76 + rng.normal(0, 1, seeds)
        lucky = next(name for name in names if name not in (best, tempting))
        val[lucky] = np.where(np.arange(seeds) == 1, 79, 69.0)
        # The best by its median: one or two of its seeds fail.
        failing = next(n for n in names if n not in (best, tempting, lucky))
        val[failing] = np.where(np.arange(seeds) < seeds // 2, 64, 76.0)
        name, mean, half = _triple(called(answer, val, test))
        if name == tempting:
            raise Hint("This one is best on the test data: what are they for?")
        if name == lucky:
            raise Hint("This one has one lucky seed: look at all seeds together.")
        if name == failing:
            raise Hint("This one fails on some seeds, which a median does not show.")
        if name != best:
            raise Hint(f"{name!r} is not the best on validation data.")
        if same(mean, val[best].mean()):
            raise Hint("This is its validation score: the choice has flattered it.")
        if not same(mean, test[best].mean()):
            raise Hint("The second value is not the mean test score of your choice.")
        error = test[best].std(ddof=1) / np.sqrt(seeds)
        t = stats.t.ppf(0.975, seeds - 1)
        if same(half, 1.96 * error):
            raise Hint(f"With {seeds} seeds, the normal distribution is too sure.")
        if same(half, t * error * np.sqrt((seeds - 1) / seeds)):
            raise Hint("The spread is estimated from few seeds: which divisor is fair?")
        if not same(half, t * error):
            raise Hint(
                "The third value is not half the width of the 95 % t-interval of the "
                "mean: how does it shrink with the number of seeds?"
            )
    right("chosen on validation data, reported once, with its spread.")


@grader
def grade_prepared(answer: Any) -> None:
    """Grade `prepared(train, test, length)`: texts to ids, fitted on `train` only.

    It returns two integer arrays (N, length): 0 pads, 1 is an unknown word.
    """
    train = ["A red belt.", "the BELT slips", "red, red dust", ""]
    ids, other = _ids(answer, train, ["Belt? New dust", "", "red"], 4)
    if (ids != _ids(answer, train, ["new new new"], 4)[0]).any():
        raise Hint("The ids of the training texts depend on the test texts.")
    if ids[3].any() or other[1].any():
        raise Hint("An empty text should be a row of zeros.")
    if ((ids > 0).sum(axis=1) != [3, 3, 3, 0]).any():
        raise Hint(
            "A text of three words should have three ids, and zeros for the rest; "
            "punctuation is no word."
        )
    if ids[:, 3].any():
        raise Hint("The zeros should fill the end of a row.")
    if (ids == 1).any():
        raise Hint("A word of the training texts is unknown.")
    red, belt, dust = ids[0, 1], ids[0, 2], ids[2, 2]
    if ids[1, 1] != belt:
        raise Hint("`belt.` and `BELT` should be one word.")
    if len({*ids[0, :3], *ids[1, [0, 2]], dust}) != 6 or (ids[2, :2] != red).any():
        raise Hint("Each word should have one id, and no other word the same.")
    if other[0, 1] != 1:
        raise Hint("A word that only the test texts have should be 1, unknown.")
    if list(other[0]) != [belt, 1, dust, 0] or list(other[2]) != [red, 0, 0, 0]:
        raise Hint("The test texts should have the ids of the training texts.")
    short, _ = _ids(answer, train, ["red"], 2)
    if (short[:3] == 0).any():
        raise Hint("A text that is longer than `length` should be cut, not dropped.")
    right("the test texts had no say in the vocabulary.")


@grader
def grade_fusion(answer: Any) -> None:
    """Grade a `keras.layers.Layer` that fuses a list of two vectors of any lengths.

    Called without arguments, the answer makes one. Of (B, d_1) and (B, d_2) it makes
    (B, d); samples do not mix, both modalities matter, every weight is trained.
    """
    import keras

    if isinstance(answer, keras.layers.Layer):
        raise Hint("This is a layer already: give the class, without ().")
    layer = called(answer)
    if not isinstance(layer, keras.layers.Layer):
        raise Hint("Expected a class whose instances are keras.layers.Layer.")
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(6, d)) for d in (5, 3))
    h = _fused(layer, first, second)
    if not same(h, _fused(layer, first, second)):
        raise Hint("Twice the same input, two results: where are the weights made?")
    for rows in (slice(0, 1), slice(2, 5)):
        if not same(_fused(layer, first[rows], second[rows]), h[rows]):
            raise Hint("A sample's result depends on the other samples of its batch.")
    for name, changed in (
        ("first", (rng.normal(size=first.shape), second)),
        ("second", (first, rng.normal(size=second.shape))),
    ):
        if same(_fused(layer, *changed), h):
            raise Hint(f"The {name} modality has no influence on the result.")
    _check_training(answer, first, second)
    _check_weights(answer, layer, first, second)
    right("a layer that trains, and keeps its samples apart. Now race it.")


def _check_training(answer: Any, first: np.ndarray, second: np.ndarray) -> None:
    """Two steps of training change every weight, and make none."""
    import keras

    layer = answer()
    inputs = [keras.Input(x.shape[1:]) for x in (first, second)]
    model = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    before = _trainable(layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights without a gradient: said below
        for _ in range(2):  # behind weights that begin at 0, others move in step two
            model.train_on_batch([first, second], np.ones((len(first), 2), "float32"))
    after = _trainable(layer)
    if len(before) != len(after):
        raise Hint("The layer makes new weights while it trains: make them in build.")
    for (name, old), (_, new) in zip(before, after, strict=True):
        if np.array_equal(old, new):
            raise Hint(f"The weight {name!r} does not change in training: is it used?")


def _check_weights(answer: Any, layer: Any, *features: np.ndarray) -> None:
    """All that can be learned is a trainable weight, which Keras knows of."""
    import keras

    for path, weight in _frozen(layer):
        raise Hint(
            f"The weight {path!r} of shape {weight} stays as it began: train it."
        )
    for part in (layer, *vars(layer).values()):
        held = vars(part) if isinstance(part, keras.layers.Layer) else {}
        for name, value in held.items():
            values = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(one, np.ndarray) and one.size > 1 for one in values):
                raise Hint(
                    f"{name!r} is a NumPy array, which no training changes: make it "
                    "with add_weight."
                )
    keras.utils.set_random_seed(1)
    twin = answer()
    _fused(twin, *features)
    twin.set_weights(layer.get_weights())
    if not same(_fused(twin, *features), _fused(layer, *features)):
        raise Hint(
            "A second layer with the same weights gives another result: Keras does not "
            "know of some of them. Make each with add_weight, as an attribute."
        )


def _frozen(layer: Any) -> list[tuple[str, tuple]]:
    """Weights that no training changes; not a generator's state, nor moving means."""
    return [
        (weight.name, tuple(weight.shape))
        for weight in layer.non_trainable_weights
        if "seed" not in weight.path and "moving" not in weight.name
    ]


def _a_block(rows: tuple[int, ...], total: int) -> bool:
    """Whether these rows stand side by side, the last one next to the first."""
    gaps = np.diff([*rows, rows[0] + total])
    return (gaps != 1).sum() <= 1


def _trainable(layer: Any) -> list[tuple[str, np.ndarray]]:
    """Names and values of the weights; not biases, whose gradient may well be 0."""
    from keras import ops

    return [
        (weight.name, np.array(ops.convert_to_numpy(weight)))
        for weight in layer.trainable_weights
        if "bias" not in weight.name
    ]


def _fused(layer: Any, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    features = [first.astype("float32"), second.astype("float32")]
    h = called(layer, features, where="on two arrays of features")
    return numbers(h, (len(first), None), "fused array")


def _texts(found: Any, total: int) -> list[str]:
    found = list(found)
    if len(found) != total:
        raise Hint(f"Of {total} texts, {len(found)} came back.")
    if not all(isinstance(text, str) for text in found):
        raise Hint("Expected texts, one for each sample.")
    return [str(text) for text in found]


def _triple(found: Any) -> tuple[str, float, float]:
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise Hint("Expected three values: name, mean, half-width.")
    name, mean, half = found
    if not isinstance(name, str):
        raise Hint("The first value should be the name of a candidate.")
    return name, numbers(mean, (), "mean score"), numbers(half, (), "half-width")


def _ids(answer: Any, train: list, test: list, length: int) -> list[np.ndarray]:
    found = called(answer, train, test, length)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Hint("Expected two arrays: the ids of the training and the test texts.")
    rows = (len(train), len(test))
    return [
        numbers(ids, (n, length), f"array of {what} ids").astype(int)
        for ids, n, what in zip(found, rows, ("training", "test"), strict=True)
    ]
