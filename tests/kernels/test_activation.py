"""Compiled activations equal the reference to a few units in the last place."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import ops
from pellucid.kernels import activation

ACTIVATIONS = [
    ("relu", {}),
    ("leaky_relu", {"negative_slope": 0.1}),
    ("sigmoid", {}),
    ("tanh", {}),
    ("elu", {"alpha": 0.7}),
    ("silu", {}),
    ("gelu", {}),
    ("gelu", {"approximate": True}),
]


@pytest.mark.parametrize(("name", "settings_"), ACTIVATIONS)
@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])
def test_values_and_gradients_equal_the_reference(same_bits, agrees, name, settings_, spread):
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((5, 13, 17, 37), np.float32) for _ in range(2))
    x *= spread

    def native():
        y, cache = getattr(activation, name)(x, **settings_)
        return y, getattr(activation, f"{name}_backward")(dy, cache)

    y, dx = same_bits(native)
    exact, cache = getattr(ops, name)(x.astype(np.float64), **settings_)
    exact_dx = getattr(ops, f"{name}_backward")(dy.astype(np.float64), cache)
    # a handful of roundings of numbers no larger than 1, which gelu multiplies by x. Derivatives of
    # the form φ + x φ' inherit |x| times the rounding of φ near 1, until φ' is 0 in float32
    agrees("y", y, exact, np.minimum(np.abs(x), 5 if name == "gelu" else 1) + np.abs(exact), 4)
    agrees("dx", dx, exact_dx, np.abs(dy) * (2 + np.minimum(np.abs(x), 16)), 9)


@pytest.mark.parametrize(("name", "settings_"), ACTIVATIONS)
def test_extreme_values_do_not_overflow(name, settings_):
    x = np.array([-np.inf, -3e38, -1000.0, -0.0, 0.0, 1e-42, 1000.0, 3e38], np.float32)
    finite = x[1:]
    y, cache = getattr(activation, name)(finite, **settings_)
    exact = getattr(ops, name)(finite.astype(np.float64), **settings_)[0]
    assert np.allclose(y, exact, rtol=1e-6, atol=1e-30 + 1e-6 * (name == "gelu"))
    assert np.isfinite(getattr(activation, f"{name}_backward")(np.ones_like(y), cache)[1:-1]).all()


@pytest.mark.parametrize(("name", "settings_"), ACTIVATIONS)
def test_nan_stays_nan_both_ways(name, settings_):
    x = np.where(np.arange(100) % 7 == 3, np.nan, 1).astype(np.float32)
    y, cache = getattr(activation, name)(x, **settings_)
    assert np.array_equal(np.isnan(y), np.isnan(x))
    assert np.array_equal(np.isnan(getattr(activation, f"{name}_backward")(x, cache)), np.isnan(x))


def test_views_are_accepted():
    x = np.random.default_rng(0).standard_normal((4, 6, 8), np.float32).T[::2]
    y, cache = activation.relu(x)
    assert np.array_equal(y, np.maximum(x, 0))
    assert np.array_equal(activation.relu_backward(x, cache), np.maximum(x, 0))
