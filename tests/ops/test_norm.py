"""Batch normalisation: its statistics, and the two dialects of moving them."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.ops import batch_norm, batch_norm_backward

X = np.random.default_rng(0).normal(3.0, 2.0, size=(4, 5, 3, 2))
AXES = (0, 1, 2)


def statistics():
    return np.array([0.5, -1.0]), np.array([2.0, 0.25])


def test_in_training_every_channel_gets_mean_0_and_variance_1():
    y, _ = batch_norm(X, None, None, *statistics(), training=True, epsilon=0.0)
    np.testing.assert_allclose(y.mean(axis=AXES), 0, atol=1e-14)
    np.testing.assert_allclose(y.var(axis=AXES), 1, rtol=1e-13)


def test_gamma_and_beta_become_the_deviation_and_the_mean():
    gamma, beta = np.array([3.0, 0.5]), np.array([-7.0, 1.0])
    y, _ = batch_norm(X, gamma, beta, *statistics(), training=True, epsilon=0.0)
    np.testing.assert_allclose(y.mean(axis=AXES), beta, rtol=1e-13)
    np.testing.assert_allclose(y.std(axis=AXES), gamma, rtol=1e-13)


def test_the_moving_variance_is_keras_biased_by_default():
    mean, variance = statistics()
    batch_norm(X, None, None, mean, variance, training=True, momentum=0.9)
    np.testing.assert_allclose(mean, 0.9 * statistics()[0] + 0.1 * X.mean(axis=AXES), rtol=1e-14)
    np.testing.assert_allclose(variance, 0.9 * statistics()[1] + 0.1 * X.var(axis=AXES), rtol=1e-14)


def test_the_moving_variance_can_be_pytorchs_unbiased_one():
    mean, variance = statistics()
    y, _ = batch_norm(X, None, None, mean, variance, training=True, momentum=0.9, unbiased=True)
    np.testing.assert_allclose(variance, 0.9 * statistics()[1] + 0.1 * X.var(axis=AXES, ddof=1), rtol=1e-14)
    biased, _ = batch_norm(X, None, None, *statistics(), training=True)
    np.testing.assert_array_equal(y, biased)  # the output itself always uses the biased variance


def test_the_defaults_are_those_of_keras():
    mean, variance = statistics()
    y, _ = batch_norm(X, None, None, mean, variance, training=True)
    np.testing.assert_allclose(mean, 0.99 * statistics()[0] + 0.01 * X.mean(axis=AXES), rtol=1e-14)
    np.testing.assert_allclose(y, (X - X.mean(axis=AXES)) / np.sqrt(X.var(axis=AXES) + 1e-3), rtol=1e-12, atol=1e-14)


def test_inference_uses_the_moving_statistics_and_leaves_them_alone():
    mean, variance = statistics()
    y, _ = batch_norm(X, None, None, mean, variance, training=False, epsilon=1e-3)
    np.testing.assert_allclose(y, (X - mean) / np.sqrt(variance + 1e-3), rtol=1e-14)
    np.testing.assert_array_equal(mean, statistics()[0])
    np.testing.assert_array_equal(variance, statistics()[1])


def test_the_moving_statistics_converge_to_those_of_the_batch():
    mean, variance = statistics()
    for _ in range(100):
        batch_norm(X, None, None, mean, variance, training=True, momentum=0.5)
    np.testing.assert_allclose(mean, X.mean(axis=AXES), rtol=1e-14)
    np.testing.assert_allclose(variance, X.var(axis=AXES), rtol=1e-14)


def test_a_single_value_per_channel_is_survived():
    y, cache = batch_norm(np.array([[5.0, 7.0]]), None, None, *statistics(), training=True, unbiased=True)
    assert y.tolist() == [[0, 0]]
    dx, _, _ = batch_norm_backward(np.ones((1, 2)), cache)
    np.testing.assert_array_equal(dx, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_channel_is_survived(dtype):
    x = np.full((3, 2, 2, 2), 4, dtype)
    y, cache = batch_norm(x, None, None, *(s.astype(dtype) for s in statistics()), training=True)
    assert not y.any()
    assert np.isfinite(batch_norm_backward(np.ones_like(y), cache)[0]).all()


def test_in_training_the_gradient_carries_no_mean_and_no_scale():
    """The output does not change if x is shifted or stretched, so neither direction may have a derivative."""
    _, cache = batch_norm(X, np.array([2.0, 3.0]), None, *statistics(), training=True, epsilon=0.0)
    dx, _, _ = batch_norm_backward(np.random.default_rng(1).normal(size=X.shape), cache)
    np.testing.assert_allclose(dx.sum(axis=AXES), 0, atol=1e-12)
    np.testing.assert_allclose((dx * X).sum(axis=AXES), 0, atol=1e-12)


def test_a_large_mean_does_not_drown_the_variance_in_float32():
    x = (1000 + np.random.default_rng(0).normal(size=(64, 4, 4, 2))).astype(np.float32)
    y, _ = batch_norm(x, None, None, np.zeros(2, np.float32), np.ones(2, np.float32), training=True)
    np.testing.assert_allclose(y.std(axis=AXES), 1, rtol=1e-2)
