"""Tests of where bytes come from: found, verified, downloaded whole or not at all."""

import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from mmlearn.datasets import sources
from mmlearn.datasets.sources import Source, SourceError

CONTENT = b"pictures " * 20_000
SHARED = b"pictures in another format"
CACHED = "datasets/toy.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends CONTENT whole, wrong, cut off, or slowly, by the path asked for."""

    def do_GET(self):
        if self.path == "/absent":
            self.send_error(404)
            return
        body = CONTENT[::-1] if self.path == "/wrong" else CONTENT
        if self.path == "/endless":
            body *= 20
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.server.requests.append(self.path)
        if self.path == "/cut":
            self.wfile.write(body[:1000])
        elif self.path == "/drip":
            for place in range(100):
                self.wfile.write(body[25 * place : 25 * place + 25])
                self.wfile.flush()
                if self.server.enough.wait(0.05):
                    break
        elif self.path == "/slow":
            self.wfile.write(body[:70_000])
            self.wfile.flush()
            self.server.enough.wait(20)
        else:
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.enough = threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.enough.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(served):
    served.requests = []
    return served


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, the network allowed and untried, and no shared folder."""
    monkeypatch.setattr(sources, "_UNREACHABLE", set())
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("MMLEARN_DATA", raising=False)
    monkeypatch.delenv("MMLEARN_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "keras"


@pytest.fixture
def toy(cache, server, monkeypatch):
    """Registers the data set "toy" and returns a function that picks its address."""

    def register(path: str = "/right", port: int | None = None) -> Source:
        source = Source(
            name="toy",
            shared_file="toy.npz",
            shared_sha256=hashlib.sha256(SHARED).hexdigest(),
            url=f"http://127.0.0.1:{port or server.server_port}{path}",
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            size=len(CONTENT),
            cached_files=(CACHED, "datasets/toy_older_name"),
            stand_in="toy drawings",
        )
        monkeypatch.setitem(sources.SOURCES, "toy", source)
        return source

    register()
    return register


@pytest.fixture
def shared(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    monkeypatch.setenv("MMLEARN_DATA", str(folder))
    return folder / "toy.npz"


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def refused(action) -> str:
    """Returns the message of the one-line SourceError that the action raises."""
    with pytest.raises(SourceError) as caught:
        action()
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def test_the_order_is_shared_then_cache_then_download_then_none(
    toy, cache, shared, server, monkeypatch, capsys
):
    put(shared, SHARED)
    cached = put(cache / CACHED, CONTENT)
    assert sources.obtain("toy") == (shared, "shared")
    shared.unlink()
    assert sources.obtain("toy") == (cached, "cache")
    assert server.requests == []
    cached.unlink()
    assert sources.obtain("toy") == (cached, "cache")
    assert server.requests == ["/right"]
    cached.unlink()
    toy("/absent")
    capsys.readouterr()
    assert sources.obtain("toy") is None
    assert capsys.readouterr().out.count("\n") == 1


def test_a_file_under_keras_older_name_is_found(toy, cache, server):
    path = put(cache / "datasets/toy_older_name", CONTENT)
    assert sources.obtain("toy") == (path, "cache")
    assert server.requests == []


def test_kind_follows_the_files(toy, cache):
    assert sources.kind("toy") == "stand-in"
    put(cache / CACHED, CONTENT)
    assert sources.kind("toy") == "real"


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"x" + b[1:]])
def test_a_damaged_file_is_named_and_left_alone(toy, cache, shared, server, damage):
    path = put(shared, damage(SHARED))
    assert str(path) in refused(lambda: sources.obtain("toy"))
    assert path.read_bytes() == damage(SHARED)
    shared.unlink()
    path = put(cache / CACHED, damage(CONTENT))
    for action in (
        lambda: sources.obtain("toy"),
        lambda: sources.download("toy"),
        lambda: sources.main(["get", "toy"]),
    ):
        assert str(path) in refused(action)
        assert path.read_bytes() == damage(CONTENT)
    assert server.requests == [] and files(cache) == [path]


def test_a_missing_shared_folder_is_an_error_not_a_download(
    toy, cache, server, monkeypatch, tmp_path
):
    monkeypatch.setenv("MMLEARN_DATA", str(tmp_path / "gone"))
    message = refused(lambda: sources.obtain("toy"))
    assert "MMLEARN_DATA" in message and "gone" in message
    assert server.requests == [] and files(tmp_path) == []


def test_a_download_is_kept_and_not_repeated(toy, cache, server):
    path = sources.download("toy")
    assert path == cache / CACHED
    assert path.read_bytes() == CONTENT
    assert files(cache) == [path]
    assert sources.download("toy") == path
    assert server.requests == ["/right"]


def test_a_download_shows_no_lines_when_it_is_quick(toy, capfd):
    sources.download("toy")
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/wrong", "checksum"),
        ("/cut", "could not be downloaded"),
        ("/absent", "could not be downloaded"),
    ],
)
def test_a_failed_download_leaves_nothing(toy, cache, path, reason):
    toy(path)
    message = refused(lambda: sources.download("toy"))
    assert reason in message and message.startswith("toy: ")
    assert sources.SOURCES["toy"].url in message
    assert files(cache) == []
    # A later try is not spoilt by the failed one.
    toy("/right")
    assert sources.download("toy").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/endless", "more than the 0.2 MB"), ("/drip", "less than 1 kB a second")],
)
def test_a_download_has_an_end(toy, cache, monkeypatch, path, reason):
    monkeypatch.setattr(sources, "_PATIENCE", 0.3)
    toy(path)
    message = refused(lambda: sources.download("toy"))
    assert reason in message and message.startswith("toy: could not be downloaded")
    assert files(cache) == []


def test_a_long_download_shows_how_far_it_is(toy, cache, capfd):
    toy("/drip")
    refused(lambda: sources.download("toy"))  # it is cut off in the end
    assert "toy:   1%" in capfd.readouterr().out


def test_a_full_disk_is_noticed_before_anything_is_written(
    toy, cache, server, monkeypatch
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(
        sources.shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 1000)
    )
    message = refused(lambda: sources.download("toy"))
    assert "MB free" in message and "KERAS_HOME" in message
    assert server.requests == [] and files(cache) == []


def test_ctrl_c_leaves_nothing(cache, server):
    code = f"""
