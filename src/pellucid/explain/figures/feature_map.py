"""Images as points: what is near each other, the network finds alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...figures import canvas, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = "oDs^v"
_LEGEND = 24  # classes


@drawn
def feature_map(
    points: NDArray, y: NDArray, class_names: Sequence[str] = (), predicted: NDArray | None = None, method: str = ""
) -> Figure:
    """Points (N, 2) in the colours of their classes ``y``; those ``predicted`` as another class are ringed."""
    names = list(class_names) or [str(k) for k in range(int(y.max()) + 1)]
    how = {"pca": "principal components", "tsne": "t-SNE"}.get(method, method)
    figure = canvas(7.4, 5.2, f"{len(points):,} images as the last layer sees them{f' ({how})' if how else ''}")
    axes = figure.subplots()
    size = float(np.clip(9000 / len(points), 8, 36))
    there = [k for k in range(len(names)) if (y == k).any()]
    for k in there:
        mine = points[y == k]
        colour = figures.COLOURS[k % len(figures.COLOURS)]
        marker = _MARKERS[k % len(_MARKERS)]
        axes.scatter(
            mine[:, 0],
            mine[:, 1],
            size,
            color=colour,
            marker=marker,
            alpha=0.75,
            linewidth=0,
            label=figures.label(names[k]),
        )
    if predicted is not None and (predicted != y).any():
        wrong = points[predicted != y]
        label = f"taken for another ({len(wrong):,})"
        axes.scatter(
            wrong[:, 0], wrong[:, 1], 1.9 * size, facecolor="none", edgecolor=figures.INK, linewidth=0.5, label=label
        )
    middles = _apart(np.array([np.median(points[y == k], axis=0) for k in there]), np.ptp(points, axis=0))
    for k, middle in zip(there, middles, strict=True):
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1.2}
        axes.text(
            middle[0], middle[1], figures.label(names[k]), ha="center", va="center", fontsize=8, weight="bold", bbox=box
        )
    axes.set(xticks=[], yticks=[], xlabel="near each other: alike for the network; the axes have no unit")
    if len(there) <= _LEGEND:  # beyond, nobody could tell their colours apart; the names stand among the points
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), markerscale=1.3)
    return figure


def _apart(places: NDArray, size: NDArray) -> NDArray:
    """Places of labels, moved up and down until none covers another."""
    wide, high = 0.13 * size[0], 0.045 * size[1]
    for _ in range(50):
        for i in range(len(places)):
            for j in range(i):
                dx, dy = places[i] - places[j]
                if abs(dx) < wide and abs(dy) < high:
                    push = (high - abs(dy)) / 2 * (1 if dy >= 0 else -1)
                    places[i, 1] += push
                    places[j, 1] -= push
    return places
