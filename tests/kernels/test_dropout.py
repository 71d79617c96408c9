"""Compiled dropout drops the very numbers that the reference drops."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import ops
from pellucid.kernels import dropout
from pellucid.randomness import Randomness


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9999])
@pytest.mark.parametrize("shape", [(1, 1), (7, 1000), (5, 6, 7, 33)])
def test_the_same_bits_as_the_reference(same_bits, rate, shape):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
    random = Randomness.for_batch(seed=3, epoch=2, indices=np.arange(shape[0]) * 5).child("dropout1")

    def native():
        y, cache = dropout.dropout(x, rate=rate, rng=random)
        return y, dropout.dropout_backward(dy, cache)

    wanted, cache = ops.dropout(x, rate=rate, rng=random)
    y, dx = same_bits(native)
    assert y.tobytes() == wanted.tobytes()
    assert dx.tobytes() == ops.dropout_backward(dy, cache).tobytes()


@pytest.mark.parametrize("shape", [(3, 5), (5, 6, 7, 33)])
def test_the_same_channels_as_the_reference(same_bits, shape):
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32)
    random = Randomness.for_batch(seed=3, epoch=2, indices=np.arange(shape[0]) * 5).child("spatial_dropout1")

    def native():
        y, cache = dropout.spatial_dropout(x, rate=0.3, rng=random)
        return y, dropout.spatial_dropout_backward(dy, cache)

    wanted, cache = ops.spatial_dropout(x, rate=0.3, rng=random)
    y, dx = same_bits(native)
    assert y.tobytes() == wanted.tobytes()
    assert dx.tobytes() == ops.spatial_dropout_backward(dy, cache).tobytes()


def test_what_does_not_fit_is_refused():
    x = np.ones((3, 4), np.float32)
    random = Randomness.for_batch(seed=0, epoch=0, indices=np.arange(3))
    assert dropout.accepts_dropout(x, rate=0.5, rng=random)
    assert not dropout.accepts_dropout(x[:2], rate=0.5, rng=random)
    assert not dropout.accepts_dropout(x.astype(np.float64), rate=0.5, rng=random)
