"""Fused convolutions by a convolution of another kind, and ReLU and pooling behind it.

What the convolution computes is written down before ReLU and pooling read it. With Winograd's convolution, and that in numbers of
16 bits, this is done for some images after others, so that it never leaves the caches: neither z on the way forward nor dz on
the way back is ever there for the whole batch. Depthwise and other convolutions do all of it at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops import shape
from ..ops.shape import Geometry, Padding, Pair
from . import conv, conv_bfloat16, tail, winograd
from .buffers import aligned
from .jit import array_of
from .simd import NO_FLOOR, RELU
from .tail import Tail

PART_FLOATS = 1 << 20  # of z that is there at once: a fraction of the last cache, and enough work for all threads


class ComposedCache(NamedTuple):
    convolved: Any
    y: NDArray[np.float32] | None  # for ReLU without pooling
    codes: NDArray[np.uint8]
    tail: Tail
    size: tuple[int, int]  # of what the convolution computed


class PartedCache(NamedTuple):
    way: ModuleType
    x: NDArray[np.float32]
    kernel: NDArray[np.float32]
    has_bias: bool
    geometry: Geometry
    y: NDArray[np.float32] | None  # for ReLU without pooling
    codes: NDArray[np.uint8]
    tail: Tail


def _accepts(
    accepts_conv2d: Any,
    x: NDArray,
    kernel: NDArray,
    bias: NDArray | None = None,
    *,
    activation: str | None = None,
    pool: str | None = None,
    pool_size: Pair = 2,
    pool_strides: Pair | None = None,
    pool_padding: Padding = "valid",
    **settings: Any,
) -> bool:
    return accepts_conv2d(x, kernel, bias, **settings) and tail.accepts(activation, pool, pool_size)


def accepts_winograd(*arrays: Any, **settings: Any) -> bool:
    """What Winograd's convolution accepts, with ReLU or no activation."""
    return _accepts(winograd.accepts_conv2d, *arrays, **settings)


def accepts_bfloat16(*arrays: Any, **settings: Any) -> bool:
    """What the convolution in numbers of 16 bits accepts, with ReLU or no activation."""
    return _accepts(conv_bfloat16.accepts_conv2d, *arrays, **settings)


def winograd_block(*arrays: Any, **settings: Any) -> tuple[NDArray, PartedCache]:
    """``ops.conv2d_block`` with Winograd's convolution."""
    return _parted_block(winograd, *arrays, **settings)


def bfloat16_block(*arrays: Any, **settings: Any) -> tuple[NDArray, PartedCache]:
    """``ops.conv2d_block`` with the convolution in numbers of 16 bits."""
    return _parted_block(conv_bfloat16, *arrays, **settings)


def _parted_block(
    way: ModuleType,
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
) -> tuple[NDArray, PartedCache]:
    """The block by a convolution that can be done for some images after others; ``way`` is the file it is written in."""
    geo = shape.conv_geometry(x.shape, kernel.shape, strides=strides, padding=padding, dilation=dilation, groups=groups)
    x, kernel = array_of(x), array_of(kernel)
    z_shape = len(x), *geo.output, kernel.shape[3]
    after = tail.tail_of(z_shape, activation, pool, pool_size, pool_strides, pool_padding)
    y = aligned((len(x), *(after.output if pool else geo.output), kernel.shape[3]))
    codes = tail.new_codes(after, z_shape, y.shape)
    if pool is None:  # ReLU is done on the way to memory
        floor = RELU if after.relu else NO_FLOOR
        way.convolution(kernel, z_shape, geo)(x, bias, y, floor)
    else:
        parts = list(_parts(way, z_shape))
        z = aligned((parts[0].stop, *z_shape[1:]))
        convolve = way.convolution(kernel, z.shape, geo)
        for part in parts:
            here = z[: part.stop - part.start]
            convolve(x[part], bias, here)
            tail.forward_into(y[part], _of(codes, part), here, after)
    kept = y if after.relu and pool is None else None
    return y, PartedCache(way, x, kernel, bias is not None, geo, kept, codes, after)


def parted_block_backward(
    dy: NDArray, cache: PartedCache, *, input_gradient: bool = True
) -> tuple[NDArray | None, NDArray, NDArray | None]:
    """Back through pooling, activation and convolution: dx (or None), dkernel, dbias (or None)."""
    way, x, kernel, has_bias, geo, y, codes, after = cache
    dy = array_of(dy)
    z_shape = len(x), *geo.output, kernel.shape[3]
    parts = list(_parts(way, z_shape)) if after.relu or after.pool else [slice(0, len(x))]
    dx = aligned(x.shape) if input_gradient else None
    sums = way.kernel_gradient_of(kernel.shape, geo, has_bias)
    if dx is not None:
        derive = way.input_gradient_of(kernel, (parts[0].stop, *x.shape[1:]), geo)
    for part in parts:
        dz = tail.backward(dy[part], None if y is None else y[part], _of(codes, part), after, geo.output)
        if dx is not None:
            derive(dz, None, dx[part])
        sums.add(x[part], dz)
        del dz  # its place is free for the next one
    return dx, *sums.result()


def _parts(way: ModuleType, z_shape: tuple[int, ...]) -> Iterator[slice]:
    """Images that are done at once, in parts of which the first is among the largest."""
    n, together = z_shape[0], way.images_together((z_shape[1], z_shape[2]))
    most = max(1, PART_FLOATS // (z_shape[1] * z_shape[2] * z_shape[3]))
    most = max(1, round(most / together)) * together if most > together / 2 else most
    for first in range(0, n, most):
        yield slice(first, min(first + most, n))


def _of(codes: NDArray[np.uint8], part: slice) -> NDArray[np.uint8]:
    """The bytes kept of some images, if any are kept."""
    return codes[part] if codes.size > 1 else codes


def accepts_any(*arrays: Any, **settings: Any) -> bool:
    """What any compiled convolution accepts, with ReLU or no activation."""
    return _accepts(conv.accepts_conv2d, *arrays, **settings)


def any_block(
    x: NDArray,
    kernel: NDArray,
    bias: NDArray | None = None,
    *,
    activation: str | None = None,
    pool: str | None = None,
    pool_size: Pair = 2,
    pool_strides: Pair | None = None,
    pool_padding: Padding = "valid",
    **settings: Any,
) -> tuple[NDArray, ComposedCache]:
    """``ops.conv2d_block`` with a convolution that ``fused`` does not know, such as a depthwise one."""
    z, convolved = conv.conv2d(x, kernel, bias, **settings)
    after = tail.tail_of(z.shape, activation, pool, pool_size, pool_strides, pool_padding)
    y, codes = tail.forward(z, after)
    return y, ComposedCache(convolved, y if after.relu and pool is None else None, codes, after, z.shape[1:3])


def any_block_backward(
    dy: NDArray, cache: ComposedCache, *, input_gradient: bool = True
) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
    """Back through pooling, activation and convolution: dx (or None), dkernel, dbias (or None)."""
    dz = tail.backward(array_of(dy), cache.y, cache.codes, cache.tail, cache.size)
    return conv.conv2d_backward(dz, cache.convolved, input_gradient=input_gradient)
