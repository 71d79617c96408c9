"""Steps divided by the root of the mean squared gradient."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .. import backend
from ..ops.steps import Steps
from ..schedules import Schedule
from .base import Lists, Optimizer, fraction, known_dialect


class RMSprop(Optimizer):
    """Every weight's step is its gradient divided by the root of its mean squared gradient.

        s ← ρ s + (1 - ρ) g²,      u = α g / √(s + ε),      v ← momentum · v + u,      w ← w - v      (dialect "keras")
        s ← ρ s + (1 - ρ) g²,      u = g / (√s + ε),        v ← momentum · v + u,      w ← w - α v    (dialect "torch")

    where without momentum v is u. ``centered`` takes the variance s - m² with m ← ρ m + (1 - ρ) g for s. PyTorch's defaults are
    α = 0.01, ρ = 0.99, ε = 1e-8. ``shared`` are the settings of every ``Optimizer``.

    Source: Tieleman, Hinton, "Lecture 6.5: rmsprop", Coursera, 2012; centered: Graves, arXiv:1308.0850.

    >>> import numpy as np
    >>> w = {"w": np.array([1.0])}
    >>> RMSprop(0.01, rho=0.75).apply(w, {"w": np.array([5.0])})
    >>> w["w"]
    array([0.98])
    """

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        dialect: str = "keras",
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, **shared)
        self.rho, self.momentum = fraction(rho, "rho", "RMSprop"), fraction(momentum, "momentum", "RMSprop")
        self.epsilon, self.centered, self.dialect = epsilon, centered, known_dialect(dialect)
        self.slot_names = ("square", *["mean"] * bool(centered), *["velocity"] * bool(momentum))

    def update(self, paths: list[str], params: Lists, gradients: Lists, slots: list[Lists], steps: Steps) -> None:
        by_name: dict[str, list[NDArray]] = dict(zip(self.slot_names, slots, strict=True))
        lists = by_name["square"], by_name.get("mean", []), by_name.get("velocity", [])
        settings = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon, "dialect": self.dialect}
        backend.update("rmsprop", params, gradients, *lists, steps, **settings)
