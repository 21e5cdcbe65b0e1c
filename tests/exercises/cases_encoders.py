"""Answers to the exercises of notebook 01."""

import keras
import numpy as np
from exercise_cases import Cases
from keras import layers, ops

from mmlearn_course.graders import encoders

# --- 1: pictures (N, H, W, 3), turned by 90 degrees


def turned_one_by_one(pictures):
    return np.stack([np.rot90(picture, 3) for picture in pictures])


def turned_by_indices(pictures):
    return pictures.transpose(0, 2, 1, 3)[:, ::-1]


# --- 2: which readers notice the order


def says(bag, gru, transformer, plain):
    readers = dict(zip(encoders.READERS, (bag, gru, transformer, plain), strict=True))
    return lambda: readers


# --- 3: receptive field of [(kernel, stride, dilation), ...]


def backwards(stack):
    field = 1
    for kernel, stride, dilation in reversed(stack):
        field = (field - 1) * stride + (kernel - 1) * dilation + 1
    return field


def forwards(stack):
    reach = [(k - 1) * d for k, _, d in stack]
    steps = np.cumprod([1] + [s for _, s, _ in stack])
    return 1 + int(np.dot(reach, steps[: len(stack)]))


def without_strides(stack):
    return 1 + sum((k - 1) * d for k, _, d in stack)


def without_dilation(stack):
    return backwards([(k, s, 1) for k, s, _ in stack])


def own_stride_first(stack):
    field, step = 1, 1
    for kernel, stride, dilation in stack:
        step *= stride
        field += (kernel - 1) * dilation * step
    return field


def whole_kernels(stack):
    return sum(k * d for k, _, d in stack)


def last_stride_only(stack):
    field, step = 1, 1
    for kernel, stride, dilation in stack:
        field += (kernel - 1) * dilation * step
        step = stride if stride > 1 else step
    return field


# --- 4: [picture; mean of the real words]


def joined_by_weights(picture, words, ids):
    share = (ids > 0) / np.maximum(1, np.count_nonzero(ids, axis=1))[:, None]
    words = np.where(ids[..., None] > 0, words, 0)
    return np.hstack([picture, np.einsum("bt,btd->bd", share, words)])


def joined_by_loop(picture, words, ids):
    rows = []
    for p, w, i in zip(picture, words, ids, strict=True):
        real = w[i > 0]
        rows.append([*p, *(real.mean(axis=0) if len(real) else 0 * w[0])])
    return rows


def joined_in_keras(picture, words, ids):
    real = ops.expand_dims(ids, -1) > 0
    total = ops.sum(ops.where(real, ops.cast(words, "float32"), 0), axis=1)
    mean = total / ops.maximum(ops.sum(ops.cast(real, "float32"), axis=1), 1)
    return ops.concatenate([ops.cast(picture, "float32"), mean], axis=1)


def all_words(picture, words, ids):
    return np.hstack([picture, words.mean(axis=1)])


def times_the_mask(picture, words, ids):
    real = (ids > 0)[..., None]
    mean = (words * real).sum(axis=1) / np.maximum(real.sum(axis=1), 1)
    return np.hstack([picture, mean])


def masked_but_all_counted(picture, words, ids):
    return np.hstack([picture, (words * (ids > 0)[..., None]).mean(axis=1)])


def nothing_by_nothing(picture, words, ids):
    real = (ids > 0)[..., None]
    return np.hstack([picture, (words * real).sum(axis=1) / real.sum(axis=1)])


def by_zero_vectors(picture, words, ids):
    real = (words != 0).any(axis=2, keepdims=True)
    total = (words * real).sum(axis=1)
    return np.hstack([picture, total / np.maximum(real.sum(axis=1), 1)])


def by_the_longest(picture, words, ids):
    real = (ids > 0)[..., None]
    return np.hstack([picture, (words * real).sum(axis=1) / real.sum(axis=1).max()])


def count_without_mask(picture, words, ids):
    count = np.maximum((ids > 0).sum(axis=1), 1)[:, None]
    return np.hstack([picture, words.sum(axis=1) / count])


def words_first(picture, words, ids):
    return joined_by_weights(picture, words, ids)[:, [4, 5, 0, 1, 2, 3]]


# --- 5: an encoder of `weather` (B, 7, 4) to (B, 16)


def weather(make, shape=(7, 4), name="weather"):
    """A function that makes a model, the layers between being `make`."""

    def build():
        x = keras.Input(shape, name=name)
        return keras.Model(x, make(x))

    return build


def convolution(x):
    x = layers.Conv1D(24, 3, padding="same", activation="relu")(x)
    return layers.Dense(16)(layers.Flatten()(x))


def attention_over_weeks(x):
    x = layers.Dense(16)(layers.Flatten()(x))
    return layers.Attention()([x, x])


def sequential():
    steps = [layers.Flatten(), layers.Dense(32, "tanh"), layers.Dense(16)]
    model = keras.Sequential([keras.Input((7, 4), name="weather"), *steps])
    model(np.zeros((1, 7, 4), "float32"))
    return model


