"""Answers to the exercises of notebook 12."""

from itertools import combinations, permutations
from math import comb

import numpy as np
from exercise_cases import Cases
from scipy.special import softmax

from mmlearn_course.graders import explain_and_stress as graders

# --- 1: what a wrong modality costs


def share_right(predict, inputs, labels):
    return (predict(inputs).argmax(axis=1) == labels).mean()


def cost(predict, inputs, labels, name, order):
    wrong = {**inputs, name: inputs[name][order]}
    return share_right(predict, inputs, labels) - share_right(predict, wrong, labels)


def cost_by_copy(predict, inputs, labels, name, order):
    wrong = dict(inputs)
    wrong[name] = np.stack([inputs[name][row] for row in order])
    before, after = (np.argmax(predict(x), 1) == labels for x in (inputs, wrong))
    return np.sum(before.astype(float) - after) / len(labels)


def cost_in_place(predict, inputs, labels, name, order):
    before = share_right(predict, inputs, labels)
    inputs[name] = inputs[name][order]
    return before - share_right(predict, inputs, labels)


def cost_of_all(predict, inputs, labels, name, order):
    wrong = {key: x[order] for key, x in inputs.items()}
    return share_right(predict, inputs, labels) - share_right(predict, wrong, labels)


def cost_of_the_other(predict, inputs, labels, name, order):
    (other,) = set(inputs) - {name}
    return cost(predict, inputs, labels, other, order)


# --- 2: points of ablation and Shapley


def says(*pairs):
    kinds = zip(graders.POINTS, pairs, strict=True)
    return lambda: {
        k: dict(zip(("ablation", "Shapley"), p, strict=True)) for k, p in kinds
    }


def said():
    return {
        "redundant": {"ablation": 50 - 50, "Shapley": (50 + 0) / 2},
        "unique": {"ablation": 100 - 50, "Shapley": (25 + 50) / 2},
        "synergistic": {"ablation": 100 - 50, "Shapley": (0 + 50) / 2},
    }


# --- 3: the nearest sum


def nearest_by_loop(grid):
    rows = range(len(grid))
    return np.array(
        [grid[i].mean(0) + grid[:, i].mean(0) - grid.mean((0, 1)) for i in rows]
    )


def nearest_by_centring(grid):
    centre = grid.mean(axis=(0, 1))
    rest = grid - centre
    return rest.mean(axis=0) + rest.mean(axis=1) + centre


# --- 4: mean of those present; (M, N, C), (N, M)


def mean_by_nan(p, presence):
    kept = np.where(presence.T[..., None] > 0, p, np.nan)
    kept[:, presence.sum(axis=1) == 0] = 1 / p.shape[2]
    return np.nanmean(kept, axis=0)


def mean_by_loop(p, presence):
    rows = []
    for n in range(p.shape[1]):
        said = [p[m, n] for m in range(len(p)) if presence[n, m]]
        rows.append(np.mean(said, axis=0) if said else np.ones(p.shape[2]) / p.shape[2])
    return rows


def in_place(p, presence):
    p[presence.T == 0] = 0
    shares = p.sum(axis=0) / np.maximum(presence.sum(axis=1, keepdims=True), 1)
    return np.where(presence.any(axis=1, keepdims=True), shares, 1 / p.shape[2])


def divided_by_all(p, presence):
    return np.where(presence.T[..., None] > 0, p, 0).mean(axis=0)


def total(p, presence):
    return np.where(presence.T[..., None] > 0, p, 0).sum(axis=0)


def none_is_nan(p, presence):
    return total(p, presence) / presence.sum(axis=1, keepdims=True)


def none_is_zero(p, presence):
    return total(p, presence) / np.maximum(presence.sum(axis=1, keepdims=True), 1)


def mean_of_logarithms(p, presence):
    return softmax(np.log(p).mean(axis=0), axis=1)


def absent_is_flat(p, presence):
    return np.where(presence.T[..., None] > 0, p, 1 / p.shape[2]).mean(axis=0)


def keeps_nan(p, presence):
    weights = presence.T[..., None]
    return (weights * p).sum(axis=0) / np.maximum(weights.sum(axis=0), 1e-9)


# --- 5: channels change places


def exchanged_by_list(windows, i, j):
    order = list(range(windows.shape[2]))
    order[i], order[j] = j, i
    return windows[:, :, order]


def exchanged_by_copy(windows, i, j):
    new = windows.copy()
    new[..., i], new[..., j] = windows[..., j], windows[..., i]
    return new


def exchanged_views(windows, i, j):
    new = windows.copy()
    new[..., i], new[..., j] = new[..., j], new[..., i]
    return new


