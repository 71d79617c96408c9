"""A small writer of LLVM's assembly language for vectors of float32.

LLVM's language has any number of *values*, each assigned once. A loop therefore has no variables: a value that changes
from turn to turn is a ``phi`` node at the head of the loop, which says what it is when the loop is entered and what it is
when the loop comes round again. LLVM maps values to registers; a phi node is simply a register that stays in use.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .jit import Intrinsic

MASKED_LANES = 16  # of a vector from which on CPUs have quick masked stores


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

    def bytes(self, pointer: str, count: str | int, name: str = "") -> str:
        """A pointer some bytes further on."""
        return self.value(f"getelementptr i8, ptr {pointer}, i64 {count}", name)

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

    def store_first(self, count: str, vectors: Sequence[tuple[str, str]], kind: str = "float") -> None:
        """The first ``count`` lanes of some (vector, pointer) to memory, fewer than all of them; then in a new block.

        Where masked stores are slow, which is everywhere but with AVX-512, by halves, quarters … of the vector.
        """
        width, lanes = self.lanes, f"<{self.lanes} x {kind}>"
        if self.lanes >= MASKED_LANES:
            mask, bits = self.first_lanes(count), f"<{self.lanes} x i1>"
            name = f"v{self.lanes}{'f32' if kind == 'float' else kind}"
            for vector, pointer in vectors:
                self.line(
                    f"call void @llvm.masked.store.{name}.p0({lanes} {vector}, ptr {pointer}, i32 1, {bits} {mask})"
                )
            width = 1
        while width > 1:
            half, lanes = width // 2, f"<{width} x {kind}>"
            places = ", ".join(f"i32 {lane}" for lane in range(width)).split(", ")
            bit = self.value(f"and i64 {count}, {half}")
            some = self.value(f"icmp ne i64 {bit}, 0")
            low, high = (
                [
                    self.value(
                        f"shufflevector {lanes} {vector}, {lanes} poison, <{half} x i32> <{', '.join(places[part])}>"
                    )
                    for vector, _ in vectors
                ]
                for part in (slice(0, half), slice(half, width))
            )
            self.count += 1
            store, after = f"store{self.count}", f"stored{self.count}"
            self.line(f"br i1 {some}, label %{store}, label %{after}")
            self.label(store)
            for vector, (_, pointer) in zip(low, vectors, strict=True):
                self.line(f"store <{half} x {kind}> {vector}, ptr {pointer}, align 1")
            self.line(f"br label %{after}")
            self.label(after)
            vectors = [
                (
                    self.value(f"select i1 {some}, <{half} x {kind}> {second}, <{half} x {kind}> {first}"),
                    self.value(f"getelementptr {kind}, ptr {pointer}, i64 {bit}"),
                )
                for first, second, (_, pointer) in zip(low, high, vectors, strict=True)
            ]
            width = half

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


# What compiled Python says about addresses; see ``intrinsics``.
address, call, clear, copy_line, get, put, word = map(
    Intrinsic, ("address", "call", "clear", "copy_line", "get", "put", "word")
)
flat, numbers = Intrinsic("flat"), Intrinsic("numbers")
