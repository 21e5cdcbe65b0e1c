"""Graders of the exercises on fusions (`notebooks/exercises/03_fusion_zoo.ipynb`)."""

import numpy as np

from mmlearn_course.graders import Hint, grader
from mmlearn_course.graders.answers import called, numbers, prediction, right, same

BEATS_CHANCE = {
    "concat": False,
    "sum": False,
    "weighted": False,
    "mean of decisions": False,
    "bilinear": True,
    "tensor": True,
    "concat, hidden layer": True,
}
MOST_FEATURES = 700


@grader
def grade_gated(answer) -> None:
    """Grade `gated(x1, x2, W1, W2, U1, U2)`: the gated multimodal unit."""
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    shapes = ((3, 6), (4, 6), (7, 6), (7, 6))
    w1, w2, u1, u2 = weights = [rng.normal(size=shape) for shape in shapes]
    h = numbers(called(answer, x1, x2, *weights), (5, 6), "fused vector")
    both, turned = np.concatenate([x1, x2], 1), np.concatenate([x2, x1], 1)
    a, b = x1 @ w1, x2 @ w2
    first, second = (1 / (1 + np.exp(-both @ u)) for u in (u1, u2))
    if same(h, first * np.tanh(a) + second * np.tanh(b)):
        return right("both gates see both modalities.")
    if same(h, first * a + second * b):
        raise Hint("Your features have no bound: what is around W x in the equation?")
    if same(h, second * np.tanh(a) + first * np.tanh(b)):
        raise Hint("Each gate stands at the other modality's features.")
    if same(h, first * np.tanh(a) + (1 - first) * np.tanh(b)):
        raise Hint(
            "You have tied the gates; here each modality has its own, U1 and U2."
        )
    other = [1 / (1 + np.exp(-turned @ u)) for u in (u1, u2)]
    if same(h, other[0] * np.tanh(a) + other[1] * np.tanh(b)):
        raise Hint("In which order are the modalities in the vector that a gate sees?")
    alone = [
        1 / (1 + np.exp(-part))
        for part in (x1 @ u1[:3], x2 @ u2[3:], x2 @ u1[3:], x1 @ u2[:3])
    ]
    if same(h, alone[0] * np.tanh(a) + alone[1] * np.tanh(b)) or same(
        h, alone[2] * np.tanh(a) + alone[3] * np.tanh(b)
    ):
        raise Hint("Your gates see one modality each: what is [x1; x2]?")
    raise Hint(
        "That is not the equation: print the gates, are they all between 0 and 1?"
    )


@grader
def grade_xor_prediction(answer) -> None:
    """Grade `prediction()`: which fusions with a linear head do better than chance."""
    hint = (
        "Not all are right: which of them can be written as f(x1) + g(x2) until the "
        "very end? Then run the experiment."
    )
    prediction(called(answer), BEATS_CHANCE, (True, False), hint)
    right("a sum cannot do XOR, however it is weighted.")


@grader
def grade_weighted(answer) -> None:
    """Grade `weighted(features, scores, presence)`: shares of the present only."""
    rng = np.random.default_rng(0)
    x, scores = rng.normal(size=(4, 3, 5)), rng.normal(size=(4, 3))
    full, some = np.ones((4, 3)), np.array([[1, 1, 0], [0, 1, 1], [1, 0, 0], [1, 1, 1]])
    presence = some.astype(float)
    found = numbers(called(answer, x, scores, full), (4, 5), "fused vector")
    if not same(found, _weighted(x, scores, full)):
        raise Hint(
            "Already with all modalities present this is not Σ softmax(a)_m x_m."
        )
    blank = x * presence[:, :, None]
    found = numbers(called(answer, blank, scores, presence), (4, 5), "fused vector")
    expected = _weighted(x, scores, presence)
    if same(found, _weighted(x, scores, full, presence)):
        raise Hint(
            "An absent modality keeps its share, which is then lost: what do the "
            "shares of those present add up to?"
        )
    if same(found, _weighted(x, np.where(some, scores, 0), full, presence)):
        raise Hint("A score of 0 is no absence: what is exp(0)?")
    if not same(found, expected):
        raise Hint("With a modality absent, the others' shares are not their softmax.")
    other = np.where(some[:, :, None], x, 7.0)
    found = numbers(called(answer, other, scores, presence), (4, 5), "fused vector")
    if not same(found, expected):
        raise Hint("What stands in an absent modality's place changes the result.")
    spoilt = np.where(some[:, :, None], x, np.nan)
    what = "NaN in an absent modality reaches the result: 0 · NaN is NaN."
    found = called(answer, spoilt, scores, presence)
    found = numbers(found, (4, 5), "fused vector", what)
    if not same(found, expected):
        raise Hint("What stands in an absent modality's place changes the result.")
    loud = np.where(some, scores, 60)
    what = "A high score of an absent modality gives NaN: over whom is your maximum?"
    found = numbers(called(answer, x, loud, presence), (4, 5), "fused vector", what)
    if not same(found, expected):
        raise Hint(
            "A high score of an absent modality changes the result: take the maximum "
            "over those present."
        )
    presence[0] = 0
    what = (
        "Where no modality is present, the result is NaN: what is your sum of shares?"
    )
    found = called(answer, x, scores, presence)
    found = numbers(found, (4, 5), "fused vector", what)
    if not same(found[0], 0):
        raise Hint("Where no modality is present, the result should be zeros.")
    right("who is absent has no say and no share.")


