"""Update rules; the twin of ``ops/update.py``: all parameters of a network in one dispatch and one pass over memory.

A network's parameters are cut into pieces of at most ``PIECE`` numbers, which the threads share. In a piece every number is
read once, from the gradient, the parameter and its slots, and written once. The operations are those of the reference in
the same order, so that the results are the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..ops.update import Steps
from .jit import FLOAT, IN2, INT, TABLE, TEAM, Kernel, inline, kernel, named
from .threads import next_chunk, parallel_for

Arrays = Sequence[NDArray]

PIECE = 1 << 14  # numbers
HEADER = object.__basicsize__  # of any Python object; in an array, the address of its numbers follows
_FLOAT32 = np.dtype(np.float32)


def accepts(*lists: Arrays) -> bool:
    """Lists of float32 arrays, aligned and without gaps; nothing that only looks like an array."""
    return all(type(x) is np.ndarray and x.dtype is _FLOAT32 and x.flags.carray for arrays in lists for x in arrays)


@intrinsic
def _follow(typing_context, place, start):
    """The pointer to floats that lies in memory at an address, moved on by ``start`` floats."""

    def generate(context, builder, signature, values):
        pointer = ir.FloatType().as_pointer()
        first = builder.load(builder.inttoptr(values[0], pointer.as_pointer()), typ=pointer)
        return builder.gep(first, [values[1]], source_etype=ir.FloatType())

    return types.CPointer(types.float32)(place, start), generate


@inline
def _numbers(array, start, size):
    """Some numbers of an array that is given by the address of its Python object.

    NumPy's C structure of an array is Python's header followed by the pointer to the numbers. Asking the interpreter for that
    pointer takes a microsecond per array, as long as changing ten thousand parameters.
    """
    return carray(_follow(array + HEADER, start), size)


@inline
def _gradient(w, g, scale, limit, decay):
    """The gradient as the rule sees it: scaled, clipped, with its share of the parameter."""
    g = scale * g
    g = limit if g > limit else g
    g = -limit if g < -limit else g
    return g + decay * w


@inline
def _sgd(w, g, rate, a, b, c, d):
    return w - rate * g


@inline
def _momentum(w, g, v, rate, a, b, c, d):
    v = a * v - rate * g
    return w + v, v


@inline
def _nesterov(w, g, v, rate, a, b, c, d):
    v = a * v - rate * g
    return w + (a * v - rate * g), v


@inline
def _torch_momentum(w, g, v, rate, a, b, c, d):
    v = a * v + g
    return w - rate * v, v


@inline
def _torch_nesterov(w, g, v, rate, a, b, c, d):
    v = a * v + g
    return w - rate * (g + a * v), v


@inline
def _torch_adam(w, g, m, v, rate, a, b, c, d):
    m = m + a * (g - m)
    v = v + b * (g * g - v)
    return w - rate * m / (np.sqrt(v) / d + c), m, v


@inline
def _adam(w, g, m, v, rate, a, b, c, d):
    m = m + a * (g - m)
    v = v + b * (g * g - v)
    return w - rate * m / (np.sqrt(v) + c), m, v


def _rule(name: str, slots: int, formula: Callable) -> Kernel:
    """A kernel that applies ``formula`` to every number of all parameters; a chunk is a piece (parameter, start, size).

    ``arrays`` (2 + slots, P) holds the addresses of the Python objects: parameters, gradients, slots; ``settings`` (5, P) is
    ``Steps``; a, b, c, d are constants of the rule.
    """

    if slots == 0:

        @inline
        def change(arrays, p, start, size, rate, scale, limit, decay, keep, a, b, c, d):
            w, g = _numbers(arrays[0, p], start, size), _numbers(arrays[1, p], start, size)
            for i in range(size):
                w[i] = formula(keep * w[i], _gradient(w[i], g[i], scale, limit, decay), rate, a, b, c, d)

    elif slots == 1:

        @inline
        def change(arrays, p, start, size, rate, scale, limit, decay, keep, a, b, c, d):
            w, g = _numbers(arrays[0, p], start, size), _numbers(arrays[1, p], start, size)
            m = _numbers(arrays[2, p], start, size)
            for i in range(size):
                gradient = _gradient(w[i], g[i], scale, limit, decay)
                w[i], m[i] = formula(keep * w[i], gradient, m[i], rate, a, b, c, d)

    else:

        @inline
        def change(arrays, p, start, size, rate, scale, limit, decay, keep, a, b, c, d):
            w, g = _numbers(arrays[0, p], start, size), _numbers(arrays[1, p], start, size)
            m, v = _numbers(arrays[2, p], start, size), _numbers(arrays[3, p], start, size)
            for i in range(size):
                gradient = _gradient(w[i], g[i], scale, limit, decay)
                w[i], m[i], v[i] = formula(keep * w[i], gradient, m[i], v[i], rate, a, b, c, d)

    @kernel(TEAM, INT, TABLE, TABLE, IN2, FLOAT, FLOAT, FLOAT, FLOAT)
    @named(f"update_{name}")
    def run(team, chunks, pieces, arrays, settings, a, b, c, d):
        chunk = next_chunk(team)
        while chunk < chunks:
            p = pieces[chunk, 0]
            change(
                arrays, p, pieces[chunk, 1], pieces[chunk, 2],
                settings[0, p], settings[1, p], settings[2, p], settings[3, p], settings[4, p], a, b, c, d,
            )  # fmt: skip
            chunk = next_chunk(team)

    return run


_SGD = _rule("sgd", 0, _sgd)
_MOMENTUM = {  # by dialect and whether it is Nesterov's
    ("keras", False): _rule("momentum", 1, _momentum),
    ("keras", True): _rule("nesterov", 1, _nesterov),
    ("torch", False): _rule("torch_momentum", 1, _torch_momentum),
    ("torch", True): _rule("torch_nesterov", 1, _torch_nesterov),
}
_ADAM = {"keras": _rule("adam", 2, _adam), "torch": _rule("torch_adam", 2, _torch_adam)}


@lru_cache(maxsize=64)
def _pieces(sizes: tuple[int, ...]) -> NDArray[np.intp]:
    """The pieces (parameter, start, size) of parameters of these sizes.

    >>> _pieces((5, 40000)).tolist()
    [[0, 0, 5], [1, 0, 16384], [1, 16384, 16384], [1, 32768, 7232]]
    """
    rows = [(p, s, min(PIECE, size - s)) for p, size in enumerate(sizes) for s in range(0, size, PIECE)]
    return np.array(rows, np.intp).reshape(-1, 3)


def _apply(rule: Kernel, lists: Sequence[Arrays], steps: Steps, *constants: float) -> None:
    pieces = _pieces(tuple([w.size for w in lists[0]]))
    arrays = np.fromiter((id(x) for arrays in lists for x in arrays), np.intp).reshape(len(lists), -1)
    settings = np.array(steps, np.float32)
    parallel_for(rule, len(pieces), pieces, arrays, settings, *constants, *[0.0] * (4 - len(constants)))


def sgd(params: Arrays, gradients: Arrays, steps: Steps) -> None:
    """w ← w - rate · g."""
    _apply(_SGD, (params, gradients), steps)


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
    _apply(_MOMENTUM[dialect, nesterov], (params, gradients, velocities), steps, momentum)


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
    _apply(_ADAM[dialect], (params, gradients, means, squares), steps, 1 - beta_1, 1 - beta_2, epsilon, second)


RULES: dict[str, Callable[..., None]] = {"sgd": sgd, "momentum": momentum, "adam": adam}
