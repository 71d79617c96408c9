"""Penalties on weights: their gradients, who pays them, what is reported."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, regularizers
from pellucid.layers import BatchNormalization, Conv2D, Dense, Flatten
from pellucid.regularizers import L1, L1L2, L2

X = np.random.default_rng(0).standard_normal((6, 6, 6, 2)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])


def network(penalties: dict | None = None, **settings: object) -> Sequential:
    model = Sequential([Conv2D(4, 3, activation="tanh"), BatchNormalization(), Flatten(), Dense(3, "softmax")])
    model.compile("sgd", "cce", learning_rate=0.1, input_shape=(6, 6, 2), regularizers=penalties, **settings)
    return model


def test_gradients_are_those_of_loss_and_penalty():
    model = network({"*/kernel": L1L2(0.01, 0.02), "dense1/bias": L1(0.3), "batch_norm1/*": L2(0.1)})
    rows = model.gradient_check(samples=4)
    assert max(row.error for row in rows) < 1e-9
    plain, _ = network().gradients(X, Y)
    logs, gradients = model.gradients(X, Y)
    assert logs["loss"] == plain["loss"]  # the loss of the data alone
    params = model.params
    expected = sum(0.01 * abs(params[p]).sum() + 0.02 * (params[p] ** 2).sum() for p in params if p.endswith("kernel"))
    assert logs["penalty"] == pytest.approx(expected + 0.1 * (params["batch_norm1/gamma"] ** 2).sum(), rel=1e-5)
    assert gradients["conv1/kernel"].dtype == np.float32


def test_the_last_pattern_that_fits_counts():
    found = regularizers.resolve({"*": L2(1.0), "*/bias": L2(0.0)}, ["conv1/kernel", "conv1/bias"])
    assert found == {"conv1/kernel": L2(1.0), "conv1/bias": L2(0.0)}


def test_frozen_weights_pay_nothing():
    model = network({"*/kernel": L2(0.1)})
    model.layers[0].trainable = False
    logs, gradients = model.gradients(X, Y)
    assert logs["penalty"] == pytest.approx(0.1 * (model.params["dense1/kernel"] ** 2).sum(), rel=1e-5)
    assert "conv1/kernel" not in gradients


def test_training_reports_the_penalty_and_makes_it_smaller():
    model = network({"*/kernel": {"l2": 0.5}})
    history = model.fit(X, Y, batch_size=3, epochs=5, verbose=0)
    penalties = [row["train_penalty"] for row in history.rows]
    assert penalties == sorted(penalties, reverse=True)
    assert "penalty" not in model.evaluate(X, Y)


@pytest.mark.parametrize(
    ("penalties", "text"),
    [
        ({"conv7/*": L2()}, r"pattern 'conv7/\*' fits no parameter. The parameters are conv1/kernel"),
        ({"*": {"l2": -1}}, "l2 of a regularizer was -1"),
        ({"*": {"lasso": 1}}, "has no setting 'lasso'"),
        ({"*": 0.1}, r"regularizer of '\*' was 0.1; wanted L1"),
        ([L2()], "wanted penalties by pattern"),
    ],
)
def test_wrong_settings_are_explained_before_anything_has_changed(penalties, text):
    model = network()
    before = model.optimizer
    with pytest.raises(PellucidError, match=text):
        model.compile("adam", "cce", regularizers=penalties)
    assert model.optimizer is before
