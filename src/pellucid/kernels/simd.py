r"""The register tile: one small matrix product that everything hot is made of.

    C[m, n] = D[m, n] + Σ_r Σ_k A[m, k; r] · B[k, n; r]          m < rows, n < vectors · lanes

A CPU core multiplies and adds whole vectors of numbers in registers (16 float32 with AVX-512), two vectors per cycle at best,
but it can fetch only about as many operands from its nearest memory, and an addition takes four cycles until its result
can be added to. So a fast product keeps a *tile* of C in registers, as many accumulators as fit, and for each k

    loads    B[k, :]         as ``vectors`` whole vectors,
    loads    A[m, k]         as one number, copied to all lanes, for each of ``rows`` rows,
    adds     A[m, k]·B[k, :] to rows × vectors accumulators.

With 14 rows × 2 vectors each number loaded is used 2 or 14 times, and 28 independent additions hide the latency. The tile, the
vectors of B and one broadcast number must fit into the registers (rows·vectors + vectors + 1 ≤ 32): an accumulator that
has to be stored in between costs more than all that was won. That is why the tile is not a Python loop for a compiler to
guess at, but is written here in LLVM's own language: accumulators and pointers are *phi nodes* (see ``assembly``), and
every tile is a function of its own that no optimiser mixes with its surroundings.

A is read through arbitrary strides, and the sum runs over two nested loops, r around k. That makes the product a
convolution without copying the image into columns first: with channels last, the KW·CI inputs of an output pixel are
contiguous in each of KH rows (k over the row, r over the rows), and going from one output pixel to the next is the stride
of m. The gradients are the same product with other strides: see ``convolve``.

The last vector may stick out over the edge of D and C; ``columns`` says how many columns there really are. B has to be
readable to whole vectors. D is where sums start: a bias (row stride 0), C itself (to add to it) or zeros. What is smaller
than ``floor`` is stored as ``floor``: minus infinity changes nothing, zero is ReLU for free.

Source: Goto, van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34 (2008); Georganas et al.,
"Anatomy of high-performance deep learning convolutions on SIMD architectures", arXiv:1808.05567.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from . import machine
from .assembly import Function, address, declarations, module
from .machine import Vectors

MOST_VECTORS, MOST_ROWS = 4, 28

# a: address of A, and the strides of m, k, r in it · b: the same for B · d, c: addresses and row strides of D and C ·
# depth, repeats: how far k and r run (both at least 1) · floor: the bits of a float
PARAMETERS = (
    "a",
    "a_m",
    "a_k",
    "a_r",
    "b",
    "b_k",
    "b_r",
    "d",
    "d_m",
    "c",
    "c_m",
    "columns",
    "depth",
    "repeats",
    "floor",
)
NO_FLOOR = int(np.float32(-np.inf).view(np.uint32))
RELU = 0

LED = 5  # rows of A that one moving pointer p serves: p, p + s, p + 2 s, p + 3 s, p + 4 s


def tallest_tile(unit: Vectors, vectors: int) -> int:
    """How many rows fit: rows·vectors accumulators, ``vectors`` vectors of B and one broadcast number.

    >>> [tallest_tile(Vectors(16, 32), n) for n in (1, 2, 3, 4)]
    [28, 14, 9, 6]
    """
    return min(MOST_ROWS, (unit.registers - vectors - 1) // vectors)


def tile(unit: Vectors, rows: int, vectors: int) -> str:
    """The tile of this size as a function in LLVM's assembly language. All strides are in floats."""
    f = Function(f"tile_{rows}x{vectors}", PARAMETERS, unit.lanes)
    places = [(m, n) for m in range(rows) for n in range(vectors)]
    leaders = range(0, rows, LED)
    a, b, c, d = (f.pointer(f"%{name}") for name in "abcd")
    floor = f.broadcast(f.float_from_bits("%floor"))
    left = f.value(f"sub i64 %columns, {(vectors - 1) * unit.lanes}")  # columns in the last vector
    mask = f.first_lanes(left)
    whole = f.value(f"icmp sge i64 {left}, {unit.lanes}")
    # The rows of A that a pointer serves are s apart, in bytes: CPUs add s, 2 s, 4 s to an address for free, 3 s needs a
    # register. The empty assembler instruction hides from LLVM that 3 s and s are related; it would otherwise walk from
    # row to row in a chain of additions, which is as slow as all the arithmetic.
    s = f.value("shl i64 %a_m, 2")
    s3 = f.value(f'call i64 asm "", "=r,0"(i64 {f.value(f"mul i64 {s}, 3")})')

    def corner(pointer: str, stride: str, m: int, n: int) -> str:
        """Where the vector n of row m of C or D lies."""
        return f.offset(f.offset(pointer, f.value(f"mul i64 {stride}, {m}")), n * unit.lanes)

    def cut(n: int, masked: bool) -> str | None:
        """The mask for a vector, if it needs one."""
        return mask if masked and n == vectors - 1 else None

    # D into registers, by whole vectors or with the last one cut off
    starts = {}
    f.line(f"br i1 {whole}, label %start.whole, label %start.cut")
    for block in ("start.whole", "start.cut"):
        f.label(block)
        starts[block] = {(m, n): f.load(corner(d, "%d_m", m, n), cut(n, block == "start.cut")) for m, n in places}
        f.line("br label %outer")

    f.label("outer")  # r = repeats … 1
    r = _phi(f, "i64", "%repeats", "%r.next")
    a_row, b_row = _phi(f, "ptr", a, "%a.row.next"), _phi(f, "ptr", b, "%b.row.next")
    sums = {
        (m, n): _phi(f, f.vector, starts["start.whole"][m, n], f"%sum.{m}.{n}", starts["start.cut"][m, n])
        for m, n in places
    }
    firsts = {m: f.offset(a_row, f.value(f"mul i64 %a_m, {m}")) for m in leaders}
    f.line("br label %inner")

    f.label("inner")  # k = depth … 1
    k = f.phi("i64", outer="%depth", inner="%k.next")
    b_at = f.phi("ptr", outer=b_row, inner="%b.next")
    a_at = {m: f.phi("ptr", outer=firsts[m], inner=f"%a.next.{m}") for m in leaders}
    accumulators = {(m, n): f.phi(f.vector, outer=sums[m, n], inner=f"%sum.{m}.{n}") for m, n in places}
    b_k = [f.load(f.offset(b_at, n * unit.lanes)) for n in range(vectors)]
    p = {m: f.value(f'call ptr asm "", "=r,0"(ptr {a_at[m]})') for m in leaders}
    steps = ["0", s, f.value(f"shl i64 {s}, 1"), s3, f.value(f"shl i64 {s}, 2")]
    for m in range(rows):
        at = f.value(f"getelementptr i8, ptr {p[m - m % LED]}, i64 {steps[m % LED]}")
        a_mk = f.broadcast(f.value(f"load float, ptr {at}, align 4"))
        for n in range(vectors):
            f.multiply_add(a_mk, b_k[n], accumulators[m, n], f"sum.{m}.{n}")
    for m in leaders:
        f.offset(p[m], "%a_k", f"a.next.{m}")
    f.offset(b_at, "%b_k", "b.next")
    f.count_down(k, "k.next", "inner", "outer.end")

    f.label("outer.end")
    f.offset(a_row, "%a_r", "a.row.next")
    f.offset(b_row, "%b_r", "b.row.next")
    f.count_down(r, "r.next", "outer", "finish")

    # the registers into C
    f.label("finish")
    results = {(m, n): f.at_least(f"%sum.{m}.{n}", floor) for m, n in places}
    f.line(f"br i1 {whole}, label %finish.whole, label %finish.cut")
    for block in ("finish.whole", "finish.cut"):
        f.label(block)
        last = vectors - 1 if block == "finish.cut" else vectors
        for m, n in places:
            if n < last:
                f.store(results[m, n], corner(c, "%c_m", m, n))
        if last < vectors:
            f.store_first(left, [(results[m, last], corner(c, "%c_m", m, last)) for m in range(rows)])
        f.line("br label %end")
    f.label("end")
    return f.text()


