"""What augmentation does to pixels. ``pellucid.kernels.augment`` has the same functions, compiled, with the same bits.

What happens to which image is decided elsewhere, see ``pellucid.augmentation.draws``; here nothing is drawn.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Draws(NamedTuple):
    """What is done to N images. None stands for: to no image of the batch."""

    images: NDArray[np.int64]  # (N,) places in the data
    moves: NDArray[np.int64]  # (N, 3): 1 for a mirrored image, then how many pixels down and right the source lies
    maps: NDArray[np.float32] | None = (
        None  # (N, 6): source row = m0 · row + m1 · column + m2, its column with m3, m4, m5
    )
    colors: NDArray[np.float32] | None = None  # (N, 3): factors of brightness, contrast, saturation
    boxes: NDArray[np.int64] | None = None  # (N, 4): top, left, bottom, right of what is cut out


def render(x: NDArray, draws: Draws, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """The images that ``draws`` names, transformed, as the network sees them: ``value · scale - shift`` per channel.

    Shapes: x (N, H, W, C), uint8 or float32; scale and shift (C,); result (M, H, W, C), float32.
    """
    y = _moved(x, draws) if draws.maps is None else _mapped(x, draws)
    if draws.colors is not None:
        y = _recoloured(y, x, draws)
        if x.dtype == np.uint8:
            y = np.clip(y, 0, 255)
    y = y * scale - shift
    if draws.boxes is not None:
        for image, (top, left, bottom, right) in zip(y, draws.boxes, strict=True):
            image[top:bottom, left:right] = 0
    return y


def normalise(x: NDArray, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (N, H, W, C) as they are: ``value · scale - shift`` per channel."""
    return x.astype(np.float32) * scale - shift


def mix(
    y: NDArray[np.float32], partners: NDArray[np.float32], weights: NDArray[np.float32], boxes: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Images (N, H, W, C) mixed with their partners: the weighted mean, and inside the box the partner alone."""
    weights = weights[:, None, None, None]
    mixed = y * weights + partners * (1 - weights)
    for image, partner, (top, left, bottom, right) in zip(mixed, partners, boxes, strict=True):
        image[top:bottom, left:right] = partner[top:bottom, left:right]
    return mixed


def reflect(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Places outside 0 … size - 1 as seen in mirrors that stand on the first and the last one.

    >>> reflect(np.arange(-3, 6), 4)
    array([3, 2, 1, 0, 1, 2, 3, 2, 1])
    """
    period = max(2 * (size - 1), 1)
    index = index % period
    return np.where(index < size, index, period - index)


def _moved(x: NDArray, draws: Draws) -> NDArray[np.float32]:
    """Mirrored and moved by whole pixels."""
    h, w = x.shape[1:3]
    mirrored, down, right = (column[:, None] for column in draws.moves.T)
    rows = reflect(np.arange(h) + down, h)  # (M, H)
    columns = reflect(np.where(mirrored, np.arange(w)[::-1], np.arange(w)) + right, w)  # (M, W)
    return x[draws.images[:, None, None], rows[:, :, None], columns[:, None, :]].astype(np.float32)


def _mapped(x: NDArray, draws: Draws) -> NDArray[np.float32]:
    """Looked up at the places the maps name, between pixels bilinearly."""
    h, w = x.shape[1:3]
    m = draws.maps[:, :, None, None]  # type: ignore[index]
    row, column = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
    sources = [m[:, 0] * row + m[:, 1] * column + m[:, 2], m[:, 3] * row + m[:, 4] * column + m[:, 5]]  # (M, H, W)
    first = [np.floor(source) for source in sources]
    down, right = ((s - f)[..., None] for s, f in zip(sources, first, strict=True))
    top, bottom = (reflect(first[0].astype(np.int64) + step, h) for step in (0, 1))
    left, rear = (reflect(first[1].astype(np.int64) + step, w) for step in (0, 1))
    image = draws.images[:, None, None]
    corners = [x[image, rows, columns].astype(np.float32) for rows in (top, bottom) for columns in (left, rear)]
    above = corners[0] + (corners[1] - corners[0]) * right
    below = corners[2] + (corners[3] - corners[2]) * right
    return above + (below - above) * down


def _recoloured(y: NDArray[np.float32], x: NDArray, draws: Draws) -> NDArray[np.float32]:
    """Brightness, then contrast about the mean grey of the image as it is in the data, then saturation about a pixel's grey."""
    brightness, contrast, saturation = (factor[:, None, None, None] for factor in draws.colors.T)  # type: ignore[union-attr]
    one = np.float32(1)
    means = x[draws.images].sum(axis=(1, 2), dtype=np.float64) / (x.shape[1] * x.shape[2])  # (M, C)
    y = y * brightness
    y = y * contrast + (one - contrast) * (_grey(means).astype(np.float32)[:, None, None, None] * brightness)
    if y.shape[-1] == 3:
        y = y * saturation + (one - saturation) * _grey(y)[..., None]
    return y


def _grey(colors: NDArray) -> NDArray:
    """The brightness of colours (..., C): the luma of three channels, the mean of others."""
    c = colors.shape[-1]
    weights = np.array(LUMA if c == 3 else [1 / c] * c).astype(colors.dtype)
    grey = colors[..., 0] * weights[0]
    for channel in range(1, c):
        grey = grey + colors[..., channel] * weights[channel]
    return grey
