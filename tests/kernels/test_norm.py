"""Compiled batch normalisation equals the reference."""

from __future__ import annotations

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import ops
from pellucid.kernels import norm

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "40"))
U = 2.0**-24


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.one_of(st.integers(1, 70), st.integers(1, 300)))
    shape = (draw(st.integers(2, 6)), *draw(st.sampled_from([(), (7, 9), (16, 16), (1, 1)])), channels)
    x = rng.standard_normal(shape) * rng.uniform(0.5, 2, channels) + rng.uniform(-3, 3, channels)
    weights = [rng.standard_normal(channels, np.float32) if draw(st.booleans()) else None for _ in range(2)]
    moving = [rng.standard_normal(channels, np.float32), rng.uniform(0.5, 2, channels).astype(np.float32)]
    settings_ = {"training": draw(st.booleans()), "unbiased": draw(st.booleans()), "momentum": 0.9}
    return x.astype(np.float32), weights, moving, settings_, rng.standard_normal(shape, np.float32)


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_batch_norm_equals_the_reference(same_bits, case):
    x, weights, moving, settings_, dy = case

    def native():
        statistics = [m.copy() for m in moving]
        y, cache = norm.batch_norm(x, *weights, *statistics, **settings_)
        return y, *norm.batch_norm_backward(dy, cache), *statistics

    double = [None if a is None else a.astype(np.float64) for a in (x, *weights, *moving)]
    y, cache = ops.batch_norm(*double, **settings_)
    wanted = (y, *ops.batch_norm_backward(dy.astype(np.float64), cache), *double[3:])
    count = x.size // x.shape[-1]
    # relative to the largest number of a channel: sums over the batch, divided by a deviation that may be small
    amplification = 1 + np.abs(x).max() * np.abs(cache.inverse_std).max()
    for name, a, b in zip(("y", "dx", "dgamma", "dbeta", "mean", "variance"), same_bits(native), wanted, strict=True):
        if b is None:
            assert a is None
            continue
        assert a.dtype == np.float32
        scale = np.abs(b).max() + (
            np.abs(dy).sum(axis=tuple(range(dy.ndim - 1))).max() if name[1:] in "gammabeta" else 1
        )
        scale *= 1 + (np.abs(cache.inverse_std).max() * np.abs(1 if weights[0] is None else weights[0]).max())
        assert np.abs(a - b).max() <= 4 * (np.sqrt(count) + 4) * U * amplification * scale, name


def test_a_large_mean_does_not_drown_the_variance():
    rng = np.random.default_rng(0)
    x = (1000 + rng.standard_normal((64, 16, 16, 5))).astype(np.float32)
    mean, variance = np.zeros(5, np.float32), np.zeros(5, np.float32)
    norm.batch_norm(x, None, None, mean, variance, training=True, momentum=0.0)
    assert np.allclose(variance, x.astype(np.float64).var(axis=(0, 1, 2)), rtol=1e-5)
