"""Whether gradients reach the first layers, and how fast each layer would learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ... import figures
from ...figures import canvas, drawn
from ..gradient_flow import Flow

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@drawn
def gradient_flow(rows: Sequence[Flow]) -> Figure:
    """From the input (top) to the output (bottom): size of outputs and gradients, and of gradients relative to the weights."""
    places = np.arange(len(rows))
    figure = canvas(8.6, 0.34 * len(rows) + 1.7, "Gradient flow: from the loss, at the bottom, up to the first layer")
    left, right = figure.subplots(1, 2, sharey=True)
    left.plot(
        [row.output for row in rows], places, "o-", color=figures.GREEN, label="outputs", markersize=4, linewidth=1
    )
    by_output = [row.output_gradient for row in rows]
    left.plot(
        by_output, places, "D-", color=figures.VERMILION, label="gradients by the outputs", markersize=4, linewidth=1
    )
    left.set(xscale="log", xlabel="root mean square", title="signal and gradient")
    ratios = np.array([row.ratio if np.isfinite(row.ratio) and row.ratio > 0 else np.nan for row in rows])
    right.plot(ratios, places, "s-", color=figures.BLUE, markersize=5, linewidth=1, label="gradient / weights")
    figure.legend(loc="outside lower center", ncols=3)
    right.set(
        xscale="log", xlabel="norm of the gradient / norm of the weights", title="how much each layer would change"
    )
    left.set_yticks(places, [row.path for row in rows])
    left.invert_yaxis()
    for axes in (left, right):
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
    return figure
