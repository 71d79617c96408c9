"""The cache of machine code does not grow for ever, and nobody who uses it is disturbed."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pellucid.kernels import cache, prune

NOW = time.time()


def keep(folder: Path, name: str, days: float, size: int = 10) -> Path:
    """A file last used so many days ago; names without an ending are those of machine code."""
    file = folder / (name if "." in name else f"{name}-{'0123456789abcdef' * 2:.24}.bin")
    file.write_bytes(bytes(size))
    os.utime(file, (NOW - days * prune.DAY,) * 2)
    return file


def test_what_was_not_used_for_a_month_goes_and_nothing_else(tmp_path):
    old = [keep(tmp_path, "old", 31), keep(tmp_path, f"{prune.TEMPORARY}abandoned", 0.1)]
    kept = [
        keep(tmp_path, "used", 29),
        keep(tmp_path, "new", 0),
        keep(tmp_path, f"{prune.TEMPORARY}a", 0),  # being written now
        keep(tmp_path, "somebody-elses.bin", 400),
        keep(tmp_path, "notes.txt", 400),
    ]
    (tmp_path / "folder").mkdir()
    prune.prune(tmp_path)
    assert not any(file.exists() for file in old)
    assert all(file.exists() for file in kept)


def test_too_much_is_cut_from_what_was_not_used_for_longest(tmp_path, monkeypatch):
    monkeypatch.setattr(prune, "MOST_BYTES", 250)
    files = [keep(tmp_path, f"f{days}", days, 100) for days in (3, 1, 4, 2)]
    prune.prune(tmp_path)
    assert [file.exists() for file in files] == [False, True, False, True]


def test_using_a_file_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    cache.write_cache("kernel", b"key", b"code")
    (file,) = tmp_path.iterdir()
    os.utime(file, (NOW - 40 * prune.DAY,) * 2)
    assert cache.read_cache("kernel", b"key") == b"code"
    prune.prune(tmp_path)
    assert file.exists()


def test_writing_looks_after_the_cache_once(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    first = keep(tmp_path, "first", 31)
    cache.write_cache("kernel", b"key", b"code")
    assert not first.exists()
    second = keep(tmp_path, "second", 31)
    cache.write_cache("kernel", b"other", b"code")
    assert second.exists()  # the next process will


@pytest.mark.parametrize("trouble", [FileNotFoundError, PermissionError])
def test_what_cannot_be_removed_is_nobodys_trouble(tmp_path, monkeypatch, trouble):
    keep(tmp_path, "old", 31)

    def fail(self, *arguments, **settings):
        raise trouble(str(self))

    monkeypatch.setattr(Path, "unlink", fail)
    prune.prune(tmp_path)
    prune.prune(tmp_path / "not there")
    prune.used(tmp_path / "not there.bin")


def test_many_can_read_write_and_prune_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(
        prune, "MOST_BYTES", 5000
    )  # room for a quarter of it, so that something is always being removed

    def work(_: int) -> None:
        for turn in range(100):
            key = bytes([turn % 20])
            found = cache.read_cache("kernel", key)
            assert found in (None, key * 1000)
            if found is None:
                cache.write_cache("kernel", key, key * 1000)
            prune.prune(tmp_path)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    prune.prune(tmp_path)
    assert 0 < sum(file.stat().st_size for file in tmp_path.iterdir()) <= 5000
