"""Sums over pixels, per channel: the second function written in LLVM's own language.

    first[c] = Σ_p (y[p, c] - t[c]),    second[c] = Σ_p (y[p, c] - t[c]) · (x[p, c] - s[c])

With y = x and s = t these are the moments of x about t, with y = dy the sums that the gradient of batch normalisation
needs. Compilers do not keep sums per channel in registers, since to them they are an array in memory that might
overlap x; here they are phi nodes.
"""

from __future__ import annotations

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from . import machine
from .jit import inline
from .machine import Vectors
from .simd import address, declarations

MOST_VECTORS = 4
PARAMETERS = ("x", "y", "s", "t", "first", "second", "pixels", "stride", "columns")


def moments_assembly(unit: Vectors, vectors: int) -> str:
    """The sums for ``vectors`` vectors of channels, the last cut off after ``columns``; ``stride`` floats from pixel to pixel."""
    lanes = unit.lanes
    v, every = f"<{lanes} x float>", range(vectors)

    def place(pointer: str, n: int, name: str) -> str:
        return f"  %{name}.{n}.at = getelementptr float, ptr %{pointer}, i64 {n * lanes}\n"

    def load(pointer: str, n: int, name: str) -> str:
        value = f"load {v}, ptr %{name}.{n}.at, align 4"
        if n == vectors - 1:
            value = (
                f"call {v} @llvm.masked.load.v{lanes}f32.p0(ptr %{name}.{n}.at, i32 4, "
                f"<{lanes} x i1> %mask, {v} zeroinitializer)"
            )
        return place(pointer, n, name) + f"  %{name}.{n} = {value}\n"

    def store(value: str, pointer: str, n: int, name: str) -> str:
        line = f"  store {v} %{value}, ptr %{name}.{n}.at, align 4\n"
        if n == vectors - 1:
            line = (
                f"  call void @llvm.masked.store.v{lanes}f32.p0({v} %{value}, ptr %{name}.{n}.at, i32 4, "
                f"<{lanes} x i1> %mask)\n"
            )
        return place(pointer, n, name) + line

    iota = ", ".join(f"i64 {lane}" for lane in range(lanes))
    pointers = "".join(f"  %{name}.p = inttoptr i64 %{name} to ptr\n" for name in PARAMETERS[:6])
    return f"""
define void @moments_{vectors}({", ".join(f"i64 %{name}" for name in PARAMETERS)}) noinline nounwind {{
entry:
{pointers}  %left = sub i64 %columns, {(vectors - 1) * lanes}
  %left.1 = insertelement <{lanes} x i64> poison, i64 %left, i64 0
  %left.v = shufflevector <{lanes} x i64> %left.1, <{lanes} x i64> poison, <{lanes} x i32> zeroinitializer
  %mask = icmp slt <{lanes} x i64> <{iota}>, %left.v
{"".join(load("s.p", n, "sv") + load("t.p", n, "tv") for n in every)}
  br label %pixel
pixel:
  %p = phi i64 [ %pixels, %entry ], [ %p.next, %pixel ]
  %xp = phi ptr [ %x.p, %entry ], [ %xp.next, %pixel ]
  %yp = phi ptr [ %y.p, %entry ], [ %yp.next, %pixel ]
{
        "".join(
            f'''  %one.{n} = phi {v} [ zeroinitializer, %entry ], [ %one.next.{n}, %pixel ]
  %two.{n} = phi {v} [ zeroinitializer, %entry ], [ %two.next.{n}, %pixel ]
'''
            for n in every
        )
    }
{
        "".join(
            load("xp", n, "xv")
            + load("yp", n, "yv")
            + f'''  %dx.{n} = fsub {v} %xv.{n}, %sv.{n}
  %dy.{n} = fsub {v} %yv.{n}, %tv.{n}
  %one.next.{n} = fadd {v} %one.{n}, %dy.{n}
  %two.next.{n} = call {v} @llvm.fmuladd.v{lanes}f32({v} %dx.{n}, {v} %dy.{n}, {v} %two.{n})
'''
            for n in every
        )
    }
  %xp.next = getelementptr float, ptr %xp, i64 %stride
  %yp.next = getelementptr float, ptr %yp, i64 %stride
  %p.next = sub i64 %p, 1
  %more = icmp sgt i64 %p.next, 0
  br i1 %more, label %pixel, label %end
end:
{"".join(store(f"one.next.{n}", "first.p", n, "f") + store(f"two.next.{n}", "second.p", n, "g") for n in every)}
  ret void
}}
"""


@functools.cache
def table() -> NDArray[np.intp]:
    """``table()[0, vectors]``: the addresses of the functions of this machine."""
    unit, sizes = machine.vectors(), range(1, MOST_VECTORS + 1)
    assembly = declarations(unit.lanes) + "".join(moments_assembly(unit, n) for n in sizes)
    addresses = machine.load(f"moments{unit.lanes}", assembly, [f"moments_{n}" for n in sizes])
    return np.array([[0, *addresses]], np.intp)


@intrinsic
def _call_moments(typing_context, function, x, y, s, t, first, second, pixels, stride, columns):
    def generate(context, builder, signature, values):
        words = [ir.IntType(64)] * len(PARAMETERS)
        pointer = ir.FunctionType(ir.VoidType(), words).as_pointer()
        builder.call(builder.inttoptr(values[0], pointer), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * (1 + len(PARAMETERS))), generate


@inline
def accumulate(functions, lanes, x, y, s, t, first, second, pixels, channels):
    """``first`` and ``second`` (arrays) for all channels of pixels at the addresses x and y."""
    for c in range(0, channels, MOST_VECTORS * lanes):
        columns = min(MOST_VECTORS * lanes, channels - c)
        _call_moments(
            functions[0, (columns + lanes - 1) // lanes], x + 4 * c, y + 4 * c, address(s) + 4 * c, address(t) + 4 * c,
            address(first) + 4 * c, address(second) + 4 * c, pixels, channels, columns,
        )  # fmt: skip
