"""Pooling; the twin of ``ops/pool.py``. All loops run over the channels of a pixel, which are contiguous.

Maxima are what ``tail`` does behind a convolution, without the convolution.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops import shape
from ..ops.shape import Geometry, Padding, Pair
from . import tail
from .buffers import aligned
from .jit import IN2, IN3, IN4, INT, OUT2, OUT3, OUT4, TEAM, array_of, kernel
from .tail import Tail
from .threads import next_chunk, parallel_for


class MaxPool2DCache(NamedTuple):
    winner: NDArray[np.uint8]  # (N, OH, OW, C): which tap of its window won, counted row by row
    windows: Tail
    size: tuple[int, int]  # of x


class AveragePool2DCache(NamedTuple):
    weight: NDArray[np.float32]  # (OH, OW): one over the number of pixels a window averages
    geometry: Geometry


class GlobalAveragePoolCache(NamedTuple):
    x_shape: tuple[int, ...]


def _accepts(x: NDArray, dimensions: int = 4) -> bool:
    return x.dtype == np.float32 and x.ndim == dimensions and x.size > 0


def accepts_max_pool2d(x: NDArray, *, pool_size: Pair = 2, **settings: object) -> bool:
    """Float32 images and windows of fewer than 256 taps: a winner is kept in one byte."""
    return _accepts(x) and tail.accepts(None, "max_pool2d", pool_size)


def accepts_average_pool2d(x: NDArray, **settings: object) -> bool:
    """Float32 images."""
    return _accepts(x)


def accepts_global_pool2d(x: NDArray) -> bool:
    """Float32 images."""
    return _accepts(x)


def accepts_global_max_pool2d(x: NDArray) -> bool:
    """Float32 images of fewer than 256 pixels: one window that sees them all."""
    return _accepts(x) and accepts_max_pool2d(x, pool_size=(x.shape[1], x.shape[2]))


def max_pool2d(
    x: NDArray, *, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid"
) -> tuple[NDArray, MaxPool2DCache]:
    """The largest value of each window: x (N, H, W, C) -> y (N, OH, OW, C)."""
    x = array_of(x)
    windows = tail.tail_of(x.shape, None, "max_pool2d", pool_size, strides, padding)
    y, winner = tail.forward(x, windows)
    return y, MaxPool2DCache(winner, windows, (x.shape[1], x.shape[2]))


def max_pool2d_backward(dy: NDArray, cache: MaxPool2DCache) -> NDArray:
    """Each output's gradient goes to the pixel that won its window."""
    return tail.backward(array_of(dy), None, cache.winner, cache.windows, cache.size)


@kernel(TEAM, INT, IN4, IN2, OUT4, INT, INT, INT, INT, INT, INT)
def _average_pool(team, chunks, x, weight, y, kh, kw, row_step, col_step, top, left):
    """One chunk is one row of windows of one image."""
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    out_height, out_width = y.shape[1], y.shape[2]
    chunk = next_chunk(team)
    while chunk < chunks:
        image, row = chunk // out_height, chunk % out_height
        i0 = row * row_step - top
        for column in range(out_width):
            j0 = column * col_step - left
            total, w = y[image, row, column], weight[row, column]
            for k in range(channels):
                total[k] = 0
            for i in range(max(i0, 0), min(i0 + kh, height)):
                for j in range(max(j0, 0), min(j0 + kw, width)):
                    source = x[image, i, j]
                    for k in range(channels):
                        total[k] += source[k]
            for k in range(channels):
                total[k] *= w
        chunk = next_chunk(team)


