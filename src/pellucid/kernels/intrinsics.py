"""What compiled Python has no words for, written in LLVM's: addresses, arrays on addresses, counters that threads share.

Each is known to the kernels as ``jit.Intrinsic`` of its name. Only ``compiler`` imports this file.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

WORD = ir.IntType(64)


def array_on(context, builder, array_type, place, shape):
    """An array without gaps whose numbers lie at an address; nobody counts references to it."""
    array = context.make_array(array_type)(context, builder)
    itemsize = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
    strides = [WORD(itemsize)]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    data = builder.inttoptr(place, array.data.type)
    populate_array(array, data, shape, strides, itemsize, None)
    return array._getvalue()


@intrinsic
def numbers(typing_context, place, size, dtype):
    """``numbers(address, size, np.float32)``: an array of so many numbers that lie there."""
    array_type = types.Array(dtype.dtype, 1, "C")

    def generate(context, builder, signature, values):
        return array_on(context, builder, array_type, values[0], [values[1]])

    return array_type(types.intp, types.intp, dtype), generate


@intrinsic
def flat(typing_context, array):
    """All numbers of an array in one line."""
    array_type = array.copy(ndim=1)

    def generate(context, builder, signature, values):
        whole = context.make_array(array)(context, builder, values[0])
        return array_on(context, builder, array_type, builder.ptrtoint(whole.data, WORD), [whole.nitems])

    return array_type(array), generate


@intrinsic
def word(typing_context, place):
    """The whole number at an address."""

    def generate(context, builder, signature, values):
        return builder.load(builder.inttoptr(values[0], WORD.as_pointer()), typ=WORD)

    return types.intp(types.intp), generate


@intrinsic
def call(typing_context, *arguments):
    """``call(address, *integers)``: call a function of C, or one that ``assembly`` wrote; gives the integer that it returns."""
    count = len(arguments[0] if len(arguments) == 1 and not isinstance(arguments[0], types.Integer) else arguments)

    def generate(context, builder, signature, values):
        function, *numbers = (builder.extract_value(values[0], i) for i in range(count))
        kind = ir.FunctionType(WORD, [WORD] * (count - 1)).as_pointer()
        return builder.call(builder.inttoptr(function, kind), numbers)

    return types.intp(types.StarArgTuple([types.intp] * count)), generate


@intrinsic
def address(typing_context, array):
    """The address of the first number of an array."""

    def generate(context, builder, signature, values):
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, WORD)

    return types.intp(array), generate


@intrinsic
def get(typing_context, place):
    """The float at an address."""

    def generate(context, builder, signature, values):
        return builder.load(builder.inttoptr(values[0], ir.FloatType().as_pointer()), typ=ir.FloatType())

    return types.float32(types.intp), generate


@intrinsic
def put(typing_context, place, number):
    """Write a float to an address."""

    def generate(context, builder, signature, values):
        builder.store(values[1], builder.inttoptr(values[0], ir.FloatType().as_pointer()))
        return context.get_dummy_value()

    return types.void(types.intp, types.float32), generate


@intrinsic
def clear(typing_context, target, count):
    """``count`` float zeros from an address on."""

    def generate(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], ir.IntType(8).as_pointer())
        cgutils.memset(builder, pointer, builder.mul(values[1], WORD(4)), 0)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


@intrinsic
def copy_line(typing_context, source, target, count):
    """Copy ``count`` floats from one address on to another; the two may not overlap."""

    def generate(context, builder, signature, values):
        source, target = (builder.inttoptr(value, ir.IntType(8).as_pointer()) for value in values[:2])
        cgutils.raw_memcpy(builder, target, source, values[2], 4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic
def next_chunk(typing_context, team):
    """Take a number from the counter of a team: 0, 1, 2, …, each to one thread only."""

    def generate(context, builder, signature, values):
        counter = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.atomic_rmw("add", counter, WORD(1), "acq_rel")

    return types.intp(team), generate


@intrinsic
def add(typing_context, board, place, number):
    """Add to a word of the board, in one order for all threads; returns what was there."""

    def generate(context, builder, signature, values):
        words = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.atomic_rmw("add", builder.gep(words, [values[1]]), values[2], "seq_cst")

    return types.intp(board, types.intp, types.intp), generate


@intrinsic
def look(typing_context, board, place):
    """A word of the board as it is now."""

    def generate(context, builder, signature, values):
        words = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.load_atomic(builder.gep(words, [values[1]]), "seq_cst", 8)

    return types.intp(board, types.intp), generate


@intrinsic
def put_word(typing_context, board, place, number):
    """Set a word of the board."""

    def generate(context, builder, signature, values):
        words = context.make_array(signature.args[0])(context, builder, values[0]).data
        builder.store_atomic(values[2], builder.gep(words, [values[1]]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(board, types.intp, types.intp), generate


@intrinsic
def pause(typing_context):
    """Tell the core that this thread is waiting in a loop."""

    def generate(context, builder, signature, values):
        nothing, machine = ir.FunctionType(ir.VoidType(), []), builder.module.triple.split("-")[0]
        if machine in ("x86_64", "i386", "i686"):
            builder.call(cgutils.get_or_insert_function(builder.module, nothing, "llvm.x86.sse2.pause"), [])
        elif machine in ("aarch64", "arm64"):
            hint = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            builder.call(cgutils.get_or_insert_function(builder.module, hint, "llvm.aarch64.hint"), [ir.IntType(32)(1)])
        return context.get_dummy_value()

    return types.void(), generate
