"""Schedules that are curves: the rate follows from the step alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..errors import PellucidError
from .base import Horizon, Length, Schedule, all_steps, in_range, known_length, steps_in


class Constant(Schedule):
    """The same rate all the time; with ``WarmUp`` in front, rising to it.

    >>> Constant(0.1)(1000)
    0.1
    """

    def factor(self, step: int, horizon: Horizon | None) -> float:
        return 1.0


class Step(Schedule):
    """The rate is multiplied by ``drop`` after every ``every`` steps: rate · drop^⌊t / every⌋. PyTorch's StepLR.

    >>> schedule = Step(0.1, every=30, drop=0.5)
    >>> schedule(29), schedule(30), schedule(60)
    (0.1, 0.05, 0.025)
    """

    def __init__(self, learning_rate: float, every: Length, drop: float = 0.1) -> None:
        super().__init__(learning_rate)
        self.every, self.drop = known_length(every, "every"), in_range(drop, "drop", 0, math.inf)
        if every == 0:
            raise PellucidError("Step got every=0; wanted at least one step.")

    def factor(self, step: int, horizon: Horizon | None) -> float:
        return self.drop ** (step // max(steps_in(self.every, horizon, "every"), 1))


class MultiStep(Schedule):
    """The rate is multiplied by ``drop`` at every milestone. PyTorch's MultiStepLR.

    >>> schedule = MultiStep(0.1, milestones=[30, "8 epochs"], drop=0.5)
    >>> [schedule(step, Horizon(1000, 10)) for step in (29, 30, 79, 80)]
    [0.1, 0.05, 0.05, 0.025]
    """

    def __init__(self, learning_rate: float, milestones: Sequence[Length], drop: float = 0.1) -> None:
        super().__init__(learning_rate)
        if isinstance(milestones, str) or not isinstance(milestones, Sequence):
            raise PellucidError(f"milestones were {milestones!r}; wanted a list such as [0.5, 0.75].")
        self.milestones = [known_length(place, "a milestone") for place in milestones]
        self.drop = in_range(drop, "drop", 0, math.inf)

    def factor(self, step: int, horizon: Horizon | None) -> float:
        return self.drop ** sum(step >= steps_in(place, horizon, "a milestone") for place in self.milestones)


class Exponential(Schedule):
    """The rate shrinks by ``drop`` in every ``every`` steps, smoothly: rate · drop^(t / every).

    With ``every=1`` PyTorch's ExponentialLR, otherwise Keras's ExponentialDecay.

    >>> round(Exponential(0.1, drop=0.5, every=100)(50), 4)
    0.0707
    """

    def __init__(self, learning_rate: float, drop: float, every: Length = 1) -> None:
        super().__init__(learning_rate)
        self.drop, self.every = in_range(drop, "drop", 0, math.inf), known_length(every, "every")
        if every == 0:
            raise PellucidError("Exponential got every=0; wanted at least one step.")

    def factor(self, step: int, horizon: Horizon | None) -> float:
        return self.drop ** (step / max(steps_in(self.every, horizon, "every"), 1))


class Polynomial(Schedule):
    """From the rate down to ``final`` of it: (1 - final) · (1 - t / steps)^power + final. ``steps=None`` is the whole training.

    PyTorch's PolynomialLR (``final=0``), Keras's PolynomialDecay.

    >>> Polynomial(0.1, steps=100, power=2)(50)
    0.025
    """

    def __init__(
        self, learning_rate: float, steps: Length | None = None, power: float = 1.0, final: float = 0.0
    ) -> None:
        super().__init__(learning_rate)
        self.steps = None if steps is None else known_length(steps, "steps")
        self.power, self.final = in_range(power, "power", 0, math.inf), in_range(final, "final", 0, math.inf)

    def factor(self, step: int, horizon: Horizon | None) -> float:
        done = min(step / all_steps(self.steps, horizon, "steps"), 1.0)
        return (1 - self.final) * (1 - done) ** self.power + self.final


class Linear(Schedule):
    """From the rate to ``final`` of it in a straight line, over ``steps``, or over the whole training. PyTorch's LinearLR.

    >>> schedule = Linear(0.1, steps=100, final=0.2)
    >>> [round(schedule(step), 3) for step in (0, 50, 100, 150)]
    [0.1, 0.06, 0.02, 0.02]
    """

    def __init__(self, learning_rate: float, steps: Length | None = None, final: float = 0.0) -> None:
        super().__init__(learning_rate)
        self.steps = None if steps is None else known_length(steps, "steps")
        self.final = in_range(final, "final", 0, math.inf)

    def factor(self, step: int, horizon: Horizon | None) -> float:
        done = min(step / all_steps(self.steps, horizon, "steps"), 1.0)
        return 1 + (self.final - 1) * done


class Cosine(Schedule):
    """Down to ``final`` of the rate along half a cosine, over ``steps``, or over the whole training.

    Within ``steps`` PyTorch's CosineAnnealingLR and Keras's CosineDecay; afterwards it stays at the end, as in Keras.

    Source: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", arXiv:1608.03983.

    >>> schedule = Cosine(0.1)
    >>> [round(schedule(step, Horizon(100, 10)), 3) for step in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """

    def __init__(self, learning_rate: float, steps: Length | None = None, final: float = 0.0) -> None:
        super().__init__(learning_rate)
        self.steps = None if steps is None else known_length(steps, "steps")
        self.final = in_range(final, "final", 0, math.inf)

    def factor(self, step: int, horizon: Horizon | None) -> float:
        return _half_wave(1.0, self.final, min(step / all_steps(self.steps, horizon, "steps"), 1.0))


class CosineRestarts(Schedule):
    """Half a cosine of ``first`` steps, then again from the top, each ``growth`` times as long and ``shrink`` times as high.

    Keras's CosineDecayRestarts; with ``growth=1`` and ``shrink=1`` PyTorch's CosineAnnealingWarmRestarts.

    Source: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", arXiv:1608.03983.

    >>> schedule = CosineRestarts(0.1, first=10)
    >>> [round(schedule(step), 3) for step in (0, 5, 10, 20, 30)]
    [0.1, 0.05, 0.1, 0.05, 0.1]
    """

    def __init__(
        self, learning_rate: float, first: Length, growth: float = 2.0, shrink: float = 1.0, final: float = 0.0
    ) -> None:
        super().__init__(learning_rate)
        self.first, self.growth = known_length(first, "first"), in_range(growth, "growth", 1, math.inf)
        self.shrink, self.final = in_range(shrink, "shrink", 0, 1), in_range(final, "final", 0, math.inf)

    def factor(self, step: int, horizon: Horizon | None) -> float:
        length, height, at = float(max(steps_in(self.first, horizon, "first"), 1)), 1.0, float(step)
        if self.growth == 1:
            height, at = self.shrink ** (at // length), at % length
        while at >= length:
            at, length, height = at - length, length * self.growth, height * self.shrink
        return (1 - self.final) * height * _half_wave(1.0, 0.0, at / length) + self.final


class OneCycle(Schedule):
    """Up to the rate in the first ``peak`` of the training, and down to almost nothing in the rest. PyTorch's OneCycleLR.

    ``start`` and ``final`` are parts of the rate; ``shape`` is "cosine" or "linear". The momentum stays as it is.

    Source: Smith, Topin, "Super-convergence: very fast training of neural networks using large learning rates",
    arXiv:1708.07120.

    >>> schedule = OneCycle(0.1, steps=101, peak=0.5)
    >>> [round(schedule(step), 4) for step in (0, 50, 100)]
    [0.004, 0.1, 0.0]
    """

    def __init__(
        self,
        learning_rate: float,
        steps: Length | None = None,
        peak: float = 0.3,
        start: float = 0.04,
        final: float = 4e-6,
        shape: str = "cosine",
    ) -> None:
        super().__init__(learning_rate)
        self.steps = None if steps is None else known_length(steps, "steps")
        self.peak, self.start = in_range(peak, "peak", 0, 1), in_range(start, "start", 0, math.inf)
        self.final, self.shape = in_range(final, "final", 0, math.inf), shape
        if shape not in ("cosine", "linear"):
            raise PellucidError(f"shape was {shape!r}; wanted 'cosine' or 'linear'.")

    def factor(self, step: int, horizon: Horizon | None) -> float:
        steps = all_steps(self.steps, horizon, "steps")
        top, end = self.peak * steps - 1, max(steps - 1, 1)
        between = _half_wave if self.shape == "cosine" else _straight
        if step < top:
            return between(self.start, 1.0, step / top)
        return between(1.0, self.final, min((step - top) / (end - top), 1.0) if end > top else 0.0)


class Piecewise(Schedule):
    """Straight lines between points (place, part of the rate): places are lengths from the beginning, in rising order.

    >>> schedule = Piecewise(0.5, points=[(0, 0.2), (0.25, 1), (1.0, 0.1)])
    >>> [round(schedule(step, Horizon(100, 10)), 3) for step in (0, 25, 100)]
    [0.1, 0.5, 0.05]
    """

    def __init__(self, learning_rate: float, points: Sequence[tuple[Length, float]]) -> None:
        super().__init__(learning_rate)
        try:
            pairs = [(place, part) for place, part in points]
        except (TypeError, ValueError):
            pairs = []
        if not pairs:
            raise PellucidError(f"points were {points!r}; wanted pairs such as [[0, 0.2], [0.25, 1], [1.0, 0.1]].")
        self.points = [[known_length(place, "a place"), in_range(part, "a part", 0, math.inf)] for place, part in pairs]

    def factor(self, step: int, horizon: Horizon | None) -> float:
        places = [steps_in(place, horizon, "a place") for place, _ in self.points]  # type: ignore[arg-type]
        parts: list[float] = [part for _, part in self.points]  # type: ignore[misc]
        if places != sorted(places):
            raise PellucidError(f"The places of Piecewise are the steps {places}; wanted them in rising order.")
        after = next((i for i, place in enumerate(places) if place > step), None)
        if after is None or after == 0:
            return parts[0 if after == 0 else -1]
        left, right = places[after - 1], places[after]
        return _straight(parts[after - 1], parts[after], (step - left) / (right - left))


def _half_wave(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


def _straight(start: float, end: float, done: float) -> float:
    return start + (end - start) * done
