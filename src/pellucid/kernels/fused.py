"""Fused ops; the twin of ``ops/fused.py``. What lies between a convolution and the end of its block stays in a cache.

Forward, a chunk is some images, or a band of one: they are convolved into a piece of memory that the core keeps in its
second-level cache, and pooled from there; see ``tail``. Back, a chunk is some images one after another: dy is spread over
the pixels that it came through, again into such a piece, from which the images' share of all gradients is computed. The
activation before pooling, most of what such a block would otherwise write and read, never reaches memory.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops import shape
from ..ops.shape import Geometry, Padding, Pair
from . import convolve, depthwise, fused_loops, machine, segments, simd, tail, transpose, windows
from .buffers import aligned
from .conv import CACHE_FLOATS, CHUNKS, accepts_conv2d
from .gemm import panel_vectors, whole_vectors
from .jit import array_of
from .segments import COUNT, IN, IN_STEP, OUT, Axis
from .sums import sum_parts
from .tail import Tail
from .threads import parallel_for

PARTS_FLOATS = 1 << 20  # of the partial sums of dkernel, of which there should still be 8
FEW_PIXELS, LARGE_KERNEL = 64, 1 << 15  # there ``composed.any_block`` shares the filters out
LEAST_ROWS = 4  # of a band


class ConvBlockCache(NamedTuple):
    x: NDArray[np.float32]
    kernel: NDArray[np.float32]
    has_bias: bool
    y: NDArray[np.float32] | None  # for ReLU without pooling
    codes: NDArray[np.uint8]
    block: Block


class Block(NamedTuple):
    """Everything about a block that its numbers do not change."""

    x_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    groups: int
    geometry: Geometry
    relu: bool
    pool: str | None
    pool_geometry: Geometry | None


def accepts_conv2d_block(
    x: NDArray,
    kernel: NDArray,
    bias: NDArray | None = None,
    *,
    groups: int = 1,
    activation: str | None = None,
    pool: str | None = None,
    pool_size: Pair = 2,
    **settings: object,
) -> bool:
    """Float32, ReLU or pooling or both, no depthwise convolution, and pixels enough to share the images out."""
    return (
        accepts_conv2d(x, kernel, bias)
        and (kernel.size < LARGE_KERNEL or x.size // x.shape[3] > FEW_PIXELS)
        and tail.accepts(activation, pool, pool_size)
        and (activation, pool) != (None, None)
        and not depthwise.suits(groups, kernel.shape)
    )


def conv2d_block(
    x: NDArray,
    kernel: NDArray,
    bias: NDArray | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    activation: str | None = None,
    pool: str | None = None,
    pool_size: Pair = 2,
    pool_strides: Pair | None = None,
    pool_padding: Padding = "valid",
) -> tuple[NDArray, ConvBlockCache]:
    """Convolution, activation, pooling: x (N, H, W, CI), kernel (KH, KW, CI / groups, CO) -> y (N, PH, PW, CO)."""
    x, kernel = array_of(x), array_of(kernel)
    settings = strides, padding, dilation, groups, activation, pool, pool_size, pool_strides, pool_padding
    try:
        block = _block(x.shape, kernel.shape, *settings)
    except TypeError:  # a setting is a list
        block = _block.__wrapped__(x.shape, kernel.shape, *settings)
    plan = _forward_plan(block)
    after = plan.tail
    y = aligned((len(x), *after.output, kernel.shape[3]))
    codes = tail.new_codes(after, (len(x), *after.used, kernel.shape[3]), y.shape)
    packed = _packed(kernel, plan.axes, groups, plan.vectors, turned=False)
    parallel_for(
        fused_loops.forward, -(-len(x) // plan.images) * len(plan.bands), simd.tiles(), windows.table(),
        machine.vectors().lanes, x, packed, whole_vectors(bias, y.shape[3]), y, codes, plan.segments, plan.bands,
        plan.axes[1].segments, after.used[1], plan.axes[0].taps.size * plan.axes[1].taps.size, plan.axes[1].taps.size,
        groups, plan.vectors, plan.images, int(after.relu), after.forward, int(after.marks), after.rows, after.columns,
        after.taps[1], workspace=plan.workspace,
    )  # fmt: skip
    return y, ConvBlockCache(x, kernel, bias is not None, y if after.relu and pool is None else None, codes, block)


def conv2d_block_backward(
    dy: NDArray, cache: ConvBlockCache, *, input_gradient: bool = True
) -> tuple[NDArray | None, NDArray, NDArray | None]:
    """Back through pooling, activation and convolution: dx (or None), dkernel, dbias (or None)."""
    x, kernel, has_bias, y, codes, block = cache
    dy = array_of(dy)
    plan, lanes = _backward_plan(block, input_gradient), machine.vectors().lanes
    after, axes = plan.tail, plan.axes
    if input_gradient:
        dx = aligned(x.shape)
        packed = _packed(kernel, axes, block.groups, plan.dx_vectors, turned=True)
    else:
        dx = packed = np.empty((0, 0, 0, 0), np.float32)
    parts = aligned((plan.parts, *kernel.shape))
    sums = aligned((plan.parts if has_bias else 0, kernel.shape[3]))
    constants = np.zeros(max(block.x_shape[3], 1) + (2 * simd.MOST_VECTORS) * lanes + 1, np.float32)
    constants[-1] = 1
    rows, columns = plan.reach
    parallel_for(
        fused_loops.backward, plan.parts, simd.tiles(), windows.table(), lanes, x, dy, dy if y is None else y, codes,
        packed.reshape(-1), dx, parts, sums, constants,
        *after.used, *plan.margin, after.backward, int(after.marks), int(after.clear), after.rows, after.columns,
        after.taps[1], axes[0].segments, axes[1].segments, axes[0].taps.size * axes[1].taps.size, axes[1].taps.size,
        plan.dx_vectors, rows.first_output, rows.outputs, rows.first_input, columns.first_output, columns.outputs,
        columns.first_input, *block.geometry.strides, block.groups, plan.vectors, plan.together, int(plan.merged),
        *plan.padded, *plan.before, workspace=plan.workspace,
    )  # fmt: skip
    return dx if input_gradient else None, sum_parts(parts), sum_parts(sums) if has_bias else None


@lru_cache(maxsize=1024)
def _block(
    x_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    activation: str | None,
    pool: str | None,
    pool_size: Pair,
    pool_strides: Pair | None,
    pool_padding: Padding,
) -> Block:
    geo = shape.conv_geometry(x_shape, kernel_shape, strides=strides, padding=padding, dilation=dilation, groups=groups)
    pools = None
    if pool is not None:
        z_shape = x_shape[0], *geo.output, kernel_shape[3]
        pools = shape.pool_geometry(z_shape, pool_size, strides=pool_strides, padding=pool_padding)
    return Block(x_shape, kernel_shape, groups, geo, activation == "relu", pool, pools)


class ForwardPlan(NamedTuple):
    tail: Tail
    axes: tuple[Axis, Axis]
    vectors: int
    images: int  # in a chunk
    segments: NDArray[np.intp]  # of rows, by band
    bands: NDArray[np.intp]  # see ``fused_loops.forward``
    workspace: int


def _tail_of(block: Block) -> tuple[Tail, Geometry]:
    """The tail, and the convolution without the outputs that no window meets."""
    after = tail.tail_for(block.geometry.output, block.relu, block.pool, block.pool_geometry)
    return after, block.geometry._replace(output=after.used)


@lru_cache(maxsize=1024)
def _forward_plan(block: Block) -> ForwardPlan:
    after, geo = _tail_of(block)
    n, co = block.x_shape[0], block.kernel_shape[3]
    arguments = list(zip(geo.input, geo.output, geo.window, geo.strides, geo.dilation, geo.padding, strict=True))
    rows, columns = (segments.forward_axis(*a[:5], a[5][0]) for a in arguments)
    vectors = panel_vectors(co // block.groups, rows=_longest(rows, columns))
    row = after.used[1] * co
    images = max(1, min(CACHE_FLOATS // max(row * after.used[0], _floats(block)), -(-n // CHUNKS)))
    wanted = max(-(-row * after.used[0] // CACHE_FLOATS), -(-CHUNKS // -(-n // images)))
    table: list[list[int]] = []
    bands = []
    for first, end, top, height in tail.bands(after.key, min(wanted, after.used[0] // LEAST_ROWS)).tolist():
        pieces = _cut(rows.segments, top, top + height, shift=0 if after.pool is None else top)
        bands.append((first, end, top, height, len(table), len(table) + len(pieces)))
        table += pieces
    highest = max(band[3] for band in bands)
    space = images * highest * row if after.pool is not None else 0
    return ForwardPlan(
        after,
        (rows, columns),
        vectors,
        images,
        np.array(table, np.intp).reshape(-1, 8),
        np.array(bands, np.intp),
        space,
    )


def _floats(block: Block) -> int:
    """Of one image of x."""
    return block.x_shape[1] * block.x_shape[2] * block.x_shape[3]


def _longest(rows: Axis, columns: Axis) -> int:
    """The longest run of pixels along either axis: it decides how high the tiles are."""
    return max(int(axis.segments[:, COUNT].max()) for axis in (rows, columns))


def _cut(table: NDArray[np.intp], begin: int, end: int, shift: int) -> list[list[int]]:
    """The part of some segments that lies in [begin, end), counted from ``shift``."""
    pieces = []
    for segment in table.tolist():
        low, high = max(begin, segment[OUT]), min(end, segment[OUT] + segment[COUNT])
        if low < high:
            segment[IN] += (low - segment[OUT]) * segment[IN_STEP]
            segment[OUT], segment[COUNT] = low - shift, high - low
            pieces.append(segment)
    return pieces


class BackwardPlan(NamedTuple):
    tail: Tail
    axes: tuple[Axis, Axis]  # of the gradient to the input
    dx_vectors: int
    margin: tuple[int, int]  # where dz begins in rows of zeros, and how long these are
    reach: tuple[segments.Reach, segments.Reach]
    vectors: int
    parts: int
    together: int
    merged: bool
    padded: tuple[int, int]  # height and width of x with padding if it is to be padded, else zeros
    before: tuple[int, int]
    workspace: int


@lru_cache(maxsize=1024)
def _backward_plan(block: Block, input_gradient: bool) -> BackwardPlan:
    after, geo = _tail_of(block)
    n, ci, co = block.x_shape[0], block.x_shape[3], block.kernel_shape[3]
    inputs, outputs, lanes = block.kernel_shape[2], co // block.groups, machine.vectors().lanes
    arguments = list(zip(geo.input, geo.output, geo.window, geo.strides, geo.dilation, geo.padding, strict=True))
    before, padded = (geo.padding[0][0], geo.padding[1][0]), (0, 0)
    margin, pitch = 0, after.used[1]
    if input_gradient:
        margin, pitch = _margin(*arguments[1])
    stride = geo.strides[1]
    axes = (
        segments.backward_axis(*arguments[0][:5], before[0]),
        segments.backward_axis(geo.input[1], pitch, *arguments[1][2:5], before[1] + margin * stride),
    )
    if ci <= 4 and any(map(any, geo.padding)):
        # with few channels the taps of a kernel row must be one product, which needs a padded image; it is small
        padded = geo.padded
        arguments = [(size, *a[1:5], (0, 0)) for size, a in zip(padded, arguments, strict=True)]
    rows, columns = (segments.tap_reach(*a[:5], a[5][0]) for a in arguments)
    alike = bool(
        (columns.outputs == columns.outputs[0]).all() and (columns.first_output == columns.first_output[0]).all()
    )
    merged = alike and block.groups == 1 and geo.dilation[1] == 1
    vectors = panel_vectors(outputs, rows=inputs * (geo.window[1] if merged else 1))
    parts = min(n, CHUNKS, max(8, PARTS_FLOATS // int(np.prod(block.kernel_shape))))
    size = after.used[0] * pitch * co
    together = max(1, min(-(-n // parts), CACHE_FLOATS // max(size, _floats(block))))
    space = together * (size + padded[0] * padded[1] * ci) + simd.MOST_VECTORS * lanes  # vectors stick out at the end
    return BackwardPlan(
        after, axes, panel_vectors(inputs, rows=_longest(*axes)), (margin, pitch), (rows, columns), vectors, parts, together,
        merged, padded, before, space,
    )  # fmt: skip


def _margin(
    size: int, outputs: int, window: int, stride: int, dilation: int, padding: tuple[int, int]
) -> tuple[int, int]:
    """(zeros left of a row of dz, length of the row with zeros on both sides) so that every pixel of dx meets all taps.

    Then the pixels of a row make long runs with the same taps; where that would double the row there are none.
    """
    left = max(0, -((padding[0] - (window - 1) * dilation) // stride))
    right = max(0, (size - 1 + padding[0]) // stride - (outputs - 1))
    pitch = left + outputs + right
    return (left, pitch) if pitch <= 2 * outputs else (0, outputs)


def _packed(
    kernel: NDArray[np.float32], axes: tuple[Axis, Axis], groups: int, vectors: int, *, turned: bool
) -> NDArray[np.float32]:
    """The weights as ``convolve_images`` reads them."""
    lanes, (rows, columns) = machine.vectors().lanes, axes
    inputs, outputs = kernel.shape[2], kernel.shape[3] // groups
    if turned:
        inputs, outputs = outputs, inputs
    packed = aligned((groups * -(-outputs // lanes) * lanes * rows.taps.size * columns.taps.size * inputs,))
    parallel_for(
        convolve.pack_weights, groups * rows.taps.size * columns.taps.size, transpose.table(), kernel, rows.taps,
        columns.taps, groups, int(turned), vectors * lanes, lanes, packed,
    )  # fmt: skip
    return packed
