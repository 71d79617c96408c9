"""Convolution: the same small weighted sum at every place of an image.

As everywhere in deep learning, "convolution" means cross-correlation: the kernel is not flipped.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError
from . import shape
from .shape import Geometry, Padding, Pair


class Conv2DCache(NamedTuple):
    x_padded: NDArray
    kernel: NDArray
    has_bias: bool
    groups: int
    geometry: Geometry


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
    r"""Two-dimensional convolution.

        y[n, h, w, o] = bias[o] + Σ_{i, j, c} x_padded[n, h·s + i·d, w·s + j·d, c] · kernel[i, j, c, o]

    It is written here as a sum over the taps (i, j) of the kernel: each tap sees the whole image, shifted, and multiplies
    its channels by one matrix ``kernel[i, j]``. With ``groups`` = G, input and output channels are cut into G parts that
    do not see each other; G = CI is a depthwise convolution.

    Shapes: x (N, H, W, CI), kernel (KH, KW, CI / groups, CO), bias (CO,), y (N, OH, OW, CO).

    Raises ``ShapeError`` if the shapes do not fit or the kernel is larger than the padded image.

    Source: Dumoulin, Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.

    >>> x = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> difference = np.array([[-1.0, 1.0]]).reshape(1, 2, 1, 1)      # right neighbour minus pixel
    >>> y, cache = conv2d(x, difference)
    >>> y[0, :, :, 0]
    array([[1., 1.], [1., 1.], [1., 1.]])
    """
    geo = shape.conv_geometry(x.shape, kernel.shape, strides=strides, padding=padding, dilation=dilation, groups=groups)
    x_padded = shape.pad(x, geo)
    co = kernel.shape[3]
    if bias is not None and bias.shape != (co,):
        raise ShapeError(f"conv2d got a bias of shape {bias.shape}; wanted ({co},), one number for each filter.")
    y = np.zeros((groups, x.shape[0] * geo.output[0] * geo.output[1], co // groups), np.result_type(x, kernel))
    for i, j, where in geo.taps():
        y += _split(x_padded[where], groups) @ _split_kernel(kernel[i, j], groups)  # (G, M, CI/G) @ (G, CI/G, CO/G)
    y = _join(y, (x.shape[0], *geo.output, co))
    if bias is not None:
        y += bias
    return y, Conv2DCache(x_padded, kernel, bias is not None, groups, geo)


def conv2d_backward(
    dy: NDArray, cache: Conv2DCache, *, input_gradient: bool = True, kernel_gradient: bool = True
) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
    r"""Gradients of ``conv2d``. Each tap of the forward sum is a matrix product Y = X K, so each tap gives

        dkernel[i, j] = Xᵀ dY,    dX = dY Kᵀ  (added to the pixels that X was read from),    dbias = Σ dy

    Shapes: dy (N, OH, OW, CO); returns dx (N, H, W, CI) or None, dkernel (KH, KW, CI / groups, CO) or None, dbias (CO,) or None.
    The first two are left out if they are not wanted.

    >>> x, kernel = np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1))
    >>> y, cache = conv2d(x, kernel, np.zeros(1))
    >>> dx, dkernel, dbias = conv2d_backward(np.ones_like(y), cache)
    >>> dx[0, :, :, 0]                       # how many windows look at each pixel
    array([[1., 2., 1.], [2., 4., 2.], [1., 2., 1.]])
    """
    x_padded, kernel, has_bias, groups, geo = cache
    dkernel = np.empty_like(kernel, dtype=np.result_type(dy, kernel)) if kernel_gradient else None
    dx_padded = np.zeros(x_padded.shape, np.result_type(dy, kernel)) if input_gradient else None
    dy_split = _split(dy, groups)  # (G, M, CO/G)
    for i, j, where in geo.taps():
        if dkernel is not None:
            x_tap = _split(x_padded[where], groups)  # (G, M, CI/G)
            dkernel[i, j] = _join_kernel(x_tap.transpose(0, 2, 1) @ dy_split)
        if dx_padded is not None:
            dx_tap = dy_split @ _split_kernel(kernel[i, j], groups).transpose(0, 2, 1)  # (G, M, CI/G)
            dx_padded[where] += _join(dx_tap, (*dy.shape[:3], x_padded.shape[3]))
    dx = None if dx_padded is None else shape.unpad(dx_padded, geo)
    return dx, dkernel, dy.sum(axis=(0, 1, 2)) if has_bias else None


def _split(x: NDArray, groups: int) -> NDArray:
    """(N, H, W, C) -> (G, N·H·W, C / G): the pixels of each group of channels as the rows of a matrix."""
    return x.reshape(-1, groups, x.shape[3] // groups).swapaxes(0, 1)


def _join(x: NDArray, full: tuple[int, ...]) -> NDArray:
    """(G, N·H·W, C / G) -> (N, H, W, C), the inverse of ``_split``."""
    return x.swapaxes(0, 1).reshape(full)


def _split_kernel(tap: NDArray, groups: int) -> NDArray:
    """(CI / G, CO) -> (G, CI / G, CO / G)."""
    return tap.reshape(tap.shape[0], groups, -1).swapaxes(0, 1)


def _join_kernel(tap: NDArray) -> NDArray:
    """(G, CI / G, CO / G) -> (CI / G, CO), the inverse of ``_split_kernel``."""
    return tap.swapaxes(0, 1).reshape(tap.shape[1], -1)
