r"""The register tile: one small matrix product that everything hot is made of.

    C[m, n] = D[m, n] + Σ_r Σ_k A[m, k; r] · B[k, n; r]          m < rows, n < vectors · lanes

A CPU core multiplies and adds whole vectors of numbers in registers (16 float32 with AVX-512), two vectors per cycle at best,
but it can fetch only about as many operands from its nearest memory, and an addition takes four cycles until its result
can be added to. So a fast product keeps a *tile* of C in registers, as many accumulators as fit, and for each k

    loads    B[k, :]        as ``vectors`` whole vectors,
    loads    A[m, k]        as one number, copied to all lanes, for each of ``rows`` rows,
    adds     A[m, k]·B[k, :] to rows × vectors accumulators.

With 14 rows × 2 vectors each number loaded is used 2 or 14 times, and 28 independent additions hide the latency. The
tile, the vectors of B and one broadcast number must fit into the registers (rows·vectors + vectors + 1 ≤ 32): an
accumulator that has to be stored in between costs more than all that was won. That is why the tile is not a Python
loop for a compiler to guess at, but is written here in LLVM's own language: accumulators and pointers are *phi nodes*,
values that a loop carries around and that stay in registers, and every tile is a function of its own that no optimiser
mixes with its surroundings.

A is read through arbitrary strides, and the sum runs over two nested loops, r around k. That makes the product a
convolution without copying the image into columns first: with channels last, the KW·CI inputs of an output pixel are
contiguous in each of KH rows (k over the row, r over the rows), and going from one output pixel to the next is the
stride of m. The gradients are the same product with other strides: see ``conv.py``.

The last vector may stick out over the edge of D and C; ``columns`` says how many columns there really are. B has to be
readable to whole vectors. D is where sums start: a bias (row stride 0), C itself (to add to it) or zeros.

Source: Goto, van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008); Georganas et al.,
"Anatomy of high-performance deep learning convolutions on SIMD architectures", arXiv:1808.05567.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from . import machine
from .machine import Vectors

MOST_VECTORS = 4

# a: address of A, and the strides of m, k, r in it · b: the same for B · d, c: addresses and row strides of D and C
PARAMETERS = ("a", "a_m", "a_k", "a_r", "b", "b_k", "b_r", "d", "d_m", "c", "c_m", "columns", "depth", "repeats")


def tallest_tile(unit: Vectors, vectors: int) -> int:
    """How many rows fit: rows·vectors accumulators, ``vectors`` vectors of B and one broadcast number.

    >>> [tallest_tile(Vectors(16, 32), n) for n in (1, 2, 3, 4)]
    [28, 14, 9, 6]
    """
    return min(28, (unit.registers - vectors - 1) // vectors)


def tile_assembly(unit: Vectors, rows: int, vectors: int) -> str:
    """The tile as a function in LLVM's assembly language: no result, all parameters 64-bit integers, strides in floats."""
    lanes = unit.lanes
    vector, columns = f"<{lanes} x float>", range(vectors)
    tile = [(m, n) for m in range(rows) for n in columns]
    leaders = range(0, rows, 5)  # one moving pointer serves five rows of A: p, p + s, p + 2 s, p + 3 s, p + 4 s

    def each(template: str, items: Any, **names: str) -> str:
        """The template once for every item of a list, with {m}, {n} and further names filled in."""
        return "\n".join(
            template.format(m=i[0], n=i[1], v=vector, nl=i[1] * lanes, **names)
            if isinstance(i, tuple)
            else template.format(m=i, n=i, v=vector, nl=i * lanes, m3=i - i % 3, rest=i % 3, **names)
            for i in items
        )

    def masked(n: int) -> bool:
        return n == vectors - 1

    def start(whole: bool) -> str:
        """Load the tile of D into registers w.m.n or, if the last vector is cut off, t.m.n."""
        lines = []
        for m in range(rows):
            lines.append(f"  %{'w' if whole else 't'}.row.{m} = mul i64 %d_m, {m}")
            for n in columns:
                name, place = f"%{'w' if whole else 't'}.{m}.{n}", f"%{'w' if whole else 't'}.at.{m}.{n}"
                lines.append(f"  {place}.r = getelementptr float, ptr %d.p, i64 %{'w' if whole else 't'}.row.{m}")
                lines.append(f"  {place} = getelementptr float, ptr {place}.r, i64 {n * lanes}")
                if whole or not masked(n):
                    lines.append(f"  {name} = load {vector}, ptr {place}, align 4")
                else:
                    lines.append(
                        f"  {name} = call {vector} @llvm.masked.load.v{lanes}f32.p0(ptr {place}, i32 4, "
                        f"<{lanes} x i1> %mask, {vector} zeroinitializer)"
                    )
        return "\n".join(lines)

    def finish(whole: bool) -> str:
        """Store the accumulators into C."""
        lines = []
        for m in range(rows):
            lines.append(f"  %{'W' if whole else 'T'}.row.{m} = mul i64 %c_m, {m}")
            for n in columns:
                value, place = f"%sum.{m}.{n}", f"%{'W' if whole else 'T'}.at.{m}.{n}"
                lines.append(f"  {place}.r = getelementptr float, ptr %c.p, i64 %{'W' if whole else 'T'}.row.{m}")
                lines.append(f"  {place} = getelementptr float, ptr {place}.r, i64 {n * lanes}")
                if whole or not masked(n):
                    lines.append(f"  store {vector} {value}, ptr {place}, align 4")
                else:
                    lines.append(
                        f"  call void @llvm.masked.store.v{lanes}f32.p0({vector} {value}, ptr {place}, i32 4, "
                        f"<{lanes} x i1> %mask)"
                    )
        return "\n".join(lines)

    iota = ", ".join(f"i64 {lane}" for lane in range(lanes))
    return f"""
define void @tile_{rows}x{vectors}({", ".join(f"i64 %{name}" for name in PARAMETERS)}) noinline nounwind {{
entry:
  %a.p = inttoptr i64 %a to ptr
  %b.p = inttoptr i64 %b to ptr
  %c.p = inttoptr i64 %c to ptr
  %d.p = inttoptr i64 %d to ptr
  %left = sub i64 %columns, {(vectors - 1) * lanes}
  %left.1 = insertelement <{lanes} x i64> poison, i64 %left, i64 0
  %left.v = shufflevector <{lanes} x i64> %left.1, <{lanes} x i64> poison, <{lanes} x i32> zeroinitializer
  %mask = icmp slt <{lanes} x i64> <{iota}>, %left.v
  %whole = icmp sge i64 %left, {lanes}
  %s = shl i64 %a_m, 2
  %s3.sum = mul i64 %s, 3
  %s3 = call i64 asm "", "=r,0"(i64 %s3.sum)
  br i1 %whole, label %start.whole, label %start.cut
start.whole:
{start(True)}
  br label %outer
start.cut:
{start(False)}
  br label %outer

outer:                                                            ; r = repeats … 1
  %r = phi i64 [ %repeats, %start.whole ], [ %repeats, %start.cut ], [ %r.next, %outer.end ]
  %a.row = phi ptr [ %a.p, %start.whole ], [ %a.p, %start.cut ], [ %a.row.next, %outer.end ]
  %b.row = phi ptr [ %b.p, %start.whole ], [ %b.p, %start.cut ], [ %b.row.next, %outer.end ]
{
        each(
            "  %o.{m}.{n} = phi {v} [ %w.{m}.{n}, %start.whole ], [ %t.{m}.{n}, %start.cut ], [ %sum.{m}.{n}, %outer.end ]",
            tile,
        )
    }
{
        each(
            '''  %lead.{m} = mul i64 %a_m, {m}
  %a.from.{m} = getelementptr float, ptr %a.row, i64 %lead.{m}''',
            leaders,
        )
    }
  br label %inner

inner:                                                            ; k = depth … 1
  %k = phi i64 [ %depth, %outer ], [ %k.next, %inner ]
  %b.at = phi ptr [ %b.row, %outer ], [ %b.at.next, %inner ]
{each("  %a.{m} = phi ptr [ %a.from.{m}, %outer ], [ %a.next.{m}, %inner ]", leaders)}
{each("  %acc.{m}.{n} = phi {v} [ %o.{m}.{n}, %outer ], [ %sum.{m}.{n}, %inner ]", tile)}
{
        each(
            '''  %b.at.{n} = getelementptr float, ptr %b.at, i64 {nl}
  %b.{n} = load {v}, ptr %b.at.{n}, align 4''',
            columns,
        )
    }
{each('''  %p.{m} = call ptr asm "", "=r,0"(ptr %a.{m})''', leaders)}
  %s2 = shl i64 %s, 1
  %s4 = shl i64 %s, 2
{
        "".join(
            f'''  %a.at.{m} = getelementptr i8, ptr %p.{m - m % 5}, i64 {("0", "%s", "%s2", "%s3", "%s4")[m % 5]}
  %number.{m} = load float, ptr %a.at.{m}, align 4
  %first.{m} = insertelement {vector} poison, float %number.{m}, i64 0
  %copies.{m} = shufflevector {vector} %first.{m}, {vector} poison, <{lanes} x i32> zeroinitializer
{
                each(
                    "  %sum.{m}.{n} = call {v} @llvm.fmuladd.v"
                    + str(lanes)
                    + "f32({v} %copies.{m}, {v} %b.{n}, {v} %acc.{m}.{n})",
                    [(m, n) for n in columns],
                )
            }
'''
            for m in range(rows)
        )
    }
{each("  %a.next.{m} = getelementptr float, ptr %p.{m}, i64 %a_k", leaders)}
  %b.at.next = getelementptr float, ptr %b.at, i64 %b_k
  %k.next = sub i64 %k, 1
  %k.more = icmp sgt i64 %k.next, 0
  br i1 %k.more, label %inner, label %outer.end

outer.end:
  %a.row.next = getelementptr float, ptr %a.row, i64 %a_r
  %b.row.next = getelementptr float, ptr %b.row, i64 %b_r
  %r.next = sub i64 %r, 1
  %r.more = icmp sgt i64 %r.next, 0
  br i1 %r.more, label %outer, label %finish

finish:
  br i1 %whole, label %finish.whole, label %finish.cut
finish.whole:
{finish(True)}
  ret void
finish.cut:
{finish(False)}
  ret void
}}
"""


