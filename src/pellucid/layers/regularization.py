"""Layers that act in training only."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError
from ..randomness import Randomness
from .base import Gradients, Layer, Shape, wants_image


class _Dropping(Layer):
    """What both kinds of dropout share."""

    op: str

    def __init__(self, rate: float, *, name: str | None = None) -> None:
        super().__init__(name=name)
        if not 0 <= rate < 1:
            raise PellucidError(f"{type(self).__name__} got rate={rate}; wanted a number from 0 up to, but not, 1.")
        self.rate = rate

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        if not training or self.rate == 0:
            return x, None
        if rng is None:
            raise PellucidError(
                f"{type(self).__name__} needs randomness in training: pass rng=Randomness.for_batch(seed, epoch, indices)."
            )
        return backend.forward(self.op, x, rate=self.rate, rng=rng)

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray, Gradients]:
        return dy if cache is None else backend.backward(dy, cache), {}


class Dropout(_Dropping):
    """In training, each number becomes 0 with probability ``rate`` and is divided by 1 - rate otherwise.

    >>> Dropout(1.5)
    Traceback (most recent call last):
    pellucid.errors.PellucidError: Dropout got rate=1.5; wanted a number from 0 up to, but not, 1.
    """

    prefix = "dropout"
    op = "dropout"


class SpatialDropout2D(_Dropping):
    """In training, each channel of an image becomes 0 with probability ``rate`` and is divided by 1 - rate otherwise.

    >>> SpatialDropout2D(0.1).output_shape((8, 8, 32))
    (8, 8, 32)
    """

    prefix = "spatial_dropout"
    op = "spatial_dropout"

    def output_shape(self, input_shape: Shape) -> Shape:
        return wants_image(self, input_shape)
