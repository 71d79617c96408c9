"""Adaptive moments."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..errors import PellucidError
from ..ops.steps import Steps
from ..schedules import Schedule
from .base import Lists, Optimizer, known_dialect


class Adam(Optimizer):
    """Adaptive moments: every weight's step is its mean gradient divided by the root of its mean squared gradient.

        m ← β₁ m + (1 - β₁) g,      v ← β₂ v + (1 - β₂) g²
        w ← w - α √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)                     (dialect "keras")
        w ← w - α / (1 - β₁ᵗ) · m / (√(v / (1 - β₂ᵗ)) + ε)                  (dialect "torch", whose default ε is 1e-8)

    ``shared`` are the settings of every ``Optimizer``.

    Source: Kingma, Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980.

    >>> import numpy as np
    >>> w = {"w": np.array([1.0])}
    >>> Adam(0.1).apply(w, {"w": np.array([2.0])})
    >>> w["w"].round(5)                                       # the first step has the length of the learning rate
    array([0.9])
    """

    slot_names = ("mean", "square")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        dialect: str = "keras",
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        if not (0 <= beta_1 < 1 and 0 <= beta_2 < 1):
            raise PellucidError(
                f"Adam got beta_1={beta_1} and beta_2={beta_2}; wanted numbers from 0 up to, but not, 1."
            )
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.epsilon, self.dialect = epsilon, known_dialect(dialect)

    def update(self, paths: list[str], params: Lists, gradients: Lists, slots: list[Lists], steps: Steps) -> None:
        settings = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon, "dialect": self.dialect}
        backend.update("adam", params, gradients, *slots, steps, time=self.updates, **settings)


class AdamW(Adam):
    """Adam with weight decay decoupled from the gradient: w ← w - rate · weight_decay · w beside every step.

    The defaults are Keras's; PyTorch's weight decay is 0.01. ``shared`` are the settings of every ``Optimizer``.

    Source: Loshchilov, Hutter, "Decoupled weight decay regularization", arXiv:1711.05101.

    >>> import numpy as np
    >>> w = {"w": np.array([1.0])}
    >>> AdamW(0.1, weight_decay=0.5).apply(w, {"w": np.array([0.0])})
    >>> w["w"]
    array([0.95])
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        dialect: str = "keras",
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, dialect, weight_decay=weight_decay, **shared)

    @property
    def decouples(self) -> bool:
        return True
