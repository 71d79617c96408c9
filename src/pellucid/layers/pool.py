"""Pooling layers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..ops import shape
from ..ops.shape import Padding, Pair
from ..randomness import Randomness
from .base import EVERYTHING, Field, Gradients, Layer, Shape, slide, wants_image


class _Pooling2D(Layer):
    """What both sliding poolings share."""

    op: str
    pool_size: Pair
    strides: Pair | None
    padding: Padding

    def _settings(self) -> dict[str, Any]:
        return {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}

    def _geometry(self, input_shape: Shape) -> shape.Geometry:
        image = wants_image(self, input_shape)
        return shape.pool_geometry((1, *image), self.pool_size, strides=self.strides, padding=self.padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self._geometry(input_shape).output, input_shape[2])

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        return backend.forward(self.op, x, **self._settings())

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray, Gradients]:
        return backend.backward(dy, cache), {}

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        return slide(field, self._geometry(input_shape))


class MaxPooling2D(_Pooling2D):
    """The largest value of each window; ``strides`` defaults to ``pool_size``.

    >>> MaxPooling2D(2).output_shape((15, 15, 8)), MaxPooling2D(2, padding="same").output_shape((15, 15, 8))
    ((7, 7, 8), (8, 8, 8))
    """

    prefix = "max_pool"
    op = "max_pool2d"

    def __init__(
        self, pool_size: Pair = 2, strides: Pair | None = None, padding: Padding = "valid", *, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.pool_size, self.strides, self.padding = pool_size, strides, padding


class AveragePooling2D(_Pooling2D):
    """The mean of each window; ``count_padding=True`` counts padding as zeros, as PyTorch does."""

    prefix = "average_pool"
    op = "average_pool2d"

    def __init__(
        self,
        pool_size: Pair = 2,
        strides: Pair | None = None,
        padding: Padding = "valid",
        count_padding: bool = False,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.pool_size, self.strides, self.padding, self.count_padding = pool_size, strides, padding, count_padding

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"count_padding": self.count_padding}


class _GlobalPooling2D(Layer):
    """What both global poolings share."""

    op: str

    def output_shape(self, input_shape: Shape) -> Shape:
        return (wants_image(self, input_shape)[2],)

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        return backend.forward(self.op, x)

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray, Gradients]:
        return backend.backward(dy, cache), {}

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        return EVERYTHING


class GlobalAveragePooling2D(_GlobalPooling2D):
    """The mean of each channel: (H, W, C) -> (C,)."""

    prefix = "global_average_pool"
    op = "global_average_pool2d"


class GlobalMaxPooling2D(_GlobalPooling2D):
    """The largest value of each channel: (H, W, C) -> (C,)."""

    prefix = "global_max_pool"
    op = "global_max_pool2d"
