"""Penalties on weights that training adds to the loss: Σ l1 · |w| + l2 · w², for the parameters whose path fits a pattern.

    model.compile("sgd", regularizers={"*/kernel": L2(1e-4), "dense*/kernel": L1(1e-5)})

Where several patterns fit a parameter the last one counts. The penalty is reported by itself, as ``penalty``: the loss stays the
loss of the data, which can be compared between training and validation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import PellucidError, nearest
from .patterns import matching

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class L1L2:
    """l1 · Σ |w| + l2 · Σ w², as in Keras. The gradient is l1 · sign(w) + 2 · l2 · w.

    >>> L1L2(l1=0.5, l2=0.25).penalty(np.array([1.0, -2.0]))
    np.float64(2.75)
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value < math.inf:
                raise PellucidError(
                    f"{name} of a regularizer was {value!r}; wanted a number of at least 0, such as 1e-4."
                )

    def penalty(self, w: NDArray) -> Any:
        """What the weights cost."""
        return self.l1 * (np.sign(w.real) * w).sum() + self.l2 * (w * w).sum()

    def gradient(self, w: NDArray) -> NDArray:
        """The gradient of the penalty by the weights."""
        return self.l1 * np.sign(w) + 2 * self.l2 * w


def L1(l1: float = 0.01) -> L1L2:  # noqa: N802 - named as in Keras
    """l1 · Σ |w|: many weights become 0."""
    return L1L2(l1=l1)


def L2(l2: float = 0.01) -> L1L2:  # noqa: N802
    """l2 · Σ w²: no weight becomes large."""
    return L1L2(l2=l2)


def get(regularizers: Any) -> dict[str, L1L2]:
    """Regularizers by pattern, from objects or tables.

    >>> get({"*/kernel": {"l2": 1e-4}})
    {'*/kernel': L1L2(l1=0.0, l2=0.0001)}
    >>> get({"*/kernel": {"l3": 1e-4}})
    Traceback (most recent call last):
    pellucid.errors.PellucidError: The regularizer of '*/kernel' has no setting 'l3'. Did you mean 'l2'? Known: l1, l2.
    """
    if regularizers is None:
        return {}
    if not isinstance(regularizers, Mapping):
        raise PellucidError(
            f'regularizers was {regularizers!r}; wanted penalties by pattern, such as {{"*/kernel": {{"l2": 1e-4}}}}.'
        )
    found = {}
    for pattern, penalty in regularizers.items():
        if isinstance(penalty, Mapping):
            for name in penalty.keys() - {"l1", "l2"}:
                raise PellucidError(
                    f"The regularizer of {pattern!r} has no setting {name!r}. {nearest(str(name), ('l1', 'l2'))}"
                )
            penalty = L1L2(**penalty)
        if not isinstance(penalty, L1L2):
            raise PellucidError(f"The regularizer of {pattern!r} was {penalty!r}; wanted L1(…), L2(…) or L1L2(…).")
        found[str(pattern)] = penalty
    return found


def resolve(regularizers: Mapping[str, L1L2], paths: Any) -> dict[str, L1L2]:
    """The regularizer of every parameter that has one. An error names the parameters if a pattern fits none."""
    return {path: penalty for pattern, penalty in regularizers.items() for path in matching(pattern, paths)}
