"""Sums over many rows are exact up to a few roundings, and the same on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import ops
from pellucid.kernels import rescale, softmax, sums


@pytest.mark.parametrize("rows", [1, 2, 63, 64, 65, 127, 4096, 5000, 9973])
@pytest.mark.parametrize("columns", [1, 10, 67])
def test_rows_are_summed_up(same_bits, rows, columns):
    x = np.random.default_rng(rows).standard_normal((rows, columns)).astype(np.float32) + 1
    (found,) = same_bits(lambda: (sums.sum_rows(x),))
    exact = x.astype(np.float64).sum(0)
    assert found.shape == (columns,)
    np.testing.assert_allclose(found, exact, atol=2 * 2.0**-24 * np.sqrt(rows) * np.abs(x).sum(0).max())


def test_a_vector_is_copied():
    x, y = np.arange(7, dtype=np.float32), np.zeros(9, np.float32)
    sums.copy_into(y[1:8], x)
    assert y.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 0]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (7, 13, 17, 37)])
def test_rescaling_has_the_bits_of_the_reference(same_bits, shape):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))

    def native():
        y, cache = rescale.rescale(x, scale=0.3, offset=-0.2)
        return y, rescale.rescale_backward(dy, cache)

    y, cache = ops.rescale(x, scale=0.3, offset=-0.2)
    for found, wanted in zip(same_bits(native), (y, ops.rescale_backward(dy, cache)), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2000, 10), (2, 3, 4, 7)])
def test_the_gradient_of_softmax_is_that_of_the_reference(same_bits, shape):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    (found,) = same_bits(lambda: (softmax.softmax_backward(dy, softmax.softmax(x)[1]),))
    wanted = ops.softmax_backward(dy.astype(np.float64), ops.softmax(x.astype(np.float64))[1])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
