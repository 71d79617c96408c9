"""A layer that scales."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..randomness import Randomness
from .base import Gradients, Layer


class Rescaling(Layer):
    """y = scale · x + offset, for example to keep the first logits of a network small.

    >>> import numpy as np
    >>> Rescaling(0.5).forward(np.array([[2.0]]))[0]
    array([[1.]])
    """

    prefix = "rescaling"

    def __init__(self, scale: float, offset: float = 0.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.scale, self.offset = scale, offset

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        return backend.forward("rescale", x, scale=self.scale, offset=self.offset)

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray, Gradients]:
        return backend.backward(dy, cache), {}
