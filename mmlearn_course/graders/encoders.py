"""Graders of the exercises on encoders (`notebooks/exercises/01_encoders.ipynb`)."""

import numpy as np

from mmlearn_course.graders import Hint, grader
from mmlearn_course.graders.answers import called, numbers, prediction, right, same

READERS = {
    "bag": False,
    "GRU": True,
    "Transformer": True,
    "attention without positions": False,
}


@grader
def grade_rotated(answer) -> None:
    """Grade `rotated(pictures)`: each of (N, 6, 6, 3) turned by 90 degrees."""
    pictures = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype="uint8")
    found = called(answer, pictures)
    turned = numbers(found, pictures.shape, "array of pictures")
    if same(turned, pictures):
        raise Hint("The pictures come back as they were.")
    if same(turned, np.rot90(pictures, 2, (1, 2))):
        raise Hint("Each picture stands on its head: that is a turn by 180 degrees.")
    if same(turned, pictures.transpose(0, 2, 1, 3)):
        raise Hint("Rows and columns are exchanged: that mirrors at the diagonal.")
    turns = [np.rot90(pictures, k, (1, 2)) for k in (1, 3)]
    if not any(same(turned, expected) for expected in turns):
        raise Hint(
            "That is another change: which two of the four axes are height and width?"
        )
    if getattr(found, "dtype", None) != pictures.dtype:
        raise Hint("The pictures were uint8, and are something else now.")
    right("every picture is turned, and nothing else.")


@grader
def grade_order_prediction(answer) -> None:
    """Grade `prediction()`: which readers notice that a sentence is read backwards."""
    hint = (
        "Not all are right: for each reader ask which number in its equation changes "
        "if two words change places. Then run the measurement."
    )
    prediction(called(answer), READERS, (True, False), hint)
    right("order has to be built in, by a state or by positions.")


@grader
def grade_receptive_field(answer) -> None:
    """Grade `receptive_field(layers)`: a list of (kernel, stride, dilation)."""
    block, tcn = [(3, 1, 1), (2, 2, 1)], [(3, 1, 2**i) for i in range(4)]
    cases = (
        ([], "Without any layer, the output is the input."),
        ([(3, 1, 1)], "Begin with a single kernel of 3: it sees 3 steps."),
        (
            [(3, 1, 1), (3, 1, 1)],
            "Two kernels of 3: draw which inputs the neighbours of a step share.",
        ),
        (
            [(3, 1, 4)],
            "With dilation 4, how far apart are the first and the last tap?",
        ),
        (tcn, "Dilation works for one layer, but not yet for several."),
        (
            [(2, 2, 1)],
            "One layer of stride 2: its own stride does not change what one of its "
            "outputs sees.",
        ),
        (
            block * 2,
            "After a layer of stride 2, how far apart in the input are two steps "
            "that are neighbours?",
        ),
        (block * 4, "Two blocks are right, four are not: strides go on multiplying."),
        ([(5, 3, 1), (3, 2, 2), (3, 1, 1)], "Strides, dilations and kernels together."),
    )
    for layers, hint in cases:
        found = numbers(called(answer, list(layers)), (), "receptive field")
        if not same(found, _field(layers)):
            raise Hint(f"{hint} For {layers} you say {found:g}.")
    right("strides multiply, kernels add.")


@grader
def grade_joined(answer) -> None:
    """Grade `joined(picture, words, ids)`: the picture and the mean of the words."""
    rng = np.random.default_rng(0)
    ids = np.array([[4, 2, 7, 0, 0], [5, 0, 0, 0, 0], [3, 9, 1, 6, 8]])
    picture, words = rng.normal(size=(3, 4)), rng.normal(size=(3, 5, 2))
    words[0, 1] = 0  # a real word whose vector happens to be zero
    kept = words.copy()
    kept[ids == 0] = 0
    expected = np.concatenate([picture, _mean_of_words(words, ids)], axis=1)

    found = _joined(answer, picture, kept, ids)
    if not same(found[:, :4], picture):
        raise Hint("The first four columns should be the picture, unchanged.")
    if same(found[:, 4:], kept.mean(axis=1)):
        raise Hint("You divide by the length of the row: how many words are real?")
    longest = np.concatenate([kept, np.zeros((3, 2, 2))], axis=1)
    padded = np.concatenate([ids, np.zeros((3, 2), int)], axis=1)
    if not same(found, _joined(answer, picture, longest, padded)):
        raise Hint("More padding at the end of the rows changes the vector.")
    if not same(found, expected):
        raise Hint("The last two columns are not the mean of each row's real words.")
    if not same(_joined(answer, picture, words, ids), expected):
        raise Hint(
            "What stands in the padded places changes the vector: `ids` says which "
            "words are real."
        )
    if not same(_joined(answer, picture[:1], words[:1], ids[:1]), expected[:1]):
        raise Hint("A sample's vector depends on the other samples of the batch.")
    spoilt = np.where((ids > 0)[:, :, None], words, np.nan)
    reaches = "NaN in a padded place reaches the vector: 0 · NaN is NaN."
    if not same(_joined(answer, picture, spoilt, ids, reaches), expected):
        raise Hint("What stands in the padded places changes the vector.")
    empty = np.array([[0, 0, 0, 0, 0], *ids[1:]])
    divided = "A sentence without words gives NaN: what do you divide by?"
    expected[0, 4:] = 0
    if not same(_joined(answer, picture, words, empty, divided), expected):
        raise Hint("A sentence without words should give zeros.")
    right("padding has no say, and no words are no trouble.")


