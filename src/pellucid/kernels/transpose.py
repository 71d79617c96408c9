"""Moving matrices: into panels of whole vectors, and transposed.

Squares of as many rows as a vector has lanes are transposed in registers. A square is transposed in log₂(lanes)
rounds. In the round with distance d, rows i and i + d exchange the off-diagonal d x d squares of their 2d x 2d
squares, which is one shuffle for each row. Source: Eklundh, "A fast computer method for matrix transposing", IEEE
Transactions on Computers C-21 (1972).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from . import machine
from .assembly import Function, call, get, module, put
from .jit import inline
from .machine import Vectors

MOST_VECTORS = 4
PARAMETERS = ("source", "source_row", "target", "target_row")


def square(unit: Vectors) -> str:
    """target[j, i] = source[i, j] for one square; strides in floats."""
    f = Function("transpose", PARAMETERS, unit.lanes)
    source, target = f.pointer("%source"), f.pointer("%target")
    lanes = range(unit.lanes)
    rows = [f.load(f.offset(source, f.value(f"mul i64 %source_row, {i}"))) for i in lanes]
    distance = 1
    while distance < unit.lanes:
        for i in lanes:
            if i & distance:
                continue
            a, b = rows[i], rows[i + distance]
            # lanes of b are numbered behind those of a
            first = [unit.lanes + lane - distance if lane & distance else lane for lane in lanes]
            second = [unit.lanes + lane if lane & distance else lane + distance for lane in lanes]
            rows[i], rows[i + distance] = (_shuffle(f, a, b, chosen) for chosen in (first, second))
        distance *= 2
    for i in lanes:
        f.store(rows[i], f.offset(target, f.value(f"mul i64 %target_row, {i}")))
    return f.text()


COPY_PARAMETERS = ("source", "source_row", "target", "target_row", "columns", "rows")


def copy_rows(unit: Vectors, vectors: int) -> str:
    """target[i, j] = source[i, j] for j < columns, and zeros up to ``vectors`` whole vectors; the columns end in the last."""
    f = Function(f"copy_{vectors}", COPY_PARAMETERS, unit.lanes)
    source, target = f.pointer("%source"), f.pointer("%target")
    mask = f.first_lanes(f.value(f"sub i64 %columns, {(vectors - 1) * unit.lanes}"))
    f.line("br label %row")
    f.label("row")
    n = f.phi("i64", entry="%rows", row="%n.next")
    s, t = f.phi("ptr", entry=source, row="%s.next"), f.phi("ptr", entry=target, row="%t.next")
    for i in range(vectors):
        last = i == vectors - 1
        f.store(f.load(f.offset(s, i * unit.lanes), mask if last else None), f.offset(t, i * unit.lanes))
    f.offset(s, "%source_row", "s.next")
    f.offset(t, "%target_row", "t.next")
    f.count_down(n, "n.next", "row", "end")
    f.label("end")
    return f.text()


def _shuffle(f: Function, a: str, b: str, lanes: list[int]) -> str:
    chosen = ", ".join(f"i32 {lane}" for lane in lanes)
    return f.value(f"shufflevector {f.vector} {a}, {f.vector} {b}, <{f.lanes} x i32> <{chosen}>")


@functools.cache
def table() -> NDArray[np.intp]:
    """``table()[0]``: lanes, the address of the transposing function, those that copy rows of 1, 2, … vectors."""
    unit, widths = machine.vectors(), range(1, MOST_VECTORS + 1)
    text = module(unit.lanes, [square(unit), *(copy_rows(unit, n) for n in widths)])
    places = machine.assemble(f"moves{unit.lanes}", text, ["transpose", *(f"copy_{n}" for n in widths)])
    return np.array([[unit.lanes, *places]], np.intp)


@inline
def copy(functions, source, source_row, target, target_row, columns, rows):
    """Rows of ``columns`` numbers (at most MOST_VECTORS vectors), filled up with zeros to whole vectors; takes addresses."""
    lanes = functions[0, 0]
    call(functions[0, 1 + (columns + lanes - 1) // lanes], source, source_row, target, target_row, columns, rows)


@inline
def transpose(functions, source, source_row, target, target_row, rows, columns):
    """target[j, i] = source[i, j] for i < rows, j < columns; both are addresses, rows so many floats apart."""
    lanes = functions[0, 0]
    whole_rows, whole_columns = rows // lanes * lanes, columns // lanes * lanes
    for i in range(0, whole_rows, lanes):
        for j in range(0, whole_columns, lanes):
            call(
                functions[0, 1], source + 4 * (i * source_row + j), source_row, target + 4 * (j * target_row + i),
                target_row,
            )  # fmt: skip
    for i in range(rows):
        for j in range(whole_columns if i < whole_rows else 0, columns):
            put(target + 4 * (j * target_row + i), get(source + 4 * (i * source_row + j)))
