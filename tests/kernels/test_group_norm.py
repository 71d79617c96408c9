"""Compiled group and layer normalisation equal the reference."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import ops
from pellucid.kernels import group_norm

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "40"))
U = 2.0**-24


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups, size = draw(st.integers(1, 9)), draw(st.integers(2, 40))
    inside = draw(st.sampled_from([(), (7, 9), (16, 16), (1, 1), (5,)]))
    shape = (draw(st.integers(1, 6)), *inside, groups * size)
    c = shape[-1]
    x = rng.standard_normal(shape) * rng.uniform(0.5, 2, c) + rng.uniform(-3, 3, c)
    weights = [rng.standard_normal(c, np.float32) if draw(st.booleans()) else None for _ in range(2)]
    op, options = draw(st.sampled_from([("group_norm", {"groups": groups}), ("layer_norm", {})]))
    dy = rng.standard_normal(shape, np.float32)
    if draw(st.booleans()):  # neither contiguous nor in C order
        x, dy = np.asfortranarray(x), dy[::-1]
    return op, options, x.astype(np.float32), weights, dy


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_normalisations_of_single_images_equal_the_reference(same_bits, case):
    op, options, x, weights, dy = case
    forward, backward = getattr(group_norm, op), getattr(group_norm, f"{op}_backward")

    def native():
        y, cache = forward(x, *weights, **options)
        return y, *backward(dy, cache)

    double = [None if a is None else a.astype(np.float64) for a in (x, *weights)]
    y, cache = getattr(ops, op)(*double, **options)
    wanted = (y, *getattr(ops, f"{op}_backward")(dy.astype(np.float64), cache))
    # relative to the largest numbers: sums over a group, divided by a deviation that may be small
    steep = 1 + cache.inverse_std.max() * (1 if weights[0] is None else 1 + np.abs(weights[0]).max())
    amplification = (1 + np.abs(x).max() * cache.inverse_std.max()) * steep
    for name, a, b in zip(("y", "dx", "dgamma", "dbeta"), same_bits(native), wanted, strict=True):
        if b is None:
            assert a is None
            continue
        assert a.dtype == np.float32
        terms = np.abs(dy).sum(axis=tuple(range(dy.ndim - 1))).max() if name[1:] in "gammabeta" else 1
        length = np.sqrt(x.size) + 4
        assert np.abs(a - b).max() <= length * U * amplification * (np.abs(b).max() + terms), name


def test_a_large_mean_does_not_drown_the_variance():
    x = (1000 + np.random.default_rng(0).standard_normal((4, 16, 16, 6))).astype(np.float32)
    y, _ = group_norm.group_norm(x, None, None, groups=3, epsilon=0.0)
    exact, _ = ops.group_norm(x.astype(np.float64), None, None, groups=3, epsilon=0.0)
    np.testing.assert_allclose(y, exact, atol=2e-3)


def test_other_precisions_are_left_to_the_reference():
    x = np.ones((2, 4), np.float32)
    assert group_norm.accepts_group_norm(x, None, None, groups=2)
    assert not group_norm.accepts_group_norm(x.astype(np.float64), None, None, groups=2)
    assert not group_norm.accepts_group_norm(x, np.ones(4), None, groups=2)
