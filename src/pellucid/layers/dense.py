"""Dense and Flatten."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError, ShapeError
from ..randomness import Randomness
from .activation import activate, activate_backward, known_activation
from .base import EVERYTHING, Field, Gradients, Layer, Shape, Weight


class Dense(Layer):
    """Every unit sees every input: y = x kernel + bias, then an activation.

    Weights: ``kernel`` (inputs, units) and ``bias`` (units,).

    >>> Dense(10, activation="softmax").output_shape((128,))
    (10,)
    """

    prefix = "dense"

    def __init__(
        self,
        units: int,
        activation: str | None = None,
        use_bias: bool = True,
        kernel_initializer: str | float = "glorot_uniform",
        bias_initializer: str | float = "zeros",
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if units < 1:
            raise PellucidError(f"Dense got units={units}; wanted at least 1.")
        self.units, self.activation, self.use_bias = units, known_activation(activation), use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ShapeError(
                f"Dense wants vectors (features,) but gets {tuple(input_shape)}. "
                "Put Flatten() or GlobalAveragePooling2D() before it."
            )
        return (self.units,)

    def weights(self, input_shape: Shape) -> dict[str, Weight]:
        self.output_shape(input_shape)
        shape = (input_shape[0], self.units)
        weights = {"kernel": Weight(shape, self.kernel_initializer, shape)}
        return weights | ({"bias": Weight((self.units,), self.bias_initializer)} if self.use_bias else {})

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        y, multiplied = backend.forward("dense", x, self.params["kernel"], self.params.get("bias"))
        y, activated = activate(self.activation, y)
        return y, (multiplied, activated)

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray | None, Gradients]:
        multiplied, activated = cache
        dy = activate_backward(dy, activated)
        dx, dkernel, dbias = backend.backward(dy, multiplied, input_gradient=input_gradient)
        return dx, {"kernel": dkernel} | ({"bias": dbias} if self.use_bias else {})

    def multiply_adds(self, input_shape: Shape) -> int:
        return input_shape[0] * self.units

    def receptive_field(self, field: Field, input_shape: Shape) -> Field:
        return EVERYTHING


class Flatten(Layer):
    """(H, W, C) -> (H·W·C,), the channel running fastest; ``data_format="channels_first"`` gives PyTorch's order."""

    prefix = "flatten"

    def __init__(self, data_format: str = "channels_last", *, name: str | None = None) -> None:
        super().__init__(name=name)
        if data_format not in ("channels_last", "channels_first"):
            raise PellucidError(f"data_format was {data_format!r}; wanted 'channels_last' or 'channels_first'.")
        self.data_format = data_format

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        return backend.forward("flatten", x, data_format=self.data_format)

    def backward(self, dy: NDArray, cache: Any, *, input_gradient: bool = True) -> tuple[NDArray, Gradients]:
        return backend.backward(dy, cache), {}
