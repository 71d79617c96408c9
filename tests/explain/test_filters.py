"""Filters and their maps: counted by hand from the outputs of the layers."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import backend, explain
from pellucid.layers import Dense, Flatten, WhiteningConv2D
from pellucid.model import Sequential

from .models import MODELS, images

X = images(7)


def outputs(model, path):
    """A layer's outputs, read from a tape of one big batch."""
    return model.forward(X)[1][path].output


@pytest.mark.parametrize("name", MODELS)
def test_activations_of_every_layer_in_order(name):
    model = MODELS[name]()
    found = explain.activations(model, X, batch_size=3)
    assert list(found) == [path for path, _ in model.forward(X)[1].walk()]
    for path, maps in found.items():
        np.testing.assert_allclose(maps, outputs(model, path), rtol=1e-5, atol=1e-6)


def test_filters_are_the_kernels_filter_by_filter():
    model = MODELS["tangled"]()
    np.testing.assert_array_equal(explain.filters(model)[4], model.params["conv1/kernel"][..., 4])
    kernel = model.params["concatenate1/branch2/depthwise_conv1/kernel"]
    found = explain.filters(model, "concatenate1/branch2/depthwise_conv1")
    np.testing.assert_array_equal(found[2 * 3 + 1, :, :, 0], kernel[:, :, 3, 1])
    whitened = Sequential([WhiteningConv2D(2), Flatten(), Dense(2)])
    whitened.build((7, 7, 3))
    assert explain.filters(whitened).shape == (24, 2, 2, 3)
    found[...] = 0  # a copy
    assert kernel.any()


@pytest.mark.parametrize("path", ["residual1/body/conv2", "conv2", "dense1"])
def test_favourites_are_the_images_with_the_largest_activations(path):
    model = MODELS["tangled"]()
    found = explain.maximally_activating(model, X, path, top=3, batch_size=2)
    maps = outputs(model, path)
    strongest = maps.reshape(len(X), -1, maps.shape[-1]).max(axis=1)  # (N, filters)
    for filter in range(maps.shape[-1]):
        order = np.argsort(-strongest[:, filter], kind="stable")[:3]
        np.testing.assert_array_equal(found.images[filter], order)
        for image, value, row, column in zip(
            found.images[filter], found.values[filter], found.rows[filter], found.columns[filter], strict=True
        ):
            where = maps[image, row, column, filter] if maps.ndim == 4 else maps[image, filter]
            assert where == pytest.approx(value, rel=1e-4, abs=1e-6)
    assert (found.rows < 0).all() == (path == "dense1")


def test_what_excites_a_filter_lies_in_its_box():
    """Everything outside the box may change without a change of the activation."""
    model = MODELS["plain"]()
    found = explain.maximally_activating(model, X, "conv2", top=1)
    box = found.box(model, 5, 0)
    image = X[found.images[5, 0]]
    changed = np.full_like(image, 9.0)
    changed[box.top : box.bottom, box.left : box.right] = image[box.top : box.bottom, box.left : box.right]
    value = explain.activations(model, changed[None], ["conv2"])["conv2"][0, found.rows[5, 0], found.columns[5, 0], 5]
    assert value == pytest.approx(found.values[5, 0], rel=1e-5)
    assert (box.bottom - box.top) * (box.right - box.left) < 49


def test_statistics_are_those_of_all_outputs():
    model = MODELS["tangled"]()
    found = explain.filter_statistics(model, X, batch_size=2)
    assert "residual1/body/batch_norm1" in found
    assert not {"flatten1", "residual1"} & found.keys()
    for path in ("relu1", "concatenate1/branch2/max_pool1", "dense1"):
        rows = outputs(model, path)
        rows = rows.reshape(-1, rows.shape[-1]).astype(float)
        np.testing.assert_allclose(found[path].mean, rows.mean(axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[path].std, rows.std(axis=0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[path].active, (rows > 0).mean(axis=0))
        np.testing.assert_allclose(found[path].largest, rows.max(axis=0), rtol=1e-5)


def test_dead_filters_are_found_and_only_they():
    model = MODELS["plain"]()
    assert not explain.filter_statistics(model, X)["conv1"].dead.any()
    model.params["conv1/bias"][[1, 4]] = -1e3
    found = explain.filter_statistics(model, X)
    assert np.flatnonzero(found["conv1"].dead).tolist() == [1, 4]
    assert np.flatnonzero(found["max_pool1"].dead).tolist() == [1, 4]
    assert found["conv1"].to_dict()["dead"] == [False, True, False, False, True, False]


def test_filters_that_say_the_same_are_in_one_group():
    model = MODELS["plain"]()
    kernel, bias = model.params["conv1/kernel"], model.params["conv1/bias"]
    for copy, original in ((3, 0), (5, 2)):
        kernel[..., copy], bias[copy] = 2 * kernel[..., original], 2 * bias[original]
    bias[4] = -1e3
    found = explain.cluster_filters(model, X, "conv1", clusters=3, batch_size=3)
    assert (
        found.labels[3] == found.labels[0] != found.labels[2] == found.labels[5] != found.labels[1] != found.labels[0]
    )
    assert found.labels[4] == -1
    assert found.order[-1] == 4
    rows = outputs(model, "conv1").reshape(-1, 6)[:, [0, 1, 2, 3, 5]]
    np.testing.assert_allclose(
        found.correlation[np.ix_([0, 1, 2, 3, 5], [0, 1, 2, 3, 5])], np.corrcoef(rows.T), atol=1e-4
    )


def test_features_are_what_the_last_layer_is_fed():
    model = MODELS["plain"]()
    rows = explain.features(model, X, batch_size=4)
    logits = rows @ model.params["dense2/kernel"] + model.params["dense2/bias"]
    np.testing.assert_allclose(logits, model.without_activation()(X), rtol=1e-4, atol=1e-5)
    fed = explain.features(MODELS["tangled"](), X, "residual1/body/conv2")
    np.testing.assert_allclose(
        fed, outputs(MODELS["tangled"](), "residual1/body/relu1").reshape(len(X), -1), rtol=1e-5, atol=1e-6
    )


def test_the_map_of_features_keeps_most_of_their_spread():
    model = MODELS["plain"]()
    rows = explain.features(model, X).astype(float)
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    points = explain.feature_map(model, X)
    np.testing.assert_allclose(np.square(points).sum(axis=0), singular[:2] ** 2, rtol=1e-4)
    first, again = (explain.feature_map(model, X, method="tsne", seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.isfinite(first).all()


def test_gradient_flow_has_the_gradients_of_training():
    model, y = MODELS["tangled"](), np.arange(7) % 5
    rows = {row.path: row for row in explain.gradient_flow(model, X, y)}
    _, gradients = model.gradients(X, y)
    assert {path.rpartition("/")[0] for path in gradients} == rows.keys()
    for path in ("conv1", "residual1/body/conv2", "concatenate1/branch2/depthwise_conv1", "dense1"):
        assert rows[path].gradient == pytest.approx(float(np.linalg.norm(gradients[f"{path}/kernel"])), rel=1e-4)
    assert rows["batch_norm1"].gradient == pytest.approx(
        float(np.linalg.norm(gradients["batch_norm1/gamma"])), rel=1e-4
    )
    # The last layer's gradient by its outputs is (probabilities - targets) / N.
    with backend.using("numpy"):
        plain = MODELS["plain"]()
        last = explain.gradient_flow(plain, X, y)[-1]
    error = (plain.predict(X) - np.eye(5)[y]) / len(X)
    assert last.output_gradient == pytest.approx(float(np.sqrt(np.mean(error**2))), rel=1e-5)
