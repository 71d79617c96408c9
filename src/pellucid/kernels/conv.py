"""Direct convolution; the twin of ``ops/conv.py``. What runs is in ``convolve``; here it is decided how."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops import shape
from ..ops.shape import Geometry, Padding, Pair
from . import convolve, depthwise, gemm, machine, segments, simd
from .buffers import aligned
from .gemm import panel_vectors, whole_vectors
from .jit import array_of
from .segments import COUNT, Axis
from .sums import sum_parts, sum_rows
from .threads import parallel_for
from .transpose import table as transposing

CHUNKS = 32  # at least so many where the shapes allow it: enough to keep threads equally busy
CACHE_FLOATS = 1 << 16  # of an image, or several, that should stay in the second-level cache


class Conv2DCache(NamedTuple):
    x: NDArray[np.float32]
    kernel: NDArray[np.float32]
    has_bias: bool
    groups: int
    geometry: Geometry


def accepts_conv2d(x: NDArray, kernel: NDArray, bias: NDArray | None = None, **settings: object) -> bool:
    """Float32 images of at least one pixel."""
    arrays = [x, kernel] if bias is None else [x, kernel, bias]
    return all(a.dtype == np.float32 for a in arrays) and x.ndim == kernel.ndim == 4 and x.size > 0 and kernel.size > 0


def conv2d(
    x: NDArray,
    kernel: NDArray,
    bias: NDArray | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
) -> tuple[NDArray, Conv2DCache]:
    """Two-dimensional convolution: x (N, H, W, CI), kernel (KH, KW, CI / groups, CO) -> y (N, OH, OW, CO)."""
    geo = shape.conv_geometry(x.shape, kernel.shape, strides=strides, padding=padding, dilation=dilation, groups=groups)
    x, kernel = array_of(x), array_of(kernel)
    cache = Conv2DCache(x, kernel, bias is not None, groups, geo)
    co = kernel.shape[3]
    if _is_product(geo, groups):
        y = gemm.matmul(x.reshape(-1, x.shape[3]), kernel.reshape(-1, co), bias)
        return y.reshape(*x.shape[:3], co), cache
    if depthwise.suits(groups, kernel.shape):
        return depthwise.forward(x, kernel, bias, geo), cache
    y = aligned((x.shape[0], *geo.output, co))
    axes = [
        segments.forward_axis(
            geo.input[i], geo.output[i], geo.window[i], geo.strides[i], geo.dilation[i], geo.padding[i][0]
        )
        for i in (0, 1)
    ]
    _run(x, kernel, bias, y, axes[0], axes[1], groups, turned=False)
    return y, cache


def conv2d_backward(
    dy: NDArray, cache: Conv2DCache, *, input_gradient: bool = True, kernel_gradient: bool = True
) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
    """Gradients of ``conv2d``: dx (or None), dkernel (or None), dbias (or None)."""
    dy = array_of(dy)
    x, kernel, has_bias, groups, geo = cache
    ci, co = x.shape[3], kernel.shape[3]
    dx = None
    if _is_product(geo, groups):
        flat = dy.reshape(-1, co)
        if input_gradient:
            dx = gemm.matmul(flat, kernel.reshape(ci, co), transpose_b=True).reshape(x.shape)
    elif depthwise.suits(groups, kernel.shape):
        dx = depthwise.input_gradient(dy, kernel, x.shape, geo) if input_gradient else None
        if kernel_gradient:
            dkernel, dbias = depthwise.kernel_gradient(x, dy, kernel.shape, geo)
            return dx, dkernel, dbias if has_bias else None
    elif input_gradient:
        dx = aligned(x.shape)
        axes = [
            segments.backward_axis(
                geo.input[i], geo.output[i], geo.window[i], geo.strides[i], geo.dilation[i], geo.padding[i][0]
            )
            for i in (0, 1)
        ]
        _run(dy, kernel, None, dx, axes[0], axes[1], groups, turned=True)
    if not kernel_gradient:
        return dx, None, bias_gradient(dy) if has_bias else None
    return dx, *_kernel_gradient(x, dy, kernel.shape, groups, geo, has_bias)


def bias_gradient(dy: NDArray[np.float32]) -> NDArray[np.float32]:
    """dbias = Σ dy over all pixels."""
    return sum_rows(dy.reshape(-1, dy.shape[3]))


def _is_product(geo: Geometry, groups: int) -> bool:
    """A 1x1 window that looks at every pixel once: a matrix product over all pixels."""
    return geo.window == geo.strides == (1, 1) and groups == 1 and not any(map(any, geo.padding))


def _run(
    x: NDArray,
    kernel: NDArray,
    bias: NDArray | None,
    y: NDArray,
    rows: Axis,
    columns: Axis,
    groups: int,
    turned: bool,
    floor: int = simd.NO_FLOOR,
) -> None:
    """y = bias + convolution of x, or of dy with ``turned`` weights, cut into chunks that depend on the shapes alone."""
    lanes = machine.vectors().lanes
    n, outputs, inputs = len(x), y.shape[3] // groups, x.shape[3] // groups
    # the longest run of pixels along either axis decides how high the tiles are
    longest = max(int(axis.segments[:, COUNT].max()) for axis in (rows, columns))
    vectors = panel_vectors(outputs, rows=longest)
    width = vectors * lanes
    whole = -(-outputs // lanes) * lanes
    taps = rows.taps.size * columns.taps.size
    packed = aligned((groups * whole * taps * inputs,))
    parallel_for(
        convolve.pack_weights,
        groups * taps,
        transposing(),
        kernel,
        rows.taps,
        columns.taps,
        groups,
        int(turned),
        width,
        lanes,
        packed,
    )
    panel_count = groups * -(-outputs // width)
    images = max(1, min(CACHE_FLOATS // (x.size // n), -(-n // CHUNKS)))
    blocks = -(-n // images)
    panel_chunks = min(panel_count, -(-CHUNKS // blocks))
    panels = -(-panel_count // panel_chunks)
    panel_chunks = -(-panel_count // panels)
    lines, starts = _bands(rows.segments.tobytes(), -(-CHUNKS // (blocks * panel_chunks)))
    parallel_for(
        convolve.convolve, blocks * (len(starts) - 1) * panel_chunks, simd.tiles(), lanes, x, packed,
        whole_vectors(bias, y.shape[3]), y, lines, starts, columns.segments, taps, columns.taps.size, groups, vectors,
        images, panels, floor,
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _bands(table: bytes, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    axis = Axis(np.frombuffer(table, np.intp).reshape(-1, 8), np.empty(0, np.intp))
    total = int(axis.segments[:, COUNT].sum())
    return segments.bands(axis, min(count, -(-total // 4)))  # bands of at least four rows


def _padded(x: NDArray[np.float32], geo: Geometry) -> NDArray[np.float32]:
    y = aligned((len(x), *geo.padded, x.shape[3]))
    parallel_for(convolve.pad, len(x) * y.shape[1], x, geo.padding[0][0], geo.padding[1][0], y)
    return y


def _kernel_gradient(
    x: NDArray, dy: NDArray, kernel_shape: tuple[int, ...], groups: int, geo: Geometry, has_bias: bool
) -> tuple[NDArray, NDArray | None]:
    """dkernel and dbias."""
    lanes = machine.vectors().lanes
    n, co = len(x), dy.shape[3]
    padding = geo.padding
    if x.shape[3] <= 4 and any(map(any, padding)):
        # with few channels the taps of a kernel row must be one product, which needs a padded image; it is small
        x, padding = _padded(x, geo), ((0, 0), (0, 0))
        geo = geo._replace(input=(x.shape[1], x.shape[2]), padding=padding)
    rows, columns = (
        segments.tap_reach(geo.input[i], geo.output[i], geo.window[i], geo.strides[i], geo.dilation[i], padding[i][0])
        for i in (0, 1)
    )
    inputs, outputs = kernel_shape[2], co // groups
    alike = bool(
        (columns.outputs == columns.outputs[0]).all() and (columns.first_output == columns.first_output[0]).all()
    )
    merged = alike and groups == 1 and geo.dilation[1] == 1
    vectors = panel_vectors(outputs, rows=inputs * (geo.window[1] if merged else 1))
    panels = groups * -(-outputs // (vectors * lanes))
    parts = min(n, -(-CHUNKS // panels))
    pixels = geo.output[0] * geo.output[1]
    together = max(1, min(-(-n // parts), CACHE_FLOATS // 2 // (pixels * max(vectors * lanes, x.shape[3]))))
    dkernel = aligned((parts, *kernel_shape))
    dbias = aligned((parts if has_bias else 0, co))
    constants = np.zeros(simd.MOST_VECTORS * lanes + 1, np.float32)
    constants[-1] = 1
    parallel_for(
        convolve.kernel_gradient, parts * panels, simd.tiles(), transposing(), lanes, x, dy, dkernel, dbias, constants,
        rows.first_output, rows.outputs, rows.first_input, columns.first_output, columns.outputs, columns.first_input,
        geo.strides[0], geo.strides[1], groups, vectors, together, int(merged),
        workspace=together * pixels * vectors * lanes,
    )  # fmt: skip
    return sum_parts(dkernel), sum_parts(dbias) if has_bias else None
