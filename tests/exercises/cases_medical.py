"""Answers to the exercises of notebook 04."""

import numpy as np
from exercise_cases import Cases
from scipy.special import expit, logit

from mmlearn_course.graders import medical

# --- 1: sensitivity and specificity


def rates(p, labels, threshold):
    said = p >= threshold
    return said[labels == 1].mean(), (~said[labels == 0]).mean()


def rates_by_counting(p, labels, threshold):
    found = quiet = 0
    for score, label in zip(p, labels, strict=True):
        found += label == 1 and score >= threshold
        quiet += label == 0 and score < threshold
    return [found / labels.sum(), quiet / (1 - labels).sum()]


def rates_above(p, labels, threshold):
    return (p > threshold)[labels == 1].mean(), (p <= threshold)[labels == 0].mean()


def predictive_values(p, labels, threshold):
    said = p >= threshold
    return labels[said].mean(), (1 - labels[~said]).mean()


def alarms_among_healthy(p, labels, threshold):
    said = p >= threshold
    return said[labels == 1].mean(), said[labels == 0].mean()


# --- 2: what changes with the share of the sick


def says(*values):
    return lambda: dict(zip(medical.CHANGES, values, strict=True))


# --- 3: focal loss


def focal(p, labels, gamma):
    own = p[np.arange(len(p)), labels]
    return np.mean((1 - own) ** gamma * -np.log(own))


def focal_one_hot(p, labels, gamma):
    truth = np.eye(p.shape[1])[labels]
    return -(truth * (1 - p) ** gamma * np.log(p)).sum() / len(p)


def focal_turned(p, labels, gamma):
    own = p[np.arange(len(p)), labels]
    return np.mean(own**gamma * -np.log(own))


def focal_of_means(p, labels, gamma):
    own = p[np.arange(len(p)), labels]
    return np.mean(1 - own) ** gamma * -np.mean(np.log(own))


# --- 4: two posteriors


def posterior(picture, note, prior):
    both = expit(logit(picture) + logit(note) - logit(prior))
    return np.where(np.isnan(note), picture, both)


def posterior_by_bayes(picture, note, prior):
    note = np.where(np.isnan(note), prior, note)
    sick, well = picture * note / prior, (1 - picture) * (1 - note) / (1 - prior)
    return sick / (sick + well)


def with_missing(join):
    def joined(picture, note, prior):
        return np.where(np.isnan(note), picture, join(picture, note, prior))

    return joined


def prior_twice(picture, note, prior):
    return expit(logit(picture) + logit(note))


def missing_is_half(picture, note, prior):
    note = np.where(np.isnan(note), 0.5, note)
    return expit(logit(picture) + logit(note) - logit(prior))


# --- 5: net benefit


def benefit(p, labels, threshold):
    act = p >= threshold
    true, false = np.sum(act & (labels == 1)), np.sum(act & (labels == 0))
    return (true - false * threshold / (1 - threshold)) / len(p)


def benefit_per_child(p, labels, threshold):
    worth = np.where(labels == 1, 1, -threshold / (1 - threshold))
    return np.where(p >= threshold, worth, 0).mean()


def benefit_of_rates(p, labels, threshold):
    sensitivity, specificity = rates(p, labels, threshold)
    return sensitivity - (1 - specificity) * threshold / (1 - threshold)


def price(weight):
    def net(p, labels, threshold):
        act = p >= threshold
        false = (act & (labels == 0)).mean()
        return (act & (labels == 1)).mean() - false * weight(threshold)

    return net


# --- 6: split by patient


def split_by_names(patients, seed):
    names = np.random.default_rng(seed).permutation(np.unique(patients))
    cuts = np.split(names, [int(0.7 * len(names)), int(0.85 * len(names))])
    return [np.flatnonzero(np.isin(patients, part)) for part in cuts]


def split_by_sklearn(patients, seed):
    from sklearn.model_selection import GroupShuffleSplit

    rows = np.arange(len(patients))
    first = GroupShuffleSplit(1, test_size=0.3, random_state=seed)
    train, rest = next(first.split(rows, groups=patients))
    second = GroupShuffleSplit(1, test_size=0.5, random_state=seed)
    val, test = next(second.split(rest, groups=patients[rest]))
    return {"train": train, "val": rest[val], "test": rest[test]}


