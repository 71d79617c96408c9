"""Batch normalisation: every channel gets mean 0 and variance 1 over the batch, then a learned scale and shift."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class BatchNormCache(NamedTuple):
    x_hat: NDArray
    inverse_std: NDArray
    gamma: NDArray | None
    has_beta: bool
    training: bool


def batch_norm(
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
) -> tuple[NDArray, BatchNormCache]:
    r"""Batch normalisation over all axes but the last.

        x_hat = (x - mean) / sqrt(variance + epsilon),    y = gamma · x_hat + beta

    In training, ``mean`` and ``variance`` (divided by M, the number of values per channel) are those of the batch, and
    the moving statistics are updated in place: ``moving = momentum · moving + (1 - momentum) · batch``. In inference the
    moving statistics are used. This is the one op that changes its arguments.

    ``momentum`` and ``epsilon`` are Keras's; PyTorch calls ``1 - momentum`` momentum, has epsilon 1e-5, and moves the
    unbiased variance (divided by M - 1), here ``unbiased=True``.

    Shapes: x (..., C), all others (C,); ``gamma`` or ``beta`` may be None (1 and 0).

    Source: Ioffe, Szegedy, "Batch normalization", arXiv:1502.03167.

    >>> x = np.array([[1.0], [3.0]])
    >>> mean, variance = np.zeros(1), np.ones(1)
    >>> y, cache = batch_norm(x, None, None, mean, variance, training=True, momentum=0.5, epsilon=0.0)
    >>> y.ravel(), mean, variance
    (array([-1., 1.]), array([1.]), array([1.]))
    """
    if training:
        axes = tuple(range(x.ndim - 1))
        count = x.size // x.shape[-1]
        mean = x.mean(axis=axes)
        centred = x - mean
        variance = (centred * centred).mean(axis=axes)
        correction = count / max(count - 1, 1) if unbiased else 1.0
        moving_mean += (1 - momentum) * (mean.real - moving_mean)
        moving_variance += (1 - momentum) * (correction * variance.real - moving_variance)
    else:
        centred, variance = x - moving_mean, moving_variance
    inverse_std = 1 / np.sqrt(variance + epsilon)
    x_hat = centred * inverse_std
    y = x_hat
    if gamma is not None:
        y = y * gamma
    if beta is not None:
        y = y + beta
    return y, BatchNormCache(x_hat, inverse_std, gamma, beta is not None, training)


def batch_norm_backward(dy: NDArray, cache: BatchNormCache) -> tuple[NDArray, NDArray | None, NDArray | None]:
    r"""Gradients of ``batch_norm``. In training the batch's mean and variance depend on x too, which takes two means away:

        dgamma = Σ dy · x_hat,    dbeta = Σ dy
        dx = gamma / std · (dy - mean(dy) - x_hat · mean(dy · x_hat))         (inference: gamma / std · dy)

    Shapes: dy (..., C) -> dx (..., C), dgamma (C,), dbeta (C,); None for a gamma or beta that was None.
    """
    x_hat, inverse_std, gamma, has_beta, training = cache
    axes = tuple(range(dy.ndim - 1))
    count = dy.size // dy.shape[-1]
    dbeta = dy.sum(axis=axes)
    dgamma = (dy * x_hat).sum(axis=axes)
    scale = inverse_std if gamma is None else gamma * inverse_std
    dx = scale * (dy - dbeta / count - x_hat * (dgamma / count)) if training else scale * dy
    return dx, None if gamma is None else dgamma, dbeta if has_beta else None
