"""Winograd's convolution for 3x3 kernels with stride 1: the twin of ``conv2d`` for layers with many channels.

Per tile of 4x4 outputs (3x3 for images of that size) the 6x6 inputs are transformed, multiplied with the transformed weights, and
transformed back; see ``transforms``. The multiplications of all tiles and channels are 36 matrix products

    M[e] (tiles, CO) = V[e] (tiles, CI) · U[e] (CI, CO)

which is where the time goes, and where 2.25 numbers are multiplied per output and channel instead of 9. The gradient
to the input is the same with turned weights; the gradient to the kernel transforms dy, multiplies dU[e] = V[e]ᵀ D[e]
and transforms dU back.

A group of tiles is carried through all stages by one thread while it is in the nearest caches. Its rows of tiles are
cut from the image as *strips* with the padding, and the channels, filled up by zeros.

Its results differ from direct convolution by rounding, about 1e-6 of the largest value. ``set_winograd(False)`` or
``PELLUCID_WINOGRAD=0`` does without.
"""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..ops import shape
from ..ops.shape import Geometry, Padding, Pair
from . import conv, machine, simd, transforms
from . import winograd_loops as loops
from .buffers import aligned
from .conv import Conv2DCache
from .gemm import panel_vectors, whole_vectors
from .jit import array_of
from .recording import current
from .simd import NO_FLOOR
from .sums import sum_parts
from .threads import parallel_for, zeros

SHARED_FLOATS = 36 * 128 * 128  # of U, up to which each thread reads it for itself
PARTS = 8  # of the sum dU
PARTS_FLOATS = 36 * 64 * 128  # of dU, up to which each thread may have one of its own
TOGETHER = 256  # tiles that are transformed before their products are shared out
CHUNKS = 32
LEAST_TILES, LEAST_SAVED = 64, 1.3  # tiles that are worth transforming the weights; times fewer multiplications
LASTING_TILES, LASTING_FLOATS = 4, 36 * 256 * 256  # and once they are transformed, unless reading them takes too long
TILES = 56  # of a group: four times the tallest register tile of two vectors
_enabled: bool | None = None


def set_winograd(enabled: bool) -> None:
    """Whether Winograd's convolution may be used where it is faster."""
    global _enabled
    _enabled = bool(enabled)


def winograd_enabled() -> bool:
    """Whether Winograd's convolution may be used."""
    if _enabled is not None:
        return _enabled
    return os.environ.get("PELLUCID_WINOGRAD", "1").lower() not in ("0", "off", "no", "false")


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
    """3x3 kernels, stride 1, enough channels and enough tiles."""
    return (
        winograd_enabled()
        and conv.accepts_conv2d(x, kernel, bias)
        and groups == 1
        and kernel.shape[:2] == (3, 3)
        and ones(strides)
        and ones(dilation)
        and _pays(x.shape, kernel.shape, hashable(padding), current.lasting)
    )


def hashable(padding: Padding) -> Padding:
    """The same padding without lists."""
    if isinstance(padding, str | int):
        return padding
    return tuple(tuple(side) if isinstance(side, list) else side for side in padding)  # type: ignore[return-value]


def ones(value: Pair) -> bool:
    """Whether a setting is one in both directions."""
    return value == 1 or tuple(np.ravel(value)) == (1, 1)


