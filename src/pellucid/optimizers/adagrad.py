"""Steps divided by the root of the sum of all squared gradients."""

from __future__ import annotations

from typing import Any

from .. import backend
from ..errors import PellucidError
from ..ops.steps import Steps
from ..schedules import Schedule
from .base import Lists, Optimizer, known_dialect


class Adagrad(Optimizer):
    """Every weight's step is its gradient divided by the root of the sum of all its squared gradients so far.

        s ← s + g²,      w ← w - α g / √(s + ε)                              (dialect "keras")
        s ← s + g²,      w ← w - α g / (√s + ε)                              (dialect "torch")

    s begins at ``initial_accumulator_value``. PyTorch's defaults are α = 0.01, ε = 1e-10, and a sum that begins at 0. ``shared``
    are the settings of every ``Optimizer``.

    Source: Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", JMLR 12 (2011).

    >>> import numpy as np
    >>> w = {"w": np.array([1.0])}
    >>> Adagrad(0.5, initial_accumulator_value=9).apply(w, {"w": np.array([4.0])})
    >>> w["w"].round(3)
    array([0.6])
    """

    slot_names = ("sum",)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        dialect: str = "keras",
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        if not initial_accumulator_value >= 0:
            raise PellucidError(
                f"Adagrad got initial_accumulator_value={initial_accumulator_value}; wanted a number of at least 0."
            )
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon
        self.dialect = known_dialect(dialect)

    def first_value(self, name: str) -> float:
        return self.initial_accumulator_value if name == "sum" else 0.0

    def update(self, paths: list[str], params: Lists, gradients: Lists, slots: list[Lists], steps: Steps) -> None:
        backend.update("adagrad", params, gradients, *slots, steps, epsilon=self.epsilon, dialect=self.dialect)
