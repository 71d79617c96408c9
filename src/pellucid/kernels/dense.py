"""Dense layers as matrix products; the twin of ``ops/dense.py``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..ops.dense import dense as reference
from .gemm import matmul
from .jit import array_of
from .sums import sum_rows


class DenseCache(NamedTuple):
    x: NDArray[np.float32]
    kernel: NDArray[np.float32]
    has_bias: bool


def accepts_dense(x: NDArray, kernel: NDArray, bias: NDArray | None = None) -> bool:
    """Float32 matrices of at least one element."""
    arrays = [x, kernel] if bias is None else [x, kernel, bias]
    return all(a.dtype == np.float32 for a in arrays) and x.ndim == kernel.ndim == 2 and x.size > 0 and kernel.size > 0


def dense(x: NDArray, kernel: NDArray, bias: NDArray | None = None) -> tuple[NDArray, DenseCache]:
    """y = x kernel + bias: x (N, CI), kernel (CI, CO), bias (CO,) -> y (N, CO)."""
    if x.shape[1] != kernel.shape[0]:
        reference(x, kernel, bias)  # raises the error that explains it
    x, kernel = array_of(x), array_of(kernel)
    return matmul(x, kernel, bias), DenseCache(x, kernel, bias is not None)


def dense_backward(
    dy: NDArray, cache: DenseCache, *, input_gradient: bool = True
) -> tuple[NDArray | None, NDArray, NDArray | None]:
    """dx = dy kernelᵀ,  dkernel = xᵀ dy,  dbias = Σ_n dy."""
    dy = array_of(dy)
    dx = matmul(dy, cache.kernel, transpose_b=True) if input_gradient else None
    dkernel = matmul(cache.x, dy, transpose_a=True)
    return dx, dkernel, sum_rows(dy) if cache.has_bias else None