@grader
def grade_weather_encoder(answer) -> None:
    """Grade `weather_encoder()`: a model from `weather` (B, 7, 4) to (B, 16)."""
    import keras

    model = answer if isinstance(answer, keras.Model) else called(answer)
    if not isinstance(model, keras.Model):
        raise Hint(f"Expected a keras.Model, got a {type(model).__name__}.")
    tensors = getattr(model, "inputs", None) or []
    if len(tensors) != 1:
        raise Hint(f"The model has {len(tensors)} inputs, expected one.")
    if tensors[0].name != "weather":
        raise Hint(f"The input is named {tensors[0].name!r}, expected 'weather'.")
    if tuple(tensors[0].shape) != (None, 7, 4):
        raise Hint(f"The input has shape {tensors[0].shape}, expected (None, 7, 4).")
    rng = np.random.default_rng(0)
    week, others = rng.normal(size=(2, 16, 7, 4)).astype("float32")
    small = week / 10  # attention between weeks shows where they are alike
    whole = _features(model, small)
    if not model.trainable_weights:
        raise Hint("There is nothing to learn: the model has no trainable weights.")
    if not same(whole, _features(model, small), 1e-5):
        raise Hint("Two calls differ: what is random should rest outside training.")
    company = np.concatenate([small[:1], others[1:]])
    if not same(whole[:1], _features(model, company)[:1]):
        raise Hint("The features of a week depend on the other weeks of the batch.")
    changed = [week, week[:, ::-1]]
    for day in range(7):
        for step in (3, -3):
            changed.append(week.copy())
            changed[-1][:, day] += step
    found = _features(model, np.concatenate(changed)).reshape(16, 16, 16)
    moved = np.abs(found - found[0]).max(axis=(1, 2))
    if (still := moved[2::2] + moved[3::2] < 1e-4).any():
        raise Hint(f"Day {still.argmax() + 1} of 7 has no influence on the features.")
    if moved[1] < 1e-4:
        raise Hint("A week read backwards gives the same features: the order is lost.")
    right(f"{model.count_params():,} weights, and every day counts.")


@grader
def grade_trace_features(answer) -> None:
    """Grade `trace_features(windows)`: (N, 60, 2) to at most 64 numbers each."""
    train, labels = dips(200, 1)
    test, truth = dips(200, 2)
    x = numbers(called(answer, train), (200, None), "array of features")
    y = numbers(called(answer, test), (200, None), "array of features")
    if not 1 <= x.shape[1] <= 64 or x.shape != y.shape:
        raise Hint(f"{x.shape[1]} features for a window, expected 1 to 64, always.")
    alone = numbers(called(answer, test[:1]), (1, None), "array of features")
    if alone.shape[1] != y.shape[1] or not same(alone, y[:1], 1e-3):
        raise Hint(
            "A window's features depend on the others: measure each by itself only."
        )
    means = np.stack([x[labels == k].mean(axis=0) for k in (0, 1)])
    between = np.linalg.norm(y[truth == 0][:, None] - y[truth == 1], axis=-1).mean()
    if between < 1e-9:
        raise Hint("All windows have the same features: nothing is left to tell.")
    rng = np.random.default_rng(3)
    changed = test * rng.uniform(0.3, 3, (200, 1, 2)) + rng.normal(0, 30, (200, 1, 2))
    moved = numbers(called(answer, changed), y.shape, "array of features")
    drift = 100 * np.linalg.norm(moved - y, axis=1).mean() / between
    if drift > 5:
        raise Hint(
            f"Another level and another unit move the features by {drift:.0f} % of the "
            "distance between classes: expected at most 5 %."
        )
    guess = np.linalg.norm(y[:, None] - means, axis=-1).argmin(axis=1)
    accuracy = 100 * (guess == truth).mean()
    if accuracy < 90:
        raise Hint(
            f"The nearest class mean finds early or late in {accuracy:.0f} % of the "
            "windows, expected 90 %: do the features say when the dip was?"
        )
    right(f"drift {drift:.1f} %, accuracy {accuracy:.0f} %.")


def dips(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw sensor windows with a dip in the first of two channels.

    Args:
        num: Number of windows.
        seed: Seeds them.

    Returns:
        Windows (num, 60, 2), every channel at its own level and scale, and the labels
        (num,): 0 where the dip is early, 1 where it is late.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 2
    start = np.where(labels, 40, 10) + rng.integers(-2, 3, num)
    steps = np.arange(60)
    dip = (steps >= start[:, None]) & (steps < start[:, None] + 6)
    x = rng.normal(size=(num, 60, 2))
    x[:, :, 0] -= 6 * dip
    x = x * rng.uniform(0.3, 3, (num, 1, 2)) + rng.normal(0, 30, (num, 1, 2))
    return x, labels


def _field(layers) -> int:
    """R = 1 + sum of (kernel - 1) * dilation * the strides before."""
    field, step = 1, 1
    for kernel, stride, dilation in layers:
        field += (kernel - 1) * dilation * step
        step *= stride
    return field


def _mean_of_words(words: np.ndarray, ids: np.ndarray) -> np.ndarray:
    real = (ids > 0)[:, :, None]
    return (words * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1)


def _joined(answer, picture, words, ids, not_finite=None) -> np.ndarray:
    found = called(answer, picture, words, ids)
    return numbers(found, (len(picture), 6), "joined vector", not_finite)


def _features(model, week: np.ndarray) -> np.ndarray:
    found = called(lambda x: model(x, training=False), np.ascontiguousarray(week))
    return numbers(found, (len(week), 16), "array of features")
