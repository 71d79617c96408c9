"""Memory for results, used again as soon as nobody holds it.

A fresh large array costs a page fault per page each time it is allocated: the operating system hands out zeroed pages
one by one and takes them back when the array is freed, in every step of a training. So the kernels put their results
into blocks that come back here when the last array on them is gone, and the next result of the same size takes such a
block. A training step then allocates what the step before it allocated, which is to say nothing.

An array on a block is like any other. Blocks that lie idle for long are given back to the system.
"""

from __future__ import annotations

import threading
from math import prod

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1 << 16  # bytes; below, the C library does well
PATIENCE = 2000  # allocations that a block may lie idle for
LINE = 64  # bytes of a cache line: no vector of an array that starts on one straddles two


_idle: dict[int, list[tuple[int, NDArray[np.uint8]]]] = {}  # by size, the one that came back last at the end
_clock = [0]
_sweep = threading.Lock()


class _Block:
    """A piece of memory that goes back to the idle ones when the last array on it is gone."""

    __slots__ = ("__array_interface__", "raw")

    def __init__(self, raw: NDArray[np.uint8], size: int) -> None:
        address = raw.ctypes.data
        self.raw = raw
        self.__array_interface__ = {
            "data": (address + -address % LINE, False),
            "shape": (size // 4,),
            "typestr": "<f4" if np.little_endian else ">f4",
            "version": 3,
        }

    def __del__(self, idle=_idle, clock=_clock) -> None:  # the defaults outlive the module's names at exit
        idle.setdefault(len(self.raw), []).append((clock[0], self.raw))


def aligned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An uninitialised float32 array that starts on a cache line."""
    size = 4 * prod(shape)
    if size < SMALLEST:
        raw = np.empty(size + LINE, np.uint8)
        start = -raw.ctypes.data % LINE
        return raw[start : start + size].view(np.float32).reshape(shape)
    _clock[0] += 1
    if _clock[0] % PATIENCE == 0:
        release(PATIENCE)
    try:
        _, raw = _idle[size + LINE].pop()
    except (KeyError, IndexError):
        raw = np.empty(size + LINE, np.uint8)
    return np.asarray(_Block(raw, size)).reshape(shape)


def release(patience: int = 0) -> None:
    """Give back to the system what has been idle for this many allocations."""
    with _sweep:
        oldest = _clock[0] - patience
        for size in list(_idle):
            _idle[size] = [entry for entry in _idle[size] if entry[0] > oldest] if patience else []


def idle_bytes() -> int:
    """How much memory lies idle."""
    return sum(size * len(entries) for size, entries in list(_idle.items()))