@lru_cache(maxsize=1024)
def _pays(x_shape: tuple[int, ...], kernel_shape: tuple[int, ...], padding: Padding, lasting: bool) -> bool:
    """Whether this is measured to be faster than direct convolution; ``lasting`` weights are transformed but once."""
    geo = shape.conv_geometry(x_shape, kernel_shape, padding=padding)
    ci, co = kernel_shape[2:]
    m = tile_size(geo.output)
    tiles = x_shape[0] * -(-geo.output[0] // m) * -(-geo.output[1] // m)
    least = LASTING_TILES if lasting and (m + 2) ** 2 * ci * co <= LASTING_FLOATS else LEAST_TILES
    return min(ci, co) >= 16 and tiles >= least and saved(geo.output) >= LEAST_SAVED


def saved(size: tuple[int, int]) -> float:
    """How many times fewer multiplications outputs of this size need than by direct convolution."""
    m = tile_size(size)
    return 9 * size[0] * size[1] / (-(-size[0] // m) * -(-size[1] // m) * (m + 2) ** 2)


def tile_size(size: tuple[int, int]) -> int:
    """Of 4x4 and 3x3 tiles, those that cover this size with fewer multiplications."""
    return min((4, 3), key=lambda m: -(-size[0] // m) * -(-size[1] // m) * (m + 2) ** 2)


def images_together(size: tuple[int, int]) -> int:
    """How many images of this size have as many tiles as are best transformed together."""
    m = tile_size(size)
    return max(1, TOGETHER // (-(-size[0] // m) * -(-size[1] // m)))


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
    """Two-dimensional convolution: x (N, H, W, CI), kernel (3, 3, CI, CO) -> y (N, OH, OW, CO)."""
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
    """The convolution with these weights, for as many images as ``y_shape`` says at most."""
    return Convolution(kernel, y_shape, (geo.padding[0][0], geo.padding[1][0]))


def input_gradient_of(kernel: NDArray, dx_shape: tuple[int, ...], geo: Geometry) -> Convolution:
    """The gradient to the input, a convolution of dy with turned weights, for as many images as ``dx_shape`` says at most."""
    return Convolution(loops.turn(kernel), dx_shape, (2 - geo.padding[0][0], 2 - geo.padding[1][0]))


def kernel_gradient_of(kernel_shape: tuple[int, ...], geo: Geometry, has_bias: bool) -> KernelGradient:
    """The gradient to the kernel, to which images are added."""
    return KernelGradient(kernel_shape, geo, has_bias)


def _whole(channels: int) -> int:
    lanes = machine.vectors().lanes
    return -(-channels // lanes) * lanes


def _apart(floats: int) -> int:
    """A distance between the 36 parts of a transformed group that is no power of two: caches dislike those."""
    return floats + 16


class Convolution:
    """y = bias + x * kernel, with weights that are transformed once.

    ``before`` are the rows above and the columns left of the image that y begins with.
    """

    def __init__(self, kernel: NDArray, y_shape: tuple[int, ...], before: tuple[int, int]) -> None:
        self.before, self.m = before, tile_size((y_shape[1], y_shape[2]))
        self.inputs, self.ci, self.co = kernel.shape[2], _whole(kernel.shape[2]), _whole(kernel.shape[3])
        self.across, self.down = -(-y_shape[2] // self.m), -(-y_shape[1] // self.m)
        self.squares = (self.m + 2) ** 2
        total = y_shape[0] * self.down
        self.together = self.squares * self.inputs * self.co > SHARED_FLOATS
        self.lines = min(max(1, TOGETHER // self.across), total) if self.together else group_lines(total, self.across)
        self.vectors = panel_vectors(self.co, rows=self.lines * self.across)
        self.weights = aligned((self.squares * self.inputs * self.co,))
        loops.transform_weights(kernel, self.weights, self.m, self.vectors)

    def __call__(self, x: NDArray, bias: NDArray | None, y: NDArray, floor: int = NO_FLOOR) -> None:
        """Write y of some images; what is smaller than ``floor`` is stored as ``floor``."""
        lanes, m, ci, co, across, down = machine.vectors().lanes, self.m, self.ci, self.co, self.across, self.down
        bias, total = whole_vectors(bias, y.shape[3]), len(x) * down
        lines = min(self.lines, total)
        tiles = lines * across
        strip, apart = (m + 2) * (across * m + 2) * ci, (_apart(tiles * ci), _apart(tiles * co))
        if not self.together:
            parallel_for(
                loops.convolve, -(-total // lines), simd.tiles(), transforms.table(), lanes, m, x, self.weights, bias, y,
                *self.before, lines, self.vectors, *apart, floor, workspace=strip + self.squares * sum(apart) + m * m * co,
            )  # fmt: skip
            return
        # the weights are too large to be read for every group: some hundred tiles are transformed, then multiplied together
        v, products = aligned((self.squares * apart[0],)), aligned((self.squares * apart[1],))
        each = -(-lines // CHUNKS)
        for start in range(0, total, lines):
            end = min(start + lines, total)
            chunks = -(-(end - start) // each)
            parallel_for(
                loops.transform_input, chunks, transforms.table(), lanes, m, x, v, down, across, *self.before, start, end,
                each, apart[0], ci, workspace=strip,
            )  # fmt: skip
            parallel_for(
                loops.multiply, self.squares, simd.tiles(), lanes, v, self.weights, products, bias, self.inputs, ci, co,
                (end - start) * across, self.vectors, *apart,
            )  # fmt: skip
            parallel_for(
                loops.transform_output, chunks, transforms.table(), lanes, m, products, bias, y, down, across, start, end,
                each, apart[1], floor, workspace=m * m * co,
            )  # fmt: skip


def group_lines(lines: int, across: int) -> int:
    """How many rows of tiles make a group: about ``TILES`` tiles, but at least 8 groups where there are as many rows."""
    return max(1, min(TILES // across, -(-lines // 8)))


class KernelGradient:
    """dkernel and, if it is asked for, dbias, summed up over images that come some at a time, the most at first."""

    def __init__(self, kernel_shape: tuple[int, ...], geo: Geometry, has_bias: bool) -> None:
        self.has_bias = has_bias
        self.kernel_shape, self.geo, self.m = kernel_shape, geo, tile_size(geo.output)
        self.ci, self.co = _whole(kernel_shape[2]), _whole(kernel_shape[3])
        self.vectors = panel_vectors(self.co, rows=kernel_shape[2])
        self.squares = (self.m + 2) ** 2
        # as long as dU is small, each thread sums up tiles of its own, and its part of the batch stays in the nearest caches
        self.apart = self.squares * self.ci * self.co <= PARTS_FLOATS
        self.parts = PARTS if self.apart else 1
        self.products = self.sums = np.empty(0, np.float32)

    def add(self, x: NDArray, dy: NDArray) -> None:
        """Add the share of some images."""
        m, lanes, ci, co, squares, output = (
            self.m,
            machine.vectors().lanes,
            self.ci,
            self.co,
            self.squares,
            self.geo.output,
        )
        across, down = -(-output[1] // m), -(-output[0] // m)
        total, strips = len(x) * down, (m + 2) * (across * m + 2) * ci + m * across * m * co
        constants = np.zeros(simd.MOST_VECTORS * lanes + 1, np.float32)
        constants[-1] = 1
        above, left = self.geo.padding[0][0], self.geo.padding[1][0]
        common = lanes, m, x, dy
        first = self.products.size == 0
        if first:
            self.parts = min(self.parts, total)
            self.products = aligned((self.parts, squares, self.kernel_shape[2], co))
            self.sums = zeros((self.parts if self.apart else CHUNKS, co if self.has_bias else 0))
        if self.apart:
            parts = min(total, self.parts)
            lines = max(1, min(TILES // across, -(-total // parts)))
            apart = _apart(lines * across * ci), _apart(lines * across * co)
            parallel_for(
                loops.kernel_products, parts, simd.tiles(), transforms.table(), *common, self.products, self.sums, above,
                left, lines, self.vectors, *apart, constants, int(first), workspace=strips + squares * sum(apart),
            )  # fmt: skip
            return
        # all transform some hundred tiles, then share out the products
        lines = max(1, min(TOGETHER // across, total))
        apart = _apart(lines * across * ci), _apart(lines * across * co)
        v, d = aligned((squares * apart[0],)), aligned((squares * apart[1],))
        each = -(-lines // CHUNKS)
        panels = -(-(co // lanes) // self.vectors)
        for start in range(0, total, lines):
            end = min(start + lines, total)
            parallel_for(
                loops.transform_both, -(-(end - start) // each), simd.tiles(), transforms.table(), *common, v, d, self.sums,
                above, left, start, end, each, *apart, constants, workspace=strips,
            )  # fmt: skip
            parallel_for(
                loops.multiply_both, squares * panels, simd.tiles(), lanes, v, d, self.products[0], *apart, ci,
                (end - start) * across, constants, int(first and start == 0),
            )  # fmt: skip

    def result(self) -> tuple[NDArray, NDArray | None]:
        """dkernel, dbias (or None)."""
        dkernel = aligned(self.kernel_shape)
        loops.transform_back(self.products, dkernel, self.m)
        return dkernel, sum_parts(self.sums)[: self.kernel_shape[3]] if self.has_bias else None
