"""Compiled pooling equals the reference: the values, the winners, the gradients."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import ops
from pellucid.kernels import pool

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "40"))
pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def cases(draw):
    """(x, pool_size, strides, padding); values are few, so that ties are frequent, or any, with some NaN and -inf."""
    pool_size, strides = draw(pairs), draw(st.one_of(st.none(), pairs))
    sides = [st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)) for k in pool_size]
    padding = draw(st.one_of(st.just("valid"), st.just("same"), st.tuples(*sides)))
    shape = (draw(st.integers(1, 4)), *(k + draw(st.integers(0, 12)) for k in pool_size), draw(st.integers(1, 70)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(-3, 3, shape).astype(np.float32) if draw(st.booleans()) else rng.standard_normal(shape, np.float32)
    if draw(st.integers(0, 4)) == 0:
        x[rng.random(shape) < 0.05] = np.nan
    if draw(st.integers(0, 4)) == 0:
        x[rng.random(shape) < 0.6] = -np.inf
    return x, pool_size, strides, padding


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_max_pooling_equals_the_reference(same_bits, agrees, case):
    x, pool_size, strides, padding = case
    settings_ = {"pool_size": pool_size, "strides": strides, "padding": padding}
    wanted, reference_cache = ops.max_pool2d(x, **settings_)
    dy = np.random.default_rng(0).standard_normal(wanted.shape, np.float32)

    def native():
        y, cache = pool.max_pool2d(x, **settings_)
        return y, cache.winner, pool.max_pool2d_backward(dy, cache)

    y, winner, dx = same_bits(native)
    assert np.array_equal(y, wanted, equal_nan=True)
    assert np.array_equal(winner, reference_cache.winner)
    exact = ops.max_pool2d_backward(dy.astype(np.float64), reference_cache)
    agrees("dx", dx, exact, ops.max_pool2d_backward(np.abs(dy).astype(np.float64), reference_cache), 16)


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(), st.booleans())
def test_average_pooling_equals_the_reference(same_bits, agrees, case, count_padding):
    x, pool_size, strides, padding = case
    x = np.nan_to_num(x, neginf=-3)
    settings_ = {"pool_size": pool_size, "strides": strides, "padding": padding, "count_padding": count_padding}
    exact, reference_cache = ops.average_pool2d(x.astype(np.float64), **settings_)
    dy = np.random.default_rng(0).standard_normal(exact.shape, np.float32)

    def native():
        y, cache = pool.average_pool2d(x, **settings_)
        return y, pool.average_pool2d_backward(dy, cache)

    y, dx = same_bits(native)
    agrees("y", y, exact, ops.average_pool2d(np.abs(x).astype(np.float64), **settings_)[0], 16)
    exact_dx = ops.average_pool2d_backward(dy.astype(np.float64), reference_cache)
    agrees("dx", dx, exact_dx, ops.average_pool2d_backward(np.abs(dy).astype(np.float64), reference_cache), 16)


@pytest.mark.parametrize("name", ["global_average_pool2d", "global_max_pool2d"])
@pytest.mark.parametrize("shape", [(3, 7, 5, 33), (1, 1, 1, 1), (2, 16, 16, 64)])
def test_global_pooling_equals_the_reference(same_bits, agrees, name, shape):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape, np.float32), rng.standard_normal((shape[0], shape[3]), np.float32)

    def native():
        y, cache = getattr(pool, name)(x)
        return y, getattr(pool, f"{name}_backward")(dy, cache)

    y, dx = same_bits(native)
    exact, cache = getattr(ops, name)(x.astype(np.float64))
    agrees("y", y, exact, getattr(ops, name)(np.abs(x).astype(np.float64))[0], shape[1] * shape[2])
    exact_dx = getattr(ops, f"{name}_backward")(dy.astype(np.float64), cache)
    agrees("dx", dx, exact_dx, np.abs(exact_dx), 1)


def test_a_window_too_large_for_one_byte_is_refused():
    x = np.zeros((1, 32, 32, 1), np.float32)
    assert pool.accepts_max_pool2d(x, pool_size=15)
    assert not pool.accepts_max_pool2d(x, pool_size=16)
