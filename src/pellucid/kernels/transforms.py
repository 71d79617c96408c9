r"""The small linear maps of Winograd's convolution, and how they are turned into vector instructions.

F(m, 3) computes m neighbouring outputs of a 3-tap filter from t = m + 2 inputs with t multiplications instead of 3 m:

    y = Aᵀ [ (G g) ⊙ (Bᵀ d) ]          and in two dimensions          Y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

It is polynomial multiplication by evaluation: the rows of G evaluate the filter at t points, one of them infinity, and the
rest follows (Toom, Cook). For m = 4 two dimensions need 36 multiplications where the definition needs 144. What it costs is
precision, and that depends on the points: 0, ±3/4, ±3/2, ∞ leave 2.4 times less rounding error than the usual 0, ±1, ±2, ∞.

Source: Lavin, Gray, "Fast algorithms for convolutional neural networks", arXiv:1509.09308; Barabasz et al., "Error analysis and
improving the accuracy of Winograd convolution for deep neural networks", arXiv:1803.10986.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from . import machine
from .machine import Vectors
from .simd import declarations

Matrix = list[list[Fraction]]

POINTS = {
    4: [Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)],
    3: [Fraction(1, 2), Fraction(-1, 2), Fraction(3, 2), Fraction(-3, 2)],
}

# What the transforms do, in the order of ``table()``: x to V, weights to U, products to y, dy to D, dU to dkernel
INPUT, WEIGHTS, OUTPUT, GRADIENT, WEIGHTS_BACK = range(1, 6)
PARAMETERS = ("source", "source_row", "source_column", "target", "target_row", "target_column", "blocks", "added")


def times(a: list[Fraction], b: list[Fraction]) -> list[Fraction]:
    """The product of two polynomials, lowest coefficient first."""
    product = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    return product


def matrices(m: int) -> tuple[Matrix, Matrix, Matrix]:
    """Aᵀ (m, t), G (t, 3), Bᵀ (t, t) of F(m, 3), exactly.

    >>> a, g, b = (np.array(matrix, float) for matrix in matrices(4))
    >>> d, taps = np.arange(6.0) ** 2, np.array([1.0, -2.0, 3.0])
    >>> np.allclose(a @ ((g @ taps) * (b @ d)), np.correlate(d, taps))
    True
    """
    points = POINTS[m]
    t = len(points) + 1
    g, b_t = [], []
    for point in points:
        scale, others = Fraction(1), [Fraction(1)]
        for other in points:
            if other != point:
                scale *= point - other
                others = times(others, [-other, Fraction(1)])
        g.append([point**k / scale for k in range(3)])
        b_t.append(others + [Fraction(0)] * (t - len(others)))
    g.append([Fraction(0), Fraction(0), Fraction(1)])
    b_t.append(functools.reduce(times, [[-point, Fraction(1)] for point in points], [Fraction(1)]))
    a_t = [[point**i for point in points] + [Fraction(int(i == m - 1))] for i in range(m)]
    return a_t, g, b_t


def transposed(matrix: Matrix) -> Matrix:
    """Rows to columns."""
    return [list(column) for column in zip(*matrix, strict=True)]


class _Writer:
    """Writes vector arithmetic in LLVM's assembly language."""

    def __init__(self, lanes: int) -> None:
        self.lanes, self.type = lanes, f"<{lanes} x float>"
        self.lines: list[str] = []
        self.count = 0

    def value(self, instruction: str) -> str:
        """A new value, computed by an instruction."""
        self.count += 1
        self.lines.append(f"  %v{self.count} = {instruction}")
        return f"%v{self.count}"

    def constant(self, number: Fraction) -> str:
        """A vector with the same number in all lanes."""
        bits = f"0x{int(np.float64(np.float32(float(number))).view(np.uint64)):016X}"
        return f"<{', '.join([f'float {bits}'] * self.lanes)}>"

    def add_scaled(self, total: str | None, factor: Fraction, x: str) -> str | None:
        """total + factor · x, where no total counts as zero."""
        if factor == 0:
            return total
        if total is None:
            return x if factor == 1 else self.value(f"fmul {self.type} {x}, {self.constant(factor)}")
        if abs(factor) == 1:
            return self.value(f"{'fadd' if factor == 1 else 'fsub'} {self.type} {total}, {x}")
        return self.value(
            f"call {self.type} @llvm.fmuladd.v{self.lanes}f32({self.type} {x}, {self.type} {self.constant(factor)}, "
            f"{self.type} {total})"
        )

    def combine(self, coefficients: list[Fraction], xs: list[str]) -> str | None:
        """Σ coefficient · x, beginning with a term that needs no multiplication if there is one."""
        total = None
        for factor, x in sorted(zip(coefficients, xs, strict=True), key=lambda term: term[0] != 1):
            total = self.add_scaled(total, factor, x)
        return total

    def multiply(self, matrix: Matrix, xs: list[str]) -> list[str]:
        """matrix · xs. Rows of points ±p have the same even and opposite odd parts: both are computed once."""
        ys: dict[int, str | None] = {}
        for i, row in enumerate(matrix):
            if i in ys:
                continue
            partner = next(
                (k for k in range(i + 1, len(matrix)) if k not in ys and _mirrored(row, matrix[k])), None
            )  # fmt: skip
            if partner is None:
                ys[i] = self.combine(row, xs)
                continue
            even = [r if r == s else Fraction(0) for r, s in zip(row, matrix[partner], strict=True)]
            odd = [r if r != s else Fraction(0) for r, s in zip(row, matrix[partner], strict=True)]
            scale = next(r for r in odd if r)
            e, o = self.combine(even, xs), self.combine([r / scale for r in odd], xs)
            ys[i], ys[partner] = self.add_scaled(e, scale, o), self.add_scaled(e, -scale, o)
        return [ys[i] for i in range(len(matrix))]


