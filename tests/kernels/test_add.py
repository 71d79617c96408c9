"""Compiled addition equals the reference, and is one op with the ReLU behind it."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import ops
from pellucid.kernels import add


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("shape", [(1,), (5, 13, 17, 37)])
def test_sum_and_gradients_have_the_bits_of_the_reference(same_bits, activation, shape):
    rng = np.random.default_rng(0)
    x, other, dy = (rng.standard_normal(shape, np.float32) for _ in range(3))
    x.flat[0] = np.nan

    def native():
        y, cache = add.add(x, other, activation=activation)
        return y, *add.add_backward(dy, cache)

    expected, cache = ops.add(x, other, activation=activation)
    for found, wanted in zip(same_bits(native), (expected, *ops.add_backward(dy, cache)), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_only_arrays_of_one_shape_are_added():
    x = np.ones((2, 3), np.float32)
    assert add.accepts_add(x, x, activation="relu")
    assert not add.accepts_add(x, x[:1])
    assert not add.accepts_add(x, x, activation="gelu")
