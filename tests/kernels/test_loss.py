"""Softmax and cross-entropy in one kernel are the reference, for any labels, weights and smoothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import backend, ops
from pellucid.errors import PellucidError, ShapeError
from pellucid.kernels import loss


@settings(deadline=None)  # the first example compiles
@given(
    n=st.integers(1, 300),
    classes=st.integers(2, 120),
    scale=st.sampled_from([1e-3, 1.0, 30.0, 1e4]),
    smoothing=st.sampled_from([0.0, 0.1, 0.9]),
    reduction=st.sampled_from(["mean", "weighted_mean", "sum"]),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_batch_equals_the_reference(same_bits, n, classes, scale, smoothing, reduction, weighted, seed):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal((n, classes))).astype(np.float32)
    labels = rng.integers(classes, size=n).astype(rng.choice(["uint8", "int32", "int64"]))
    weights = rng.uniform(0, 2, n) if weighted else None
    how = {"label_smoothing": smoothing, "reduction": reduction}
    assert loss.accepts(logits, labels, weights, **how)

    def native():
        value, slopes = loss.softmax_cross_entropy(logits, labels, weights, **how)
        return np.array([value]), loss.softmax_cross_entropy_backward(-0.5, slopes)

    (value,), slopes = same_bits(native)
    wanted, cache = ops.softmax_cross_entropy(logits.astype(np.float64), labels, weights, **how)
    wanted_slopes = ops.softmax_cross_entropy_backward(-0.5, cache)
    np.testing.assert_allclose(value, wanted, rtol=2e-6 * np.sqrt(classes), atol=1e-6 * abs(cache.share).sum())
    assert slopes.dtype == value.dtype == np.float32
    np.testing.assert_allclose(slopes, wanted_slopes, rtol=0, atol=2e-6 * abs(cache.share).max())


@pytest.mark.parametrize("wrong", [-1, 3, 255])
def test_a_label_that_is_no_class_is_named(wrong):
    with (
        backend.using("native"),
        pytest.raises(PellucidError, match=rf"Labels must lie in 0 … 2.*the first is {wrong}"),
    ):
        backend.forward("softmax_cross_entropy", np.zeros((4, 3), np.float32), np.array([0, wrong, 2, 1]))


def test_weights_that_do_not_fit_are_refused():
    with backend.using("native"), pytest.raises(ShapeError, match="weights of shape"):
        backend.forward("softmax_cross_entropy", np.zeros((4, 3), np.float32), np.zeros(4, int), np.ones(3))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(bad):
    logits = np.zeros((4, 3), np.float32)
    logits[2, 1] = bad
    value, slopes = loss.softmax_cross_entropy(logits, np.array([0, 1, 2, 1]))
    assert np.isnan(value)
    assert np.isnan(slopes[2]).any()
    assert np.isfinite(slopes[[0, 1, 3]]).all()


@pytest.mark.parametrize(
    ("logits", "targets"),
    [
        (np.zeros((4, 3), np.float32), np.full((4, 3), 1 / 3)),  # probabilities
        (np.zeros((4, 3)), np.zeros(4, int)),  # float64
        (np.zeros((4, 1), np.float32), np.zeros(4, int)),  # a single output
    ],
)
def test_everything_else_is_the_references(logits, targets):
    assert not loss.accepts(logits, targets)
    with backend.using("native"):
        assert not backend.is_native("softmax_cross_entropy", logits, targets)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_labels_of_any_width_are_the_kernels(dtype):
    with backend.using("native"):
        assert backend.is_native("softmax_cross_entropy", np.zeros((4, 3), np.float32), np.zeros(4, dtype))
