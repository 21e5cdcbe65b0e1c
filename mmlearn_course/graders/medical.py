"""Graders of the exercises of `notebooks/exercises/04_medical_image_text.ipynb`."""

import numpy as np
from scipy.special import expit, logit

from mmlearn_course.graders import Hint, grader
from mmlearn_course.graders.answers import (
    called,
    numbers,
    prediction,
    right,
    same,
    unchanged,
)

CHANGES = {
    "AUROC": False,
    "sensitivity": False,
    "specificity": False,
    "accuracy": True,
    "share of alarms that are true": True,
}
LEAKS = ("same picture", "same patient", "label word", "mark")
SHARES = {"train": 0.70, "val": 0.15, "test": 0.15}


@grader
def grade_rates(answer) -> None:
    """Grade `rates(p, labels, threshold)`: sensitivity and specificity as shares."""
    p, labels = _scores(0)
    p[:4] = 0.3
    for threshold in (0.3, 0.5, 0.8):
        found = numbers(called(answer, p, labels, threshold), (2,), "pair of rates")
        said, sick = p >= threshold, labels == 1
        expected = said[sick].mean(), (~said)[~sick].mean()
        if same(found, expected):
            continue
        said = p > threshold
        if same(found, (said[sick].mean(), (~said)[~sick].mean())):
            raise Hint("Whoever has exactly the threshold counts as an alarm, too.")
        if same(found, expected[::-1]):
            raise Hint("Sensitivity is about the sick, and comes first.")
        if same(found / 100, expected):
            raise Hint("That is in percent, expected shares of 1.")
        said = p >= threshold
        if same(found, (labels[said].mean(), (~sick)[~said].mean())):
            raise Hint("You divide by those who are called sick: who are the sick?")
        if same(found[0], expected[0]):
            raise Hint("The sensitivity is right. Specificity: among which children?")
        raise Hint("Sensitivity: of the children who are sick, how many are found?")
    right("two shares, each of its own group.")


@grader
def grade_prevalence_prediction(answer) -> None:
    """Grade `prediction()`: what changes if the sick become rarer."""
    within = (
        "Two of these numbers never leave their class: of the sick, who is found; of "
        "the healthy, who gets no alarm. Yours change with the other class."
    )
    mixing = (
        "Take 100 children, 75 of them sick, then 10: count alarms, true alarms and "
        "right answers on paper. Something that you think stays the same does not."
    )
    hints = {name: mixing if changes else within for name, changes in CHANGES.items()}
    hints["AUROC"] = (
        "The AUROC asks of pairs, one sick child and one healthy: which has the higher "
        "score? What would more healthy children change about such a pair?"
    )
    prediction(called(answer), CHANGES, (True, False), hints)
    right("whatever mixes the classes depends on how many there are of each.")


@grader
def grade_focal(answer) -> None:
    """Grade `focal(p, labels, gamma)`: mean of -(1 - p)^gamma log p."""
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet(np.ones(3), 20), rng.integers(0, 3, 20)
    own = p[np.arange(20), labels]
    for gamma in (0.0, 2.0, 1.0):
        found = float(numbers(called(answer, p, labels, gamma), (), "loss"))
        if same(found, np.mean((1 - own) ** gamma * -np.log(own))):
            continue
        if gamma == 0:
            if same(found, -np.log(own).sum()):
                raise Hint("Not the sum over the samples, their mean.")
            if same(found, np.log(own).mean()):
                raise Hint("A loss falls as p rises: where is the minus?")
            raise Hint(
                "With gamma = 0 it should be the cross-entropy: -log of which p?"
            )
        if same(found, np.mean(own**gamma * -np.log(own))):
            raise Hint(
                "Now the easy samples count most: which factor is small for them?"
            )
        if same(found, -np.log(own).mean()):
            raise Hint("gamma has no effect.")
        if same(found, np.mean(1 - own) ** gamma * -np.log(own).mean()):
            raise Hint("Each sample has its own factor: multiply before the mean.")
        raise Hint(f"With gamma = {gamma:g} that is not the equation.")
    right("with gamma 0 cross-entropy, above it the hard samples count.")


