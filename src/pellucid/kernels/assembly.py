"""A small writer of LLVM's assembly language for vectors of float32.

LLVM's language has any number of *values*, each assigned once. A loop therefore has no variables: a value that changes
from turn to turn is a ``phi`` node at the head of the loop, which says what it is when the loop is entered and what it is
when the loop comes round again. LLVM maps values to registers; a phi node is simply a register that stays in use.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


class Function:
    """The text of one function, written from top to bottom; its parameters are 64-bit integers, it returns nothing."""

    def __init__(self, name: str, parameters: Sequence[str], lanes: int) -> None:
        self.lanes = lanes
        self.vector = f"<{lanes} x float>"
        self.lines = [
            f"define void @{name}({', '.join(f'i64 %{p}' for p in parameters)}) noinline nounwind {{",
            "entry:",
        ]
        self.count = 0

    def text(self) -> str:
        """The whole function."""
        return "\n".join([*self.lines, "  ret void", "}", ""])

    def line(self, instruction: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {instruction}")

    def label(self, name: str) -> None:
        """The beginning of a block, which branches and phi nodes refer to."""
        self.lines.append(f"{name}:")

    def value(self, instruction: str, name: str = "") -> str:
        """A new value, computed by an instruction. It needs a name if a phi node above refers to it."""
        self.count += 1
        result = f"%{name or f'v{self.count}'}"
        self.line(f"{result} = {instruction}")
        return result

    def phi(self, type_: str, **sources: str) -> str:
        """One value or another, depending on the block that we came from: ``phi("i64", entry="%n", loop="%n.next")``."""
        return self.value(f"phi {type_} " + ", ".join(f"[ {value}, %{block} ]" for block, value in sources.items()))

    def pointer(self, integer: str) -> str:
        """An integer parameter as a pointer."""
        return self.value(f"inttoptr i64 {integer} to ptr")

    def offset(self, pointer: str, floats: str | int, name: str = "") -> str:
        """A pointer some floats further on."""
        return self.value(f"getelementptr float, ptr {pointer}, i64 {floats}", name)

    def count_down(self, counter: str, name: str, again: str, done: str) -> None:
        """The end of a loop that runs ``counter`` more times; the counter of the next turn gets a name."""
        following = self.value(f"sub i64 {counter}, 1", name)
        more = self.value(f"icmp sgt i64 {following}, 0")
        self.line(f"br i1 {more}, label %{again}, label %{done}")

    def broadcast(self, number: str) -> str:
        """A float in all lanes."""
        first = self.value(f"insertelement {self.vector} poison, float {number}, i64 0")
        return self.value(
            f"shufflevector {self.vector} {first}, {self.vector} poison, <{self.lanes} x i32> zeroinitializer"
        )

    def constant(self, number: float) -> str:
        """A vector with the same number in all lanes."""
        bits = f"0x{int(np.float64(np.float32(number)).view(np.uint64)):016X}"
        return f"<{', '.join([f'float {bits}'] * self.lanes)}>"

    def first_lanes(self, count: str) -> str:
        """A mask of the first lanes, ``count`` of them."""
        words = f"<{self.lanes} x i64>"
        one = self.value(f"insertelement {words} poison, i64 {count}, i64 0")
        counts = self.value(f"shufflevector {words} {one}, {words} poison, <{self.lanes} x i32> zeroinitializer")
        numbers = ", ".join(f"i64 {lane}" for lane in range(self.lanes))
        return self.value(f"icmp slt {words} <{numbers}>, {counts}")

    def load(self, pointer: str, mask: str | None = None) -> str:
        """A vector from memory; lanes outside the mask are not read, and zero."""
        if mask is None:
            return self.value(f"load {self.vector}, ptr {pointer}, align 4")
        return self.value(
            f"call {self.vector} @llvm.masked.load.v{self.lanes}f32.p0(ptr {pointer}, i32 4, <{self.lanes} x i1> {mask}, "
            f"{self.vector} zeroinitializer)"
        )

    def store(self, vector: str, pointer: str, mask: str | None = None) -> None:
        """A vector to memory; lanes outside the mask are not written."""
        if mask is None:
            self.line(f"store {self.vector} {vector}, ptr {pointer}, align 4")
        else:
            self.line(
                f"call void @llvm.masked.store.v{self.lanes}f32.p0({self.vector} {vector}, ptr {pointer}, i32 4, "
                f"<{self.lanes} x i1> {mask})"
            )

    def arithmetic(self, operation: str, a: str, b: str) -> str:
        """``fadd``, ``fsub`` or ``fmul`` of two vectors."""
        return self.value(f"{operation} {self.vector} {a}, {b}")

    def multiply_add(self, a: str, b: str, c: str, name: str = "") -> str:
        """a · b + c, rounded once where the CPU can."""
        v = self.vector
        return self.value(f"call {v} @llvm.fmuladd.v{self.lanes}f32({v} {a}, {v} {b}, {v} {c})", name)

    def at_least(self, vector: str, floor: str) -> str:
        """The larger of two vectors, lane by lane; what is not a number stays so."""
        below = self.value(f"fcmp olt {self.vector} {vector}, {floor}")
        return self.value(f"select <{self.lanes} x i1> {below}, {self.vector} {floor}, {self.vector} {vector}")

    def float_from_bits(self, bits: str) -> str:
        """The float whose bits are the lower half of an integer."""
        return self.value(f"bitcast i32 {self.value(f'trunc i64 {bits} to i32')} to float")


def declarations(lanes: int) -> str:
    """The LLVM intrinsics that functions may use."""
    v, mask = f"<{lanes} x float>", f"<{lanes} x i1>"
    return f"""
declare {v} @llvm.fmuladd.v{lanes}f32({v}, {v}, {v})
declare {v} @llvm.masked.load.v{lanes}f32.p0(ptr, i32, {mask}, {v})
declare void @llvm.masked.store.v{lanes}f32.p0({v}, ptr, i32, {mask})
"""


def module(lanes: int, functions: Sequence[str]) -> str:
    """Functions and the declarations that they need."""
    return declarations(lanes) + "".join(functions)


@intrinsic
def call(typing_context, *arguments):
    """``call(address, *integers)``: call a function written here from compiled Python."""
    count = len(arguments[0] if len(arguments) == 1 and not isinstance(arguments[0], types.Integer) else arguments)

    def generate(context, builder, signature, values):
        word = ir.IntType(64)
        function, *numbers = (builder.extract_value(values[0], i) for i in range(count))
        kind = ir.FunctionType(ir.VoidType(), [word] * (count - 1)).as_pointer()
        builder.call(builder.inttoptr(function, kind), numbers)
        return context.get_dummy_value()

    return types.void(types.StarArgTuple([types.intp] * count)), generate


@intrinsic
def address(typing_context, array):
    """The address of the first number of an array. The array must be used again after the last use of the address."""

    def generate(context, builder, signature, values):
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

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
        cgutils.memset(builder, pointer, builder.mul(values[1], ir.IntType(64)(4)), 0)
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
