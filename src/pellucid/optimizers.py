"""Optimizers: how a gradient changes a parameter.

An optimizer changes parameters in place and keeps what it remembers in ``slots``, a flat dict such as
``"velocity/conv1/kernel"``; together with ``iterations`` that is all a checkpoint needs.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FileFormatError, PellucidError, nearest

Arrays = dict[str, NDArray]


class Optimizer:
    """The base of all optimizers. Settings are the arguments of ``__init__``, stored under their own names."""

    def __init__(self, learning_rate: float) -> None:
        if not isinstance(learning_rate, int | float | np.number) or not 0 < learning_rate < math.inf:
            raise PellucidError(f"The learning rate was {learning_rate!r}; wanted a positive number, for example 0.01.")
        self.learning_rate = learning_rate
        self.iterations: int = 0
        self.slots: Arrays = {}

    def apply(self, params: Arrays, gradients: Arrays) -> None:
        """One step: change every parameter that has a gradient, in place."""
        self.iterations += 1
        for path, gradient in gradients.items():
            self.update(path, params[path], gradient)

    def update(self, path: str, param: NDArray, gradient: NDArray) -> None:
        """Change one parameter in place."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to update a parameter")

    def slot(self, name: str, path: str, param: NDArray) -> NDArray:
        """What this optimizer remembers of a parameter; zeros at first."""
        key = f"{name}/{path}"
        if key not in self.slots:
            self.slots[key] = np.zeros_like(param)
        return self.slots[key]

    def load_slots(self, slots: Arrays, iterations: int) -> None:
        """Continue where another optimizer of the same kind stood; the arrays are copied."""
        self.slots = {path: array.copy() for path, array in slots.items()}
        self.iterations = iterations

    def config(self) -> dict[str, Any]:
        """Name and settings as plain Python types; ``get`` makes the same optimizer of them."""
        settings = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {"name": type(self).__name__.lower(), **settings}

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config().items() if name != "name")
        return f"{type(self).__name__}({settings})"


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant.

        v ← momentum · v - learning_rate · g,      w ← w + v                                    (dialect "keras")
        v ← momentum · v + g,                      w ← w - learning_rate · v                    (dialect "torch")

    and with ``nesterov``: w ← w + momentum · v - learning_rate · g, or w ← w - learning_rate · (g + momentum · v).
    The two dialects are the same as long as the learning rate stays the same.

    Source: Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013.

    >>> w = {"w": np.array([1.0])}
    >>> SGD(0.1).apply(w, {"w": np.array([2.0])})
    >>> w["w"]
    array([0.8])
    """

    def __init__(
        self, learning_rate: float = 0.01, momentum: float = 0.0, nesterov: bool = False, dialect: str = "keras"
    ) -> None:
        super().__init__(learning_rate)
        if not 0 <= momentum < 1:
            raise PellucidError(f"SGD got momentum={momentum}; wanted a number from 0 up to, but not, 1.")
        self.momentum, self.nesterov, self.dialect = momentum, nesterov, _known_dialect(dialect)

    def update(self, path: str, param: NDArray, gradient: NDArray) -> None:
        if not self.momentum:
            param -= self.learning_rate * gradient
            return
        v = self.slot("velocity", path, param)
        v *= self.momentum
        if self.dialect == "torch":
            v += gradient
            param -= self.learning_rate * (gradient + self.momentum * v if self.nesterov else v)
        else:
            v -= self.learning_rate * gradient
            param += self.momentum * v - self.learning_rate * gradient if self.nesterov else v


class Adam(Optimizer):
    """Adaptive moments: every weight's step is its mean gradient divided by the root of its mean squared gradient.

        m ← β₁ m + (1 - β₁) g,      v ← β₂ v + (1 - β₂) g²
        w ← w - α √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)                     (dialect "keras")
        w ← w - α / (1 - β₁ᵗ) · m / (√(v / (1 - β₂ᵗ)) + ε)                  (dialect "torch", whose default ε is 1e-8)

    Source: Kingma, Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980.

    >>> w = {"w": np.array([1.0])}
    >>> Adam(0.1).apply(w, {"w": np.array([2.0])})
    >>> w["w"].round(5)                                       # the first step has the length of the learning rate
    array([0.9])
    """

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        dialect: str = "keras",
    ) -> None:
        super().__init__(learning_rate)
        if not (0 <= beta_1 < 1 and 0 <= beta_2 < 1):
            raise PellucidError(
                f"Adam got beta_1={beta_1} and beta_2={beta_2}; wanted numbers from 0 up to, but not, 1."
            )
        self.beta_1, self.beta_2, self.epsilon, self.dialect = beta_1, beta_2, epsilon, _known_dialect(dialect)

    def update(self, path: str, param: NDArray, gradient: NDArray) -> None:
        m, v = self.slot("mean", path, param), self.slot("square", path, param)
        m += (1 - self.beta_1) * (gradient - m)
        v += (1 - self.beta_2) * (gradient * gradient - v)
        first, second = 1 - self.beta_1**self.iterations, math.sqrt(1 - self.beta_2**self.iterations)
        if self.dialect == "torch":
            param -= self.learning_rate / first * m / (np.sqrt(v) / second + self.epsilon)
        else:
            param -= self.learning_rate * second / first * m / (np.sqrt(v) + self.epsilon)


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam}


def get(optimizer: str | Optimizer | dict[str, Any], **settings: Any) -> Optimizer:
    """An optimizer by name, by config, or itself. Settings that are None are left at their defaults.

    >>> get("sgd", learning_rate=0.05)
    SGD(learning_rate=0.05, momentum=0.0, nesterov=False, dialect='keras')
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, dict):
        settings = {k: v for k, v in optimizer.items() if k != "name"} | settings
        optimizer = str(optimizer.get("name"))
    if not isinstance(optimizer, str) or optimizer.lower() not in OPTIMIZERS:
        raise PellucidError(f"There is no optimizer {optimizer!r}. {nearest(str(optimizer), OPTIMIZERS)}")
    try:
        return OPTIMIZERS[optimizer.lower()](**{k: v for k, v in settings.items() if v is not None})
    except TypeError as error:
        raise FileFormatError(f"The settings of optimizer {optimizer!r} do not fit: {error}.") from error


def _known_dialect(dialect: str) -> str:
    if dialect not in ("keras", "torch"):
        raise PellucidError(f"dialect was {dialect!r}; wanted 'keras' or 'torch'.")
    return dialect
