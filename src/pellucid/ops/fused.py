"""Fused ops: neighbours in a network taken as one, so that a compiled twin need not write down what lies between them.

A fused op means exactly what the plain ops mean one after another, and here it is nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from . import activation as activations
from . import pool as pools
from .conv import conv2d, conv2d_backward
from .norm import batch_norm, batch_norm_backward
from .shape import Padding, Pair


class TailCache(NamedTuple):
    activation: str | None
    activated: Any
    pool: str | None
    pooled: Any


class ConvBlockCache(NamedTuple):
    convolved: Any
    tail: TailCache


class NormBlockCache(NamedTuple):
    normalised: Any
    tail: TailCache


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
    """``conv2d``, then the activation of this name, then ``pool`` ("max_pool2d" or "average_pool2d"); None leaves one out.

    Shapes: x (N, H, W, CI), kernel (KH, KW, CI / groups, CO), bias (CO,), y (N, PH, PW, CO). Raises what the parts raise.

    >>> import numpy as np
    >>> x, kernel = np.ones((1, 4, 4, 1)), -np.ones((1, 1, 1, 2))
    >>> conv2d_block(x, kernel, np.array([0.0, 3.0]), activation="relu", pool="max_pool2d")[0][0, :, :, 1]
    array([[2., 2.], [2., 2.]])
    """
    y, convolved = conv2d(x, kernel, bias, strides=strides, padding=padding, dilation=dilation, groups=groups)
    y, tail = _tail(y, activation, pool, pool_size, pool_strides, pool_padding)
    return y, ConvBlockCache(convolved, tail)


def conv2d_block_backward(
    dy: NDArray, cache: ConvBlockCache, *, input_gradient: bool = True
) -> tuple[NDArray | None, NDArray | None, NDArray | None]:
    """Back through pooling, activation and convolution: dx (or None), dkernel, dbias (or None)."""
    return conv2d_backward(_tail_backward(dy, cache.tail), cache.convolved, input_gradient=input_gradient)


def batch_norm_block(
    x: NDArray,
    gamma: NDArray | None,
    beta: NDArray | None,
    moving_mean: NDArray,
    moving_variance: NDArray,
    *,
    training: bool,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    unbiased: bool = False,
    activation: str | None = None,
    pool: str | None = None,
    pool_size: Pair = 2,
    pool_strides: Pair | None = None,
    pool_padding: Padding = "valid",
) -> tuple[NDArray, NormBlockCache]:
    """``batch_norm``, then the activation of this name, then ``pool``; None leaves one out.

    Shapes: x (N, H, W, C), gamma, beta and the moving statistics (C,), y (N, PH, PW, C).

    >>> import numpy as np
    >>> x = np.array([-1.0, 1.0]).reshape(2, 1, 1, 1)
    >>> batch_norm_block(x, None, None, np.zeros(1), np.ones(1), training=True, epsilon=0, activation="relu")[0].ravel()
    array([0., 1.])
    """
    settings = {"training": training, "momentum": momentum, "epsilon": epsilon, "unbiased": unbiased}
    y, normalised = batch_norm(x, gamma, beta, moving_mean, moving_variance, **settings)  # type: ignore[arg-type]
    y, tail = _tail(y, activation, pool, pool_size, pool_strides, pool_padding)
    return y, NormBlockCache(normalised, tail)


def batch_norm_block_backward(dy: NDArray, cache: NormBlockCache) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """Back through pooling, activation and normalisation: dx, dgamma, dbeta."""
    return batch_norm_backward(_tail_backward(dy, cache.tail), cache.normalised)


def _tail(
    y: NDArray, activation: str | None, pool: str | None, size: Pair, strides: Pair | None, padding: Padding
) -> tuple[NDArray, TailCache]:
    activated = pooled = None
    if activation is not None:
        y, activated = getattr(activations, activation)(y)
    if pool is not None:
        y, pooled = getattr(pools, pool)(y, pool_size=size, strides=strides, padding=padding)
    return y, TailCache(activation, activated, pool, pooled)


def _tail_backward(dy: NDArray, tail: TailCache) -> NDArray:
    if tail.pool is not None:
        dy = getattr(pools, f"{tail.pool}_backward")(dy, tail.pooled)
    if tail.activation is not None:
        dy = getattr(activations, f"{tail.activation}_backward")(dy, tail.activated)
    return dy
