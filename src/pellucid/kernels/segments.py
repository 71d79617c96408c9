"""Where a window meets an image, one axis at a time.

Instead of padding the image, the output positions of an axis are cut into *segments*: runs of positions, evenly
spaced, whose windows hit the image with the same taps. A 3-tap window with padding 1 over 32 pixels gives three:
position 0 with taps 1 and 2, positions 1 … 30 with all three, position 31 with taps 0 and 1. Nothing is multiplied by
padding, and no copy is made.

The gradient to the input is a convolution of dy in the same sense. Input pixel i is met by output o through tap t when
``o·stride + t·dilation - padding = i``; as i grows by ``stride``, o grows by one, with the same taps. So every remainder of i
modulo the stride has its own taps, which go *backwards* as o grows: the weights are packed in that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The columns of a table of segments
OUT, OUT_STEP, COUNT, IN, IN_STEP, TAP, TAPS, TAP_STEP = range(8)


class Axis(NamedTuple):
    """One axis of a convolution."""

    segments: NDArray[np.intp]  # (S, 8): first output, its step, how many; first input (of the first tap), its step per
    # output; first tap (in packed order), how many, step of the input per tap
    taps: NDArray[np.intp]  # packed order -> tap of the kernel


def _runs(outputs: list[int], first_inputs: Sequence[tuple[int, ...]], tap_step: int, in_step: int) -> list[list[int]]:
    """Merge evenly spaced outputs whose windows hit the same taps; first_inputs holds (input, first tap, taps)."""
    rows: list[list[int]] = []
    for out, (start, tap, taps) in zip(outputs, first_inputs, strict=True):
        if rows and rows[-1][TAP] == tap and rows[-1][TAPS] == taps:
            rows[-1][COUNT] += 1
        else:
            rows.append([out, 1, 1, start, in_step, tap, taps, tap_step])
    return rows


@lru_cache(maxsize=4096)
def forward_axis(size: int, outputs: int, window: int, stride: int, dilation: int, before: int) -> Axis:
    """The segments of the forward pass.

    >>> forward_axis(32, 32, 3, 1, 1, 1).segments[:, [OUT, COUNT, IN, TAP, TAPS]].tolist()
    [[0, 1, 0, 1, 2], [1, 30, 0, 0, 3], [31, 1, 30, 0, 2]]
    """
    found = []
    for out in range(outputs):
        start = out * stride - before
        low = max(0, -(start // dilation))  # the first tap with start + tap·dilation ≥ 0
        high = min(window, (size - 1 - start) // dilation + 1)
        taps = max(0, high - low)
        found.append((start + low * dilation, low, taps) if taps else (0, 0, 0))
    rows = _runs(list(range(outputs)), found, dilation, stride)
    return Axis(np.array(rows, np.intp).reshape(-1, 8), np.arange(window, dtype=np.intp))


@lru_cache(maxsize=4096)
def backward_axis(size: int, outputs: int, window: int, stride: int, dilation: int, before: int) -> Axis:
    """The segments of the gradient to the input: the positions are inputs, what the window meets are outputs."""
    common = gcd(stride, dilation)
    apart, step = stride // common, dilation // common  # between the taps of a remainder; of the output per tap
    order: list[int] = []
    starts: dict[int, tuple[int, list[int]]] = {}  # remainder of the first tap modulo ``apart`` -> its place, its taps
    for remainder in range(min(apart, window)):
        taps = list(range(remainder, window, apart))[::-1]
        starts[remainder] = (len(order), taps)
        order += taps
    rows: list[list[int]] = []
    for phase in range(min(stride, size)):
        members = [t for t in range(window) if (phase + before - t * dilation) % stride == 0]
        positions, found = list(range(phase, size, stride)), []
        for i in positions:
            hits = [t for t in members if 0 <= (i + before - t * dilation) // stride < outputs]
            if not hits:
                found.append((0, 0, 0))
                continue
            place, taps = starts[hits[0] % apart]
            found.append(((i + before - hits[-1] * dilation) // stride, place + taps.index(hits[-1]), len(hits)))
        runs = _runs(positions, found, step, 1)
        for run in runs:
            run[OUT_STEP] = stride
        rows += runs
    return Axis(np.array(rows, np.intp).reshape(-1, 8), np.array(order, np.intp))


def bands(axis: Axis, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Cut the segments into about ``count`` bands of equal work: (segments, where each band begins and ends in them)."""
    total = int(axis.segments[:, COUNT].sum())
    size = -(-total // max(1, count))
    rows, starts, room = [], [0], size
    for segment in axis.segments.tolist():
        done = 0
        while done < segment[COUNT]:
            take = min(room, segment[COUNT] - done)
            piece = list(segment)
            piece[OUT] += done * segment[OUT_STEP]
            piece[IN] += done * segment[IN_STEP]
            piece[COUNT] = take
            rows.append(piece)
            done, room = done + take, room - take
            if room == 0:
                starts.append(len(rows))
                room = size
    if starts[-1] != len(rows):
        starts.append(len(rows))
    return np.array(rows, np.intp).reshape(-1, 8), np.array(starts, np.intp)


class Reach(NamedTuple):
    """For each tap of a window, the outputs that use it inside the image."""

    first_output: NDArray[np.intp]
    outputs: NDArray[np.intp]  # how many
    first_input: NDArray[np.intp]


@lru_cache(maxsize=4096)
def tap_reach(size: int, outputs: int, window: int, stride: int, dilation: int, before: int) -> Reach:
    """The reach of each tap along one axis.

    >>> [a.tolist() for a in tap_reach(32, 32, 3, 1, 1, 1)]
    [[1, 0, 0], [31, 32, 31], [0, 0, 1]]
    """
    rows = []
    for tap in range(window):
        offset = tap * dilation - before  # input = output · stride + offset
        first = max(0, -(offset // stride))
        end = min(outputs, (size - 1 - offset) // stride + 1)
        rows.append((first, end - first, first * stride + offset) if end > first else (0, 0, 0))
    table = np.array(rows, np.intp)
    return Reach(*(np.ascontiguousarray(column) for column in table.T))
