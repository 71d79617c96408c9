"""Update rules, number by number: the formulas, and the loop that takes them through all parameters of a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .assembly import numbers, word
from .jit import FLOAT, IN2, INT, TABLE, TEAM, Array, Kernel, inline, kernel, named
from .threads import next_chunk

_f = np.float32
HEADER = object.__basicsize__  # of any Python object; in an array, the address of its numbers follows


@inline
def _at(array, start):
    """Where a number of an array lies that is given by the address of its Python object.

    NumPy's C structure of an array is Python's header followed by the pointer to the numbers. Asking the interpreter for that
    pointer takes a microsecond per array, as long as changing ten thousand parameters.
    """
    return word(array + HEADER) + 4 * start


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


def _rmsprop(torch: bool, centered: bool, moved: bool) -> Callable:
    """The formula with PyTorch's ε or Keras's, with means or without, with momentum or without."""
    kind = f"rmsprop{'_torch' * torch}{'_centered' * centered}{'_moved' * moved}"

    @inline
    @named(f"size_{kind}")
    def size(g, s, m, rate, c):
        spread = s - m * m if centered else s
        return g / (np.sqrt(spread) + c) if torch else rate * g / np.sqrt(spread + c)

    @inline
    @named(f"step_{kind}")
    def step(w, size, rate):
        return w - rate * size if torch else w - size

    @inline
    @named(f"plain_{kind}")
    def plain(w, g, s, rate, a, b, c, d):
        s = a * s + b * (g * g)
        return step(w, size(g, s, s, rate, c), rate), s

    @inline
    @named(f"with_means_{kind}")
    def with_means(w, g, s, m, rate, a, b, c, d):
        s, m = a * s + b * (g * g), a * m + b * g
        return step(w, size(g, s, m, rate, c), rate), s, m

    @inline
    @named(f"with_velocities_{kind}")
    def with_velocities(w, g, s, v, rate, a, b, c, d):
        s = a * s + b * (g * g)
        v = d * v + size(g, s, s, rate, c)
        return step(w, v, rate), s, v

    @inline
    @named(f"with_both_{kind}")
    def with_both(w, g, s, m, v, rate, a, b, c, d):
        s, m = a * s + b * (g * g), a * m + b * g
        v = d * v + size(g, s, m, rate, c)
        return step(w, v, rate), s, m, v

    return ((plain, with_velocities), (with_means, with_both))[centered][moved]


@inline
def _adagrad(w, g, s, rate, a, b, c, d):
    s = s + g * g
    return w - rate * g / np.sqrt(s + c), s


@inline
def _torch_adagrad(w, g, s, rate, a, b, c, d):
    s = s + g * g
    return w - rate * g / (np.sqrt(s) + c), s


@inline
def _average(w, g, rate, a, b, c, d):
    return w + rate * (g - w)


def _rule(name: str, slots: int, formula: Callable) -> Kernel:
    """A kernel that applies ``formula`` to every number of all parameters; a chunk is a piece (parameter, start, size).

    ``arrays`` (2 + slots, P) holds the addresses of the Python objects: parameters, gradients, slots; ``settings`` (5, P) is
    ``Steps``; a, b, c, d are constants of the rule.
    """

    if slots == 0:

        @inline
        @named(f"change_{name}")
        def change(arrays, p, start, size, rate, scale, limit, decay, keep, a, b, c, d):
            w, g = numbers(_at(arrays[0, p], start), size, _f), numbers(_at(arrays[1, p], start), size, _f)
            for i in range(size):
                w[i] = formula(keep * w[i], _gradient(w[i], g[i], scale, limit, decay), rate, a, b, c, d)

    elif slots == 1:

        @inline
        @named(f"change_{name}")
        def change(arrays, p, start, size, rate, scale, limit, decay, keep, a, b, c, d):
            w, g = numbers(_at(arrays[0, p], start), size, _f), numbers(_at(arrays[1, p], start), size, _f)
            m = numbers(_at(arrays[2, p], start), size, _f)
            for i in range(size):
                gradient = _gradient(w[i], g[i], scale, limit, decay)
                w[i], m[i] = formula(keep * w[i], gradient, m[i], rate, a, b, c, d)

    elif slots == 2:

        @inline
        @named(f"change_{name}")
        def change(arrays, p, start, size, rate, scale, limit, decay, keep, a, b, c, d):
            w, g = numbers(_at(arrays[0, p], start), size, _f), numbers(_at(arrays[1, p], start), size, _f)
            m, v = numbers(_at(arrays[2, p], start), size, _f), numbers(_at(arrays[3, p], start), size, _f)
            for i in range(size):
                gradient = _gradient(w[i], g[i], scale, limit, decay)
                w[i], m[i], v[i] = formula(keep * w[i], gradient, m[i], v[i], rate, a, b, c, d)

    else:

        @inline
        @named(f"change_{name}")
        def change(arrays, p, start, size, rate, scale, limit, decay, keep, a, b, c, d):
            w, g = numbers(_at(arrays[0, p], start), size, _f), numbers(_at(arrays[1, p], start), size, _f)
            s, m = numbers(_at(arrays[2, p], start), size, _f), numbers(_at(arrays[3, p], start), size, _f)
            v = numbers(_at(arrays[4, p], start), size, _f)
            for i in range(size):
                gradient = _gradient(w[i], g[i], scale, limit, decay)
                w[i], s[i], m[i], v[i] = formula(keep * w[i], gradient, s[i], m[i], v[i], rate, a, b, c, d)

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


SGD = _rule("sgd", 0, _sgd)
MOMENTUM = {  # by dialect and whether it is Nesterov's
    ("keras", False): _rule("momentum", 1, _momentum),
    ("keras", True): _rule("nesterov", 1, _nesterov),
    ("torch", False): _rule("torch_momentum", 1, _torch_momentum),
    ("torch", True): _rule("torch_nesterov", 1, _torch_nesterov),
}
ADAM = {"keras": _rule("adam", 2, _adam), "torch": _rule("torch_adam", 2, _torch_adam)}
RMSPROP = {  # by dialect, whether there are means, whether there are velocities
    (dialect, centered, moved): _rule(
        f"rmsprop_{dialect}{'_centered' * centered}{'_moved' * moved}",
        1 + centered + moved,
        _rmsprop(dialect == "torch", centered, moved),
    )
    for dialect in ("keras", "torch")
    for centered in (False, True)
    for moved in (False, True)
}
ADAGRAD = {"keras": _rule("adagrad", 1, _adagrad), "torch": _rule("torch_adagrad", 1, _torch_adagrad)}
AVERAGE = _rule("average", 0, _average)


@inline(fastmath=("reassoc", "nsz"))
def _square_sum(x):
    """Σ x², in as many partial sums as a vector has lanes: this one loop may be summed in another order than written."""
    total = 0.0
    for i in range(x.size):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


@kernel(TEAM, INT, TABLE, TABLE, Array("float64", 1, True))
def square_sums(team, chunks, pieces, arrays, sums):
    """Σ x² of every piece."""
    chunk = next_chunk(team)
    while chunk < chunks:
        sums[chunk] = _square_sum(numbers(_at(arrays[0, pieces[chunk, 0]], pieces[chunk, 1]), pieces[chunk, 2], _f))
        chunk = next_chunk(team)
