"""Parameter groups: settings for those parameters whose path fits a pattern.

    SGD(0.1, weight_decay=5e-4, groups={"*/bias": {"rate_multiplier": 64, "weight_decay": 0}})

Patterns are those of file names, see ``pellucid.patterns``. Where several patterns fit a parameter the later ones have the last
word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import PellucidError, nearest
from ..patterns import matching
from ..schedules import Horizon, Length
from ..schedules.base import known_length, steps_in


@dataclass(frozen=True)
class Group:
    """The settings of a group."""

    rate_multiplier: float = 1.0
    """What the learning rate is multiplied by; 0 leaves the parameters as they are."""
    weight_decay: float | None = None
    """In place of the optimizer's; None is the optimizer's."""
    until: Length | None = None
    """How long they are trained: so many steps, a part of the training, or epochs; afterwards they stay as they are."""

    def __post_init__(self) -> None:
        for name in ("rate_multiplier", "weight_decay"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
            if not (number or (value is None and name == "weight_decay")):
                raise PellucidError(f"{name} of a group was {value!r}; wanted a number of at least 0.")
        if self.until is not None:
            known_length(self.until, "until")

    def lasts(self, step: int, horizon: Horizon | None) -> bool:
        """Whether the parameters are trained in this step."""
        if self.until is None:
            return self.rate_multiplier > 0
        return self.rate_multiplier > 0 and step < steps_in(self.until, horizon, "until")


def known_groups(groups: Any) -> dict[str, dict[str, Any]] | None:
    """``groups`` if it is a table of known settings by pattern, else an error."""
    if groups is None:
        return None
    if not isinstance(groups, dict):
        raise PellucidError(
            f'groups was {groups!r}; wanted settings by pattern, such as {{"*/bias": {{"weight_decay": 0}}}}.'
        )
    known = [field.name for field in fields(Group)]
    for pattern, settings in groups.items():
        if not isinstance(settings, dict):
            raise PellucidError(f"The group {pattern!r} was {settings!r}; wanted a table of {', '.join(known)}.")
        for name in settings.keys() - known:
            raise PellucidError(f"The group {pattern!r} has no setting {name!r}. {nearest(name, known)}")
        Group(**settings)
    return {str(pattern): dict(settings) for pattern, settings in groups.items()} or None


def resolve(groups: dict[str, dict[str, Any]], paths: Iterable[str]) -> dict[str, Group]:
    """The group of every parameter.

    >>> found = resolve({"*/bias": {"rate_multiplier": 2}, "dense*": {"weight_decay": 0}}, ["conv1/bias", "dense1/bias"])
    >>> found["dense1/bias"]
    Group(rate_multiplier=2, weight_decay=0, until=None)
    >>> resolve({"conv2/*": {"weight_decay": 0}}, ["conv1/bias", "dense1/bias"])
    Traceback (most recent call last):
    pellucid.errors.PellucidError: The pattern 'conv2/*' fits no parameter. The parameters are conv1/bias, dense1/bias.
    """
    resolved = {path: Group() for path in paths}
    for pattern, settings in groups.items():
        for path in matching(pattern, resolved):
            resolved[path] = replace(resolved[path], **settings)
    return resolved
