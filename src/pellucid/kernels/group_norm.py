"""Group and layer normalisation; the twin of ``ops/group_norm.py``. A chunk is a few images, small enough for the caches.

All loops over pixels run along whole rows of channels, so that they become vector instructions; only then are the channels
of a group added up. A layer normalisation is a group normalisation of images of one pixel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .buffers import aligned
from .jit import FLOAT, IN1, IN2, IN3, INT, OUT2, OUT3, TEAM, array_of, inline, kernel
from .sums import sum_parts
from .threads import MEMBERS, next_chunk, parallel_for

CHUNK = 1 << 14  # floats


class GroupNormCache(NamedTuple):
    x: NDArray[np.float32]  # (N, pixels, C)
    gamma: NDArray[np.float32]
    mean: NDArray[np.float32]  # (N, groups)
    inverse_std: NDArray[np.float32]
    has_gamma: bool
    has_beta: bool


def accepts_group_norm(x: NDArray, gamma: NDArray | None, beta: NDArray | None, **settings: object) -> bool:
    """Float32 values and weights."""
    arrays = [a for a in (x, gamma, beta) if a is not None]
    return all(a.dtype == np.float32 for a in arrays) and x.ndim >= 2 and x.size > 0


@inline(fastmath=("reassoc",))
def _sum(values):
    """The sum, whose order LLVM may choose, once for all, so that it adds whole vectors."""
    total = np.float32(0)
    for c in range(values.size):
        total += values[c]
    return total


@inline
def _share(values, size, divisor, shares):
    """For each group of ``size`` numbers, their sum divided by ``divisor``, written to all places of the group."""
    for first in range(0, values.size, size):
        shares[first : first + size] = _sum(values[first : first + size]) / np.float32(divisor)


@kernel(TEAM, INT, OUT2, INT, INT, FLOAT, IN3, IN1, IN1, OUT3, OUT2, OUT2)
def _normalise(team, chunks, workspace, images, size, epsilon, x, gamma, beta, y, mean, inverse_std):
    """One chunk is ``images`` images; ``size`` is the number of channels in a group."""
    n, pixels, channels = x.shape
    space = workspace[next_chunk(team[MEMBERS:])]
    middle, scale, sums = space[:channels], space[channels : 2 * channels], space[2 * channels : 3 * channels]
    chunk = next_chunk(team)
    while chunk < chunks:
        for i in range(chunk * images, min((chunk + 1) * images, n)):
            sums[:] = 0
            for p in range(pixels):
                row = x[i, p]
                for c in range(channels):
                    sums[c] += row[c]
            _share(sums, size, pixels * size, middle)
            sums[:] = 0
            for p in range(pixels):
                row = x[i, p]
                for c in range(channels):
                    centred = row[c] - middle[c]
                    sums[c] += centred * centred
            for g in range(mean.shape[1]):
                here = slice(g * size, (g + 1) * size)
                variance = _sum(sums[here]) / np.float32(pixels * size)
                mean[i, g], inverse_std[i, g] = middle[g * size], np.float32(1) / np.sqrt(variance + epsilon)
                scale[here] = inverse_std[i, g]
            for c in range(channels):
                scale[c] *= gamma[c]
            for p in range(pixels):
                row, target = x[i, p], y[i, p]
                for c in range(channels):
                    target[c] = (row[c] - middle[c]) * scale[c] + beta[c]
        chunk = next_chunk(team)


@kernel(TEAM, INT, OUT2, INT, INT, IN3, IN3, IN1, IN2, IN2, OUT3, OUT3)
def _derive(team, chunks, workspace, images, size, x, dy, gamma, mean, inverse_std, dx, parts):
    """dx, and parts[chunk] = (Σ dy · x_hat, Σ dy) of the chunk's images, per channel."""
    n, pixels, channels = x.shape
    space = workspace[next_chunk(team[MEMBERS:])]
    middle, scale = space[:channels], space[channels : 2 * channels]
    plain, product = space[2 * channels : 3 * channels], space[3 * channels : 4 * channels]
    chunk = next_chunk(team)
    while chunk < chunks:
        dgamma, dbeta = parts[chunk, 0], parts[chunk, 1]
        dgamma[:], dbeta[:] = 0, 0
        for i in range(chunk * images, min((chunk + 1) * images, n)):
            for g in range(mean.shape[1]):
                here = slice(g * size, (g + 1) * size)
                middle[here], scale[here] = mean[i, g], inverse_std[i, g]
            plain[:], product[:] = 0, 0
            for p in range(pixels):
                row, gradient = x[i, p], dy[i, p]
                for c in range(channels):
                    plain[c] += gradient[c]
                    product[c] += gradient[c] * (row[c] - middle[c])
            for c in range(channels):
                product[c] *= scale[c]  # Σ dy · x_hat
                dbeta[c] += plain[c]
                dgamma[c] += product[c]
                plain[c] *= gamma[c]
                product[c] *= gamma[c]
            _share(plain, size, pixels * size, plain)
            _share(product, size, pixels * size, product)
            for c in range(channels):
                product[c] *= scale[c]
            for p in range(pixels):
                row, gradient, target = x[i, p], dy[i, p], dx[i, p]
                for c in range(channels):
                    target[c] = (gradient[c] * gamma[c] - plain[c] - (row[c] - middle[c]) * product[c]) * scale[c]
        chunk = next_chunk(team)


