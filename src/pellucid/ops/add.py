"""Addition: where two paths through a network meet."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

from ..errors import ShapeError
from . import activation as activations


class AddCache(NamedTuple):
    activation: str | None
    activated: Any


def add(x: NDArray, other: NDArray, *, activation: str | None = None) -> tuple[NDArray, AddCache]:
    """y = x + other, then the activation of this name.

    Shapes: all alike. Raises ``ShapeError`` where they differ: nothing is broadcast.

    >>> import numpy as np
    >>> add(np.array([1.0, 2.0]), np.array([3.0, -4.0]), activation="relu")[0]
    array([4., 0.])
    """
    if x.shape != other.shape:
        raise ShapeError(f"add got arrays of shapes {x.shape} and {other.shape}; wanted two of the same shape.")
    y, activated = x + other, None
    if activation is not None:
        y, activated = getattr(activations, activation)(y)
    return y, AddCache(activation, activated)


def add_backward(dy: NDArray, cache: AddCache) -> tuple[NDArray, NDArray]:
    """Each summand gets the whole gradient: dx = dother = dy, back through the activation.

    Shapes: all alike. Both gradients may be one array.
    """
    if cache.activation is not None:
        dy = getattr(activations, f"{cache.activation}_backward")(dy, cache.activated)
    return dy, dy
