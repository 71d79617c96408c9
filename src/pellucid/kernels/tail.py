"""What follows a convolution or a normalisation in a fused op: ReLU and pooling, done while the numbers are in a cache.

``z`` is what goes in, an image or some rows of one, ``y`` what comes out. For the way back a byte is kept per pooled pixel
and channel, the tap that won or NONE where ReLU cut everything off; for averages after ReLU a byte per pixel of z, whether
it was positive; for ReLU alone nothing but y. See ``windows``.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops import shape
from ..ops.shape import Geometry, Padding, Pair
from . import segments, windows
from .assembly import address, call, clear
from .buffers import aligned, aligned_bytes
from .jit import BYTES_IN4, BYTES_OUT4, IN4, INT, OUT4, TABLE, TEAM, inline, kernel
from .segments import COUNT, IN, IN_STEP, OUT, TAP, TAPS
from .threads import next_chunk, parallel_for

POOLS = ("max_pool2d", "average_pool2d")
ACTIVATIONS = (None, "relu")
BAND = 1 << 13  # floats of z in a chunk, at least


Key = tuple[tuple[int, int], bool, str | None, Geometry | None]  # what ``tail_for`` is called with


class Tail(NamedTuple):
    """How the windows lie."""

    key: Key
    relu: bool
    pool: str | None
    output: tuple[int, int]
    used: tuple[int, int]  # the rows and columns of z that windows meet; those below and to the right do not matter
    forward: int  # which function of ``windows``, and which one back
    backward: int
    rows: NDArray[np.intp]  # (rows of windows, 3): first row of z, first row of taps, how many rows of taps
    columns: NDArray[np.intp]  # segments, see there
    taps: tuple[int, int]  # rows and columns of a window
    clear: bool  # whether dz must be zero before windows write into it

    @property
    def marks(self) -> bool:
        """Whether the bytes kept belong to pixels of z."""
        return self.forward == windows.AVERAGE_RELU

    @property
    def codes(self) -> bool:
        """Whether the bytes kept belong to pixels of y."""
        return self.pool == "max_pool2d"


def accepts(activation: str | None, pool: str | None, pool_size: Pair) -> bool:
    """ReLU or nothing; windows of fewer than 256 taps, so that a tap and NONE fit into a byte."""
    return activation in ACTIVATIONS and (
        pool is None or (pool in POOLS and prod(shape.pair(pool_size, "pool_size")) <= windows.NONE)
    )


def tail_of(
    z_shape: tuple[int, ...],
    activation: str | None,
    pool: str | None,
    size: Pair,
    strides: Pair | None,
    padding: Padding,
) -> Tail:
    """The tail for z (N, H, W, C)."""
    geo = None if pool is None else shape.pool_geometry(z_shape, size, strides=strides, padding=padding)
    return tail_for((z_shape[1], z_shape[2]), activation == "relu", pool, geo)


@lru_cache(maxsize=1024)
def tail_for(size: tuple[int, int], relu: bool, pool: str | None, geo: Geometry | None) -> Tail:
    """The tail for z of this height and width."""
    key = size, relu, pool, geo
    if geo is None:
        nothing = np.empty((0, 8), np.intp)
        return Tail(key, relu, None, size, size, 0, 0, nothing, nothing, (1, 1), False)
    tables, used, met = [], [], []
    for i in (0, 1):
        arguments = geo.input[i], geo.output[i], geo.window[i], geo.strides[i], 1, geo.padding[i][0]
        tables.append(segments.forward_axis(*arguments).segments)
        spans = [(r[IN] + k * r[IN_STEP], r[TAPS]) for r in tables[i].tolist() for k in range(r[COUNT])]
        used.append(max(start + taps for start, taps in spans))
        times = np.zeros(used[i], int)
        for start, taps in spans:
            times[start : start + taps] += 1
        met.append(times)
    overlap, gaps = any(t.max() > 1 for t in met), any(t.min() < 1 for t in met)
    if pool == "max_pool2d":
        forward, backward = windows.MAX_RELU if relu else windows.MAX, windows.SPREAD_MAX
    else:
        forward = windows.AVERAGE_RELU if relu else windows.AVERAGE
        backward = windows.SPREAD_MARKED if relu else windows.SPREAD_AVERAGE
    lines = [(r[IN] + k * r[IN_STEP], r[TAP], r[TAPS]) for r in tables[0].tolist() for k in range(r[COUNT])]
    return Tail(
        key, relu, pool, geo.output, (used[0], used[1]), forward, backward + windows.ADD * overlap,
        np.array(lines, np.intp).reshape(-1, 3), tables[1], geo.window, overlap or gaps,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def bands(key: Key, count: int, *, apart: bool = False) -> NDArray[np.intp]:
    """About ``count`` bands of rows: (first row of y, end, first row of z, how many rows of z that takes).

    ``apart``: they share no row of z, and no row of z is left out. Where windows overlap that is one band.
    """
    after = tail_for(*key)
    height, rows = key[0][0], after.output[0]
    count = max(1, min(count, rows))
    if apart and after.backward >= windows.ADD:
        count = 1
    table = []
    for band in range(count):
        first, end = rows * band // count, rows * (band + 1) // count
        top, bottom = first, end
        if after.pool is not None:
            top, bottom = int(after.rows[first, 0]), int((after.rows[first:end, 0] + after.rows[first:end, 2]).max())
        if apart:
            top = 0 if band == 0 else top
            bottom = height if band == count - 1 else int(after.rows[end, 0]) if after.pool is not None else end
        table.append((first, end, top, bottom - top))
    return np.array(table, np.intp)


def new_codes(tail: Tail, z_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Memory for the bytes that are kept; one byte if none are."""
    wanted = y_shape if tail.codes else z_shape if tail.marks else (1, 1, 1, 1)
    return aligned_bytes(wanted)


