"""What happens to gradients and parameters before an update rule takes its step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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


def prepared(params: Arrays, gradients: Arrays, steps: Steps) -> Iterator[tuple[NDArray, float]]:
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