# --- 6: features of (N, 60, 2) that forget level and unit


def standardised(windows):
    spread = windows.std(axis=1, keepdims=True)
    return (windows - windows.mean(axis=1, keepdims=True)) / spread


def ten_means(windows):
    return standardised(windows).reshape(len(windows), 10, 6, 2).mean(axis=2)


def place_of_the_lowest(windows):
    return windows[:, :, 0].argmin(axis=1)[:, None] / 60.0


def by_the_batch(windows):
    z = (windows - windows.mean(axis=(0, 1))) / windows.std(axis=(0, 1))
    return z.reshape(len(z), 10, 6, 2).mean(axis=2).reshape(len(z), -1)


CASES = {
    encoders.grade_rotated: Cases(
        right={
            "rot90 of two axes": lambda x: np.rot90(x, axes=(1, 2)),
            "one by one, the other way": turned_one_by_one,
            "by indices": turned_by_indices,
        },
        wrong={
            "the first two axes": lambda x: np.rot90(x),
            "exchanged samples and rows": lambda x: np.rot90(x, axes=(0, 1)),
            "transposed": lambda x: x.transpose(0, 2, 1, 3),
            "by 180 degrees": lambda x: x[:, ::-1, ::-1],
            "mirrored": lambda x: x[:, :, ::-1],
            "floats": lambda x: np.rot90(x, axes=(1, 2)) / 1.0,
            "colours mixed up": lambda x: np.rot90(x, axes=(1, 2))[..., ::-1],
            "as it was": lambda x: x,
        },
    ),
    encoders.grade_order_prediction: Cases(
        right={
            "bool": says(False, True, True, False),
            "NumPy": says(*map(np.bool_, (False, True, True, False))),
            "computed": lambda: {
                r: r in ("GRU", "Transformer") for r in encoders.READERS
            },
        },
        wrong={
            "all notice": says(True, True, True, True),
            "only the GRU": says(False, True, False, False),
            "attention knows order by itself": says(False, True, True, True),
            "left open": says(None, None, None, None),
            "words": says("no", "yes", "yes", "no"),
            "one forgotten": lambda: {"bag": False, "GRU": True, "Transformer": True},
        },
    ),
    encoders.grade_receptive_field: Cases(
        right={"backwards": backwards, "forwards": forwards},
        wrong={
            "without strides": without_strides,
            "without dilation": without_dilation,
            "own stride first": own_stride_first,
            "whole kernels": whole_kernels,
            "last stride only": last_stride_only,
            "kernels multiply": lambda s: int(np.prod([k for k, _, _ in s])),
        },
    ),
    encoders.grade_joined: Cases(
        right={
            "weights": joined_by_weights,
            "loop": joined_by_loop,
            "Keras": joined_in_keras,
        },
        wrong={
            "all words": all_words,
            "masked, but all counted": masked_but_all_counted,
            "times the mask": times_the_mask,
            "nothing by nothing": nothing_by_nothing,
            "zero vectors taken for padding": by_zero_vectors,
            "divided by the longest": by_the_longest,
            "counted, but not masked": count_without_mask,
            "words first": words_first,
            "no words": lambda picture, words, ids: picture,
        },
    ),
    encoders.grade_weather_encoder: Cases(
        right={
            "flat": weather(lambda x: layers.Dense(16)(layers.Flatten()(x))),
            "GRU": weather(layers.GRU(16)),
            "convolution": weather(convolution),
            "sequential": sequential,
        },
        wrong={
            "a sequence": weather(layers.Dense(16)),
            "the last day": weather(lambda x: layers.Dense(16)(x[:, -1])),
            "the mean of the days": weather(
                lambda x: layers.Dense(16)(layers.GlobalAveragePooling1D()(x))
            ),
            "another name": weather(layers.GRU(16), name="series"),
            "another shape": weather(layers.GRU(16), (4, 7)),
            "another length": weather(layers.GRU(8)),
            "attention over weeks": weather(attention_over_weeks),
            "nothing to learn": weather(lambda x: layers.Flatten()(x)[:, :16]),
            "no model": lambda: layers.Dense(16),
        },
    ),
    encoders.grade_trace_features: Cases(
        right={
            "ten means": lambda w: ten_means(w).reshape(len(w), -1),
            "place of the lowest": place_of_the_lowest,
            "halves": lambda w: (
                standardised(w)[:, 5:25, 0].mean(1)
                - standardised(w)[:, 35:55, 0].mean(1)
            )[:, None],
        },
        wrong={
            "raw": lambda w: w.reshape(len(w), -1),
            "mean and deviation": lambda w: np.hstack([w.mean(axis=1), w.std(axis=1)]),
            "level only removed": lambda w: (w - w.mean(axis=1, keepdims=True))[
                :, ::2, 0
            ],
            "by the batch": by_the_batch,
            "summary of the standardised": lambda w: np.hstack(
                [standardised(w).mean(axis=1), standardised(w).std(axis=1)]
            ),
            "constant": lambda w: np.zeros((len(w), 3)),
            "how deep, not when": lambda w: standardised(w).min(axis=1),
        },
    ),
}
