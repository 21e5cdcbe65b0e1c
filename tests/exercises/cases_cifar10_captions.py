"""Answers to the exercises of notebook 02."""

import re

import keras
import numpy as np
from exercise_cases import Cases
from keras import ops
from scipy import stats

from mmlearn import evaluate, fusion, text
from mmlearn_course.graders import cifar10_captions as graders


def says(label, half, noise):
    return lambda: {"label": label, "half": half, "noise": noise}


# --- 2: a share of the samples gets another's text


def rows_of(texts, share, seed):
    rng = np.random.default_rng(seed)
    return rng, rng.choice(len(texts), round(share * len(texts)), replace=False)


def cycle(texts, share, seed):
    _, rows = rows_of(texts, share, seed)
    old = list(texts)
    new = list(texts)
    for here, there in zip(rows, [*rows[1:], *rows[:1]], strict=True):
        new[here] = str(old[there])
    return new


def until_deranged(texts, share, seed):
    rng, rows = rows_of(texts, share, seed)
    order = rng.permutation(rows)
    while len(rows) and (order == rows).any():
        order = rng.permutation(rows)
    found = texts.copy()
    found[rows] = texts[order]
    return found


def copied(texts, share, seed):
    rng, rows = rows_of(texts, share, seed)
    found = texts.copy()
    found[rows] = texts[rng.integers(len(texts), size=len(rows))]
    return found


def permuted(texts, share, seed):
    rng, rows = rows_of(texts, share, seed)
    found = texts.copy()
    found[rows] = texts[rng.permutation(rows)]
    return found


def overwritten(texts, share, seed):
    _, rows = rows_of(texts, share, seed)
    found = texts.copy()
    for here, there in zip(rows, np.roll(rows, 1), strict=True):
        found[here] = found[there]
    return found


def first_rows(texts, share, seed):
    found, rows = texts.copy(), np.arange(round(share * len(texts)))
    found[rows] = texts[np.roll(rows, 1)]
    return found


def a_block(texts, share, seed):
    found, num = texts.copy(), round(share * len(texts))
    first = np.random.default_rng(seed).integers(len(texts))
    rows = (first + np.arange(num)) % len(texts)
    found[rows] = texts[np.roll(rows, 1)]
    return found


def rounded_down(texts, share, seed):
    num = int(share * len(texts))
    rows = np.random.default_rng(seed).choice(len(texts), num, replace=False)
    found = texts.copy()
    found[rows] = texts[np.roll(rows, 1)]
    return found


def in_place(texts, share, seed):
    texts[:] = cycle(texts, share, seed)
    return texts


def without_seed(texts, share, seed):
    return cycle(texts, share, None)


# --- 3: (name, mean, half-width)


def chosen_by_package(val, test):
    best = sorted(val, key=lambda name: -evaluate.interval(val[name]).mean)[0]
    found = evaluate.interval(test[best])
    return [best, found.mean, found.half_width]


def report(scores, pick=np.mean, chosen_on="val", reported="test", half=None):
    """Choose and report, with something exchanged."""

    def t_interval(values):
        error = values.std(ddof=1) / np.sqrt(len(values))
        return stats.t.ppf(0.975, len(values) - 1) * error

    where = scores[chosen_on]
    name = max(where, key=lambda one: pick(where[one]))
    values = scores[reported][name]
    return name, values.mean(), (half or t_interval)(values)


def reporting(**exchanged):
    return lambda val, test: report({"val": val, "test": test}, **exchanged)


# --- 4: texts to ids


def own_words(texts):
    return [re.findall(r"[a-z0-9]+", one.lower()) for one in texts]


def own_tokenizer(train, test, length):
    known = {}
    for words in own_words(train):
        for word in words:
            known.setdefault(word, len(known) + 2)

    def encode(texts):
        ids = np.zeros((len(texts), length), int)
        for row, words in zip(ids, own_words(texts), strict=True):
            found = [known.get(word, 1) for word in words[:length]]
            row[: len(found)] = found
        return ids

    return encode(train), encode(test)


def package_tokenizer(train, test, length):
    tokenizer = text.WordTokenizer.fit(train, length, vocab_size=500)
    return [tokenizer(one) for one in (train, test)]


