"""Graders of the exercises of `notebooks/exercises/12_explain_and_stress.ipynb`."""

from itertools import combinations
from math import factorial

import numpy as np

from mmlearn_course.graders import Hint, grader
from mmlearn_course.graders.answers import called, numbers, right, same, unchanged

POINTS = {
    "redundant": {"ablation": 0, "Shapley": 25},
    "unique": {"ablation": 50, "Shapley": 37.5},
    "synergistic": {"ablation": 50, "Shapley": 25},
}
VERDICTS = ("first only", "second only", "adds", "interacts")


@grader
def grade_cost_of_wrong(answer) -> None:
    """Grade `cost_of_wrong(predict, inputs, labels, name, order)`: a permutation."""
    rng = np.random.default_rng(0)
    inputs = {"image": rng.normal(size=(40, 3)), "text": rng.normal(size=(40, 2))}
    labels = (inputs["image"][:, 0] + 0.5 * inputs["text"][:, 0] > 0).astype(int)
    labels[:6] = 1 - labels[:6]
    order, names = np.roll(np.arange(40), 7), ("image", "text")

    def predict(given):
        score = given["image"][:, 0] + 0.5 * given["text"][:, 0]
        return np.stack([-score, score], axis=1)

    def accuracy(given):
        return np.mean(predict(given).argmax(axis=1) == labels)

    for name in names:
        found = called(answer, predict, inputs, labels, name, order)
        cost = float(numbers(found, (), "cost"))
        wrong = accuracy({**inputs, name: inputs[name][order]})
        whole = accuracy(inputs)
        if same(cost, whole - wrong):
            continue
        if same(cost, wrong):
            raise Hint("That is the accuracy with the wrong rows: what did it cost?")
        if same(cost, wrong - whole):
            raise Hint("The sign: a modality that is used should cost something.")
        if same(cost, 100 * (whole - wrong)):
            raise Hint("That is in percent, expected a share of 1.")
        if same(cost, whole - accuracy({k: x[order] for k, x in inputs.items()})):
            raise Hint("You exchange all modalities: then nothing fits the labels.")
        others = [other for other in names if other != name]
        swapped = {**inputs, others[0]: inputs[others[0]][order]}
        if same(cost, whole - accuracy(swapped)):
            raise Hint(f"Asked about {name!r}, you have exchanged another modality.")
        if same(cost, 0):
            raise Hint("The cost is 0: are both accuracies of the same inputs?")
        raise Hint(f"The cost of a wrong {name!r} is not accuracy before - after.")
    # Labels that fit the exchanged text better: a wrong one is of use, for once.
    better = predict({**inputs, "text": inputs["text"][order]}).argmax(axis=1)
    found = called(answer, predict, inputs, better, "text", order)
    cost = float(numbers(found, (), "cost"))
    if cost > 0:
        raise Hint("A wrong modality can help by chance: the cost is negative then.")
    if not same(cost, np.mean(predict(inputs).argmax(axis=1) == better) - 1):
        raise Hint("Where a wrong modality helps by chance, the cost is off.")
    _leaves_alone(answer, predict, inputs, labels, order)
    right("what is not used costs nothing.")


@grader
def grade_points_prediction(answer) -> None:
    """Grade `prediction()`: points by ablation and Shapley, for three kinds."""
    found = called(answer)
    if not isinstance(found, dict) or set(found) != set(POINTS):
        raise Hint(f"Expected a dict with the keys {', '.join(map(repr, POINTS))}.")
    for kind, expected in POINTS.items():
        if not isinstance(found[kind], dict) or set(found[kind]) != set(expected):
            raise Hint(f"{kind!r} needs a dict with 'ablation' and 'Shapley'.")
        for tool in expected:
            numbers(found[kind][tool], (), f"prediction for {kind!r}, {tool!r},")
    for kind, expected in POINTS.items():
        off = [tool for tool in expected if abs(found[kind][tool] - expected[tool]) > 5]
        if "ablation" in off:
            raise Hint(
                f"{kind}, ablation: write down the accuracy with both modalities, and "
                "what is left when the first is gone."
            )
        if off:
            raise Hint(
                f"{kind}, Shapley: what does the first add to nothing, and what to the "
                "second? Guessing is not 0 % right."
            )
    right("ablation asks what is lost, Shapley who has earned it.")


