"""Occlusion sensitivity: what the score loses when a part of the image is covered."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..layers import Chain
from ..model import Sequential
from ..ops.shape import Pair, pair
from ..plan import planned
from .attribution import Attribution, attribute
from .network import Classes


def occlusion(
    model: Sequential,
    x: NDArray,
    classes: Classes = None,
    *,
    window: Pair | None = None,
    strides: Pair | None = None,
    cover: float = 0.0,
    of: str = "logit",
    batch_size: int = 64,
) -> Attribution:
    """Slide a window over the image, cover what is under it, and see how much the score falls.

    Each pixel's value is the mean fall over all windows that covered it; below zero the score rose. ``window`` and ``strides``
    are (vertical, horizontal) or one number; by default a quarter of the image in steps of a sixteenth. The last windows may hang
    over the edge. ``cover`` is the number put in place of the pixels, behind ``model.preprocessing``, where 0 is the mean colour.

    Source: Zeiler, Fergus, "Visualizing and understanding convolutional networks", arXiv:1311.2901.

    >>> from pellucid import zoo
    >>> occlusion(zoo.build("cnn1_mnist", (8, 8, 1)), np.ones((1, 8, 8, 1), np.float32), window=4, strides=2).values.shape
    (1, 8, 8)
    """
    height, width = model.input_shape[:2] if model.input_shape else (1, 1)
    window = (max(1, height // 4), max(1, width // 4)) if window is None else pair(window, "window")
    strides = (max(1, height // 16), max(1, width // 16)) if strides is None else pair(strides, "strides")

    def falls(network: Chain, batch: NDArray, dy: NDArray, part: slice) -> NDArray:
        run = planned(network, training=False)  # only outputs are asked for
        whole = (run(batch) * dy).sum(axis=1)
        total, covered = np.zeros(batch.shape[:3], np.float64), np.zeros(batch.shape[1:3])
        for rows, columns in _windows(batch.shape[1:3], window, strides):
            hidden = batch.copy()
            hidden[:, rows, columns] = cover
            fall = whole - (run(hidden) * dy).sum(axis=1)
            total[:, rows, columns] += fall[:, None, None]
            covered[rows, columns] += 1
        return (total / np.maximum(covered, 1)).astype(batch.dtype)

    values, chosen, scores, words = attribute(model, x, classes, of, batch_size, falls)
    return Attribution("occlusion", values, chosen, scores, words, signed=True)


def _windows(size: tuple[int, ...], window: Pair, strides: Pair) -> Iterator[tuple[slice, slice]]:
    """All places of the window; the last ones reach the edge and may be cut by it."""
    ranges = []
    for n, k, s in zip(size, window, strides, strict=True):  # type: ignore[arg-type]
        count = math.ceil(max(n - k, 0) / s) + 1
        ranges.append([slice(s * i, min(s * i + k, n)) for i in range(count)])
    for rows in ranges[0]:
        for columns in ranges[1]:
            yield rows, columns
