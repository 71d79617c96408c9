"""Rescaling; the twin of ``ops/rescale.py``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..ops.rescale import RescaleCache
from .buffers import aligned
from .jit import FLOAT, IN1, INT, OUT1, TEAM, array_of, kernel
from .threads import next_chunk, parallel_for

CHUNK = 1 << 14  # numbers


def accepts_rescale(x: NDArray, **settings: object) -> bool:
    """Float32 arrays."""
    return x.dtype == np.float32 and x.size > 0


@kernel(TEAM, INT, IN1, FLOAT, FLOAT, OUT1)
def _rescale(team, chunks, x, scale, offset, y):
    """One chunk is ``CHUNK`` numbers."""
    chunk = next_chunk(team)
    while chunk < chunks:
        first, end = chunk * CHUNK, min((chunk + 1) * CHUNK, x.size)
        source, target = x[first:end], y[first:end]
        for i in range(target.size):
            target[i] = source[i] * scale + offset
        chunk = next_chunk(team)


def _run(x: NDArray, scale: float, offset: float) -> NDArray[np.float32]:
    x, y = array_of(x), aligned(x.shape)
    parallel_for(_rescale, -(-x.size // CHUNK), x.reshape(-1), scale, offset, y.reshape(-1))
    return y


def rescale(x: NDArray, *, scale: float, offset: float = 0.0) -> tuple[NDArray, RescaleCache]:
    """y = scale · x + offset."""
    return _run(x, scale, offset), RescaleCache(scale)


def rescale_backward(dy: NDArray, cache: RescaleCache) -> NDArray:
    """dx = scale · dy."""
    return _run(dy, cache.scale, 0.0)
