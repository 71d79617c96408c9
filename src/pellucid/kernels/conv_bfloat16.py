"""Convolution with stride 1 where the CPU multiplies numbers of 16 bits: the twin of ``conv2d`` in that precision.

Some images, rounded and with zeros around them, lie one under another on a *grid* (positions, CI). Between two lines, and
between two images, there are zeros but once: those to the right of a line are those to the left of the next one. So
the inputs of neighbouring positions are as far apart everywhere, also from the end of a line to the beginning of the
next one, and a tile of 32 positions fits anywhere. What it computes at positions that are no outputs is left there:
1 of 17 with images 32 wide, 1 of 5 with images 8 wide.

For one line of taps the KW·CI inputs of a position are contiguous, as in ``convolve``:

    y[p, co] = bias[co] + Σ_i Σ_k grid[p + i · pitch, k] · kernel[i, k, co]              k < KW · CI, i < KH

The gradient to the input is the same with turned weights. That to the kernel sums over positions, which have to lie one behind
another for that: x is turned to (CI, positions), dy, with zeros at all positions that are no outputs, to pairs of positions.

    dkernel[i, j, ci, co] = Σ_p x[ci, p + i · pitch + j] · dy[p, co]

That needs passes over x and dy that pay where there are many channels (``kernel_gradient_of``). All that lies between
layers stays float32. What is not finite in x may spread to outputs nearby.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops import shape
from ..ops.shape import Geometry, Padding, Pair
from . import bfloat16_loops as loops
from . import conv, simd_bfloat16, transpose, winograd
from .bfloat16_loops import BLOCK, WIDE
from .buffers import aligned
from .conv import Conv2DCache
from .gemm import whole_vectors
from .jit import array_of
from .simd import NO_FLOOR
from .simd_bfloat16 import LANES, ROWS, STEP
from .sums import sum_parts
from .threads import parallel_for, zeros
from .winograd_loops import turn

GRID_FLOATS = 1 << 16  # words of a grid that stay in the second-level cache
CHUNKS, LEAST_LINES = 16, 4  # at least so many where there are as many images or so many lines of a band
TOGETHER = 1 << 14  # positions that are transformed before they are multiplied
PARTS = 16  # chunks of that product, at least
MANY_WEIGHTS = 1 << 14  # of a tap, from which on the gradient to them pays
CHANNELS = 16  # of either side, from which on it pays: below, most of a tile would be zeros


class Grid(NamedTuple):
    """How images lie one under another."""

    pitch: int  # positions from line to line
    lines: int  # from image to image
    above: int  # lines of zeros above an image
    left: int  # positions of zeros left of a line


def grid_of(size: tuple[int, int], padding: tuple[tuple[int, int], tuple[int, int]]) -> Grid:
    """The grid for images of this size, padded.

    >>> grid_of((8, 6), ((1, 1), (2, 1)))
    Grid(pitch=8, lines=9, above=1, left=2)
    """
    (above, below), (left, right) = padding
    return Grid(size[1] + max(left, right), size[0] + max(above, below), above, left)


def accepts_conv2d(
    x: NDArray,
    kernel: NDArray,
    bias: NDArray | None = None,
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
) -> bool:
    """Stride 1 and channels enough. Vectors are but twice as quick as float32's: not where Winograd's convolution is quicker."""
    settings: dict[str, Any] = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    unit = simd_bfloat16.unit()
    return (
        bool(unit)
        and conv.accepts_conv2d(x, kernel, bias)
        and min(kernel.shape[2:]) >= CHANNELS
        and groups == 1
        and winograd.ones(strides)
        and winograd.ones(dilation)
        and _fits(x.shape, kernel.shape, winograd.hashable(padding))
        and (unit == "amx" or not winograd.accepts_conv2d(x, kernel, bias, **settings))
    )


@lru_cache(maxsize=1024)
def _fits(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], padding: Padding) -> bool:
    """Whether there is no more padding than the grid has room for: less than there are taps."""
    geo = shape.conv_geometry(x_shape, kernel_shape, padding=padding)
    return all(max(sides) < taps for sides, taps in zip(geo.padding, geo.window, strict=True))


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
    """Two-dimensional convolution: x (N, H, W, CI), kernel (KH, KW, CI, CO) -> y (N, OH, OW, CO)."""
    geo = shape.conv_geometry(x.shape, kernel.shape, strides=strides, padding=padding, dilation=dilation, groups=groups)
    x, kernel = array_of(x), array_of(kernel)
    y = aligned((len(x), *geo.output, kernel.shape[3]))
    convolution(kernel, y.shape, geo)(x, bias, y)
    return y, Conv2DCache(x, kernel, bias is not None, groups, geo)


def conv2d_backward(
    dy: NDArray, cache: Conv2DCache, *, input_gradient: bool = True, kernel_gradient: bool = True
) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
    """Gradients of ``conv2d``: dx (or None), dkernel (or None), dbias (or None)."""
    dy = array_of(dy)
    x, kernel, has_bias, _, geo = cache
    dx = None
    if input_gradient:
        dx = aligned(x.shape)
        input_gradient_of(kernel, dx.shape, geo)(dy, None, dx)
    if not kernel_gradient:
        return dx, None, conv.bias_gradient(dy) if has_bias else None
    sums = kernel_gradient_of(kernel.shape, geo, has_bias)
    sums.add(x, dy)
    return dx, *sums.result()


def convolution(kernel: NDArray, y_shape: tuple[int, ...], geo: Geometry) -> Convolution:
    """The convolution with these weights."""
    return Convolution(kernel, geo.input, geo.output, geo.padding)


def input_gradient_of(kernel: NDArray, dx_shape: tuple[int, ...], geo: Geometry) -> Convolution:
    """The gradient to the input, a convolution of dy with turned weights."""
    sides = [
        (taps - 1 - before, taps - 1 - after) for taps, (before, after) in zip(geo.window, geo.padding, strict=True)
    ]
    return Convolution(turn(kernel), geo.output, geo.input, (sides[0], sides[1]))


def kernel_gradient_of(
    kernel_shape: tuple[int, ...], geo: Geometry, has_bias: bool
) -> KernelGradient | winograd.KernelGradient:
    """The gradient to the kernel, to which images are added.

    Turning x and dy takes the same time however many channels there are on the other side. Where these are few, float32's
    products by Winograd's algorithm are quicker, and no less precise.
    """
    few = kernel_shape[2] * kernel_shape[3] < MANY_WEIGHTS and geo.window == (3, 3)
    if few and winograd.winograd_enabled() and winograd.saved(geo.output) >= winograd.LEAST_SAVED:
        return winograd.KernelGradient(kernel_shape, geo, has_bias)
    return KernelGradient(kernel_shape, geo, has_bias)


def images_together(size: tuple[int, int]) -> int:
    """How many images of this size are best transformed together."""
    return max(1, TOGETHER // (size[0] * size[1]))


class Convolution:
    """y = bias + x * kernel, with weights that are packed once."""

    def __init__(
        self,
        kernel: NDArray,
        size: tuple[int, int],
        output: tuple[int, int],
        padding: tuple[tuple[int, int], tuple[int, int]],
    ) -> None:
        kh, kw, ci, co = kernel.shape
        self.grid, self.output, self.kh, self.kw, self.ci = grid_of(size, padding), output, kh, kw, ci
        self.steps = -(-kw * ci // STEP)
        self.weights = aligned((-(-co // LANES) * LANES * kh * self.steps * STEP // 2,))
        parallel_for(loops.pack_weights, -(-co // WIDE) * kh, kernel, self.weights, self.steps)

    def __call__(self, x: NDArray, bias: NDArray | None, y: NDArray, floor: int = NO_FLOOR) -> None:
        """Write y of some images; what is smaller than ``floor`` is stored as ``floor``."""
        grid, ci, (height, width) = self.grid, self.ci, self.output
        most = max(1, 2 * GRID_FLOATS // (grid.pitch * ci))  # lines of a grid
        images = max(1, min(most // grid.lines, -(-len(x) // CHUNKS)))
        fill = max(LEAST_LINES, -(-2 * ROWS // grid.pitch))  # some tiles
        shared = max(fill, -(-height * len(x) // CHUNKS))  # among threads, where there are few images
        band = height if images > 1 else max(1, min(height, most - self.kh + 1, shared))
        end = ((images - 1) * grid.lines + band - 1) * grid.pitch + width
        reach = -(-end // ROWS) * ROWS + (self.kh - 1) * grid.pitch + -(-self.steps * STEP // ci)
        rows = -(-reach // grid.pitch)
        settings = np.array([*grid, self.kh, self.steps, images, band, rows], np.intp)
        parallel_for(
            loops.convolve, -(-len(x) // images) * -(-height // band), simd_bfloat16.table(), x, self.weights,
            whole_vectors(bias, y.shape[3]), y, settings, floor,
            workspace=ROWS * WIDE + (rows * grid.pitch * ci + 1) // 2,
        )  # fmt: skip


class KernelGradient:
    """dkernel and, if it is asked for, dbias, summed up over images that come some at a time, the most at first."""

    def __init__(self, kernel_shape: tuple[int, ...], geo: Geometry, has_bias: bool) -> None:
        self.has_bias = has_bias
        self.kernel_shape = kernel_shape
        self.grid = grid_of(geo.input, geo.padding)
        self.area = -(-self.grid.lines * self.grid.pitch // 2) * 2  # positions of an image, a whole number of pairs
        taps, (ci, co) = kernel_shape[0] * kernel_shape[1], kernel_shape[2:]
        self.shape = taps, -(-ci // ROWS) * ROWS, -(-co // LANES) * LANES
        self.together = max(1, TOGETHER // self.area)
        self.parts = self.sums = np.empty(0, np.float32)

    def add(self, x: NDArray, dy: NDArray) -> None:
        """Add the share of some images."""
        kh, kw, ci, co = self.kernel_shape
        grid, area = self.grid, self.area
        together = min(self.together, len(x))
        blocks = self.shape[1] // ROWS * -(-self.shape[2] // WIDE)
        first = self.parts.size == 0
        if first:
            self.together = together
            count = max(1, min(8, -(-PARTS // blocks), together * area // BLOCK))
            self.parts, self.sums = aligned((count, *self.shape)), zeros((together if self.has_bias else 0, co))
        reach = (kh - 1) * grid.pitch + kw - 1
        words = (-(-(together * area) // BLOCK) * BLOCK + -(-reach // 2) * 2 + 2 * STEP) // 2
        words += 16 - words % 32  # no multiple of a power of two: caches dislike those
        turned = aligned((self.shape[1], words))
        pairs = aligned((self.shape[2] * words,))
        settings = np.array([*grid, area, kh, kw], np.intp)
        for start in range(0, len(x), together):
            end = min(start + together, len(x))
            parallel_for(
                loops.transform, end - start + 1, simd_bfloat16.table(), transpose.table(), x, dy, turned, pairs, self.sums,
                settings, start, end,
                workspace=(area + grid.pitch) * max(ci, co) // 2 + area // 2 * WIDE + 16,
            )  # fmt: skip
            parallel_for(
                loops.multiply, blocks * len(self.parts), simd_bfloat16.table(), turned, pairs, self.parts, settings,
                (end - start) * area, len(self.parts), int(first and start == 0),
            )  # fmt: skip

    def result(self) -> tuple[NDArray, NDArray | None]:
        """dkernel, dbias (or None)."""
        kh, kw, ci, co = self.kernel_shape
        dkernel = aligned((kh * kw, ci, co))
        parallel_for(loops.gather, kh * kw, self.parts, dkernel)
        return dkernel.reshape(self.kernel_shape), sum_parts(self.sums) if self.has_bias else None
