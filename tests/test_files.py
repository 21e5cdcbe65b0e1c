"""A file is complete, or not there: whatever is written, and wherever it fails."""

import os
import threading
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest

from mmlearn import encoders, evaluate, files, saving
from mmlearn.fusion import ConcatFusion
from mmlearn.models import fuse
from mmlearn.text import WordTokenizer
from mmlearn_course import course, new, notebooks

resource = pytest.importorskip("resource", reason="limits of a process: not on Windows")
ROOT = Path(__file__).parents[1]
WORDS = WordTokenizer.fit(["a word", "another"], length=4)


@contextmanager
def full_disk(size: int = 20):
    """No file can grow beyond this size, as where the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def plain(folder):
    with files.written(folder / "a.txt") as part:
        part.write_text("x" * 100)


def saved_model(folder):
    parts = [
        encoders.image.lenet(filters=2, embed_dim=2),
        encoders.text.bag(len(WORDS.vocabulary), 4, embed_dim=2),
    ]
    model = fuse(parts, ConcatFusion(), 2)
    steps = {"image": "pad", "text": WORDS}
    saving.save(folder / "a.zip", model, steps, card="a card", class_names="ab")


WRITERS = {
    "files.written": plain,
    "WordTokenizer.save": lambda folder: WORDS.save(folder / "words.json"),
    "saving.save": saved_model,
    "notebooks.write_atomically": lambda folder: notebooks.write_atomically(
        folder / "page.html", "x" * 100
    ),
    "new.write": lambda folder: new.write(str(folder / "13_mine.ipynb"), None),
    "course.new": lambda folder: course.new(folder, ROOT),
}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_nothing_behind(writer, tmp_path):
    with full_disk(), pytest.raises(OSError):
        WRITERS[writer](tmp_path)
    assert not list(tmp_path.rglob("*"))
    WRITERS[writer](tmp_path)
    assert [path.name for path in tmp_path.iterdir()], "and then it works"


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_is_there_when_it_is_complete(tmp_path, replace):
    path = tmp_path / "new folder" / "a.txt"
    with files.written(path, replace=replace) as part:
        part.write_text("half")
        assert not path.exists()
        part.write_text("whole")
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["a.txt"]


def test_nothing_is_overwritten_even_if_it_appears_meanwhile(tmp_path):
    path = tmp_path / "a.txt"
    taken = pytest.raises(FileExistsError, match=r"a.txt exists already")
    with taken, files.written(path) as part:
        part.write_text("ours")
        path.write_text("theirs")
    with taken, files.written(path):
        raise AssertionError("refused before anything is written")
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_where_there_are_no_links_it_is_moved(tmp_path, monkeypatch):
    def refused(*paths):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    with files.written(tmp_path / "a.txt") as part:
        part.write_text("ours")
    assert os.listdir(tmp_path) == ["a.txt"]


def test_what_is_replaced_keeps_its_permissions(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    with files.written(path, replace=True) as part:
        part.write_text("new")
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o640


def test_of_many_writers_one_wins_whole(tmp_path):
    path, won = tmp_path / "a.txt", []

    def write(letter):
        try:
            with files.written(path) as part:
                part.write_text(letter * 1000)
            won.append(letter)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=write, args=[letter]) for letter in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and path.read_text() == won[0] * 1000


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one backend")
def test_what_cannot_be_kept_for_the_next_time_is_not_lost(
    tmp_path, monkeypatch, capsys
):
    evaluate.store._complain.cache_clear()
    monkeypatch.setenv("MMLEARN_RESULTS", str(tmp_path))
    with full_disk():
        evaluate.store.save("key", {"a": np.arange(100)})
    assert "not kept for the next time" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*"))
    assert evaluate.store.load("key") is None
