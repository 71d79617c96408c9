"""One number of a layer, worked out in a picture: the card (the patch), the terminal (the kernel), and what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...figures import canvas, drawn, picture
from ..arithmetic import Step
from ..text import channel_names, strongest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DIGITS = 11  # taps of a window that leave room for numbers


@drawn
def arithmetic(step: Step) -> Figure:
    """Left: where the window lies and where its answer goes. Middle: the numbers. Right: how they add up. Below: the way back."""
    return _convolution(step) if step.kernel is not None else _pooling(step)


def _convolution(step: Step) -> Figure:
    shown = strongest(step)
    names, rows = channel_names(step), len(shown)
    title = f"{step.layer}, filter {step.filter}, row {step.row}, column {step.column}: one number of a convolution"
    figure = canvas(13.4, 2.15 * (rows + 1) + 1.0, title)
    grid = figure.add_gridspec(rows + 1, 5, width_ratios=(1.25, 1, 1, 1, 1.35))
    upper = grid[: rows if rows > 1 else 2, 0].subgridspec(2, 1)
    _input(figure.add_subplot(upper[0]), step)
    _output(figure.add_subplot(upper[1]), step)
    heads = ("the card: patch of the input", "the terminal: kernel of the filter", "number times number")
    for row, c in enumerate(shown):
        tables = (step.patch[:, :, c], step.kernel[:, :, c], step.products[:, :, c])  # type: ignore[index]
        for column, table in enumerate(tables, 1):
            axes = figure.add_subplot(grid[row, column])
            _numbers(axes, table, inside=step.inside if column == 1 else None)
            if row == 0:
                axes.set_title(heads[column - 1])
            if column == 1:
                axes.set_ylabel(names[c])
            sign = {1: "×", 2: "="}.get(column)
            if sign:
                axes.text(1.07, 0.5, sign, transform=axes.transAxes, ha="center", va="center", fontsize=15)
    _sums(figure.add_subplot(grid[:rows, 4]), step, shown, names)
    _way_back(figure, grid, rows, step, names)
    return figure


def _pooling(step: Step) -> Figure:
    title = f"{step.layer}, channel {step.filter}, row {step.row}, column {step.column}: one number of {step.kind}"
    figure = canvas(10.6, 3.3, title)
    left, middle, right, back = figure.subplots(1, 4)
    _input(left, step)
    _numbers(middle, step.patch[:, :, 0], inside=step.inside, winner=step.winner)
    won = "the largest wins" if step.winner else "the mean of all"
    middle.set_title(f"{won}: {step.output:+.3f}")
    _output(right, step)
    if step.gradient is not None:
        _numbers(back, step.gradient.dpatch[:, :, 0], winner=step.winner, scientific=True)
        share = "the winner gets it all" if step.winner else "each gets its share"
        back.set_title(f"the way back: {share}")
        back.set_xlabel(f"gradient of the {figures.label(step.gradient.score)}", fontsize=8)
    return figure


def _input(axes: Axes, step: Step) -> None:
    from matplotlib.patches import Rectangle

    title = "the window, on the layer's input"
    if len(step.channels) == step.input.shape[2] == 3:
        low, high = step.input.min(), step.input.max()
        picture(axes, (step.input - low) / max(float(high - low), 1e-12))
    else:
        channel = step.channels[strongest(step, 1)[0]]
        title = f"the window, on channel {channel}" if step.input.shape[2] > 1 else title
        picture(axes, step.input[:, :, channel], cmap=figures.AMOUNTS)
    axes.set_title(title)
    corner = (step.columns[0] - 0.5, step.rows[0] - 0.5)
    size = (step.columns[-1] - step.columns[0] + 1, step.rows[-1] - step.rows[0] + 1)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=3))
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=figures.VERMILION, linewidth=1.6))
    height, width = step.input.shape[:2]  # what lies in the padding is drawn outside the image
    axes.set_xlim(min(-0.5, corner[0] - 0.2), max(width - 0.5, corner[0] + size[0] + 0.2))
    axes.set_ylim(max(height - 0.5, corner[1] + size[1] + 0.2), min(-0.5, corner[1] - 0.2))


def _output(axes: Axes, step: Step) -> None:
    from matplotlib.patches import Rectangle

    low = min(float(step.maps.min()), 0.0)
    picture(axes, step.maps, cmap=figures.AMOUNTS, vmin=low, vmax=max(float(step.maps.max()), low + 1e-12))
    axes.set_title(f"its answer, {step.output:+.3f}, goes here")
    corner = (step.column - 0.5, step.row - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="white", linewidth=3, clip_on=False))
    axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=figures.VERMILION, linewidth=1.6, clip_on=False))


def _numbers(
    axes: Axes,
    table: NDArray,
    *,
    inside: NDArray | None = None,
    winner: tuple[int, int] | None = None,
    scientific: bool = False,
) -> None:
    """A table of numbers, red above and blue below zero; what lies in the padding is grey."""
    from matplotlib.patches import Rectangle

    top = float(np.abs(table).max()) or 1.0
    picture(axes, table, cmap=figures.SIGNED, vmin=-1.4 * top, vmax=1.4 * top)
    size = 8 if table.shape[1] <= 3 else 6.5 if table.shape[1] <= 5 else 4.5
    for i, j in np.ndindex(*table.shape):
        padding = inside is not None and not inside[i, j]
        if padding:
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="#D0D0D0", edgecolor="none"))
        if max(table.shape) <= _DIGITS:
            number = f"{table[i, j]:+.1e}" if scientific else f"{table[i, j]:+.2f}"
            number = number if table[i, j] else "0"
            text = "padding" if padding and size == 8 else "" if padding else number
            colour = "white" if abs(table[i, j]) > 0.75 * top and not padding else figures.INK
            small = size - 1.5 * scientific - padding
            axes.text(j, i, text, ha="center", va="center", fontsize=small, color=colour)
    axes.set_xticks(np.arange(table.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(table.shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    if winner is not None:
        i, j = winner
        axes.add_patch(
            Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=figures.VERMILION, linewidth=2.2, zorder=5)
        )


def _sums(axes: Axes, step: Step, shown: list[int], names: list[str]) -> None:
    """A waterfall: each channel's sum, what the other channels add, the bias, and what the activation makes of it."""
    sums = step.products.sum(axis=(0, 1), dtype=np.float64)  # type: ignore[union-attr]
    parts = [(names[c], float(sums[c])) for c in shown]
    if len(sums) > len(shown):
        parts.append((f"{len(sums) - len(shown)} other channels", float(sums.sum() - sums[shown].sum())))
    parts.append(("bias", step.bias))
    ends = np.cumsum([value for _, value in parts])
    starts = np.concatenate([[0.0], ends[:-1]])
    bars: list[tuple[str, float, float, Any]] = [
        (name, start, value, figures.SKY if value >= 0 else figures.ORANGE)
        for (name, value), start in zip(parts, starts, strict=True)
    ]
    bars.append(("together", 0.0, step.total, figures.BLUE))
    if step.activation is not None:
        bars.append((f"after {step.activation}", 0.0, step.output, figures.GREEN))
    places = np.arange(len(bars))
    axes.barh(
        places, [bar[2] for bar in bars], left=[bar[1] for bar in bars], color=[bar[3] for bar in bars], height=0.62
    )
    axes.axvline(0, color=figures.INK, linewidth=0.8)
    axes.set_yticks(places, [bar[0] for bar in bars])
    axes.invert_yaxis()
    axes.margins(x=0.3)
    for place, (_, start, value, _) in enumerate(bars):
        end = max(start, start + value)
        axes.annotate(f"{value + 0.0:+.3f}", (end, place), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_title("the sum: do they match?")
    if step.activation == "relu":
        verdict = "accepted: the pattern is there" if step.output > 0 else "declined: not the pattern of this filter"
        axes.set_xlabel(
            verdict, fontsize=9, color=figures.GREEN if step.output > 0 else figures.VERMILION, weight="bold"
        )


def _way_back(figure: Figure, grid: Any, row: int, step: Step, names: list[str]) -> None:
    gradient = step.gradient
    if gradient is None or gradient.dkernel is None:
        return
    c = strongest(step, 1)[0]
    heads = ("to the patch: gradient × kernel", "to the kernel: gradient × patch")
    for column, (table, head) in enumerate(zip((gradient.dpatch, gradient.dkernel), heads, strict=True), 1):
        axes = figure.add_subplot(grid[row, column])
        _numbers(axes, table[:, :, c], scientific=True)
        axes.set_title(head)
    through = f"before {step.activation}: {gradient.dz:+.2e}\n" if step.activation else ""
    nothing = "so nothing goes back from here" if gradient.dz == 0 else f"shown here for {names[c]}"
    score = figures.label(gradient.score)
    numbers = f"The way back, for the {score}\n\ngradient by the answer: {gradient.dy:+.2e}\n{through}{nothing}"
    why = (
        "Every place where the window lay passes such numbers back.\n"
        "Added up over all places they are the gradient of the input,\n"
        "which goes on to the layer before, and the gradient of the\n"
        "kernel, by which this filter learns."
    )
    if row > 1:
        _text(figure.add_subplot(grid[row, 0]), numbers)
        _text(figure.add_subplot(grid[row, 3:]), why)
    else:  # the pictures of the first column take both rows
        _text(figure.add_subplot(grid[row, 3:]), f"{numbers}\n\n{why}")


def _text(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.02, 0.5, text, va="center", fontsize=9, linespacing=1.5)