@grader
def grade_mended(answer) -> None:
    """Grade `Mended`: a layer whose vectors attend within their sample only."""
    import keras

    rng = np.random.default_rng(0)
    x = [rng.normal(size=(6, 8)).astype("float32") for _ in range(2)]
    layer = called(answer) if isinstance(answer, type) else answer
    if not isinstance(layer, keras.layers.Layer):
        raise Hint(f"Expected a Keras layer's class, got a {type(layer).__name__}.")
    h = _fused(layer, *x)
    if not same(h, _fused(layer, *x), 1e-5):
        raise Hint("Two calls differ: are weights made inside `call`?")
    other = [rng.normal(size=(6, 8)).astype("float32") for _ in range(2)]
    company = [
        np.concatenate([one[:1], new[1:]]) for one, new in zip(x, other, strict=True)
    ]
    if not same(h[:1], _fused(layer, *company)[:1], 1e-3):
        raise Hint("A sample's output still depends on its neighbours in the batch.")
    alone = _fused(layer, *(one[:1] for one in x))
    if alone.shape[1:] != h.shape[1:] or not same(h[:1], alone, 1e-3):
        raise Hint("A sample alone gives another output than in its batch.")
    for number, pair in enumerate(((other[0], x[1]), (x[0], other[1]))):
        if same(h, _fused(layer, *pair), 1e-4):
            raise Hint(
                f"The {('first', 'second')[number]} modality has no effect: among how "
                "many keys does a query choose?"
            )
    rest = _fused(layer, other[0], x[1]) + _fused(layer, x[0], other[1])
    if same(h + _fused(layer, *other), rest):
        raise Hint("No attention is left: this is a sum of what each modality says.")
    # Between equal vectors the weights do not matter: what is left is linear.
    one, two, zero = x[0], x[1], np.zeros_like(x[0])
    twice = [_fused(layer, one_of, one_of) for one_of in (one, two, one + two, zero)]
    if not same(twice[0] + twice[1], twice[2] + twice[3], 1e-3):
        raise Hint(
            "Where both modalities hold the same vector, attention has nothing to "
            "choose, and yours is not linear there: among what does a query choose?"
        )
    right("samples keep to themselves, and their modalities attend to each other.")


@grader
def grade_experts(answer) -> None:
    """Grade `experts(posteriors, prior)`: their product, the prior counted once."""
    rng = np.random.default_rng(0)
    prior, flat = np.array([0.6, 0.3, 0.1]), np.full(3, 1 / 3)
    p = rng.dirichlet(np.ones(3), (3, 5))
    for given, before in ((p[:2], flat), (p[:1], prior), (p[:2], prior), (p, prior)):
        found = numbers(called(answer, given, before), (5, 3), "array of probabilities")
        product, size = given.prod(axis=0), len(given)
        if same(found, _normal(product / before ** (size - 1))):
            continue
        if not same(found.sum(axis=1), 1):
            raise Hint("The rows do not add up to 1.")
        if size == 1:
            raise Hint("One modality alone should give its own posterior.")
        if same(found, given.mean(axis=0)):
            raise Hint("That is the mean: two witnesses who agree should be surer.")
        raise Hint(
            f"Every posterior has the prior in it: with {size} of them, how often is "
            "it in your product?"
        )
    right("independent evidence multiplies, and the prior counts once.")


