"""First values of weights.

``fan_in`` is how many inputs one output sums over, ``fan_out`` how many outputs one input reaches. Scaling by them keeps
the size of activations, or of gradients, the same from layer to layer. All but the ``*_uniform`` and ``orthogonal`` ones draw
from a normal distribution cut off at two standard deviations and widened again to the stated variance, as Keras does.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .errors import PellucidError, nearest

Initializer = Callable[[tuple[int, ...], tuple[int, int], np.random.Generator], NDArray[np.float64]]

# The standard deviation of a standard normal distribution cut off at ±2.
_TRUNCATED_STD = 0.87962566103423978


def _truncated_normal(shape: tuple[int, ...], std: float, rng: np.random.Generator) -> NDArray[np.float64]:
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values * (std / _TRUNCATED_STD)


def _scaled(scale: float, mode: str, distribution: str) -> Initializer:
    """Variance scale / fan, with fan = fan_in, fan_out or their mean."""

    def initialize(shape: tuple[int, ...], fans: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
        fan = {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": sum(fans) / 2}[mode]
        std = math.sqrt(scale / max(fan, 1))
        if distribution == "uniform":
            return rng.uniform(-math.sqrt(3) * std, math.sqrt(3) * std, shape)
        return _truncated_normal(shape, std, rng)

    return initialize


_TORCH_UNIFORM = _scaled(1 / 3, "fan_in", "uniform")  # in ±1/√fan_in


def orthogonal(shape: tuple[int, ...], fans: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Rows or columns of length 1, at right angles to each other, all leading axes taken as one.

    Source: Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning", arXiv:1312.6120.
    """
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diag(r) < 0, -1, 1)  # makes the distribution uniform over rotations
    return (q if rows >= columns else q.T).reshape(shape)


def orthogonal_pairs(shape: tuple[int, ...], fans: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Orthogonal columns, followed by their negatives."""
    half = orthogonal((*shape[:-1], shape[-1] // 2), fans, rng)
    return np.concatenate([half, -half], axis=-1)


def identity(shape: tuple[int, ...], fans: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Filter k of a convolution passes input channel k through; filters beyond the inputs are drawn "torch_uniform".

    For kernels (KH, KW, CI, CO) and (CI, CO).

    Source: Zagoruyko, Komodakis, "DiracNets", arXiv:1706.00388.

    >>> identity((3, 3, 2, 2), (18, 18), np.random.default_rng(0))[1, 1]
    array([[1., 0.],
           [0., 1.]])
    """
    kernel = _TORCH_UNIFORM(shape, fans, rng)
    same = min(shape[-2:])
    centre = tuple(size // 2 for size in shape[:-2])
    kernel[..., :same] = 0
    kernel[centre][np.arange(same), np.arange(same)] = 1
    return kernel


def constant(value: float) -> Initializer:
    """Every weight is ``value``."""
    return lambda shape, fans, rng: np.full(shape, float(value))


INITIALIZERS: dict[str, Initializer] = {
    "zeros": constant(0),
    "ones": constant(1),
    # Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010
    "glorot_uniform": _scaled(1, "fan_avg", "uniform"),
    "glorot_normal": _scaled(1, "fan_avg", "normal"),
    # He, Zhang, Ren, Sun, "Delving deep into rectifiers", arXiv:1502.01852
    "he_uniform": _scaled(2, "fan_in", "uniform"),
    "he_normal": _scaled(2, "fan_in", "normal"),
    # LeCun, Bottou, Orr, Müller, "Efficient backprop", 1998
    "lecun_uniform": _scaled(1, "fan_in", "uniform"),
    "lecun_normal": _scaled(1, "fan_in", "normal"),
    "torch_uniform": _TORCH_UNIFORM,  # what PyTorch's convolutions and linear layers begin with
    "orthogonal": orthogonal,
    "orthogonal_pairs": orthogonal_pairs,
    "identity": identity,
}


def initialize(
    initializer: str | float, shape: tuple[int, ...], fans: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a weight of ``shape`` by the initializer of this name; a number means that constant.

    >>> kernel = initialize("he_normal", (3, 3, 16, 32), (144, 288), np.random.default_rng(0))
    >>> round(float(kernel.std()), 2)                       # sqrt(2 / 144)
    0.12
    >>> initialize(0.5, (2,), (1, 1), np.random.default_rng(0))
    array([0.5, 0.5])
    """
    if isinstance(initializer, int | float | np.number):
        return constant(float(initializer))(shape, fans, rng)
    if initializer not in INITIALIZERS:
        raise PellucidError(f"There is no initializer {initializer!r}. {nearest(str(initializer), INITIALIZERS)}")
    return INITIALIZERS[initializer](shape, fans, rng)
