"""Layers that act in training only."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError
from ..randomness import Randomness
from .base import Gradients, Layer


class Dropout(Layer):
    """In training, each number becomes 0 with probability ``rate`` and is divided by 1 - rate otherwise.

    >>> Dropout(1.5)
    Traceback (most recent call last):
    pellucid.errors.PellucidError: Dropout got rate=1.5; wanted a number from 0 up to, but not, 1.
    """

    prefix = "dropout"

    def __init__(self, rate: float, *, name: str | None = None) -> None:
        super().__init__(name=name)
        if not 0 <= rate < 1:
            raise PellucidError(f"Dropout got rate={rate}; wanted a number from 0 up to, but not, 1.")
        self.rate = rate

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        if not training or self.rate == 0:
            return x, None
        if rng is None:
            raise PellucidError(
                "Dropout needs randomness in training: pass rng=Randomness.for_batch(seed, epoch, indices)."
            )
        return backend.forward("dropout", x, rate=self.rate, rng=rng)

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray, Gradients]:
        return dy if cache is None else backend.backward(dy, cache), {}