def _run(
    x: NDArray[np.float32], gamma: NDArray | None, beta: NDArray | None, groups: int, epsilon: float
) -> tuple[NDArray[np.float32], GroupNormCache]:
    n, _, channels = x.shape
    scale = np.ones(channels, np.float32) if gamma is None else array_of(gamma)
    shift = np.zeros(channels, np.float32) if beta is None else array_of(beta)
    y = aligned(x.shape)
    mean, inverse_std = np.empty((n, groups), np.float32), np.empty((n, groups), np.float32)
    images = _images(x)
    settings = images, channels // groups, epsilon
    parallel_for(_normalise, -(-n // images), *settings, x, scale, shift, y, mean, inverse_std, workspace=3 * channels)
    return y, GroupNormCache(x, scale, mean, inverse_std, gamma is not None, beta is not None)


def _images(x: NDArray) -> int:
    """How many images (N, pixels, C) make a chunk."""
    return max(1, CHUNK // (x.shape[1] * x.shape[2]))


def group_norm(
    x: NDArray, gamma: NDArray | None, beta: NDArray | None, *, groups: int, epsilon: float = 1e-3
) -> tuple[NDArray, GroupNormCache]:
    """In every image each group of channels gets mean 0 and variance 1, then gamma and beta: x (N, ..., C)."""
    y, cache = _run(array_of(x).reshape(len(x), -1, x.shape[-1]), gamma, beta, groups, epsilon)
    return y.reshape(x.shape), cache


def group_norm_backward(dy: NDArray, cache: GroupNormCache) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """dx = (dx_hat - mean(dx_hat) - x_hat · mean(dx_hat · x_hat)) / std, dgamma = Σ dy · x_hat, dbeta = Σ dy."""
    x, gamma, mean, inverse_std, has_gamma, has_beta = cache
    dx, images = aligned(x.shape), _images(x)
    parts = aligned((-(-len(x) // images), 2, x.shape[2]))
    size = x.shape[2] // mean.shape[1]
    arrays = x, array_of(dy).reshape(x.shape), gamma, mean, inverse_std, dx, parts
    parallel_for(_derive, len(parts), images, size, *arrays, workspace=4 * x.shape[2])
    dgamma, dbeta = sum_parts(parts)
    return dx.reshape(dy.shape), dgamma if has_gamma else None, dbeta if has_beta else None


def layer_norm(
    x: NDArray, gamma: NDArray | None, beta: NDArray | None, *, epsilon: float = 1e-3
) -> tuple[NDArray, GroupNormCache]:
    """At every pixel the channels get mean 0 and variance 1, then gamma and beta: x (..., C)."""
    y, cache = _run(array_of(x).reshape(-1, 1, x.shape[-1]), gamma, beta, 1, epsilon)
    return y.reshape(x.shape), cache


def layer_norm_backward(dy: NDArray, cache: GroupNormCache) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """Those of ``group_norm``."""
    return group_norm_backward(dy, cache)
