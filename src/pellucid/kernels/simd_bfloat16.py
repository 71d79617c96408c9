r"""The tile of ``simd`` for numbers of 16 bits, on CPUs that multiply such numbers in hardware.

    C[m, n] (+)= Σ_r Σ_k A[m, k; r] · B[k, n; r]          m < 32, n < 16 · vectors, k < 32 · steps

Products of two bfloat16 are exact in float32, and these instructions sum them in float32. They take k by *pairs*: two
numbers that follow each other lie in one word of 32 bits. In A, whose rows are contiguous along k, that is how the numbers lie
anyway. B is packed: word n of row k/2 holds B[k, n] and B[k + 1, n].

There are two units that can do it, and a function of the same name, parameters and layouts for each:

``amx``     eight *tiles*, registers of 16 rows of 64 bytes. One instruction adds the product of 16x32 and 32x16 numbers to a
            tile of 16x16 sums: 16 times what a vector instruction of float32 does. Two tiles of A and two of B make
            four of C, which is all eight, and each number loaded is used twice.
``avx512``  vectors of 16 words. One instruction adds two products to each of 16 sums; the loop is that of ``simd``. On AMD's
            CPUs (Zen 4) that is twice as much as float32's in the same time; on Intel's with AMX it takes three times as
            long, so that it is not worth it there.

A thread has to say how it uses the tiles (``begin``) before the first product, and that it does not need them any more
(``end``); else the operating system saves their 8 KB at each change of threads.

Source: Intel, "Intel 64 and IA-32 architectures software developer's manual", volume 1, chapter 18 (AMX); "Intel architecture
instruction set extensions and future features", chapter 3.
"""

from __future__ import annotations

import functools
import os

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from . import machine
from .assembly import Function, declarations

ROWS, LANES, STEP = 32, 16, 32  # of C; floats of a vector; of k
MOST_VECTORS = 2
UNITS = ("amx", "avx512")

# strides in bytes; r, and within r k, run through B without gaps; ``fresh``: C begins with 0, else with what it is
PARAMETERS = ("a", "a_m", "a_r", "b", "c", "c_m", "steps", "repeats", "fresh")
FINISH_PARAMETERS = ("c", "bias", "y", "y_m", "columns", "rows", "floor")
ROUND_PARAMETERS = ("source", "target", "count")
PAIR_PARAMETERS = ("source", "source_m", "target", "target_m", "columns", "rows")
# in ``table()``; where there are two of a kind, one is for one vector and that behind it for two
BEGIN, END, ROUND, PRODUCT, FINISH, PAIR = 0, 1, 2, 3, 5, 7


@functools.cache
def unit() -> str:
    """What multiplies bfloat16 here faster than float32: ``"amx"``, ``"avx512"``, or ``""`` if nothing does.

    ``PELLUCID_BFLOAT16`` (amx, avx512, off) chooses another one, for tests.
    """
    wanted = os.environ.get("PELLUCID_BFLOAT16", "")
    if wanted and wanted not in (*UNITS, "off"):
        raise PellucidError(f"PELLUCID_BFLOAT16 was {wanted!r}; wanted amx, avx512 or off.")
    if wanted:
        return wanted if wanted in UNITS and machine.multiplies_bfloat16(wanted) else ""
    quick = ["amx", *(["avx512"] if machine.is_amd() else [])]
    return next((name for name in quick if machine.multiplies_bfloat16(name)), "")


