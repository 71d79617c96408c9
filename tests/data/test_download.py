"""Downloads against a server on this machine: continued, verified, mirror after mirror."""

from __future__ import annotations

import hashlib
import http.server
import threading
from dataclasses import replace

import numpy as np
import pytest

from pellucid import data
from pellucid.data import download
from pellucid.data.catalogue import SOURCES, SourceFile
from pellucid.errors import DataError

CONTENT = np.random.default_rng(0).bytes(600_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path says how the server behaves; ``seen`` notes (behaviour, range asked for)."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    seen: list[tuple[str, str | None]]

    def do_GET(self):
        behaviour, name = self.path.strip("/").split("/")
        asked = self.headers.get("Range")
        self.seen.append((behaviour, asked))
        content = self.files[name]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        kind = "application/octet-stream"
        if behaviour == "missing":
            self.send_error(404)
            return
        if behaviour == "html":
            content, kind, start = b"<!DOCTYPE html><html>please log in</html>", "text/html; charset=utf-8", 0
        if behaviour == "wrong":
            content = bytes(len(content))
        if behaviour == "short":
            content = content[:1000]
        if behaviour == "norange":
            start = 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", kind)
        if behaviour != "endless":
            self.send_header("Content-Length", str(len(content) - start))
        else:
            self.close_connection = True
        self.end_headers()
        body = content[start:]
        if behaviour == "truncating":  # half of what is left, then the line goes dead
            self.wfile.write(body[: max(len(body) // 2, 50_000)])
            self.close_connection = True
        elif behaviour == "dead":
            self.close_connection = True
        elif behaviour == "endless":
            self.wfile.write(body + bytes(100_000))
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    handler = type("H", (Handler,), {"files": {"file.bin": CONTENT}, "seen": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.files, running.seen = handler.files, handler.seen
        running.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield running
        running.shutdown()
        thread.join()


def wanted(server, *behaviours, content=CONTENT, **changes):
    urls = tuple(f"{server.url}/{behaviour}/file.bin" for behaviour in behaviours)
    known = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)} | changes
    return SourceFile("file.bin", urls=urls, **known)


def test_a_file_comes_whole_and_is_not_fetched_twice(server, tmp_path, capsys):
    path = download.fetch_file(wanted(server, "good"), tmp_path)
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]
    assert "downloading file.bin (0.6 MB)" in capsys.readouterr().err
    download.fetch_file(wanted(server, "good"), tmp_path)
    assert server.seen == [("good", None)]


def test_a_download_continues_where_it_broke_off(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:200_000])
    assert download.fetch_file(wanted(server, "good"), tmp_path).read_bytes() == CONTENT
    assert server.seen == [("good", "bytes=200000-")]


def test_an_unreliable_line_is_asked_again_for_the_rest(server, tmp_path):
    # Halves: 300, 150, 75, 50 thousand bytes come, 25 are left when the tries of one mirror are used up.
    with pytest.raises(DataError, match="broke off after 575,000"):
        download.fetch_file(wanted(server, "truncating"), tmp_path)
    assert (tmp_path / "file.bin.part").stat().st_size == 575_000
    assert download.fetch_file(wanted(server, "dead", "good"), tmp_path).read_bytes() == CONTENT
    assert server.seen[-1] == ("good", "bytes=575000-")


def test_a_server_without_ranges_starts_again(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:200_000])
    assert download.fetch_file(wanted(server, "norange"), tmp_path).read_bytes() == CONTENT


def test_mirrors_are_tried_in_turn(server, tmp_path):
    mirrors = ("missing", "html", "short", "wrong", "dead", "good")
    assert download.fetch_file(wanted(server, *mirrors), tmp_path).read_bytes() == CONTENT
    assert {behaviour for behaviour, _ in server.seen} == set(mirrors)


def test_when_all_mirrors_fail_the_error_says_what_was_tried(server, tmp_path):
    with pytest.raises(DataError) as caught:
        download.fetch_file(wanted(server, "missing", "html", "short", "wrong"), tmp_path)
    text = str(caught.value)
    for words in (
        "404",
        "web page",
        "offers 1,000 bytes, wanted 600,000",
        "another sha256",
        f"place it in {tmp_path}",
        server.url,
    ):
        assert words in text
    assert not (tmp_path / "file.bin").exists()


def test_a_wrong_beginning_is_thrown_away(server, tmp_path):
    for wrong in (bytes(200_000), bytes(len(CONTENT)), bytes(len(CONTENT) + 5)):
        (tmp_path / "file.bin.part").write_bytes(wrong)
        assert download.fetch_file(wanted(server, "good"), tmp_path).read_bytes() == CONTENT
        (tmp_path / "file.bin").unlink()


def test_a_server_that_sends_too_much_is_stopped(server, tmp_path):
    with pytest.raises(DataError, match="sends more than the file has"):
        download.fetch_file(wanted(server, "endless"), tmp_path)


def test_a_file_without_a_published_checksum_is_not_downloaded(server, tmp_path):
    with pytest.raises(DataError, match="no published checksum"):
        download.fetch_file(wanted(server, "good", sha256=None), tmp_path)
    assert server.seen == []


def test_nobody_listening_is_no_traceback(tmp_path):
    file = SourceFile("file.bin", sha256="0" * 64, size=5, urls=("http://127.0.0.1:9/file.bin",))
    with pytest.raises(DataError, match="could not be downloaded"):
        download.fetch_file(file, tmp_path)


@pytest.fixture
def remote_mnist(server, official, tmp_path, monkeypatch):
    """MNIST, small, on the server, with its checksums in the catalogue."""
    official.idx(tmp_path / "remote")
    files = []
    for file in SOURCES["mnist"].downloads:
        content = server.files[file.name] = (tmp_path / "remote" / file.name).read_bytes()
        urls = tuple(f"{server.url}/{behaviour}/{file.name}" for behaviour in ("missing", "good"))
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(replace(file, sha256=sha256, md5=None, size=len(content), urls=urls))
    layouts = (tuple((file,) for file in files),)
    monkeypatch.setitem(SOURCES, "mnist", replace(SOURCES["mnist"], downloads=tuple(files), layouts=layouts))
    return tmp_path / "data"


def test_loading_downloads_verifies_and_reads(server, remote_mnist):
    with pytest.raises(DataError, match="not on this machine"):
        data.load("mnist", data_dir=remote_mnist, download=False)
    dataset = data.load("mnist", data_dir=remote_mnist, validation_split=0)
    assert (len(dataset.train), len(dataset.test)) == (40, 20)
    asked = len(server.seen)
    assert data.get("mnist", remote_mnist) == remote_mnist / "mnist"
    assert len(server.seen) == asked
    (remote_mnist / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()  # only what is missing is fetched again
    data.load("mnist", data_dir=remote_mnist)
    assert len(server.seen) == asked + 2


def test_a_file_of_the_user_is_never_overwritten(remote_mnist):
    own = remote_mnist / "mnist" / "train-labels-idx1-ubyte.gz"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    with pytest.raises(DataError, match="not the official mnist files"):
        data.load("mnist", data_dir=remote_mnist)
    assert own.read_bytes() == b"mine"


def test_a_folder_that_cannot_be_written_is_named(remote_mnist):
    remote_mnist.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be downloaded into"):
        data.load("mnist", data_dir=remote_mnist)


def test_downloads_show_a_bar_on_a_terminal(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    download.fetch_file(wanted(server, "good"), tmp_path)
    assert "file.bin from 127.0.0.1" in capsys.readouterr().err


def test_two_downloads_at_once_share_one_file(server, remote_mnist):
    problems = []

    def attempt():
        try:
            data.load("mnist", data_dir=remote_mnist)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(server.seen) == 8  # four files, two mirrors
