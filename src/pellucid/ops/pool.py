"""Pooling: one number for each window of each channel, its maximum or its mean."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import shape
from .shape import Geometry, Padding, Pair


class MaxPool2DCache(NamedTuple):
    winner: NDArray[np.intp]  # (N, OH, OW, C): which tap of its window won, counted row by row
    geometry: Geometry


def max_pool2d(
    x: NDArray, *, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> tuple[NDArray, MaxPool2DCache]:
    """y[n, h, w, c] = the largest x_padded[n, h·s + i, w·s + j, c] over the taps (i, j) of the window.

    ``strides`` defaults to ``pool_size``. Padding never wins, whatever the values. Where several taps are equally large,
    the first one, row by row, wins and receives the whole gradient; the first NaN wins over all numbers. Rows and columns
    that fill no whole window are left out (``padding="same"`` keeps them).

    Shapes: x (N, H, W, C), y (N, OH, OW, C). Raises ``ShapeError`` if the window is larger than the padded image.

    >>> y, cache = max_pool2d(np.array([[1.0, 5.0], [3.0, 5.0]]).reshape(1, 2, 2, 1))
    >>> y.item(), cache.winner.item()
    (5.0, 1)
    """
    geo = shape.pool_geometry(x.shape, pool_size, strides=strides, padding=padding)
    x_padded = shape.pad(x, geo, -np.inf)
    windows = np.stack([x_padded[where] for _, _, where in geo.taps()])  # (KH·KW, N, OH, OW, C)
    winner = windows.real.argmax(axis=0)
    # Where every pixel is -inf, as the padding is, the first pixel wins.
    image = shape.pad(np.ones((1, *geo.input, 1), bool), geo, False)
    inside = np.stack([image[where] for _, _, where in geo.taps()])  # (KH·KW, 1, OH, OW, 1)
    won = np.take_along_axis(np.broadcast_to(inside, windows.shape), winner[None], axis=0)[0]
    winner = np.where(won, winner, inside.argmax(axis=0))
    y = np.take_along_axis(windows, winner[None], axis=0)[0]
    return y, MaxPool2DCache(winner, geo)


def max_pool2d_backward(dy: NDArray, cache: MaxPool2DCache) -> NDArray:
    """Each output's gradient goes to the pixel that won its window; pixels that won several add them up.

    Shapes: dy (N, OH, OW, C) -> dx (N, H, W, C).

    >>> y, cache = max_pool2d(np.array([[1.0, 5.0], [3.0, 5.0]]).reshape(1, 2, 2, 1))
    >>> max_pool2d_backward(np.full_like(y, 7.0), cache)[0, :, :, 0]
    array([[0., 7.], [0., 0.]])
    """
    winner, geo = cache
    dx_padded = np.zeros((dy.shape[0], *geo.padded, dy.shape[3]), dy.dtype)
    for tap, (_, _, where) in enumerate(geo.taps()):
        dx_padded[where] += dy * (winner == tap)
    return shape.unpad(dx_padded, geo)


class AveragePool2DCache(NamedTuple):
    pixels: NDArray  # (OH, OW, 1): how many pixels each window averages
    geometry: Geometry


def average_pool2d(
    x: NDArray,
    *,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
    count_padding: bool = False,
) -> tuple[NDArray, AveragePool2DCache]:
    """y[n, h, w, c] = the mean of x[n, h·s + i, w·s + j, c] over the taps (i, j) of the window.

    ``strides`` defaults to ``pool_size``. By default a window that hangs over the edge averages only the pixels inside the
    image, as in Keras; ``count_padding=True`` counts the padding as zeros, as PyTorch does by default.

    Shapes: x (N, H, W, C), y (N, OH, OW, C). Raises ``ShapeError`` if the window is larger than the padded image.

    >>> x = np.array([[1.0, 2.0, 6.0]]).reshape(1, 1, 3, 1)
    >>> average_pool2d(x, pool_size=(1, 2), padding="same")[0].ravel()
    array([1.5, 6. ])
    >>> average_pool2d(x, pool_size=(1, 2), padding="same", count_padding=True)[0].ravel()
    array([1.5, 3. ])
    """
    geo = shape.pool_geometry(x.shape, pool_size, strides=strides, padding=padding)
    x_padded = shape.pad(x, geo)
    total = np.sum([x_padded[where] for _, _, where in geo.taps()], axis=0)
    height, width = geo.padded if count_padding else geo.input
    ones = np.ones((1, height, width, 1), x.real.dtype)
    inside = ones if count_padding else shape.pad(ones, geo)
    pixels = np.sum([inside[where] for _, _, where in geo.taps()], axis=0)[0]
    return total / pixels, AveragePool2DCache(pixels, geo)


def average_pool2d_backward(dy: NDArray, cache: AveragePool2DCache) -> NDArray:
    """Each output's gradient is shared equally by the pixels it averaged.

    Shapes: dy (N, OH, OW, C) -> dx (N, H, W, C).
    """
    pixels, geo = cache
    share = dy / pixels
    dx_padded = np.zeros((dy.shape[0], *geo.padded, dy.shape[3]), share.dtype)
    for _, _, where in geo.taps():
        dx_padded[where] += share
    return shape.unpad(dx_padded, geo)


class GlobalAveragePool2DCache(NamedTuple):
    x_shape: tuple[int, ...]


def global_average_pool2d(x: NDArray) -> tuple[NDArray, GlobalAveragePool2DCache]:
    """The mean of each channel: (N, H, W, C) -> (N, C).

    Source: Lin, Chen, Yan, "Network in network", arXiv:1312.4400.

    >>> global_average_pool2d(np.arange(4.0).reshape(1, 2, 2, 1))[0]
    array([[1.5]])
    """
    return x.mean(axis=(1, 2)), GlobalAveragePool2DCache(x.shape)


def global_average_pool2d_backward(dy: NDArray, cache: GlobalAveragePool2DCache) -> NDArray:
    """Each pixel gets an equal share: (N, C) -> (N, H, W, C)."""
    n, h, w, c = cache.x_shape
    return np.broadcast_to(dy[:, None, None, :] / (h * w), (n, h, w, c)).copy()


class GlobalMaxPool2DCache(NamedTuple):
    winner: NDArray[np.intp]  # (N, C): the winning pixel, counted row by row
    x_shape: tuple[int, ...]


def global_max_pool2d(x: NDArray) -> tuple[NDArray, GlobalMaxPool2DCache]:
    """The largest value of each channel: (N, H, W, C) -> (N, C). Of equal pixels the first, row by row, wins.

    >>> global_max_pool2d(np.arange(4.0).reshape(1, 2, 2, 1))[0]
    array([[3.]])
    """
    pixels = x.reshape(len(x), -1, x.shape[3])  # (N, H·W, C)
    winner = pixels.real.argmax(axis=1)
    y = np.take_along_axis(pixels, winner[:, None], axis=1)[:, 0]
    return y, GlobalMaxPool2DCache(winner, x.shape)


def global_max_pool2d_backward(dy: NDArray, cache: GlobalMaxPool2DCache) -> NDArray:
    """The whole gradient goes to the winner of each channel: (N, C) -> (N, H, W, C)."""
    n, h, w, c = cache.x_shape
    dx = np.zeros((n, h * w, c), dy.dtype)
    np.put_along_axis(dx, cache.winner[:, None], dy[:, None], axis=1)
    return dx.reshape(cache.x_shape)
