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
from numpy.typing import NDArray

from . import machine, transpose
from .assembly import Function, module
from .machine import Vectors

Matrix = list[list[Fraction]]

POINTS = {
    4: [Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)],
    3: [Fraction(1, 2), Fraction(-1, 2), Fraction(3, 2), Fraction(-3, 2)],
}

# What the transforms do, in the order of ``table()``: x to V, weights to U, products to y, dy to D, dU to dkernel
INPUT, WEIGHTS, OUTPUT, GRADIENT, WEIGHTS_BACK = range(1, 6)
PARAMETERS = (
    "source",
    "source_row",
    "source_column",
    "target",
    "target_row",
    "target_column",
    "blocks",
    "bias",
    "floor",
)


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


def transposed(matrix: list) -> list:
    """Rows to columns."""
    return [list(column) for column in zip(*matrix, strict=True)]


def add_scaled(f: Function, total: str | None, factor: Fraction, x: str) -> str | None:
    """total + factor · x, where no total counts as zero."""
    if factor == 0:
        return total
    if total is None:
        return x if factor == 1 else f.arithmetic("fmul", x, f.constant(float(factor)))
    if abs(factor) == 1:
        return f.arithmetic("fadd" if factor == 1 else "fsub", total, x)
    return f.multiply_add(x, f.constant(float(factor)), total)


def combine(f: Function, coefficients: list[Fraction], xs: list[str]) -> str | None:
    """Σ coefficient · x, beginning with a term that needs no multiplication if there is one."""
    total = None
    for factor, x in sorted(zip(coefficients, xs, strict=True), key=lambda term: term[0] != 1):
        total = add_scaled(f, total, factor, x)
    return total


def multiply(f: Function, matrix: Matrix, xs: list[str]) -> list[str]:
    """matrix · xs. Rows of points ±p have the same even and opposite odd parts: both are computed once."""
    ys: dict[int, str | None] = {}
    for i, row in enumerate(matrix):
        if i in ys:
            continue
        partner = next((k for k in range(i + 1, len(matrix)) if k not in ys and _mirrored(row, matrix[k])), None)
        if partner is None:
            ys[i] = combine(f, row, xs)
            continue
        even = [r if r == s else Fraction(0) for r, s in zip(row, matrix[partner], strict=True)]
        odd = [r if r != s else Fraction(0) for r, s in zip(row, matrix[partner], strict=True)]
        scale = next(r for r in odd if r)
        e, o = combine(f, even, xs), combine(f, [r / scale for r in odd], xs)
        assert e is not None  # equal up to signs, in part equal and in part opposite: neither part is zero
        assert o is not None
        ys[i], ys[partner] = add_scaled(f, e, scale, o), add_scaled(f, e, -scale, o)
    return [str(ys[i]) for i in range(len(matrix))]


def _mirrored(row: list[Fraction], other: list[Fraction]) -> bool:
    """Equal up to signs, in part equal and in part opposite."""
    same = [r == s for r, s in zip(row, other, strict=True) if r or s]
    return all(abs(r) == abs(s) for r, s in zip(row, other, strict=True)) and any(same) and not all(same)


def transform(name: str, unit: Vectors, matrix: Matrix, *, output: bool = False) -> str:
    """Y = M X Mᵀ for ``blocks`` vectors of channels, as a function.

    X is read from ``source`` with strides for its rows and columns, Y is written to ``target``; both move on by one vector
    from block to block. For an ``output`` a vector of ``bias`` is added to all of Y, and ``floor`` is its least value.
    """
    f = Function(name, PARAMETERS, unit.lanes)
    height, width = len(matrix), len(matrix[0])
    source, target, bias = (f.pointer(f"%{pointer}") for pointer in ("source", "target", "bias"))
    floor = f.broadcast(f.float_from_bits("%floor")) if output else ""
    f.line("br label %block")
    f.label("block")
    n = f.phi("i64", entry="%blocks", block="%n.next")
    source_at, target_at, bias_at = (
        f.phi("ptr", entry=pointer, block=f"%{following}.next")
        for pointer, following in ((source, "s"), (target, "t"), (bias, "b"))
    )
    x = []
    for i in range(width):
        row = f.offset(source_at, f.value(f"mul i64 %source_row, {i}"))
        x.append([f.load(f.offset(row, f.value(f"mul i64 %source_column, {j}"))) for j in range(width)])
    half = transposed([multiply(f, matrix, [x[i][j] for i in range(width)]) for j in range(width)])  # (height, width)
    extra = f.load(bias_at) if output else ""
    for i in range(height):
        row = f.offset(target_at, f.value(f"mul i64 %target_row, {i}"))
        for j, y in enumerate(multiply(f, matrix, half[i])):
            y = f.at_least(f.arithmetic("fadd", y, extra), floor) if output else y
            f.store(y, f.offset(row, f.value(f"mul i64 %target_column, {j}")))
    for pointer, name_ in ((source_at, "s.next"), (target_at, "t.next"), (bias_at, "b.next")):
        f.offset(pointer, unit.lanes, name_)
    f.count_down(n, "n.next", "block", "end")
    f.label("end")
    return f.text()


@functools.cache
def table() -> NDArray[np.intp]:
    """``table()[m, INPUT]`` …: the addresses of the transforms of F(m, 3) on this machine; row 0 is ``transpose.table()``."""
    unit = machine.vectors()
    functions, names = [], []
    for m in POINTS:
        a_t, g, b_t = matrices(m)
        maps = [("input", b_t), ("weights", g), ("output", a_t), ("gradient", transposed(a_t)), ("back", transposed(g))]
        for name, matrix in maps:
            names.append(f"{name}_{m}")
            functions.append(transform(names[-1], unit, matrix, output=name == "output"))
    addresses = machine.assemble(f"winograd{unit.lanes}", module(unit.lanes, functions), names)
    places = np.zeros((max(POINTS) + 1, 6), np.intp)
    places[0] = transpose.table()[0]
    for i, m in enumerate(POINTS):
        places[m, 1:] = addresses[5 * i : 5 * i + 5]
    return places
