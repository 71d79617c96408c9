"""Stochastic gradient descent."""

from __future__ import annotations

from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError
from ..ops.update import Steps
from .base import Optimizer, known_dialect


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant.

        v ← momentum · v - learning_rate · g,      w ← w + v                                    (dialect "keras")
        v ← momentum · v + g,                      w ← w - learning_rate · v                    (dialect "torch")

    and with ``nesterov``: w ← w + momentum · v - learning_rate · g, or w ← w - learning_rate · (g + momentum · v).
    The two dialects are the same as long as the learning rate stays the same.

    Source: Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013.

    >>> import numpy as np
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
        self.momentum, self.nesterov, self.dialect = momentum, nesterov, known_dialect(dialect)

        self.slot_names = ("velocity",) if momentum else ()

    def update(self, params: list[NDArray], gradients: list[NDArray], slots: list[list[NDArray]], steps: Steps) -> None:
        if not self.momentum:
            return backend.update("sgd", params, gradients, steps)
        settings = {"momentum": self.momentum, "nesterov": self.nesterov, "dialect": self.dialect}
        backend.update("momentum", params, gradients, *slots, steps, **settings)
