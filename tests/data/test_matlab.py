"""Matrices in MATLAB files: SciPy writes them, and reads the same."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from pellucid.data.sources.matlab import read_matrices
from pellucid.errors import DataError

KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
SHAPES = [(1, 1), (3, 1), (2, 3), (4, 3, 2), (2, 2, 2, 5), (0, 3)]


def written(variables: dict, packed: bool = False) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=packed)
    return file.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_kind_and_shape_are_those_that_scipy_reads(kind, packed):
    rng = np.random.default_rng(0)
    variables = {f"v{n}": rng.integers(0, 100, shape).astype(kind) for n, shape in enumerate(SHAPES)}
    variables["a_very_long_name"] = (1e-3 * rng.standard_normal((5, 7))).astype(kind)
    content = written(variables, packed)
    found, wanted = read_matrices(content, variables, 10_000), loadmat(io.BytesIO(content))
    assert found.keys() == variables.keys()
    for name, array in found.items():
        assert array.dtype == wanted[name].dtype
        np.testing.assert_array_equal(array, wanted[name])


def test_other_variables_are_passed_over_whatever_they_hold():
    others = {
        "text": "abc",
        "cells": np.array([[1, "a"]], object),
        "struct": {"a": 1},
        "complex": np.ones((2, 2), complex),
    }
    for packed in (False, True):
        content = written({"before": np.ones((2, 2)), **others, "y": np.ones((2, 1))}, packed)
        assert list(read_matrices(content, ("y",), 100)) == ["y"]
        for name in others:
            with pytest.raises(DataError, match="is of another kind"):
                read_matrices(content, (name,), 10_000)


def test_sizes_are_looked_at_before_memory_is_taken():
    content = written({"X": np.ones((4, 5))})
    with pytest.raises(DataError, match=r"X claims the shape \(4, 5\)"):
        read_matrices(content, ("X",), 159)
    at = content.index(struct.pack("<ii", 4, 5))
    for shape in ((2**31 - 1, 2**31 - 1), (-4, -5), (4, 6)):
        with pytest.raises(DataError, match=r"claims the shape|not as many numbers"):
            read_matrices(content[:at] + struct.pack("<ii", *shape) + content[at + 8 :], ("X",), 10_000)


def test_what_unpacks_to_more_than_it_may_is_refused():
    content = written({"X": np.zeros((1000, 1000))}, packed=True)
    with pytest.raises(DataError, match="unpacks to more than it can hold"):
        read_matrices(content, ("X",), 1_000_000)
    bomb = zlib.compress(bytes(50_000_000))
    with pytest.raises(DataError, match="unpacks to more"):
        read_matrices(content[:128] + struct.pack("<II", 15, len(bomb)) + bomb, ("X",), 1_000_000)


def test_a_variable_that_is_there_twice_is_refused():
    content = written({"X": np.ones((2, 2))})
    with pytest.raises(DataError, match="X twice"):
        read_matrices(content + content[128:], ("X",), 1000)
