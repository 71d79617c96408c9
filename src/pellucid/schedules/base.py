"""What all schedules share: settings, and how lengths are given."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..errors import FileFormatError, PellucidError, nearest

T = TypeVar("T")

Length = int | float | str
"""A number of steps, 500; a part of the training, 0.1; or so many epochs, "5 epochs"."""


class Horizon(NamedTuple):
    """How long a training is: what schedules need to know for lengths that are not given in steps."""

    steps: int
    steps_per_epoch: int


class Schedule:
    """The base of all schedules: a learning rate as a pure function of the step.

    ``schedule(step, horizon)`` is the rate of a step, counted from 0. A step is a batch. ``horizon`` is how long the training
    is; ``fit`` gives it, and schedules whose lengths are all in steps do without. Because nothing but the step matters, an
    interrupted training goes on exactly.

    A new schedule overrides ``factor``. Settings are the arguments of ``__init__``, stored under their own names.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = positive_rate(learning_rate)

    def __call__(self, step: int, horizon: Horizon | None = None) -> float:
        return self.learning_rate * self.factor(step, horizon)

    def factor(self, step: int, horizon: Horizon | None) -> float:
        """The part of ``learning_rate`` that a step has."""
        raise NotImplementedError(f"{type(self).__name__} does not say how the learning rate changes")

    def observe(self, row: dict[str, Any]) -> None:
        """Hear how an epoch went; only schedules that depend on it do anything."""

    def __mul__(self, factor: float) -> Schedule:
        """The same schedule with a larger or smaller rate; what it remembers stays.

        >>> from pellucid.schedules import Linear
        >>> Linear(0.1, final=0.5) * 2
        Linear(learning_rate=0.2, final=0.5)
        """
        settings = self.config() | {"learning_rate": self.learning_rate * factor}
        return type(self)(**{name: value for name, value in settings.items() if name != "name"})

    def __float__(self) -> float:
        """The learning rate that the schedule varies."""
        return float(self.learning_rate)

    def __format__(self, spec: str) -> str:
        return f"{self.learning_rate:{spec}} ({name_of(type(self))})" if spec else repr(self)

    def config(self) -> dict[str, Any]:
        """Name and settings as plain Python types; ``schedules.get`` makes the same schedule of them."""
        settings = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {"name": name_of(type(self)), **settings}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self.config() == other.config()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        parameters = inspect.signature(type(self)).parameters.values()
        shown = [f"{p.name}={getattr(self, p.name)!r}" for p in parameters if getattr(self, p.name) != p.default]
        return f"{type(self).__name__}({', '.join(shown)})"


def name_of(kind: type[Schedule]) -> str:
    """``CosineRestarts`` is "cosine_restarts" in files."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def positive_rate(rate: Any) -> float:
    """A learning rate, or an error."""
    number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
    if not number or not 0 < rate < math.inf:
        raise PellucidError(f"The learning rate was {rate!r}; wanted a positive number, for example 0.01.")
    return rate


def in_range(value: Any, name: str, low: float, high: float, *, open_end: bool = False) -> float:
    """A number from ``low`` to ``high``, or an error that names the setting."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not (low <= value < high if open_end else low <= value <= high):
        end = "up to, but not," if open_end else "to"
        wanted = f"a number from {low:g} {end} {high:g}" if high < math.inf else f"a number of at least {low:g}"
        raise PellucidError(f"{name} was {value!r}; wanted {wanted}.")
    return value


def made(kind: Callable[..., T], settings: dict[str, Any], what: str) -> T:
    """``kind(**settings)``, or an error that names the setting that is unknown or missing."""
    parameters = inspect.signature(kind).parameters
    for name in settings:
        if name not in parameters:
            raise FileFormatError(f"The settings of {what} do not fit: it has no {name!r}. {nearest(name, parameters)}")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in settings:
            raise FileFormatError(f"The settings of {what} do not fit: it needs {name!r}, which is missing.")
    return kind(**settings)


# Lengths -------------------------------------------------------------------------------------------------------------


def known_length(length: Any, name: str) -> Length:
    """``length`` if it is one, else an error that names the setting."""
    if isinstance(length, str) and _epochs(length) is not None:
        return length
    whole = isinstance(length, int | np.integer) and not isinstance(length, bool) and length >= 0
    if whole or (isinstance(length, float) and 0 <= length <= 1):
        return length
    raise PellucidError(
        f"{name} was {length!r}; wanted a number of steps such as 500, a part of the training such as 0.1, "
        'or epochs such as "5 epochs".'
    )


def steps_in(length: Length, horizon: Horizon | None, name: str) -> int:
    """How many whole steps a length is.

    >>> horizon = Horizon(steps=1000, steps_per_epoch=50)
    >>> [steps_in(length, horizon, "warm-up") for length in (30, 0.25, "1.5 epochs")]
    [30, 250, 75]
    """
    if isinstance(length, int | np.integer):
        return int(length)
    if horizon is None:
        raise PellucidError(
            f"{name} is {length!r}, but nobody knows how long the training is. Train with fit, or give a number of steps."
        )
    if isinstance(length, str):
        return round((_epochs(length) or 0.0) * horizon.steps_per_epoch)
    return round(length * horizon.steps)


def all_steps(steps: Length | None, horizon: Horizon | None, name: str) -> int:
    """As ``steps_in``; None is the whole training. At least 1."""
    if steps is not None:
        return max(steps_in(steps, horizon, name), 1)
    if horizon is None:
        raise PellucidError(
            f"{name} was left out, which means the whole training, but nobody knows how long that is. "
            "Train with fit, or give a number of steps."
        )
    return max(horizon.steps, 1)


def _epochs(text: str) -> float | None:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*epochs?\s*", text)
    return float(match[1]) if match else None
