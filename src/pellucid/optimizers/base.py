"""What all optimizers share: settings, what is remembered, and the way from gradients to changed parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backend, schedules
from ..errors import PellucidError
from ..ops.steps import Steps
from ..schedules import Horizon, Schedule
from . import averages as averaging
from .groups import Group, known_groups, resolve

Arrays = dict[str, NDArray]
Lists = list[NDArray]


class Optimizer:
    """The base of all optimizers. Settings are the arguments of ``__init__``, stored under their own names.

    An optimizer changes parameters in place and keeps what it remembers in ``slots``, a flat dict such as
    ``"velocity/conv1/kernel"``; together with ``iterations``, the number of batches seen, that is all a checkpoint needs.

    What every optimizer takes besides its own settings:

    learning_rate
        a number, or a schedule: ``SGD(Cosine(0.1))``, see ``pellucid.schedules``.
    weight_decay
        how much of every weight decays in a step, times the learning rate. ``decoupled``: w ← w - rate · weight_decay · w beside
        the step, as Keras does in all its optimizers; else weight_decay · w is added to the gradient, as PyTorch does in all
        but AdamW. None is what ``dialect`` does.
    clipvalue, clipnorm, global_clipnorm
        limits, one of them at most: of every number of a gradient, of the length of each gradient, of all gradients together.
    accumulate
        so many batches make a step, with the mean of their gradients: as one large batch, in the memory of a small one.
    averages
        ``EMA(…)`` or ``Lookahead(…)`` of the weights, see ``pellucid.optimizers.averages``.
    groups
        settings by pattern of the parameters' paths, ``{"*/bias": {"rate_multiplier": 64, "weight_decay": 0}}``, see
        ``pellucid.optimizers.groups``.

    A new optimizer names its slots in ``slot_names`` and overrides ``update``.
    """

    slot_names: tuple[str, ...] = ()
    dialect = "keras"

    def __init__(
        self,
        learning_rate: float | Schedule,
        *,
        weight_decay: float = 0.0,
        decoupled: bool | None = None,
        clipvalue: float | None = None,
        clipnorm: float | None = None,
        global_clipnorm: float | None = None,
        accumulate: int = 1,
        averages: averaging.Average | str | dict[str, Any] | None = None,
        groups: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        text = isinstance(learning_rate, dict | Schedule)
        self.learning_rate = schedules.get(learning_rate) if text else schedules.positive_rate(learning_rate)  # type: ignore[arg-type]
        self.weight_decay, self.decoupled = _at_least_zero(weight_decay, "weight_decay"), decoupled
        limits = {"clipvalue": clipvalue, "clipnorm": clipnorm, "global_clipnorm": global_clipnorm}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        for name, limit in given.items():
            if not isinstance(limit, int | float) or not 0 < limit < math.inf:
                raise PellucidError(f"{name} was {limit!r}; wanted a positive number, for example 1.0.")
        if len(given) > 1:
            raise PellucidError(
                f"Gradients can be clipped in one way, but {' and '.join(given)} are given. Choose one."
            )
        self.clipvalue, self.clipnorm, self.global_clipnorm = clipvalue, clipnorm, global_clipnorm
        if not isinstance(accumulate, int) or accumulate < 1:
            raise PellucidError(
                f"accumulate was {accumulate!r}; wanted the number of batches that make a step, at least 1."
            )
        self.accumulate = accumulate
        self.averages = averaging.get(averages)
        self.groups = known_groups(groups)
        self.iterations: int = 0
        self.slots: Arrays = {}
        self.horizon: Horizon | None = None
        self._resolved: tuple[tuple[str, ...], dict[str, Group]] | None = None

    # Steps -----------------------------------------------------------------------------------------------------------

    def apply(self, params: Arrays, gradients: Arrays, state: Arrays | None = None) -> None:
        """One step: change every parameter that has a gradient, in place; nothing yet while gradients are accumulated.

        ``state`` are the arrays that are kept but not trained, such as moving statistics: averages follow them too.
        """
        followed = params | (state or {}) if self.averages else {}
        if self.averages:
            self.averages.begin(self.slots, followed)
        self.iterations += 1
        means = self._accumulated(gradients) if self.accumulate > 1 else gradients
        if means is None:
            return
        rate, groups = self.rate, self._groups(params)
        paths = [path for path in means if groups[path].lasts(self.step, self.horizon)] if self.groups else list(means)
        changed, gradients_ = [params[path] for path in paths], [means[path] for path in paths]
        slots = [[self.slot(name, path, params[path]) for path in paths] for name in self.slot_names]
        if paths:
            self.update(paths, changed, gradients_, slots, self._steps(rate, paths, groups, params, gradients_))
        if self.averages:
            self.averages.follow(self.slots, followed, self.updates, self._done())

    def update(self, paths: list[str], params: Lists, gradients: Lists, slots: list[Lists], steps: Steps) -> None:
        """Change ``params`` in place; ``slots`` has a list for each of ``slot_names``, all in the order of ``paths``."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to update a parameter")

    def rate_multiplier(self, path: str, param: NDArray) -> float:
        """What the learning rate of a parameter is multiplied by, before its group has its say."""
        return 1.0

    @property
    def updates(self) -> int:
        """How often the parameters have changed."""
        return self.iterations // self.accumulate

    @property
    def step(self) -> int:
        """The number of the newest update's first batch, from 0: where schedules stand."""
        return max(self.updates - 1, 0) * self.accumulate

    @property
    def rate(self) -> float:
        """The learning rate of the newest update."""
        rate = self.learning_rate
        return rate(self.step, self.horizon) if isinstance(rate, Schedule) else float(rate)

    def _steps(
        self, rate: float, paths: list[str], groups: dict[str, Group], params: Arrays, gradients: list[NDArray]
    ) -> Steps:
        steps = _unit_steps(len(paths))
        rates, decay = rate * steps.rate, self.weight_decay * steps.rate
        if self.groups or type(self).rate_multiplier is not Optimizer.rate_multiplier:
            for i, path in enumerate(paths):
                rates[i] *= groups[path].rate_multiplier * self.rate_multiplier(path, params[path])
                if groups[path].weight_decay is not None:
                    decay[i] = groups[path].weight_decay
        changes = {"rate": rates}
        if self.weight_decay or self.groups:
            decoupled = self.decouples if self.decoupled is None else self.decoupled
            changes |= {"keep": 1 - rates * decay} if decoupled else {"decay": decay}
        if self.accumulate > 1:
            changes["scale"] = steps.scale / self.accumulate
        if self.clipnorm is not None or self.global_clipnorm is not None:
            changes["scale"] = steps.scale / self.accumulate * self._shortening(gradients)
        if self.clipvalue is not None:
            changes["limit"] = self.clipvalue * steps.scale
        return steps._replace(**changes)

    @property
    def decouples(self) -> bool:
        """Whether weight decay is decoupled from the gradient when nobody says so."""
        return self.dialect == "keras"

    def _shortening(self, gradients: list[NDArray]) -> NDArray[np.float64]:
        """What each gradient is multiplied by so that it, or all of them together, are not too long."""
        squares = backend.update("squared_norms", gradients) / self.accumulate**2
        longest: float = self.clipnorm or self.global_clipnorm  # type: ignore[assignment]
        norms = np.sqrt(squares if self.clipnorm is not None else np.full_like(squares, squares.sum()))
        if self.dialect == "torch":
            return np.minimum(longest / (norms + 1e-6), 1.0)
        return longest / np.maximum(norms, longest)

    def _accumulated(self, gradients: Arrays) -> Arrays | None:
        """The sum of the gradients of ``accumulate`` batches, None before they are complete."""
        sums = {path: self.slot("accumulated", path, gradient) for path, gradient in gradients.items()}
        place = (self.iterations - 1) % self.accumulate
        if place == 0:
            for path, gradient in gradients.items():
                np.copyto(sums[path], gradient)
        else:  # a sum is a step of length -1
            backend.update("sgd", list(sums.values()), list(gradients.values()), Steps.plain(-1.0, len(sums)))
        return sums if place == self.accumulate - 1 else None

    def _groups(self, params: Iterable[str]) -> dict[str, Group]:
        if not self.groups:
            return _NO_GROUPS
        paths = tuple(params)
        if self._resolved is None or self._resolved[0] != paths:
            self._resolved = paths, resolve(self.groups, paths)
        return self._resolved[1]

    def resting(self, paths: Iterable[str]) -> set[str]:
        """Those parameters that the next step leaves as they are, because their group is no longer trained: their gradients
        need not be computed."""
        if not self.groups:
            return set()
        step = self.iterations // self.accumulate * self.accumulate
        return {path for path, group in self._groups(paths).items() if not group.lasts(step, self.horizon)}

    # What surrounds the steps ------------------------------------------------------------------------------------------

    def check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise ``PellucidError`` if a pattern fits none of the parameters that have these shapes."""
        self._groups(shapes)

    def expect(self, horizon: Horizon) -> None:
        """Hear how long the training will be; ``fit`` says so. Schedules, and lengths in epochs, depend on it."""
        self.horizon = horizon

    def observe(self, row: dict[str, Any]) -> None:
        """Hear how an epoch went, for schedules that depend on it."""
        if isinstance(self.learning_rate, Schedule):
            self.learning_rate.observe(row)

    def averaged(self, arrays: Arrays) -> Arrays | None:
        """The averages of these arrays, not copies; None where there are none (yet)."""
        keys = {path: f"{averaging.SLOT}/{path}" for path in arrays} if self.averages else {}
        if not keys or not set(keys.values()) <= self.slots.keys():
            return None
        return {path: self.slots[key] for path, key in keys.items()}

    def forget_averages(self) -> None:
        """Begin the averages anew, from the weights of the next step."""
        self.slots = {key: slot for key, slot in self.slots.items() if not key.startswith(f"{averaging.SLOT}/")}

    def _done(self) -> float:
        """The part of the training that is done; 1 where nobody knows."""
        return 1.0 if self.horizon is None else min(self.iterations / max(self.horizon.steps, 1), 1.0)

    # Memory and settings -----------------------------------------------------------------------------------------------

    def slot(self, name: str, path: str, param: NDArray) -> NDArray:
        """What this optimizer remembers of a parameter; zeros at first."""
        key = f"{name}/{path}"
        if key not in self.slots:
            self.slots[key] = np.full_like(param, self.first_value(name))
        return self.slots[key]

    def first_value(self, name: str) -> float:
        """What a slot holds before the first step."""
        return 0.0

    def load_slots(self, slots: Arrays, iterations: int) -> None:
        """Continue where another optimizer of the same kind stood; the arrays are copied."""
        self.slots = {path: array.copy() for path, array in slots.items()}
        self.iterations = iterations

    @classmethod
    def settings(cls) -> dict[str, Any]:
        """The settings by name with their defaults (``inspect.Parameter.empty`` where there is none), own ones first."""
        own = inspect.signature(cls).parameters.values()
        shared = inspect.signature(Optimizer).parameters.values()
        found = {p.name: p.default for p in own if p.kind is not p.VAR_KEYWORD}
        return found | {p.name: p.default for p in shared if p.name not in found}

    def config(self) -> dict[str, Any]:
        """Name and settings as plain Python types; ``get`` makes the same optimizer of them. Shared settings only if set."""
        shared = inspect.signature(Optimizer).parameters.keys() - inspect.signature(type(self)).parameters.keys()
        config: dict[str, Any] = {"name": type(self).__name__.lower()}
        for name, default in self.settings().items():
            value = getattr(self, name)
            if name not in shared or value != default:
                config[name] = value.config() if hasattr(value, "config") else value
        return config

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.config() if name != "name"}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def known_dialect(dialect: str) -> str:
    """``dialect``, or an error."""
    if dialect not in ("keras", "torch"):
        raise PellucidError(f"dialect was {dialect!r}; wanted 'keras' or 'torch'.")
    return dialect


def fraction(value: float, name: str, who: str) -> float:
    """A number from 0 up to, but not, 1; or an error."""
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise PellucidError(f"{who} got {name}={value}; wanted a number from 0 up to, but not, 1.")
    return value


def _at_least_zero(value: Any, name: str) -> float:
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise PellucidError(f"{name} was {value!r}; wanted a number of at least 0, for example 1e-4.")
    return value


@cache
def _unit_steps(count: int) -> Steps:
    return Steps.plain(1.0, count)


class _Everything(dict[str, Group]):
    """One group of plain settings for all parameters."""

    def __missing__(self, path: str) -> Group:
        return Group()


_NO_GROUPS = _Everything()
