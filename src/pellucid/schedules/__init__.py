"""Schedules: how the learning rate changes while a network is trained.

A schedule stands where a learning rate stands: ``SGD(Cosine(0.1))``, ``Adam(WarmUp(Linear(0.001), "1 epoch"))``. Lengths are
steps (500), parts of the training (0.1) or epochs ("5 epochs"); what is called ``final`` or ``start`` is a part of the rate.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import PellucidError, nearest
from .base import Horizon, Length, Schedule, made, name_of, positive_rate
from .curves import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Linear,
    MultiStep,
    OneCycle,
    Piecewise,
    Polynomial,
    Step,
)
from .plateau import Plateau
from .warmup import WarmUp

SCHEDULES: dict[str, type[Schedule]] = {
    name_of(kind): kind
    for kind in (
        Constant,
        Step,
        MultiStep,
        Exponential,
        Polynomial,
        Linear,
        Cosine,
        CosineRestarts,
        OneCycle,
        Piecewise,
        Plateau,
        WarmUp,
    )
}


def get(schedule: str | dict[str, Any] | Schedule, learning_rate: float | None = None) -> Schedule:
    """A schedule by name, by name with settings, by config, or itself; ``learning_rate`` if the config has none.

    >>> get("cosine", 0.1)
    Cosine(learning_rate=0.1)
    >>> get("step:every=5 epochs,drop=0.5", 0.1)
    Step(learning_rate=0.1, every='5 epochs', drop=0.5)
    >>> get("cosin", 0.1)
    Traceback (most recent call last):
    pellucid.errors.PellucidError: There is no schedule 'cosin'. Did you mean 'cosine'? Known: constant, step, ...
    """
    if isinstance(schedule, Schedule):
        return schedule
    settings = parse(schedule) if isinstance(schedule, str) else dict(schedule)
    name = settings.pop("name", None)
    if not isinstance(name, str) or name not in SCHEDULES:
        raise PellucidError(
            f"There is no schedule {name!r}. {nearest(name if isinstance(name, str) else '', SCHEDULES)}"
        )
    if learning_rate is not None:
        if name == "warm_up":
            settings["schedule"] = get(settings.get("schedule", "constant"), learning_rate)
        else:
            settings.setdefault("learning_rate", learning_rate)
    return made(SCHEDULES[name], settings, f"schedule {name!r}")


def parse(text: str) -> dict[str, Any]:
    """A schedule as a table, from ``name``, ``name:setting=value,setting=value`` or JSON.

    >>> parse("one_cycle:peak=0.4,shape=linear")
    {'name': 'one_cycle', 'peak': 0.4, 'shape': 'linear'}
    >>> parse('{"name": "piecewise", "points": [[0, 0.2], [1.0, 0.1]]}')
    {'name': 'piecewise', 'points': [[0, 0.2], [1.0, 0.1]]}
    """
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise PellucidError(f"The schedule {text!r:.100} is not JSON: {error}.") from None
    name, _, rest = text.partition(":")
    table: dict[str, Any] = {"name": name.strip().lower().replace("-", "_")}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise PellucidError(
                f"The schedule {text!r} has {part!r}; wanted setting=value, as in 'step:every=5 epochs,drop=0.5'."
            )
        table[key.strip()] = _value(value.strip())
    return table


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


__all__ = [
    "SCHEDULES",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "Horizon",
    "Length",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Piecewise",
    "Plateau",
    "Polynomial",
    "Schedule",
    "Step",
    "WarmUp",
    "get",
    "parse",
    "positive_rate",
]
