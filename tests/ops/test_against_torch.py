"""Every op and all its gradients against PyTorch in float64, over drawn shapes and settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.special import softmax as normalised

from pellucid import ops

from .counterparts import COUNTERPARTS, F, compare, torch
from .records import RECORDS
from .strategies import convolutions, drawn, lay_out, layouts, losses, poolings

ACTIVATIONS = [
    ("relu", {}),
    ("leaky_relu", {"negative_slope": 0.01}),
    ("sigmoid", {}),
    ("tanh", {}),
    ("elu", {"alpha": 0.7}),
    ("silu", {}),
    ("gelu", {}),
    ("gelu", {"approximate": True}),
    ("softmax", {}),
    ("log_softmax", {}),
]


def pair(name: str):
    return getattr(ops, name), getattr(ops, f"{name}_backward")


def test_every_op_has_a_counterpart():
    assert {record.op for record in RECORDS} == set(COUNTERPARTS)


@pytest.mark.parametrize("record", RECORDS, ids=str)
def test_every_record_agrees(record):
    names = record.forward.__code__.co_varnames
    count = 1 + max(names.index(name) for name in record.gradients)
    compare(record.forward, record.backward, record.arrays(), count, **record.settings)


@drawn
@given(case=convolutions())
def test_convolutions_agree(case):
    arrays, settings = case
    compare(*pair("conv2d"), arrays, 3, **settings)


@drawn
@given(case=poolings())
def test_max_poolings_agree(case):
    arrays, settings = case
    compare(*pair("max_pool2d"), arrays, 1, **settings)


@drawn
@given(case=poolings(), count_padding=st.booleans())
def test_average_poolings_agree(case, count_padding):
    arrays, settings = case
    compare(*pair("average_pool2d"), arrays, 1, count_padding=count_padding, **settings)


@drawn
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.lists(st.integers(1, 5), min_size=3, max_size=3),
    has_bias=st.booleans(),
    layout=layouts,
)
def test_dense_agrees(seed, shape, has_bias, layout):
    rng, (n, ci, co) = np.random.default_rng(seed), shape
    x, kernel = lay_out(rng.standard_normal((n, ci)), layout), lay_out(rng.standard_normal((ci, co)), layout)
    compare(*pair("dense"), [x, kernel, rng.standard_normal(co) if has_bias else None], 3)


@drawn
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(2, 5), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
    training=st.booleans(),
    affine=st.booleans(),
    vectors=st.booleans(),
    layout=layouts,
)
def test_batch_normalisation_agrees_and_moves_its_statistics_alike(seed, shape, training, affine, vectors, layout):
    rng = np.random.default_rng(seed)
    shape = (shape[0], shape[3]) if vectors else shape
    c = shape[-1]
    x = lay_out(2 + 3 * rng.standard_normal(shape), layout)
    gamma, beta = (rng.standard_normal(c), rng.standard_normal(c)) if affine else (None, None)
    mean, variance = rng.standard_normal(c), rng.uniform(0.5, 2, c)
    settings = {"training": training, "momentum": 0.9, "epsilon": 1e-5, "unbiased": True}
    compare(*pair("batch_norm"), [x, gamma, beta, mean, variance], 3, rtol=1e-8, **settings)
    mean_t, variance_t = torch.from_numpy(mean.copy()), torch.from_numpy(variance.copy())
    ops.batch_norm(x, gamma, beta, mean, variance, **settings)
    COUNTERPARTS["batch_norm"](torch.from_numpy(x.copy()), None, None, mean_t, variance_t, **settings)
    np.testing.assert_allclose(mean, mean_t.numpy(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(variance, variance_t.numpy(), rtol=1e-12)


@pytest.mark.parametrize(("name", "settings"), ACTIVATIONS, ids=str)
def test_activations_agree_up_to_extremes(name, settings):
    rng = np.random.default_rng(0)
    extremes = np.array([-1000.0, -100, -20, -1e-3, -1e-12, 1e-12, 1e-3, 20, 100, 1000])
    compare(*pair(name), [np.stack([extremes, rng.permutation(extremes), rng.normal(size=10)])], 1, **settings)


@pytest.mark.parametrize(("name", "settings"), ACTIVATIONS, ids=str)
def test_activations_agree_at_zero(name, settings):
    """Also on the kinks: the derivative of relu at 0 is 0, as in PyTorch."""
    compare(*pair(name), [np.zeros((2, 3))], 1, **settings)


@drawn
@given(case=losses(least_classes=2), scale=st.sampled_from([1.0, 50.0, 1000.0]))
def test_softmax_cross_entropy_agrees(case, scale):
    logits, targets, weights, options = case
    compare(*pair("softmax_cross_entropy"), [scale * logits, targets, weights], 1, **options)


@drawn
@given(case=losses(least_classes=2))
def test_categorical_cross_entropy_agrees(case):
    numbers, targets, weights, options = case
    probabilities = np.clip(normalised(5 * numbers, axis=1), 1e-4, 1)
    compare(*pair("categorical_cross_entropy"), [probabilities, targets, weights], 1, **options)


@drawn
@given(case=losses(least_classes=1), scale=st.sampled_from([1.0, 50.0, 1000.0]))
def test_sigmoid_cross_entropy_agrees(case, scale):
    logits, targets, weights, options = case
    compare(*pair("sigmoid_cross_entropy"), [scale * logits, targets, weights], 1, **options)


@drawn
@given(case=losses(least_classes=1))
def test_binary_cross_entropy_agrees(case):
    numbers, targets, weights, options = case
    probabilities = np.clip(expit(3 * numbers), 1e-4, 1 - 1e-4)
    compare(*pair("binary_cross_entropy"), [probabilities, targets, weights], 1, **options)


@drawn
@given(case=losses(least_classes=1))
def test_mean_squared_error_agrees(case):
    predictions, targets, weights, options = case
    compare(*pair("mean_squared_error"), [predictions, targets, weights], 1, **options)


@pytest.mark.parametrize("name", ["categorical_cross_entropy", "binary_cross_entropy"])
def test_probabilities_of_zero_and_one_agree(name):
    """Each logarithm is clipped at that of 1e-7, with no gradient beyond."""
    probabilities = np.array([[0.0, 1.0], [1.0, 0.0], [1e-9, 1 - 1e-9], [0.5, 0.5]])
    compare(*pair(name), [probabilities, np.array([0, 0, 0, 1]), None], 1)


def test_class_weights_are_sample_weights_with_a_weighted_mean():
    rng = np.random.default_rng(0)
    logits, labels, class_weights = rng.normal(size=(6, 3)), rng.integers(3, size=6), np.array([0.2, 1.0, 5.0])
    loss, cache = ops.softmax_cross_entropy(logits, labels, class_weights[labels], reduction="weighted_mean")
    logits_t = torch.from_numpy(logits).requires_grad_()
    expected = F.cross_entropy(logits_t, torch.from_numpy(labels), weight=torch.from_numpy(class_weights))
    expected.backward()
    np.testing.assert_allclose(loss, expected.item(), rtol=1e-12)
    np.testing.assert_allclose(ops.softmax_cross_entropy_backward(1.0, cache), logits_t.grad.numpy(), rtol=1e-12)
