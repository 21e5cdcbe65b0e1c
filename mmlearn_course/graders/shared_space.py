"""Graders of the exercises of `notebooks/exercises/07_shared_space.ipynb`."""

from math import comb

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score

from mmlearn_course.graders import Hint, grader
from mmlearn_course.graders.answers import called, numbers, right, same, unchanged

NEEDED = 0.6  # R@5 of `align` on new pairs, either way; by luck it is 0.025


@grader
def grade_ranks(answer) -> None:
    """Grade `ranks(similarity)`: where the right picture stands for each text."""
    rng = np.random.default_rng(0)
    plain = rng.normal(size=(6, 6))
    tied = np.round(plain)
    tied[0], tied[2] = [0, 1, 1, 2, -1, 0], 0.5
    for similarity, what in ((plain, "without ties"), (tied, "with ties")):
        found = called(answer, similarity, where=what)
        found = numbers(found, (6,), "array of ranks")
        own = np.diag(similarity)[:, None]
        above, level = (similarity > own).sum(axis=1), (similarity == own).sum(axis=1)
        expected = 1 + above + (level - 1) / 2
        if same(found, expected):
            continue
        across = 1 + (similarity > np.diag(similarity)).sum(axis=0)
        if what == "without ties" and same(found, across):
            raise Hint("A row is a text: rank its pictures, not a picture's texts.")
        if same(found, above):
            raise Hint("The best rank is 1, not 0.")
        if what == "without ties" and same(found, 7 - expected):
            raise Hint("A large similarity is near: the largest has rank 1.")
        if same(found, 1 + above):
            raise Hint("With ties you count every doubt in your favour: count half.")
        if same(found, above + level):
            raise Hint("With ties you count every doubt against you: count half.")
        if same(found, expected + 0.5):
            raise Hint("The right one does not tie with itself.")
        raise Hint(f"A rank {what} is not 1 + those above + half of those level.")
    unchanged(answer, plain)
    right("one more than what is nearer, and half of what is as near.")


@grader
def grade_chance(answer) -> None:
    """Grade `chance(k, size, num_right)`: R@k of a gallery in random order."""
    for k, size, num_right in ((10, 316, 1), (1, 40, 3), (10, 100, 12), (5, 5, 1)):
        found = float(numbers(called(answer, k, size, num_right), (), "R@k"))
        wanted = 1 - comb(size - num_right, k) / comb(size, k)
        if same(found, wanted, 1e-6):
            continue
        where = f"k = {k}, {size} pictures, {num_right} right"
        if same(found, 1 - wanted):
            raise Hint("That is how often none of the first k is right.")
        if same(found, 100 * wanted):
            raise Hint("That is in percent, expected a share of 1.")
        if same(found, 1 - (1 - num_right / size) ** k):
            raise Hint(f"{where}: the first k are drawn without putting any back.")
        if same(found, k / size):
            raise Hint(f"{where}: any of the right ones will do.")
        if same(found, k * num_right / size):
            raise Hint(f"{where}: two right ones among the first k count only once.")
        raise Hint(f"{where}: {found:.4f} is not the share with a right one among k.")
    right("one minus the share of draws of k that miss every right one.")


def _contrast(a, b, temperature, shown, *, ways=(0, 1), known=True, own=True):
    s = a @ b.T / temperature
    rows = np.diag(s).copy()
    twins = _twins(shown)
    if known:
        s[twins] = -np.inf
    if not own:
        np.fill_diagonal(s, -np.inf)
    return np.mean([(logsumexp(s, axis=axis) - rows).mean() for axis in ways])


def _twins(shown):
    return (shown[:, None] == shown) & ~np.eye(len(shown), dtype=bool)


def _all_right(a, b, temperature, shown):
    """The mean over all that show the same, as in supervised contrast."""
    s, alike = a @ b.T / temperature, shown[:, None] == shown
    ways = [
        (logsumexp(x, axis=1) - (x * alike).sum(axis=1) / alike.sum(axis=1)).mean()
        for x in (s, s.T)
    ]
    return np.mean(ways)


