"""Batch normalisation; the twin of ``ops/norm.py``.

The pixels are cut into chunks that fit into the nearest caches. Each chunk gives its own mean and its own sum of
squared deviations, read from memory once; the chunks are then merged in their order by

    M2 = M2_a + M2_b + (mean_a - mean_b)² · n_a n_b / (n_a + n_b),

so that no large numbers are ever subtracted from each other. Source: Chan, Golub, LeVeque, "Algorithms for computing the
sample variance", The American Statistician 37 (1983).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import machine, moments
from .assembly import address, flat
from .buffers import aligned
from .jit import DOUBLE, IN1, IN2, IN3, INT, OUT1, OUT2, OUT3, TABLE, TEAM, array_of, inline, kernel
from .threads import MEMBERS, next_chunk, parallel_for

CHUNK = 1 << 14  # floats
ROW = 256  # floats that one pass of the inner loop should at least have: several pixels, if they are short


class BatchNormCache(NamedTuple):
    x: NDArray[np.float32]
    vectors: NDArray[np.float32]  # (3, …): mean, scale and shift, repeated to long rows
    inverse_std: NDArray[np.float32]
    scale: NDArray[np.float32]  # gamma · inverse_std
    has_gamma: bool
    has_beta: bool
    training: bool
    relu: bool


def accepts_batch_norm(x: NDArray, gamma, beta, moving_mean, moving_variance, **settings: object) -> bool:
    """Float32 values and weights."""
    arrays = [a for a in (x, gamma, beta, moving_mean, moving_variance) if a is not None]
    return all(a.dtype == np.float32 for a in arrays) and x.ndim >= 2 and x.size > 0


@kernel(TEAM, INT, OUT2, TABLE, INT, INT, IN2, OUT3)
def _statistics(team, chunks, workspace, table, lanes, pixels, x, parts):
    """parts[chunk] = (mean, Σ (x - mean)²) of the chunk's pixels, per channel."""
    count, channels = x.shape
    zeros = workspace[next_chunk(team[MEMBERS:])][:channels]
    chunk = next_chunk(team)
    while chunk < chunks:
        here = min(pixels, count - chunk * pixels)
        at = address(x) + 4 * chunk * pixels * channels
        mean, squares = parts[chunk, 0], parts[chunk, 1]
        zeros[:] = 0
        moments.accumulate(table, lanes, at, at, zeros, zeros, mean, squares, here, channels)
        share = np.float32(1 / here)
        for c in range(channels):
            mean[c] *= share
        moments.accumulate(table, lanes, at, at, mean, mean, zeros, squares, here, channels)
        # what rounding left of Σ (x - mean) corrects both
        for c in range(channels):
            mean[c] += zeros[c] * share
            squares[c] -= zeros[c] * zeros[c] * share
        chunk = next_chunk(team)


@inline
def _repeat(vectors, c, channels, values):
    """The values of channel c into rows that hold all channels many times over."""
    for n in range(vectors.shape[0]):
        for i in range(c, vectors.shape[1], channels):
            vectors[n, i] = np.float32(values[n])


@kernel(
    *(TEAM, INT, INT, INT, IN3, IN1, IN1, DOUBLE, DOUBLE, INT),
    *(OUT1, OUT1, OUT1, OUT1, OUT2),
)
def _merge(
    team, chunks, count, pixels, parts, gamma, beta, momentum, epsilon, unbiased, moving_mean, moving_variance, inverse_std,
    scale, vectors,
):  # fmt: skip
    """Mean and variance from the chunks in their order, and what follows from them; ``count`` pixels, so many in a chunk.

    gamma and beta are empty where there are none. Without chunks mean and variance are the moving ones.
    """
    channels = parts.shape[2]
    last = count - pixels * (parts.shape[0] - 1)
    correction = count / max(count - 1, 1) if unbiased else 1.0
    for c in range(channels):
        mean, variance = np.float64(moving_mean[c]), np.float64(moving_variance[c])
        if parts.shape[0] > 0:
            total = 0.0
            for p in range(parts.shape[0]):
                total += (pixels if p < parts.shape[0] - 1 else last) * np.float64(parts[p, 0, c])
            mean = total / count
            squares, between = 0.0, 0.0
            for p in range(parts.shape[0]):
                deviation = np.float64(parts[p, 0, c]) - mean
                squares += np.float64(parts[p, 1, c])
                between += (pixels if p < parts.shape[0] - 1 else last) * deviation * deviation
            variance = (squares + between) / count
            moving_mean[c] += np.float32((1 - momentum) * (mean - np.float64(moving_mean[c])))
            moving_variance[c] += np.float32((1 - momentum) * (correction * variance - np.float64(moving_variance[c])))
        inverse_std[c] = np.float32(1 / np.sqrt(variance + epsilon))
        scale[c] = gamma[c] * inverse_std[c] if gamma.size else inverse_std[c]
        shift = np.float64(beta[c]) if beta.size else 0.0
        _repeat(vectors, c, channels, (mean, np.float64(scale[c]), shift))


