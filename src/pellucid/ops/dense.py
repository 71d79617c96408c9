"""Dense layers: every output sees every input. And ``flatten``, which stands before them."""

from __future__ import annotations

from typing import NamedTuple

from numpy.typing import NDArray

from ..errors import PellucidError, ShapeError


class DenseCache(NamedTuple):
    x: NDArray
    kernel: NDArray
    has_bias: bool


def dense(x: NDArray, kernel: NDArray, bias: NDArray | None = None) -> tuple[NDArray, DenseCache]:
    """y = x kernel + bias.

    Shapes: x (N, CI), kernel (CI, CO), bias (CO,), y (N, CO). Raises ``ShapeError`` if they do not fit.

    >>> import numpy as np
    >>> y, cache = dense(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([0.5]))
    >>> y
    array([[11.5]])
    """
    if x.ndim != 2 or kernel.ndim != 2 or x.shape[1] != kernel.shape[0]:
        raise ShapeError(
            f"dense got x of shape {x.shape} and a kernel of shape {kernel.shape}; wanted (N, CI) and (CI, CO)."
        )
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ShapeError(
            f"dense got a bias of shape {bias.shape}; wanted {kernel.shape[1:]}, one number for each unit."
        )
    y = x @ kernel
    if bias is not None:
        y += bias
    return y, DenseCache(x, kernel, bias is not None)


def dense_backward(
    dy: NDArray, cache: DenseCache, *, input_gradient: bool = True
) -> tuple[NDArray | None, NDArray, NDArray | None]:
    """dx = dy kernelᵀ,  dkernel = xᵀ dy,  dbias = Σ_n dy.

    Shapes: dy (N, CO); returns dx (N, CI) or None, dkernel (CI, CO), dbias (CO,) or None.

    >>> import numpy as np
    >>> y, cache = dense(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    >>> dense_backward(np.array([[10.0]]), cache)
    (array([[30., 40.]]), array([[10.], [20.]]), None)
    """
    x, kernel, has_bias = cache
    dx = dy @ kernel.T if input_gradient else None
    return dx, x.T @ dy, dy.sum(axis=0) if has_bias else None


class FlattenCache(NamedTuple):
    x_shape: tuple[int, ...]
    channels_first: bool


def flatten(x: NDArray, *, data_format: str = "channels_last") -> tuple[NDArray, FlattenCache]:
    """(N, H, W, C) -> (N, H·W·C). The order is that of Keras: the channel runs fastest.

    ``data_format="channels_first"`` gives PyTorch's order, in which the column runs fastest and the channel slowest.

    >>> import numpy as np
    >>> x = np.arange(4.0).reshape(1, 1, 2, 2)
    >>> flatten(x)[0], flatten(x, data_format="channels_first")[0]
    (array([[0., 1., 2., 3.]]), array([[0., 2., 1., 3.]]))
    """
    if data_format not in ("channels_last", "channels_first"):
        raise PellucidError(f"data_format was {data_format!r}; wanted 'channels_last' or 'channels_first'.")
    channels_first = data_format == "channels_first" and x.ndim == 4
    y = x.transpose(0, 3, 1, 2) if channels_first else x
    return y.reshape(len(x), -1), FlattenCache(x.shape, channels_first)


def flatten_backward(dy: NDArray, cache: FlattenCache) -> NDArray:
    """The same numbers in the shape, and at the places, they came from: (N, H·W·C) -> (N, H, W, C)."""
    if not cache.channels_first:
        return dy.reshape(cache.x_shape)
    n, h, w, c = cache.x_shape
    return dy.reshape(n, c, h, w).transpose(0, 2, 3, 1)