@grader
def grade_nearest_sum(answer) -> None:
    """Grade `nearest_sum(grid)`: EMAP of logits (N, N, C)."""
    rng = np.random.default_rng(0)
    grid = rng.normal(size=(6, 6, 3)) + 3 * rng.normal(size=(6, 1, 3)) + 2
    found = numbers(called(answer, grid), (6, 3), "array of logits")
    own, total = grid[np.arange(6), np.arange(6)], grid.mean(axis=(0, 1))
    if same(found, grid.mean(axis=1) + grid.mean(axis=0)):
        raise Hint("What both means hold counts twice now.")
    if same(found, own):
        raise Hint("That is the model itself: the pairs that belong together.")
    if any(same(found, grid.mean(axis=axis)) for axis in (0, 1)):
        raise Hint("That is a function of one modality only.")
    if same(found, grid.mean(axis=1) + grid.mean(axis=0) - grid.mean()):
        raise Hint("Each class has its own mean over all pairs.")
    if not same(found, grid.mean(axis=1) + grid.mean(axis=0) - total):
        raise Hint("That is not the equation: over which axis does j run?")
    additive = rng.normal(size=(5, 1, 2)) + rng.normal(size=(1, 5, 2))
    found = numbers(called(answer, additive), (5, 2), "array of logits")
    if not same(found, additive[np.arange(5), np.arange(5)]):
        raise Hint("A model that is a sum must be its own nearest sum.")
    right("a sum is its own projection, and interaction is what is left over.")