@grader
def grade_contrast(answer) -> None:
    """Grade `contrast(images, texts, temperature, shown)`: InfoNCE by hand."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(2, 7, 4))
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    single, twins = np.arange(7), np.array([3, 1, 3, 0, 2, 1, 3])
    masked = "NaN or infinity: the pair itself belongs into its own sum."
    for shown, what in ((single, "without twins"), (twins, "with twins")):
        given = a, b, 0.2, shown
        found = called(answer, *given, where=what)
        found = float(numbers(found, (), "loss", masked))
        if same(found, _contrast(*given)):
            continue
        if any(same(found, _contrast(*given, ways=(way,))) for way in (0, 1)):
            raise Hint("That is one direction: texts have to find pictures as well.")
        if same(found, _contrast(a, b, 1 / 0.2, shown)):
            raise Hint("A small temperature makes the cosines larger: divide by it.")
        if same(found, _contrast(a, b, 1, shown)):
            raise Hint("Where is the temperature?")
        if same(found, 2 * _contrast(*given)):
            raise Hint("That is the sum of both directions, expected their mean.")
        if same(found, 7 * _contrast(*given)):
            raise Hint("That is the sum over the batch, expected its mean.")
        if same(found, _contrast(*given, own=False)):
            raise Hint("The right one belongs into its own sum, too.")
        if same(found, _contrast(*given, known=False)):
            raise Hint("Two rows that show the same are not wrong for each other.")
        if same(found, _all_right(*given)):
            raise Hint("Twins are left out here: neither wrong nor right.")
        raise Hint(
            f"Also {what}, the loss is not log Σ exp - own, the mean of both ways."
        )
    overflow = "At a small temperature exp overflows, or is 0: logsumexp avoids both."
    given = a, b, 1e-3, single
    if not same(
        float(numbers(called(answer, *given), (), "loss", overflow)), _contrast(*given)
    ):
        raise Hint(overflow)
    unchanged(answer, a, b, 0.2, twins)
    right("softmax cross-entropy over the batch, both ways, without the twins.")


@grader
def grade_popularity(answer) -> None:
    """Grade `popularity(similarity, k)`: how often each picture is among the first."""
    rng = np.random.default_rng(2)
    similarity = rng.normal(size=(9, 6))
    similarity[:, 4] += 2  # a hub
    for k in (3, 1):
        found = numbers(called(answer, similarity, k), (None,), "array of counts")
        first = np.argsort(-similarity, axis=1)[:, :k]
        expected = np.bincount(first.ravel(), minlength=6)
        if found.shape == (6,) and same(found, expected):
            continue
        if found.shape == (9,):
            raise Hint("One count for each picture, a column; you count for each text.")
        if found.shape != (6,) and len(found) < 6:
            raise Hint("A picture that nobody finds has a count, too: 0.")
        if found.shape != (6,):
            raise Hint(f"Expected one count for each of 6 pictures, got {len(found)}.")
        last = np.argsort(similarity, axis=1)[:, :k]
        if same(found, np.bincount(last.ravel(), minlength=6)):
            raise Hint("You count the farthest: the nearest has the largest value.")
        if same(found, expected / 9):
            raise Hint("That is a share of the texts, expected a count.")
        raise Hint(f"For k = {k} these are not the times among a row's first k.")
    unchanged(answer, similarity, 2)
    right("the counts add up to k times the texts; a hub takes more than its part.")


def _unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@grader
def grade_translate(answer) -> None:
    """Grade `translate(words, pictures, answers)`: through the nearest picture."""
    rng = np.random.default_rng(3)
    words, pictures, answers = (rng.normal(size=(n, 3)) for n in (30, 12, 20))
    pictures *= rng.uniform(0.2, 5, size=(12, 1))
    answers *= rng.uniform(0.2, 5, size=(20, 1))

    def nearest(a, b):
        return (_unit(a) @ _unit(b).T).argmax(axis=1)

    def pulled(a, b):
        return (a @ b.T).argmax(axis=1)

    found = numbers(called(answer, words, pictures, answers), (30,), "array of answers")
    if not same(found, nearest(pictures, answers)[nearest(words, pictures)]):
        if same(found, nearest(words, answers)):
            raise Hint("That is the direct way: go through a picture.")
        if same(found, nearest(words, pictures)):
            raise Hint("Those are the pictures: what is nearest to each of them?")
        if same(found, pulled(pictures, answers)[pulled(words, pictures)]):
            raise Hint("A long vector pulls everything: a cosine knows no length.")
        raise Hint("Not the answer nearest to the picture nearest to the word.")
    unchanged(answer, words, pictures, answers)
    right("two cosines: word to picture, picture to answer.")


@grader
def grade_agreement(answer) -> None:
    """Grade `agreement(points, groups, seed)`: clusters against groups, by ARI."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(4), 30)
    clear = 8 * np.eye(4)[groups] + 0.3 * rng.normal(size=(120, 4))
    clear *= rng.uniform(0.1, 10, size=(120, 1))
    noise = rng.normal(size=(120, 4))

    def value(points, labels):
        return float(numbers(called(answer, points, labels, 0), (), "agreement"))

    part = groups.copy()
    part[::3] = (part[::3] + 1) % 4  # a third of the rows is in another group
    level, high = value(noise, groups), value(clear, groups)
    if level > 0.12:
        raise Hint("Of noise you make an agreement: which index is 0 by lot?")
    if high < 0.95:
        raise Hint(
            "Four groups that lie in four directions are not found: by direction, as "
            "many clusters as groups, and more than one start?"
        )
    if not same(value(clear, (groups + 1) % 4), high):
        raise Hint("It depends on the groups' numbers: a cluster has no name.")
    if abs(value(clear, part) - adjusted_rand_score(part, groups)) > 0.03:
        raise Hint("Where a third is in another group: is it the adjusted Rand index?")
    if value(clear[60:], groups[60:]) < 0.95:
        raise Hint("Two groups, two heaps: as many clusters as there are groups.")
    unchanged(answer, clear, groups, 0)
    right("clusters agree with groups as far as pairs do, and 0 is by lot.")


