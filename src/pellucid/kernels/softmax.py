"""Softmax; the twin of ``ops.softmax``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .activation import YCache, exp
from .buffers import aligned
from .jit import IN2, INT, OUT2, TEAM, Kernel, array_of, kernel
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


@kernel(TEAM, INT, INT, IN2, IN2, OUT2)
def _softmax_backward(team, chunks, rows, dy, y, dx):
    """One chunk is so many ``rows``."""
    chunk = next_chunk(team)
    while chunk < chunks:
        for n in range(chunk * rows, min((chunk + 1) * rows, y.shape[0])):
            gradient, probability, target = dy[n], y[n], dx[n]
            mean = np.float32(0)
            for k in range(target.size):
                mean += gradient[k] * probability[k]
            for k in range(target.size):
                target[k] = probability[k] * (gradient[k] - mean)
        chunk = next_chunk(team)


def softmax(x: NDArray) -> tuple[NDArray, YCache]:
    """y[k] = eˣ[k] / Σ_j eˣ[j] along the last axis, the largest x subtracted first."""
    y = aligned(x.shape)
    _run(_softmax, x, y)
    return y, YCache(y)


def softmax_backward(dy: NDArray, cache: YCache) -> NDArray:
    """dx = y · (dy - Σ_j dy[j] y[j])."""
    dx = aligned(dy.shape)
    _run(_softmax_backward, dy, cache.y, dx)
    return dx


def _run(function: Kernel, *arrays: NDArray) -> None:
    """For all rows, a chunk of some at a time."""
    columns = arrays[0].shape[-1]
    flat = [array_of(x).reshape(-1, columns) for x in arrays]
    rows = max(1, CHUNK // columns)
    parallel_for(function, -(-len(flat[0]) // rows), rows, *flat)