def exchanged_in_place(windows, i, j):
    windows[..., [i, j]] = windows[..., [j, i]]
    return windows


def exchanged_steps(windows, i, j):
    new = windows.copy()
    new[:, [i, j]] = windows[:, [j, i]]
    return new


# --- 6: Shapley


def shapley_by_orders(value, names):
    found, orders = dict.fromkeys(names, 0.0), list(permutations(names))
    for order in orders:
        for place, name in enumerate(order):
            gain = value(frozenset(order[: place + 1])) - value(
                frozenset(order[:place])
            )
            found[name] += gain / len(orders)
    return found


def shapley_by_chance(value, names):
    rng, found = np.random.default_rng(0), dict.fromkeys(names, 0.0)
    for _ in range(2000):
        order = rng.permutation(names).tolist()
        for name, gain in one_order(value, order).items():
            found[name] += gain / 2000
    return found


def shapley_by_sizes(value, names):
    found = {}
    for name in names:
        rest, found[name] = set(names) - {name}, 0
        for size in range(len(names)):
            gains = [
                value({*s, name}) - value(set(s))
                for s in combinations(sorted(rest), size)
            ]
            found[name] += sum(gains) / comb(len(rest), size) / len(names)
    return found


def one_order(value, names):
    sets = [frozenset(names[:size]) for size in range(len(names) + 1)]
    return {n: value(sets[k + 1]) - value(sets[k]) for k, n in enumerate(names)}


def added_last(value, names):
    return {n: value(frozenset(names)) - value(frozenset(names) - {n}) for n in names}


def added_first(value, names):
    return {n: value(frozenset([n])) - value(frozenset()) for n in names}


def first_and_last(value, names):
    first, last = added_first(value, names), added_last(value, names)
    return {n: (first[n] + last[n]) / 2 for n in names}


def equal_parts(value, names):
    whole = value(frozenset(names)) - value(frozenset())
    return dict.fromkeys(names, whole / len(names))


def banzhaf(value, names):
    found = {}
    for name in names:
        rest = [other for other in names if other != name]
        subsets = [set(s) for k in range(len(names)) for s in combinations(rest, k)]
        found[name] = np.mean([value(s | {name}) - value(s) for s in subsets])
    return found


# --- 7: what kind of model is it


def verdict(model, first, second):
    turned = np.roll(np.arange(len(first)), 1)
    whole = model(first, second)
    without_first, without_second = (
        model(first[turned], second),
        model(first, second[turned]),
    )
    if np.allclose(whole, without_first):
        return "second only"
    if np.allclose(whole, without_second):
        return "first only"
    rest = whole + model(first[turned], second[turned]) - without_first - without_second
    return "adds" if np.allclose(rest, 0) else "interacts"


def verdict_by_grid(model, first, second):
    num = len(first)
    rows, columns = np.repeat(np.arange(num), num), np.tile(np.arange(num), num)
    grid = model(first[rows], second[columns]).reshape(num, num)
    a, b = grid.mean(axis=1, keepdims=True), grid.mean(axis=0, keepdims=True)
    shares = np.array([a.var(), b.var(), (grid - a - b + grid.mean()).var()])
    reads_first, reads_second, together = shares > 1e-6 * grid.var()
    if together:
        return "interacts"
    if reads_first and reads_second:
        return "adds"
    return "first only" if reads_first else "second only"


def main_effects_only(model, first, second):
    zeros = np.zeros_like(first)
    alone = [np.ptp(model(first, zeros)) > 1e-6, np.ptp(model(zeros, second)) > 1e-6]
    if all(alone):
        return "adds"
    return "first only" if alone[0] else "second only" if alone[1] else "interacts"


def straight_lines(model, first, second):
    x = np.hstack([first, second, np.ones((len(first), 1))])
    y = model(first, second)
    w, *_ = np.linalg.lstsq(x, y, rcond=None)
    if not np.allclose(x @ w, y):
        return "interacts"
    return "adds"


def cubic_fit(model, first, second):
    """Whatever no cubic curve explains is taken for interaction."""
    a, b = np.repeat(first, 80, axis=0), np.tile(second, (80, 1))
    powers = [x**k for x in (a, b) for k in (1, 2, 3)]
    score, x = model(a, b), np.hstack([np.ones((6400, 1)), *powers])
    left = score - x @ np.linalg.lstsq(x, score, rcond=None)[0]
    return sum_or_not(verdict(model, first, second), left.var() < 1e-6)


