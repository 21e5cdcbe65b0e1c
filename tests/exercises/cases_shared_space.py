"""Answers to the exercises of notebook 07."""

from math import comb

import keras
import numpy as np
from exercise_cases import Cases
from scipy.special import log_softmax, logsumexp
from scipy.stats import hypergeom, rankdata
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.preprocessing import normalize

from mmlearn import losses, models
from mmlearn_course.graders import shared_space as graders

# --- 1: ranks


def ranks(similarity):
    own = np.diag(similarity)[:, None]
    level = (similarity == own).sum(axis=1) - 1
    return 1 + (similarity > own).sum(axis=1) + level / 2


def ranks_by_scipy(similarity):
    return np.diag(rankdata(-similarity, axis=1))


def ranks_in_place(similarity):
    found = ranks(similarity)
    similarity *= -1
    return found


# --- 2: chance


def chance_by_draws(k, size, num_right):
    missed = 1.0
    for drawn in range(k):
        missed *= (size - num_right - drawn) / (size - drawn)
    return 1 - missed


# --- 3: the loss


def contrast(images, texts, temperature, shown):
    s = images @ texts.T / temperature
    own = np.diag(s)
    twins = (shown[:, None] == shown) & ~np.eye(len(s), dtype=bool)
    s = np.where(twins, -np.inf, s)
    return ((logsumexp(s, axis=0) + logsumexp(s, axis=1)) / 2 - own).mean()


def contrast_by_softmax(images, texts, temperature, shown):
    total = 0
    for a, b in ((images, texts), (texts, images)):
        for i, row in enumerate(a):
            kept = (shown != shown[i]) | (np.arange(len(shown)) == i)
            p = log_softmax(b[kept] @ row / temperature)
            total -= p[kept[:i].sum()]
    return total / (2 * len(shown))


def contrast_that_overflows(images, texts, temperature, shown):
    s = images @ texts.T / temperature
    twins = (shown[:, None] == shown) & ~np.eye(len(s), dtype=bool)
    with np.errstate(over="ignore"):
        e = np.where(twins, 0, np.exp(s))
    either = np.log(e.sum(axis=0)) + np.log(e.sum(axis=1))
    return (either / 2 - np.diag(s)).mean()


def contrast_without(**changes):
    return lambda *given: graders._contrast(*given, **changes)


# --- 4: popularity


def popularity(similarity, k):
    first = np.argsort(-similarity, axis=1)[:, :k]
    return np.bincount(first.ravel(), minlength=similarity.shape[1])


def popularity_by_ranks(similarity, k):
    return (rankdata(-similarity, axis=1) <= k).sum(axis=0)


def popularity_of_found(similarity, k):
    first = np.argsort(-similarity, axis=1)[:, :k]
    return np.unique(first, return_counts=True)[1]


# --- 5: translation


def nearest(a, b):
    return (normalize(a) @ normalize(b).T).argmax(axis=1)


def translate(words, pictures, answers):
    return nearest(pictures, answers)[nearest(words, pictures)]


def translate_by_loop(words, pictures, answers):
    found = []
    for word in words:
        cosine = [p @ word / np.linalg.norm(p) for p in pictures]
        seen = pictures[int(np.argmax(cosine))]
        found.append(int(np.argmax([a @ seen / np.linalg.norm(a) for a in answers])))
    return found


def translate_by_pull(words, pictures, answers):
    return (pictures @ answers.T).argmax(axis=1)[(words @ pictures.T).argmax(axis=1)]


# --- 6: clusters


def clusters(points, groups, seed, unit=True, num=None):
    points = normalize(points) if unit else points
    num = num or len(set(groups.tolist()))
    return KMeans(num, n_init=10, random_state=seed).fit_predict(points)


def agreement(points, groups, seed):
    return adjusted_rand_score(groups, clusters(points, groups, seed))


def agreement_by_merging(points, groups, seed):
    model = AgglomerativeClustering(
        len(set(groups.tolist())), metric="cosine", linkage="average"
    )
    return adjusted_rand_score(groups, model.fit_predict(points))


def share_alike(points, groups, seed):
    return (clusters(points, groups, seed) == groups).mean()


# --- 7: a space


def ridge(images, texts):
    return Ridge(10.0).fit(images, texts).predict, np.asarray


def dual_encoder(images, texts, order=None):
    keras.utils.set_random_seed(0)
    inputs = [
        keras.Input((x.shape[1],), name=name)
        for name, x in (("image", images), ("text", texts))
    ]
    sides = [keras.Model(x, keras.layers.Dropout(0.1)(x)) for x in inputs]
    model = models.shared_space(sides, embed_dim=16, temperature=0.2)
    model.compile(keras.optimizers.Adam(1e-2), losses.InfoNCE())
    told = texts if order is None else texts[order]
    model.fit(
        {"image": images, "text": told},
        np.arange(len(images)),
        batch_size=100,
        epochs=40,
        verbose=0,
    )
    parts = [models.embedder(model, name) for name in ("image", "text")]
    return tuple(lambda x, part=part: part.predict(x, verbose=0) for part in parts)


