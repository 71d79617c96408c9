"""Filters are worth what the network loses without them."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import explain
from pellucid.metrics import evaluation

from .models import MODELS, images


def accuracy(model, x, y):
    return model.evaluate(x, y)["accuracy"]


def test_the_most_valuable_filters_cost_more_accuracy_than_random_ones(trained):
    """Ranked on some images, tested on others."""
    model, x, y, x_test, y_test = trained
    whole = accuracy(model, x_test, y_test)
    assert whole > 0.9
    found = explain.ablation(model, x, y, "conv1")
    assert found.accuracy == pytest.approx(accuracy(model, x, y))
    count, rng = 5, np.random.default_rng(0)
    without_best = accuracy(explain.without_filters(model, "conv1", found.ranking[:count]), x_test, y_test)
    without_worst = accuracy(explain.without_filters(model, "conv1", found.ranking[-count:]), x_test, y_test)
    without_random = [
        accuracy(explain.without_filters(model, "conv1", rng.permutation(16)[:count]), x_test, y_test)
        for _ in range(20)
    ]
    assert whole - without_best > 1.5 * (whole - np.mean(without_random))
    assert without_best < min(without_random) + 0.02
    assert without_worst > np.mean(without_random)


@pytest.mark.parametrize("replace", ["zero", "mean"])
@pytest.mark.parametrize("layer", ["conv2", "residual1/body/relu1", "concatenate1/branch2/depthwise_conv1", "dense1"])
def test_each_filter_is_silenced_as_if_by_hand(layer, replace):
    model, x, y = MODELS["tangled"](), images(12), np.arange(12) % 5
    found = explain.ablation(model, x, y, layer, replace=replace, batch_size=5)
    maps = explain.activations(model, x, [layer])[layer]
    mean = maps.reshape(-1, maps.shape[-1]).mean(axis=0)
    for filter in (0, 3):
        value = mean[filter] if replace == "mean" else 0.0
        if layer == "dense1" and replace == "zero":  # probabilities that do not sum to one any more
            probabilities = maps.copy()
            probabilities[:, filter] = 0
        else:
            probabilities = explain.without_filters(model, layer, [filter], value=value).predict(x)
        expected, whole = evaluation(y, probabilities), evaluation(y, model.predict(x))
        assert found.accuracy_drop[filter] == pytest.approx(whole.accuracy - expected.accuracy)
        assert found.loss_rise[filter] == pytest.approx(expected.log_loss - whole.log_loss, abs=1e-5)
        drop = [a.recall - b.recall for a, b in zip(whole.classes, expected.classes, strict=True)]
        np.testing.assert_allclose(found.class_drop[filter], drop, atol=1e-9)


def test_a_filter_nobody_listens_to_is_worth_nothing():
    model, x, y = MODELS["plain"](), images(12), np.arange(12) % 5
    model.params["conv2/kernel"][:, :, 2] = 0  # nothing reads channel 2
    found = explain.ablation(model, x, y, "conv1")
    assert abs(found.loss_rise[2]) < 1e-6
    assert np.abs(found.loss_rise).max() > 1e-3
    assert found.to_dict()["ranking"][0] == np.argmax(found.loss_rise)


def test_silencing_shares_weights_and_leaves_the_model_alone():
    model, x = MODELS["plain"](), images(2)
    before = model.predict(x)
    silenced = explain.without_filters(model, "conv1", [0, 1], value=[1, 2, 3, 4, 5, 6])
    maps = explain.activations(silenced, x, ["conv1"])["conv1"]
    assert (maps[..., 0] == 1).all()
    assert (maps[..., 1] == 2).all()
    assert silenced.params["conv1/kernel"] is model.params["conv1/kernel"]
    assert not np.allclose(silenced.predict(x), before)
    np.testing.assert_array_equal(model.predict(x), before)


def test_silencing_a_layer_that_passes_its_input_on_changes_nothing_before_it():
    """Dropout gives back the very array it was fed."""
    model, x = MODELS["tangled"](), images(2)
    silenced = explain.without_filters(model, "dropout1", range(6), value=7)
    found = explain.activations(silenced, x, ["average_pool1", "dropout1"])
    assert (found["dropout1"] == 7).all()
    expected = explain.activations(model, x, ["average_pool1"])["average_pool1"]
    np.testing.assert_array_equal(found["average_pool1"], expected)
