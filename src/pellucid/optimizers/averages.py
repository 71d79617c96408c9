"""Averages of the weights over the last steps: often better than the weights themselves, which still jump about.

    SGD(0.1, averages=EMA(0.999))

A model that is trained so is evaluated, asked and saved with its averages, while training goes on with the weights. Moving
statistics of batch normalisation are averaged like weights: those of the one weights do not suit the other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError, nearest
from ..schedules import parse
from ..schedules.base import in_range, made

Arrays = dict[str, NDArray]
SLOT = "average"  # averages lie among the optimizer's slots: "average/conv1/kernel"


class Average:
    """The base of averages: a ← a + (1 - d) · (w - a) every ``every`` steps.

    d is ``decay`` · p^``growth``, where p is the part of the training that is done: with growth it follows quickly at first.
    """

    def __init__(self, decay: float, every: int, growth: float) -> None:
        self.decay, self.growth = in_range(decay, "decay", 0, 1, open_end=True), in_range(growth, "growth", 0, 100)
        if not isinstance(every, int) or every < 1:
            raise PellucidError(f"every was {every!r}; wanted a number of steps, at least 1.")
        self.every = every

    def begin(self, slots: Arrays, arrays: Arrays) -> None:
        """Before every step, ``arrays`` being all weights and statistics by path."""

    def follow(self, slots: Arrays, arrays: Arrays, updates: int, done: float) -> None:
        """After every step; ``done`` is the part of the training."""
        if updates % self.every == 0:
            decay = self.decay * done**self.growth if self.growth else self.decay
            averages = [_slot(slots, path, array) for path, array in arrays.items()]
            backend.update("average", averages, list(arrays.values()), 1 - decay)

    def config(self) -> dict[str, Any]:
        """Name and settings as plain Python types."""
        settings = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {"name": type(self).__name__.lower(), **settings}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Average) and self.config() == other.config()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.config().items() if name != "name")
        return f"{type(self).__name__}({settings})"


class EMA(Average):
    """Exponential moving average: a ← d · a + (1 - d) · w after every ``every`` steps, beginning as a copy of the weights.

    Source: Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992; Tarvainen, Valpola, "Mean
    teachers are better role models", arXiv:1703.01780.
    """

    def __init__(self, decay: float = 0.999, every: int = 1, growth: float = 0.0) -> None:
        super().__init__(decay, every, growth)


class Lookahead(Average):
    """Slow weights follow the weights every ``every`` steps, and the weights go on from there: a ← d · a + (1 - d) · w, w ← a.

    1 - decay is what the paper calls the slow weights' step size α.

    Source: Zhang, Lucas, Hinton, Ba, "Lookahead optimizer: k steps forward, 1 step back", arXiv:1907.08610. With ``growth=3`` and
    ``decay=0.95**5`` as in Keller Jordan's airbench, arXiv:2404.00498.
    """

    def __init__(self, decay: float = 0.5, every: int = 5, growth: float = 0.0) -> None:
        super().__init__(decay, every, growth)

    def begin(self, slots: Arrays, arrays: Arrays) -> None:
        for path, array in arrays.items():
            _slot(slots, path, array)

    def follow(self, slots: Arrays, arrays: Arrays, updates: int, done: float) -> None:
        super().follow(slots, arrays, updates, done)
        if updates % self.every == 0:
            for path, array in arrays.items():
                np.copyto(array, slots[f"{SLOT}/{path}"])


def _slot(slots: Arrays, path: str, array: NDArray) -> NDArray:
    key = f"{SLOT}/{path}"
    if key not in slots:
        slots[key] = array.copy()
    return slots[key]


AVERAGES: dict[str, Callable[..., Average]] = {"ema": EMA, "lookahead": Lookahead}


def get(averages: Any) -> Average | None:
    """Averages by name, by name with settings, by config, themselves, or None.

    >>> get("ema:decay=0.99,every=5")
    EMA(decay=0.99, every=5, growth=0.0)
    """
    if averages is None or isinstance(averages, Average):
        return averages
    if not isinstance(averages, str | dict):
        raise PellucidError(f"averages was {averages!r}; wanted EMA(…), Lookahead(…), or a name such as 'ema'.")
    settings = parse(averages) if isinstance(averages, str) else dict(averages)
    name = settings.pop("name", None)
    if name not in AVERAGES:
        raise PellucidError(f"There are no averages {name!r}. {nearest(str(name), AVERAGES)}")
    return made(AVERAGES[name], settings, f"averages {name!r}")
