"""How a network learns, from text or tables: schedules, averages, groups, penalties; and the optimizer they make.

On the command line everything is text: ``cosine``, ``step:every=5 epochs,drop=0.5``, or JSON. In files the same, or tables.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

if TYPE_CHECKING:
    from ..optimizers import Optimizer
    from .sections import OptimizerSection

# NumPy is loaded inside the functions: the help of the command line does without.


def _schedule(value: Any) -> Any:
    """A schedule as a complete table; its learning rate is a setting of its own.

    >>> _schedule("linear:final=0.1")
    {'name': 'linear', 'final': 0.1}
    """
    from .. import schedules

    if isinstance(value, str | dict):
        value = _without_rates(schedules.get(value, 1.0).config())
    return value


def _without_rates(table: dict[str, Any]) -> dict[str, Any]:
    """A schedule's config without learning rates, and without what TOML cannot say: None."""
    kept = {key: value for key, value in table.items() if key != "learning_rate" and value is not None}
    return {key: _without_rates(value) if isinstance(value, dict) else value for key, value in kept.items()}


def _averages(value: Any) -> Any:
    """Averages as a complete table.

    >>> _averages("ema:decay=0.99")
    {'name': 'ema', 'decay': 0.99, 'every': 1, 'growth': 0.0}
    """
    from ..optimizers import averages

    found = averages.get(value) if isinstance(value, str | dict) else None
    return value if found is None else found.config()


def _length(value: Any) -> Any:
    """A number of steps, a part of the training, or epochs.

    >>> _length("500"), _length("0.1"), _length("5 epochs")
    (500, 0.1, '5 epochs')
    """
    from ..errors import PellucidError
    from ..schedules.base import known_length

    if isinstance(value, str):
        for kind in (int, float):
            try:
                value = kind(value)
                break
            except ValueError:
                continue
    try:
        return known_length(value, "it")
    except PellucidError as error:
        raise ValueError(str(error).partition("; ")[2].rstrip(".")) from None


def _groups(value: Any) -> Any:
    from ..optimizers.groups import known_groups

    return known_groups(_table(value)) or {}


def _penalties(value: Any) -> Any:
    from .. import regularizers

    value = _table(value)
    regularizers.get(value)
    return value


def _table(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"wanted JSON on the command line, but {error}") from None


ScheduleTable = Annotated[dict[str, Any], BeforeValidator(_schedule)]
AveragesTable = Annotated[dict[str, Any], BeforeValidator(_averages)]
LengthSetting = Annotated[int | float | str, BeforeValidator(_length)]
GroupTables = Annotated[dict[str, dict[str, Any]], BeforeValidator(_groups)]
PenaltyTables = Annotated[dict[str, dict[str, float]], BeforeValidator(_penalties)]


def make_optimizer(section: OptimizerSection) -> Optimizer:
    """The optimizer that a section describes."""
    from .. import optimizers, schedules

    settings = section.model_dump(exclude_none=True)
    schedule, warmup = settings.pop("schedule", None), settings.pop("warmup", None)
    optimizer = optimizers.get(settings)
    if schedule is not None or warmup is not None:
        rate = schedules.get(schedule or {"name": "constant"}, float(optimizer.learning_rate))
        optimizer.learning_rate = rate if warmup is None else schedules.WarmUp(rate, warmup)
    return optimizer