def amx_product(vectors: int) -> str:
    """The product by tiles: tmm0 … of C, row by row, then those of A and of B."""
    f = Function(f"product_{vectors}", PARAMETERS, LANES)
    a, b, c = (f.pointer(f"%{name}") for name in "abc")
    places = [(m, n) for m in range(2) for n in range(vectors)]
    of_c = {place: i for i, place in enumerate(places)}
    of_a, of_b = {m: 4 + m for m in range(2)}, {n: 6 + n for n in range(vectors)}
    corner = {(m, n): f.bytes(f.bytes(c, f.value(f"mul i64 %c_m, {16 * m}")), 64 * n) for m, n in places}
    f.line(f"br i1 {f.value('icmp ne i64 %fresh, 0')}, label %clear, label %load")
    f.label("clear")
    for place in places:
        f.line(f"call void @llvm.x86.tilezero(i8 {of_c[place]})")
    f.line("br label %outer")
    f.label("load")
    for place in places:
        f.line(f"call void @llvm.x86.tileloadd64(i8 {of_c[place]}, ptr {corner[place]}, i64 %c_m)")
    f.line("br label %outer")

    f.label("outer")
    r = f.phi("i64", clear="%repeats", load="%repeats", outer_end="%r.next")
    a_row = f.phi("ptr", clear=a, load=a, outer_end="%a.row.next")
    b_row = f.phi("ptr", clear=b, load=b, outer_end="%b.next")
    f.line("br label %inner")
    f.label("inner")
    k = f.phi("i64", outer="%steps", inner="%k.next")
    a_at, b_at = f.phi("ptr", outer=a_row, inner="%a.next"), f.phi("ptr", outer=b_row, inner="%b.next")
    for n in range(vectors):
        f.line(f"call void @llvm.x86.tileloadd64(i8 {of_b[n]}, ptr {f.bytes(b_at, 64 * n)}, i64 {64 * vectors})")
    for m in range(2):
        low = f.bytes(a_at, f.value(f"mul i64 %a_m, {16 * m}"))
        f.line(f"call void @llvm.x86.tileloadd64(i8 {of_a[m]}, ptr {low}, i64 %a_m)")
        for n in range(vectors):
            f.line(f"call void @llvm.x86.tdpbf16ps(i8 {of_c[m, n]}, i8 {of_a[m]}, i8 {of_b[n]})")
    f.bytes(a_at, 2 * STEP, "a.next")
    f.bytes(b_at, 2 * STEP * LANES * vectors, "b.next")
    f.count_down(k, "k.next", "inner", "outer_end")
    f.label("outer_end")
    f.bytes(a_row, "%a_r", "a.row.next")
    f.count_down(r, "r.next", "outer", "finish")
    f.label("finish")
    for place in places:
        f.line(f"call void @llvm.x86.tilestored64(i8 {of_c[place]}, ptr {corner[place]}, i64 %c_m)")
    return f.text()


