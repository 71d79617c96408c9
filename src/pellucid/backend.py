"""Which implementation of an op runs: one ordered table, the only place where that is decided.

``forward("conv2d", x, kernel, bias, strides=2)`` runs the first implementation whose ``accepts`` says yes to these arrays and
settings; the NumPy reference stands last and accepts everything. What it returns beside ``y`` remembers the
implementation, so that ``backward`` hands a cache only to the one that made it.

    >>> import numpy as np
    >>> y, saved = forward("relu", np.array([-1.0, 2.0]))
    >>> y, saved.implementation.backend
    (array([0., 2.]), 'numpy')
    >>> backward(np.array([5.0, 5.0]), saved)
    array([0., 5.])
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from . import ops
from .errors import PellucidError, nearest
from .ops import augment, bfloat16
from .ops.update import RULES

BACKENDS = ("numpy", "native")
PRECISIONS = ("float32", "bfloat16")
PRODUCTS = (
    "conv2d",
    "conv2d_block",
    "dense",
)  # ops whose first two arrays are multiplied, and what comes back with both


class Implementation(NamedTuple):
    """One way to compute an op."""

    backend: str
    forward: Callable[..., tuple[Any, Any]]
    backward: Callable[..., Any]
    accepts: Callable[..., bool]
    precision: str = "float32"  # of what it multiplies


class Saved(NamedTuple):
    """What a forward pass kept: a cache, the implementation that can open it, and whether it multiplied rounded numbers."""

    implementation: Implementation
    cache: Any
    rounded: bool = False


def forward(op: str, *arrays: Any, **settings: Any) -> tuple[Any, Saved]:
    """Run an op by the first implementation that accepts it; returns ``(y, saved)``."""
    for implementation in _table(_backend, _precision)[op]:
        if implementation.accepts(*arrays, **settings):
            rounding = implementation.precision != _precision and op in PRODUCTS
            if rounding:
                arrays = (*map(_rounded, arrays[:2]), *arrays[2:])
            y, kept = implementation.forward(*arrays, **settings)
            return y, Saved(implementation, kept, rounding)
    raise AssertionError(f"the reference of {op} accepts everything")


def backward(dy: Any, saved: Saved, **settings: Any) -> Any:
    """The gradients of the op that returned ``saved``, in the order of its array arguments."""
    return saved.implementation.backward(_rounded(dy) if saved.rounded else dy, saved.cache, **settings)


def is_native(op: str, *arrays: Any, **settings: Any) -> bool:
    """Whether a compiled implementation would run this op on arrays of these shapes and types."""
    found = next(row for row in _table(_backend, _precision)[op] if row.accepts(*arrays, **settings))
    return found.backend == "native"


def update(rule: str, *arguments: Any, **settings: Any) -> Any:
    """Change parameters by an update rule of ``pellucid.ops.update``; lists hold the arrays of all parameters.

    The compiled twin does so where all arrays are float32 without gaps, in one dispatch for all of them.
    """
    run = RULES[rule]
    kernels = _kernels() if _backend == "native" else None
    if kernels is not None and kernels.update.accepts(*(x for x in arguments if isinstance(x, list))):
        run = kernels.update.RULES[rule]
    return run(*arguments, **settings)


def pixels(name: str, *arguments: Any) -> Any:
    """A function of ``pellucid.ops.augment``, which changes and normalises images; its compiled twin has the same bits."""
    kernels = _kernels() if _backend == "native" else None
    return getattr(augment if kernels is None else kernels.augment, name)(*arguments)


def expect_training() -> None:
    """What runs next belongs to a training: kernels of the way back may be compiled while others are still on the way forward."""
    kernels = _kernels() if _backend == "native" else None
    if kernels is not None:
        kernels.ahead.expect_training(kernels.get_num_threads())


def playback(layers: Any, weights: Any, shape: tuple[int, ...]) -> Any:
    """The layers as one function of inputs of this shape, their kernel calls written down; see ``kernels.playback``.

    None where there are no kernels, the calls would take too much memory, or a weight has gaps. To be called with
    ``lasting_weights``.
    """
    kernels = _kernels() if _backend == "native" else None
    found = None if kernels is None else kernels.playback.Playback(layers, weights, shape)
    return found if found is not None and found.usable else None


def settings() -> tuple[Any, ...]:
    """What decides which implementation runs, and how, beside the arrays."""
    kernels = _kernels() if _backend == "native" else None
    return (_backend, _precision) if kernels is None else (_backend, _precision, *kernels.settings())


def passes(way: Any) -> Any:
    """A way forward and back whose kernel calls can be written down, see ``kernels.passes``; None where there are no kernels."""
    kernels = _kernels() if _backend == "native" else None
    return None if kernels is None else kernels.passes.Passes(way)


def lasting_weights() -> contextlib.AbstractContextManager[None]:
    """A block in which kernels may spend time on the weights, because they are going to be used often as they are."""
    kernels = _kernels() if _backend == "native" else None
    return contextlib.nullcontext() if kernels is None else kernels.recording.lasting_weights()


def set_backend(name: str) -> None:
    """Choose ``"native"`` (compiled kernels wherever they accept; the default) or ``"numpy"`` (the references alone).

    The environment variable ``PELLUCID_BACKEND`` sets the choice a process starts with.

    >>> set_backend("nunpy")
    Traceback (most recent call last):
    pellucid.errors.PellucidError: There is no backend 'nunpy'. Did you mean 'numpy'? Known: numpy, native.
    """
    global _backend
    _backend = _known("backend", name, BACKENDS)


def get_backend() -> str:
    """The name of the backend in use."""
    return _backend


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """A block that runs on another backend.

    >>> with using("numpy"):
    ...     get_backend()
    'numpy'
    """
    before = get_backend()
    set_backend(name)
    try:
        yield
    finally:
        set_backend(before)


def set_precision(name: str) -> None:
    """Choose what convolutions and dense layers multiply: numbers of ``"float32"``, or rounded to ``"bfloat16"``.

    With bfloat16 inputs, weights and the gradients that come back are rounded to 8 significant bits (``ops.bfloat16``) in front
    of every product, forward and back. Products are exact and summed in float32; weights, what lies between the layers and
    everything else stays float32. Convolutions with stride 1 and at least 16 channels use the CPU's own products of such numbers
    where it has them and they pay (``kernels.conv_bfloat16``); all others those of float32. See docs/recipes.md for figures.

    >>> set_precision("float16")
    Traceback (most recent call last):
    pellucid.errors.PellucidError: There is no precision 'float16'. Did you mean 'bfloat16'? Known: float32, bfloat16.
    """
    global _precision
    _precision = _known("precision", name, PRECISIONS)


def get_precision() -> str:
    """The precision in use."""
    return _precision


def bfloat16_unit() -> str:
    """What multiplies bfloat16 in hardware: ``"amx"``, ``"avx512"``, or ``""`` where nothing does or nothing is compiled."""
    kernels = _kernels() if _backend == "native" else None
    return "" if kernels is None else str(kernels.simd_bfloat16.unit())


def _rounded(x: Any) -> Any:
    kernels = _kernels() if _backend == "native" and x.dtype == np.float32 and x.size else None
    return (bfloat16 if kernels is None else kernels.bfloat16).rounded(x)


def set_num_threads(n: int) -> None:
    """How many threads the native kernels use. Results do not depend on it, bit for bit.

    ``PELLUCID_NUM_THREADS`` sets it for a process; the default is the number of cores this process may use.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise PellucidError(f"The number of threads was {n!r}; wanted a whole number of at least 1.")
    from .kernels import threads

    threads.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads the native kernels use."""
    from .kernels import threads

    return threads.get_num_threads()


def _known(what: str, name: str, names: tuple[str, ...]) -> str:
    if name not in names:
        raise PellucidError(f"There is no {what} {name!r}. {nearest(name, names)}")
    return name


def _accepts_everything(*arrays: Any, **settings: Any) -> bool:
    return True


@cache
def _table(backend: str, precision: str) -> dict[str, list[Implementation]]:
    """Per op its implementations, the most specialised first."""
    table: dict[str, list[Implementation]] = {name: [] for name in ops.__all__ if not name.endswith("_backward")}
    kernels = _kernels() if backend == "native" else None
    if kernels is not None and precision == "bfloat16":
        for name, run, derive, accepts in kernels.IN_BFLOAT16:
            table[name].append(Implementation("native", run, derive, accepts, precision))
    if kernels is not None:
        for name, run, derive, accepts in kernels.IMPLEMENTATIONS:
            table[name].append(Implementation("native", run, derive, accepts))
    for name, rows in table.items():
        reference = Implementation("numpy", getattr(ops, name), getattr(ops, f"{name}_backward"), _accepts_everything)
        rows.append(reference)
    return table


@cache
def _kernels() -> Any:
    # Imported on the first op that runs, never with the package: if they have to be compiled, they bring Numba.
    try:
        from . import kernels
    except ImportError as error:
        warnings.warn(f"The compiled kernels cannot be loaded ({error}); NumPy takes over, slower.", stacklevel=2)
        return None
    return kernels


_backend, _precision = "native", "float32"
if "PELLUCID_BACKEND" in os.environ:
    set_backend(os.environ["PELLUCID_BACKEND"])
