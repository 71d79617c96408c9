"""Concatenation; the twin of ``ops/concatenate.py``."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from ..ops.concatenate import ConcatenateCache, ends_of
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


@kernel(TEAM, INT, INT, INT, IN2, INT, OUT2, INT)
def _copy_channels(team, chunks, rows, count, x, x_first, y, y_first):
    """``count`` channels of x into y, each from its ``first`` on; one chunk is so many ``rows``."""
    chunk = next_chunk(team)
    while chunk < chunks:
        for n in range(chunk * rows, min((chunk + 1) * rows, x.shape[0])):
            source, target = address(x) + 4 * (n * x.shape[1] + x_first), address(y) + 4 * (n * y.shape[1] + y_first)
            copy_line(source, target, count)
        chunk = next_chunk(team)


def _copy(count: int, x: NDArray[np.float32], x_first: int, y: NDArray[np.float32], y_first: int) -> None:
    pixels, rows = prod(y.shape[:-1]), max(1, CHUNK // count)
    flat_x, flat_y = x.reshape(pixels, x.shape[-1]), y.reshape(pixels, y.shape[-1])
    parallel_for(_copy_channels, -(-pixels // rows), rows, count, flat_x, x_first, flat_y, y_first)


def concatenate(*arrays: NDArray) -> tuple[NDArray, ConcatenateCache]:
    """The arrays one behind the other along their last axis."""
    cache = ConcatenateCache(ends_of(arrays))
    y = aligned((*arrays[0].shape[:-1], cache.ends[-1]))
    for x, first in zip(arrays, (0, *cache.ends), strict=False):
        _copy(x.shape[-1], array_of(x), 0, y, first)
    return y, cache


def concatenate_backward(dy: NDArray, cache: ConcatenateCache) -> tuple[NDArray, ...]:
    """Each array gets the gradient of its own channels."""
    parts, dy = [], array_of(dy)
    for first, end in zip((0, *cache.ends), cache.ends, strict=False):
        parts.append(aligned((*dy.shape[:-1], end - first)))
        _copy(end - first, dy, first, parts[-1], 0)
    return tuple(parts)
