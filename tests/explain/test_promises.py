"""What holds for all explanations: the model stays as it was, backends and batches make no difference, names are checked."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, backend, explain
from pellucid.layers import Dense, Flatten, GlobalAveragePooling2D

from .models import MODELS, NAMES, images

X, Y = images(6), np.array([0, 1, 2, 3, 4, 0])

# Every function that takes a model: how to call it, and the numbers that come of it. ``b`` is the batch size.
CALLS = {
    "ablation": lambda m, b: explain.ablation(m, X, Y, "conv1", batch_size=b).loss_rise,
    "activations": lambda m, b: np.concatenate([a.ravel() for a in explain.activations(m, X, batch_size=b).values()]),
    "arithmetic": lambda m, b: np.array(
        [s := explain.arithmetic(m, X[:1], "conv1", row=2, column=3, filter=1), s.total, s.gradient.dz][1:]
    ),
    "cluster_filters": lambda m, b: explain.cluster_filters(m, X, "conv1", batch_size=b).correlation,
    "dead_units": lambda m, b: np.concatenate([u.astype(int) for u in explain.dead_units(m, X, batch_size=b).values()]),
    "default_layer": lambda m, b: np.array([len(explain.default_layer(m))]),
    "feature_map": lambda m, b: np.abs(explain.feature_map(m, X, batch_size=b)),
    "features": lambda m, b: explain.features(m, X, batch_size=b),
    "filter_statistics": lambda m, b: explain.filter_statistics(m, X, batch_size=b)["conv1"].std,
    "filters": lambda m, b: explain.filters(m),
    "grad_cam": lambda m, b: explain.grad_cam(m, X, batch_size=b).values,
    "gradient_flow": lambda m, b: np.array([row[1:] for row in explain.gradient_flow(m, X, Y)]),
    "integrated_gradients": lambda m, b: explain.integrated_gradients(m, X, steps=4, batch_size=b).values,
    "maximally_activating": lambda m, b: explain.maximally_activating(m, X, "conv1", top=2, batch_size=b).values,
    "occlusion": lambda m, b: explain.occlusion(m, X, batch_size=b).values,
    "receptive_field": lambda m, b: np.array(explain.receptive_field(m, "conv1", 1, 2)),
    "receptive_fields": lambda m, b: np.nan_to_num([f.size for f in explain.receptive_fields(m).values()], posinf=99),
    "saliency": lambda m, b: explain.saliency(m, X, batch_size=b).values,
    "smooth_grad": lambda m, b: explain.smooth_grad(m, X, samples=2, batch_size=b).values,
    "without_filters": lambda m, b: explain.without_filters(m, "conv1", [0, 2]).predict(X, batch_size=b),
}


def everything(model: Sequential) -> dict:
    """All that a model holds, in copies."""
    attributes = {
        (layer.name, key): value
        for layer in model.walk()
        for key, value in vars(layer).items()
        if key not in ("_params", "_state", "_plans")
    }
    arrays = {path: array.tobytes() for path, array in (model.params | model.state).items()}
    return {"arrays": arrays, "attributes": attributes, "plans": list(model._plans), "config": model.config()}


def test_every_explanation_is_among_the_calls():
    functions = {name for name in explain.__all__ if inspect.isfunction(getattr(explain, name))}
    assert functions == CALLS.keys()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("function", CALLS)
def test_explaining_changes_nothing_and_backends_and_batches_agree(name, function):
    model = MODELS[name]()
    before = everything(model)
    results = []
    for engine, batch_size in (("native", 6), ("native", 4), ("numpy", 4)):
        with backend.using(engine):
            results.append(CALLS[function](model, batch_size))
    assert everything(model) == before
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], atol=2e-4 * max(1e-3, np.abs(results[0]).max()))


def test_no_explanation_runs_the_plan_where_layers_between_would_be_missing():
    model = MODELS["plain"]()
    model.predict(X)  # makes the plan, in which max_pool1 has swallowed the convolution before it
    assert list(explain.activations(model, X)) == ["conv1", "max_pool1", "conv2", "flatten1", "dense1", "dense2"]
    assert explain.grad_cam(model, X, layer="conv1").maps.shape == (6, 5, 5)


# What is explained ----------------------------------------------------------------------------------------------------


def test_without_a_class_the_predicted_one_is_explained():
    model = MODELS["plain"]()
    found = explain.saliency(model, X)
    np.testing.assert_array_equal(found.classes, model.predict(X).argmax(axis=1))
    chosen = explain.saliency(model, X, found.classes)
    np.testing.assert_array_equal(found.values, chosen.values)
    assert (explain.saliency(model, X, "cow").classes == 2).all()
    assert (explain.saliency(model, X, ["bee", "cow"] * 3).classes == [1, 2] * 3).all()


def test_scores_are_logits_in_front_of_softmax_or_probabilities():
    model, rows = MODELS["plain"](), np.arange(6)
    logits = model.without_activation()(X)
    found = explain.saliency(model, X, 2)
    np.testing.assert_allclose(found.scores, logits[:, 2], rtol=1e-5)
    assert found.score == "logit, before softmax"
    found = explain.saliency(model, X, of="probability")
    np.testing.assert_allclose(found.scores, model.predict(X)[rows, found.classes], rtol=1e-5)
    assert found.score == "probability"


def test_gradients_are_numerical_derivatives_of_the_score():
    for of in ("logit", "probability"):
        model, x = MODELS["tangled"]().astype(np.float64), X[:1].astype(np.float64)
        found = explain.saliency(model, x, 3, of=of)
        for place in [(0, 0, 0, 0), (0, 4, 5, 1), (0, 6, 6, 2)]:
            step = np.zeros_like(x)
            step[place] = 1e-6
            ahead, behind = (explain.saliency(model, x + s, 3, of=of).scores[0] for s in (step, -step))
            assert found.values[place] == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-9)


def test_one_output_stands_for_two_classes():
    model = Sequential([Flatten(), Dense(1, activation="sigmoid")])
    model.build((7, 7, 3), seed=1)
    kernel = model.params["dense1/kernel"].reshape(7, 7, 3)
    np.testing.assert_allclose(explain.saliency(model, X, 1).values[0], kernel, rtol=1e-6)
    np.testing.assert_allclose(explain.saliency(model, X, 0).values[0], -kernel, rtol=1e-6)
    no = explain.occlusion(model, X, 0, of="probability")
    np.testing.assert_allclose(no.scores, 1 - model.predict(X)[:, 0], rtol=1e-5)
    found = explain.saliency(model, X, of="probability")
    np.testing.assert_array_equal(found.classes, model.predict(X)[:, 0] > 0.5)


def test_integrated_gradients_add_up_to_the_score():
    model = MODELS["tangled"]()
    found = explain.integrated_gradients(model, X, 1, steps=200)
    nothing = explain.saliency(model, np.zeros_like(X), 1).scores
    np.testing.assert_allclose(found.values.sum(axis=(1, 2, 3)), found.scores - nothing, atol=0.02)


def test_heat_folds_channels_by_sign_or_by_size():
    model = MODELS["plain"]()
    signed, size = explain.integrated_gradients(model, X, steps=3), explain.saliency(model, X)
    np.testing.assert_allclose(signed.heat, signed.values.sum(axis=3))
    np.testing.assert_allclose(size.heat, np.abs(size.values).max(axis=3))


def test_smooth_grad_without_noise_is_saliency_and_depends_on_the_seed_alone():
    model = MODELS["plain"]()
    np.testing.assert_allclose(
        explain.smooth_grad(model, X, samples=2, noise=0).values,
        explain.saliency(model, X).values,
        rtol=1e-5,
        atol=1e-7,
    )
    first, again, other = (explain.smooth_grad(model, X, samples=2, seed=seed).values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_channels_first_models_are_explained_in_the_order_of_the_layers():
    model, other = MODELS["plain"](), MODELS["plain"]()
    other.data_format = "channels_first"
    np.testing.assert_array_equal(
        explain.saliency(other, X.transpose(0, 3, 1, 2)).values, explain.saliency(model, X).values
    )


# Mistakes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: explain.grad_cam(m, X, layer="cnv2"), "has no layer 'cnv2'. Did you mean 'conv2'"),
        (lambda m: explain.activations(m, X, ["residual1/body/conv9"]), "Did you mean 'residual1/body/conv2'"),
        (lambda m: explain.grad_cam(m, X, layer="dense1"), "'dense1' has no maps .* These do: conv1"),
        (lambda m: explain.filters(m, "relu1"), "'relu1' has no filters"),
        (lambda m: explain.arithmetic(m, X[:1], "batch_norm1"), "no windows that slide"),
        (lambda m: explain.arithmetic(m, X, "conv1"), "got 6 images; wanted one"),
        (lambda m: explain.arithmetic(m, X[:1], "conv1", row=7), "has 7 rows.*row 7 is none"),
        (lambda m: explain.receptive_field(m, "conv1", 0, 7), "have 7 columns"),
        (lambda m: explain.saliency(m, X, "bea"), "no class 'bea'. Did you mean 'bee'"),
        (lambda m: explain.saliency(m, X, 5), "no class 5; the model has the classes 0 … 4"),
        (lambda m: explain.saliency(m, X, [1, 2]), "2 classes for 6 images"),
        (lambda m: explain.saliency(m, X, of="logits"), "Did you mean 'logit'"),
        (lambda m: explain.saliency(m, X[..., 0]), "wanted .N, 7, 7, 3."),
        (lambda m: explain.saliency(m, X, batch_size=0), "at least 1"),
        (lambda m: explain.ablation(m, X, Y, "conv1", replace="men"), "Did you mean 'mean'"),
        (lambda m: explain.ablation(m, X, Y + 1, "conv1"), "whole numbers from 0 to 4"),
        (lambda m: explain.without_filters(m, "conv1", [6]), "has the filters 0 … 5"),
        (lambda m: explain.feature_map(m, X, method="tnse"), "Did you mean 'tsne'"),
        (lambda m: explain.feature_map(m, X[:2]), "at least 3"),
        (lambda m: explain.smooth_grad(m, X, samples=0), "at least 1 sample"),
        (lambda m: explain.integrated_gradients(m, X, steps=0), "steps was 0"),
    ],
)
def test_mistakes_are_answered_with_what_to_do(call, message):
    with pytest.raises(PellucidError, match=message):
        call(MODELS["tangled"]())


def test_networks_that_lack_what_is_asked_for_say_so():
    flat = Sequential([Flatten(), Dense(5)])
    with pytest.raises(PellucidError, match="no weights yet"):
        explain.saliency(flat, X)
    flat.build((7, 7, 3))
    with pytest.raises(PellucidError, match="No layer of this network puts out maps"):
        explain.grad_cam(flat, X)
    with pytest.raises(PellucidError, match="no convolution"):
        explain.filters(flat)
    with pytest.raises(PellucidError, match="ends in a linear layer, so it has no probabilities"):
        explain.saliency(flat, X, of="probability")
    pooled = Sequential([GlobalAveragePooling2D()])
    pooled.build((7, 7, 3))
    with pytest.raises(PellucidError, match="learned no features"):
        explain.features(pooled, X)


def test_default_layer_is_the_last_with_maps_of_its_own():
    assert explain.default_layer(MODELS["plain"]()) == "conv2"
    assert explain.default_layer(MODELS["tangled"]()) == "conv2"  # behind it stand pooling and dropout
    assert explain.grad_cam(MODELS["tangled"](), X).layer == "conv2"
    assert len(NAMES) == 5
