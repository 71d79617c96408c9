"""Scores, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import PellucidError, metrics

OUTPUTS = np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.2, 0.5, 0.3]])
LABELS = np.array([2, 1, 0, 1])


@pytest.mark.parametrize("targets", [LABELS, LABELS[:, None], np.eye(3)[LABELS], LABELS.astype(np.uint8)])
def test_accuracy_says_for_every_sample_whether_the_largest_output_is_right(targets):
    np.testing.assert_array_equal(metrics.accuracy(OUTPUTS, targets), [True, False, False, True])


@pytest.mark.parametrize("targets", [np.array([1, 0, 0]), np.array([[1.0], [0.0], [0.0]])])
def test_accuracy_of_one_output_compares_with_the_threshold(targets):
    outputs = np.array([[0.7], [0.6], [0.2]])
    np.testing.assert_array_equal(metrics.accuracy(outputs, targets), [True, False, True])
    np.testing.assert_array_equal(metrics.accuracy(outputs - 0.65, targets, 0.0), [True, True, True])


def test_top_k_agrees_with_sorting():
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(50, 8)), rng.integers(8, size=50)
    order = outputs.argsort(axis=1)[:, ::-1]
    for k in (1, 3, 5, 8):
        expected = [label in row[:k] for label, row in zip(labels, order, strict=True)]
        np.testing.assert_array_equal(metrics.top_k(k)(outputs, labels, 0.5), expected)
        np.testing.assert_array_equal(metrics.top_k(k)(outputs, np.eye(8)[labels], 0.5), expected)
    np.testing.assert_array_equal(metrics.top_k(1)(outputs, labels, 0.5), metrics.accuracy(outputs, labels))


def test_outputs_that_are_not_numbers_are_not_among_the_largest():
    assert not metrics.top_k(3)(np.full((3, 10), np.nan), np.array([0, 1, 3]), 0.5).any()


def test_outputs_that_are_not_numbers_are_never_right():
    assert not metrics.accuracy(np.full((3, 10), np.nan), np.array([0, 1, 0])).any()
    assert not metrics.accuracy(np.full((2, 1), np.nan), np.array([0, 1])).any()


@pytest.mark.parametrize("name", metrics.METRICS)
def test_every_metric_gives_one_number_for_each_sample(name):
    outputs = np.random.default_rng(0).normal(size=(5, 10))
    assert metrics.METRICS[name](outputs, np.arange(5), 0.5).shape == (5,)


def test_metrics_by_name():
    assert list(metrics.get(["acc", "top_5_accuracy"])) == ["accuracy", "top_5_accuracy"]
    assert metrics.get("accuracy") == metrics.get(["accuracy"])
    assert metrics.get([]) == {}


@pytest.mark.parametrize(
    ("name", "hint"), [("acuracy", "Did you mean 'accuracy'"), ("f1", "Known: accuracy"), (3, "Known")]
)
def test_unknown_metrics_are_answered_with_the_nearest_one(name, hint):
    with pytest.raises(PellucidError, match=f"There is no metric .*{hint}"):
        metrics.get([name])
