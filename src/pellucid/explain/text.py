"""A step of arithmetic in words and columns of numbers, for the terminal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .arithmetic import Step

_COLOURS = ("red", "green", "blue")
_CHANNELS = 3  # of many channels, those that matter most
_LARGE = 1e4


def in_words(step: Step) -> str:
    """The whole step: patch, kernel, products and sum; or who won the pooling; and what goes back."""
    parts = [_where(step), *(_convolution(step) if step.kernel is not None else _pooling(step)), _back(step)]
    return "\n\n".join(part for part in parts if part)


def channel_names(step: Step) -> list[str]:
    """What to call the channels of the patch: the colours of an image, numbers elsewhere."""
    image = step.input.shape[2] == 3 and len(step.channels) == 3
    return [f"{_COLOURS[c]} channel" if image else f"channel {c}" for c in step.channels]


def strongest(step: Step, count: int = _CHANNELS) -> list[int]:
    """The channels of the patch that add most to the sum, or take most from it, in their own order."""
    weight = np.abs(step.patch if step.products is None else step.products).sum(axis=(0, 1))
    return sorted(np.argsort(-weight, kind="stable")[:count].tolist())


def _where(step: Step) -> str:
    kh, kw, ci = step.patch.shape
    what = f"filter {step.filter}" if step.kernel is not None else f"channel {step.filter}"
    depth = f" of {ci} channels" if ci > 1 else ""
    padded = "" if step.inside.all() else ", partly in the padding, which is zero"
    padded = padded if step.kernel is not None or not padded else ", partly in the padding, which does not count"
    return (
        f"{step.layer}, {what}, output at row {step.row}, column {step.column}: {step.kind} over {kh}x{kw} numbers{depth}\n"
        f"The window lies on rows {_span(step.rows)} and columns {_span(step.columns)} of the layer's input{padded}."
    )


def _span(places: NDArray) -> str:
    if len(places) < 3 or places[1] - places[0] == 1:
        return f"{places[0]}" if len(places) == 1 else f"{places[0]} to {places[-1]}"
    return ", ".join(map(str, places))


def _convolution(step: Step) -> list[str]:
    names, shown = channel_names(step), strongest(step)
    sums = step.products.sum(axis=(0, 1), dtype=np.float64)  # type: ignore[union-attr]
    blocks = []
    for c in shown:
        tables = (step.patch[:, :, c], step.kernel[:, :, c], step.products[:, :, c])  # type: ignore[index]
        heads = ("patch (the card)", "kernel (the terminal)", "products")
        blocks.append(f"{names[c]}\n{_side_by_side(tables, heads, (' x ', ' = '))}\n  their sum {sums[c]:+.4f}")
    rest = len(sums) - len(shown)
    lines = [("sum of the channels above" if rest else "sum of all products", sums[shown].sum())]
    if rest:
        lines.append((f"sum of the {rest} other channels", sums.sum() - sums[shown].sum()))
    lines += [("bias", step.bias), ("together", step.total)]
    if step.activation is not None:
        verdict = ""
        if step.activation == "relu":
            verdict = "   the pattern is there" if step.output > 0 else "   declined: not this filter's pattern"
        lines.append((f"after {step.activation}", step.output))
        return [*blocks, _column(lines) + verdict]
    return [*blocks, _column(lines)]


def _pooling(step: Step) -> list[str]:
    values = step.patch[:, :, 0]
    table = _table(values, _marker(step))
    if step.winner is None:
        count = int(step.inside.sum())
        return [f"{table}\n\nThe mean of {count} numbers: {step.output:+.4f}"]
    i, j = step.winner
    return [
        f"{table}\n\nThe winner is marked: {step.output:+.4f}, row {step.rows[i]}, column {step.columns[j]} of the input."
    ]


def _marker(step: Step) -> Callable[[int, int], str]:
    def mark(i: int, j: int) -> str:
        if not step.inside[i, j]:
            return "."
        return "*" if step.winner == (i, j) else " "

    return mark


def _back(step: Step) -> str:
    gradient = step.gradient
    if gradient is None:
        return ""
    text = f"On the way back, for the {gradient.score}: the gradient by this output is {gradient.dy:+.3e}"
    if step.kernel is None:
        if step.winner is not None:
            return f"{text}; the winner gets all of it, the others nothing."
        share = float(gradient.dpatch[step.inside][0, 0])
        return f"{text}; each of the {int(step.inside.sum())} numbers gets {share:+.3e}."
    if gradient.dz != gradient.dy:
        text += f", before {step.activation} {gradient.dz:+.3e}"
    if gradient.dz == 0:
        return f"{text}. So nothing goes back: neither patch nor kernel learns from this output."
    c = strongest(step, 1)[0]
    tables = (gradient.dpatch[:, :, c], gradient.dkernel[:, :, c])  # type: ignore[index]
    heads = ("to the patch: gradient x kernel", "to the kernel: gradient x patch")
    body = _side_by_side(tables, heads, ("   ",), scale=True)
    return (
        f"{text}.\nIt goes to patch and kernel alike, here for {channel_names(step)[c]}, to the bias as it is.\n{body}"
    )


# Columns of numbers ----------------------------------------------------------------------------------------------------


def _number(value: float, scale: bool = False) -> str:
    value = value + 0.0  # no minus before zero
    if scale or abs(value) >= _LARGE:
        return f"{value:+10.2e}"
    return f"{value:+8.3f}"


def _table(values: NDArray, mark: Callable[[int, int], str]) -> str:
    return "\n".join(
        "  " + " ".join(_number(value) + mark(i, j) for j, value in enumerate(row)) for i, row in enumerate(values)
    )


def _side_by_side(
    tables: tuple[NDArray, ...], heads: tuple[str, ...], between: tuple[str, ...], scale: bool = False
) -> str:
    columns = [[" ".join(_number(value, scale) for value in row) for row in table] for table in tables]
    width = max(*(len(text) for column in columns for text in column), *map(len, heads))
    middle = len(columns[0]) // 2
    lines = ["  " + "   ".join(head.center(width) for head in heads).rstrip()]
    for i, row in enumerate(zip(*columns, strict=True)):
        signs = [sign if i == middle else "   " for sign in (*between, "")]
        lines.append("  " + "".join(text.rjust(width) + sign for text, sign in zip(row, signs, strict=True)).rstrip())
    return "\n".join(lines)


def _column(lines: list[tuple[str, float]]) -> str:
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name.ljust(width)}  {value:+.4f}" for name, value in lines)
