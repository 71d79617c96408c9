"""Rescaling: one factor and one offset for all numbers."""

from __future__ import annotations

from typing import NamedTuple

from numpy.typing import NDArray


class RescaleCache(NamedTuple):
    scale: float


def rescale(x: NDArray, *, scale: float, offset: float = 0.0) -> tuple[NDArray, RescaleCache]:
    """y = scale · x + offset, in the precision of x. Shapes: any, alike.

    >>> import numpy as np
    >>> rescale(np.array([1.0, 2.0]), scale=0.5, offset=1.0)[0]
    array([1.5, 2. ])
    """
    return x * scale + offset, RescaleCache(scale)


def rescale_backward(dy: NDArray, cache: RescaleCache) -> NDArray:
    """dx = scale · dy."""
    return dy * cache.scale