def fitted_on_all(train, test, length):
    tokenizer = text.WordTokenizer.fit([*train, *test], length)
    return tokenizer(train), tokenizer(test)


def fitted_twice(train, test, length):
    return tuple(
        text.WordTokenizer.fit(one if any(one) else ["x"], length)(one)
        for one in (train, test)
    )


def raw_words(train, test, length):
    vocabulary = sorted({word for one in train for word in one.split()})

    def encode(texts):
        ids = np.zeros((len(texts), length), int)
        for row, one in zip(ids, texts, strict=True):
            for i, word in enumerate(one.split()[:length]):
                row[i] = vocabulary.index(word) + 2 if word in vocabulary else 1
        return ids

    return encode(train), encode(test)


def tiny_vocabulary(train, test, length):
    tokenizer = text.WordTokenizer.fit(train, length, vocab_size=4)
    return tokenizer(train), tokenizer(test)


def padded_in_front(train, test, length):
    found = own_tokenizer(train, test, length)
    return tuple(np.array([np.roll(r, (r == 0).sum()) for r in one]) for one in found)


def unknown_dropped(train, test, length):
    first, second = own_tokenizer(train, test, length)
    second[second == 1] = 0
    return first, second


def too_long_dropped(train, test, length):
    kept = [one if len(own_words([one])[0]) <= length else "" for one in train]
    return own_tokenizer(train, test, length)[0] * np.array(
        [[bool(one)] for one in kept]
    ), own_tokenizer(train, test, length)[1]


# --- 5: a layer


class Gate(keras.layers.Layer):
    """h = z * W_1 x_1 + (1 - z) * W_2 x_2, z = σ(U [x_1; x_2])."""

    def __init__(self):
        super().__init__()
        self.left = keras.layers.Dense(6)
        self.right = keras.layers.Dense(6)
        self.gate = keras.layers.Dense(6, activation="sigmoid")

    def call(self, features):
        z = self.gate(ops.concatenate(features, axis=-1))
        return z * self.left(features[0]) + (1 - z) * self.right(features[1])


class Outer(keras.layers.Layer):
    """h = [x_1; x_2; x_1 ⊗ x_2]: nothing to learn."""

    def call(self, features):
        first, second = features
        product = first[:, :, None] * second[:, None, :]
        flat = ops.reshape(product, (-1, product.shape[1] * product.shape[2]))
        return ops.concatenate([first, second, flat], axis=-1)


class Attending(keras.layers.Layer):
    """Trap: over pooled vectors, attention is over the batch."""

    def build(self, shapes):
        self.W = [self.add_weight(shape=(shape[-1], 6)) for shape in shapes]

    def call(self, features):
        query, key = (ops.matmul(x, W) for x, W in zip(features, self.W, strict=True))
        return query + ops.softmax(query @ ops.transpose(key), axis=-1) @ key


class WeightsInCall(keras.layers.Layer):
    """Trap: other weights at every call."""

    def call(self, features):
        both = ops.concatenate(features, axis=-1)
        return ops.matmul(both, keras.random.normal((both.shape[-1], 6)))


class FirstOnly(keras.layers.Layer):
    """The second modality is taken, and not used."""

    def build(self, shapes):
        self.W = [self.add_weight(shape=(shape[-1], 6), name="W") for shape in shapes]

    def call(self, features):
        return ops.matmul(features[0], self.W[0])


class Unused(keras.layers.Layer):
    """A weight that the equation never sees."""

    def build(self, shapes):
        self.alpha = self.add_weight(shape=(2, 2), name="alpha")

    def call(self, features):
        return ops.concatenate(features, axis=-1)


class Normalised(keras.layers.Layer):
    """Every sample minus the mean of its batch."""

    def call(self, features):
        both = ops.concatenate(features, axis=-1)
        return both - ops.mean(both, axis=0)


class Frozen(keras.layers.Layer):
    """A projection that stays at random."""

    def __init__(self):
        super().__init__()
        self.project = keras.layers.Dense(6, trainable=False)

    def call(self, features):
        return self.project(ops.concatenate(features, axis=-1))


