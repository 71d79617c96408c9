"""Machine code is kept, found again, and never trusted blindly."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np
from pellucid.kernels import conv, jit
x, kernel = np.ones((2, 5, 5, 3), np.float32), np.ones((3, 3, 3, 20), np.float32)
y, cache = conv.conv2d(x, kernel)
assert (y == 27).all(), y
print(jit.cache_folder())
"""


def run(cache: str, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", CODE],
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
