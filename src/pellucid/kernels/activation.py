"""Activations; the twin of ``ops/activation.py``. One pass over memory each, exponentials included.

``eˣ`` is written out in float32 arithmetic (argument reduction by powers of two and a polynomial, after Cephes' ``expf``), so
that the compiler turns the whole loop into vector instructions; a call to the C library per number would not allow that.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .buffers import aligned
from .jit import FLOAT, IN1, INT, OUT1, TEAM, Kernel, array_of, inline, kernel, named
from .threads import next_chunk, parallel_for

CHUNK = 1 << 14  # numbers


class XCache(NamedTuple):
    x: NDArray[np.float32]


class YCache(NamedTuple):
    y: NDArray[np.float32]


class SlopeCache(NamedTuple):
    x: NDArray[np.float32]
    negative_slope: float


class EluCache(NamedTuple):
    y: NDArray[np.float32]
    alpha: float


class GeluCache(NamedTuple):
    x: NDArray[np.float32]
    approximate: bool


def accepts_elementwise(x: NDArray, **settings: object) -> bool:
    """Float32 arrays of any shape."""
    return x.dtype == np.float32 and x.size > 0


_f = np.float32
_LOG2E, _LN2_HIGH, _LN2_LOW = _f(1.44269504088896341), _f(0.693359375), _f(-2.12194440e-4)
_P0, _P1, _P2 = _f(1.9875691500e-4), _f(1.3981999507e-3), _f(8.3334519073e-3)
_P3, _P4, _P5 = _f(4.1665795894e-2), _f(1.6666665459e-1), _f(5.0000001201e-1)
_ZERO, _HALF, _ONE, _TWO = _f(0), _f(0.5), _f(1), _f(2)
_LEAST, _MOST = _f(-87), _f(88)
_SQRT_HALF, _DENSITY = _f(math.sqrt(0.5)), _f(1 / math.sqrt(2 * math.pi))
_TANH_SCALE, _TANH_CUBE, _TANH_SLOPE = _f(math.sqrt(2 / math.pi)), _f(0.044715), _f(3 * 0.044715)


@inline
def _powers(x):
    """(2ⁿ, eʳ - 1) with x = n ln 2 + r and |r| ≤ ln 2 / 2."""
    x = min(max(x, _LEAST), _MOST)
    n = np.floor(x * _LOG2E + _HALF)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    p = (((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5) * (r * r) + r
    return np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32), p


@inline
def exp(x):
    """eˣ, which is 0 where it is smaller than any normal float32."""
    power, p = _powers(x)
    return _ZERO if x <= _LEAST else power * p + power  # NaN stays NaN


@inline
def _expm1(x):
    """eˣ - 1 without loss near 0."""
    power, p = _powers(x)
    return power * p + (power - _ONE)


@inline
def _sigmoid(x):
    """1 / (1 + e⁻ˣ), from e^-|x| so that nothing overflows."""
    e = exp(-abs(x))
    return (_ONE if x > _ZERO else e) / (_ONE + e)


@inline
def _tanh(x):
    """The hyperbolic tangent from t = e^-2|x| - 1: -t / (t + 2), with the sign of x."""
    t = _expm1(-_TWO * abs(x))
    y = -t / (t + _TWO)
    return -y if x < _ZERO else y


@inline
def _erf(x):
    """The error function as a ratio of polynomials on [-4, 4] (Eigen's, exact to about one unit in the last place)."""
    x = min(max(x, _f(-4)), _f(4))  # not by ifs: two of them in a formula, and LLVM leaves the loop scalar
    s = x * x
    p = ((_f(-2.72614225801306e-10) * s + _f(2.77068142495902e-08)) * s + _f(-2.10102402082508e-06)) * s
    p = (((p + _f(-5.69250639462346e-05)) * s + _f(-7.34990630326855e-04)) * s + _f(-2.95459980854025e-03)) * s
    q = ((_f(-1.45660718464996e-05) * s + _f(-2.13374055278905e-04)) * s + _f(-1.68282697438203e-03)) * s
    return x * (p + _f(-1.60960333262415e-02)) / ((q + _f(-7.37332916720468e-03)) * s + _f(-1.42647390514189e-02))


@inline
def _density(x):
    """The normal density, up to the smallest normal float32."""
    power, p = _powers(-_HALF * x * x)
    return _DENSITY * (power * p + power)


@inline
def _phi(x, approximate):
    """The normal distribution function, or its approximation by a hyperbolic tangent."""
    if approximate:
        return _HALF * (_ONE + _tanh(_TANH_SCALE * (x + _TANH_CUBE * x * x * x)))
    return _HALF * (_ONE + _erf(x * _SQRT_HALF))


@inline
def _relu_formula(x, a):
    return _ZERO if x <= _ZERO else x  # NaN stays NaN


@inline
def _relu_slope(y, dy, a):
    return _ZERO if y <= _ZERO else dy


@inline
def _leaky_formula(x, a):
    return x if x > _ZERO else a * x


@inline
def _leaky_slope(x, dy, a):
    return dy if x > _ZERO else a * dy


@inline
def _sigmoid_formula(x, a):
    return _sigmoid(x)


@inline
def _sigmoid_slope(y, dy, a):
    return dy * y * (_ONE - y)


@inline
def _tanh_formula(x, a):
    return _tanh(x)


@inline
def _tanh_slope(y, dy, a):
    return dy * (_ONE - y * y)


@inline
def _elu_formula(x, a):
    return x if x > _ZERO else a * _expm1(x)


@inline
def _elu_slope(y, dy, a):
    return dy if y > _ZERO else dy * (y + a)


@inline
def _silu_formula(x, a):
    return x * _sigmoid(x)


@inline
def _silu_slope(x, dy, a):
    s = _sigmoid(x)
    return dy * s * (_ONE + x * (_ONE - s))


@inline
def _gelu_formula(x, a):
    return x * _phi(x, False)


@inline
def _gelu_slope(x, dy, a):
    return dy * (_phi(x, False) + x * _density(x))


@inline
def _gelu_tanh_formula(x, a):
    return x * _phi(x, True)


@inline
def _gelu_tanh_slope(x, dy, a):
    phi = _phi(x, True)
    slope = _TWO * phi * (_ONE - phi) * _TANH_SCALE * (_ONE + _TANH_SLOPE * x * x)
    return dy * (phi + x * slope)


def _forward(name: str, formula) -> Kernel:
    """y = formula(x, a) as a kernel; one chunk is CHUNK numbers."""

    @kernel(TEAM, INT, IN1, FLOAT, OUT1)
    @named(f"{name}_forward")
    def run(team, chunks, x, a, y):
        chunk = next_chunk(team)
        while chunk < chunks:
            source, target = x[chunk * CHUNK : (chunk + 1) * CHUNK], y[chunk * CHUNK : (chunk + 1) * CHUNK]
            for i in range(target.size):
                target[i] = formula(source[i], a)
            chunk = next_chunk(team)

    return run


def _backward(name: str, slope) -> Kernel:
    """dx = slope(kept, dy, a) as a kernel, where ``kept`` is x or y, whichever makes the derivative simpler."""

    @kernel(TEAM, INT, IN1, IN1, FLOAT, OUT1)
    @named(f"{name}_backward")
    def run(team, chunks, kept, dy, a, dx):
        chunk = next_chunk(team)
        while chunk < chunks:
            source, target = kept[chunk * CHUNK : (chunk + 1) * CHUNK], dx[chunk * CHUNK : (chunk + 1) * CHUNK]
            gradient = dy[chunk * CHUNK : (chunk + 1) * CHUNK]
            for i in range(target.size):
                target[i] = slope(source[i], gradient[i], a)
            chunk = next_chunk(team)

    return run


_FORMULAS = {
    "relu": (_relu_formula, _relu_slope),
    "leaky_relu": (_leaky_formula, _leaky_slope),
    "sigmoid": (_sigmoid_formula, _sigmoid_slope),
    "tanh": (_tanh_formula, _tanh_slope),
    "elu": (_elu_formula, _elu_slope),
    "silu": (_silu_formula, _silu_slope),
    "gelu": (_gelu_formula, _gelu_slope),
    "gelu_tanh": (_gelu_tanh_formula, _gelu_tanh_slope),
}
_FORWARD = {name: _forward(name, formula) for name, (formula, _) in _FORMULAS.items()}
_BACKWARD = {name: _backward(name, slope) for name, (_, slope) in _FORMULAS.items()}


def _apply(name: str, x: NDArray, a: float = 0.0) -> tuple[NDArray, NDArray]:
    """(x as the kernels want it, y)."""
    x = array_of(x)
    y = aligned(x.shape)
    parallel_for(_FORWARD[name], -(-x.size // CHUNK), x.reshape(-1), a, y.reshape(-1))
    return x, y


def _derive(name: str, kept: NDArray, dy: NDArray, a: float = 0.0) -> NDArray:
    dx = aligned(kept.shape)
    arguments = kept.reshape(-1), array_of(dy).reshape(-1), a, dx.reshape(-1)
    parallel_for(_BACKWARD[name], -(-kept.size // CHUNK), *arguments)
    return dx


def relu(x: NDArray) -> tuple[NDArray, YCache]:
    """max(x, 0); NaN stays NaN."""
    _, y = _apply("relu", x)
    return y, YCache(y)


def relu_backward(dy: NDArray, cache: YCache) -> NDArray:
    """0 where the output is 0, else dy."""
    return _derive("relu", cache.y, dy)


def leaky_relu(x: NDArray, *, negative_slope: float = 0.3) -> tuple[NDArray, SlopeCache]:
    """x for x > 0, negative_slope · x otherwise."""
    x, y = _apply("leaky_relu", x, negative_slope)
    return y, SlopeCache(x, negative_slope)


def leaky_relu_backward(dy: NDArray, cache: SlopeCache) -> NDArray:
    """dy for x > 0, negative_slope · dy otherwise."""
    return _derive("leaky_relu", cache.x, dy, cache.negative_slope)


def sigmoid(x: NDArray) -> tuple[NDArray, YCache]:
    """1 / (1 + e⁻ˣ)."""
    _, y = _apply("sigmoid", x)
    return y, YCache(y)


def sigmoid_backward(dy: NDArray, cache: YCache) -> NDArray:
    """dy · y (1 - y)."""
    return _derive("sigmoid", cache.y, dy)


def tanh(x: NDArray) -> tuple[NDArray, YCache]:
    """The hyperbolic tangent."""
    _, y = _apply("tanh", x)
    return y, YCache(y)


def tanh_backward(dy: NDArray, cache: YCache) -> NDArray:
    """dy · (1 - y²)."""
    return _derive("tanh", cache.y, dy)


def elu(x: NDArray, *, alpha: float = 1.0) -> tuple[NDArray, EluCache]:
    """x for x > 0, alpha (eˣ - 1) otherwise."""
    _, y = _apply("elu", x, alpha)
    return y, EluCache(y, alpha)


def elu_backward(dy: NDArray, cache: EluCache) -> NDArray:
    """dy for y > 0, dy · (y + alpha) otherwise."""
    return _derive("elu", cache.y, dy, cache.alpha)


def silu(x: NDArray) -> tuple[NDArray, XCache]:
    """x · sigmoid(x)."""
    x, y = _apply("silu", x)
    return y, XCache(x)


def silu_backward(dy: NDArray, cache: XCache) -> NDArray:
    """dy · s (1 + x (1 - s)) with s = sigmoid(x), computed again: that is cheaper than to keep it."""
    return _derive("silu", cache.x, dy)


def gelu(x: NDArray, *, approximate: bool = False) -> tuple[NDArray, GeluCache]:
    """x · Φ(x) with the normal distribution function Φ."""
    x, y = _apply("gelu_tanh" if approximate else "gelu", x)
    return y, GeluCache(x, approximate)


def gelu_backward(dy: NDArray, cache: GeluCache) -> NDArray:
    """dy · (Φ(x) + x Φ'(x))."""
    return _derive("gelu_tanh" if cache.approximate else "gelu", cache.x, dy)
