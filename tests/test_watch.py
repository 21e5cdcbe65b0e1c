"""Tests of the watch's recordings: reading pickles, splits, the stand-in."""

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest

from mmlearn.datasets import sources, watch_imu
from mmlearn.datasets.real.watch import EXERCISES, PEOPLE
from mmlearn.datasets.sources.unpickle import UnpickleError, read_object_array

SPLITS = ("train", "val", "test")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No real data, an empty cache and no network."""
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    monkeypatch.setattr(sources, "_UNREACHABLE", set())
    return tmp_path


@pytest.fixture
def recorded(offline, monkeypatch):
    """A file like the real one, whose every sample says where it comes from."""
    rng = np.random.default_rng(0)
    kinds = [(p, e, s) for p in PEOPLE for e in range(7) for s in (0, 1)]
    people, exercises, sides = np.array([kinds[i] for i in rng.permutation(140)]).T
    signals = []
    for person, exercise, side in zip(people, exercises, sides, strict=True):
        n = int(rng.integers(60, 90))
        columns = [[100 * person + exercise] * n, np.arange(n), [side] * n]
        signals.append(np.array([*columns, *-np.array(columns)], dtype=float).T)
    content = {"X": signals, "y": exercises, "subject": people, "side": sides * 1.0}
    folder = offline / "shared" / "watch"
    folder.mkdir(parents=True)
    path = folder / "watch_dataset.npy"
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    files = {path.name: sources.sha256(path)}
    wheel = replace(sources.SOURCES["watch"], files=files)
    monkeypatch.setitem(sources.SOURCES, "watch", wheel)
    monkeypatch.setenv("MMLEARN_DATA", str(folder.parent))
    return content


def real() -> bool:
    try:
        return sources.locate("watch") is not None
    except sources.SourceError:
        return False


@pytest.mark.skipif(not real(), reason="the watch's recordings are not here")
def test_the_real_recordings_are_the_described_ones():
    data = watch_imu(test_people=(9,), val_people=(10,))
    assert data.source == "real" and data.class_names == EXERCISES
    assert set(data.train.groups) == set(range(1, 9))
    for part in (data.train, data.val, data.test):
        assert set(part.labels) == set(range(7))
        # The earth's gravity is what an accelerometer shows on average.
        norm = np.linalg.norm(part["accelerometer"], axis=2).mean()
        assert 0.9 < norm < 1.3


def test_windows_are_pieces_of_their_recording_with_its_label_and_person(recorded):
    data = watch_imu(seconds=0.6, overlap=0.5)
    assert data.source == "real" and "BSD" in data.card
    lengths = {
        (p, e, s): len(x)
        for x, p, e, s in zip(
            recorded["X"],
            recorded["subject"],
            recorded["y"],
            recorded["side"],
            strict=True,
        )
    }
    assert sum(len(data[name]) for name in SPLITS) == sum(
        (n - 30) // 15 + 1 for n in lengths.values()
    )
    for name in SPLITS:
        part = data[name]
        windows = part["accelerometer"]
        np.testing.assert_array_equal(part["gyroscope"], -windows)
        assert windows.shape[1:] == (30, 3) and windows.dtype == np.float32
        said = 100 * part.groups + part.labels
        np.testing.assert_array_equal(windows[:, :, 0], np.repeat(said[:, None], 30, 1))
        steps = np.diff(windows[:, :, 1], axis=1)
        assert (steps == 1).all() and (windows[:, 0, 1] % 15 == 0).all()
        assert (np.ptp(windows[:, :, 2], axis=1) == 0).all()


def test_nobody_is_in_two_splits_unless_the_windows_are_dealt_out(offline):
    data = watch_imu()
    people = [set(data[name].groups) for name in SPLITS]
    assert people == [{1, 2, 3, 4, 5}, {6, 7}, {8, 9, 10}]
    other = watch_imu(val_people=[3], test_people=[1])
    assert [len(set(other[name].groups)) for name in SPLITS] == [8, 1, 1]
    one, two = watch_imu(split="random", seed=1), watch_imu(split="random", seed=2)
    assert set(one.test.index) != set(two.test.index)
    for dealt in (one, two):
        for name in SPLITS:
            assert set(dealt[name].groups) == set(PEOPLE)
            counts = dealt.class_counts()[name], data.class_counts()[name]
            np.testing.assert_array_equal(*counts)
        every = np.concatenate([dealt[name].index for name in SPLITS])
        np.testing.assert_array_equal(np.sort(every), np.arange(len(every)))


def test_the_list_of_sources_names_the_stand_in_and_speaks_of_data(offline):
    described = sources.describe("watch")
    assert described.startswith("watch (41 MB, notebook 05): stand-in (simulated ")
    assert described.endswith("python -m mmlearn data get watch")
    assert "absent; for the weights" in sources.describe("minilm")


def test_the_stand_in_says_so_and_shows_the_leak(offline, capsys):
    from sklearn.ensemble import RandomForestClassifier

    def features(part):
        both = np.concatenate(list(part.inputs.values()), axis=2)
        return np.hstack([both.mean(axis=1), both.std(axis=1)])

    scores = {}
    for split in ("person", "random"):
        data = watch_imu(split=split)
        model = RandomForestClassifier(50, random_state=0)
        model.fit(features(data.train), data.train.labels)
        scores[split] = model.score(features(data.test), data.test.labels)
    lines = capsys.readouterr().out.splitlines()
    assert "MMLEARN_OFFLINE" in lines[0] and lines[1].startswith("STAND-IN DATA")
    assert data.source == "stand-in" and data.class_names == EXERCISES
    assert 0.4 < scores["person"] < scores["random"] - 0.02


def test_scaling_uses_the_training_people_only(offline):
    raw, scaled = watch_imu(), watch_imu(standardize=True)
    for key in ("accelerometer", "gyroscope"):
        mean, std = (
            raw.train[key].mean((0, 1), float),
            raw.train[key].std((0, 1), float),
        )
        for name in SPLITS:
            expected = (raw[name][key] - mean) / std
            np.testing.assert_allclose(scaled[name][key], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "seconds is 0: expected 0.2"),
        ({"seconds": 20}, "seconds is 20"),
        ({"seconds": 1.234}, "seconds is 1.234: expected a multiple"),
        ({"overlap": 1}, "overlap is 1"),
        ({"split": "time"}, "split is 'time': choose 'person' or 'random'"),
        ({"test_people": (11,)}, "test_people is .*people 1 to 10"),
        ({"val_people": ()}, "val_people is .*one or more"),
        ({"val_people": (8,)}, r"both have \[8\]"),
        ({"val_people": range(1, 6), "test_people": range(6, 11)}, "nobody is left"),
    ],
)
def test_bad_arguments_are_refused(offline, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        watch_imu(**options)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_is_refused(recorded):
    path = os.path.join(os.environ["MMLEARN_DATA"], "watch", "watch_dataset.npy")
    with open(path, "ab") as file:
        file.write(b"x")
    with pytest.raises(sources.SourceError, match="watch_dataset.npy is damaged"):
        watch_imu()


# --- reading object arrays that are known ---------------------------------------------


def header(shape: str = "()") -> bytes:
    text = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def read(content: bytes, folder) -> np.ndarray:
    path = folder / "objects.npy"
    path.write_bytes(content)
    return read_object_array(path, sources.sha256(path))


def whole(item) -> np.ndarray:
    array = np.empty((), dtype=object)
    array[()] = item
    return array


def packed(item, protocol: int = 2) -> bytes:
    return header() + pickle.dumps(whole(item), protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_objects_and_arrays_come_back(tmp_path, protocol):
    rng = np.random.default_rng(0)
    one = rng.normal(size=(3, 4))
    item = {
        "list": [1, 2.5, "text", None, True, one, one.T.copy(order="F")],
        "tuple": (np.arange(5, dtype="int16"), np.zeros((0, 3), "float32")),
        "nested": np.array([{"a": one > 0}, None], dtype=object),
        "again": one,
    }
    found = read(packed(item, protocol), tmp_path)[()]
    assert list(found) == list(item) and found["list"][:5] == item["list"][:5]
    for got, wanted in (
        (found["list"][5], one),
        (found["list"][6], one.T),
        (found["tuple"][0], item["tuple"][0]),
        (found["tuple"][1], item["tuple"][1]),
        (found["nested"][0]["a"], one > 0),
        (found["again"], one),
    ):
        np.testing.assert_array_equal(got, wanted)
        assert got.dtype == wanted.dtype and got.flags.writeable
    assert found["nested"][1] is None and found["nested"].shape == (2,)


class Runs:
    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda m: packed(Runs(exec, f"open({m!r}, 'w')")), "exec"),
        (lambda m: packed([{"x": Runs(os.system, f"touch {m}")}]), "system"),
        (lambda m: packed(np.float64(1.0)), "scalar"),
        (lambda m: packed({1, 2}, 2), "set"),
        (lambda m: header("(2,)") + pickle.dumps(whole(0)), "other than an object"),
        (lambda m: header() + pickle.dumps(np.zeros(())), "other than an object"),
        (lambda m: header() + pickle.dumps([1]), "other than an object array"),
        (lambda m: b"PK" + packed(0), "no .npy file"),
    ],
)  # fmt: skip
def test_a_file_that_holds_anything_else_is_refused(tmp_path, content, reason):
    mark = tmp_path / "it ran"
    with pytest.raises(UnpickleError, match=reason) as caught:
        read(content(str(mark)), tmp_path)
    assert not mark.exists() and "\n" not in str(caught.value)
    assert "objects.npy is refused" in str(caught.value)
    # And the file that these were made from is read.
    found = read(packed({"x": np.zeros(2)}), tmp_path)
    assert found[()]["x"].shape == (2,)


def test_another_file_is_refused_before_it_is_opened_as_a_pickle(tmp_path):
    mark, path = tmp_path / "it ran", tmp_path / "objects.npy"
    path.write_bytes(packed([1]))
    expected = sources.sha256(path)
    assert read_object_array(path, expected)[()] == [1]
    # Plain values would be read; the checksum comes first.
    for other in ([2], Runs(exec, f"open({str(mark)!r}, 'w')")):
        path.write_bytes(packed(other))
        with pytest.raises(sources.SourceError, match="damaged or another version"):
            read_object_array(path, expected)
    assert not mark.exists()


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    content = packed({"x": [np.arange(3.0), "text"]})
    for length in range(len(content)):
        with pytest.raises(UnpickleError, match="is refused"):
            read(content[:length], tmp_path)
    with pytest.raises(UnpickleError, match="something follows"):
        read(content + b"x", tmp_path)
