"""Dropout of numbers and of channels; the twin of ``ops/dropout.py``, with the same random numbers and so the same zeros."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..randomness import GOLDEN, Randomness
from .buffers import aligned, aligned_bytes
from .jit import FLOAT, IN2, IN3, INT, OUT2, OUT3, TEAM, Array, array_of, inline, kernel
from .threads import next_chunk, parallel_for

_KEYS = Array("uint64", 1)
_KEPT, _KEPT_OUT = Array("uint8", 2), Array("uint8", 2, True)
_GOLDEN = np.uint64(GOLDEN)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class DropoutCache(NamedTuple):
    kept: NDArray[np.uint8]  # (N, numbers of an image): 1 where kept
    scale: float


def accepts_dropout(x: NDArray, *, rate: float, rng: Randomness) -> bool:
    """Float32 batches, one key for each image."""
    return x.dtype == np.float32 and x.ndim >= 2 and x.size > 0 and len(rng.keys) == len(x)


@inline
def _mix(word):
    """``randomness.mix``, one number at a time."""
    word = (word ^ (word >> np.uint64(30))) * _FIRST
    word = (word ^ (word >> np.uint64(27))) * _SECOND
    return word ^ (word >> np.uint64(31))


@kernel(TEAM, INT, IN2, _KEYS, "uint64", FLOAT, OUT2, _KEPT_OUT)
def _drop(team, chunks, x, keys, least, scale, y, kept):
    """A number is kept if its 53 random bits are at least ``least``; one chunk is one image."""
    chunk = next_chunk(team)
    while chunk < chunks:
        source, target, places, key = x[chunk], y[chunk], kept[chunk], keys[chunk]
        for i in range(target.size):
            keep = (_mix(key + np.uint64(i + 1) * _GOLDEN) >> np.uint64(11)) >= least
            places[i] = keep
            target[i] = source[i] * (scale if keep else np.float32(0))
        chunk = next_chunk(team)


@kernel(TEAM, INT, IN2, _KEPT, FLOAT, OUT2)
def _drop_backward(team, chunks, dy, kept, scale, dx):
    """One chunk is one image."""
    chunk = next_chunk(team)
    while chunk < chunks:
        source, target, places = dy[chunk], dx[chunk], kept[chunk]
        for i in range(target.size):
            target[i] = source[i] * (scale if places[i] else np.float32(0))
        chunk = next_chunk(team)


def _limits(rate: float) -> tuple[int, float]:
    """The least random bits of what is kept, and what that is multiplied by.

    u · 2⁻⁵³ ≥ rate for whole u: both sides times a power of two, which is exact.
    """
    return math.ceil(rate * 2.0**53), float(np.float32(1 / (1 - rate)))


def dropout(x: NDArray, *, rate: float, rng: Randomness) -> tuple[NDArray, DropoutCache]:
    """y = x / (1 - rate) with probability 1 - rate, else 0."""
    x = array_of(x)
    y = aligned(x.shape)
    flat = (len(x), x.size // len(x))
    kept = aligned_bytes(flat)
    least, scale = _limits(rate)
    parallel_for(_drop, len(x), x.reshape(flat), np.ascontiguousarray(rng.keys), least, scale, y.reshape(flat), kept)
    return y, DropoutCache(kept, scale)


def dropout_backward(dy: NDArray, cache: DropoutCache) -> NDArray:
    """dx = dy / (1 - rate) where the number was kept, else 0."""
    dx = aligned(dy.shape)
    flat = cache.kept.shape
    parallel_for(_drop_backward, flat[0], array_of(dy).reshape(flat), cache.kept, cache.scale, dx.reshape(flat))
    return dx


@kernel(TEAM, INT, _KEYS, "uint64", FLOAT, OUT2)
def _drop_channels(team, chunks, keys, least, scale, factors):
    """What each channel of each image is multiplied by; one chunk is one image."""
    chunk = next_chunk(team)
    while chunk < chunks:
        target, key = factors[chunk], keys[chunk]
        for c in range(target.size):
            keep = (_mix(key + np.uint64(c + 1) * _GOLDEN) >> np.uint64(11)) >= least
            target[c] = scale if keep else np.float32(0)
        chunk = next_chunk(team)


@kernel(TEAM, INT, IN3, IN2, OUT3)
def _scale_channels(team, chunks, x, scale, y):
    """y = x · scale, where every image has a factor for each channel; one chunk is one image."""
    chunk = next_chunk(team)
    while chunk < chunks:
        factors = scale[chunk]
        for p in range(x.shape[1]):
            source, target = x[chunk, p], y[chunk, p]
            for c in range(target.size):
                target[c] = source[c] * factors[c]
        chunk = next_chunk(team)


class SpatialDropoutCache(NamedTuple):
    scale: NDArray[np.float32]  # (N, C): 0 where dropped, 1 / (1 - rate) where kept


def spatial_dropout(x: NDArray, *, rate: float, rng: Randomness) -> tuple[NDArray, SpatialDropoutCache]:
    """Whole channels of an image become 0 with probability rate, else x / (1 - rate)."""
    factors = aligned((len(x), x.shape[-1]))
    parallel_for(_drop_channels, len(x), np.ascontiguousarray(rng.keys), *_limits(rate), factors)
    cache = SpatialDropoutCache(factors)
    return spatial_dropout_backward(x, cache), cache


def spatial_dropout_backward(dy: NDArray, cache: SpatialDropoutCache) -> NDArray:
    """dx = dy / (1 - rate) where the channel was kept, else 0."""
    dx, flat = aligned(dy.shape), (len(dy), -1, dy.shape[-1])
    parallel_for(_scale_channels, len(dy), array_of(dy).reshape(flat), cache.scale, dx.reshape(flat))
    return dx