def shuffled(images, texts):
    return dual_encoder(images, texts, np.random.default_rng(0).permutation(len(texts)))


def remembers(images, texts):
    last = []

    def look(x):
        last.append(x)
        return x

    return look, lambda x: last[-1]


def two_pcas(images, texts):
    return tuple(PCA(12).fit(x).transform for x in (images, texts))


def one_place(images, texts):
    return (lambda x: np.ones((len(x), 4)),) * 2


CASES = {
    graders.grade_ranks: Cases(
        right={"counted": ranks, "by SciPy": ranks_by_scipy},
        wrong={
            "from 0": lambda s: ranks(s) - 1,
            "a picture's texts": lambda s: ranks(s.T),
            "smallest first": lambda s: ranks(-s),
            "distinct ones above": lambda s: np.diag(rankdata(-s, "dense", axis=1)),
            "ties with itself": lambda s: ranks(s) + 0.5,
            "ties are won": lambda s: np.diag(rankdata(-s, "min", axis=1)),
            "ties are lost": lambda s: np.diag(rankdata(-s, "max", axis=1)),
            "in place": ranks_in_place,
        },
    ),
    graders.grade_chance: Cases(
        right={
            "draws": chance_by_draws,
            "hypergeometric": lambda k, n, r: hypergeom.sf(0, n, r, k),
        },
        wrong={
            "one is right": lambda k, n, r: k / n,
            "each counts": lambda k, n, r: k * r / n,
            "put back": lambda k, n, r: 1 - (1 - r / n) ** k,
            "missed": lambda k, n, r: comb(n - r, k) / comb(n, k),
            "percent": lambda k, n, r: 100 * chance_by_draws(k, n, r),
        },
    ),
    graders.grade_contrast: Cases(
        right={"sums": contrast, "softmax": contrast_by_softmax},
        wrong={
            "pictures only": contrast_without(ways=(1,)),
            "texts only": contrast_without(ways=(0,)),
            "twins are wrong": contrast_without(known=False),
            "without its own": contrast_without(own=False),
            "times temperature": lambda a, b, t, shown: contrast(a, b, 1 / t, shown),
            "no temperature": lambda a, b, t, shown: contrast(a, b, 1, shown),
            "sum of ways": lambda *given: 2 * contrast(*given),
            "sum of rows": lambda *given: len(given[0]) * contrast(*given),
            "overflow": contrast_that_overflows,
            "overflow hidden": lambda *given: np.nan_to_num(
                contrast_that_overflows(*given)
            ),
            "twins are right": graders._all_right,
        },
    ),
    graders.grade_popularity: Cases(
        right={"counts": popularity, "ranks": popularity_by_ranks},
        wrong={
            "texts": lambda s, k: popularity(s.T, k),
            "farthest": lambda s, k: popularity(-s, k),
            "found only": popularity_of_found,
            "shares": lambda s, k: popularity(s, k) / len(s),
            "above 0": lambda s, k: (s > 0).sum(axis=0),
        },
    ),
    graders.grade_translate: Cases(
        right={"cosines": translate, "loop": translate_by_loop},
        wrong={
            "direct": lambda w, p, a: nearest(w, a),
            "pictures": lambda w, p, a: nearest(w, p),
            "lengths": translate_by_pull,
            "mean picture": lambda w, p, a: nearest(0 * w + p.mean(axis=0), a),
        },
    ),
    graders.grade_agreement: Cases(
        right={"k-means": agreement, "merging": agreement_by_merging},
        wrong={
            "same numbers": share_alike,
            "mutual information": lambda p, g, s: normalized_mutual_info_score(
                g, clusters(p, g, s)
            ),
            "largest label": lambda p, g, s: adjusted_rand_score(
                g, clusters(p, g, s, num=int(g.max()) + 1)
            ),
            "lengths": lambda p, g, s: adjusted_rand_score(g, clusters(p, g, s, False)),
            "always 4": lambda p, g, s: adjusted_rand_score(
                g, clusters(p, g, s, num=4)
            ),
            "always 1": lambda p, g, s: 1.0,
        },
    ),
    graders.grade_align: Cases(
        right={"ridge": ridge, "dual encoder": dual_encoder},
        wrong={
            "shuffled pairs": shuffled,
            "rows by number": lambda images, texts: (lambda x: np.eye(len(x)),) * 2,
            "remembers": remembers,
            "one way": lambda i, t: (Ridge(3e5).fit(i, t).predict, np.asarray),
            "few pairs": lambda images, texts: ridge(images[:20], texts[:20]),
            "each for itself": two_pcas,
            "one place": one_place,
            "two sizes": lambda images, texts: (np.asarray, np.asarray),
            "one function": lambda images, texts: ridge(images, texts)[0],
        },
    ),
}
