"""One file of arrays and texts: what comes back, what others can read, what is refused, what a failure leaves behind."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from pellucid import arrayfile
from pellucid.errors import FileFormatError, PellucidError

KINDS = ["?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8", ">f4", ">i8"]


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = [(), (0,), (3,), (2, 0, 4), (5, 1), (2, 3, 4)]
    made = {f"{kind}/{n}": rng.integers(0, 2, shape).astype(kind) for kind in KINDS for n, shape in enumerate(shapes)}
    return made | {"turned": rng.random((3, 5)).T, "every second": rng.random(9)[::2], "Größe 大": np.ones(1)}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.safetensors"
    arrayfile.write(path, arrays(), {"text": 'with \n "quotes" and ü', "empty": ""})
    return path


def test_arrays_of_any_kind_shape_and_layout_come_back(file):
    texts, found = arrayfile.read(file, checked=True)
    assert texts == {"text": 'with \n "quotes" and ü', "empty": ""}
    assert found.keys() == arrays().keys()
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype.newbyteorder("<")
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape


def test_the_format_is_that_of_safetensors(file, tmp_path):
    others = safetensors.numpy.load_file(file)
    assert all(np.array_equal(others[name], array) for name, array in arrays().items())
    with safe_open(file, "numpy") as opened:
        assert opened.metadata()["empty"] == ""
    safetensors.numpy.save_file({"w": np.arange(3.0)}, tmp_path / "b", metadata={"author": "another"})
    texts, found = arrayfile.read(tmp_path / "b")
    assert texts == {"author": "another"}
    assert found["w"].tolist() == [0, 1, 2]
    with pytest.raises(FileFormatError, match="does not match its checksum"):
        arrayfile.read(tmp_path / "b", checked=True)


def test_every_changed_bit_of_an_array_is_noticed(file):
    whole = file.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole), 7):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        with pytest.raises(FileFormatError, match="damaged"):
            arrayfile.read(file)


def test_a_name_or_text_that_changes_is_noticed(file):
    whole = file.read_bytes()
    for old, new in ((b"quotes", b"quoteS"), (b"turned", b"turneD"), (b'"empty"', b'"Empty"')):
        file.write_bytes(whole.replace(old, new))
        with pytest.raises(FileFormatError, match="checksum"):
            arrayfile.read(file)


def test_objects_cannot_be_kept(tmp_path):
    for array in (np.array([None]), np.array(["text"]), np.zeros(1, complex)):
        with pytest.raises(PellucidError, match=r"The array w holds .*wanted numbers"):
            arrayfile.write(tmp_path / "a", {"w": array}, {})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("limit", [0, 1, 100, 5000])
def test_a_write_that_the_system_cuts_short_is_an_error_and_leaves_the_old_file(file, limit):
    resource = pytest.importorskip("resource")
    before, texts = file.read_bytes(), {"text": "x" * 10_000}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            arrayfile.write(file, arrays(), texts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]
