"""Softmax; the twin of ``ops.softmax``. Its gradient, which only explanations ask for, is left to the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ops.activation import softmax_backward
from .activation import YCache, exp
from .buffers import aligned
from .jit import IN2, INT, OUT2, TEAM, array_of, kernel
from .threads import next_chunk, parallel_for

CHUNK = 1 << 10  # numbers, at least


@kernel(TEAM, INT, INT, IN2, OUT2)
def _softmax(team, chunks, rows, x, y):
    """One chunk is so many ``rows``."""
    chunk = next_chunk(team)
    while chunk < chunks:
        for n in range(chunk * rows, min((chunk + 1) * rows, x.shape[0])):
            source, target = x[n], y[n]
            largest = source[0]
            for k in range(1, source.size):
                largest = max(largest, source[k])
            total = np.float32(0)
            for k in range(source.size):
                target[k] = exp(source[k] - largest)
                total += target[k]
            for k in range(source.size):
                target[k] /= total
        chunk = next_chunk(team)


def softmax(x: NDArray) -> tuple[NDArray, YCache]:
    """y[k] = eˣ[k] / Σ_j eˣ[j] along the last axis, the largest x subtracted first."""
    x = array_of(x)
    y = aligned(x.shape)
    rows = max(1, CHUNK // x.shape[-1])
    flat = x.reshape(-1, x.shape[-1])
    parallel_for(_softmax, -(-len(flat) // rows), rows, flat, y.reshape(flat.shape))
    return y, YCache(y)


__all__ = ["softmax", "softmax_backward"]
