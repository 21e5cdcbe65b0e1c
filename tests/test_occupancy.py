"""Windows of an office's climate: nothing crosses a gap, a split or the scaling."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mmlearn.datasets import occupancy, sources
from mmlearn.datasets.base import SPLITS

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module", params=["here", "stand-in"])
def load(request):
    """The loader, once with what this machine has and once without any data."""
    patch = pytest.MonkeyPatch()
    if request.param == "stand-in":
        patch.setattr(sources, "obtain", lambda name: None)
    elif sources.kind("occupancy") != "real":
        pytest.skip("the recording is not here")
    yield occupancy
    patch.undo()


@pytest.fixture(scope="module")
def data(load):
    return load()


def test_every_sensor_is_a_modality(data):
    assert data.modalities == ("temperature", "humidity", "light", "co2")
    for name in SPLITS:
        assert all(a.shape[1:] == (15, 1) for a in data[name].inputs.values())
        assert set(data[name].labels) == {0, 1}


def test_what_is_told_apart_is_told_by_the_last_minute(load):
    short, long = load(minutes=1, step=1), load(minutes=4, step=1)
    where = {index: row for row, index in enumerate(short.train.index)}
    rows = [where[index] for index in long.train.index]
    assert (short.train.labels[rows] == long.train.labels).all()
    last = long.train["light"][:, -1]
    np.testing.assert_array_equal(short.train["light"][rows][:, -1], last)


def test_no_window_reaches_over_into_another_split(data):
    for name in SPLITS:
        readings = data[name].index[:, None] - np.arange(15)
        for other in SPLITS:
            if other != name:
                taken = data[other].index[:, None] - np.arange(15)
                assert not np.intersect1d(readings, taken).size


def test_training_comes_before_validation(data):
    assert data.train.index.max() < data.val.index.min()
    assert data.train.groups.max() <= data.val.groups.min()


def test_a_random_split_mixes_the_periods(load):
    data = load(split="random")
    assert data.train.index.max() > data.val.index.min()
    sizes = [len(load()[name]) for name in SPLITS]
    assert [len(data[name]) for name in SPLITS] == sizes


def test_scaling_is_fitted_on_training_data(load):
    data = load(standardize=True)
    for array in data.train.inputs.values():
        assert abs(array.mean()) < 1e-3 and abs(array.std() - 1) < 1e-3
    assert abs(data.test["temperature"].mean()) > 0.01


def test_light_says_most(data):
    found = {}
    for name in ("light", "humidity"):
        x = [data[split][name][:, -1] for split in ("train", "test")]
        model = LogisticRegression(max_iter=1000).fit(x[0], data.train.labels)
        found[name] = model.score(x[1], data.test.labels)
    assert found["light"] > 0.85 > found["humidity"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [({"split": "blocks"}, "'time' or 'random'"), ({"minutes": 0}, "length is 0")],
)
def test_what_makes_no_sense_is_refused(load, argument, message):
    with pytest.raises(ValueError, match=message):
        load(**argument)
