"""A warm-up in front of any schedule."""

from __future__ import annotations

from typing import Any

from .base import Horizon, Length, Schedule, in_range, known_length, steps_in


class WarmUp(Schedule):
    """A straight line from ``start`` of the rate up to what ``schedule`` begins with; then ``schedule``, from its beginning.

    The schedule behind sees a training that is shorter by the warm-up: a cosine over the whole training ends with it.

    Source: Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677.

    >>> from pellucid.schedules import Cosine
    >>> schedule = WarmUp(Cosine(0.1), length=20)
    >>> [round(schedule(step, Horizon(100, 10)), 3) for step in (0, 10, 20, 60, 100)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    def __init__(self, schedule: Schedule | dict[str, Any], length: Length, start: float = 0.0) -> None:
        from . import get

        self.schedule, self.length = get(schedule), known_length(length, "length")
        super().__init__(self.schedule.learning_rate)
        self.start = in_range(start, "start", 0, 1)

    def factor(self, step: int, horizon: Horizon | None) -> float:
        length = steps_in(self.length, horizon, "length")
        rest = horizon and Horizon(max(horizon.steps - length, 1), horizon.steps_per_epoch)
        if step < length:
            return (self.start + (1 - self.start) * step / length) * self.schedule.factor(0, rest)
        return self.schedule.factor(step - length, rest)

    def observe(self, row: dict[str, Any]) -> None:
        self.schedule.observe(row)

    def __mul__(self, factor: float) -> Schedule:
        return WarmUp(self.schedule * factor, self.length, self.start)

    def __format__(self, spec: str) -> str:
        return f"{self.schedule:{spec}}" if spec else repr(self)

    def config(self) -> dict[str, Any]:
        return super().config() | {"schedule": self.schedule.config()}
