"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..ops.steps import Steps
from ..schedules import Schedule
from .base import Lists, Optimizer, fraction, known_dialect


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's variant.

        v ← momentum · v - learning_rate · g,      w ← w + v                                    (dialect "keras")
        v ← momentum · v + g,                      w ← w - learning_rate · v                    (dialect "torch")

    and with ``nesterov``: w ← w + momentum · v - learning_rate · g, or w ← w - learning_rate · (g + momentum · v).
    The two dialects are the same as long as the learning rate stays the same. ``shared`` are the settings of every
    ``Optimizer``.

    Source: Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning", ICML 2013.

    >>> import numpy as np
    >>> w = {"w": np.array([1.0])}
    >>> SGD(0.1).apply(w, {"w": np.array([2.0])})
    >>> w["w"]
    array([0.8])
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        dialect: str = "keras",
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.momentum, self.nesterov = fraction(momentum, "momentum", "SGD"), nesterov
        self.dialect = known_dialect(dialect)
        self.slot_names = ("velocity",) if momentum else ()

    def update(self, paths: list[str], params: Lists, gradients: Lists, slots: list[Lists], steps: Steps) -> None:
        if not self.momentum:
            return backend.update("sgd", params, gradients, steps)
        settings = {"momentum": self.momentum, "nesterov": self.nesterov, "dialect": self.dialect}
        return backend.update("momentum", params, gradients, *slots, steps, **settings)
