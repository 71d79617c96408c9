"""The maps that an image calls up, layer by layer, down to the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...errors import PellucidError
from ...figures import canvas, drawn, picture
from ...metrics import as_probabilities
from ...model import Sequential
from ..activations import activations
from ..network import class_name, layers_of
from .parts import originals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CHANNELS, _LAYERS = 8, 14
_BARS = 10


@drawn
def activation_maps(
    model: Sequential, x: NDArray, layers: Sequence[str] | None = None, channels: int = _CHANNELS
) -> Figure:
    """One image ``x`` (1, H, W, C) in the eyes of the network: a row for each layer with maps, its strongest channels in order.

    Without ``layers``, the outer layers with maps. Every row has its own scale: dark is zero or least, bright is most.
    """
    if len(model.check_input(x)) != 1:
        raise PellucidError(f"activation_maps got {len(x)} images; wanted one: x[:1].")
    known = layers_of(model)
    wanted = [p for p, place in known.items() if place.spatial and "/" not in p] if layers is None else list(layers)
    found = {path: maps[0] for path, maps in activations(model, x, wanted).items() if maps.ndim == 4}
    left_out = len(found) - _LAYERS
    found = dict(list(found.items())[-_LAYERS:]) if layers is None else found
    if not found:
        raise PellucidError("None of these layers puts out maps (H, W, C), so there is nothing to draw.")
    more = f", the last {_LAYERS} of {left_out + _LAYERS} layers" if layers is None and left_out > 0 else ""
    figure = canvas(1.02 * channels + 1.6, 1.12 * len(found) + 2.1, f"What each layer makes of the image{more}")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.7, len(found)), squeeze=False)[:, 0]
    image, bars = upper.subplots(1, 2, width_ratios=(1, 2.2))
    picture(image, originals(model, x)[0], "the image")
    _bars(bars, model, x)
    grid = lower.subplots(len(found), channels + 1, squeeze=False)
    for cell in grid.flat:
        cell.set_axis_off()
    for line, (path, maps) in zip(grid, found.items(), strict=True):
        label = line[0]
        text = f"{path}\n{'x'.join(map(str, maps.shape))}"
        label.text(1, 0.5, text, ha="right", va="center", fontsize=8, transform=label.transAxes)
        chosen = np.argsort(-maps.mean(axis=(0, 1)), kind="stable")[:channels]
        low, high = float(min(maps.min(), 0)), float(maps.max())
        for axes, channel in zip(line[1:], chosen, strict=False):
            picture(axes, maps[:, :, channel], cmap=figures.AMOUNTS, vmin=low, vmax=max(high, low + 1e-12))
            axes.set_title(str(channel), fontsize=7, pad=2)
    lower.supxlabel(
        "numbers are channels, those with the largest mean first; bright is strong, each layer in its own scale",
        fontsize=8,
    )
    return figure


def _bars(axes: Axes, model: Sequential, x: NDArray) -> None:
    row = as_probabilities(model.predict(x), model.final_activation)[0]
    best = np.argsort(-row, kind="stable")[:_BARS][::-1]
    axes.barh([figures.label(class_name(model, int(k))) for k in best], row[best], color=figures.BLUE)
    axes.set(xlim=(0, 1), title="the answer: probability of each class")
    axes.tick_params(labelsize=7)
