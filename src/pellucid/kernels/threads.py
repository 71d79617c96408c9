"""One team of threads: the calling thread and some helpers, working through numbered chunks.

Work is cut into chunks that depend on shapes alone. Whoever is free takes the next chunk; what a chunk computes does not
depend on who computes it, and sums over chunks are taken afterwards in the order of the chunks. So results have the same
bits on 1, 2 or 64 threads.

A function for a team is compiled without the GIL and starts with ``chunk = next_chunk(team)``:

    @kernel(TEAM, INT, OUT1)
    def double(team, chunks, x):
        chunk = next_chunk(team)
        while chunk < chunks:
            ...
            chunk = next_chunk(team)

It may not assume that every helper takes part: a helper may be asleep or late, and when all are busy with the work of another
Python thread, the calling thread does everything alone. How helpers learn of work: see ``team``.

``PELLUCID_NUM_THREADS`` or ``set_num_threads`` choose the number of threads; the default is the number of cores available.
"""

from __future__ import annotations

import atexit
import os
import threading
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from . import recording
from . import team as native
from .buffers import aligned
from .jit import Door, Kernel, address_of
from .recording import Calls
from .team import COUNTER_WORDS, MEMBERS, next_chunk

PATIENCE = 500_000  # nanoseconds for which a helper watches the board before it goes to sleep


class _Helper:
    """A thread that watches the board of its pool."""

    def __init__(self, pool: _Pool, number: int) -> None:
        self.board, self.place = pool.board, native.HELPERS + number * native.LINE
        self.board[self.place : self.place + native.LINE] = 0
        self.awake: SimpleQueue = SimpleQueue()
        clock, clock_id, _ = pool.system
        # more threads than cores would only take them from each other
        patience = PATIENCE if get_num_threads() <= available_cores() else 0
        now = self.board.ctypes.data + 8 * (self.place + native.CLOCK)
        self.block = native.watch.block(self.board, self.place, patience, clock, clock_id, now)
        self.thread = threading.Thread(target=self._run, name=f"pellucid-{number + 1}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        watch = native.watch.ready().enter
        while not self.board[self.place + native.STOP]:
            watch(self.block)
            self.awake.get()

    def wake(self) -> None:
        if self.board[self.place + native.ASLEEP]:
            self.board[self.place + native.ASLEEP] = 0
            self.awake.put(None)

    def stop(self) -> None:
        self.board[self.place + native.STOP] = 1
        self.awake.put(None)
        self.thread.join()


class _Pool:
    """The helpers and their board; used by one Python thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.helpers: list[_Helper] = []
        self.board = np.zeros(0, np.intp)
        self.system = native.system_functions()
        self.space = np.empty(0, np.float32)

    def workspace(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Memory for one kernel, the same for all, so that it stays in the caches."""
        size = shape[0] * shape[1]
        if self.space.size < size:
            self.space = aligned((size,))
        return self.space[:size].reshape(shape)

    def resize(self, count: int) -> None:
        if count == len(self.helpers):
            return
        for helper in self.helpers:
            helper.stop()
        self.board = np.zeros(native.board_words(count), np.intp)
        self.board[native.OFFER] = self.system[2]
        self.helpers = [_Helper(self, number) for number in range(count)]

    def wake(self) -> None:
        for helper in self.helpers:
            helper.wake()

    def run(self, door: Door, block: bytes) -> int:
        self.wake()
        native.share(self.board, door.address, address_of(block))
        return int(self.board[native.WRONG])


_pool = _Pool()
_num_threads = 0


def _forget_pool() -> None:
    """A forked child has no helpers: they are started anew when they are needed."""
    global _pool
    _pool = _Pool()


def _stop_helpers() -> None:
    """Before the interpreter ends, no thread may be left that could come back to it."""
    with _pool.lock:
        _pool.resize(0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
atexit.register(_stop_helpers)


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_num_threads() -> int:
    """How many threads the kernels use, the calling one included."""
    global _num_threads
    if not _num_threads:
        wanted = os.environ.get("PELLUCID_NUM_THREADS", "")
        if wanted and not (wanted.isdigit() and int(wanted) > 0):
            raise PellucidError(f"PELLUCID_NUM_THREADS was {wanted!r}; wanted a whole number of at least 1.")
        _num_threads = int(wanted) if wanted else available_cores()
    return _num_threads


def set_num_threads(count: int) -> None:
    """Use this many threads, the calling one included. Results do not depend on it."""
    global _num_threads
    if not isinstance(count, int) or count < 1:
        raise PellucidError(f"set_num_threads got {count!r}; wanted a whole number of at least 1.")
    _num_threads = count


def parallel_for(function: Kernel, chunks: int, *arguments: Any, workspace: int | None = None) -> None:
    """Call ``function(team, chunks, *arguments)`` on as many threads as there are; they share the chunks among them.

    With a ``workspace`` of so many floats for each thread, the arguments begin with an array of one row per thread, of
    which a thread takes the row ``next_chunk(team[MEMBERS:])``.
    """
    door = function.ready()
    team = np.zeros(COUNTER_WORDS, np.intp)
    threads, pool = get_num_threads(), _pool
    together = threads > 1 and chunks > 1 and pool.lock.acquire(blocking=False)
    try:
        if workspace is not None:
            shape = (threads if together else 1, -(-workspace // 16) * 16)
            own = not together or recording.current.recording is not None  # others may be at work meanwhile, or later
            arguments = (aligned(shape) if own else pool.workspace(shape), *arguments)
        block = function.block(team, chunks, *arguments)
        if together:
            pool.resize(threads - 1)
        function.check(pool.run(door, block) if together else door.enter(block))
        if recording.current.recording is not None:
            recording.current.recording.note(function, door, (team, chunks, *arguments), threads if together else 1)
    finally:
        if together:
            pool.lock.release()


def zeros(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Zeros for kernels to add to."""
    array = aligned(shape)
    array[...] = 0
    if recording.current.recording is not None:
        recording.current.recording.note_zeros(array)
    return array


def replay(calls: Calls) -> None:
    """Make the calls of a recording again, on as many threads as they were made on."""
    pool = _pool
    together = calls.threads > 1 and pool.lock.acquire(blocking=False)
    try:
        if together:
            pool.resize(calls.threads - 1)
            pool.wake()
        native.replay(pool.board, calls.table, int(together))
    finally:
        if together:
            pool.lock.release()


__all__ = [
    "MEMBERS",
    "available_cores",
    "get_num_threads",
    "next_chunk",
    "parallel_for",
    "replay",
    "set_num_threads",
    "zeros",
]