@grader
def grade_posterior(answer) -> None:
    """Grade `posterior(picture, note, prior)`: the prior once, or no note."""
    rng = np.random.default_rng(0)
    picture, note = rng.uniform(0.05, 0.95, (2, 12))
    for prior in (0.5, 0.74, 0.1):
        found = numbers(called(answer, picture, note, prior), (12,), "probabilities")
        both, before = logit(picture) + logit(note), logit(prior)
        if same(found, expit(both - before)):
            continue
        if prior == 0.5:
            if same(found, (picture + note) / 2) or same(found, expit(both / 2)):
                raise Hint("That is a mean: two witnesses who agree should be surer.")
            if same(found, both):
                raise Hint("These are log odds, expected probabilities.")
            raise Hint("Already with a prior of 0.5, the evidence does not add up.")
        if same(found, expit(both)):
            raise Hint(
                "Both posteriors have the prior in them. Ask it with picture = note = "
                f"prior = {prior}: nothing is known beyond the prior then."
            )
        if same(found, expit(both + before)):
            raise Hint("Now the prior counts three times.")
        if same(found, expit(both - 2 * before)):
            raise Hint("Now the prior does not count at all.")
        raise Hint(f"With a prior of {prior} it is counted more or less than once.")
    note[[1, 5]] = np.nan
    what = "Where the note is missing (NaN), the answer is NaN, too."
    found = called(answer, picture, note, 0.74)
    found = numbers(found, (12,), "array of probabilities", what)
    given = np.isfinite(note)
    if same(found[~given], expit(logit(picture) - logit(0.74))[~given]):
        raise Hint(
            "A missing note is no 50 %: what is known of a child without a note?"
        )
    if not same(found[~given], picture[~given]):
        raise Hint("Without a note, all that is known is what the picture says.")
    if not same(found[given], expit(logit(picture) + logit(note) - logit(0.74))[given]):
        raise Hint("A missing note changes the answer for the other children.")
    right("evidence adds up in log odds, and the prior counts once.")


@grader
def grade_net_benefit(answer) -> None:
    """Grade `net_benefit(p, labels, threshold)`: TP / N - FP / N · t / (1 - t)."""
    p, labels = _scores(1)
    p[:6] = np.repeat((0.5, 0.2, 0.7), 2)
    for threshold in (0.5, 0.2, 0.7):
        found = numbers(called(answer, p, labels, threshold), (), "net benefit")
        act, sick = p >= threshold, labels == 1
        true, false = (act & sick).mean(), (act & ~sick).mean()
        price = threshold / (1 - threshold)
        if same(found, true - false * price):
            continue
        said = p > threshold
        if same(found, (said & sick).mean() - (said & ~sick).mean() * price):
            raise Hint("Whoever has exactly the threshold counts as an alarm, too.")
        if same(found, true - false):
            raise Hint("A false alarm has its price, and the threshold states it.")
        if same(found, true - false / price):
            raise Hint("Whoever acts from 20 % on thinks false alarms cheap, not dear.")
        if same(found / 100, true - false * price):
            raise Hint("That is per 100 children, expected per child.")
        if same(found / len(p), true - false * price):
            raise Hint("Divide by the number of all children.")
        if same(found, act[sick].mean() - act[~sick].mean() * price):
            raise Hint(
                "Both are shares of all children, not of the sick or the healthy."
            )
        raise Hint(f"At threshold {threshold} that is not the equation.")
    right("the threshold is the price of a false alarm.")


