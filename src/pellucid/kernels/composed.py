"""Fused convolutions by a convolution of another kind, Winograd's or a depthwise one, and ReLU and pooling behind it.

What the convolution computes does go to memory, but ReLU and pooling then read it once, together; see ``tail``.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops.shape import Padding, Pair
from . import conv, tail, winograd
from .jit import array_of
from .tail import Tail


class ComposedCache(NamedTuple):
    convolution: ModuleType
    convolved: Any
    y: NDArray[np.float32] | None  # for ReLU without pooling
    codes: NDArray[np.uint8]
    tail: Tail
    size: tuple[int, int]  # of what the convolution computed


def _accepts(
    convolution: ModuleType,
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
    return convolution.accepts_conv2d(x, kernel, bias, **settings) and tail.accepts(activation, pool, pool_size)


def _forward(
    convolution: ModuleType,
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
    rectified = convolution is winograd and pool is None and activation == "relu"  # which it does on the way to memory
    z, convolved = convolution.conv2d(x, kernel, bias, **settings, **({"relu": True} if rectified else {}))
    after = tail.tail_of(z.shape, activation, pool, pool_size, pool_strides, pool_padding)
    y, codes = (z, tail.new_codes(after, z.shape, z.shape)) if rectified else tail.forward(z, after)
    kept = y if after.relu and pool is None else None
    return y, ComposedCache(convolution, convolved, kept, codes, after, z.shape[1:3])


def conv2d_block_backward(
    dy: NDArray, cache: ComposedCache, *, input_gradient: bool = True
) -> tuple[NDArray | None, NDArray, NDArray | None]:
    """Back through pooling, activation and convolution: dx (or None), dkernel, dbias (or None)."""
    dz = tail.backward(array_of(dy), cache.y, cache.codes, cache.tail, cache.size)
    return cache.convolution.conv2d_backward(dz, cache.convolved, input_gradient=input_gradient)


def accepts_winograd(*arrays: Any, **settings: Any) -> bool:
    """What Winograd's convolution accepts, with ReLU or no activation."""
    return _accepts(winograd, *arrays, **settings)


def winograd_block(*arrays: Any, **settings: Any) -> tuple[NDArray, ComposedCache]:
    """``ops.conv2d_block`` with Winograd's convolution."""
    return _forward(winograd, *arrays, **settings)


def accepts_any(*arrays: Any, **settings: Any) -> bool:
    """What any compiled convolution accepts, with ReLU or no activation."""
    return _accepts(conv, *arrays, **settings)


def any_block(*arrays: Any, **settings: Any) -> tuple[NDArray, ComposedCache]:
    """``ops.conv2d_block`` with a convolution that ``fused`` does not know, such as a depthwise one."""
    return _forward(conv, *arrays, **settings)
