"""Sums over the first axis of an array, always in the same order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .buffers import aligned
from .jit import IN2, INT, OUT1, TEAM, array_of, kernel
from .threads import next_chunk, parallel_for

SIZE = 4096  # numbers of a chunk
LARGE = 1 << 15  # numbers that are worth sharing out
ROWS = 64  # that are summed up one after another, if there are more


@kernel(TEAM, INT, INT, IN2, OUT1)
def _sum_parts(team, chunks, size, parts, total):
    """total = Σ_p parts[p], in the order of p; one chunk is ``size`` numbers."""
    chunk = next_chunk(team)
    while chunk < chunks:
        first, end = chunk * size, min((chunk + 1) * size, total.size)
        sums = total[first:end]
        for p in range(parts.shape[0]):
            part = parts[p, first:end]
            if p == 0:
                for i in range(sums.size):
                    sums[i] = part[i]
            else:
                for i in range(sums.size):
                    sums[i] += part[i]
        chunk = next_chunk(team)


def sum_parts(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """parts (P, ...) -> their sum over P."""
    if len(parts) == 1:
        return parts[0]
    total = aligned(parts.shape[1:])
    _sum_into(total, parts)
    return total


def sum_rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """x (N, C) -> its sum over N, which may be large: the rows are summed up in groups, as far as N can be divided."""
    while len(x) > 1:
        groups = next((n for n in range(ROWS, 1, -1) if len(x) % n == 0), len(x))
        x = sum_parts(x.reshape(groups, -1)).reshape(-1, x.shape[1])
    return x[0]


def fill(place: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    """place = x, by all threads where that is worth it."""
    if x.size < LARGE or not x.flags.c_contiguous:
        place[...] = x
    else:
        copy_into(place.reshape(-1), array_of(x).reshape(-1))


def copy_into(target: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    """target = x, vectors of one length."""
    _sum_into(target, x[None])


def _sum_into(total: NDArray[np.float32], parts: NDArray[np.float32]) -> None:
    parallel_for(_sum_parts, -(-total.size // SIZE), SIZE, parts.reshape(len(parts), -1), total.reshape(-1))
