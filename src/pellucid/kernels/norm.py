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
from .assembly import address
from .buffers import aligned
from .jit import IN1, IN2, INT, OUT1, OUT3, TABLE, TEAM, array_of, kernel
from .threads import next_chunk, parallel_for

CHUNK = 1 << 14  # floats
ROW = 64  # floats that one pass of the inner loop should at least have: several pixels, if they are short


class BatchNormCache(NamedTuple):
    x: NDArray[np.float32]
    mean: NDArray[np.float32]
    inverse_std: NDArray[np.float32]
    gamma: NDArray[np.float32] | None
    has_beta: bool
    training: bool


def accepts_batch_norm(x: NDArray, gamma, beta, moving_mean, moving_variance, **settings: object) -> bool:
    """Float32 values and weights."""
    arrays = [a for a in (x, gamma, beta, moving_mean, moving_variance) if a is not None]
    return all(a.dtype == np.float32 for a in arrays) and x.ndim >= 2 and x.size > 0


@kernel(TEAM, INT, TABLE, INT, INT, IN2, OUT3)
def _statistics(team, chunks, table, lanes, pixels, x, parts):
    """parts[chunk] = (mean, Σ (x - mean)²) of the chunk's pixels, per channel."""
    count, channels = x.shape
    chunk = next_chunk(team)
    while chunk < chunks:
        here = min(pixels, count - chunk * pixels)
        at = address(x) + 4 * chunk * pixels * channels
        mean, squares = parts[chunk, 0], parts[chunk, 1]
        zeros = np.zeros(channels, np.float32)
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


@kernel(TEAM, INT, TABLE, INT, INT, IN2, IN2, IN1, OUT3)
def _products(team, chunks, table, lanes, pixels, x, dy, mean, parts):
    """parts[chunk] = (Σ dy, Σ dy (x - mean)) of the chunk's pixels, per channel."""
    count, channels = x.shape
    zeros = np.zeros(channels, np.float32)
    chunk = next_chunk(team)
    while chunk < chunks:
        start, here = chunk * pixels, min(pixels, count - chunk * pixels)
        offset = 4 * start * channels
        moments.accumulate(
            table, lanes, address(x) + offset, address(dy) + offset, mean, zeros, parts[chunk, 0], parts[chunk, 1], here,
            channels,
        )  # fmt: skip
        chunk = next_chunk(team)


@kernel(TEAM, INT, INT, IN1, IN1, IN1, IN1, OUT1)
def _normalise(team, chunks, size, x, mean, scale, shift, y):
    """y = (x - mean) · scale + shift; the vectors of channels are repeated to one row of several pixels."""
    row = mean.size
    chunk = next_chunk(team)
    while chunk < chunks:
        for first in range(chunk * size, min((chunk + 1) * size, x.size), row):
            source, target = x[first : first + row], y[first : first + row]
            for i in range(target.size):
                target[i] = (source[i] - mean[i]) * scale[i] + shift[i]
        chunk = next_chunk(team)


@kernel(TEAM, INT, INT, IN1, IN1, IN1, IN1, IN1, IN1, OUT1)
def _derive(team, chunks, size, x, dy, mean, scale, slope, shift, dx):
    """dx = dy · scale + (x - mean) · slope + shift."""
    row = mean.size
    chunk = next_chunk(team)
    while chunk < chunks:
        for first in range(chunk * size, min((chunk + 1) * size, x.size), row):
            source, gradient, target = x[first : first + row], dy[first : first + row], dx[first : first + row]
            for i in range(target.size):
                target[i] = gradient[i] * scale[i] + ((source[i] - mean[i]) * slope[i] + shift[i])
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
) -> tuple[NDArray, BatchNormCache]:
    """Batch normalisation over all axes but the last; in training the moving statistics are updated in place."""
    x = array_of(x)
    count, channels = x.size // x.shape[-1], x.shape[-1]
    if training:
        mean, variance = _mean_and_variance(x.reshape(count, channels))
        correction = count / max(count - 1, 1) if unbiased else 1.0
        moving_mean += (1 - momentum) * (mean - moving_mean)
        moving_variance += (1 - momentum) * (correction * variance - moving_variance)
    else:
        mean, variance = moving_mean.copy(), moving_variance
    inverse_std = (1 / np.sqrt(variance.astype(np.float64) + epsilon)).astype(np.float32)
    scale = inverse_std if gamma is None else gamma * inverse_std
    shift = np.zeros(channels, np.float32) if beta is None else beta
    y = aligned(x.shape)
    repeat, size = _row(channels)
    vectors = [np.tile(array_of(v), repeat) for v in (mean, scale, shift)]
    parallel_for(_normalise, -(-x.size // size), size, x.reshape(-1), *vectors, y.reshape(-1))
    return y, BatchNormCache(x, mean.astype(np.float32), inverse_std, gamma, beta is not None, training)


def batch_norm_backward(dy: NDArray, cache: BatchNormCache) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """dx = gamma / std · (dy - mean(dy) - x_hat · mean(dy · x_hat)), dgamma = Σ dy · x_hat, dbeta = Σ dy."""
    x, mean, inverse_std, gamma, has_beta, training = cache
    dy = array_of(dy)
    count, channels = x.size // x.shape[-1], x.shape[-1]
    pixels = max(1, CHUNK // channels)
    parts = np.empty((-(-count // pixels), 2, channels), np.float32)
    matrices = x.reshape(count, channels), dy.reshape(count, channels)
    parallel_for(
        _products, len(parts), moments.table(), machine.vectors().lanes, pixels, *matrices, array_of(mean), parts
    )
    dbeta, dgamma = parts.sum(axis=0, dtype=np.float64)
    dgamma *= inverse_std
    scale = inverse_std if gamma is None else gamma * inverse_std
    slope = -scale * inverse_std * dgamma / count if training else np.zeros(channels)
    shift = -scale * dbeta / count if training else np.zeros(channels)
    dx = aligned(x.shape)
    repeat, size = _row(channels)
    vectors = [np.tile(array_of(v), repeat) for v in (mean, scale, slope, shift)]
    parallel_for(_derive, -(-x.size // size), size, x.reshape(-1), dy.reshape(-1), *vectors, dx.reshape(-1))
    dgamma, dbeta = dgamma.astype(np.float32), dbeta.astype(np.float32)
    return dx, None if gamma is None else dgamma, dbeta if has_beta else None


def _row(channels: int) -> tuple[int, int]:
    """(how many pixels make one row of the inner loop, floats in a chunk, a multiple of such rows)."""
    repeat = -(-ROW // channels)
    return repeat, max(1, CHUNK // (repeat * channels)) * repeat * channels


def _mean_and_variance(x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each column of x (M, C), from the chunks in their order."""
    count, channels = x.shape
    pixels = max(1, CHUNK // channels)
    parts = np.empty((-(-count // pixels), 2, channels), np.float32)
    parallel_for(_statistics, len(parts), moments.table(), machine.vectors().lanes, pixels, x, parts)
    sizes = np.full(len(parts), pixels, np.float64)
    sizes[-1] = count - pixels * (len(parts) - 1)
    means, squares = parts[:, 0].astype(np.float64), parts[:, 1].astype(np.float64)
    mean = (sizes[:, None] * means).sum(axis=0) / count
    deviation = means - mean
    return mean, (squares.sum(axis=0) + (sizes[:, None] * deviation * deviation).sum(axis=0)) / count
