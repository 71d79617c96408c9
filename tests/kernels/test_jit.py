"""Machine code is kept, found again, and never trusted blindly."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from pellucid.kernels import activation
from pellucid.kernels.jit import FLOAT, INT, Array, Kernel

CODE = """
import numpy as np
from pellucid.kernels import cache, conv
x, kernel = np.ones((2, 5, 5, 3), np.float32), np.ones((3, 3, 3, 20), np.float32)
y, _ = conv.conv2d(x, kernel)
assert (y == 27).all(), y
print(cache.cache_folder())
"""

TRAINING = """
import sys
import numpy as np
from pellucid import Sequential, layers
from pellucid.augmentation.augmenter import Augmenter
model = Sequential([
    layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(),
    layers.Conv2D(8, 3, activation="relu"), layers.GlobalAveragePooling2D(), layers.Dropout(0.5),
    layers.Dense(3, activation="softmax"),
])
model.compile("adam", input_shape=(12, 12, 3), metrics=())
x, y = np.random.default_rng(0).integers(256, size=(8, 12, 12, 3), dtype=np.uint8), np.arange(8) % 3
batch, targets = Augmenter("flip,crop:2,rotation:10,cutout:4,mixup:1", shape=(12, 12, 3), classes=3)(x, y, np.arange(8), epoch=0)
print([model.train_on_batch(batch, targets) for _ in range(2)], model.predict(x).sum())
print("numba" in sys.modules)
"""


def run(cache: str, code: str = CODE, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PELLUCID_CACHE_DIR": cache, **environment},
        check=True, capture_output=True, text=True, timeout=300,
    ).stdout.strip()  # fmt: skip


def test_a_damaged_cache_is_made_anew(tmp_path):
    run(str(tmp_path))
    files = sorted((tmp_path / "kernels").glob("*.bin"))
    assert files
    for number, file in enumerate(files):
        content = file.read_bytes()
        file.write_bytes([b"", content[: len(content) // 2], content[:40] + b"x" + content[41:]][number % 3])
    run(str(tmp_path))
    assert sorted((tmp_path / "kernels").glob("*.bin")) == files
    assert all(len(file.read_bytes()) > 100 for file in files)


def test_a_process_that_finds_all_in_the_cache_never_loads_numba(tmp_path):
    first, loaded = run(str(tmp_path), TRAINING).splitlines()
    assert loaded == "True"
    assert run(str(tmp_path), TRAINING).splitlines() == [first, "False"]


def test_a_numba_that_breaks_when_the_cache_is_not_enough_is_told_of(tmp_path):
    code = """
import builtins
import numpy as np
real = builtins.__import__
def broken(name, *arguments):
    if name.partition(".")[0] == "numba":
        raise ImportError("numba is broken")
    return real(name, *arguments)
builtins.__import__ = broken
from pellucid import PellucidError, backend
x = np.ones((2, 3), np.float32)
try:
    backend.forward("relu", x)
    backend.forward("dense", x, np.ones((3, 4), np.float32))
except PellucidError as error:
    print(error)
"""
    only_relu = "import numpy as np; from pellucid import backend; backend.forward('relu', np.ones((2, 3), np.float32))"
    run(str(tmp_path), only_relu)
    told = run(str(tmp_path), code)
    assert "cannot be loaded: numba is broken" in told
    assert "PELLUCID_BACKEND=numpy" in told


def test_the_cache_holds_object_files_and_what_only_looks_whole_is_made_anew(tmp_path):
    run(str(tmp_path))
    files = sorted((tmp_path / "kernels").glob("*.bin"))
    assert len({file.read_bytes()[32:36] for file in files}) == 1
    if sys.platform == "linux":
        assert files[0].read_bytes()[32:36] == b"\x7fELF"
    contents = [file.read_bytes() for file in files]
    for number, file in enumerate(files):
        code = [b"", b"no code at all", contents[number - 1][32:]][number % 3]  # with a checksum that fits
        file.write_bytes(hashlib.sha256(code).digest() + code)
    run(str(tmp_path))
    assert [file.read_bytes() for file in files] == contents


def test_without_a_cache_kernels_are_compiled_each_time(tmp_path):
    assert run("off") == "None"


def test_an_unwritable_folder_is_replaced_by_a_temporary_one(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert run(str(tmp_path / "file"), TMPDIR=str(tmp_path)).startswith(str(tmp_path / "pellucid-"))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="rights of groups and others are a matter of POSIX")
def test_a_folder_that_others_may_write_to_is_not_trusted(tmp_path):
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels").chmod(0o777)
    assert run(str(tmp_path), TMPDIR=str(tmp_path)).startswith(str(tmp_path / "pellucid-"))
    assert not list((tmp_path / "kernels").iterdir())


@pytest.mark.parametrize("lanes", ["3", "many"])
def test_an_unknown_vector_width_is_refused(lanes):
    code = "from pellucid.kernels import machine; machine.vectors()"
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PELLUCID_VECTOR_LANES": lanes}, capture_output=True, text=True
    )
    assert "wanted 1, 4, 8 or 16" in result.stderr


def test_a_kernel_takes_what_it_was_made_for_and_says_what_is_wrong():
    kernel: Kernel = activation._FORWARD["relu"]
    assert kernel.types == (Array("intp", 1, True), INT, Array("float32", 1), FLOAT, Array("float32", 1, True))
    team, x, y = np.zeros(16, np.intp), np.ones(4, np.float32), np.zeros(4, np.float32)
    constant = y.copy()
    constant.flags.writeable = False
    unaligned = np.zeros(17, np.uint8)[1:].view(np.float32)
    swapped = x.astype(x.dtype.newbyteorder())
    for wrong in (
        None,
        1,
        [1.0],
        x.astype(np.float64),
        x.reshape(2, 2),
        np.ones(8, np.float32)[::2],
        unaligned,
        swapped,
    ):
        with pytest.raises(TypeError, match="'x'"):
            kernel(team, 1, wrong, 0.0, y)
    for wrong in (constant, y.astype(np.int32)):
        with pytest.raises(TypeError, match="'y'"):
            kernel(team, 1, x, 0.0, wrong)
    constant = x.copy()
    constant.flags.writeable = False
    kernel(team, 1, constant, 0.0, y)  # only read, and of a dtype that is not NumPy's own copy
    team[:] = 0
    kernel(team, 1, np.frombuffer(x.tobytes(), np.dtype("f4", copy=True)), 0.0, y)
    assert np.array_equal(y, x)


def test_what_is_made_for_kernels_is_not_called_from_python():
    with pytest.raises(TypeError, match="for kernels alone"):
        activation.exp(1.0)
    with pytest.raises(TypeError, match="for kernels alone"):
        activation.next_chunk(np.zeros(16, np.intp))
