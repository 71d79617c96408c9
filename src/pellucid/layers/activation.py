"""Activations, by name in other layers (``activation="relu"``) and as layers of their own."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError, nearest
from ..randomness import Randomness
from .base import Gradients, Layer

ACTIVATIONS = ("linear", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "silu", "gelu", "softmax", "log_softmax")


def known_activation(activation: str | None) -> str | None:
    """The name itself, or an error with the nearest match."""
    if activation is not None and activation not in ACTIVATIONS:
        raise PellucidError(f"There is no activation {activation!r}. {nearest(str(activation), ACTIVATIONS)}")
    return activation


def activate(activation: str | None, x: NDArray, **settings: Any) -> tuple[NDArray, backend.Saved | None]:
    """Run the activation of this name; None and "linear" pass x through."""
    return (x, None) if activation in (None, "linear") else backend.forward(str(activation), x, **settings)


def activate_backward(dy: NDArray, saved: backend.Saved | None) -> NDArray:
    """The gradient back through ``activate``."""
    return dy if saved is None else backend.backward(dy, saved)


class _ActivationLayer(Layer):
    """What all activation layers share: no weights, any shape."""

    def _settings(self) -> dict[str, Any]:
        return {}

    def forward(
        self, x: NDArray, *, training: bool = False, rng: Randomness | None = None
    ) -> tuple[NDArray, backend.Saved | None]:
        return activate(self.activation, x, **self._settings())

    def backward(
        self, dy: NDArray, cache: backend.Saved | None, *, input_gradient: bool = True
    ) -> tuple[NDArray, Gradients]:
        return activate_backward(dy, cache), {}


class Activation(_ActivationLayer):
    """Any activation by name: ``Activation("gelu")``.

    >>> import numpy as np
    >>> Activation("relu").forward(np.array([[-1.0, 2.0]]))[0]
    array([[0., 2.]])
    """

    prefix = "activation"

    def __init__(self, activation: str, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.activation = known_activation(activation)


class ReLU(_ActivationLayer):
    """max(x, 0)."""

    prefix = "relu"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.activation = "relu"


class LeakyReLU(_ActivationLayer):
    """x for x > 0, negative_slope · x otherwise."""

    prefix = "leaky_relu"

    def __init__(self, negative_slope: float = 0.3, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.negative_slope = negative_slope
        self.activation = "leaky_relu"

    def _settings(self) -> dict[str, Any]:
        return {"negative_slope": self.negative_slope} if self.activation else {}


class GELU(_ActivationLayer):
    """x times the normal distribution function of x; ``approximate=True`` computes it by a hyperbolic tangent.

    >>> import numpy as np
    >>> GELU(approximate=True).forward(np.array([[-1.0, 1.0]]))[0].round(4)
    array([[-0.1588,  0.8412]])
    """

    prefix = "gelu"

    def __init__(self, approximate: bool = False, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.approximate = approximate
        self.activation = "gelu"

    def _settings(self) -> dict[str, Any]:
        return {"approximate": self.approximate} if self.activation else {}


class Softmax(_ActivationLayer):
    """Probabilities that sum to one along the last axis."""

    prefix = "softmax"

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.activation = "softmax"
