"""What all optimizers share: settings, what is remembered, and the step from gradients to changed parameters."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..ops.update import Steps

Arrays = dict[str, NDArray]


class Optimizer:
    """The base of all optimizers. Settings are the arguments of ``__init__``, stored under their own names.

    An optimizer changes parameters in place and keeps what it remembers in ``slots``, a flat dict such as
    ``"velocity/conv1/kernel"``; together with ``iterations`` that is all a checkpoint needs.

    A new optimizer names its slots in ``slot_names`` and overrides ``update``.
    """

    slot_names: tuple[str, ...] = ()

    def __init__(self, learning_rate: float) -> None:
        if not isinstance(learning_rate, int | float | np.number) or not 0 < learning_rate < math.inf:
            raise PellucidError(f"The learning rate was {learning_rate!r}; wanted a positive number, for example 0.01.")
        self.learning_rate = learning_rate
        self.iterations: int = 0
        self.slots: Arrays = {}

    def apply(self, params: Arrays, gradients: Arrays) -> None:
        """One step: change every parameter that has a gradient, in place."""
        self.iterations += 1
        changed = [params[path] for path in gradients]
        slots = [[self.slot(name, path, params[path]) for path in gradients] for name in self.slot_names]
        self.update(changed, list(gradients.values()), slots, Steps.plain(float(self.learning_rate), len(changed)))

    def update(self, params: list[NDArray], gradients: list[NDArray], slots: list[list[NDArray]], steps: Steps) -> None:
        """Change parameters in place; ``slots`` has a list for each of ``slot_names``, all in the order of the parameters."""
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


def known_dialect(dialect: str) -> str:
    """``dialect``, or an error."""
    if dialect not in ("keras", "torch"):
        raise PellucidError(f"dialect was {dialect!r}; wanted 'keras' or 'torch'.")
    return dialect
