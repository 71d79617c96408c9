"""Learned filters: the first layer's in colour, deeper ones channel by channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...figures import canvas, drawn, picture
from ...model import Sequential
from ..filters import convolutions
from ..filters import filters as kernels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 64  # filters in colour
_ROWS, _COLUMNS = 16, 16  # of a deeper layer: filters and channels


@drawn
def filters(model: Sequential, layer: str | None = None) -> Figure:
    """Filters that read three colours as little colour images, others as one grey-blue-red map for each channel they read."""
    layer = layer or next(iter(convolutions(model)), None)
    kernels = kernels_of(model, layer)  # (filters, KH, KW, CI)
    return _in_colour(kernels, str(layer)) if kernels.shape[3] == 3 else _by_channel(kernels, str(layer))


def _in_colour(kernels: NDArray, layer: str) -> Figure:
    shown = kernels[:_MOST]
    columns = min(8, len(shown))
    rows = -(-len(shown) // columns)
    size = f"{kernels.shape[1]}x{kernels.shape[2]}"
    some = "" if len(shown) == len(kernels) else f", the first {len(shown)} of {len(kernels)}"
    figure = canvas(0.85 * columns + 0.2, 1.02 * rows + 0.75, f"Filters of {layer}: {size} pixels in colour{some}")
    figure.supxlabel("grey is zero, a colour is what the filter wants to see; each filter in its own scale", fontsize=8)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (axes, kernel) in enumerate(zip(grid.flat, shown, strict=False)):
        picture(axes, 0.5 + kernel / (2 * max(np.abs(kernel).max(), np.finfo(kernel.dtype).tiny)))
        axes.set_title(str(number), fontsize=7, pad=2)
    return figure


def _by_channel(kernels: NDArray, layer: str) -> Figure:
    count, kh, kw, channels = kernels.shape
    if channels == 1:  # one map each: as a sheet, not as a column
        columns = min(8, count)
        rows = min(-(-count // columns), _ROWS)
        tiles = np.full((rows * columns, kh, kw), np.nan)
        tiles[: min(count, len(tiles))] = kernels[: len(tiles), :, :, 0]
        title = f"{count} filters of {layer}, {kh}x{kw}, row by row"
    else:
        rows, columns = min(count, _ROWS), min(channels, _COLUMNS)
        tiles = kernels[:rows, :, :, :columns].transpose(0, 3, 1, 2).reshape(-1, kh, kw)
        part = f"the first {rows} of {count} filters" if rows < count else f"{count} filters"
        depth = f"the first {columns} of the {channels}" if columns < channels else f"the {channels}"
        title = f"{part[0].upper()}{part[1:]} of {layer}, {depth} channels each reads"
    sheet = _sheet(tiles.reshape(rows, columns, kh, kw))
    cell = 0.42
    figure = canvas(max(cell * columns + 1.5, 5.2), cell * rows + 0.9, title)
    axes = figure.subplots()
    top = float(np.nanmax(np.abs(sheet))) or 1.0
    shown = picture(axes, sheet, cmap=figures.SIGNED, vmin=-top, vmax=top)
    axes.set_facecolor("#DDDDDD")
    if channels > 1:
        axes.set_xticks((np.arange(columns) + 0.5) * (kw + 1) - 1, list(map(str, range(columns))), fontsize=6)
        axes.set_yticks((np.arange(rows) + 0.5) * (kh + 1) - 1, list(map(str, range(rows))), fontsize=6)
        axes.set(xlabel="channel it reads", ylabel="filter")
        axes.tick_params(length=0)
    figure.colorbar(shown, ax=axes, shrink=0.8, label="weight")
    return figure


def _sheet(tiles: NDArray) -> NDArray:
    """Tiles (rows, columns, h, w) side by side with a gap of one between them."""
    rows, columns, h, w = tiles.shape
    sheet = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1), np.nan)
    for i in range(rows):
        for j in range(columns):
            sheet[i * (h + 1) : i * (h + 1) + h, j * (w + 1) : j * (w + 1) + w] = tiles[i, j]
    return sheet