def _mirrored(row: list[Fraction], other: list[Fraction]) -> bool:
    """Equal up to signs, in part equal and in part opposite."""
    same = [r == s for r, s in zip(row, other, strict=True) if r or s]
    return all(abs(r) == abs(s) for r, s in zip(row, other, strict=True)) and any(same) and not all(same)


def transform_assembly(name: str, unit: Vectors, matrix: Matrix, *, add: bool = False) -> str:
    """Y = M X Mᵀ for ``blocks`` vectors of channels, as a function.

    X is read from ``source`` with strides for its rows and columns, Y is written to ``target``; both move on by one vector
    from block to block. With ``add``, a vector of ``added`` is added to all of Y.
    """
    w = _Writer(unit.lanes)
    height, width = len(matrix), len(matrix[0])
    place = "getelementptr float, ptr"
    x = [[""] * width for _ in range(width)]
    for i in range(width):
        row = w.value(f"{place} %s, i64 {w.value(f'mul i64 %source_row, {i}')}")
        for j in range(width):
            at = w.value(f"{place} {row}, i64 {w.value(f'mul i64 %source_column, {j}')}")
            x[i][j] = w.value(f"load {w.type}, ptr {at}, align 4")
    half = transposed([w.multiply(matrix, [x[i][j] for i in range(width)]) for j in range(width)])  # (height, width)
    if add:
        extra = w.value(f"load {w.type}, ptr %b, align 4")
    for i in range(height):
        row = w.value(f"{place} %t, i64 {w.value(f'mul i64 %target_row, {i}')}")
        for j, y in enumerate(w.multiply(matrix, half[i])):
            at = w.value(f"{place} {row}, i64 {w.value(f'mul i64 %target_column, {j}')}")
            y = w.value(f"fadd {w.type} {y}, {extra}") if add else y
            w.lines.append(f"  store {w.type} {y}, ptr {at}, align 4")
    body = "\n".join(w.lines)
    return f"""
define void @{name}({", ".join(f"i64 %{parameter}" for parameter in PARAMETERS)}) noinline nounwind {{
entry:
  %source.p = inttoptr i64 %source to ptr
  %target.p = inttoptr i64 %target to ptr
  %added.p = inttoptr i64 %added to ptr
  br label %block
block:
  %n = phi i64 [ %blocks, %entry ], [ %n.next, %block ]
  %s = phi ptr [ %source.p, %entry ], [ %s.next, %block ]
  %t = phi ptr [ %target.p, %entry ], [ %t.next, %block ]
  %b = phi ptr [ %added.p, %entry ], [ %b.next, %block ]
{body}
  %s.next = getelementptr float, ptr %s, i64 {unit.lanes}
  %t.next = getelementptr float, ptr %t, i64 {unit.lanes}
  %b.next = getelementptr float, ptr %b, i64 {unit.lanes}
  %n.next = sub i64 %n, 1
  %more = icmp sgt i64 %n.next, 0
  br i1 %more, label %block, label %end
end:
  ret void
}}
"""


@functools.cache
def table() -> NDArray[np.intp]:
    """``table()[m, INPUT]`` …: the addresses of the transforms of F(m, 3) on this machine."""
    unit = machine.vectors()
    assembly, names = [declarations(unit.lanes)], []
    for m in POINTS:
        a_t, g, b_t = matrices(m)
        maps = [("input", b_t), ("weights", g), ("output", a_t), ("gradient", transposed(a_t)), ("back", transposed(g))]
        for name, matrix in maps:
            names.append(f"{name}_{m}")
            assembly.append(transform_assembly(names[-1], unit, matrix, add=name == "output"))
    addresses = machine.load(f"winograd{unit.lanes}", "".join(assembly), names)
    functions = np.zeros((max(POINTS) + 1, 6), np.intp)
    for i, m in enumerate(POINTS):
        functions[m, 1:] = addresses[5 * i : 5 * i + 5]
    return functions


@intrinsic
def call_transform(
    typing_context, function, source, source_row, source_column, target, target_row, target_column, blocks, added
):
    """Call a transform from compiled code; all arguments are integers (see ``PARAMETERS``)."""

    def generate(context, builder, signature, values):
        words = [ir.IntType(64)] * len(PARAMETERS)
        pointer = ir.FunctionType(ir.VoidType(), words).as_pointer()
        builder.call(builder.inttoptr(values[0], pointer), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * (1 + len(PARAMETERS))), generate
