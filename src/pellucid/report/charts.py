"""Where the lines of a chart run: plain numbers in the coordinates of an SVG, drawn by a macro of the template."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Points = Sequence[tuple[float, float]]

WIDTH, HEIGHT = 380, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 38


@dataclass(frozen=True)
class Scale:
    """Numbers ``low`` … ``high`` laid evenly over the coordinates ``start`` … ``end``; a single number in the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = 0.5 if self.high == self.low else (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Line:
    """A line: what it shows, the class its colour comes from, an SVG path, and its points to be marked as (x, y, words)."""

    name: str
    kind: str
    path: str
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Chart:
    """A chart: ``legend`` as (class of the colour, text), ticks as (position, text), a dashed ``rule`` as an SVG path if any."""

    title: str
    x_label: str
    lines: list[Line]
    legend: list[tuple[str, str]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    rule: str = ""
    note: str = ""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def line_chart(
    title: str,
    series: dict[tuple[str, str], Points],
    *,
    x_label: str = "epoch",
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    percent: bool = False,
    diagonal: bool = False,
    marks: bool = True,
    legend: list[tuple[str, str]] | None = None,
    note: str = "",
) -> Chart | None:
    """A chart of ``{(name, kind): points}``; None if no series has a point that is a number.

    Points that are not finite interrupt their line; without ``marks`` they are no more than places it goes through. With
    ``percent`` values 0 … 1 are written as 0 … 100 %. Without ``legend`` every line is in it.

    >>> chart = line_chart("loss", {("training", "train"): [(1, 2.0), (2, 1.0)]})
    >>> chart.lines[0].path, chart.x_ticks
    ('M52.0 14.0L366.0 202.0', [(52.0, '1'), (366.0, '2')])
    """
    finite = [p for points in series.values() for p in points if math.isfinite(p[0]) and math.isfinite(p[1])]
    if not finite:
        return None
    xs, ys = [x for x, _ in finite], [y for _, y in finite]
    x_low, x_high = x_range or (min(xs), max(xs))
    y_steps = ticks(*(y_range or (min(ys), max(ys))))
    y_low, y_high = y_range or (min(y_steps[0], min(ys)), max(y_steps[-1], max(ys)))

    across = Scale(x_low, x_high, _LEFT, WIDTH - _RIGHT)
    down = Scale(y_low, y_high, HEIGHT - _BOTTOM, _TOP)

    def words(name: str, x: float, y: float) -> str:
        return (
            f"{name}, {x_label} {number(x)}: {100 * y:.2f} %" if percent else f"{name}, {x_label} {number(x)}: {y:.4g}"
        )

    lines = [_line(name, kind, points, across, down, words, marks) for (name, kind), points in series.items()]
    lines = [line for line in lines if line.path]
    x_steps = ticks(x_low, x_high, whole=x_range is None) if x_high > x_low else [x_low]
    return Chart(
        title,
        x_label,
        lines,
        [(line.kind, line.name) for line in lines] if legend is None else legend,
        [(across(x), number(x, percent and x_range is not None)) for x in x_steps if x_low <= x <= x_high],
        [(down(y), number(y, percent)) for y in y_steps if y_low <= y <= y_high],
        f"M{across(0)} {down(0)}L{across(1)} {down(1)}" if diagonal else "",
        note,
    )


def _line(
    name: str,
    kind: str,
    points: Points,
    across: Scale,
    down: Scale,
    words: Callable[[str, float, float], str],
    marks: bool,
) -> Line:
    path, pen = "", "M"
    dots: list[tuple[float, float, str]] = []
    for x, y in points:
        if not (math.isfinite(x) and math.isfinite(y)):
            pen = "M"
            continue
        path += f"{pen}{across(x)} {down(y)}"
        pen = "L"
        if marks:
            dots.append((across(x), down(y), words(name, x, y)))
    return Line(name, kind, path, dots)


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """About ``count`` round numbers that span ``low`` … ``high``; with ``whole`` none between the integers.

    >>> ticks(0.13, 1.9), ticks(1, 3, whole=True), ticks(0.001, 0.001)
    ([0.0, 0.5, 1.0, 1.5, 2.0], [1.0, 2.0, 3.0], [0.001])
    """
    if not high > low:
        return [float(low)]
    rough = (high - low) / max(count - 1, 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.9999)
    step = max(round(step), 1) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def number(value: float, percent: bool = False) -> str:
    """A number for an axis: short, with real signs.

    >>> number(0.25, percent=True), number(2e9, percent=True), number(-0.001), number(2e-05), number(12000)
    ('25 %', '2e11 %', '−0.001', '2e−5', '12,000')
    """
    text = f"{100 * value:.4g}" if percent else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    mantissa, e, exponent = text.partition("e")
    text = f"{mantissa}e{int(exponent)}" if e else text
    return text.replace("-", "−") + " %" * percent