@grader
def grade_mean_of_present(answer) -> None:
    """Grade `mean_of_present(probabilities, presence)`: (M, N, C) and (N, M)."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(0.5 * np.ones(4), (3, 5))
    presence = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1]], float)
    full, there = np.ones((5, 3)), presence.T[:, :, None]
    found = numbers(called(answer, p, full), (5, 4), "array of probabilities")
    with np.errstate(divide="ignore"):
        logs = np.exp(np.log(np.maximum(p, 1e-12)).mean(axis=0))
    if same(found, logs / logs.sum(axis=1, keepdims=True), 1e-3):
        raise Hint(
            "You average logarithms: that is a product, the mean is another rule."
        )
    if not same(found, p.mean(axis=0)):
        raise Hint(
            "With all modalities present, this is not the mean of their answers."
        )
    blank = p * there
    found = numbers(called(answer, blank, presence), (5, 4), "array of probabilities")
    if same(found, blank.mean(axis=0)):
        raise Hint("The rows no longer add up to 1: how many modalities have answered?")
    if same(found, np.where(there, p, 0.25).mean(axis=0)):
        raise Hint(
            "An absent modality does not say 'all classes alike': it says nothing."
        )
    expected = blank.sum(axis=0) / presence.sum(axis=1, keepdims=True)
    if not same(found, expected):
        raise Hint("Where a modality is absent, this is not the mean of the others.")
    spoilt = np.where(there, p, np.nan)
    what = "NaN in an absent modality reaches the result: 0 · NaN is NaN."
    for content in (np.where(there, p, 0.9), spoilt):
        found = called(answer, content, presence)
        found = numbers(found, (5, 4), "array of probabilities", what)
        if not same(found, expected):
            raise Hint("What stands in an absent modality's place changes the result.")
    unchanged(answer, p, presence)
    presence[2] = 0
    what = "Where no modality is present, the result is NaN: what do you divide by?"
    found = called(answer, p, presence)
    found = numbers(found, (5, 4), "array of probabilities", what)
    if not same(found[2], 0.25):
        raise Hint("Where no modality is present, every class should be as probable.")
    right("the mean asks only those who are there.")


@grader
def grade_exchanged(answer) -> None:
    """Grade `exchanged(windows, i, j)`: two channels of (N, T, C) change places."""
    windows = np.random.default_rng(0).normal(size=(2, 5, 4))
    for i, j in ((0, 2), (3, 1), (2, 2)):
        found = numbers(
            called(answer, windows, i, j), windows.shape, "array of windows"
        )
        expected = windows.copy()
        expected[..., [i, j]] = windows[..., [j, i]]
        if same(found, expected):
            continue
        if same(found, windows):
            raise Hint("Nothing has changed.")
        if same(found[..., i], found[..., j]):
            raise Hint(
                "Both channels now hold the same: a slice is a view, not a copy. When "
                "the second is written, what does the first say?"
            )
        raise Hint("Other numbers have moved, too: only channels i and j should.")
    given = windows.copy()
    called(lambda i, j: answer(given, i, j), 0, 2)
    if not same(given, windows):
        raise Hint("Your function changes the array that it was given.")
    right("a swap that swaps, and leaves the original alone.")


@grader
def grade_shapley(answer) -> None:
    """Grade `shapley(value, names)`: `value` takes a frozenset; any number of names."""
    rng = np.random.default_rng(0)
    for names in (["image", "text"], ["image", "text", "sensor"], list("abcd")):
        worth = {subset: float(rng.random()) for subset in _subsets(names)}

        def value(subset, worth=worth):
            return worth[frozenset(subset)]

        found = called(answer, value, names, where=f"with {len(names)} modalities")
        if not isinstance(found, dict) or set(found) != set(names):
            raise Hint(f"Expected a dict with a number for each of {names}.")
        shares = {n: float(numbers(x, (), f"share of {n!r}")) for n, x in found.items()}
        exact = _shapley(value, names)
        if _agree(shares, exact):
            continue
        everything, nothing = frozenset(names), frozenset()
        last = {n: value(everything) - value(everything - {n}) for n in names}
        if _agree(shares, last):
            raise Hint("That is ablation: you add each modality last only.")
        if _agree(shares, {n: value({n}) - value(nothing) for n in names}):
            raise Hint("That is each modality alone: you add it first only.")
        if _agree(shares, _shapley(value, names, banzhaf=True)):
            raise Hint(
                f"All subsets count alike. In how many of the orders of {len(names)} "
                "does each of them come first?"
            )
        total = value(everything) - value(nothing)
        if not np.isclose(sum(shares.values()), total, atol=1e-6):
            raise Hint("The shares do not add up to v(all) - v(none).")
        if _agree(shares, exact, 0.03):
            continue  # the mean over many random orders
        raise Hint("They add up, but who is added to what? Write down two by hand.")
    right("one function for two, three and four modalities.")


@grader
def grade_verdict(answer) -> None:
    """Grade `verdict(model, first, second)`: what kind of model is it?"""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 80, 3))
    for truth, what, model in _SUSPECTS:
        found = called(answer, model, first, second)
        if not isinstance(found, str) or found not in VERDICTS:
            raise Hint(f"A verdict is one of {', '.join(map(repr, VERDICTS))}.")
        if found != truth:
            raise Hint(f"A model {what} was called {found!r}.")
    right(f"all {len(_SUSPECTS)} suspects are found out.")


_SUSPECTS = (
    ("first only", "that never reads the second", lambda a, b: a[:, 0] - a[:, 2] ** 2),
    ("second only", "that never reads the first", lambda a, b: np.tanh(b).sum(axis=1)),
    ("adds", "that adds two numbers", lambda a, b: a[:, 0] + b[:, 0]),
    (
        "adds",
        "that adds two curved functions, one of each modality,",
        lambda a, b: np.abs(a).sum(axis=1) - b[:, 1] ** 2,
    ),
    ("interacts", "that multiplies two numbers", lambda a, b: a[:, 0] * b[:, 0]),
    (
        "interacts",
        "that adds, and multiplies a little,",
        lambda a, b: a[:, 0] + b[:, 0] + 0.5 * a[:, 1] * b[:, 1],
    ),
    (
        "interacts",
        "that adds, and multiplies very little,",
        lambda a, b: a[:, 0] + b[:, 0] + 0.05 * a[:, 1] * b[:, 1],
    ),
    (
        "adds",
        "that adds a step and a wave",
        lambda a, b: 3 * np.sign(a[:, 0]) + np.sin(8 * b[:, 0]),
    ),
    (
        "interacts",
        "that listens to the second only where the first is large",
        lambda a, b: a[:, 0] + b[:, 0] * (a[:, 1] > 0.5),
    ),
    (
        "adds",
        "to which the second matters little",
        lambda a, b: 3 * a[:, 0] + 0.3 * b[:, 2],
    ),
)


def _leaves_alone(answer, predict, inputs, labels, order) -> None:
    given = {name: array.copy() for name, array in inputs.items()}
    called(lambda: answer(predict, given, labels, "text", order))
    if set(given) != set(inputs) or any(
        not same(given[name], array) for name, array in inputs.items()
    ):
        raise Hint("Your function changes the inputs that it was given.")


def _subsets(names) -> list[frozenset]:
    sizes = range(len(names) + 1)
    return [frozenset(s) for size in sizes for s in combinations(names, size)]


def _shapley(value, names, banzhaf: bool = False) -> dict[str, float]:
    found, total = {}, len(names)
    for name in names:
        found[name] = 0.0
        for subset in _subsets([other for other in names if other != name]):
            size = len(subset)
            share = factorial(size) * factorial(total - size - 1) / factorial(total)
            share = 2.0 ** (1 - total) if banzhaf else share
            found[name] += share * (value(subset | {name}) - value(subset))
    return found


def _agree(found: dict, expected: dict, atol: float = 1e-6) -> bool:
    return all(np.isclose(found[name], expected[name], atol=atol) for name in expected)
