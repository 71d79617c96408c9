"""Depthwise convolution: every channel has its own small kernel. There is no product in it, only rows of channels.

The channels of a pixel are contiguous, so a tap is ``y[pixel] += x[pixel'] · kernel[tap]``, a vector operation over channels.
"""

from __future__ import annotations

from numpy.typing import NDArray

from ..ops.shape import Geometry
from . import segments
from .buffers import aligned
from .gemm import whole_vectors
from .jit import IN1, IN2, IN4, INT, INTS, OUT2, OUT3, OUT4, TEAM, kernel
from .sums import sum_parts
from .threads import next_chunk, parallel_for

PARTS = 32


def suits(groups: int, kernel_shape: tuple[int, ...]) -> bool:
    """One input and one output channel per group."""
    return groups > 1 and kernel_shape[2] == 1 and kernel_shape[3] == groups


@kernel(TEAM, INT, IN4, IN2, IN1, OUT4, INT, INT, INT, INT, INT, INT, INT)
def _forward(team, chunks, x, taps, bias, y, kw, row_step, col_step, row_dilation, col_dilation, top, left):
    """One chunk is one row of outputs of one image."""
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    out_height, out_width = y.shape[1], y.shape[2]
    chunk = next_chunk(team)
    while chunk < chunks:
        image, row = chunk // out_height, chunk % out_height
        for column in range(out_width):
            target = y[image, row, column]
            for c in range(channels):
                target[c] = bias[c]
            for tap in range(taps.shape[0]):
                i = row * row_step + tap // kw * row_dilation - top
                j = column * col_step + tap % kw * col_dilation - left
                if 0 <= i < height and 0 <= j < width:
                    source, weights = x[image, i, j], taps[tap]
                    for c in range(channels):
                        target[c] += source[c] * weights[c]
        chunk = next_chunk(team)


@kernel(TEAM, INT, IN4, IN2, OUT4, INT, INT, INT, INT, INT, INT, INT)
def _input_gradient(team, chunks, dy, taps, dx, kw, row_step, col_step, row_dilation, col_dilation, top, left):
    """One chunk is one row of inputs of one image."""
    height, width, channels = dx.shape[1], dx.shape[2], dx.shape[3]
    out_height, out_width = dy.shape[1], dy.shape[2]
    chunk = next_chunk(team)
    while chunk < chunks:
        image, row = chunk // height, chunk % height
        for column in range(width):
            target = dx[image, row, column]
            target[:] = 0
            for tap in range(taps.shape[0]):
                i = row + top - tap // kw * row_dilation
                j = column + left - tap % kw * col_dilation
                if i < 0 or j < 0 or i % row_step or j % col_step:
                    continue
                i, j = i // row_step, j // col_step
                if i < out_height and j < out_width:
                    source, weights = dy[image, i, j], taps[tap]
                    for c in range(channels):
                        target[c] += source[c] * weights[c]
        chunk = next_chunk(team)


@kernel(TEAM, INT, IN4, IN4, OUT3, OUT2, INTS, INTS, INTS, INTS, INTS, INTS, INT, INT)
def _kernel_gradient(
    team, chunks, x, dy, parts, bias_parts, row_out, row_count, row_in, col_out, col_count, col_in, row_step, col_step
):  # fmt: skip
    """One chunk is a part of the images."""
    channels, kw = x.shape[3], col_out.size
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = x.shape[0] * chunk // chunks, x.shape[0] * (chunk + 1) // chunks
        dbias = bias_parts[chunk]
        dbias[:] = 0
        parts[chunk] = 0
        for image in range(begin, end):
            for i in range(dy.shape[1]):
                for j in range(dy.shape[2]):
                    gradient = dy[image, i, j]
                    for c in range(channels):
                        dbias[c] += gradient[c]
            for tap in range(parts.shape[1]):
                r, s = tap // kw, tap % kw
                target = parts[chunk, tap]
                for i in range(row_count[r]):
                    for j in range(col_count[s]):
                        source = x[image, row_in[r] + i * row_step, col_in[s] + j * col_step]
                        gradient = dy[image, row_out[r] + i, col_out[s] + j]
                        for c in range(channels):
                            target[c] += source[c] * gradient[c]
        chunk = next_chunk(team)


def forward(x: NDArray, kernel: NDArray, bias: NDArray | None, geo: Geometry) -> NDArray:
    """x (N, H, W, C), kernel (KH, KW, 1, C), bias (C,) -> y (N, OH, OW, C)."""
    y = aligned((len(x), *geo.output, x.shape[3]))
    taps = kernel.reshape(-1, x.shape[3])
    parallel_for(_forward, len(x) * geo.output[0], x, taps, whole_vectors(bias, x.shape[3]), y, *_window(geo))
    return y


def input_gradient(dy: NDArray, kernel: NDArray, x_shape: tuple[int, ...], geo: Geometry) -> NDArray:
    """dy (N, OH, OW, C), kernel (KH, KW, 1, C) -> dx (N, H, W, C)."""
    dx = aligned(x_shape)
    parallel_for(_input_gradient, x_shape[0] * x_shape[1], dy, kernel.reshape(-1, x_shape[3]), dx, *_window(geo))
    return dx


def kernel_gradient(x: NDArray, dy: NDArray, kernel_shape: tuple[int, ...], geo: Geometry) -> tuple[NDArray, NDArray]:
    """(N, H, W, C) and (N, OH, OW, C) -> dkernel (KH, KW, 1, C), dbias (C,)."""
    parts = min(len(x), PARTS)
    dkernel = aligned((parts, geo.window[0] * geo.window[1], x.shape[3]))
    dbias = aligned((parts, x.shape[3]))
    rows, columns = (
        segments.tap_reach(
            geo.input[i], geo.output[i], geo.window[i], geo.strides[i], geo.dilation[i], geo.padding[i][0]
        )
        for i in (0, 1)
    )
    parallel_for(
        _kernel_gradient, parts, x, dy, dkernel, dbias, rows.first_output, rows.outputs, rows.first_input,
        columns.first_output, columns.outputs, columns.first_input, *geo.strides,
    )  # fmt: skip
    return sum_parts(dkernel).reshape(kernel_shape), sum_parts(dbias)


def _window(geo: Geometry) -> tuple[int, ...]:
    return geo.window[1], *geo.strides, *geo.dilation, geo.padding[0][0], geo.padding[1][0]