def cut(rows):
    return tuple(np.split(rows, [int(0.7 * len(rows)), int(0.85 * len(rows))]))


def split_rows(patients, seed):
    return cut(np.random.default_rng(seed).permutation(len(patients)))


def split_sorted_rows(patients, seed):
    names = np.random.default_rng(seed).permutation(np.unique(patients))
    place = {name: number for number, name in enumerate(names)}
    return cut(np.argsort([place[name] for name in patients], kind="stable"))


def neighbours(patients, seed):
    names = np.roll(np.unique(patients), 37 * (seed + 1))
    cuts = np.split(names, [int(0.7 * len(names)), int(0.85 * len(names))])
    return [np.flatnonzero(np.isin(patients, part)) for part in cuts]


def split_a_set(patients, seed):
    names = list(set(patients))
    np.random.default_rng(seed).shuffle(names)
    return [
        [row for row, name in enumerate(patients) if name in part]
        for part in (names[:210], names[210:255], names[255:])
    ]


def split_masks(patients, seed):
    return tuple(
        np.isin(np.arange(len(patients)), part)
        for part in split_by_names(patients, seed)
    )


# --- 7: planted leaks


def leaks(train, test):
    found, sick = set(), train["label"] == 1
    pictures = {image.tobytes() for image in train["image"]}
    if any(image.tobytes() in pictures for image in test["image"]):
        found.add("same picture")
    if set(train["patient"]) & set(test["patient"]):
        found.add("same patient")
    spoken = [set(note.split()) for note in train["note"]]
    for word in set().union(*spoken):
        there = np.array([word in words for words in spoken])
        if (there == sick).all() or (there == ~sick).all():
            found.add("label word")
    x, y = train["image"][sick].astype(int), train["image"][~sick].astype(int)
    if ((x.min(axis=0) > y.max(axis=0)) | (x.max(axis=0) < y.min(axis=0))).any():
        found.add("mark")
    return found


def leaks_by_learning(train, test):
    from sklearn.tree import DecisionTreeClassifier

    def perfect(x):
        stump = DecisionTreeClassifier(max_depth=1, random_state=0)
        return stump.fit(x, train["label"]).score(x, train["label"]) == 1

    words = sorted({word for note in train["note"] for word in note.split()})
    bags = np.array(
        [[word in note.split() for word in words] for note in train["note"]]
    )
    both = np.concatenate([train["image"], test["image"]]).reshape(120, -1)
    answers = {
        "same picture": len(np.unique(both, axis=0)) < 120,
        "same patient": np.isin(test["patient"], train["patient"]).any(),
        "label word": perfect(bags),
        "mark": perfect(train["image"].reshape(80, -1)),
    }
    return [name for name, there in answers.items() if there]


def brightest_corner(train, test):
    found = leaks(train, test) - {"mark"}
    corner = train["image"][:, 0, 0].astype(float)
    means = [corner[train["label"] == k].mean() for k in (0, 1)]
    return found | ({"mark"} if abs(means[0] - means[1]) > 60 else set())


def any_correlation(train, test):
    x = train["image"].reshape(80, -1).astype(float)
    strongest = max(abs(np.corrcoef(c, train["label"])[0, 1]) for c in x.T)
    return leaks(train, test) | ({"mark"} if strongest > 0.2 else set())


def with_other(name, rule):
    """All as it should be, but for one leak, which is told by another rule."""
    return lambda train, test: (
        leaks(train, test) - {name} | ({name} if rule(train) else set())
    )


def words_by_class(train):
    """For each word, in what share of the notes of each class it stands."""
    sick, notes = train["label"] == 1, [set(note.split()) for note in train["note"]]
    for word in set().union(*notes):
        there = np.array([word in note for note in notes])
        yield there[sick].mean(), there[~sick].mean()


def bright(train):
    x, sick = train["image"], train["label"] == 1
    return (x[sick].min(axis=0) > x[~sick].max(axis=0)).any()


def correlated(train):
    x = train["image"].reshape(80, -1).astype(float)
    return max(abs(np.corrcoef(c, train["label"])[0, 1]) for c in x.T) > 0.5


def overwrites(train, test):
    train["image"] //= 2
    return leaks(train, test)


def within_training(train, test):
    return leaks(train, train)


