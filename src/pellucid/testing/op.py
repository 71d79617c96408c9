"""Is this derivative right?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..differentiation import gradient_errors
from .report import TOLERANCE, Report


def check_gradients(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., Any],
    arrays: Sequence[NDArray | None],
    *,
    method: str = "complex",
    seed: int = 0,
    samples: int = 300,
    directions: int = 3,
    tolerance: float | None = None,
    **settings: Any,
) -> Report:
    """Compare an op's ``backward`` with numerical derivatives of its ``forward``, for a random gradient ``dy`` of the output.

    A gradient of ones would hide transpositions, a random one does not. Arrays of up to ``samples`` elements are checked
    element by element, larger ones by samples and random directions; see ``gradient_errors`` for what the error means.

    Parameters
    ----------
    forward, backward
        the pair: ``forward(*arrays, **settings) -> (y, cache)``, ``backward(dy, cache) -> gradients``, one for each of the
        first array arguments, or a bare one.
    arrays
        where to check; None for arguments left out. Keep them off kinks and ties with ``method="central"``.
    method
        ``"complex"``, exact to rounding, for ops that also run on complex arrays; or ``"central"`` for any op.

    >>> from pellucid import ops
    >>> x, kernel = np.random.default_rng(0).normal(size=(2, 4)), np.eye(4)[:, :3]
    >>> print(check_gradients(ops.dense, ops.dense_backward, [x, kernel, np.zeros(3)]))
    dense: right
      x       (2, 4)  8 elements  error ...
      kernel  (4, 3)  12 elements  error ...
      bias    (3,)  3 elements  error ...
    """
    rng = np.random.default_rng(seed)
    arrays = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays]

    def run(replaced: dict[str, NDArray]) -> tuple[Any, Any]:
        fresh = [None if a is None else replaced.get(name, a).copy() for name, a in zip(names, arrays, strict=True)]
        return forward(*fresh, **settings)

    names = _argument_names(forward, len(arrays))
    y, cache = run({})
    dy = np.asarray(rng.standard_normal(np.shape(y)))
    dy_before = dy.copy()
    found = backward(dy, cache)
    gradients = dict(zip(names, found if isinstance(found, tuple) else (found,), strict=False))
    inputs = {name: a for name, a in zip(names, arrays, strict=True) if a is not None and name in gradients}
    rows = gradient_errors(
        lambda point: np.sum(run(point)[0] * dy),
        gradients,
        inputs,
        samples=samples,
        directions=directions,
        seed=seed,
        method=method,
    )
    problems = [] if np.array_equal(dy, dy_before) else ["backward changes dy; it belongs to the caller."]
    problems += [
        f"backward returns a gradient for {name}, which was None."
        for name in gradients
        if name not in inputs and gradients[name] is not None
    ]
    name = getattr(forward, "__name__", "op")
    return Report(name, rows, TOLERANCE[method] if tolerance is None else tolerance, problems)


def assert_gradients(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., Any],
    arrays: Sequence[NDArray | None],
    **options: Any,
) -> None:
    """``check_gradients`` for tests: raises AssertionError with the whole report if a gradient is wrong.

    >>> from pellucid import ops
    >>> assert_gradients(ops.tanh, lambda dy, cache: dy, [np.ones(2)])
    Traceback (most recent call last):
    AssertionError: tanh: WRONG
      x  (2,)  2 elements  error 5.8e-01  <-- above 1e-09
    """
    check_gradients(forward, backward, arrays, **options).verify()


def adjoint_error(
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[..., Any],
    arrays: Sequence[NDArray | None],
    argument: int = 0,
    *,
    seed: int = 0,
    **settings: Any,
) -> float:
    """How far an op that is linear in one argument is from ⟨dy, A x⟩ = ⟨Aᵀ dy, x⟩, relative to |dy| |A x|.

    The identity needs no numerical derivative, and holds for float32 as well as for compiled kernels.

    >>> from pellucid import ops
    >>> x = np.random.default_rng(0).normal(size=(1, 6, 6, 2))
    >>> adjoint_error(ops.average_pool2d, ops.average_pool2d_backward, [x], pool_size=3) < 1e-14
    True
    """
    y, cache = forward(*arrays, **settings)
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
    found = backward(dy, cache)
    gradient = (found if isinstance(found, tuple) else (found,))[argument]
    x = np.asarray(arrays[argument])
    size = np.linalg.norm(dy) * np.linalg.norm(y)
    return float(abs(np.vdot(dy, y) - np.vdot(gradient, x)) / max(size, np.finfo(y.dtype).tiny))


def _argument_names(function: Callable[..., Any], count: int) -> list[str]:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [p.name for p in inspect.signature(function).parameters.values() if p.kind in positional][:count]
    return names + [f"argument{n}" for n in range(len(names) + 1, count + 1)]
