"""Groups of filters that say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...errors import PellucidError
from ...figures import canvas, drawn, picture
from ...model import Sequential
from ..activations import activations
from ..clusters import FilterClusters
from .parts import originals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

_MAPS = 6


@drawn
def clusters(model: Sequential, x: NDArray, found: FilterClusters) -> Figure:
    """How alike the filters are, group by group; and for each group the maps that one image ``x`` (1, H, W, C) excites most."""
    maps = activations(model, x[:1], [found.layer])[found.layer][0]
    if maps.ndim != 3:
        raise PellucidError(f"{found.layer} has no maps to draw; its groups stand in the labels.")
    groups = [np.flatnonzero(found.labels == g) for g in range(found.labels.max() + 1)]
    still = int((found.labels < 0).sum())
    more = f"; {still} more never change" if still else ""
    figure = canvas(10.8, max(4.6, 0.9 * len(groups) + 1.2), f"Groups of filters of {found.layer} that say alike{more}")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.25), squeeze=False)[0]
    matrix, image = left.subplots(2, 1, height_ratios=(3.2, 1))
    _correlation(left, matrix, found, groups)
    picture(image, originals(model, x[:1])[0], "the image of the maps")
    grid = right.subplots(max(len(groups), 1), _MAPS + 1, squeeze=False)
    for cell in grid.flat:
        cell.set_axis_off()
    low, high = min(float(maps.min()), 0.0), float(np.percentile(maps, 99.8)) or 1.0
    for row, (line, group) in enumerate(zip(grid, groups, strict=False)):
        plural = "s" if len(group) > 1 else ""
        line[0].text(1, 0.5, f"group {row + 1}\n{len(group)} filter{plural}", ha="right", va="center", fontsize=8)
        excited = group[np.argsort(-maps[:, :, group].mean(axis=(0, 1)), kind="stable")]
        for cell, filter in zip(line[1:], excited, strict=False):
            picture(cell, maps[:, :, filter], cmap=figures.AMOUNTS, vmin=low, vmax=high)
            cell.set_title(str(filter), fontsize=7, pad=2)
    right.supxlabel("their maps for this image, the most excited first; the numbers are filters", fontsize=8)
    return figure


def _correlation(figure: SubFigure, axes: Axes, found: FilterClusters, groups: list[NDArray]) -> None:
    order = found.order
    apart = found.correlation[~np.eye(len(order), dtype=bool)]
    top = float(np.percentile(np.abs(apart), 99.5)) if apart.size else 1.0
    shown = axes.imshow(found.correlation[np.ix_(order, order)], cmap=figures.SIGNED, vmin=-(top or 1), vmax=top or 1)
    axes.set(xticks=[], yticks=[], title="correlation of each filter with each, group by group")
    for edge in np.cumsum([len(group) for group in groups]) - 0.5:
        axes.axhline(edge, color=figures.INK, linewidth=0.7)
        axes.axvline(edge, color=figures.INK, linewidth=0.7)
    figure.colorbar(shown, ax=axes, extend="both")
