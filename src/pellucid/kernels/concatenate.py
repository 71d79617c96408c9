"""Concatenation; the twin of ``ops/concatenate.py``."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from ..ops.concatenate import ConcatenateCache, concatenate_backward, ends_of
from .assembly import address, copy_line
from .buffers import aligned
from .jit import IN2, INT, OUT2, TEAM, array_of, kernel
from .threads import next_chunk, parallel_for

CHUNK = 1 << 14  # numbers of y


def accepts_concatenate(*arrays: NDArray) -> bool:
    """Float32 arrays that differ in their last axis only."""
    return (
        len(arrays) > 0
        and all(x.dtype == np.float32 and x.size > 0 for x in arrays)
        and len({x.shape[:-1] for x in arrays}) == 1
    )


@kernel(TEAM, INT, INT, IN2, INT, OUT2)
def _copy_channels(team, chunks, rows, x, first, y):
    """x into the channels of y from ``first`` on; one chunk is so many ``rows``."""
    chunk = next_chunk(team)
    while chunk < chunks:
        for n in range(chunk * rows, min((chunk + 1) * rows, x.shape[0])):
            source, target = address(x) + 4 * n * x.shape[1], address(y) + 4 * (n * y.shape[1] + first)
            copy_line(source, target, x.shape[1])
        chunk = next_chunk(team)


def concatenate(*arrays: NDArray) -> tuple[NDArray, ConcatenateCache]:
    """The arrays one behind the other along their last axis."""
    cache = ConcatenateCache(ends_of(arrays))
    y = aligned((*arrays[0].shape[:-1], cache.ends[-1]))
    count, rows = prod(y.shape[:-1]), max(1, CHUNK // y.shape[-1])
    for x, first in zip(arrays, (0, *cache.ends), strict=False):
        flat = array_of(x).reshape(count, x.shape[-1])
        parallel_for(_copy_channels, -(-count // rows), rows, flat, first, y.reshape(count, y.shape[-1]))
    return y, cache


__all__ = ["accepts_concatenate", "concatenate", "concatenate_backward"]
