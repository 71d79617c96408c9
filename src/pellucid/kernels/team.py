"""How threads share a kernel without asking the interpreter: a board on which the calling thread posts what it is doing.

A kernel that runs on several threads posts itself: when it takes its first chunk, it writes its own address and arguments
onto the board. A helper that watches the board calls the same function with the same arguments; both then take chunks from
the same counter until none is left. No thread waits for the interpreter's lock, and posting takes less than a microsecond.

When the calling thread has found no more chunks, it closes the job and waits for those helpers that have joined; one that comes
later finds the job closed, and goes back to watching. The order of the steps makes that safe:

    a helper     counts itself in, then looks whether the job is still the one it saw, and only then runs
    the caller   closes the job, then waits until nobody is counted in

A helper watches for a short while, long enough for what lies between two kernels of a training step, and then goes to sleep.
"""

from __future__ import annotations

import ctypes
import time

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import INT, TEAM, kernel

LINE = 8  # words of a cache line
JOB = 0  # on the board: odd while a job is posted; every posting and every closing adds one
INSIDE = LINE  # how many helpers are counted in
OFFER = LINE + 1  # the address of sched_yield, or 0
FUNCTION = 2 * LINE  # how to call the posted kernel, and its arguments behind that
ARGUMENTS, MOST_ARGUMENTS = FUNCTION + 1, 1000
HELPERS = (ARGUMENTS + MOST_ARGUMENTS) // LINE * LINE + LINE  # from here on, one cache line per helper:
ASLEEP, LAST, STOP, CLOCK = range(4)  # whether it sleeps, the job it joined last, whether it shall end, (2) the time

# Of a team, in words: the next chunk; where the board is, or 0; how many chunks there are
BOARD, CHUNKS = 1, 2

LOOKS = 100  # at the board before the core is offered to other threads
_WORD = ir.IntType(64)


def board_words(helpers: int) -> int:
    """The size of a board."""
    return HELPERS + helpers * LINE


@intrinsic
def next_chunk(typing_context, team):
    """Take a number from the counter of a team: 0, 1, 2, …, each to one thread only.

    Who takes the first one posts the job, and at the end closes it and waits. That must happen in here, where the arguments of
    the kernel are still alive.
    """

    def generate(context, builder, signature, values):
        counter = context.make_array(signature.args[0])(context, builder, values[0]).data
        posted = _own_flag(builder)
        chunk = builder.atomic_rmw("add", counter, _WORD(1), "acq_rel")
        board = builder.load(builder.gep(counter, [_WORD(BOARD)]))
        shared = builder.icmp_signed("!=", board, _WORD(0))
        with builder.if_then(builder.and_(shared, builder.icmp_signed("==", chunk, _WORD(0))), likely=False):
            _post(builder, builder.inttoptr(board, _WORD.as_pointer()))
            builder.store(ir.IntType(8)(1), posted)
        mine = builder.icmp_signed("!=", builder.load(posted), ir.IntType(8)(0))
        last = builder.icmp_signed(">=", chunk, builder.load(builder.gep(counter, [_WORD(CHUNKS)])))
        with builder.if_then(builder.and_(mine, last), likely=False):
            builder.call(_closer(builder.module), [builder.inttoptr(board, _WORD.as_pointer())])
            builder.store(ir.IntType(8)(0), posted)
        return chunk

    return types.intp(team), generate


def _own_flag(builder):
    """A variable of the function that is being compiled: whether this call of it has posted a job."""
    name = "posted_by_this_call"
    for instruction in builder.function.entry_basic_block.instructions:
        if instruction.name.startswith(name):
            return instruction
    return cgutils.alloca_once(builder, ir.IntType(8), name=name)  # with zero, on entry


def _post(builder, board) -> None:
    """Write the function that is being compiled onto the board, and its arguments."""
    function = builder.function
    if len(function.args) > MOST_ARGUMENTS:
        raise TypeError(f"{function.name} has {len(function.args)} arguments; a board has room for {MOST_ARGUMENTS}")
    # The first two are where it puts its result and its error; every thread has its own
    for i, argument in enumerate(function.args[2:]):
        builder.store(_to_word(builder, argument), builder.gep(board, [_WORD(ARGUMENTS + i)]))
    entry = builder.ptrtoint(_caller(function), _WORD)
    builder.store(entry, builder.gep(board, [_WORD(FUNCTION)]))
    builder.atomic_rmw("add", builder.gep(board, [_WORD(JOB)]), _WORD(1), "seq_cst")


def _closer(module: ir.Module) -> ir.Function:
    """A function (board) that closes the job and waits until no helper is counted in."""
    name = "pellucid.close"
    if name in module.globals:
        return module.globals[name]
    closer = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORD.as_pointer()]), name)
    closer.linkage = "internal"
    board = closer.args[0]
    builder = ir.IRBuilder(closer.append_basic_block("entry"))
    wait, rest, offer, end = (closer.append_basic_block(name) for name in ("wait", "rest", "offer", "end"))
    builder.atomic_rmw("add", builder.gep(board, [_WORD(JOB)]), _WORD(1), "seq_cst")
    looks = builder.alloca(_WORD)
    builder.store(_WORD(0), looks)
    system = builder.load(builder.gep(board, [_WORD(OFFER)]))
    builder.branch(wait)
    builder.position_at_end(wait)
    inside = builder.load_atomic(builder.gep(board, [_WORD(INSIDE)]), "seq_cst", 8)
    builder.cbranch(builder.icmp_signed(">", inside, _WORD(0)), rest, end)
    builder.position_at_end(rest)
    _hint(builder)
    count = builder.add(builder.load(looks), _WORD(1))
    builder.store(count, looks)
    many = builder.icmp_signed("==", builder.srem(count, _WORD(LOOKS)), _WORD(0))
    builder.cbranch(builder.and_(many, builder.icmp_signed("!=", system, _WORD(0))), offer, wait)
    builder.position_at_end(offer)
    builder.call(builder.inttoptr(system, ir.FunctionType(ir.IntType(32), []).as_pointer()), [])
    builder.branch(wait)
    builder.position_at_end(end)
    builder.ret_void()
    return closer


