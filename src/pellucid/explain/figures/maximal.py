"""The images each filter likes best, with the spot it looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from ... import figures
from ...figures import canvas, drawn, picture
from ...model import Sequential
from ..maximal import Favourites
from .parts import evenly, originals

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@drawn
def favourites(
    model: Sequential, x: NDArray, found: Favourites, filters: Sequence[int] | None = None, rows: int = 8
) -> Figure:
    """A row for each filter: the images of ``x`` that excite it most, the receptive field of that output outlined."""
    from matplotlib.patches import Rectangle

    chosen = evenly(len(found.images), rows) if filters is None else list(filters)
    top = found.images.shape[1]
    figure = canvas(
        max(1.05 * top + 0.9, 5.2), 1.22 * len(chosen) + 0.75, f"What excites the filters of {found.layer} most"
    )
    figure.supxlabel("strongest at the left; the number is the activation, the frame what the filter saw", fontsize=8)
    grid = figure.subplots(len(chosen), top, squeeze=False)
    for row, filter in zip(grid, chosen, strict=True):
        shown = originals(model, x[found.images[filter]])
        for place, (axes, image) in enumerate(zip(row, shown, strict=True)):
            picture(axes, image)
            axes.set_title(f"{found.values[filter, place]:.2f}", fontsize=7, pad=2)
            if found.rows[filter, place] < 0:
                continue
            box = found.box(model, filter, place)
            corner, size = (box.left - 0.5, box.top - 0.5), (box.right - box.left, box.bottom - box.top)
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=2.6))
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=figures.VERMILION, linewidth=1.4))
        row[0].set_ylabel(f"filter {filter}", fontsize=8)
    return figure
