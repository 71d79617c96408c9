"""Data for the tests of data: real files where PELLUCID_DATA points at them, and files written in the official formats."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pellucid.data import locate
from pellucid.data.catalogue import SOURCES

REAL = os.environ.get("PELLUCID_DATA", "")


@pytest.fixture(autouse=True)
def private_folders(monkeypatch, tmp_path):
    """No test reads or fills the data folder or the cache of the person who runs it."""
    monkeypatch.delenv("PELLUCID_DATA", raising=False)
    monkeypatch.setattr(locate, "cache_folder", lambda: tmp_path / "no-cache")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def real():
    """``real("mnist")`` is the data folder when the set lies there, else the test is skipped."""

    def folder_with(name: str) -> Path:
        if not REAL:
            pytest.skip("PELLUCID_DATA is not set: point it at a folder with the official files")
        source = SOURCES[name]
        if locate.find(source, source.layouts, [Path(REAL)]) is None:
            pytest.skip(f"PELLUCID_DATA holds no {name}")
        return Path(REAL)

    return folder_with


@pytest.fixture
def publish(monkeypatch):
    """``publish("cifar10", folder)`` declares the files of a folder to be the official ones (their checksums)."""

    def declare(name: str, folder: Path) -> None:
        def known(file):
            path = folder / file.name
            if not path.is_file():
                return file
            md5, sha256 = (locate.checksum(path, algorithm) for algorithm in ("md5", "sha256"))
            return replace(file, md5=md5, sha256=sha256, size=path.stat().st_size)

        source = SOURCES[name]
        layouts = tuple(tuple(tuple(map(known, piece)) for piece in layout) for layout in source.layouts)
        monkeypatch.setitem(SOURCES, name, replace(source, layouts=layouts))

    return declare


class Official:
    """Small data sets in the official formats."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)

    def images(self, n: int, *shape: int) -> np.ndarray:
        return self.rng.integers(0, 256, (n, *shape), np.uint8)

    def cifar10(self, folder: Path, n: int = 20) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Six batch files; half of them as Python 2 wrote them, half as Python 3 does. Returns (x, y) by file name."""
        folder.mkdir(parents=True, exist_ok=True)
        written = {}
        for i, name in enumerate([*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]):
            x, y = self.images(n, 3072), np.arange(n) % 10
            write = python2_pickle if i % 2 == 0 else python3_pickle
            content = {b"batch_label": b"a batch", b"labels": y.tolist(), b"data": x, b"filenames": [b"a.png"] * n}
            (folder / name).write_bytes(write(content))
            written[name] = x.reshape(n, 3, 32, 32).transpose(0, 2, 3, 1), y
        return written

    def cifar100(self, folder: Path, n: int = 200) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        folder.mkdir(parents=True, exist_ok=True)
        written = {}
        for name in ("train", "test"):
            x, y = self.images(n, 3072), np.arange(n) % 100
            coarse = (y // 5).tolist()
            content = {b"fine_labels": y.tolist(), b"coarse_labels": coarse, b"data": x, b"batch_label": b""}
            (folder / name).write_bytes(python2_pickle(content))
            written[name] = x.reshape(n, 3, 32, 32).transpose(0, 2, 3, 1), y
        return written

    def idx(self, folder: Path, n: int = 40, packed: bool = True) -> dict[str, np.ndarray]:
        folder.mkdir(parents=True, exist_ok=True)
        written = {}
        for prefix, count in (("train", n), ("t10k", n // 2)):
            written[f"{prefix}-images-idx3-ubyte"] = self.images(count, 28, 28)
            written[f"{prefix}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
        for name, array in written.items():
            data = idx_bytes(array)
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
        return written

    def svhn(self, folder: Path, n: int = 30) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        from scipy.io import savemat

        folder.mkdir(parents=True, exist_ok=True)
        written = {}
        for name in ("train_32x32.mat", "test_32x32.mat"):
            x = self.images(n, 32, 32, 3)
            y = (np.arange(n) % 10 + 1).astype(np.uint8)
            variables = {"X": x.transpose(1, 2, 3, 0), "y": y[:, None]}
            savemat(folder / name, variables, do_compression=True)
            written[name] = x, y
        return written


@pytest.fixture
def official():
    return Official()


@pytest.fixture
def formats():
    """The writers of single official files: idx(array), python2(dict), python3(dict), tar(path, members)."""

    class Formats:
        idx = staticmethod(idx_bytes)
        python2 = staticmethod(lambda content: python2_pickle(content))
        python3 = staticmethod(lambda content: python3_pickle(content))
        tar = staticmethod(write_tar)

    return Formats


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def python3_pickle(content: dict) -> bytes:
    return pickle.dumps(content, protocol=2)


def python2_pickle(content: dict) -> bytes:
    """Protocol 2 as cPickle of Python 2 wrote it: byte strings are strings, the module of numpy is numpy.core."""

    def string(data: bytes) -> bytes:
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data

    def value(item) -> bytes:
        if isinstance(item, bytes):
            return string(item)
        if isinstance(item, int):
            return b"J" + struct.pack("<i", item)
        if isinstance(item, list):
            return b"](" + b"".join(map(value, item)) + b"e"
        array = np.ascontiguousarray(item)
        shape = b"(" + b"".join(map(value, array.shape)) + b"t"
        dtype = (
            b"cnumpy\ndtype\n("
            + string(b"u1")
            + b"K\x00K\x01tR(K\x03"
            + string(b"|")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        )
        made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + string(b"b") + b"tR"
        return made + b"(K\x01" + shape + dtype + b"\x89" + string(array.tobytes()) + b"tb"

    return b"\x80\x02}(" + b"".join(string(key) + value(item) for key, item in content.items()) + b"u."


def write_tar(path: Path, members: list[tuple[tarfile.TarInfo | str, bytes]]) -> None:
    """A .tar.gz of (name or TarInfo, content) members."""
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            if info.isreg():
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
