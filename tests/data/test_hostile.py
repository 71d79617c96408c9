"""Files that want to do harm, and files that are simply broken: refused by name, nothing executed, nothing allocated."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from pellucid import data
from pellucid.data.sources import cifar, idx, svhn
from pellucid.data.sources.pickles import read_pickle
from pellucid.errors import DataError


class Runs:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("function", [os.system, eval, open, getattr, __import__, np.load, np.fromfile])
def test_a_pickle_that_asks_for_a_function_runs_nothing(tmp_path, protocol, function):
    mark = tmp_path / "mark"
    argument = (
        f"touch {mark}" if function is os.system else f"open({str(mark)!r}, 'w')" if function is eval else str(mark)
    )
    arguments = (argument, "w") if function is open else (argument,)
    blob = pickle.dumps({b"data": Runs(function, *arguments), b"labels": []}, protocol=protocol)
    with pytest.raises(DataError, match=r"asks for .* Nothing was run"):
        read_pickle(blob, "data_batch_1")
    assert not mark.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n.",  # dotted names
        b"\x80\x04\x8c\x05numpy\x8c\x16ndarray.__class__.mro.x\x93.",
        b"(i__main__\nRuns\n.",  # the INST instruction
        b"\x80\x02\x82\x01.",  # the extension registry
        b"Pthing\n.",  # a persistent id
        b"cnumpy\nndarray\n(tR.",  # calling what is no function here
        b"\x80\x05\x97.",  # an out-of-band buffer
        b"",
        b"\x80\x02}",
        b"<!DOCTYPE html><html>not found</html>",
        b"\x80\x02r\xff\xff\xff\x7f.",  # a memo index of two thousand millions
        b"\x80\x02T\xff\xff\xff\x7fabc.",  # a string longer than the file
    ],
)
def test_odd_pickle_programs_are_refused(program):
    with pytest.raises(DataError, match="data_batch_1"):
        read_pickle(program, "data_batch_1")


def test_a_pickle_cannot_leave_anything_behind_for_the_next(formats):
    # BUILD sets attributes on whatever is on the stack; here on the stand-in for numpy.dtype itself.
    attack = b"\x80\x02cnumpy\ndtype\nN}X\x0c\x00\x00\x00__setstate__X\x01\x00\x00\x00xs\x86b."
    for name in ("broken", "again"):
        with pytest.raises(DataError, match=name):
            read_pickle(attack, name)
    content = {b"labels": [1], b"data": np.zeros((1, 3072), np.uint8)}
    for write in (formats.python2, formats.python3):
        assert read_pickle(write(content), "good")["data"].shape == (1, 3072)


def test_arrays_in_pickles_must_be_bytes_of_the_right_number(formats):
    good = formats.python2({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2]})
    for claimed in (3, 2**30):
        bad = good.replace(b"J" + struct.pack("<i", 2) + b"J", b"J" + struct.pack("<i", claimed) + b"J", 1)
        assert bad != good
        with pytest.raises(DataError, match="not as long as its shape"):
            read_pickle(bad, "data_batch_1")
    for array in (np.zeros((2, 3072)), np.array([print], object)):
        with pytest.raises(DataError):
            read_pickle(pickle.dumps({b"data": array, b"labels": [1, 2]}, protocol=2), "data_batch_1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({b"data": np.zeros((2, 3071), np.uint8), b"labels": [1, 2]}, "wanted \\(N, 3072\\)"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "2 images come with 1 labels"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 10]}, "wanted 0 to 9"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [b"a", b"b"]}, "labels"),
        ({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, "no images"),
        ({b"labels": [1]}, "no CIFAR file"),
    ],
)
def test_batches_that_make_no_sense_are_named(formats, content, words):
    with pytest.raises(DataError, match=words):
        cifar.read_batch(formats.python2(content), "data_batch_2", 10)
    with pytest.raises(DataError, match="no CIFAR file"):
        cifar.read_batch(pickle.dumps([1]), "data_batch_2", 10)


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


WANTED = "cifar-10-batches-py/data_batch_1"


@pytest.mark.parametrize(
    "members",
    [
        [(link(WANTED, "/etc/passwd", tarfile.SYMTYPE), b"")],
        [(link(WANTED, "../outside", tarfile.LNKTYPE), b"")],
        [(link(WANTED, "", tarfile.FIFOTYPE), b"")],
        [(link(WANTED, "", tarfile.DIRTYPE), b"")],
        [(WANTED, b"one"), (WANTED, b"two")],
        [("../" + WANTED, b"x"), ("/" + WANTED, b"x"), ("cifar-10-batches-py/../" + WANTED, b"x")],
        [],
    ],
)
def test_archive_members_that_are_not_plain_files_are_refused(formats, tmp_path, members):
    formats.tar(tmp_path / "a.tar.gz", [("../evil", b"x"), ("/tmp/evil", b"x"), *members])
    with pytest.raises(DataError, match=r"a\.tar\.gz"):
        cifar.read_members(tmp_path / "a.tar.gz", [WANTED])
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


def test_archives_that_unpack_to_too_much_are_refused(formats, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_MAX_UNPACKED", 1 << 20)
    formats.tar(tmp_path / "a.tar.gz", [("filler", bytes(4 << 20)), (WANTED, b"x")])
    with pytest.raises(DataError, match="more than 1,048,576 bytes"):
        cifar.read_members(tmp_path / "a.tar.gz", [WANTED])
    monkeypatch.setattr(cifar, "_MAX_FILE", 10)
    formats.tar(tmp_path / "b.tar.gz", [(WANTED, bytes(11))])
    with pytest.raises(DataError, match="too large"):
        cifar.read_members(tmp_path / "b.tar.gz", [WANTED])


def test_sizes_that_an_archive_does_not_have_keep_nobody_busy(tmp_path):
    """A sparse file of GNU tar has two sizes: the one looked at may be small, the one skipped over eight gigabytes."""
    header = bytearray(link("x", "", b"S").tobuf(tarfile.GNU_FORMAT))
    header[124:136], header[483:495] = b"77777777777\0", b"00000000005\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(bytes(header) + bytes(1024)))
    with pytest.raises(DataError, match="claims more than it holds"):
        cifar.read_members(tmp_path / "a.tar.gz", [WANTED])


@pytest.mark.parametrize("cut", [0, 5, 40, 2000])
def test_truncated_archives_are_named(formats, tmp_path, cut):
    formats.tar(tmp_path / "a.tar.gz", [(WANTED, np.random.default_rng(0).bytes(5000))])
    whole = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"a\.tar\.gz"):
        cifar.read_members(tmp_path / "a.tar.gz", [WANTED])


def test_a_web_page_instead_of_an_archive_is_recognised(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(DataError, match="web page"):
        cifar.read_members(tmp_path / "a.tar.gz", [WANTED])


def idx_header(*shape: int, kind: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx_header(2**31, 2**20, 2**20) + b"x", "claims"),
        (idx_header(2**30, 1, 1) + b"x", "claims"),
        (idx_header(2, 2, 2) + bytes(7), "claims 8 values|holds only 7"),
        (idx_header(2, 2, 2) + bytes(9), "holds more"),
        (idx_header(2, 2, 2, kind=0x0D) + bytes(32), "starts with"),
        (idx_header(8) + bytes(8), "starts with"),
        (idx_header(2, 2, 2)[:9], "truncated inside its header"),
        (b"", "starts with nothing"),
        (b"<html><body>404</body></html>", "web page"),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_that_lie_are_refused(tmp_path, content, words, packed):
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=words):
        idx.read_idx(path, axes=3)


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>", b"", b"\x1f\x8b", b"plain text"])
def test_a_gz_that_is_none_is_named(tmp_path, content):
    (tmp_path / "images.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"images\.gz is"):
        idx.read_idx(tmp_path / "images.gz", axes=3)


def test_a_truncated_or_damaged_gz_is_named(tmp_path):
    whole = gzip.compress(idx_header(50, 8, 8) + np.random.default_rng(0).bytes(3200))
    for damaged in (whole[:-20], whole[:1000], whole[:500] + bytes(100) + whole[600:]):
        (tmp_path / "images.gz").write_bytes(damaged)
        with pytest.raises(DataError, match=r"images\.gz"):
            idx.read_idx(tmp_path / "images.gz", axes=3)


def test_a_gz_bomb_takes_no_memory(tmp_path):
    resource = pytest.importorskip("resource")
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as file:
        file.write(idx_header(10, 8, 8))
        for _ in range(256):
            file.write(bytes(1 << 20))
    (tmp_path / "images.gz").write_bytes(bomb.getvalue())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="holds more"):
        idx.read_idx(tmp_path / "images.gz", axes=3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # kilobytes


def test_images_and_labels_of_mnist_must_fit_together(official, formats, tmp_path):
    official.idx(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(formats.idx(np.zeros(39, np.uint8))))
    with pytest.raises(DataError, match="39 labels for 40 images"):
        data.load("mnist", data_dir=tmp_path, verify=False)
    labels.write_bytes(gzip.compress(formats.idx(np.full(40, 10, np.uint8))))
    with pytest.raises(DataError, match="labels up to 10"):
        data.load("mnist", data_dir=tmp_path, verify=False)


def test_mat_files_that_are_none_are_named(official, tmp_path):
    from scipy.io import savemat

    official.svhn(tmp_path)
    good = (tmp_path / "train_32x32.mat").read_bytes()
    wrong = {"X": np.zeros((32, 32, 3, 2), np.float32), "y": np.ones((2, 1))}
    path = tmp_path / "bad.mat"
    for content, words in (
        (b"<html>", "web page"),
        (b"", "nothing"),
        (good[: len(good) // 2], "cut off inside an element"),
        (good[:-9], r"bad\.mat"),
        (good[:200] + bytes(50) + good[250:], r"bad\.mat"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            svhn.read_mat(path)
    for change, words in (
        ({}, "wanted \\(32, 32, 3, N\\) uint8"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones((3, 1))}, "a label per image"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.zeros((2, 1), np.uint8)}, "wanted 1 to 10"),
    ):
        savemat(path, wrong | change)
        with pytest.raises(DataError, match=words):
            svhn.read_mat(path)


def test_pickled_objects_in_an_npz_are_refused(tmp_path):
    mark = tmp_path / "mark"
    x = np.array([Runs(os.system, f"touch {mark}")], object)
    np.savez(tmp_path / "evil.npz", x=x, y=[0])
    with pytest.raises(DataError, match="Python objects, which are never unpickled"):
        data.load(tmp_path / "evil.npz")
    assert not mark.exists()


def test_npz_headers_that_claim_too_much_are_refused(tmp_path):
    def npy(shape, content=b""):
        file = io.BytesIO()
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return file.getvalue() + content

    for x in (npy((2**40, 8, 8)), npy((-1, 8, 8)), npy((2, 2, 2), bytes(7)), b"", b"\x93NUMPY\x09\x00"):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("x.npy", x)
            archive.writestr("y.npy", npy((2,), bytes([0, 1])))
        with pytest.raises(DataError, match=r"a\.npz"):
            data.load(tmp_path / "a.npz")
