"""Concatenation: where the branches of a network come together."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError


class ConcatenateCache(NamedTuple):
    ends: tuple[int, ...]  # the channel behind each array's last


def concatenate(x: NDArray, other: NDArray | None = None, *more: NDArray) -> tuple[NDArray, ConcatenateCache]:
    """The arrays one behind the other along their last axis, the channels.

    Shapes: alike but for the last axis. Raises ``ShapeError`` where they are not.

    >>> concatenate(np.array([[1.0, 2.0]]), np.array([[3.0]]))[0]
    array([[1., 2., 3.]])
    """
    arrays = (x,) if other is None else (x, other, *more)
    if len({x.shape[:-1] for x in arrays}) > 1:
        shapes = ", ".join(str(x.shape) for x in arrays)
        raise ShapeError(f"concatenate got arrays of shapes {shapes}; they may differ in their last axis only.")
    return np.concatenate(arrays, axis=-1), ConcatenateCache(ends_of(arrays))


def concatenate_backward(dy: NDArray, cache: ConcatenateCache) -> tuple[NDArray, ...]:
    """Each array gets the gradient of its own channels, a view of dy."""
    return tuple(dy[..., start:end] for start, end in zip((0, *cache.ends), cache.ends, strict=False))


def ends_of(arrays: tuple[NDArray, ...]) -> tuple[int, ...]:
    """The channel behind each array's last, in their concatenation."""
    return tuple(itertools.accumulate(x.shape[-1] for x in arrays))
