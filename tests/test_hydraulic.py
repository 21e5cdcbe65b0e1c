"""Tests of the hydraulic rig: the file's facts, its splits, and the stand-in."""

import hashlib
import io
import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from mmlearn.datasets import MultimodalDataset, hydraulic_rig, sources
from mmlearn.datasets.real import hydraulic
from mmlearn.datasets.real.hydraulic import CHANNELS, GAP, GROUPS, TARGETS

SPLITS = ("train", "val", "test")
SHARED = os.path.join(os.environ.get("MMLEARN_DATA", ""), "hydraulic_1hz.npz")
real = pytest.mark.skipif(not os.path.isfile(SHARED), reason="no hydraulic_1hz.npz")


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No real data, an empty cache and no network."""
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    monkeypatch.setattr(sources, "_UNREACHABLE", set())
    return tmp_path


def joined(data: MultimodalDataset, read) -> np.ndarray:
    return np.concatenate([read(data[name]) for name in SPLITS])


def stretches(index: np.ndarray) -> list[np.ndarray]:
    """Cut sorted cycle numbers into runs without a hole."""
    return np.split(index, np.flatnonzero(np.diff(index) > 1) + 1)


def check_blocks(data: MultimodalDataset):
    """The splits are disjoint, made of whole stretches, and apart from each other."""
    split_of = {}
    for name in SPLITS:
        assert (np.diff(data[name].index) > 0).all()
        for cycle in data[name].index.tolist():
            assert split_of.setdefault(cycle, name) == name
    cycles = sorted(split_of)
    seams = 0
    for before, after in zip(cycles, cycles[1:], strict=False):
        if split_of[before] != split_of[after]:
            assert after - before == GAP + 1
            seams += 1
        else:
            assert after - before == 1
    assert seams > 12
    for name in ("val", "test"):
        lengths = [len(run) for run in stretches(data[name].index)]
        assert len(lengths) == 6 and min(lengths) >= 35


# --- the recording -----------------------------------------------------------------


@real
@pytest.mark.parametrize("target", TARGETS)
def test_real_windows_and_labels_are_those_of_their_cycle(target):
    data = hydraulic_rig(target)
    with np.load(SHARED) as file:
        signals, channels = file["signals"], file["channels"].tolist()
        values = file["labels"][:, file["label_names"].tolist().index(target)]
    assert data.source == "real" and tuple(channels) == CHANNELS
    names = [TARGETS[target][value] for value in values]
    for name in SPLITS:
        part = data[name]
        said = [data.class_names[label] for label in part.labels]
        assert said == [names[cycle] for cycle in part.index]
        for key, group in GROUPS.items():
            columns = [channels.index(channel) for channel in group]
            np.testing.assert_array_equal(part[key], signals[part.index][..., columns])
            assert part[key].dtype == np.float32


@real
def test_the_real_blocks_hold_every_class_of_every_target():
    for target in TARGETS:
        data = hydraulic_rig(target)
        assert [len(data[name]) for name in SPLITS] == [1618, 236, 236]
        assert all((counts > 0).all() for counts in data.class_counts().values())
        check_blocks(data)


@real
def test_the_combinations_held_out_are_new():
    data = hydraulic_rig()
    with np.load(SHARED) as file:
        slow = file["labels"][:, [0, 2, 3]]
    seen = {
        name: [
            tuple(np.median(slow[run], axis=0)) for run in stretches(data[name].index)
        ]
        for name in ("val", "test")
    }
    assert len({*seen["val"], *seen["test"]}) == 12
    # After a change of the accumulator, the pump's change comes ten cycles later.
    for held_out in (*seen["val"], *seen["test"]):
        assert (slow[data.train.index] == held_out).all(axis=1).sum() <= 10
    for column in (0, 1):  # cooler and pump
        for name in ("val", "test"):
            values = [combination[column] for combination in seen[name]]
            assert sorted(values) == sorted(2 * list(set(values)))
            assert len(set(values)) == 3


@real
def test_physics_a_lagging_valve_is_late_and_a_bad_cooler_is_hot():
    part = hydraulic_rig("valve").train
    ninth = part["efficiency"][:, 9, 2]
    healthy, small, severe, failing = (
        ninth[part.labels == label].mean() for label in range(4)
    )
    assert failing < severe - 10 < small - 20 < healthy - 20
    part = hydraulic_rig("cooler").train
    warm = [part["temperature"][part.labels == label].mean() for label in range(3)]
    assert warm[0] < warm[1] < warm[2]


@real
def test_the_archive_gives_what_the_shared_file_gives(offline, monkeypatch, capsys):
    with np.load(SHARED) as file:
        signals, labels = file["signals"], file["labels"]
    path = offline / "keras" / "mmlearn" / "hydraulic_rig.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        tables = {name: signals[..., i] for i, name in enumerate(CHANNELS)}
        for name, table in {**tables, "profile": labels}.items():
            text = io.StringIO()
            np.savetxt(
                text, table, fmt="%.3f" if name in CHANNELS else "%d", delimiter="\t"
            )
            archive.writestr(f"{name}.txt", text.getvalue())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = replace(sources.SOURCES["hydraulic_rig"], sha256=digest)
    monkeypatch.setitem(sources.SOURCES, "hydraulic_rig", source)
    from_archive = hydraulic_rig("pump_leak")
    monkeypatch.setenv("MMLEARN_DATA", os.path.dirname(SHARED))
    from_shared = hydraulic_rig("pump_leak")
    assert from_archive.source == "real" and capsys.readouterr().out == ""
    for name in SPLITS:
        np.testing.assert_array_equal(
            from_archive[name].labels, from_shared[name].labels
        )
        for key in GROUPS:
            np.testing.assert_array_equal(
                from_archive[name][key], from_shared[name][key]
            )


@pytest.mark.parametrize("place", ["shared", "cache"])
def test_a_damaged_file_is_refused(offline, monkeypatch, place):
    if place == "shared":
        monkeypatch.setenv("MMLEARN_DATA", str(offline))
        path = offline / "hydraulic_1hz.npz"
    else:
        path = offline / "keras" / "mmlearn" / "hydraulic_rig.zip"
        path.parent.mkdir(parents=True)
    path.write_bytes(b"not the recording")
    with pytest.raises(sources.SourceError, match=f"{path.name} is damaged"):
        hydraulic_rig()


# --- the stand-in, which has the same design ----------------------------------------


def test_the_stand_in_has_the_modalities_and_classes_of_the_real_data(offline, capsys):
    data = hydraulic_rig()
    lines = capsys.readouterr().out.splitlines()
    assert "MMLEARN_OFFLINE" in lines[0]
    assert lines[1].startswith("STAND-IN DATA") and len(lines) == 2
    assert data.source == "stand-in"
    shapes = {name: array.shape[1:] for name, array in data.train.inputs.items()}
    assert shapes == {
        "temperature": (60, 4),
        "vibration": (60, 1),
        "efficiency": (60, 3),
    }
    assert all(array.dtype == np.float32 for array in data.train.inputs.values())
    assert data.class_names[0] == "optimal switching" and data.num_classes == 4
    again = hydraulic_rig(seed=5)
    for name in SPLITS:
        for key in GROUPS:
            np.testing.assert_array_equal(again[name][key], data[name][key])


@pytest.mark.parametrize("target", TARGETS)
def test_the_blocks_are_whole_apart_and_hold_every_class(offline, target):
    data = hydraulic_rig(target)
    check_blocks(data)
    assert data.class_names == tuple(TARGETS[target].values())
    assert all((counts > 0).all() for counts in data.class_counts().values())


def test_the_random_split_deals_the_same_cycles_and_classes_anew(offline):
    blocks, one, other = (
        hydraulic_rig(split=split, seed=seed)
        for split, seed in (("blocks", 0), ("random", 0), ("random", 1))
    )
    for data in (one, other):
        cycles = joined(data, lambda part: part.index)
        assert sorted(cycles) == sorted(joined(blocks, lambda part: part.index))
        for name in SPLITS:
            np.testing.assert_array_equal(
                data.class_counts()[name], blocks.class_counts()[name]
            )
    assert set(one.test.index) != set(other.test.index)
    # The leak: most test cycles have a training cycle beside it.
    near = np.isin(one.test.index + 1, one.train.index)
    near |= np.isin(one.test.index - 1, one.train.index)
    assert near.mean() > 0.8
    assert not np.isin(blocks.test.index + 1, blocks.train.index).any()


def test_the_stand_in_can_be_learnt_and_the_random_split_flatters(offline):
    from sklearn.linear_model import LogisticRegression

    scores = {}
    for split in ("blocks", "random"):
        data = hydraulic_rig("pump_leak", split=split, standardize=True)
        features = {
            name: np.hstack([x.mean(axis=1) for x in data[name].inputs.values()])
            for name in SPLITS
        }
        model = LogisticRegression(max_iter=500)
        model.fit(features["train"], data.train.labels)
        scores[split] = model.score(features["test"], data.test.labels)
    assert 0.5 < scores["blocks"] < scores["random"] - 0.1


def test_standardising_uses_the_training_samples_only(offline, monkeypatch):
    raw = hydraulic_rig(num_train=200)
    scaled = hydraulic_rig(num_train=200, standardize=True)
    np.testing.assert_array_equal(raw.train.index, scaled.train.index)
    assert len(raw.train) == 200
    for key in GROUPS:
        mean = raw.train[key].mean(axis=(0, 1), dtype="float64")
        std = raw.train[key].std(axis=(0, 1), dtype="float64")
        for name in SPLITS:
            expected = (raw[name][key] - mean) / std
            np.testing.assert_allclose(scaled[name][key], expected, atol=1e-4)
            assert scaled[name][key].dtype == np.float32
    signals, conditions = hydraulic._simulated()
    held_out = np.setdiff1d(np.arange(len(signals)), scaled.train.index)
    signals[held_out] += 1000
    monkeypatch.setattr(hydraulic, "_simulated", lambda: (signals, conditions))
    moved = hydraulic_rig(num_train=200, standardize=True)
    for key in GROUPS:
        np.testing.assert_array_equal(moved.train[key], scaled.train[key])
        assert (moved.test[key] > scaled.test[key] + 10).all()


def test_a_channel_that_never_changes_becomes_0(offline, monkeypatch):
    signals, conditions = hydraulic._simulated()
    signals[..., CHANNELS.index("VS1")] = 0.5
    monkeypatch.setattr(hydraulic, "_simulated", lambda: (signals, conditions))
    assert (hydraulic_rig(standardize=True).val["vibration"] == 0).all()


def test_groups_choose_and_order_the_channels(offline):
    whole = hydraulic_rig()
    data = hydraulic_rig(groups={"mixed": ["SE", "TS2"], "hot": ("TS1",)})
    assert data.modalities == ("mixed", "hot")
    parts = whole.val["efficiency"][..., 2], whole.val["temperature"][..., 1]
    np.testing.assert_array_equal(data.val["mixed"], np.stack(parts, axis=-1))
    assert data.val["hot"].shape[1:] == (60, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "filter"}, "target is 'filter': choose one of cooler, valve"),
        ({"split": "time"}, "split is 'time': choose 'blocks' or 'random'"),
        ({"groups": {}}, "groups is {}: expected a dict"),
        ({"groups": ["TS1"]}, "groups is .*: expected a dict"),
        ({"groups": {"hot": ["TS9"]}}, "'hot'.*'TS9'.*TS1, TS2"),
        ({"groups": {"hot": []}}, "'hot'.*expected a list"),
        ({"groups": {"hot": "TS1"}}, "'hot'.*expected a list"),
        ({"num_train": 2}, "num_train is 2: expected 4"),
        ({"num_train": 10_000}, "num_train is 10000"),
    ],
)
def test_bad_arguments_are_refused(offline, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        hydraulic_rig(**options)
    assert "\n" not in str(caught.value)
