"""Memory for results, used again as soon as nobody holds it.

A fresh large array costs a page fault per page each time it is allocated: the operating system hands out zeroed pages
one by one and takes them back when the array is freed, in every step of a training. So the kernels put their results
into *segments*, large pieces of memory of which a result gets the smallest gap it fits into. When the last array on such
a block is gone, its place is a gap again, joined with the gaps beside it. A training step then finds all its places
where the step before it had them: nothing is allocated, and the network never needs more memory than the results that
are alive at the same time.

An array on a block is like any other. A segment takes real memory only where it has been written to, and goes back to the
system when nothing has lain on it for long.

Source: best fit with immediate coalescing; Knuth, "The Art of Computer Programming", volume 1, section 2.5.
"""

from __future__ import annotations

import bisect
import os
import threading
from collections import deque
from collections.abc import Iterable
from math import prod

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1 << 16  # bytes; below, the C library does well
SEGMENT = 1 << 26  # bytes of the first segment; each is as large as all before it
PATIENCE = 2000  # allocations that a segment may lie idle for
LINE = 64  # bytes of a cache line: no vector of an array that starts on one straddles two


class _Segment:
    """A piece of memory and the gaps in it."""

    def __init__(self, size: int) -> None:
        self.raw = np.empty(size + LINE, np.uint8)  # untouched, it takes no memory
        self.start = self.raw.ctypes.data + -self.raw.ctypes.data % LINE
        self.size = size
        self.gaps = [(0, size)]  # (start, end), in order
        self.used = 0  # the clock when a block was last taken from it

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.start + self.size

    @property
    def idle(self) -> bool:
        return self.gaps == [(0, self.size)]

    def take(self, index: int, start: int, end: int) -> None:
        """A part of a gap, or all of it."""
        first, last = self.gaps[index]
        self.gaps[index : index + 1] = [gap for gap in ((first, start), (end, last)) if gap[0] < gap[1]]

    def give(self, start: int, end: int) -> None:
        """A gap again, one with its neighbours."""
        index = bisect.bisect(self.gaps, (start, end))
        if index < len(self.gaps) and self.gaps[index][0] == end:
            end = self.gaps.pop(index)[1]
        if index and self.gaps[index - 1][1] == start:
            index -= 1
            start = self.gaps.pop(index)[0]
        self.gaps.insert(index, (start, end))


_segments: list[_Segment] = []
_returned: deque[tuple[_Segment, int, int]] = deque()  # blocks whose last array is gone, not yet gaps
_lock = threading.Lock()
_clock = 0


class _Block:
    """The place of a result, that part of a gap; it comes back when the last array on it is gone."""

    __slots__ = ("__array_interface__", "place")

    def __init__(self, segment: _Segment, index: int, start: int, end: int, size: int) -> None:
        segment.take(index, start, end)
        self.place = segment, start, end
        self.__array_interface__ = {
            "data": (segment.start + start, False),
            "shape": (size // 4,),
            "typestr": "<f4" if np.little_endian else ">f4",
            "version": 3,
        }

    def __del__(self, returned=_returned) -> None:  # at any moment, on any thread: it must not wait for a lock
        returned.append(self.place)


def aligned(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An uninitialised float32 array that starts on a cache line."""
    size = 4 * prod(shape)
    if size < SMALLEST:
        raw = np.empty((size + LINE) // 4, np.float32)
        start = -raw.__array_interface__["data"][0] % LINE // 4  # three times as quick as raw.ctypes
        return raw[start : start + size // 4].reshape(shape)
    return np.asarray(_place(size)).reshape(shape)


def aligned_bytes(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The same for bytes."""
    size = prod(shape)
    return aligned((-(-size // 4),)).view(np.uint8)[:size].reshape(shape)


def _place(size: int) -> _Block:
    """A block in the smallest gap that is large enough."""
    global _clock
    # One line more than needed: arrays a power of two apart would share the same few places of a cache
    whole = size + -size % LINE + LINE
    with _lock:
        _clock += 1
        if _clock % PATIENCE == 0:
            _drop(PATIENCE)
        _collect()
        found, smallest = None, None
        for segment in _segments:
            for index, (start, end) in enumerate(segment.gaps):
                if end - start >= whole and (smallest is None or end - start < smallest):
                    found, smallest = (segment, index), end - start
        if found is None:
            segment = _Segment(max(whole, SEGMENT, sum(segment.size for segment in _segments)))
            _segments.append(segment)
            found = segment, 0
        segment, index = found
        segment.used = _clock
        start = segment.gaps[index][0]
        return _Block(segment, index, start, start + whole, size)


def _collect() -> None:
    """Make gaps of the blocks that came back."""
    while _returned:
        segment, start, end = _returned.popleft()
        segment.give(start, end)


def borrowed(array: NDArray) -> NDArray:
    """The same array, but it does not hold its place: other results may come to lie there. One that lies elsewhere is itself."""
    at = array.ctypes.data
    with _lock:
        for segment in _segments:
            if at in segment:
                offset = at - segment.raw.ctypes.data
                return np.ndarray(array.shape, array.dtype, segment.raw, offset, array.strides)  # type: ignore[call-overload]
    return array


def claim(arrays: Iterable[NDArray]) -> list[NDArray[np.float32]] | None:
    """Hold the places of borrowed arrays as long as what is returned is held; None where somebody else holds a part of them.

    Those that lie side by side are held as one array.
    """
    spans = sorted((x.ctypes.data, x.ctypes.data + x.nbytes) for x in arrays)
    held = []
    with _lock:
        _collect()
        while spans:
            segment = next((segment for segment in _segments if spans[0][0] in segment), None)
            if segment is None:
                return None
            mine = [(start - segment.start, end - segment.start) for start, end in spans if start in segment]
            spans = spans[len(mine) :]
            for start, end in _joined(mine):
                index = bisect.bisect(segment.gaps, (start, segment.size)) - 1
                if index < 0 or segment.gaps[index][1] < end:
                    return None
                held.append(np.asarray(_Block(segment, index, start, end, end - start)))
    return held


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted spans as whole lines, those that overlap or have at most a line between them as one."""
    joined: list[tuple[int, int]] = []
    for first, last in spans:
        start, end = first // LINE * LINE, -(-last // LINE) * LINE
        if joined and start <= joined[-1][1] + LINE:
            start, before = joined.pop()
            end = max(before, end)
        joined.append((start, end))
    return joined


def _drop(patience: int) -> None:
    _segments[:] = [segment for segment in _segments if not segment.idle or segment.used > _clock - patience]


def release() -> None:
    """Give back to the system every segment on which nothing lies."""
    with _lock:
        _collect()
        _drop(0)


def held_bytes() -> int:
    """How much memory arrays lie on."""
    with _lock:
        gaps = sum(end - start for segment in _segments for start, end in segment.gaps)
        returned = sum(end - start for _, start, end in _returned)
        return sum(segment.size for segment in _segments) - gaps - returned


def _after_fork() -> None:
    """Another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