def declarations(lanes: int) -> str:
    """The LLVM intrinsics that the functions of this file use."""
    v, mask = f"<{lanes} x float>", f"<{lanes} x i1>"
    return f"""
declare {v} @llvm.fmuladd.v{lanes}f32({v}, {v}, {v})
declare {v} @llvm.masked.load.v{lanes}f32.p0(ptr, i32, {mask}, {v})
declare void @llvm.masked.store.v{lanes}f32.p0({v}, ptr, i32, {mask})
"""


@functools.cache
def tiles() -> NDArray[np.intp]:
    """The addresses of the tiles of this machine: ``tiles()[vectors, rows]``; ``tiles()[vectors, 0]`` is the most rows."""
    unit = machine.vectors()
    sizes = [(rows, n) for n in range(1, MOST_VECTORS + 1) for rows in range(1, tallest_tile(unit, n) + 1)]
    assembly = declarations(unit.lanes) + "".join(tile_assembly(unit, rows, n) for rows, n in sizes)
    addresses = machine.load(f"tiles{unit.lanes}", assembly, [f"tile_{rows}x{n}" for rows, n in sizes])
    table = np.zeros((MOST_VECTORS + 1, 29), np.intp)
    for (rows, n), address in zip(sizes, addresses, strict=True):
        table[n, rows] = address
        table[n, 0] = max(table[n, 0], rows)
    table.flags.writeable = False
    return table


@intrinsic
def call_tile(typing_context, *arguments):
    """``call_tile(address, *PARAMETERS)``: call a tile from compiled code."""
    wanted = 1 + len(PARAMETERS)
    if len(arguments[0] if len(arguments) == 1 else arguments) != wanted:
        raise TypeError(f"call_tile takes an address and {PARAMETERS}")

    def generate(context, builder, signature, values):
        word = ir.IntType(64)
        numbers = [builder.extract_value(values[0], i) for i in range(wanted)]
        function = ir.FunctionType(ir.VoidType(), [word] * (wanted - 1)).as_pointer()
        builder.call(builder.inttoptr(numbers[0], function), numbers[1:])
        return context.get_dummy_value()

    return types.void(types.StarArgTuple([types.intp] * wanted)), generate


@intrinsic
def address(typing_context, array):
    """The address of the first number of an array. The array must be used again after the last use of the address."""

    def generate(context, builder, signature, values):
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.intp(array), generate


Assembler = Callable[[Vectors], str]