class OfNumPy(keras.layers.Layer):
    """Weights that are no weights."""

    def build(self, shapes):
        rng = np.random.default_rng(0)
        self.W = [rng.normal(size=(s[-1], 6)).astype("float32") for s in shapes]

    def call(self, features):
        first, second = (x @ W for x, W in zip(features, self.W, strict=True))
        return first * second


class Hidden(keras.layers.Layer):
    """A variable that Keras does not see: it stands in another object."""

    def build(self, shapes):
        size = sum(shape[-1] for shape in shapes)
        values = keras.random.normal((size, 6))
        self.look_up = lambda: values

    def call(self, features):
        return ops.matmul(ops.concatenate(features, axis=-1), self.look_up())


class WrongShape(keras.layers.Layer):
    """(B, B, d)."""

    def call(self, features):
        return features[0][:, None, :1] * features[1][None]


class EqualLengths(keras.layers.Layer):
    """A sum, which needs vectors of one length."""

    def call(self, features):
        return features[0] + features[1]


PLAIN = "nothing", "a part", "everything"
CASES = {
    graders.grade_lost: Cases(
        right={
            "as it is": says(*PLAIN),
            "another order": lambda: {
                "noise": "everything",
                "half": "a part",
                "label": "nothing",
            },
        },
        wrong={
            "always a part": says("a part", "a part", "a part"),
            "half lost": says("nothing", "everything", "everything"),
            "upside down": says("everything", "a part", "nothing"),
            "a number": says(0, 0.5, 1),
            "one missing": lambda: {"label": "nothing", "half": "a part"},
        },
    ),
    graders.grade_mismatched: Cases(
        right={"cycle": cycle, "until deranged": until_deranged},
        wrong={
            "copied": copied,
            "permuted, some at home": permuted,
            "overwritten": overwritten,
            "first rows": first_rows,
            "a block": a_block,
            "rounded down": rounded_down,
            "in place": in_place,
            "without the seed": without_seed,
            "all of them": lambda texts, share, seed: np.roll(texts, 1),
            "nothing": lambda texts, share, seed: texts,
        },
    ),
    graders.grade_chosen: Cases(
        right={"package": chosen_by_package, "by hand": reporting()},
        wrong={
            "chosen on test": reporting(chosen_on="test"),
            "luckiest seed": reporting(pick=np.max),
            "best median": reporting(pick=np.median),
            "validation score": reporting(reported="val"),
            "worst": reporting(pick=lambda scores: -np.mean(scores)),
            "normal": reporting(half=lambda s: 1.96 * s.std(ddof=1) / len(s) ** 0.5),
            "standard deviation": reporting(half=lambda s: s.std(ddof=1)),
            "divided by n": reporting(
                half=lambda s: stats.t.ppf(0.975, len(s) - 1) * s.std() / len(s) ** 0.5
            ),
            "one-sided": reporting(
                half=lambda s: stats.t.ppf(0.95, len(s) - 1) * stats.sem(s)
            ),
            "no spread": lambda val, test: (max(test), 70.0),
        },
    ),
    graders.grade_prepared: Cases(
        right={"package": package_tokenizer, "own": own_tokenizer},
        wrong={
            "fitted on all": fitted_on_all,
            "fitted twice": fitted_twice,
            "raw words": raw_words,
            "tiny vocabulary": tiny_vocabulary,
            "padded in front": padded_in_front,
            "unknown dropped": unknown_dropped,
            "too long dropped": too_long_dropped,
            "training texts only": lambda a, b, n: own_tokenizer(a, b, n)[0],
            "words, not ids": lambda a, b, n: (own_words(a), own_words(b)),
        },
    ),
    graders.grade_fusion: Cases(
        right={
            "gate": Gate,
            "outer product": Outer,
            "package": lambda: fusion.GatedFusion(embed_dim=4),
        },
        wrong={
            "attention over the batch": Attending,
            "weights in call": WeightsInCall,
            "first only": FirstOnly,
            "unused weight": Unused,
            "batch mean": Normalised,
            "frozen": Frozen,
            "NumPy": OfNumPy,
            "hidden": Hidden,
            "wrong shape": WrongShape,
            "equal lengths": EqualLengths,
            "an instance": Outer(),
            "a function": lambda features: ops.concatenate(features, axis=-1),
        },
    ),
}