import signal
from mmlearn.datasets import sources
# Python ignores Ctrl-C where its parent did, such as a job in the background.
signal.signal(signal.SIGINT, signal.default_int_handler)
sources.SOURCES["toy"] = sources.Source(
    "toy", "toy.npz", "0", "http://127.0.0.1:{server.server_port}/slow", "0" * 64,
    {len(CONTENT)}, ({CACHED!r},), "drawings")
sources.download("toy")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 20
    # Interrupt when the first bytes have arrived.
    while not any(path.stat().st_size for path in files(cache)):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0 and b"KeyboardInterrupt" in errors
    assert files(cache) == []


def test_without_a_network_one_line_says_what_to_do(toy, cache, capsys):
    toy(port=9)  # nothing listens here
    assert sources.obtain("toy") is None
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert "MMLEARN_DATA" in line and "toy.npz" in line and "Errno" not in line
    assert files(cache) == []


def test_a_failed_download_is_not_tried_again_but_a_file_is_found(
    toy, cache, server, capsys
):
    toy("/wrong")
    assert sources.obtain("toy") is None
    capsys.readouterr()
    assert sources.obtain("toy") is None
    assert server.requests == ["/wrong"] and capsys.readouterr().out == ""
    path = put(cache / CACHED, CONTENT)
    assert sources.obtain("toy") == (path, "cache")


def test_offline_never_asks_the_network(toy, cache, server, monkeypatch, capsys):
    monkeypatch.setenv("MMLEARN_OFFLINE", "1")
    assert sources.obtain("toy") is None
    assert "MMLEARN_OFFLINE" in capsys.readouterr().out
    assert "MMLEARN_OFFLINE" in refused(lambda: sources.download("toy"))
    assert server.requests == []
    put(cache / CACHED, CONTENT)
    assert sources.obtain("toy") == (cache / CACHED, "cache")


@pytest.mark.parametrize(
    "use", [sources.locate, sources.obtain, sources.download, sources.describe]
)
def test_an_unknown_name_is_answered_with_the_known_ones(cache, use):
    with pytest.raises(ValueError, match=r"'cifar11' is unknown.*cifar10"):
        use("cifar11")


def test_list_says_where_each_would_come_from(toy, cache, shared, capsys):
    assert sources.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(sources.SOURCES)
    assert lines[-1].startswith("toy (0.2 MB, no notebook): stand-in (toy drawings)")
    put(cache / CACHED, CONTENT)
    sources.main([])
    assert f"): real, cached ({cache / CACHED})" in capsys.readouterr().out
    put(shared, SHARED)
    sources.main([])
    assert f"): real, MMLEARN_DATA ({shared})" in capsys.readouterr().out


def test_get_downloads_once_and_says_where(toy, cache, server, capsys):
    for _ in range(2):
        assert sources.main(["get", "toy"]) == 0
        assert capsys.readouterr().out.strip() == f"toy: {cache / CACHED}"
    assert server.requests == ["/right"]


def test_get_refuses_an_unknown_name(cache, capsys):
    with pytest.raises(SystemExit) as caught:
        sources.main(["get", "cifar11"])
    assert caught.value.code == 2
    assert "cifar10" in capsys.readouterr().err


def test_the_cache_is_keras_own(monkeypatch):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", os.sep + "somewhere")
    assert sources.cache_dir() == Path(os.sep, "somewhere", ".keras")
    monkeypatch.setenv("KERAS_HOME", "elsewhere")
    assert sources.cache_dir() == Path("elsewhere")
