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

It may not assume that every helper takes part: when the helpers are busy with the work of another Python thread, the
calling thread does everything alone.

``PELLUCID_NUM_THREADS`` or ``set_num_threads`` choose the number of threads; the default is the number of cores available.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..errors import PellucidError
from .buffers import aligned
from .jit import Kernel

TEAM_WORDS, MEMBERS = 16, 8  # [0] the next chunk, [8] how many members came; in two cache lines


@intrinsic
def next_chunk(typing_context, team):
    """Take a number from the counter of a team: 0, 1, 2, …, each to one thread only."""

    def generate(context, builder, signature, values):
        counter = context.make_array(signature.args[0])(context, builder, values[0]).data
        one = ir.Constant(counter.type.pointee if hasattr(counter.type, "pointee") else ir.IntType(64), 1)
        return builder.atomic_rmw("add", counter, one, "monotonic")

    return types.intp(team), generate


class _Helper:
    """A thread that waits for work."""

    def __init__(self, number: int) -> None:
        self.inbox: SimpleQueue = SimpleQueue()
        self.outbox: SimpleQueue = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=f"pellucid-{number}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (work := self.inbox.get()) is not None:
            function, arguments = work
            try:
                function(*arguments)
                self.outbox.put(None)
            except BaseException as error:
                self.outbox.put(error)
            del work, function, arguments  # keep no array alive while waiting


class _Pool:
    """The helpers; used by one Python thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.helpers: list[_Helper] = []

    def resize(self, count: int) -> None:
        while len(self.helpers) < count:
            self.helpers.append(_Helper(len(self.helpers) + 1))
        while len(self.helpers) > count:
            self.helpers.pop().inbox.put(None)

    def run(self, helpers: int, function: Callable, arguments: tuple) -> None:
        self.resize(helpers)
        for helper in self.helpers:
            helper.inbox.put((function, arguments))
        try:
            function(*arguments)
        finally:
            errors = [error for helper in self.helpers if (error := helper.outbox.get()) is not None]
        if errors:
            raise errors[0]


_pool = _Pool()
_num_threads = 0


def _forget_pool() -> None:
    """A forked child has no helpers: they are started anew when they are needed."""
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


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
    compiled = function.ready()
    team = np.zeros(TEAM_WORDS, np.intp)
    helpers = min(get_num_threads(), chunks) - 1
    if workspace is not None:
        arguments = (aligned((max(helpers, 0) + 1, -(-workspace // 16) * 16)), *arguments)
    pool = _pool
    if helpers > 0 and pool.lock.acquire(blocking=False):
        try:
            pool.run(helpers, compiled, (team, chunks, *arguments))
        finally:
            pool.lock.release()
    else:
        compiled(team, chunks, *arguments)
