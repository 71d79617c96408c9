"""Update rules: how a gradient changes a parameter, for all parameters of a network at once.

A rule takes lists with an array per parameter: the parameters, their gradients, and what is remembered of each (its *slots*).
It changes parameters and slots in place and leaves the gradients alone. ``Steps`` says for each parameter how long its step is
and what happens to its gradient before. The twins in ``pellucid.kernels.update`` are one pass over memory each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .muon import muon
from .steps import Steps, prepared

Arrays = Sequence[NDArray]


def sgd(params: Arrays, gradients: Arrays, steps: Steps) -> None:
    """w ← w - rate · g.

    >>> w, g = np.array([1.0]), np.array([2.0])
    >>> sgd([w], [g], Steps.plain(0.1, 1))
    >>> w
    array([0.8])
    """
    for w, (g, rate) in zip(params, prepared(params, gradients, steps), strict=True):
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
    changes = prepared(params, gradients, steps)
    for w, v, (g, rate) in zip(params, velocities, changes, strict=True):
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
    changes = prepared(params, gradients, steps)
    for w, m, v, (g, rate) in zip(params, means, squares, changes, strict=True):
        m += (1 - beta_1) * (g - m)
        v += (1 - beta_2) * (g * g - v)
        if dialect == "torch":
            w -= rate / first * m / (np.sqrt(v) / second + epsilon)
        else:
            w -= rate * second / first * m / (np.sqrt(v) + epsilon)


def rmsprop(
    params: Arrays,
    gradients: Arrays,
    squares: Arrays,
    means: Arrays,
    velocities: Arrays,
    steps: Steps,
    *,
    rho: float,
    momentum: float,
    epsilon: float,
    dialect: str,
) -> None:
    """s ← ρ s + (1 - ρ) g², w ← w - rate · g / √(s + ε); in PyTorch's dialect w ← w - rate · g / (√s + ε).

    Where ``means`` are given (else empty), m ← ρ m + (1 - ρ) g, and s - m² takes the place of s. Where ``velocities`` are given,
    the step is v ← momentum · v + rate · g / √…, or in PyTorch's dialect rate · v with v ← momentum · v + g / (√… + ε).
    """
    for i, (g, rate) in enumerate(prepared(params, gradients, steps)):
        w, s = params[i], squares[i]
        s *= rho
        s += (1 - rho) * (g * g)
        spread: NDArray = s
        if means:
            m = means[i]
            m *= rho
            m += (1 - rho) * g
            spread = s - m * m
        torch = dialect == "torch"
        step = g / (np.sqrt(spread) + epsilon) if torch else rate * g / np.sqrt(spread + epsilon)
        if velocities:
            v = velocities[i]
            v *= momentum
            v += step
            step = v
        w -= rate * step if torch else step


def adagrad(params: Arrays, gradients: Arrays, sums: Arrays, steps: Steps, *, epsilon: float, dialect: str) -> None:
    """s ← s + g², w ← w - rate · g / √(s + ε); in PyTorch's dialect w ← w - rate · g / (√s + ε)."""
    for w, s, (g, rate) in zip(params, sums, prepared(params, gradients, steps), strict=True):
        s += g * g
        w -= rate * g / (np.sqrt(s) + epsilon if dialect == "torch" else np.sqrt(s + epsilon))


def average(averages: Arrays, arrays: Arrays, rate: float) -> None:
    """a ← a + rate · (x - a): averages follow what is averaged.

    >>> a = np.array([0.0])
    >>> average([a], [np.array([4.0])], 0.25)
    >>> a
    array([1.])
    """
    for a, x in zip(averages, arrays, strict=True):
        a += rate * (x - a)


def squared_norms(gradients: Arrays) -> NDArray[np.float64]:
    """Σ g² of each array, summed in float64: (P,).

    >>> squared_norms([np.array([3.0, 4.0])])
    array([25.])
    """
    return np.array([np.square(g, dtype=np.float64).sum() for g in gradients])


RULES: dict[str, Callable[..., Any]] = {
    "sgd": sgd,
    "momentum": momentum,
    "adam": adam,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "muon": muon,
    "average": average,
    "squared_norms": squared_norms,
}
