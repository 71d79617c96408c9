"""Compiled matrix products equal the reference."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import ops
from pellucid.errors import ShapeError
from pellucid.kernels import dense, gemm, recording

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "60"))
sizes = st.one_of(st.integers(1, 70), st.integers(1, 1200))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(1, 130), sizes, st.integers(1, 140), st.booleans(), st.integers(0, 2**32 - 1))
def test_dense_equals_the_reference(agrees, same_bits, n, ci, co, bias, seed):
    rng = np.random.default_rng(seed)
    x, kernel, b, dy = (rng.standard_normal(s).astype(np.float32) for s in ((n, ci), (ci, co), (co,), (n, co)))
    if seed % 3 == 0:
        x = np.asfortranarray(x)

    def native():
        y, cache = dense.dense(x, kernel, b if bias else None)
        return y, *dense.dense_backward(dy, cache)

    def exact(change):
        x_, k_, b_, dy_ = (change(a.astype(np.float64)) for a in (x, kernel, b, dy))
        y, cache = ops.dense(x_, k_, b_ if bias else None)
        return y, *ops.dense_backward(dy_, cache)

    names = ("y", "dx", "dkernel", "dbias")
    wanted, magnitudes = exact(lambda a: a), exact(np.abs)
    for name, a, b_, m, length in zip(names, same_bits(native), wanted, magnitudes, (ci, co, n, n), strict=True):
        if b_ is None:
            assert a is None
        else:
            agrees(name, a, b_, m, length)


def test_only_float32_matrices_are_accepted():
    x, kernel = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    assert dense.accepts_dense(x, kernel)
    assert not dense.accepts_dense(x.astype(np.float64), kernel)
    assert not dense.accepts_dense(x[None], kernel)


def test_shapes_that_do_not_fit_are_explained():
    with pytest.raises(ShapeError, match=r"wanted \(N, CI\) and \(CI, CO\)"):
        dense.dense(np.ones((2, 3), np.float32), np.ones((4, 5), np.float32))


@pytest.mark.parametrize("rows", [1, 4, 5, 64, 300])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True)])
def test_a_matrix_that_lasts_is_packed_once_and_the_product_has_the_same_bits(rows, transposed):
    rng = np.random.default_rng(0)
    for depth, columns in itertools.product((1, 3, 600, 1030), (1, 8, 10, 130)):
        a = rng.standard_normal((depth, rows) if transposed[0] else (rows, depth)).astype(np.float32)
        b = rng.standard_normal((columns, depth) if transposed[1] else (depth, columns)).astype(np.float32)
        how = {"transpose_a": transposed[0], "transpose_b": transposed[1]}
        wanted = gemm.matmul(a, b, **how)
        with recording.lasting_weights():
            np.testing.assert_array_equal(gemm.matmul(a, b, **how), wanted)
