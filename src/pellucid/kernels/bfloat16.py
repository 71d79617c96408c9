"""Rounding to bfloat16; the twin of ``ops/bfloat16.py``, with the same bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .buffers import aligned
from .jit import IN1, INT, OUT1, TEAM, array_of, inline, kernel
from .threads import next_chunk, parallel_for

CHUNK = 1 << 14  # numbers

_HALF, _LAST, _ODD, _UPPER = np.uint32(0x7FFF), np.uint32(16), np.uint32(1), np.uint32(0xFFFF0000)
_SIZE, _INFINITE, _QUIET = np.uint32(0x7FFFFFFF), np.uint32(0x7F800000), np.uint32(0x00400000)


@inline
def nearest(bits):
    """The bits of a float32; in their upper half those of the nearest number of 16 bits. What is not a number stays none."""
    near = np.uint32(bits + _HALF + ((bits >> _LAST) & _ODD))
    return bits | _QUIET if (bits & _SIZE) > _INFINITE else near


@kernel(TEAM, INT, IN1, OUT1)
def _round(team, chunks, x, y):
    """One chunk is ``CHUNK`` numbers."""
    chunk = next_chunk(team)
    while chunk < chunks:
        first, end = chunk * CHUNK, min((chunk + 1) * CHUNK, x.size)
        source, target = x[first:end].view(np.uint32), y[first:end].view(np.uint32)
        number = x[first:end]
        for i in range(target.size):
            target[i] = nearest(source[i]) & _UPPER if number[i] == number[i] else source[i]
        chunk = next_chunk(team)


def rounded(x: NDArray) -> NDArray[np.float32]:
    """The nearest numbers of 16 bits, as float32."""
    x, y = array_of(x), aligned(x.shape)
    parallel_for(_round, -(-x.size // CHUNK), x.reshape(-1), y.reshape(-1))
    return y
