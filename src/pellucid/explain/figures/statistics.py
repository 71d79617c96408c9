"""How busy the filters of every layer are, and who is dead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ... import figures
from ...figures import canvas, drawn
from ..statistics import FilterStatistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@drawn
def filter_statistics(found: Mapping[str, FilterStatistics]) -> Figure:
    """For each layer, from the input down: how often each filter puts out more than zero, and how large its outputs are."""
    rows = list(found.values())
    dead = sum(int(row.dead.sum()) for row in rows if row.rectified)
    crosses = " (orange crosses: the same output for every image)" if any(row.dead.any() for row in rows) else ""
    title = f"Filters at work: {f'{dead:,}' if dead else 'none'} dead{crosses}"
    figure = canvas(8.6, 0.42 * len(rows) + 1.2, title)
    left, right = figure.subplots(1, 2, sharey=True)
    positive = [abs(value) for row in rows for value in row.mean if abs(value) > 1e-6]
    least = min(positive, default=1.0) / 3
    for place, row in enumerate(rows):
        spread = place + 0.28 * np.linspace(-1, 1, len(row.mean)) if len(row.mean) > 1 else np.array([place])
        for axes, values in ((left, row.active), (right, np.maximum(np.abs(row.mean), least))):
            alive = ~row.dead
            axes.plot(values[alive], spread[alive], "o", color=figures.BLUE, markersize=2.6, alpha=0.6, linewidth=0)
            axes.plot(values[row.dead], spread[row.dead], "x", color=figures.VERMILION, markersize=5, linewidth=0)
    left.set_yticks(range(len(rows)), [_label(row) for row in rows])
    left.invert_yaxis()
    left.set(xlim=(-0.03, 1.03), xlabel="share of outputs above zero", title="how often each filter is active")
    right.set(xscale="log", xlabel="mean output (left edge: zero)", title="how strongly")
    for axes in (left, right):
        axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.supxlabel("one mark is one filter or unit; in brackets how many the layer has", fontsize=8)
    return figure


def _label(row: FilterStatistics) -> str:
    dead = int(row.dead.sum()) if row.rectified else 0  # pooling passes on what died before it
    return f"{row.layer} ({len(row.mean)}{f', {dead} dead' if dead else ''})"