def _phi(f: Function, type_: str, first: str, following: str, first_cut: str = "") -> str:
    """A value of the outer loop, which is entered from either of the blocks that load D."""
    return f.phi(type_, **{"start.whole": first, "start.cut": first_cut or first, "outer.end": following})


def product(unit: Vectors) -> str:
    """C = D + Σ_r Σ_k A·B for any number of rows: its parameters are the address of a row of ``tiles()``, rows, a tile's.

    The rows are cut into pieces of nearly equal height, none higher than the tallest tile: 31 rows are better done as
    11 + 10 + 10 than as 14 + 14 + 3, since a low tile does not keep the arithmetic units busy.
    """
    f = Function("product", ("row", "rows", *PARAMETERS), unit.lanes)
    row = f.pointer("%row")
    tallest = f.value(f"load i64, ptr {row}")
    rounded_up = f.value(f"add i64 %rows, {f.value(f'sub i64 {tallest}, 1')}")
    pieces = f.value(f"udiv i64 {rounded_up}, {tallest}")
    f.line("br label %piece")
    f.label("piece")
    piece = f.phi("i64", entry="1", piece="%piece.next")
    first = f.phi("i64", entry="0", piece="%end.row")
    end = f.value(f"udiv i64 {f.value(f'mul i64 %rows, {piece}')}, {pieces}", "end.row")
    height = f.value(f"sub i64 {end}, {first}")
    place = f.value(f"load i64, ptr {f.value(f'getelementptr i64, ptr {row}, i64 {height}')}")
    moved = {}
    for name in "adc":  # B is the same for all rows
        step = f.value(f"shl i64 {f.value(f'mul i64 {first}, %{name}_m')}, 2")
        moved[name] = f.value(f"add i64 %{name}, {step}")
    arguments = ", ".join(f"i64 {moved.get(name, f'%{name}')}" for name in PARAMETERS)
    f.line(f"call void {f.value(f'inttoptr i64 {place} to ptr')}({arguments})")
    f.value(f"add i64 {piece}, 1", "piece.next")
    more = f.value(f"icmp slt i64 {end}, %rows")
    f.line(f"br i1 {more}, label %piece, label %done")
    f.label("done")
    return f.text()


@functools.cache
def tiles() -> NDArray[np.intp]:
    """The addresses of the tiles of this machine: ``tiles()[vectors, rows]``; ``tiles()[vectors, 0]`` is the most rows.

    ``tiles()[0, 0]`` is the address of ``product``.
    """
    unit = machine.vectors()
    sizes = [(rows, n) for n in range(1, MOST_VECTORS + 1) for rows in range(1, tallest_tile(unit, n) + 1)]
    text = module(unit.lanes, [product(unit), *(tile(unit, rows, n) for rows, n in sizes)])
    names = ["product", *(f"tile_{rows}x{n}" for rows, n in sizes)]
    table = np.zeros((MOST_VECTORS + 1, MOST_ROWS + 1), np.intp)
    table[0, 0], *addresses = machine.assemble(f"tiles{unit.lanes}", text, names)
    for (rows, n), place in zip(sizes, addresses, strict=True):
        table[n, rows] = place
        table[n, 0] = max(table[n, 0], rows)
    table.flags.writeable = False
    return table


__all__ = ["MOST_VECTORS", "NO_FLOOR", "RELU", "address", "declarations", "product", "tallest_tile", "tile", "tiles"]
