"""How much of the image one output of each layer sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ... import figures
from ...errors import PellucidError
from ...figures import canvas, drawn, picture
from ...model import Sequential
from ..network import find_layer, layers_of
from ..receptive import receptive_field
from ..receptive import receptive_fields as fields_of
from .parts import evenly, originals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 7


@drawn
def receptive_fields(
    model: Sequential,
    x: NDArray,
    layers: Sequence[str] | None = None,
    *,
    row: int | None = None,
    column: int | None = None,
) -> Figure:
    """The receptive fields of one output of each layer drawn on an image ``x`` (1, H, W, C).

    Without ``row`` and ``column`` it is the output in the middle of the layer's maps; they may be given for a single layer.
    """
    from matplotlib.patches import Rectangle

    chosen = _widening(model) if layers is None else list(layers)
    if (row is not None or column is not None) and len(chosen) != 1:
        raise PellucidError("row and column belong to the maps of one layer: name that layer.")
    image = originals(model, x[:1])[0]
    height, width = image.shape[:2]
    figure = canvas(7.4, 4.4, "What one output of each layer sees of the image")
    axes = figure.subplots()
    picture(axes, image)
    smallest, largest = [0, 0], [height, width]
    for n, path in reversed(list(enumerate(chosen))):  # the small ones on top of the large
        shape = find_layer(model, path, lambda place: place.spatial, "maps").output_shape
        at = (shape[0] // 2 if row is None else row, shape[1] // 2 if column is None else column)
        box = receptive_field(model, path, *at, clip=False)
        colour = figures.COLOURS[n % len(figures.COLOURS)]
        size = box.bottom - box.top, box.right - box.left
        label = f"{path} ({at[0]}, {at[1]}): {size[0]}x{size[1]}"
        width_of_line = 1.5 + 0.9 * n  # so that edges in the same place are all seen
        frame: Any = {"xy": (box.left - 0.5, box.top - 0.5), "width": size[1], "height": size[0], "fill": False}
        axes.add_patch(Rectangle(**frame, edgecolor="white", linewidth=width_of_line + 0.8, clip_on=False))
        axes.add_patch(Rectangle(**frame, edgecolor=colour, linewidth=width_of_line, label=label, clip_on=False))
        smallest = [min(smallest[0], box.top), min(smallest[1], box.left)]
        largest = [max(largest[0], box.bottom), max(largest[1], box.right)]
    axes.set(xlim=(smallest[1] - 1, largest[1]), ylim=(largest[0], smallest[0] - 1))
    beyond = smallest != [0, 0] or largest != [height, width]
    handles, labels = axes.get_legend_handles_labels()
    title = "layer (row, column):\nheight x width in pixels"
    anchor: Any = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)}
    axes.legend(handles[::-1], labels[::-1], title=title, title_fontsize=8, alignment="left", **anchor)
    if beyond:
        figure.supxlabel("what lies outside the image is padding", fontsize=8)
    return figure


def _widening(model: Sequential) -> list[str]:
    """Outer layers that see more than the layer before, spread over the network."""
    spatial = [path for path, place in layers_of(model).items() if place.spatial and "/" not in path]
    sizes = [fields_of(model)[path].size for path in spatial]
    wider = [path for n, path in enumerate(spatial) if n == 0 or sizes[n] != sizes[n - 1]]
    return [wider[i] for i in evenly(len(wider), _MOST)]
