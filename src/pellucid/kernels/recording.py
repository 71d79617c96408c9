"""Kernel calls written down once and made again in one go.

Between two kernels Python chooses, reserves and packs. For one small image that takes longer than the kernels themselves, and
is the same every time. ``of(x)`` writes down the calls that are made while a network looks at ``x``; ``threads.replay`` makes
them again, for what lies in ``x`` then.

Only calls whose arguments depend on ``x`` are written down: those that are given ``x``, or what such a call has written. All
others, like those that pack weights, have done their work for good. Everything that was written stays where it is.

``of_everything()`` writes down all calls, for a training, whose weights change in every step. There memory is short: results
lie where they lay (see ``buffers``), where another one may have lain before. Whoever makes the calls again has to ``claim`` it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .buffers import borrowed
from .jit import Array, Door, Kernel, address_of

DOOR, BLOCK, COUNTERS, THREADS = range(4)  # the columns of a table of calls; without a door, BLOCK and COUNTERS are the
# address of an array and its size, to be set to zero

Row = tuple[int, int, int, int]


class Calls(NamedTuple):
    """Calls as ``threads.replay`` takes them, and for how many threads there is room in their workspaces."""

    table: NDArray[np.intp]
    threads: int


def gathered(rows: list[Row]) -> Calls:
    """These calls, one after another."""
    threads = min((row[THREADS] for row in rows if row[THREADS] > 1), default=1)
    return Calls(np.array(rows, np.intp).reshape(-1, 4), threads)


class Recording:
    """Calls in their order, and all that they need."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.kept: list[Any] = []
        self.borrowed: list[NDArray] = []

    def note(self, function: Kernel, door: Door, arguments: Sequence[Any], threads: int) -> None:
        """A call that was made, with room for so many threads.

        The first of its ``arguments`` are the counters that its chunks are taken from.
        """
        arguments = [self.hold(x) if isinstance(x, np.ndarray) else x for x in arguments]
        block = function.block(*arguments)
        self.kept += [block, *(x for x in arguments if isinstance(x, np.ndarray))]
        self.rows.append((door.address, address_of(block), arguments[0].ctypes.data, threads))

    def note_zeros(self, array: NDArray[np.float32]) -> None:
        """An array that was set to zero."""
        array = self.hold(array)
        self.kept.append(array)
        self.rows.append((0, array.ctypes.data, array.size, 1))

    def hold(self, array: NDArray) -> NDArray:
        """The array as it is kept."""
        kept = borrowed(array)
        if kept is not array:
            self.borrowed.append(kept)
        return kept

    @property
    def size(self) -> int:
        """Bytes of the arrays that are kept."""
        spans = {_span(array) for array in self.kept if isinstance(array, np.ndarray)}
        return sum(end - start for start, end in spans)


class Dependent(Recording):
    """Only those calls that depend on ``x``; their results keep their places."""

    def __init__(self, x: NDArray) -> None:
        super().__init__()
        self.kept.append(x)
        self._live = [_span(x)]

    def note(self, function: Kernel, door: Door, arguments: Sequence[Any], threads: int) -> None:
        arrays = [(arguments[i], kind) for i, kind in enumerate(function.types) if isinstance(kind, Array)]
        if any(self.depends(array) for array, _ in arrays[1:]):
            self._live += [_span(array) for array, kind in arrays[1:] if kind.written]
            super().note(function, door, arguments, threads)

    def hold(self, array: NDArray) -> NDArray:
        return array

    def depends(self, array: NDArray) -> bool:
        """Whether an array, or what it is a part of, was written by one of the calls or is ``x``."""
        start, end = _span(array)
        return any(start < other_end and other_start < end for other_start, other_end in self._live)


class _Current(threading.local):
    recording: Recording | None = None
    lasting = False


current = _Current()


def of(x: NDArray) -> contextlib.AbstractContextManager[Dependent]:
    """Write down the kernel calls that this thread makes in the block and that depend on ``x``."""
    return _writing(Dependent(x))


def of_everything() -> contextlib.AbstractContextManager[Recording]:
    """Write down all kernel calls that this thread makes in the block."""
    return _writing(Recording())


@contextlib.contextmanager
def _writing(recording: Any) -> Iterator[Any]:
    before, current.recording = current.recording, recording
    try:
        yield recording
    finally:
        current.recording = before


@contextlib.contextmanager
def lasting_weights() -> Iterator[None]:
    """In the block this thread may count on the weights: what is made of them is going to be used again and again."""
    before, current.lasting = current.lasting, True
    try:
        yield
    finally:
        current.lasting = before


def _span(array: NDArray) -> tuple[int, int]:
    """The addresses of the first byte of an array without gaps and of the one behind it."""
    return array.ctypes.data, array.ctypes.data + array.nbytes
