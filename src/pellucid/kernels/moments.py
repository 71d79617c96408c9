"""Sums over pixels, per channel: the second function written in LLVM's own language.

    first[c] = Σ_p (y[p, c] - t[c]),    second[c] = Σ_p (y[p, c] - t[c]) · (x[p, c] - s[c])

With y = x and s = t these are the moments of x about t, with y = dy the sums that the gradient of batch normalisation
needs. Compilers do not keep sums per channel in registers, since to them they are an array in memory that might
overlap x; here they are phi nodes.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from . import machine
from .assembly import Function, address, call, module
from .jit import inline
from .machine import Vectors

MOST_VECTORS = 4
PARAMETERS = ("x", "y", "s", "t", "first", "second", "pixels", "stride", "columns")


def moments(unit: Vectors, vectors: int) -> str:
    """The sums for ``vectors`` vectors of channels, the last cut off after ``columns``; ``stride`` floats from pixel to pixel."""
    f = Function(f"moments_{vectors}", PARAMETERS, unit.lanes)
    x, y, s, t, first, second = (f.pointer(f"%{name}") for name in PARAMETERS[:6])
    mask = f.first_lanes(f.value(f"sub i64 %columns, {(vectors - 1) * unit.lanes}"))
    masks = [*[None] * (vectors - 1), mask]

    def row(pointer: str) -> list[str]:
        return [f.load(f.offset(pointer, n * unit.lanes), masks[n]) for n in range(vectors)]

    s_values, t_values = row(s), row(t)
    f.line("br label %pixel")
    f.label("pixel")
    p = f.phi("i64", entry="%pixels", pixel="%p.next")
    x_at, y_at = f.phi("ptr", entry=x, pixel="%x.next"), f.phi("ptr", entry=y, pixel="%y.next")
    firsts = [f.phi(f.vector, entry="zeroinitializer", pixel=f"%first.{n}") for n in range(vectors)]
    seconds = [f.phi(f.vector, entry="zeroinitializer", pixel=f"%second.{n}") for n in range(vectors)]
    for n, (x_value, y_value) in enumerate(zip(row(x_at), row(y_at), strict=True)):
        x_value = f.arithmetic("fsub", x_value, s_values[n])
        y_value = f.arithmetic("fsub", y_value, t_values[n])
        f.value(f"fadd {f.vector} {firsts[n]}, {y_value}", f"first.{n}")
        f.multiply_add(x_value, y_value, seconds[n], f"second.{n}")
    f.offset(x_at, "%stride", "x.next")
    f.offset(y_at, "%stride", "y.next")
    f.count_down(p, "p.next", "pixel", "end")
    f.label("end")
    for name, pointer in (("first", first), ("second", second)):
        for n in range(vectors):
            f.store(f"%{name}.{n}", f.offset(pointer, n * unit.lanes), masks[n])
    return f.text()


@functools.cache
def table() -> NDArray[np.intp]:
    """``table()[0, vectors]``: the addresses of the functions of this machine."""
    unit, sizes = machine.vectors(), range(1, MOST_VECTORS + 1)
    text = module(unit.lanes, [moments(unit, n) for n in sizes])
    addresses = machine.assemble(f"moments{unit.lanes}", text, [f"moments_{n}" for n in sizes])
    return np.array([[0, *addresses]], np.intp)


@inline
def accumulate(functions, lanes, x, y, s, t, first, second, pixels, channels):
    """``first`` and ``second`` (arrays) for all channels of pixels at the addresses x and y."""
    for c in range(0, channels, MOST_VECTORS * lanes):
        columns = min(MOST_VECTORS * lanes, channels - c)
        call(
            functions[0, (columns + lanes - 1) // lanes], x + 4 * c, y + 4 * c, address(s) + 4 * c, address(t) + 4 * c,
            address(first) + 4 * c, address(second) + 4 * c, pixels, channels, columns,
        )  # fmt: skip