def _to_word(builder, value):
    if isinstance(value.type, ir.PointerType):
        return builder.ptrtoint(value, _WORD)
    if isinstance(value.type, ir.FloatType):
        return builder.zext(builder.bitcast(value, ir.IntType(32)), _WORD)
    return value if value.type == _WORD else builder.zext(value, _WORD)


def _from_word(builder, word, wanted):
    if isinstance(wanted, ir.PointerType):
        return builder.inttoptr(word, wanted)
    if isinstance(wanted, ir.FloatType):
        return builder.bitcast(builder.trunc(word, ir.IntType(32)), wanted)
    return word if wanted == _WORD else builder.trunc(word, wanted)


def _caller(function: ir.Function) -> ir.Function:
    """A function (board) that calls ``function`` with the arguments on the board; made once for each."""
    name = f"{function.name}.posted"
    module = function.module
    if name in module.globals:
        return module.globals[name]
    caller = ir.Function(module, ir.FunctionType(ir.VoidType(), [_WORD.as_pointer()]), name)
    caller.linkage = "internal"
    builder = ir.IRBuilder(caller.append_basic_block("entry"))
    own = [builder.bitcast(builder.alloca(ir.ArrayType(_WORD, LINE)), argument.type) for argument in function.args[:2]]
    passed = [
        _from_word(builder, builder.load(builder.gep(caller.args[0], [_WORD(ARGUMENTS + i)])), argument.type)
        for i, argument in enumerate(function.args[2:])
    ]
    builder.call(function, [*own, *passed])
    builder.ret_void()
    return caller


@intrinsic
def _call_posted(typing_context, board):
    """Run the posted kernel."""

    def generate(context, builder, signature, values):
        words = context.make_array(signature.args[0])(context, builder, values[0]).data
        function = builder.load(builder.gep(words, [_WORD(FUNCTION)]))
        kind = ir.FunctionType(ir.VoidType(), [words.type]).as_pointer()
        builder.call(builder.inttoptr(function, kind), [words])
        return context.get_dummy_value()

    return types.void(board), generate


@intrinsic
def _add(typing_context, board, word, number):
    """Add to a word of the board, in one order for all threads; returns what was there."""

    def generate(context, builder, signature, values):
        words = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.atomic_rmw("add", builder.gep(words, [values[1]]), values[2], "seq_cst")

    return types.intp(board, types.intp, types.intp), generate


@intrinsic
def _look(typing_context, board, word):
    """A word of the board as it is now."""

    def generate(context, builder, signature, values):
        words = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.load_atomic(builder.gep(words, [values[1]]), "seq_cst", 8)

    return types.intp(board, types.intp), generate


@intrinsic
def _set(typing_context, board, word, number):
    """Set a word of the board."""

    def generate(context, builder, signature, values):
        words = context.make_array(signature.args[0])(context, builder, values[0]).data
        builder.store_atomic(values[2], builder.gep(words, [values[1]]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(board, types.intp, types.intp), generate


def _hint(builder) -> None:
    """Tell the core that this thread is waiting in a loop."""
    nothing, machine = ir.FunctionType(ir.VoidType(), []), builder.module.triple.split("-")[0]
    if machine in ("x86_64", "i386", "i686"):
        builder.call(cgutils.get_or_insert_function(builder.module, nothing, "llvm.x86.sse2.pause"), [])
    elif machine in ("aarch64", "arm64"):
        hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
        builder.call(cgutils.get_or_insert_function(builder.module, hint, "llvm.aarch64.hint"), [ir.IntType(32)(1)])


@intrinsic
def _pause(typing_context):
    def generate(context, builder, signature, values):
        _hint(builder)
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _call_system(typing_context, function, first, second):
    """Call a function of the C library that takes up to two words; what it returns is not looked at."""

    def generate(context, builder, signature, values):
        kind = ir.FunctionType(ir.IntType(32), [_WORD, _WORD]).as_pointer()
        builder.call(builder.inttoptr(values[0], kind), values[1:])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@kernel(TEAM, INT, INT, INT, INT, INT)
def watch(board, place, patience, clock, clock_id, now):
    """What a helper does: join every job, until there was none for ``patience`` nanoseconds; then ASLEEP is set.

    ``place``: its words on the board; ``clock``: the address of clock_gettime, ``now``: where to put the time.
    """
    until = 0
    while True:
        for _ in range(LOOKS):
            job = _look(board, JOB)
            if job & 1 and job != board[place + LAST]:
                board[place + LAST] = job
                _add(board, INSIDE, 1)
                if _look(board, JOB) == job:
                    _call_posted(board)
                _add(board, INSIDE, -1)
                until = 0
            _pause()
        if clock != 0:
            _call_system(board[OFFER], 0, 0)
            _call_system(clock, clock_id, now)
            time_ = board[place + CLOCK] * 1_000_000_000 + board[place + CLOCK + 1]
            if until == 0:
                until = time_ + patience
            if time_ < until and _look(board, place + STOP) == 0:
                continue
        _set(board, place + ASLEEP, 1)
        job = _look(board, JOB)
        if not (job & 1 and job != board[place + LAST]):
            return
        _set(board, place + ASLEEP, 0)


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
