"""Addition, with ReLU in the same pass over memory; the twin of ``ops/add.py``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .activation import YCache, relu_backward
from .buffers import aligned
from .jit import IN1, INT, OUT1, TEAM, array_of, kernel
from .threads import next_chunk, parallel_for

CHUNK = 1 << 14  # numbers


class AddCache(NamedTuple):
    y: NDArray[np.float32] | None  # for ReLU


def accepts_add(x: NDArray, other: NDArray, *, activation: str | None = None) -> bool:
    """Float32 arrays of one shape; ReLU or nothing."""
    return (
        x.dtype == other.dtype == np.float32 and x.shape == other.shape and x.size > 0 and activation in (None, "relu")
    )


@kernel(TEAM, INT, IN1, IN1, INT, OUT1)
def _add(team, chunks, x, other, relu, y):
    """One chunk is ``CHUNK`` numbers."""
    zero = np.float32(0)
    chunk = next_chunk(team)
    while chunk < chunks:
        first, end = chunk * CHUNK, min((chunk + 1) * CHUNK, x.size)
        a, b, c = x[first:end], other[first:end], y[first:end]
        if relu:
            for i in range(end - first):
                s = a[i] + b[i]
                c[i] = zero if s <= zero else s  # NaN stays NaN
        else:
            for i in range(end - first):
                c[i] = a[i] + b[i]
        chunk = next_chunk(team)


def add(x: NDArray, other: NDArray, *, activation: str | None = None) -> tuple[NDArray, AddCache]:
    """y = x + other, or ReLU of it."""
    x, other = array_of(x), array_of(other)
    y = aligned(x.shape)
    relu = activation == "relu"
    parallel_for(_add, -(-x.size // CHUNK), x.reshape(-1), other.reshape(-1), int(relu), y.reshape(-1))
    return y, AddCache(y if relu else None)


def add_backward(dy: NDArray, cache: AddCache) -> tuple[NDArray, NDArray]:
    """The gradient for both, once."""
    if cache.y is not None:
        dy = relu_backward(dy, YCache(cache.y))
    return dy, dy