@kernel(TEAM, INT, INT, INT, IN3, IN1, IN1, OUT1, OUT1, OUT2)
def _finish(team, chunks, count, training, parts, inverse_std, scale, dgamma, dbeta, vectors):
    """dgamma and dbeta from the sums of ``_products``, and slope and constant for ``derive``."""
    channels = parts.shape[2]
    for c in range(channels):
        first, second = 0.0, 0.0
        for p in range(parts.shape[0]):
            first += np.float64(parts[p, 0, c])
            second += np.float64(parts[p, 1, c])
        second *= np.float64(inverse_std[c])
        slope, constant = 0.0, 0.0
        if training:
            slope = -np.float64(scale[c] * inverse_std[c]) * second / count
            constant = -np.float64(scale[c]) * first / count
        dgamma[c], dbeta[c] = np.float32(second), np.float32(first)
        _repeat(vectors, c, channels, (slope, constant))


@inline
def normalise(x, mean, scale, shift, relu, y):
    """y = (x - mean) · scale + shift, and ReLU of it; x and y (M,). The vectors of channels are repeated to one long row."""
    row, some = mean.size, relu != 0
    for first in range(0, x.size, row):
        source, target = x[first : first + row], y[first : first + row]
        for i in range(target.size):
            value = (source[i] - mean[i]) * scale[i] + shift[i]
            target[i] = np.float32(0) if (value <= np.float32(0)) & some else value  # NaN stays NaN


@inline
def derive(x, dy, mean, scale, shift, relu, slope, constant, dx):
    """dx = dy · scale + (x - mean) · slope + constant, where dy counts only where ``normalise`` gave more than 0."""
    row, every = mean.size, not relu
    for first in range(0, x.size, row):
        source, gradient, target = x[first : first + row], dy[first : first + row], dx[first : first + row]
        for i in range(target.size):
            centred = source[i] - mean[i]
            positive = (centred * scale[i] + shift[i] > np.float32(0)) | every
            target[i] = (gradient[i] if positive else np.float32(0)) * scale[i] + (centred * slope[i] + constant[i])


@kernel(TEAM, INT, OUT2, TABLE, INT, INT, IN2, IN2, IN1, IN1, IN1, INT, OUT3)
def _products(team, chunks, workspace, table, lanes, pixels, x, dy, mean, scale, shift, relu, parts):
    """parts[chunk] = (Σ dy, Σ dy (x - mean)) of the chunk's pixels, per channel, of dy behind the ReLU, if there is one."""
    count, channels = x.shape
    row, centre = mean.size, mean[:channels]
    space = workspace[next_chunk(team[MEMBERS:])]
    passed, zeros = space[: pixels * channels], space[pixels * channels : (pixels + 1) * channels]
    zeros[:] = 0
    chunk = next_chunk(team)
    while chunk < chunks:
        start, here = chunk * pixels, min(pixels, count - chunk * pixels)
        at, dy_at = address(x) + 4 * start * channels, address(dy) + 4 * start * channels
        if relu:
            values, gradients = flat(x)[start * channels :], flat(dy)[start * channels :]
            for first in range(0, here * channels, row):
                source, gradient = values[first : first + row], gradients[first : first + row]
                target = passed[first : min(first + row, here * channels)]
                for i in range(target.size):
                    positive = (source[i] - mean[i]) * scale[i] + shift[i] > np.float32(0)
                    target[i] = gradient[i] if positive else np.float32(0)
            dy_at = address(passed)
        moments.accumulate(table, lanes, at, dy_at, centre, zeros, parts[chunk, 0], parts[chunk, 1], here, channels)
        chunk = next_chunk(team)


@kernel(TEAM, INT, INT, IN1, IN1, IN1, IN1, INT, OUT1)
def _normalise(team, chunks, size, x, mean, scale, shift, relu, y):
    """One chunk is ``size`` numbers."""
    chunk = next_chunk(team)
    while chunk < chunks:
        first, end = chunk * size, min((chunk + 1) * size, x.size)
        normalise(x[first:end], mean, scale, shift, relu, y[first:end])
        chunk = next_chunk(team)


