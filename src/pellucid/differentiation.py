"""Numerical derivatives: what every hand-written gradient of this library is measured against.

Two ways to differentiate a function along a direction v without knowing its formula:

- the complex step, ``Im f(x + i h v) / h`` with h = 1e-30. Nothing is subtracted, so nothing is lost: the result is exact to
  rounding. It needs a function whose code is analytic, as all of ``pellucid.ops`` is (comparisons look at the real part).
  Source: Squire, Trapp, "Using complex variables to estimate derivatives of real functions", SIAM Review 40 (1998).
- central differences, ``(f(x + h v) - f(x - h v)) / 2h`` with h = 1e-6: good to about nine digits, and independent of
  everything complex numbers could hide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import PellucidError, nearest

COMPLEX_STEP, CENTRAL_STEP = 1e-30, 1e-6
NEGLIGIBLE = 1e-4  # of the largest gradient of all: what the gradients of an array are at least measured against


class CheckedGradient(NamedTuple):
    """How far the gradient of one array is from its numerical derivatives."""

    path: str
    shape: tuple[int, ...]
    checked: int  # how many elements were looked at one by one
    error: float  # the largest relative error; inf if the gradient is missing, not finite or of another shape


Loss = Callable[[dict[str, NDArray]], "complex | NDArray"]


def gradient_errors(
    loss: Loss,
    gradients: Mapping[str, NDArray | None],
    params: Mapping[str, NDArray],
    *,
    samples: int = 20,
    directions: int = 3,
    seed: int = 0,
    method: str = "complex",
) -> list[CheckedGradient]:
    """Compares ``gradients`` with numerical derivatives of ``loss`` by every array of ``params``.

    Arrays of at most ``samples`` elements are checked element by element. Of larger ones that many elements are drawn,
    and ``directions`` directions on top: vectors of random signs, along which one wrong element among thousands shows
    with its full size.

    The error of one derivative is ``|analytic - numeric| / largest |gradient of that array|``. Where all gradients of an
    array are below 1e-4 of the largest gradient of all arrays, that small part of it takes their place: the bias in front
    of a batch normalisation has a gradient of exactly zero, and its rounding errors mean nothing.

    Parameters
    ----------
    loss
        the scalar to differentiate, of a dict like ``params``. It must give the same number for the same arrays each time
        (fixed dropout, no moving statistics carried over) and must not change them. With ``method="complex"`` it is called
        with complex128 arrays and must return a complex number.
    gradients
        what is to be checked, by path; best computed in float64.
    params
        the point at which to check; any float dtype, used in float64.
    method
        ``"complex"`` or ``"central"``, see the top of this module.

    >>> point = {"a": np.array([1.0, 2.0]), "b": np.array([3.0])}
    >>> def loss(p):
    ...     return (p["a"] ** 2).sum() * p["b"][0]
    >>> right = {"a": np.array([6.0, 12.0]), "b": np.array([5.0])}
    >>> wrong = {"a": np.array([6.0, 6.0]), "b": np.array([5.0])}
    >>> [row.error < 1e-12 for row in gradient_errors(loss, right, point)]
    [True, True]
    >>> gradient_errors(loss, wrong, point)[0]
    CheckedGradient(path='a', shape=(2,), checked=2, error=1.0)
    """
    derivative = _derivative(method)
    dtype = np.complex128 if method == "complex" else np.float64
    point = {path: np.asarray(value).astype(dtype) for path, value in params.items()}
    sizes = {path: _largest(gradients.get(path)) for path in point}
    floor = max(NEGLIGIBLE * max(sizes.values(), default=0.0), float(np.finfo(np.float64).tiny))
    rows = []
    for path, value in point.items():
        gradient = gradients.get(path)
        if gradient is None or gradient.shape != value.shape or not np.isfinite(gradient).all():
            rows.append(CheckedGradient(path, value.shape, 0, np.inf))
            continue
        rng = np.random.default_rng([seed, len(rows)])
        scale = max(sizes[path], floor)
        worst = 0.0
        for v in _directions(value.shape, samples, directions, rng):
            numeric = derivative(loss, point, path, v)
            error = abs(float(np.sum(gradient * v)) - numeric) / scale
            worst = max(worst, error if np.isfinite(error) else np.inf)
        rows.append(CheckedGradient(path, value.shape, min(samples, value.size), worst))
    return rows


def _largest(gradient: NDArray | None) -> float:
    if gradient is None or not gradient.size or not np.isfinite(gradient).all():
        return 0.0
    return float(np.abs(gradient).max())


def _directions(shape: tuple[int, ...], samples: int, directions: int, rng: np.random.Generator) -> Iterator[NDArray]:
    """Unit vectors of single elements, and vectors of random signs where not every element had its turn."""
    size = int(np.prod(shape))
    elements = range(size) if size <= samples else rng.choice(size, samples, replace=False)
    for element in elements:
        v = np.zeros(shape)
        v.flat[element] = 1
        yield v
    if size > samples:
        for _ in range(directions):
            yield rng.choice([-1.0, 1.0], shape)


def _derivative(method: str) -> Callable[[Loss, dict[str, NDArray], str, NDArray], float]:
    methods = {"complex": _complex_step, "central": _central_difference}
    if method not in methods:
        raise PellucidError(f"method was {method!r}. {nearest(str(method), methods)}")
    return methods[method]


def _complex_step(loss: Loss, point: dict[str, NDArray], path: str, v: NDArray) -> float:
    value = loss(point | {path: point[path] + 1j * COMPLEX_STEP * v})
    return float(np.imag(value)) / COMPLEX_STEP


def _central_difference(loss: Loss, point: dict[str, NDArray], path: str, v: NDArray) -> float:
    above = loss(point | {path: point[path] + CENTRAL_STEP * v})
    below = loss(point | {path: point[path] - CENTRAL_STEP * v})
    return (float(np.real(above)) - float(np.real(below))) / (2 * CENTRAL_STEP)
