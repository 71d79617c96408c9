"""Muon: the step of a kernel is the nearest orthogonal matrix to its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .steps import Steps, prepared

Arrays = Sequence[NDArray]
Product = Callable[..., NDArray]

COEFFICIENTS = 3.4445, -4.7750, 2.0315


def product(a: NDArray, b: NDArray, *, transpose_a: bool = False, transpose_b: bool = False) -> NDArray:
    """A B, either one transposed if asked: (M, K) (K, N) -> (M, N)."""
    return np.matmul(a.T if transpose_a else a, b.T if transpose_b else b)


def orthogonalize(g: NDArray, iterations: int, product: Product = product) -> NDArray:
    """Nearly U Vᵀ, where g = U S Vᵀ is the singular value decomposition: (M, N) -> (M, N).

    Newton-Schulz: X ← a X + (b A + c A²) X with A = X Xᵀ, or the same from the right where that is smaller. This applies
    the polynomial a s + b s³ + c s⁵ to every singular value s; these a, b, c take small ones towards 1 as quickly as can be and
    leave all between about 0.7 and 1.2.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon, 2024.

    >>> x = orthogonalize(np.diag([3.0, 2.0, 1.0]), iterations=5)
    >>> np.linalg.svd(x)[1].round(1)
    array([1.1, 0.7, 0.7])
    """
    a, b, c = COEFFICIENTS
    x = g / (math.sqrt(np.square(g, dtype=np.float64).sum()) + 1e-7)
    tall = g.shape[0] > g.shape[1]
    for _ in range(iterations):
        gram = product(x, x, transpose_a=True) if tall else product(x, x, transpose_b=True)
        polynomial = b * gram + c * product(gram, gram)
        x = a * x + (product(x, polynomial) if tall else product(polynomial, x))
    return x


def muon(
    params: Arrays,
    gradients: Arrays,
    velocities: Arrays,
    steps: Steps,
    *,
    momentum: float,
    nesterov: bool,
    iterations: int,
    normalize: bool,
    product: Product = product,
) -> None:
    """v ← momentum · v + g, w ← w - rate · √max(1, N/M) · orthogonalize(v), with Nesterov of g + momentum · v.

    Kernels (…, CI, CO) are taken as matrices (M, N) = (… · CI, CO). ``normalize`` first gives w the length √N.
    """
    for w, v, (g, rate) in zip(params, velocities, prepared(params, gradients, steps), strict=True):
        v *= momentum
        v += g
        matrix = (g + momentum * v if nesterov else v).reshape(-1, w.shape[-1])
        if normalize:
            w *= math.sqrt(w.shape[-1] / max(np.square(w, dtype=np.float64).sum(), 1e-30))
        rate *= math.sqrt(max(1.0, matrix.shape[1] / matrix.shape[0]))
        w -= rate * orthogonalize(matrix, iterations, product).reshape(w.shape)
