"""Activations: the non-linear functions between the linear ops. All but softmax act on each number alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class OutputCache(NamedTuple):
    """For functions whose derivative is simplest in terms of their output."""

    y: NDArray


def relu(x: NDArray) -> tuple[NDArray, OutputCache]:
    """max(x, 0). NaN stays NaN, so that a network that has gone wrong shows it.

    >>> relu(np.array([-1.0, 2.0, np.nan]))[0]
    array([ 0.,  2., nan])
    """
    y = np.where(x.real <= 0, 0, x)
    return y, OutputCache(y)


def relu_backward(dy: NDArray, cache: OutputCache) -> NDArray:
    """0 where the output is 0, else dy (at exactly 0 the derivative is taken as 0)."""
    return np.where(cache.y.real <= 0, 0, dy)


class SlopeCache(NamedTuple):
    x: NDArray
    negative_slope: float


def leaky_relu(x: NDArray, *, negative_slope: float = 0.3) -> tuple[NDArray, SlopeCache]:
    """x for x > 0, negative_slope · x otherwise. The slope's default is Keras's; PyTorch's is 0.01.

    Source: Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML 2013.

    >>> leaky_relu(np.array([-1.0, 2.0]))[0]
    array([-0.3,  2. ])
    """
    return np.where(x.real > 0, x, negative_slope * x), SlopeCache(x, negative_slope)


def leaky_relu_backward(dy: NDArray, cache: SlopeCache) -> NDArray:
    """dy for x > 0, negative_slope · dy otherwise."""
    return np.where(cache.x.real > 0, dy, cache.negative_slope * dy)


def sigmoid(x: NDArray) -> tuple[NDArray, OutputCache]:
    """1 / (1 + e⁻ˣ), written with e^-|x| so that nothing overflows.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))[0]
    array([0. , 0.5, 1. ])
    """
    y = _sigmoid(x)
    return y, OutputCache(y)


def sigmoid_backward(dy: NDArray, cache: OutputCache) -> NDArray:
    """dy · y (1 - y)."""
    return dy * cache.y * (1 - cache.y)


def tanh(x: NDArray) -> tuple[NDArray, OutputCache]:
    """The hyperbolic tangent.

    >>> tanh(np.array([0.0]))[0]
    array([0.])
    """
    y = np.tanh(x)
    return y, OutputCache(y)


def tanh_backward(dy: NDArray, cache: OutputCache) -> NDArray:
    """dy · (1 - y²)."""
    return dy * (1 - cache.y * cache.y)


class EluCache(NamedTuple):
    y: NDArray
    alpha: float


def elu(x: NDArray, *, alpha: float = 1.0) -> tuple[NDArray, EluCache]:
    """x for x > 0, alpha (eˣ - 1) otherwise.

    Source: Clevert, Unterthiner, Hochreiter, "Fast and accurate deep network learning by ELUs", arXiv:1511.07289.

    >>> elu(np.array([-1000.0, 2.0]))[0]
    array([-1.,  2.])
    """
    positive = x.real > 0
    y = np.where(positive, x, alpha * np.expm1(np.where(positive, 0, x)))
    return y, EluCache(y, alpha)


def elu_backward(dy: NDArray, cache: EluCache) -> NDArray:
    """dy for y > 0, dy · (y + alpha) otherwise, since alpha eˣ = y + alpha."""
    return np.where(cache.y.real > 0, dy, dy * (cache.y + cache.alpha))


class SiluCache(NamedTuple):
    x: NDArray
    sigmoid: NDArray


def silu(x: NDArray) -> tuple[NDArray, SiluCache]:
    """x · sigmoid(x), also called swish.

    Source: Elfwing, Uchibe, Doya, "Sigmoid-weighted linear units", arXiv:1702.03118.

    >>> silu(np.array([0.0]))[0]
    array([0.])
    """
    s = _sigmoid(x)
    return x * s, SiluCache(x, s)


def silu_backward(dy: NDArray, cache: SiluCache) -> NDArray:
    """dy · s (1 + x (1 - s)) with s = sigmoid(x)."""
    x, s = cache
    return dy * s * (1 + x * (1 - s))


class GeluCache(NamedTuple):
    x: NDArray
    approximate: bool


_TANH_SCALE, _TANH_CUBE = math.sqrt(2 / math.pi), 0.044715


def gelu(x: NDArray, *, approximate: bool = False) -> tuple[NDArray, GeluCache]:
    """x · Φ(x) with the normal distribution function Φ(x) = (1 + erf(x / √2)) / 2.

    ``approximate=True`` takes Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.

    Source: Hendrycks, Gimpel, "Gaussian error linear units", arXiv:1606.08415.

    >>> gelu(np.array([0.0, 1.0]))[0].round(4), gelu(np.array([1.0]), approximate=True)[0].round(4)
    (array([0.    , 0.8413]), array([0.8412]))
    """
    y = x * _normal_distribution(x, approximate)
    return y, GeluCache(x, approximate)


def gelu_backward(dy: NDArray, cache: GeluCache) -> NDArray:
    """dy · (Φ(x) + x Φ'(x)), where Φ' is the normal density, or the derivative of the tanh formula."""
    x, approximate = cache
    phi = _normal_distribution(x, approximate)
    if approximate:
        slope = 2 * phi * (1 - phi) * _TANH_SCALE * (1 + 3 * _TANH_CUBE * x * x)
    else:
        slope = np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
    return dy * (phi + x * slope)


def softmax(x: NDArray) -> tuple[NDArray, OutputCache]:
    """y[k] = eˣ[k] / Σ_j eˣ[j] along the last axis; the largest x is subtracted first, which changes nothing but overflow.

    >>> softmax(np.array([[1000.0, 1000.0]]))[0]
    array([[0.5, 0.5]])
    """
    exponentials = np.exp(x - x.real.max(axis=-1, keepdims=True))
    y = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return y, OutputCache(y)


def softmax_backward(dy: NDArray, cache: OutputCache) -> NDArray:
    """dx = y · (dy - Σ_j dy[j] y[j])."""
    y = cache.y
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def log_softmax(x: NDArray) -> tuple[NDArray, OutputCache]:
    """log softmax(x) = x - log Σ_j eˣ[j] along the last axis, without ever taking the logarithm of 0.

    >>> log_softmax(np.array([[0.0, -2000.0]]))[0]
    array([[ 0., -2000.]])
    """
    shifted = x - x.real.max(axis=-1, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return y, OutputCache(y)


def log_softmax_backward(dy: NDArray, cache: OutputCache) -> NDArray:
    """dx = dy - softmax(x) · Σ_j dy[j]."""
    return dy - np.exp(cache.y) * dy.sum(axis=-1, keepdims=True)


def _sigmoid(x: NDArray) -> NDArray:
    positive = x.real > 0
    e = np.exp(np.where(positive, -x, x))  # e^-|x|, at most 1
    return np.where(positive, 1, e) / (1 + e)


def _normal_distribution(x: NDArray, approximate: bool) -> NDArray:
    if approximate:
        return 0.5 * (1 + np.tanh(_TANH_SCALE * (x + _TANH_CUBE * x * x * x)))
    from scipy.special import erf  # slow to load, and nothing else here needs it

    return 0.5 * (1 + erf(x * math.sqrt(0.5)))