@kernel(TEAM, INT, IN4, IN2, OUT4, INT, INT, INT, INT, INT, INT)
def _average_pool_backward(team, chunks, dy, weight, dx, kh, kw, row_step, col_step, top, left):
    """One chunk is one row of pixels of one image."""
    height, width, channels = dx.shape[1], dx.shape[2], dx.shape[3]
    out_height, out_width = dy.shape[1], dy.shape[2]
    chunk = next_chunk(team)
    while chunk < chunks:
        image, i = chunk // height, chunk % height
        low_row, high_row = max(0, (i + top - kh) // row_step + 1), min(out_height, (i + top) // row_step + 1)
        for j in range(width):
            low, high = max(0, (j + left - kw) // col_step + 1), min(out_width, (j + left) // col_step + 1)
            target = dx[image, i, j]
            for k in range(channels):
                target[k] = 0
            for row in range(low_row, high_row):
                for column in range(low, high):
                    gradient, w = dy[image, row, column], weight[row, column]
                    for k in range(channels):
                        target[k] += gradient[k] * w
        chunk = next_chunk(team)


def average_pool2d(
    x: NDArray,
    *,
    pool_size: Pair = 2,
    strides: Pair | None = None,
    padding: Padding = "valid",
    count_padding: bool = False,
) -> tuple[NDArray, AveragePool2DCache]:
    """The mean of each window: x (N, H, W, C) -> y (N, OH, OW, C)."""
    geo = shape.pool_geometry(x.shape, pool_size, strides=strides, padding=padding)
    x = array_of(x)
    weight = _window_weights(geo, count_padding)
    y = aligned((len(x), *geo.output, x.shape[3]))
    parallel_for(_average_pool, len(x) * geo.output[0], x, weight, y, *_window(geo))
    return y, AveragePool2DCache(weight, geo)


def average_pool2d_backward(dy: NDArray, cache: AveragePool2DCache) -> NDArray:
    """Each output's gradient is shared equally by the pixels it averaged."""
    weight, geo = cache
    dx = aligned((dy.shape[0], *geo.input, dy.shape[3]))
    parallel_for(_average_pool_backward, len(dx) * geo.input[0], array_of(dy), weight, dx, *_window(geo))
    return dx


@kernel(TEAM, INT, IN3, OUT2)
def _global_average(team, chunks, x, y):
    """One chunk is one image."""
    chunk = next_chunk(team)
    while chunk < chunks:
        total = y[chunk]
        for k in range(total.size):
            total[k] = 0
        for i in range(x.shape[1]):
            source = x[chunk, i]
            for k in range(total.size):
                total[k] += source[k]
        w = np.float32(1 / x.shape[1])
        for k in range(total.size):
            total[k] *= w
        chunk = next_chunk(team)


@kernel(TEAM, INT, IN2, OUT3)
def _global_average_backward(team, chunks, dy, dx):
    """One chunk is one image."""
    w = np.float32(1 / dx.shape[1])
    chunk = next_chunk(team)
    while chunk < chunks:
        gradient = dy[chunk]
        for i in range(dx.shape[1]):
            target = dx[chunk, i]
            for k in range(gradient.size):
                target[k] = gradient[k] * w
        chunk = next_chunk(team)


def global_average_pool2d(x: NDArray) -> tuple[NDArray, GlobalAveragePoolCache]:
    """The mean of each channel: (N, H, W, C) -> (N, C)."""
    y = aligned((x.shape[0], x.shape[3]))
    parallel_for(_global_average, len(y), array_of(x).reshape(len(x), -1, x.shape[3]), y)
    return y, GlobalAveragePoolCache(x.shape)


def global_average_pool2d_backward(dy: NDArray, cache: GlobalAveragePoolCache) -> NDArray:
    """Each pixel gets an equal share: (N, C) -> (N, H, W, C)."""
    n, h, w, c = cache.x_shape
    dx = aligned((n, h * w, c))
    parallel_for(_global_average_backward, n, array_of(dy), dx)
    return dx.reshape(cache.x_shape)


def global_max_pool2d(x: NDArray) -> tuple[NDArray, MaxPool2DCache]:
    """The largest value of each channel: (N, H, W, C) -> (N, C)."""
    y, cache = max_pool2d(x, pool_size=(x.shape[1], x.shape[2]))
    return y.reshape(len(y), -1), cache


def global_max_pool2d_backward(dy: NDArray, cache: MaxPool2DCache) -> NDArray:
    """The whole gradient goes to the winner of each channel: (N, C) -> (N, H, W, C)."""
    return max_pool2d_backward(dy.reshape(len(dy), 1, 1, -1), cache)


@lru_cache(maxsize=256)
def _window_weights(geo: Geometry, count_padding: bool) -> NDArray[np.float32]:
    """(OH, OW): one over the number of pixels of each window."""
    counts = []
    for axis in (0, 1):
        before = geo.padding[axis][0]
        start = np.arange(geo.output[axis]) * geo.strides[axis] - before
        end = start + geo.window[axis]
        low, high = (-before, geo.padded[axis] - before) if count_padding else (0, geo.input[axis])
        counts.append(np.minimum(end, high) - np.maximum(start, low))
    weight = (1 / np.outer(*counts)).astype(np.float32)
    weight.flags.writeable = False
    return weight


def _window(geo: Geometry) -> tuple[int, ...]:
    return *geo.window, *geo.strides, geo.padding[0][0], geo.padding[1][0]