@inline
def run_windows(functions, function, z, z_row, shift, y, codes, marks, image, begin, end, rows, columns, taps_across):
    """The windows of rows ``begin`` to ``end`` of y[image], forward or back.

    z is the address of a part of the image that begins with its row ``shift`` and has ``z_row`` floats in a row.
    """
    channels = y.shape[3]
    for p in range(begin, end):
        row, first_tap, taps_down = rows[p, 0], rows[p, 1], rows[p, 2]
        for i in range(columns.shape[0]):
            s = columns[i]
            column, code_row = s[IN] * channels, codes.shape[2] * codes.shape[3]
            at = ((image * y.shape[1] + p) * y.shape[2] + s[OUT]) * channels
            code = (image * codes.shape[1] + row) * code_row + column if marks else at
            call(
                functions[0, function], z + 4 * ((row - shift) * z_row + column), z_row, channels, s[IN_STEP] * channels,
                address(y) + 4 * at, address(codes) + code, code_row, s[COUNT], channels, taps_down, s[TAPS],
                first_tap * taps_across + s[TAP], taps_across,
            )  # fmt: skip


@inline
def rectify(functions, y, dy, dz, count):
    """dz = dy where y is positive, else 0; all are addresses. With y for dy and dz it is ReLU in place."""
    call(functions[0, windows.RECTIFY], y, 0, 0, 0, dy, dz, 0, count, 0, 0, 0, 0, 0)


@kernel(TEAM, INT, TABLE, IN4, OUT4, BYTES_OUT4, INT, INT, TABLE, TABLE, INT, INT)
def _forward(team, chunks, functions, z, y, codes, function, marks, rows, columns, taps_across, lines):
    """One chunk is ``lines`` rows of windows of one image; without windows, ``lines`` rows of z, where y takes its place."""
    bands = (y.shape[1] + lines - 1) // lines
    z_row, z_image = z.shape[2] * z.shape[3], z.shape[1] * z.shape[2] * z.shape[3]
    chunk = next_chunk(team)
    while chunk < chunks:
        image, begin = chunk // bands, chunk % bands * lines
        end = min(begin + lines, y.shape[1])
        if rows.shape[0] == 0:
            at = address(z) + 4 * (image * z_image + begin * z_row)
            rectify(functions, at, at, at, (end - begin) * z_row)
        else:
            run_windows(
                functions, function, address(z) + 4 * image * z_image, z_row, 0, y, codes, marks, image, begin, end, rows,
                columns, taps_across,
            )  # fmt: skip
        chunk = next_chunk(team)


@kernel(TEAM, INT, TABLE, IN4, IN4, BYTES_IN4, OUT4, INT, INT, TABLE, TABLE, INT, INT)
def _backward(team, chunks, functions, y, dy, codes, dz, function, marks, rows, columns, taps_across, zero):
    """One chunk is one image."""
    size = dz.shape[1] * dz.shape[2] * dz.shape[3]
    chunk = next_chunk(team)
    while chunk < chunks:
        at = 4 * chunk * size
        if rows.shape[0] == 0:
            rectify(functions, address(y) + at, address(dy) + at, address(dz) + at, size)
        else:
            if zero:
                clear(address(dz) + at, size)
            run_windows(
                functions, function, address(dz) + at, dz.shape[2] * dz.shape[3], 0, dy, codes, marks, chunk, 0,
                dy.shape[1], rows, columns, taps_across,
            )  # fmt: skip
        chunk = next_chunk(team)


def forward(z: NDArray[np.float32], tail: Tail) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """(y, the bytes kept). Without pooling z is overwritten by y."""
    n, channels = len(z), z.shape[3]
    y = z if tail.pool is None else aligned((n, *tail.output, channels))
    codes = new_codes(tail, z.shape, y.shape)
    if tail.pool is not None or tail.relu:
        forward_into(y, codes, z, tail)
    return y, codes


def forward_into(y: NDArray[np.float32], codes: NDArray[np.uint8], z: NDArray[np.float32], tail: Tail) -> None:
    """Write y and the bytes kept of some images."""
    n = len(z)
    lines = min(y.shape[1], max(1, BAND * y.shape[1] // (z.size // n)))
    parallel_for(
        _forward, n * -(-y.shape[1] // lines), windows.table(), z, y, codes, tail.forward, int(tail.marks), tail.rows,
        tail.columns, tail.taps[1], lines,
    )  # fmt: skip


def backward(
    dy: NDArray[np.float32], y: NDArray[np.float32] | None, codes: NDArray[np.uint8], tail: Tail, size: tuple[int, int]
) -> NDArray[np.float32]:
    """dz (N, H, W, C) for z of this height and width; y is needed for ReLU alone."""
    if tail.pool is None and not tail.relu:
        return dy
    dz = aligned((len(dy), *size, dy.shape[3]))
    clear = tail.clear or tail.used != size
    parallel_for(
        _backward, len(dy), windows.table(), dy if y is None else y, dy, codes, dz, tail.backward, int(tail.marks),
        tail.rows, tail.columns, tail.taps[1], int(clear),
    )  # fmt: skip
    return dz