@grader
def grade_low_rank(answer) -> None:
    """Grade `low_rank(features, factors, rank_weights, bias)` for any M."""
    rng = np.random.default_rng(0)
    for dims in ((3, 4), (3, 4, 2), (2, 3, 2, 4)):
        x = [rng.normal(size=(5, d)) for d in dims]
        factors = [rng.normal(size=(3, d + 1, 6)) for d in dims]
        w, b = rng.normal(size=3), rng.normal(size=6)
        where = f"with {len(dims)} modalities"
        found = called(answer, x, factors, w, b, where=where)
        found = numbers(found, (5, 6), "fused vector")
        parts = _projected(x, factors)
        expected = np.einsum("r,rbu->bu", w, np.prod(parts, axis=0)) + b
        if same(found, expected):
            continue
        if len(dims) > 2:
            if same(found, np.einsum("r,rbu->bu", w, parts[0] * parts[1]) + b):
                raise Hint(f"Of {len(dims)} modalities only two are used.")
            raise Hint(f"Two modalities are right, {len(dims)} are not.")
        last = _projected(x, [np.roll(f, 1, axis=1) for f in factors], last=True)
        if same(found, np.einsum("r,rbu->bu", w, np.prod(last, axis=0)) + b):
            raise Hint("The 1 stands in front, [1; x]: whose row of F is the first?")
        if same(found, np.einsum("r,rbu->bu", w, np.sum(parts, axis=0)) + b):
            raise Hint("Over r you add, but over the modalities you ...?")
        if same(found, expected - b):
            raise Hint("The bias is missing.")
        if same(found, np.prod(parts, axis=0).sum(axis=0) + b):
            raise Hint("Every rank has its weight w_r.")
        raise Hint("That is not the equation: compare it with the lecture's for two.")
    right("two, three or four modalities, one function.")


@grader
def grade_my_fusion(answer) -> None:
    """Grade `my_fusion(x1, x2)`: a linear head on it must do XOR and a sum."""
    from mmlearn import datasets

    sizes = {"num_train": 3000, "num_val": 10, "num_test": 2000}
    x = np.random.default_rng(0).normal(size=(2, 6, 16)).astype("float32")
    whole = numbers(called(answer, *x), (6, None), "fused vector")
    if not 1 <= whole.shape[1] <= MOST_FEATURES:
        raise Hint(
            f"{whole.shape[1]} features a sample, expected 1 to {MOST_FEATURES}."
        )
    if not same(whole, numbers(called(answer, *x), whole.shape), 1e-4):
        raise Hint("Two calls differ: draw random weights once, with a seed, outside.")
    alone = numbers(called(answer, x[0, :1], x[1, :1]), (1, whole.shape[1]))
    if not same(whole[:1], alone, 1e-3):
        raise Hint("A sample's vector depends on the other samples of the batch.")
    for kind, least in (("linear", 78), ("synergistic", 75)):
        data, task = datasets.interactions(kind, noise=0.3, seed=0, **sizes)
        accuracy = 100 * _linear_accuracy(answer, data)
        if accuracy < least:
            best = 100 * max(task.limit("first"), task.limit("second"))
            why = f"one modality alone can have {best:.0f} %."
            if kind == "linear":
                why = f"{why[:-1]}, and a plain concatenation has enough."
            raise Hint(
                f"A linear head on your fusion has {accuracy:.0f} % on the {kind} "
                f"task, expected {least} %; {why}"
            )
    right(f"XOR and a sum, with {whole.shape[1]} features.")


def _weighted(x, scores, in_softmax, after=None) -> np.ndarray:
    shares = np.exp(scores) * in_softmax
    shares = shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-30)
    shares = shares if after is None else shares * after
    return np.einsum("bm,bmd->bd", shares, x)


def _normal(p: np.ndarray) -> np.ndarray:
    return p / p.sum(axis=-1, keepdims=True)


def _fused(layer, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What the layer gives, one row a sample."""
    found = called(lambda a, b: layer([a, b]), first, second)
    rank = len(getattr(found, "shape", ()))
    if rank not in (2, 3):
        raise Hint("Expected one tensor with a row for each sample.")
    found = numbers(found, (len(first), *[None] * (rank - 1)), "output")
    return found.reshape(len(first), -1)


def _projected(x, factors, last: bool = False) -> np.ndarray:
    """[1; x_m] F_m[r] for every m and r, shape (M, rank, B, units)."""
    ones = [np.ones((len(one), 1)) for one in x]
    order = ([o, one] for o, one in zip(ones, x, strict=True))
    rows = [np.concatenate(pair, axis=1) for pair in order]
    if last:
        factors = [np.roll(f, -1, axis=1) for f in factors]
        rows = [np.roll(row, -1, axis=1) for row in rows]
    pairs = zip(rows, factors, strict=True)
    return np.stack([np.einsum("bi,riu->rbu", row, f) for row, f in pairs])


def _linear_accuracy(answer, data) -> float:
    """Test accuracy of logistic regression on the fused vectors."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fused(split):
        found = called(answer, split["first"], split["second"])
        return numbers(found, (len(split), None), "fused vector")

    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=200))
    head.fit(fused(data.train), data.train.labels)
    return head.score(fused(data.test), data.test.labels)