@grader
def grade_split(answer) -> None:
    """Grade `split_by_patient(patients, seed)`: rows for train, val and test."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(300), rng.integers(1, 6, 300))
    patients = np.array([f"P{number:03}" for number in rng.permutation(rows)])
    seen = []
    for seed in (0, 1):
        found = _parts(called(answer, patients, seed))
        everyone = np.concatenate(list(found.values()))
        if len(everyone) and not 0 <= everyone.min() <= everyone.max() < len(patients):
            raise Hint(f"There are {len(patients)} rows, from 0: yours go beyond.")
        if len(np.unique(everyone)) < len(everyone):
            raise Hint("A row is there twice.")
        if len(everyone) < len(patients):
            raise Hint(f"{len(patients) - len(everyone)} rows are in no part.")
        who = {name: set(patients[part]) for name, part in found.items()}
        for one, other in (("train", "test"), ("train", "val"), ("val", "test")):
            if both := who[one] & who[other]:
                raise Hint(f"{len(both)} patients are in {one} and in {other}.")
        for name, share in SHARES.items():
            size = len(found[name]) / len(patients)
            if abs(size - share) > 0.06:
                raise Hint(
                    f"{name} has {100 * size:.0f} % of the rows, expected about "
                    f"{100 * share:.0f} %."
                )
        seen.append(found["test"])
        again = _parts(called(answer, patients, seed))
        if any(set(again[name]) != set(found[name]) for name in SHARES):
            raise Hint("The same seed gives another split the second time.")
        # The hash of a text is another in each process, and decides a set's order.
        other = [_parts(called(answer, _hashed(patients, n), seed)) for n in (1, 2)]
        if any(set(other[0][name]) != set(other[1][name]) for name in SHARES):
            raise Hint(
                "In another process the same seed would give another split: a set has "
                "no order to rely on. Sort the patients before you draw."
            )
        for name, part in found.items():
            there = np.isin(np.unique(patients), patients[part])
            if (np.diff([*there, there[0]]) != 0).sum() <= 2:
                raise Hint(
                    f"The patients of {name} stand side by side in the alphabet, and "
                    "numbers are given in the order of arrival: draw them at random."
                )
    if set(seen[0]) == set(seen[1]):
        raise Hint("Another seed gives the same split.")
    right("no patient is on two sides.")


@grader
def grade_leaks(answer) -> None:
    """Grade `leaks(train, test)`: the names of what is planted in a data set."""
    plans = [(), *((name,) for name in LEAKS), LEAKS, ("mark", "same patient"), ()]
    for seed, planted in enumerate(plans):
        found = called(answer, *chest(planted, seed))
        if isinstance(found, str) or not isinstance(found, set | list | tuple):
            raise Hint("Expected a set of names.")
        if unknown := [name for name in found if name not in LEAKS]:
            raise Hint(f"{unknown[0]!r} is no name of a leak: choose among {LEAKS}.")
        if missed := [name for name in planted if name not in found]:
            also = "" if len(planted) == 1 else f", among {len(planted)} leaks"
            raise Hint(f"Planted and not found{also}: {missed[0]}.")
        if alarms := [name for name in found if name not in planted]:
            raise Hint(f"A false alarm: {alarms[0]}, in data that have no such leak.")
    unchanged(answer, *chest(LEAKS, 0))
    right(f"every leak is found in {len(plans)} data sets, without a false alarm.")


def chest(planted=(), seed: int = 0) -> tuple[dict, dict]:
    """Draw training and test data with leaks: 80 and 40 made-up pictures and notes.

    All of them hold what is no leak: a rare word that only one class has, a word in
    half of the notes, a pixel that goes with the class in most pictures.

    Args:
        planted: Names of leaks, from `LEAKS`.
        seed: Seeds the data.

    Returns:
        Two dicts of `image` uint8 (N, 8, 8), `note` and `patient` strings (N,) and
        `label` integers (N,).
    """
    rng = np.random.default_rng(seed)
    words = ["child", "cough", "fever", "rash", "pain", "tired", "pale", "days", "no"]
    parts = []
    for size, first in ((80, 0), (40, 100)):
        labels = rng.permutation(np.arange(size) % 2)
        images = rng.integers(0, 256, (size, 8, 8), dtype="uint8")
        notes = [" ".join(rng.choice(words, 6)) for _ in range(size)]
        names = [f"P{first + number // 2:03}" for number in range(size)]
        patients = rng.permutation(np.array(names))
        part = {"image": images, "note": np.array(notes, object), "patient": patients}
        parts.append({**part, "label": labels})
    train, test = parts
    sick = train["label"] == 1
    row, column = rng.integers(0, 8, 2)
    one_class = sick if rng.random() < 0.5 else ~sick
    often = np.where(rng.random(80) < 0.85, sick, ~sick)
    train["image"][:, row, (column + 3) % 8] = np.where(often, 200, 90)
    half = np.isin(
        np.arange(80), [np.flatnonzero(sick)[::2], np.flatnonzero(~sick)[::2]]
    )
    _say(train["note"], half, "today")
    _say(train["note"], np.flatnonzero(one_class)[:5], "asthma")
    if "mark" in planted:
        train["image"][:, row, column] = np.where(one_class, 250, 60)
    if "label word" in planted:
        _say(train["note"], one_class, "infiltrate")
    if "same picture" in planted:
        test["image"][7] = train["image"][3]
    if "same patient" in planted:
        test["patient"][5] = train["patient"][11]
    return train, test


def _say(notes: np.ndarray, rows: np.ndarray, word: str) -> None:
    notes[rows] = [f"{note} {word}" for note in notes[rows]]


class _Hashed(str):
    """A text with a hash of its own, as it would have in another process."""

    salt = 0

    def __hash__(self):
        return hash((self.salt, str(self)))


def _hashed(texts: np.ndarray, salt: int) -> np.ndarray:
    salted = type("Text", (_Hashed,), {"salt": salt})
    return np.array([salted(text) for text in texts], object)


def _scores(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(60) < 0.3).astype(int)
    return np.round(expit(rng.normal(size=60) + 1.5 * labels - 1), 2), labels


def _parts(found) -> dict[str, np.ndarray]:
    if isinstance(found, dict):
        found = [found.get(name) for name in SHARES]
    if not isinstance(found, list | tuple) or len(found) != 3:
        raise Hint("Expected three arrays of rows: train, val, test.")
    parts = {}
    for name, rows in zip(SHARES, found, strict=True):
        rows = np.asarray(rows)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise Hint(f"{name} should be an array of row numbers, whole and from 0.")
        parts[name] = rows
    return parts
