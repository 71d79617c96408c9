"""Update rules; the twin of ``ops/update.py``: all parameters of a network in one dispatch and one pass over memory.

A network's parameters are cut into pieces of at most ``PIECE`` numbers, which the threads share. In a piece every number is
read once, from the gradient, the parameter and its slots, and written once. The operations are those of the reference in
the same order, so that the results are the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ops import muon as reference
from ..ops.steps import Steps
from .gemm import matmul
from .jit import Kernel
from .threads import parallel_for
from .update_loops import ADAGRAD, ADAM, AVERAGE, MOMENTUM, RMSPROP, SGD, square_sums

Arrays = Sequence[NDArray]

PIECE = 1 << 14  # numbers
_FLOAT32 = np.dtype(np.float32)


def accepts(*lists: Arrays) -> bool:
    """Lists of float32 arrays, aligned and without gaps; nothing that only looks like an array."""
    return all(type(x) is np.ndarray and x.dtype is _FLOAT32 and x.flags.carray for arrays in lists for x in arrays)


@lru_cache(maxsize=64)
def _pieces(sizes: tuple[int, ...]) -> NDArray[np.intp]:
    """The pieces (parameter, start, size) of parameters of these sizes.

    >>> _pieces((5, 40000)).tolist()
    [[0, 0, 5], [1, 0, 16384], [1, 16384, 16384], [1, 32768, 7232]]
    """
    rows = [(p, s, min(PIECE, size - s)) for p, size in enumerate(sizes) for s in range(0, size, PIECE)]
    return np.array(rows, np.intp).reshape(-1, 3)


def _objects(lists: Sequence[Arrays]) -> NDArray[np.intp]:
    """The addresses of the Python objects of some lists of arrays: (lists, P)."""
    return np.fromiter((id(x) for arrays in lists for x in arrays), np.intp).reshape(len(lists), -1)


def _apply(rule: Kernel, lists: Sequence[Arrays], steps: Steps, *constants: float) -> None:
    pieces = _pieces(tuple([w.size for w in lists[0]]))
    settings = np.array(steps, np.float32)
    parallel_for(rule, len(pieces), pieces, _objects(lists), settings, *constants, *[0.0] * (4 - len(constants)))


def sgd(params: Arrays, gradients: Arrays, steps: Steps) -> None:
    """w ← w - rate · g."""
    _apply(SGD, (params, gradients), steps)


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
    """Momentum and Nesterov's variant, in Keras's or PyTorch's dialect."""
    _apply(MOMENTUM[dialect, nesterov], (params, gradients, velocities), steps, momentum)


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
    """Adaptive moments, in Keras's or PyTorch's dialect."""
    first, second = 1 - beta_1**time, math.sqrt(1 - beta_2**time)
    steps = steps._replace(rate=steps.rate / first if dialect == "torch" else steps.rate * second / first)
    _apply(ADAM[dialect], (params, gradients, means, squares), steps, 1 - beta_1, 1 - beta_2, epsilon, second)


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
    """Steps divided by the root of the mean squared gradient, in Keras's or PyTorch's dialect."""
    lists = [arrays for arrays in (params, gradients, squares, means, velocities) if arrays]
    rule = RMSPROP[dialect, bool(means), bool(velocities)]
    _apply(rule, lists, steps, rho, 1 - rho, epsilon, momentum)


def adagrad(params: Arrays, gradients: Arrays, sums: Arrays, steps: Steps, *, epsilon: float, dialect: str) -> None:
    """Steps divided by the root of the sum of squared gradients, in Keras's or PyTorch's dialect."""
    _apply(ADAGRAD[dialect], (params, gradients, sums), steps, 0.0, 0.0, epsilon)


def muon(*arguments: Any, **settings: Any) -> None:
    """Orthogonal steps; the products, which is where the time goes, are those of ``gemm``."""
    reference.muon(*arguments, product=matmul, **settings)


def average(averages: Arrays, arrays: Arrays, rate: float) -> None:
    """a ← a + rate · (x - a)."""
    _apply(AVERAGE, (averages, arrays), Steps.plain(rate, len(averages)))


def squared_norms(gradients: Arrays) -> NDArray[np.float64]:
    """Σ g² of each array; pieces are summed in their order, so that the number of threads does not matter."""
    pieces = _pieces(tuple([g.size for g in gradients]))
    sums = np.zeros(len(pieces))
    parallel_for(square_sums, len(pieces), pieces, _objects([gradients]), sums)
    return np.bincount(pieces[:, 0], sums, len(gradients)).astype(np.float64)


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