def avx512_product(vectors: int) -> str:
    """The product by vectors, some rows after others."""
    f = Function(f"product_{vectors}", PARAMETERS, LANES)
    height = 16 // vectors  # 16 sums, whose additions take turns
    places = [(m, n) for m in range(height) for n in range(vectors)]
    a, b, c = (f.pointer(f"%{name}") for name in "abc")
    fresh = f.value("icmp ne i64 %fresh, 0")
    pairs = f.value(f"mul i64 %steps, {STEP // 2}")
    f.line("br label %rows")

    f.label("rows")
    left = f.phi("i64", entry=str(ROWS // height), finish="%left.next")
    a_first, c_first = f.phi("ptr", entry=a, finish="%a.down"), f.phi("ptr", entry=c, finish="%c.down")
    lines = {m: f.bytes(c_first, f.value(f"mul i64 %c_m, {m}")) for m in range(height)}
    f.line(f"br i1 {fresh}, label %outer, label %load")
    f.label("load")
    there = {(m, n): f.load(f.offset(lines[m], n * LANES)) for m, n in places}
    f.line("br label %outer")

    f.label("outer")
    r = f.phi("i64", rows="%repeats", load="%repeats", outer_end="%r.next")
    a_row = f.phi("ptr", rows=a_first, load=a_first, outer_end="%a.row.next")
    b_row = f.phi("ptr", rows=b, load=b, outer_end="%b.next")
    sums = {
        (m, n): f.phi(f.vector, rows="zeroinitializer", load=there[m, n], outer_end=f"%sum.{m}.{n}") for m, n in places
    }
    f.line("br label %inner")
    f.label("inner")
    k = f.phi("i64", outer=pairs, inner="%k.next")
    a_at, b_at = f.phi("ptr", outer=a_row, inner="%a.next"), f.phi("ptr", outer=b_row, inner="%b.next")
    totals = {(m, n): f.phi(f.vector, outer=sums[m, n], inner=f"%sum.{m}.{n}") for m, n in places}
    halves, words = f"<{2 * LANES} x bfloat>", f"<{LANES} x i32>"
    b_k = [f.value(f"load {halves}, ptr {f.offset(b_at, n * LANES)}, align 4") for n in range(vectors)]
    for m in range(height):
        pair = f.value(f"load i32, ptr {f.bytes(a_at, f.value(f'mul i64 %a_m, {m}'))}, align 2")
        first = f.value(f"insertelement {words} poison, i32 {pair}, i64 0")
        all_ = f.value(f"shufflevector {words} {first}, {words} poison, {words} zeroinitializer")
        a_mk = f.value(f"bitcast {words} {all_} to {halves}")
        for n in range(vectors):
            f.value(
                f"call {f.vector} @llvm.x86.avx512bf16.dpbf16ps.512({f.vector} {totals[m, n]}, {halves} {a_mk}, "
                f"{halves} {b_k[n]})",
                f"sum.{m}.{n}",
            )
    f.bytes(a_at, 4, "a.next")
    f.bytes(b_at, 4 * LANES * vectors, "b.next")
    f.count_down(k, "k.next", "inner", "outer_end")
    f.label("outer_end")
    f.bytes(a_row, "%a_r", "a.row.next")
    f.count_down(r, "r.next", "outer", "finish")

    f.label("finish")
    for m, n in places:
        f.store(f"%sum.{m}.{n}", f.offset(lines[m], n * LANES))
    f.bytes(a_first, f.value(f"mul i64 %a_m, {height}"), "a.down")
    f.bytes(c_first, f.value(f"mul i64 %c_m, {height}"), "c.down")
    f.count_down(left, "left.next", "rows", "end")
    f.label("end")
    return f.text()


def finish(vectors: int) -> str:
    """y = max(C + bias, floor) for some rows of C, the last vector cut off at ``columns``; ``y_m`` in floats."""
    f = Function(f"finish_{vectors}", FINISH_PARAMETERS, LANES)
    c, bias, y = (f.pointer(f"%{name}") for name in ("c", "bias", "y"))
    floor = f.broadcast(f.float_from_bits("%floor"))
    extra = [f.load(f.offset(bias, n * LANES)) for n in range(vectors)]
    mask = f.first_lanes(f.value(f"sub i64 %columns, {(vectors - 1) * LANES}"))
    f.line("br label %row")
    f.label("row")
    left = f.phi("i64", entry="%rows", row="%left.next")
    c_at, y_at = f.phi("ptr", entry=c, row="%c.next"), f.phi("ptr", entry=y, row="%y.next")
    for n in range(vectors):
        value = f.at_least(f.arithmetic("fadd", f.load(f.offset(c_at, n * LANES)), extra[n]), floor)
        f.store(value, f.offset(y_at, n * LANES), mask if n == vectors - 1 else None)
    f.offset(c_at, vectors * LANES, "c.next")
    f.offset(y_at, "%y_m", "y.next")
    f.count_down(left, "left.next", "row", "end")
    f.label("end")
    return f.text()


def round_line() -> str:
    """``count`` floats to as many numbers of 16 bits, the nearest ones."""
    f = Function("round_line", ROUND_PARAMETERS, LANES)
    source, target = f.pointer("%source"), f.pointer("%target")
    halves = f"<{LANES} x i16>"

    def nearest(vector: str) -> str:
        return f.value(
            f"bitcast <{LANES} x bfloat> {f.value(f'fptrunc {f.vector} {vector} to <{LANES} x bfloat>')} to {halves}"
        )

    f.line("br label %head")
    f.label("head")
    left = f.phi("i64", entry="%count", whole="%left.next")
    s, t = f.phi("ptr", entry=source, whole="%s.next"), f.phi("ptr", entry=target, whole="%t.next")
    f.line(f"br i1 {f.value(f'icmp sge i64 {left}, {LANES}')}, label %whole, label %rest")
    f.label("whole")
    f.line(f"store {halves} {nearest(f.load(s))}, ptr {t}, align 2")
    f.value(f"sub i64 {left}, {LANES}", "left.next")
    f.offset(s, LANES, "s.next")
    f.bytes(t, 2 * LANES, "t.next")
    f.line("br label %head")
    f.label("rest")
    mask = f.first_lanes(left)
    last = nearest(f.load(s, mask))
    f.line(f"call void @llvm.masked.store.v{LANES}i16.p0({halves} {last}, ptr {t}, i32 2, <{LANES} x i1> {mask})")
    return f.text()


def pair_rows(vectors: int) -> str:
    """target[i, c] = (source[2 i, c], source[2 i + 1, c]) as one word, zeros from ``columns`` on; strides in bytes."""
    f = Function(f"pair_{vectors}", PAIR_PARAMETERS, LANES)
    source, target = f.pointer("%source"), f.pointer("%target")
    mask = f.first_lanes(f.value(f"sub i64 %columns, {(vectors - 1) * LANES}"))
    halves, words, bits = f"<{LANES} x i16>", f"<{LANES} x i32>", f"<{LANES} x i1>"
    both = f.value("shl i64 %source_m, 1")
    sixteen = f"<{', '.join(['i32 16'] * LANES)}>"
    f.line("br label %row")
    f.label("row")
    left = f.phi("i64", entry="%rows", row="%left.next")
    s, t = f.phi("ptr", entry=source, row="%s.next"), f.phi("ptr", entry=target, row="%t.next")
    for n in range(vectors):
        pair = []
        for start in (s, f.bytes(s, "%source_m")):
            place = f.bytes(start, 2 * LANES * n)
            line = f"load {halves}, ptr {place}, align 2"
            if n == vectors - 1:
                masked = f"ptr {place}, i32 2, {bits} {mask}, {halves} zeroinitializer"
                line = f"call {halves} @llvm.masked.load.v{LANES}i16.p0({masked})"
            pair.append(f.value(f"zext {halves} {f.value(line)} to {words}"))
        word = f.value(f"or {words} {pair[0]}, {f.value(f'shl {words} {pair[1]}, {sixteen}')}")
        f.line(f"store {words} {word}, ptr {f.offset(t, n * LANES)}, align 4")
    f.bytes(s, both, "s.next")
    f.bytes(t, "%target_m", "t.next")
    f.count_down(left, "left.next", "row", "end")
    f.label("end")
    return f.text()


def configuration() -> str:
    """Eight tiles of 16 rows of 64 bytes, as the instruction that sets them up reads it."""
    content = [1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8]
    return f"@tiles = internal constant [64 x i8] [{', '.join(f'i8 {byte}' for byte in content)}], align 64\n"


def assembly(unit_: str) -> str:
    """All functions of a unit."""
    sizes = range(1, MOST_VECTORS + 1)
    begin, end = Function("begin", (), LANES), Function("end", (), LANES)
    if unit_ == "amx":
        begin.line("call void @llvm.x86.ldtilecfg(ptr @tiles)")
        end.line("call void @llvm.x86.tilerelease()")
        product, own = (
            amx_product,
            configuration()
            + "".join(
                f"declare void @llvm.x86.{name}\n"
                for name in (
                    "ldtilecfg(ptr)",
                    "tilerelease()",
                    "tilezero(i8 immarg)",
                    "tileloadd64(i8 immarg, ptr, i64)",
                    "tilestored64(i8 immarg, ptr, i64)",
                    "tdpbf16ps(i8 immarg, i8 immarg, i8 immarg)",
                )
            ),
        )
    else:
        v, halves = f"<{LANES} x float>", f"<{2 * LANES} x bfloat>"
        product, own = avx512_product, f"declare {v} @llvm.x86.avx512bf16.dpbf16ps.512({v}, {halves}, {halves})\n"
    halves, mask = f"<{LANES} x i16>", f"<{LANES} x i1>"
    own += f"declare {halves} @llvm.masked.load.v{LANES}i16.p0(ptr, i32, {mask}, {halves})\n"
    own += f"declare void @llvm.masked.store.v{LANES}i16.p0({halves}, ptr, i32, {mask})\n"
    functions = [begin.text(), end.text(), round_line()]
    functions += [make(vectors) for make in (product, finish, pair_rows) for vectors in sizes]
    return own + declarations(LANES) + "".join(functions)


@functools.cache
def table() -> NDArray[np.intp]:
    """The addresses of the functions: ``table()[0, BEGIN]``, …, ``table()[0, PRODUCT + vectors - 1]``, …."""
    names = ["begin", "end", "round_line", *(f"{name}_{n}" for name in ("product", "finish", "pair") for n in (1, 2))]
    places = np.array([machine.assemble(f"bfloat16_{unit()}", assembly(unit()), names)], np.intp)
    places.flags.writeable = False
    return places
