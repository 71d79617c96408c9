"""Batch normalisation with ReLU and pooling behind it; the twin of ``ops.batch_norm_block``.

Neither what is normalised nor its gradient is ever written down: a band of rows is normalised into a piece of memory that
stays in a cache, and pooled from there. Back, such a band of dz is made of dy twice, once to sum it up and once for dx, which
costs less than to write and read it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops.shape import Padding, Pair
from . import machine, moments, norm, tail, windows
from .assembly import address, clear, flat
from .buffers import aligned
from .jit import BYTES_IN4, BYTES_OUT4, IN1, IN4, INT, OUT2, OUT3, OUT4, TABLE, TEAM, array_of, inline, kernel
from .norm import BatchNormCache
from .tail import Tail, run_windows
from .threads import MEMBERS, next_chunk, parallel_for

BAND = 1 << 14  # floats, about


class NormBlockCache(NamedTuple):
    normalised: BatchNormCache
    codes: NDArray[np.uint8]
    tail: Tail


def accepts_batch_norm_block(
    x: NDArray,
    gamma: NDArray | None,
    beta: NDArray | None,
    moving_mean: NDArray,
    moving_variance: NDArray,
    *,
    activation: str | None = None,
    pool: str | None = None,
    pool_size: Pair = 2,
    **settings: object,
) -> bool:
    """Float32, ReLU or no activation."""
    return (
        norm.accepts_batch_norm(x, gamma, beta, moving_mean, moving_variance)
        and tail.accepts(activation, pool, pool_size)
        and (pool is None or x.ndim == 4)
    )


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
) -> tuple[NDArray, NormBlockCache | BatchNormCache]:
    """Batch normalisation, activation, pooling: x (N, H, W, C) -> y (N, PH, PW, C)."""
    arrays, relu = (x, gamma, beta, moving_mean, moving_variance), activation == "relu"
    if pool is None:
        settings = {"training": training, "momentum": momentum, "epsilon": epsilon, "unbiased": unbiased}
        return norm.batch_norm(*arrays, **settings, relu=relu)  # type: ignore[arg-type]
    after = tail.tail_of(x.shape, activation, pool, pool_size, pool_strides, pool_padding)
    cache = norm.prepare(*arrays, training, momentum, epsilon, unbiased, relu)
    x = cache.x
    n, height, width, channels = x.shape
    y = aligned((n, *after.output, channels))
    codes = tail.new_codes(after, x.shape, y.shape)
    bands = tail.bands(after.key, -(-height * width * channels // BAND))
    parallel_for(
        _forward, n * len(bands), windows.table(), x, *cache.vectors, y, codes, bands, after.forward, int(after.marks),
        after.rows, after.columns, after.taps[1], workspace=int(bands[:, 3].max()) * width * channels,
    )  # fmt: skip
    return y, NormBlockCache(cache, codes, after)


def batch_norm_block_backward(
    dy: NDArray, cache: NormBlockCache | BatchNormCache
) -> tuple[NDArray, NDArray | None, NDArray | None]:
    """Back through pooling, activation and normalisation: dx, dgamma, dbeta."""
    if isinstance(cache, BatchNormCache):
        return norm.batch_norm_backward(dy, cache)
    normalised, codes, after = cache
    x, dy = normalised.x, array_of(dy)
    n, height, width, channels = x.shape
    bands = tail.bands(after.key, -(-height * width * channels // BAND), apart=True)
    zero = after.clear or after.used != (height, width)
    how = bands, after.backward, int(after.marks), int(zero), after.rows, after.columns, after.taps[1]
    space = int(bands[:, 3].max()) * width * channels
    parts = aligned((n * len(bands), 2, channels))
    parallel_for(
        _products, len(parts), windows.table(), moments.table(), machine.vectors().lanes, x, dy, codes,
        normalised.vectors[0], parts, *how, workspace=space + channels,
    )  # fmt: skip
    coefficients, dgamma, dbeta = norm.finish(parts, normalised)
    dx = aligned(x.shape)
    parallel_for(
        _derive,
        len(parts),
        windows.table(),
        x,
        dy,
        codes,
        *normalised.vectors,
        *coefficients,
        dx,
        *how,
        workspace=space,
    )
    return dx, dgamma, dbeta


@inline
def _band(x, chunk, bands):
    """(image, where its band begins and ends in a flat x) of a chunk: one chunk is one band of one image."""
    image, band = chunk // bands.shape[0], chunk % bands.shape[0]
    row = x.shape[2] * x.shape[3]
    begin = (image * x.shape[1] + bands[band, 2]) * row
    return image, band, begin, begin + bands[band, 3] * row


@kernel(
    *(TEAM, INT, OUT2, TABLE, IN4, IN1, IN1, IN1, OUT4, BYTES_OUT4),
    *(TABLE, INT, INT, TABLE, TABLE, INT),
)
def _forward(
    team, chunks, workspace, functions, x, mean, scale, shift, y, codes, bands, function, marks, rows, columns, taps_across
):  # fmt: skip
    """y = tail((x - mean) · scale + shift)."""
    space = workspace[next_chunk(team[MEMBERS:])]
    chunk = next_chunk(team)
    while chunk < chunks:
        image, band, begin, end = _band(x, chunk, bands)
        norm.normalise(flat(x)[begin:end], mean, scale, shift, 0, space[: end - begin])
        run_windows(
            functions, function, address(space), x.shape[2] * x.shape[3], bands[band, 2], y, codes, marks, image,
            bands[band, 0], bands[band, 1], rows, columns, taps_across,
        )  # fmt: skip
        chunk = next_chunk(team)


@inline
def _spread(x, chunk, functions, dy, codes, bands, function, marks, zero, rows, columns, taps_across, dz):
    """dz of the band of a chunk; returns where it lies in a flat x."""
    image, band, begin, end = _band(x, chunk, bands)
    if zero:
        clear(address(dz), end - begin)
    run_windows(
        functions, function, address(dz), x.shape[2] * x.shape[3], bands[band, 2], dy, codes, marks, image, bands[band, 0],
        bands[band, 1], rows, columns, taps_across,
    )  # fmt: skip
    return begin, end


@kernel(
    *(TEAM, INT, OUT2, TABLE, TABLE, INT, IN4, IN4, BYTES_IN4, IN1, OUT3),
    *(TABLE, INT, INT, INT, TABLE, TABLE, INT),
)
def _products(
    team, chunks, workspace, functions, sums, lanes, x, dy, codes, mean, parts, bands, function, marks, zero, rows, columns,
    taps_across,
):  # fmt: skip
    """parts[chunk] = (Σ dz, Σ dz (x - mean)) per channel."""
    channels = x.shape[3]
    space = workspace[next_chunk(team[MEMBERS:])]
    zeros = space[space.size - channels :]
    zeros[:] = 0
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = _spread(
            x, chunk, functions, dy, codes, bands, function, marks, zero, rows, columns, taps_across, space
        )  # fmt: skip
        moments.accumulate(
            sums, lanes, address(x) + 4 * begin, address(space), mean[:channels], zeros, parts[chunk, 0], parts[chunk, 1],
            (end - begin) // channels, channels,
        )  # fmt: skip
        chunk = next_chunk(team)


@kernel(
    *(TEAM, INT, OUT2, TABLE, IN4, IN4, BYTES_IN4, IN1, IN1, IN1, IN1, IN1, OUT4),
    *(TABLE, INT, INT, INT, TABLE, TABLE, INT),
)
def _derive(
    team, chunks, workspace, functions, x, dy, codes, mean, scale, shift, slope, constant, dx, bands, function, marks, zero,
    rows, columns, taps_across,
):  # fmt: skip
    """dx = dz · scale + (x - mean) · slope + constant."""
    space = workspace[next_chunk(team[MEMBERS:])]
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = _spread(
            x, chunk, functions, dy, codes, bands, function, marks, zero, rows, columns, taps_across, space
        )  # fmt: skip
        norm.derive(
            flat(x)[begin:end], space[: end - begin], mean, scale, shift, 0, slope, constant,
            flat(dx)[begin:end],
        )  # fmt: skip
        chunk = next_chunk(team)
