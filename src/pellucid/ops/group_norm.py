"""Group and layer normalisation: each image, or each pixel, by itself, so that the batch does not matter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class GroupNormCache(NamedTuple):
    x_hat: NDArray  # (N, pixels, groups, C / groups)
    inverse_std: NDArray  # (N, 1, groups, 1)
    gamma: NDArray | None
    has_beta: bool


def group_norm(
    x: NDArray, gamma: NDArray | None, beta: NDArray | None, *, groups: int, epsilon: float = 1e-3
) -> tuple[NDArray, GroupNormCache]:
    r"""Group normalisation: in every image, ``groups`` groups of neighbouring channels get mean 0 and variance 1 each.

        x_hat = (x - mean) / sqrt(variance + epsilon),    y = gamma · x_hat + beta

    with mean and variance over all pixels and the C / groups channels of a group. One group is layer normalisation as vision
    networks mean it, C groups are instance normalisation. ``epsilon`` is Keras's; PyTorch's is 1e-5.

    Shapes: x (N, ..., C); gamma and beta (C,), or None (1 and 0).

    Source: Wu, He, "Group normalization", arXiv:1803.08494.

    >>> y, cache = group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), None, None, groups=2, epsilon=0.0)
    >>> y
    array([[-1.,  1., -1.,  1.]])
    """
    n, c = len(x), x.shape[-1]
    grouped = x.reshape(n, -1, groups, c // groups)
    centred = grouped - grouped.mean(axis=(1, 3), keepdims=True)
    variance = (centred * centred).mean(axis=(1, 3), keepdims=True)
    inverse_std = 1 / np.sqrt(variance + epsilon)
    x_hat = centred * inverse_std
    y = x_hat.reshape(x.shape)
    if gamma is not None:
        y = y * gamma
    if beta is not None:
        y = y + beta
    return y, GroupNormCache(x_hat, inverse_std, gamma, beta is not None)


def group_norm_backward(dy: NDArray, cache: GroupNormCache) -> tuple[NDArray, NDArray | None, NDArray | None]:
    r"""Gradients of ``group_norm``; mean and variance depend on x too, which takes two means over the group away:

        dgamma = Σ dy · x_hat,    dbeta = Σ dy,    dx_hat = gamma · dy
        dx = (dx_hat - mean(dx_hat) - x_hat · mean(dx_hat · x_hat)) / std

    Shapes: dy (N, ..., C) -> dx (N, ..., C), dgamma (C,), dbeta (C,); None for a gamma or beta that was None.
    """
    x_hat, inverse_std, gamma, has_beta = cache
    axes = tuple(range(dy.ndim - 1))
    dgamma = None if gamma is None else (dy * x_hat.reshape(dy.shape)).sum(axis=axes)
    dbeta = dy.sum(axis=axes) if has_beta else None
    dx_hat = (dy if gamma is None else gamma * dy).reshape(x_hat.shape)
    mean = dx_hat.mean(axis=(1, 3), keepdims=True)
    product = (dx_hat * x_hat).mean(axis=(1, 3), keepdims=True)
    dx = inverse_std * (dx_hat - mean - x_hat * product)
    return dx.reshape(dy.shape), dgamma, dbeta


def layer_norm(
    x: NDArray, gamma: NDArray | None, beta: NDArray | None, *, epsilon: float = 1e-3
) -> tuple[NDArray, GroupNormCache]:
    """Layer normalisation over the last axis: at every pixel the C channels get mean 0 and variance 1.

    That is ``group_norm`` with one group, every pixel taken as an image. ``epsilon`` is Keras's; PyTorch's is 1e-5.

    Shapes: x (..., C); gamma and beta (C,), or None (1 and 0).

    Source: Ba, Kiros, Hinton, "Layer normalization", arXiv:1607.06450.

    >>> layer_norm(np.array([[1.0, 3.0], [10.0, 30.0]]), None, None, epsilon=0.0)[0]
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    y, cache = group_norm(x.reshape(-1, x.shape[-1]), gamma, beta, groups=1, epsilon=epsilon)
    return y.reshape(x.shape), cache


def layer_norm_backward(dy: NDArray, cache: GroupNormCache) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """Gradients of ``layer_norm``: those of ``group_norm``."""
    dx, dgamma, dbeta = group_norm_backward(dy.reshape(-1, dy.shape[-1]), cache)
    return dx.reshape(dy.shape), dgamma, dbeta
