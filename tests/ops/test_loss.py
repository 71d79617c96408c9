"""Losses: forms of targets, weights, reductions, and numbers that would overflow if computed naively."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import ops
from pellucid.ops.loss import one_hot

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
PROBABILITIES = ops.softmax(LOGITS)[0]
WEIGHTS = np.array([1.0, 0.5, 0.0, 2.0, 3.0])
LOSSES = {
    "softmax_cross_entropy": LOGITS,
    "categorical_cross_entropy": PROBABILITIES,
    "sigmoid_cross_entropy": LOGITS,
    "binary_cross_entropy": PROBABILITIES,
    "mean_squared_error": LOGITS,
}
each_loss = pytest.mark.parametrize("name", LOSSES)


def loss_and_gradient(name, predictions, *arguments, **settings):
    loss, cache = getattr(ops, name)(predictions, *arguments, **settings)
    return float(loss), getattr(ops, f"{name}_backward")(1.0, cache)


@each_loss
@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_labels_columns_and_one_hot_rows_mean_the_same(name, kind):
    loss, gradient = loss_and_gradient(name, LOSSES[name], LABELS.astype(kind))
    for targets in (LABELS[:, None].astype(kind), np.eye(3)[LABELS], np.eye(3, dtype=kind)[LABELS]):
        again, gradient_again = loss_and_gradient(name, LOSSES[name], targets)
        assert again == loss
        np.testing.assert_array_equal(gradient_again, gradient)


@pytest.mark.parametrize("name", ["sigmoid_cross_entropy", "binary_cross_entropy", "mean_squared_error"])
def test_one_output_takes_labels_as_a_vector_or_a_column(name):
    targets = np.array([0, 1, 1, 0, 1])
    expected = loss_and_gradient(name, LOSSES[name][:, :1], targets[:, None].astype(float))
    for form in (targets, targets.astype(bool), targets.astype(float)):
        loss, gradient = loss_and_gradient(name, LOSSES[name][:, :1], form)
        assert loss == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])


@each_loss
def test_reductions_divide_by_samples_by_weights_or_by_nothing(name):
    each = np.array(
        [loss_and_gradient(name, LOSSES[name][n : n + 1], LABELS[n : n + 1])[0] for n in range(len(LABELS))]
    )
    for reduction, divisor in [("mean", 5), ("weighted_mean", WEIGHTS.sum()), ("sum", 1)]:
        loss, _ = loss_and_gradient(name, LOSSES[name], LABELS, WEIGHTS, reduction=reduction)
        assert loss == pytest.approx((WEIGHTS * each).sum() / divisor, rel=1e-13)


@each_loss
def test_a_sample_of_weight_zero_has_no_say(name):
    _, gradient = loss_and_gradient(name, LOSSES[name], LABELS, WEIGHTS)
    assert not gradient[2].any()
    assert gradient[[0, 1, 3, 4]].any(axis=1).all()


@each_loss
def test_no_weights_are_weights_of_one(name):
    loss, gradient = loss_and_gradient(name, LOSSES[name], LABELS)
    for reduction in ("mean", "weighted_mean"):
        again, gradient_again = loss_and_gradient(name, LOSSES[name], LABELS, np.ones(5), reduction=reduction)
        assert again == loss
        np.testing.assert_array_equal(gradient_again, gradient)


@each_loss
def test_label_smoothing_is_a_mixture_of_targets(name):
    rows, a = np.eye(3)[LABELS], 0.3
    classes = 2 if name in ("sigmoid_cross_entropy", "binary_cross_entropy") else 3
    smoothed = loss_and_gradient(name, LOSSES[name], LABELS, label_smoothing=a)
    mixed = loss_and_gradient(name, LOSSES[name], (1 - a) * rows + a / classes)
    assert smoothed[0] == pytest.approx(mixed[0], rel=1e-14)
    np.testing.assert_allclose(smoothed[1], mixed[1], rtol=1e-14, atol=1e-16)


@each_loss
def test_the_gradient_is_scaled_by_dy(name):
    _, cache = getattr(ops, name)(LOSSES[name], LABELS)
    backward = getattr(ops, f"{name}_backward")
    np.testing.assert_allclose(backward(np.array(7.0), cache), 7 * backward(1.0, cache), rtol=1e-14)


@each_loss
def test_integer_targets_do_not_turn_float32_into_float64(name):
    loss, cache = getattr(ops, name)(LOSSES[name].astype(np.float32), LABELS, WEIGHTS, label_smoothing=0.1)
    assert loss.dtype == np.float32
    assert getattr(ops, f"{name}_backward")(1.0, cache).dtype == np.float32


def test_cross_entropy_from_logits_and_from_probabilities_agree():
    assert loss_and_gradient("softmax_cross_entropy", LOGITS, LABELS)[0] == pytest.approx(
        loss_and_gradient("categorical_cross_entropy", PROBABILITIES, LABELS)[0], rel=1e-14
    )
    y, cache = ops.softmax(LOGITS)
    _, through = loss_and_gradient("categorical_cross_entropy", y, LABELS)
    _, fused = loss_and_gradient("softmax_cross_entropy", LOGITS, LABELS)
    np.testing.assert_allclose(ops.softmax_backward(through, cache), fused, rtol=1e-12)


def test_binary_cross_entropy_from_logits_and_from_probabilities_agree():
    y, cache = ops.sigmoid(LOGITS)
    value, through = loss_and_gradient("binary_cross_entropy", y, LABELS)
    fused_value, fused = loss_and_gradient("sigmoid_cross_entropy", LOGITS, LABELS)
    assert value == pytest.approx(fused_value, rel=1e-14)
    np.testing.assert_allclose(ops.sigmoid_backward(through, cache), fused, rtol=1e-12)


def test_the_gradient_of_one_hot_targets_is_probability_minus_target():
    _, gradient = loss_and_gradient("softmax_cross_entropy", LOGITS, LABELS, reduction="sum")
    np.testing.assert_allclose(gradient, PROBABILITIES - np.eye(3)[LABELS], rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "value", "slope"), [("softmax_cross_entropy", 1000, 0.5), ("sigmoid_cross_entropy", 500, 0.25)]
)
def test_hopelessly_wrong_logits_give_a_finite_loss_and_gradient(name, value, slope, dtype):
    logits = np.array([[-1000.0, 1000.0], [1000.0, -1000.0]], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, gradient = loss_and_gradient(name, logits, np.array([0, 0]))
    assert loss == pytest.approx(value)
    assert abs(gradient).max() == pytest.approx(slope)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["categorical_cross_entropy", "binary_cross_entropy"])
def test_probabilities_of_zero_and_one_give_a_finite_loss_and_gradient(name, dtype):
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss, gradient = loss_and_gradient(name, np.array([[0.0, 1.0], [1.0, 0.0]], dtype), np.array([0, 0]))
    assert loss == pytest.approx(-np.log(1e-7) / 2, rel=1e-5)
    assert np.isfinite(gradient).all()
    assert not gradient[0, 0]  # clipped: no gradient


def test_a_perfect_prediction_costs_nothing():
    assert loss_and_gradient("softmax_cross_entropy", 1000 * np.eye(3), np.arange(3))[0] == 0
    assert loss_and_gradient("categorical_cross_entropy", np.eye(3), np.arange(3))[0] == 0
    assert loss_and_gradient("mean_squared_error", np.eye(3), np.arange(3))[0] == 0


def test_an_indifferent_prediction_costs_the_logarithm_of_the_classes():
    assert loss_and_gradient("softmax_cross_entropy", np.zeros((4, 10)), np.arange(4))[0] == pytest.approx(np.log(10))
    assert loss_and_gradient("sigmoid_cross_entropy", np.zeros((4, 1)), np.ones(4))[0] == pytest.approx(np.log(2))


def test_targets_are_not_changed():
    rows = np.eye(3)[LABELS]
    for name, predictions in LOSSES.items():
        loss_and_gradient(name, predictions, rows, label_smoothing=0.5)
    np.testing.assert_array_equal(rows, np.eye(3)[LABELS])


def test_one_hot_has_one_1_per_row_in_the_asked_dtype():
    rows = one_hot(LABELS, 4, np.float64)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows, np.eye(4)[LABELS])


@each_loss
def test_a_batch_in_which_nobody_counts_has_no_loss_and_no_gradient(name):
    for reduction in ("mean", "weighted_mean", "sum"):
        loss, gradient = loss_and_gradient(name, LOSSES[name], LABELS, np.zeros(5), reduction=reduction)
        assert loss == 0
        assert not gradient.any()


@each_loss
def test_nan_is_shown_by_loss_and_gradient(name):
    predictions = LOSSES[name].copy()
    predictions[1, 0] = np.nan
    loss, gradient = loss_and_gradient(name, predictions, np.array([0, 0, 1, 1, 0]))
    assert np.isnan(loss)
    assert np.isnan(gradient[1, 0])
