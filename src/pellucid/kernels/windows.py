"""Runs of pooling windows: the third function written in LLVM's own language.

A run is a row of evenly spaced windows that meet the image with the same taps (see ``segments``). For each window and
channel, with v over its taps:

    MAX             y = max v, and code = the tap that won, counted row by row; of equal taps the first
    MAX_RELU        y = max(max v, 0), and code = the tap that won, or NONE where nothing is positive
    AVERAGE         y = mean v
    AVERAGE_RELU    y = mean max(v, 0), and for each tap a mark = whether v is positive

and back, from dy to the taps, which are written (or, with ADD, added to, where windows overlap):

    SPREAD_MAX      dv = dy for the tap that won, else 0
    SPREAD_AVERAGE  dv = dy / taps
    SPREAD_MARKED   dv = dy / taps where the mark is set, else 0

    RECTIFY         dv = dy where v is positive, else 0

which is ReLU alone, of ``count`` numbers in a row, with dv at ``code``.

In compiled Python, each short loop over channels would first have to find out that y, code and x do not overlap, which takes as
long as the loop. What is not a number wins a maximum, as in NumPy, and is 0 after ReLU.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from . import machine
from .assembly import Function, module

MAX, MAX_RELU, AVERAGE, AVERAGE_RELU, SPREAD_MAX, SPREAD_AVERAGE, SPREAD_MARKED = range(7)
ADD = 7  # SPREAD_… + ADD adds to what is there
RECTIFY = 2 * ADD
NONE = 255

# x: address of the first tap of the first window, its strides between rows of taps, taps of a row, windows · y, and code, or the
# marks, which lie as x does but for the stride between rows · how many windows and channels · rows and taps per row of a
# window · the number of the first tap, and by how much it grows from row to row
PARAMETERS = (
    "x", "x_row", "x_tap", "x_step", "y", "code", "code_row", "count", "channels", "rows", "columns", "first", "first_row",
)  # fmt: skip


def windows(lanes: int, kind: int) -> str:
    """One of the functions above."""
    f = Function(f"windows_{kind}", PARAMETERS, lanes)
    x, y, code = (f.pointer(f"%{name}") for name in ("x", "y", "code"))
    f.value("mul i64 %rows, %columns", "taps")
    back = f.value("sub i64 %columns, 1")  # from the last tap of a row to its first
    back_x = f.value(f"mul i64 {back}, %x_tap")
    f.value(f"sub i64 %x_row, {back_x}", "row.jump")
    f.value(f"sub i64 %code_row, {back_x}", "mark.jump")
    f.value(f"trunc i64 {f.value(f'sub i64 %first_row, {back}')} to i32", "number.jump")
    f.value("trunc i64 %first to i32", "first.number")
    share = f.broadcast(f.value(f"fdiv float 1.0, {f.value('sitofp i64 %taps to float')}"))
    f.line("br label %block")
    f.label("block")
    c = f.phi("i64", **{"entry": "0", "block.end": "%c.next"})
    left = f.value(f"sub i64 %channels, {c}")
    mask = f.first_lanes(left)
    x_at, y_at, code_at = f.offset(x, c), f.offset(y, c), f.value(f"getelementptr i8, ptr {code}, i64 {c}")
    f.line(f"br i1 {f.value(f'icmp sge i64 {left}, {lanes}')}, label %whole, label %cut")
    for part, masked in (("whole", None), ("cut", mask)):
        _Windows(f, part, masked, left, kind, share).write(x_at, y_at, code_at)
    f.label("block.end")
    f.value(f"add i64 {c}, {lanes}", "c.next")
    f.line(f"br i1 {f.value('icmp slt i64 %c.next, %channels')}, label %block, label %end")
    f.label("end")
    return f.text()


class _Windows:
    """The loop over the windows of a run, and in it that over taps, for one vector of channels, whole or cut off by a mask."""

    def __init__(self, f: Function, part: str, mask: str | None, left: str, kind: int, share: str) -> None:
        self.f, self.part, self.mask, self.left, self.share = f, part, mask, left, share
        self.add, self.kind = kind >= ADD, kind % ADD if kind >= ADD else kind
        self.marks = self.kind in (AVERAGE_RELU, SPREAD_MARKED)
        self.masks, self.bytes, self.numbers = (f"<{f.lanes} x {kind}>" for kind in ("i1", "i8", "i32"))

    def name(self, name: str) -> str:
        """A name of this part."""
        return f"{self.part}.{name}"

    def write(self, x: str, y: str, code: str) -> None:
        f, part, name = self.f, self.part, self.name
        window, tap, done = name("window"), name("tap"), name("done")
        tap_end, window_end = (
            name("tap.end"),
            name("window.end"),
        )  # blocks of their own: what is before may have several
        f.label(part)
        f.line(f"br label %{window}")
        f.label(window)
        p = f.phi("i64", **{part: "%count", window_end: f"%{name('p')}"})
        x_at, y_at, code_at = (
            f.phi("ptr", **{part: start, window_end: f"%{name(next_)}"})
            for start, next_ in ((x, "x"), (y, "y"), (code, "code"))
        )
        starts = self.before(y_at, code_at)
        f.line(f"br label %{tap}")
        f.label(tap)
        t = f.phi("i64", **{window: "%taps", tap_end: f"%{name('t')}"})
        j = f.phi("i64", **{window: "%columns", tap_end: f"%{name('j')}"})
        at = f.phi("ptr", **{window: x_at, tap_end: f"%{name('at')}"})
        mark = f.phi("ptr", **{window: code_at, tap_end: f"%{name('mark')}"})
        number = f.phi("i32", **{window: "%first.number", tap_end: f"%{name('number')}"})
        carried = [f.phi(kind, **{window: start, tap_end: f"%{name(key)}"}) for key, kind, start in starts]
        self.tap(at, mark, number, carried)
        f.line(f"br label %{tap_end}")
        f.label(tap_end)
        j_less = f.value(f"sub i64 {j}, 1")
        ends = f.value(f"icmp eq i64 {j_less}, 0")  # a row of taps
        f.value(f"select i1 {ends}, i64 %columns, i64 {j_less}", name("j"))
        jump = f.value(f"select i1 {ends}, i64 %row.jump, i64 %x_tap")
        f.offset(at, jump, name("at"))
        mark_jump = f.value(f"select i1 {ends}, i64 %mark.jump, i64 %x_tap")
        f.value(f"getelementptr i8, ptr {mark}, i64 {mark_jump}", name("mark"))
        f.value(f"add i32 {number}, {f.value(f'select i1 {ends}, i32 %number.jump, i32 1')}", name("number"))
        f.count_down(t, name("t"), tap, done)
        f.label(done)
        self.after(y_at, code_at)
        f.line(f"br label %{window_end}")
        f.label(window_end)
        f.offset(x_at, "%x_step", name("x"))
        f.offset(y_at, "%channels", name("y"))
        f.value(f"getelementptr i8, ptr {code_at}, i64 {'%x_step' if self.marks else '%channels'}", name("code"))
        f.count_down(p, name("p"), window, "block.end")

    def before(self, y: str, code: str) -> list[tuple[str, str, str]]:
        """What is done once per window; returns what its loop over taps carries: names, types, first values."""
        f = self.f
        if self.kind in (MAX, MAX_RELU):
            lowest = "zeroinitializer" if self.kind == MAX_RELU else f.constant(-np.inf)
            first = self.number(str(NONE) if self.kind == MAX_RELU else "%first.number")
            return [("best", f.vector, lowest), ("place", self.numbers, first)]
        if self.kind in (AVERAGE, AVERAGE_RELU):
            return [("best", f.vector, "zeroinitializer")]
        self.dy = f.load(y, self.mask)
        if self.kind == SPREAD_MAX:
            self.place = f.value(f"zext {self.bytes} {self.load_bytes(code)} to {self.numbers}")
        else:
            self.dy = f.arithmetic("fmul", self.dy, self.share)
        return []

    def tap(self, at: str, mark: str, number: str, carried: list[str]) -> None:
        """What is done with one tap."""
        f, zero = self.f, "zeroinitializer"
        if self.kind in (MAX, MAX_RELU):
            v, (best, place) = f.load(at, self.mask), carried
            # it is larger or not a number, and the best so far is one
            larger = f.value(f"fcmp ugt {f.vector} {v}, {best}")
            wins = f.value(f"and {self.masks} {larger}, {f.value(f'fcmp ord {f.vector} {best}, {best}')}")
            self.select(wins, f.vector, v, best, "best")
            self.select(wins, self.numbers, self.number(number), place, "place")
        elif self.kind in (AVERAGE, AVERAGE_RELU):
            v = f.load(at, self.mask)
            if self.kind == AVERAGE_RELU:
                positive = f.value(f"fcmp ugt {f.vector} {v}, {zero}")  # or not a number
                v = self.select(positive, f.vector, v, zero)
                self.store_bytes(f.value(f"zext {self.masks} {positive} to {self.bytes}"), mark)
            f.value(f"fadd {f.vector} {carried[0]}, {v}", self.name("best"))
        else:
            dv = self.dy
            if self.kind == SPREAD_MAX:
                won = f.value(f"icmp eq {self.numbers} {self.place}, {self.number(number)}")
                dv = self.select(won, f.vector, dv, zero)
            elif self.kind == SPREAD_MARKED:
                dv = self.select(f.value(f"icmp ne {self.bytes} {self.load_bytes(mark)}, {zero}"), f.vector, dv, zero)
            self.store(f.arithmetic("fadd", f.load(at, self.mask), dv) if self.add else dv, at)

    def after(self, y: str, code: str) -> None:
        """What is done when all taps of a window have been seen."""
        f, best = self.f, f"%{self.name('best')}"
        if self.kind in (MAX, MAX_RELU):
            self.store(best, y)
            self.store_bytes(f.value(f"trunc {self.numbers} %{self.name('place')} to {self.bytes}"), code)
        elif self.kind in (AVERAGE, AVERAGE_RELU):
            self.store(f.arithmetic("fmul", best, self.share), y)

    def select(self, condition: str, kind: str, yes: str, no: str, name: str = "") -> str:
        return self.f.value(
            f"select {self.masks} {condition}, {kind} {yes}, {kind} {no}", self.name(name) if name else ""
        )

    def number(self, number: str) -> str:
        """A 32-bit integer in all lanes."""
        one = self.f.value(f"insertelement {self.numbers} poison, i32 {number}, i64 0")
        return self.f.value(
            f"shufflevector {self.numbers} {one}, {self.numbers} poison, {self.numbers} zeroinitializer"
        )

    def load_bytes(self, pointer: str) -> str:
        if self.mask is None:
            return self.f.value(f"load {self.bytes}, ptr {pointer}, align 1")
        return self.f.value(
            f"call {self.bytes} @llvm.masked.load.v{self.f.lanes}i8.p0(ptr {pointer}, i32 1, {self.masks} {self.mask}, "
            f"{self.bytes} zeroinitializer)"
        )

    def store(self, value: str, pointer: str) -> None:
        if self.mask is None:
            self.f.store(value, pointer)
        else:
            self.f.store_first(self.left, [(value, pointer)])

    def store_bytes(self, value: str, pointer: str) -> None:
        if self.mask is None:
            self.f.line(f"store {self.bytes} {value}, ptr {pointer}, align 1")
        else:
            self.f.store_first(self.left, [(value, pointer)], "i8")


def rectify(lanes: int) -> str:
    """RECTIFY, with the same parameters as the others."""
    f = Function(f"windows_{RECTIFY}", PARAMETERS, lanes)
    x, y, code = (f.pointer(f"%{name}") for name in ("x", "y", "code"))
    f.line("br label %vector")
    f.label("vector")
    i = f.phi("i64", entry="0", whole="%i.next")
    left = f.value(f"sub i64 %count, {i}")

    def passed(mask: str | None) -> tuple[str, str]:
        """What is stored, and where."""
        v, dy = f.load(f.offset(x, i), mask), f.load(f.offset(y, i), mask)
        positive = f.value(f"fcmp ugt {f.vector} {v}, zeroinitializer")
        dv = f.value(f"select <{lanes} x i1> {positive}, {f.vector} {dy}, {f.vector} zeroinitializer")
        return dv, f.offset(code, i)

    f.line(f"br i1 {f.value(f'icmp sge i64 {left}, {lanes}')}, label %whole, label %cut")
    f.label("whole")
    f.store(*passed(None))
    f.value(f"add i64 {i}, {lanes}", "i.next")
    f.line("br label %vector")
    f.label("cut")
    f.store_first(left, [passed(f.first_lanes(left))])
    f.line("br label %end")
    f.label("end")
    return f.text()


@functools.cache
def table() -> NDArray[np.intp]:
    """``table()[0, MAX]`` …: the addresses of the functions of this machine."""
    lanes = machine.vectors().lanes
    kinds = [*range(ADD), *(kind + ADD for kind in (SPREAD_MAX, SPREAD_AVERAGE, SPREAD_MARKED))]
    numbers, mask = f"<{lanes} x i8>", f"<{lanes} x i1>"
    text = module(lanes, [*(windows(lanes, kind) for kind in kinds), rectify(lanes)]) + (
        f"declare {numbers} @llvm.masked.load.v{lanes}i8.p0(ptr, i32, {mask}, {numbers})\n"
        f"declare void @llvm.masked.store.v{lanes}i8.p0({numbers}, ptr, i32, {mask})\n"
    )
    kinds.append(RECTIFY)
    functions = np.zeros((1, RECTIFY + 1), np.intp)
    functions[0, kinds] = machine.assemble(f"windows{lanes}", text, [f"windows_{kind}" for kind in kinds])
    functions.flags.writeable = False
    return functions
