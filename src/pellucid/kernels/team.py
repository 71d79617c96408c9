"""How threads share a kernel without asking the interpreter: a board on which the calling thread posts what it is doing.

``share`` writes the door of a kernel and the block of its arguments onto the board before it goes through that door itself. A
helper that watches the board goes through the same door with the same block; both take chunks from the same counter until none
is left. No thread waits for the interpreter's lock, and posting takes less than a microsecond.

When the calling thread has found no more chunks, it closes the job and waits for those helpers that have joined; one that comes
later finds the job closed, and goes back to watching. The order of the steps makes that safe:

    a helper     counts itself in, then looks whether the job is still the one it saw, and only then goes through the door
    the caller   closes the job, then waits until nobody is counted in

A helper watches for a short while, long enough for what lies between two kernels of a training step, and then goes to sleep.
"""

from __future__ import annotations

import ctypes
import time

from .assembly import call, clear
from .jit import INT, TABLE, TEAM, Intrinsic, inline, kernel
from .recording import BLOCK as RECORDED_BLOCK
from .recording import COUNTERS, THREADS
from .recording import DOOR as RECORDED_DOOR

LINE = 8  # words of a cache line
JOB = 0  # on the board: odd while a job is posted; every posting and every closing adds one
INSIDE = LINE  # how many helpers are counted in
OFFER = LINE + 1  # the address of sched_yield, or 0
DOOR, BLOCK, WRONG = range(2 * LINE, 2 * LINE + 3)  # of the posted kernel, and what its door returned
HELPERS = 3 * LINE  # from here on, one cache line per helper:
ASLEEP, LAST, STOP, CLOCK = range(4)  # whether it sleeps, the job it joined last, whether it shall end, (2) the time

COUNTER_WORDS = 16  # of a kernel, in two cache lines: its chunks, and from MEMBERS on how many members came
MEMBERS = 8
LOOKS = 100  # at the board before the core is offered to other threads

next_chunk = Intrinsic("next_chunk")
add, look, put_word, pause = map(Intrinsic, ("add", "look", "put_word", "pause"))


def board_words(helpers: int) -> int:
    """The size of a board."""
    return HELPERS + helpers * LINE


@inline
def _post(board, door, block):
    """Post a kernel, take part in it, wait for the others."""
    board[DOOR], board[BLOCK] = door, block
    add(board, JOB, 1)
    board[WRONG] = call(door, block)
    add(board, JOB, 1)
    looks = 0
    while look(board, INSIDE) > 0:
        pause()
        looks += 1
        if looks % LOOKS == 0 and board[OFFER] != 0:
            call(board[OFFER])


@kernel(TEAM, INT, INT)
def share(board, door, block):
    """What the caller does."""
    _post(board, door, block)


@kernel(TEAM, TABLE, INT)
def replay(board, calls, together):
    """The same for each call of a recording; without ``together`` the caller makes them alone."""
    for i in range(calls.shape[0]):
        if calls[i, RECORDED_DOOR] == 0:
            clear(calls[i, RECORDED_BLOCK], calls[i, COUNTERS])
            continue
        clear(calls[i, COUNTERS], 2 * COUNTER_WORDS)
        if together and calls[i, THREADS] > 1:
            _post(board, calls[i, RECORDED_DOOR], calls[i, RECORDED_BLOCK])
        else:
            call(calls[i, RECORDED_DOOR], calls[i, RECORDED_BLOCK])


@kernel(TEAM, INT, INT, INT, INT, INT)
def watch(board, place, patience, clock, clock_id, now):
    """What a helper does: join every job, until there was none for ``patience`` nanoseconds; then ASLEEP is set.

    ``place``: its words on the board; ``clock``: the address of clock_gettime, ``now``: where to put the time.
    """
    until = 0
    while True:
        for _ in range(LOOKS):
            job = look(board, JOB)
            if job & 1 and job != board[place + LAST]:
                board[place + LAST] = job
                add(board, INSIDE, 1)
                if look(board, JOB) == job:
                    call(board[DOOR], board[BLOCK])
                add(board, INSIDE, -1)
                until = 0
            pause()
        if clock != 0:
            call(board[OFFER])
            call(clock, clock_id, now)
            time_ = board[place + CLOCK] * 1_000_000_000 + board[place + CLOCK + 1]
            if until == 0:
                until = time_ + patience
            if time_ < until and look(board, place + STOP) == 0:
                continue
        put_word(board, place + ASLEEP, 1)
        job = look(board, JOB)
        if not (job & 1 and job != board[place + LAST]):
            return
        put_word(board, place + ASLEEP, 0)


def system_functions() -> tuple[int, int, int]:
    """The addresses of clock_gettime, the number of its clock, sched_yield; zeros where there are none: nobody watches then."""
    try:
        library = ctypes.CDLL(None)
        clock, offer = (
            ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in ("clock_gettime", "sched_yield")
        )
        return clock or 0, getattr(time, "CLOCK_MONOTONIC", 1), offer or 0
    except (OSError, TypeError, AttributeError):
        return 0, 0, 0
