"""Activations at their extremes and kinks, and softmax's own laws."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import ops

NAMES = ["relu", "leaky_relu", "sigmoid", "tanh", "elu", "silu", "gelu", "softmax", "log_softmax"]
EXTREMES = np.array([[-1000.0, -90.0, -1e-30, 0.0], [0.0, 1e-30, 90.0, 1000.0], [-1000.0, 0.0, 0.0, 1000.0]])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_overflows_at_extremes(name, dtype):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, cache = getattr(ops, name)(EXTREMES.astype(dtype))
        dx = getattr(ops, f"{name}_backward")(np.ones_like(y), cache)
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_approximate_gelu_does_not_overflow_either(dtype):
    y, cache = ops.gelu(EXTREMES.astype(dtype), approximate=True)
    assert np.isfinite(y).all()
    assert np.isfinite(ops.gelu_backward(np.ones_like(y), cache)).all()


@pytest.mark.parametrize(
    ("name", "at_minus_1000", "at_1000"),
    [
        ("relu", 0, 1000),
        ("leaky_relu", -300, 1000),
        ("sigmoid", 0, 1),
        ("tanh", -1, 1),
        ("elu", -1, 1000),
        ("silu", 0, 1000),
        ("gelu", 0, 1000),
    ],
)
def test_limits_are_the_known_ones(name, at_minus_1000, at_1000):
    y, _ = getattr(ops, name)(np.array([-1000.0, 1000.0]))
    np.testing.assert_allclose(y, [at_minus_1000, at_1000], rtol=1e-15)


def test_small_numbers_keep_their_digits_in_elu():
    np.testing.assert_allclose(ops.elu(np.array([-1e-12]))[0], [-1e-12], rtol=1e-11)


def test_small_probabilities_keep_their_digits_in_sigmoid():
    np.testing.assert_allclose(ops.sigmoid(np.array([-100.0]))[0], np.exp([-100.0]), rtol=1e-15)


def test_known_values():
    x = np.array([1.0])
    assert ops.silu(x)[0][0] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-15)
    assert ops.gelu(x)[0][0] == pytest.approx(0.8413447460685429, rel=1e-15)  # the normal distribution at 1
    assert ops.gelu(x, approximate=True)[0][0] == pytest.approx(0.8411919906082768, rel=1e-12)


def test_softmax_is_a_distribution():
    y, _ = ops.softmax(np.random.default_rng(0).normal(scale=100, size=(50, 7)))
    assert (y >= 0).all()
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=1e-15)


@pytest.mark.parametrize("shift", [-1e6, 1000.0, 1e6])
def test_softmax_does_not_see_a_shift(shift):
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(ops.softmax(x + shift)[0], ops.softmax(x)[0], rtol=1e-9)
    np.testing.assert_allclose(ops.log_softmax(x + shift)[0], ops.log_softmax(x)[0], rtol=1e-9)


def test_softmax_gives_no_gradient_along_a_shift():
    rng = np.random.default_rng(0)
    for name in ("softmax", "log_softmax"):
        _, cache = getattr(ops, name)(rng.normal(size=(4, 5)))
        dx = getattr(ops, f"{name}_backward")(rng.normal(size=(4, 5)), cache)
        np.testing.assert_allclose(dx.sum(axis=-1), 0, atol=1e-14)


def test_log_softmax_is_the_logarithm_of_softmax_where_that_has_one():
    x = np.random.default_rng(0).normal(size=(4, 5))
    np.testing.assert_allclose(ops.log_softmax(x)[0], np.log(ops.softmax(x)[0]), rtol=1e-12)
    assert ops.log_softmax(np.array([[0.0, -5000.0]]))[0].tolist() == [[0, -5000]]


def test_softmax_works_along_the_last_axis_of_images():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.testing.assert_array_equal(ops.softmax(x)[0][1, 2, 3], ops.softmax(x[1, 2, 3])[0])


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan_both_ways(name):
    with np.errstate(invalid="ignore"):
        y, cache = getattr(ops, name)(np.array([[np.nan, 1.0]]))
        assert np.isnan(y[0, 0])
        assert np.isnan(getattr(ops, f"{name}_backward")(np.array([[np.nan, 1.0]]), cache)[0, 0])