def explained(model, first, second):
    """A sum that explains 95 % is taken for the whole."""
    known, grid = verdict(model, first, second), grid_of(model, first, second)
    nearest = grid.mean(0) + grid.mean(1)[:, None] - grid.mean()
    share = 1 - (grid - nearest).var() / grid.var()
    return sum_or_not(known, share > 0.95)


def signs_agree(model, first, second):
    """Says "adds" where exchanging one modality moves all scores one way."""
    known, grid = verdict(model, first, second), grid_of(model, first, second)
    steps = np.sign(np.round(np.diff(grid, axis=0), 6))
    return sum_or_not(known, (steps == steps[:, :1]).mean() > 0.9)


def sum_or_not(known, adds):
    return known if "only" in known else "adds" if adds else "interacts"


def grid_of(model, first, second):
    a, b = np.repeat(first, 80, axis=0), np.tile(second, (80, 1))
    return model(a, b).reshape(80, 80)


def a_tenth_is_nothing(model, first, second):
    turned = np.roll(np.arange(len(first)), 1)
    whole = model(first, second)
    if np.abs(model(first, second[turned]) - whole).mean() < 0.5:
        return "first only"
    return verdict(model, first, second)


CASES = {
    graders.grade_cost_of_wrong: Cases(
        right={"a new dict": cost, "sample by sample": cost_by_copy},
        wrong={
            "in place": cost_in_place,
            "all modalities": cost_of_all,
            "the other modality": cost_of_the_other,
            "percent": lambda *a: 100 * cost(*a),
            "sign": lambda *a: -cost(*a),
            "size": lambda *a: abs(cost(*a)),
            "accuracy, not cost": lambda p, x, y, name, order: share_right(
                p, {**x, name: x[name][order]}, y
            ),
        },
    ),
    graders.grade_points_prediction: Cases(
        right={"numbers": says((0, 25), (50, 37.5), (50, 25)), "computed": said},
        wrong={
            "ablation for Shapley": says((0, 0), (50, 50), (50, 50)),
            "redundant is lost": says((50, 25), (50, 37.5), (50, 25)),
            "XOR alone is half": says((0, 25), (50, 37.5), (25, 25)),
            "from zero": says((0, 50), (50, 50), (50, 50)),
            "shares": says((0, 0.25), (0.5, 0.375), (0.5, 0.25)),
            "left open": says((None, None), (None, None), (None, None)),
        },
    ),
    graders.grade_nearest_sum: Cases(
        right={"loop": nearest_by_loop, "centred": nearest_by_centring},
        wrong={
            "mean counted twice": lambda g: g.mean(axis=1) + g.mean(axis=0),
            "mean of all classes": lambda g: g.mean(axis=1) + g.mean(axis=0) - g.mean(),
            "one modality": lambda g: g.mean(axis=1),
            "the model": lambda g: np.einsum("iic->ic", g),
            "over classes": lambda g: g.mean(axis=2),
            "interaction": lambda g: np.einsum("iic->ic", g) - nearest_by_loop(g),
        },
    ),
    graders.grade_mean_of_present: Cases(
        right={"NaN left out": mean_by_nan, "loop": mean_by_loop},
        wrong={
            "in place": in_place,
            "divided by all": divided_by_all,
            "none is NaN": none_is_nan,
            "none is zero": none_is_zero,
            "mean of logarithms": mean_of_logarithms,
            "absent is flat": absent_is_flat,
            "NaN gets through": keeps_nan,
            "mask ignored": lambda p, presence: p.mean(axis=0),
        },
    ),
    graders.grade_exchanged: Cases(
        right={"list": exchanged_by_list, "copy": exchanged_by_copy},
        wrong={
            "views": exchanged_views,
            "in place": exchanged_in_place,
            "steps": exchanged_steps,
            "nothing": lambda windows, i, j: windows.copy(),
        },
    ),
    graders.grade_shapley: Cases(
        right={
            "orders": shapley_by_orders,
            "sizes": shapley_by_sizes,
            "random orders": shapley_by_chance,
        },
        wrong={
            "one order": one_order,
            "added last": added_last,
            "added first": added_first,
            "first and last": first_and_last,
            "equal parts": equal_parts,
            "all subsets alike": banzhaf,
        },
    ),
    graders.grade_verdict: Cases(
        right={"differences": verdict, "grid": verdict_by_grid},
        wrong={
            "main effects only": main_effects_only,
            "straight lines": straight_lines,
            "a tenth is nothing": a_tenth_is_nothing,
            "cubic fit": cubic_fit,
            "95 % explained": explained,
            "signs agree": signs_agree,
            "always adds": lambda model, first, second: "adds",
            "another word": lambda model, first, second: "sum",
        },
    ),
}