@kernel(TEAM, INT, INT, IN1, IN1, IN1, IN1, IN1, INT, IN1, IN1, OUT1)
def _derive(team, chunks, size, x, dy, mean, scale, shift, relu, slope, constant, dx):
    """One chunk is ``size`` numbers."""
    chunk = next_chunk(team)
    while chunk < chunks:
        first, end = chunk * size, min((chunk + 1) * size, x.size)
        derive(x[first:end], dy[first:end], mean, scale, shift, relu, slope, constant, dx[first:end])
        chunk = next_chunk(team)


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
    relu: bool = False,
) -> tuple[NDArray, BatchNormCache]:
    """Batch normalisation over all axes but the last; in training the moving statistics are updated in place.

    ``relu`` takes ReLU of it in the same pass over memory; see ``fused_norm``.
    """
    cache = prepare(x, gamma, beta, moving_mean, moving_variance, training, momentum, epsilon, unbiased, relu)
    x, y = cache.x, aligned(x.shape)
    size = chunk_size(x.shape[-1])
    parallel_for(_normalise, -(-x.size // size), size, x.reshape(-1), *cache.vectors, int(relu), y.reshape(-1))
    return y, cache


def batch_norm_backward(dy: NDArray, cache: BatchNormCache) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """dx = gamma / std · (dy - mean(dy) - x_hat · mean(dy · x_hat)), dgamma = Σ dy · x_hat, dbeta = Σ dy."""
    x, dy = cache.x, array_of(dy)
    count, channels = x.size // x.shape[-1], x.shape[-1]
    pixels = max(1, CHUNK // channels)
    parts = aligned((-(-count // pixels), 2, channels))
    parallel_for(
        _products, len(parts), moments.table(), machine.vectors().lanes, pixels, x.reshape(count, channels),
        dy.reshape(count, channels), *cache.vectors, int(cache.relu), parts, workspace=(pixels + 1) * channels,
    )  # fmt: skip
    coefficients, dgamma, dbeta = finish(parts, cache)
    dx, size = aligned(x.shape), chunk_size(channels)
    parallel_for(
        _derive, -(-x.size // size), size, x.reshape(-1), dy.reshape(-1), *cache.vectors, int(cache.relu), *coefficients,
        dx.reshape(-1),
    )  # fmt: skip
    return dx, dgamma, dbeta


def prepare(
    x: NDArray,
    gamma: NDArray | None,
    beta: NDArray | None,
    moving_mean: NDArray,
    moving_variance: NDArray,
    training: bool,
    momentum: float,
    epsilon: float,
    unbiased: bool,
    relu: bool,
) -> BatchNormCache:
    """What ``normalise`` needs, and the way back; in training the moving statistics are updated in place."""
    x = array_of(x)
    channels = x.shape[-1]
    count, pixels = x.size // channels, max(1, CHUNK // channels)
    parts = aligned((-(-count // pixels) if training else 0, 2, channels))
    if training:
        flat_x, lanes = x.reshape(count, channels), machine.vectors().lanes
        parallel_for(_statistics, len(parts), moments.table(), lanes, pixels, flat_x, parts, workspace=channels)
    moving = [np.require(array, np.float32, ("C", "A", "W")) for array in (moving_mean, moving_variance)]
    inverse_std, scale, vectors = np.empty(channels, np.float32), np.empty(channels, np.float32), _rows(3, channels)
    parallel_for(
        _merge, 1, count, pixels, parts, _or_empty(gamma), _or_empty(beta), momentum, epsilon, int(unbiased), *moving,
        inverse_std, scale, vectors,
    )  # fmt: skip
    for array, changed in zip((moving_mean, moving_variance), moving, strict=True):
        if training and changed is not array:
            array[...] = changed
    return BatchNormCache(x, vectors, inverse_std, scale, gamma is not None, beta is not None, training, relu)


def finish(
    parts: NDArray[np.float32], cache: BatchNormCache
) -> tuple[NDArray[np.float32], NDArray | None, NDArray | None]:
    """From the sums of ``_products``: slope and constant for ``derive``, dgamma, dbeta."""
    channels = cache.x.shape[-1]
    dgamma, dbeta, vectors = np.empty(channels, np.float32), np.empty(channels, np.float32), _rows(2, channels)
    parallel_for(
        _finish, 1, cache.x.size // channels, int(cache.training), parts, cache.inverse_std, cache.scale, dgamma, dbeta,
        vectors,
    )  # fmt: skip
    return vectors, dgamma if cache.has_gamma else None, dbeta if cache.has_beta else None


def _rows(count: int, channels: int) -> NDArray[np.float32]:
    """Rows for all channels, each so often as makes at least ``ROW`` floats."""
    return np.empty((count, _row(channels)), np.float32)


def _or_empty(vector: NDArray | None) -> NDArray[np.float32]:
    return np.empty(0, np.float32) if vector is None else array_of(vector)


def chunk_size(channels: int) -> int:
    """Floats in a chunk, a multiple of such rows."""
    return max(1, CHUNK // _row(channels)) * _row(channels)


def _row(channels: int) -> int:
    return -(-ROW // channels) * channels