def pairs(num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw made-up pairs, in which eight hidden numbers are shown in two ways.

    Args:
        num: Number of pairs.
        seed: Seeds the draw; the two ways of showing are always the same.

    Returns:
        Pictures (num, 40) and texts (num, 30), float32; about half of what varies in
        each has nothing to do with the other.
    """
    ways, rng = np.random.default_rng(7), np.random.default_rng(seed)
    hidden = rng.normal(size=(num, 8))
    shown = []
    for size in (40, 30):
        own = rng.normal(size=(num, 12)) @ ways.normal(size=(12, size))
        x = 1.2 * hidden @ ways.normal(size=(8, size)) + own
        shown.append((x + 0.2 * rng.normal(size=x.shape)).astype("float32"))
    return shown[0], shown[1]


@grader
def grade_align(answer) -> None:
    """Grade `align(images, texts)`: two functions into one space, on new pairs."""
    found = called(answer, *pairs(600, seed=1))
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Hint("Expected two functions: one for pictures, one for texts.")
    new = pairs(200, seed=2)
    order = np.random.default_rng(3).permutation(200)  # a row's place says nothing
    p = numbers(called(found[0], new[0]), (200, None), "array of points")
    t = numbers(called(found[1], new[1][order]), (200, None), "array of points")
    if p.shape != t.shape:
        raise Hint("Pictures and texts need as many numbers: one space for both.")
    if min(np.ptp(x, axis=0).max() for x in (p, t)) < 1e-6:
        raise Hint("All are in one place: different pairs need different places.")
    t = t[np.argsort(order)]
    ways = recall(_unit(p + 1e-12), _unit(t + 1e-12))
    said = f"R@5 of new pairs is {ways[0]:.3f} and {ways[1]:.3f}"
    if min(ways) < 0.1:
        raise Hint(f"{said}, that is luck: do both lead into the same space?")
    if min(ways) < NEEDED:
        raise Hint(f"{said}, {NEEDED} is needed both ways: learn more from the pairs.")
    right(f"{said}, by luck 0.025.")


def recall(p: np.ndarray, t: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Return R@k of unit vectors: pictures asking for texts, and texts for pictures."""
    near = p @ t.T
    own = np.diag(near)
    ranks = (near >= own[:, None]).sum(axis=1), (near >= own).sum(axis=0)
    return tuple(float(np.mean(rank <= k)) for rank in ranks)