CASES = {
    medical.grade_rates: Cases(
        right={"masks": rates, "counting": rates_by_counting},
        wrong={
            "above, not from": rates_above,
            "of those called sick": predictive_values,
            "false alarms": alarms_among_healthy,
            "exchanged": lambda *a: rates(*a)[::-1],
            "percent": lambda *a: 100 * np.array(rates(*a)),
            "of all children": lambda p, y, t: (
                ((p >= t) & (y == 1)).mean(),
                ((p < t) & (y == 0)).mean(),
            ),
        },
    ),
    medical.grade_prevalence_prediction: Cases(
        right={
            "bool": says(False, False, False, True, True),
            "computed": lambda: {
                name: name.startswith(("accuracy", "share")) for name in medical.CHANGES
            },
        },
        wrong={
            "all change": says(*[True] * 5),
            "only accuracy": says(False, False, False, True, False),
            "sensitivity, too": says(False, True, True, True, True),
            "AUROC, too": says(True, False, False, True, True),
        },
    ),
    medical.grade_focal: Cases(
        right={"indices": focal, "one-hot": focal_one_hot},
        wrong={
            "easy counts more": focal_turned,
            "means first": focal_of_means,
            "no gamma": lambda p, y, gamma: focal(p, y, 0),
            "sum": lambda p, y, gamma: len(p) * focal(p, y, gamma),
            "sign": lambda p, y, gamma: -focal(p, y, gamma),
            "largest p": lambda p, y, gamma: focal(p, p.argmax(axis=1), gamma),
        },
    ),
    medical.grade_posterior: Cases(
        right={"log odds": posterior, "Bayes": posterior_by_bayes},
        wrong={
            "prior twice": with_missing(prior_twice),
            "mean": with_missing(lambda a, b, prior: (a + b) / 2),
            "prior added": with_missing(
                lambda a, b, prior: expit(logit(a) + logit(b) + logit(prior))
            ),
            "prior left out": with_missing(
                lambda a, b, prior: expit(logit(a) + logit(b) - 2 * logit(prior))
            ),
            "log odds": with_missing(lambda a, b, prior: logit(a) + logit(b)),
            "NaN gets through": lambda a, b, prior: expit(
                logit(a) + logit(b) - logit(prior)
            ),
            "missing is half": missing_is_half,
        },
    ),
    medical.grade_net_benefit: Cases(
        right={"counts": benefit, "per child": benefit_per_child},
        wrong={
            "no price": price(lambda t: 1),
            "turned price": price(lambda t: (1 - t) / t),
            "threshold as price": price(lambda t: t),
            "of rates": benefit_of_rates,
            "above, not from": lambda p, y, t: benefit(p, y, np.nextafter(t, 1)),
            "per 100": lambda *a: 100 * benefit(*a),
            "not divided": lambda p, *a: len(p) * benefit(p, *a),
        },
    ),
    medical.grade_split: Cases(
        right={"names": split_by_names, "scikit-learn": split_by_sklearn},
        wrong={
            "rows": split_rows,
            "sorted rows": split_sorted_rows,
            "masks": split_masks,
            "neighbours": neighbours,
            "order of a set": split_a_set,
            "seed ignored": lambda patients, seed: split_by_names(patients, 3),
            "never the same": lambda patients, seed: split_by_names(patients, None),
            "one part lost": lambda patients, seed: [
                *split_by_names(patients, seed)[:2],
                np.arange(0),
            ],
        },
    ),
    medical.grade_leaks: Cases(
        right={"by hand": leaks, "by learning": leaks_by_learning},
        wrong={
            "everything": lambda train, test: set(medical.LEAKS),
            "nothing": lambda train, test: set(),
            "only the corner": brightest_corner,
            "any correlation": any_correlation,
            "half of the correlation": with_other("mark", correlated),
            "bright only": with_other("mark", bright),
            "any word of one class": with_other(
                "label word", lambda t: any(0 in pair for pair in words_by_class(t))
            ),
            "a word in half of the notes": with_other(
                "label word",
                lambda t: any(sum(pair) == 1 for pair in words_by_class(t)),
            ),
            "a word of the sick only": with_other(
                "label word", lambda t: (1, 0) in words_by_class(t)
            ),
            "overwrites": overwrites,
            "within training": within_training,
            "other names": lambda train, test: {"duplicate"},
        },
    ),
}
