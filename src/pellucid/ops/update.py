"""Update rules: how a gradient changes a parameter, for all parameters of a network at once.

A rule takes lists with an array per parameter: the parameters, their gradients, and what is remembered of each (its *slots*).
It changes parameters and slots in place and leaves the gradients alone. ``Steps`` says for each parameter how long its step is
and what happens to its gradient before. The twins in ``pellucid.kernels.update`` are one pass over memory each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = Sequence[NDArray]


class Steps(NamedTuple):
    """One number per parameter each, (P,) float64.

    With them a parameter w and its gradient g become

        g ← min(max(scale · g, -limit), limit) + decay · w,      w ← keep · w

    before the rule takes its step of length ``rate``. ``decay`` is weight decay coupled with the gradient, ``keep`` below 1
    is weight decay decoupled from it (Loshchilov, Hutter, "Decoupled weight decay regularization", arXiv:1711.05101).
    """

    rate: NDArray[np.float64]
    scale: NDArray[np.float64]
    limit: NDArray[np.float64]
    decay: NDArray[np.float64]
    keep: NDArray[np.float64]

    @classmethod
    def plain(cls, rate: float, count: int) -> Steps:
        """The same rate for all, gradients as they are, no decay.

        >>> Steps.plain(0.1, 2).rate
        array([0.1, 0.1])
        """
        one = np.ones(count)
        return cls(one * rate, one, one * math.inf, one * 0, one)


def _prepared(params: Arrays, gradients: Arrays, steps: Steps) -> Iterator[tuple[NDArray, float]]:
    """For each parameter its gradient as the rule sees it, and its rate; what is kept of the parameter is kept."""
    for w, g, *settings in zip(params, gradients, *(numbers.tolist() for numbers in steps), strict=True):
        rate, scale, limit, decay, keep = settings
        if scale != 1:
            g = scale * g
        if limit < math.inf:
            g = np.clip(g, -limit, limit)
        if decay:
            g = g + decay * w
        if keep != 1:
            w *= keep
        yield g, rate


def sgd(params: Arrays, gradients: Arrays, steps: Steps) -> None:
    """w ← w - rate · g.

    >>> w, g = np.array([1.0]), np.array([2.0])
    >>> sgd([w], [g], Steps.plain(0.1, 1))
    >>> w
    array([0.8])
    """
    for w, (g, rate) in zip(params, _prepared(params, gradients, steps), strict=True):
        w -= rate * g


def momentum(
    params: Arrays,
    gradients: Arrays,
    velocities: Arrays,
    steps: Steps,
    *,
    momentum: float,
    nesterov: bool,
    dialect: str,
) -> None:
    """v ← momentum · v - rate · g, w ← w + v; in PyTorch's dialect v ← momentum · v + g, w ← w - rate · v.

    With ``nesterov`` w ← w + momentum · v - rate · g, or w ← w - rate · (g + momentum · v).
    """
    prepared = _prepared(params, gradients, steps)
    for w, v, (g, rate) in zip(params, velocities, prepared, strict=True):
        v *= momentum
        if dialect == "torch":
            v += g
            w -= rate * (g + momentum * v if nesterov else v)
        else:
            v -= rate * g
            w += momentum * v - rate * g if nesterov else v


def adam(
    params: Arrays,
    gradients: Arrays,
    means: Arrays,
    squares: Arrays,
    steps: Steps,
    *,
    time: int,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    dialect: str,
) -> None:
    """m ← m + (1 - β₁)(g - m), v ← v + (1 - β₂)(g² - v), w ← w - rate · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε).

    In PyTorch's dialect w ← w - rate / (1 - β₁ᵗ) · m / (√v / √(1 - β₂ᵗ) + ε). ``time`` is t, from 1.
    """
    first, second = 1 - beta_1**time, math.sqrt(1 - beta_2**time)
    prepared = _prepared(params, gradients, steps)
    for w, m, v, (g, rate) in zip(params, means, squares, prepared, strict=True):
        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g * g - v)
        if dialect == "torch":
            w -= rate / first * m / (np.sqrt(v) / second + epsilon)
        else:
            w -= rate * second / first * m / (np.sqrt(v) + epsilon)


RULES: dict[str, Callable[..., None]] = {"sgd": sgd, "momentum": momentum, "adam": adam}
