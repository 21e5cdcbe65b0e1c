"""Tests of the stand-in for CIFAR-10: emoji on coloured grounds."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from mmlearn.datasets.simulated import templates
from mmlearn.datasets.simulated.drawings import CLASS_NAMES, pictures

CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
CHANCE = 1 / len(CLASS_NAMES)


def edges(images: np.ndarray) -> np.ndarray:
    """Histograms of edge directions in 4 x 4 cells, free of colour: (n, 128)."""
    grey = images.astype(np.float64).mean(axis=3)
    grey = (
        grey[:, 1:, 1:] + grey[:, :-1, 1:] + grey[:, 1:, :-1] + grey[:, :-1, :-1]
    ) / 4
    down, right = np.gradient(grey, axis=(1, 2))
    strength = np.pad(np.hypot(down, right), ((0, 0), (0, 1), (0, 1)))
    direction = np.pad(np.arctan2(down, right) % np.pi, ((0, 0), (0, 1), (0, 1)))
    sector = np.minimum((direction / np.pi * 8).astype(int), 7)
    planes = [np.where(sector == k, strength, 0.0) for k in range(8)]
    cells = np.stack(planes, axis=-1).reshape(-1, 4, 8, 4, 8, 8).sum(axis=(2, 4))
    rows = np.sqrt(cells.reshape(len(images), -1))
    return rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9)


def colours(images: np.ndarray) -> np.ndarray:
    """Histograms of the colours in 4 x 4 x 4 bins, free of place: (n, 64)."""
    bins = (images.reshape(len(images), -1, 3) // 64) @ np.array([16, 4, 1])
    rows = np.stack([np.bincount(row, minlength=64) for row in bins])
    return np.sqrt(rows / bins.shape[1])


def held_out_accuracy(features, train, test) -> float:
    """Test accuracy of a kernel ridge classifier, which has a closed form."""
    (x, y), (x_test, y_test) = train, test
    a, b = features(x), features(x_test)

    def kernel(left, right):
        squared = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
        return np.exp(-2 * squared)

    targets = np.eye(len(CLASS_NAMES))[y]
    weights = np.linalg.solve(kernel(a, a) + 0.3 * np.eye(len(a)), targets)
    return float(np.mean((kernel(b, a) @ weights).argmax(axis=1) == y_test))


@pytest.fixture(scope="module")
def train():
    return pictures(150, seed=1)


@pytest.fixture(scope="module")
def test():
    return pictures(60, seed=2)


def test_the_classes_are_those_of_cifar10():
    assert " ".join(CLASS_NAMES) == CIFAR10_NAMES
    assert isinstance(CLASS_NAMES, tuple)


def test_the_same_seed_gives_the_same_bytes():
    first, second = pictures(3, seed=7), pictures(3, seed=7)
    assert first[0].tobytes() == second[0].tobytes()
    np.testing.assert_array_equal(first[1], second[1])


def test_another_seed_gives_other_pictures_in_another_order():
    first, second = pictures(5, seed=7), pictures(5, seed=8)
    assert not np.array_equal(first[0], second[0])
    assert not np.array_equal(first[1], second[1])


def test_pictures_are_balanced_shuffled_and_all_different():
    images, labels = pictures(6, seed=0)
    assert images.shape == (60, 32, 32, 3) and images.dtype == np.uint8
    assert labels.shape == (60,) and labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [6] * 10
    assert np.any(np.diff(labels) < 0)
    assert len({image.tobytes() for image in images}) == 60
    assert all(image.std() > 1 for image in images)


def test_outlines_tell_the_classes_apart(train, test):
    assert held_out_accuracy(edges, train, test) > 4.5 * CHANCE


def test_colours_tell_much_less_than_outlines(train, test):
    by_colour = held_out_accuracy(colours, train, test)
    assert by_colour < held_out_accuracy(edges, train, test) - CHANCE
    assert by_colour < 3.5 * CHANCE


def test_training_and_test_share_no_picture(train, test):
    first, second = ({image.tobytes() for image in part[0]} for part in (train, test))
    assert not first & second


def test_about_a_third_of_the_pictures_lie_in_fog(train):
    fog = train[0].astype(float).std(axis=(1, 2, 3)) < 20
    assert 0.25 < fog.mean() < 0.5


@pytest.mark.parametrize("num", [0, -3])
def test_pictures_refuses_bad_input(num):
    with pytest.raises(ValueError, match=f"is {num}, expected at least 1"):
        pictures(num, seed=0)


def test_picture_and_text_each_tell_and_together_tell_more(train, test):
    words = CountVectorizer(binary=True)
    texts = [
        [
            templates.describe(image, CLASS_NAMES[label], rng)
            for image, label in zip(*part, strict=True)
        ]
        for rng, part in zip(
            map(np.random.default_rng, (1, 2)), (train, test), strict=True
        )
    ]
    said = [
        words.fit_transform(texts[0]).toarray(),
        words.transform(texts[1]).toarray(),
    ]
    seen = [edges(part[0]) * 5 for part in (train, test)]

    def accuracy(first, second):
        model = LogisticRegression(max_iter=1000).fit(first, train[1])
        return model.score(second, test[1])

    image, text = accuracy(*seen), accuracy(*said)
    both = accuracy(*(np.hstack(pair) for pair in zip(seen, said, strict=True)))
    assert min(image, text) > 3 * CHANCE
    assert both > max(image, text) + 0.5 * CHANCE
