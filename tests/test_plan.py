"""A planned network is the same network."""

from __future__ import annotations

import numpy as np
import pytest

import pellucid as pl
from pellucid import backend, zoo
from pellucid.layers import Chain
from pellucid.plan import planned
from pellucid.randomness import Randomness

SMALLEST = {"cnn1_mnist": (12, 12, 1), "cnn2_mnist": (12, 12, 1), "lenet5": (32, 32, 1)}


def run(network: Chain, x: np.ndarray, dy: np.ndarray, state: dict[str, np.ndarray]):
    """Output, input gradient and all parameter gradients of one training pass that starts from this state."""
    for path, array in network.state.items():
        array[...] = state[path]
    rng = Randomness.for_batch(0, 0, np.arange(len(x)))
    y, tape = Chain.forward(network, x, training=True, rng=rng)
    dx, gradients = Chain.backward(network, dy, tape)
    return [y, dx, *(gradients[path] for path in sorted(gradients))], sorted(gradients)


def both(name: str, dtype: type, accepts) -> tuple[list, list]:
    shape = SMALLEST.get(name, (16, 16, 3))
    model = zoo.build(name, shape, num_classes=4)
    model.astype(dtype)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((3, *shape)).astype(dtype), rng.standard_normal((3, 4)).astype(dtype)
    state = {path: array.copy() for path, array in model.state.items()}
    plain, paths = run(model, x, dy, state)
    fused, fused_paths = run(planned(model, accepts), x, dy, state)
    assert paths == fused_paths == sorted(model.params)
    return plain, fused


@pytest.mark.parametrize("name", zoo.names())
def test_fused_references_give_the_same_bits(name):
    with backend.using("numpy"):
        plain, fused = both(name, np.float64, lambda *arrays, **settings: True)
    for a, b in zip(plain, fused, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", zoo.names())
def test_fused_kernels_give_the_same_numbers(name):
    with backend.using("native"):
        plain, fused = both(name, np.float32, backend.is_native)
    for a, b in zip(plain, fused, strict=True):
        # Sums are taken in another order; behind batch norm and ReLU a rounding error may also switch a unit, so the bound
        # is on the error as a whole, not on each number.
        assert np.linalg.norm(a - b) <= 2e-3 * np.linalg.norm(a) + 1e-6


def test_the_numpy_backend_is_never_planned():
    with backend.using("numpy"):
        model = zoo.build("cnn2")
        assert [type(layer) for layer in planned(model).layers] == [type(layer) for layer in model.layers]


def test_a_model_trains_planned_as_unplanned(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((16, 12, 12, 1)), rng.integers(10, size=16)

    def losses(plan: bool) -> list[float]:
        model = pl.zoo.build("cnn2_mnist", (12, 12, 1))
        if not plan:
            monkeypatch.setattr(model, "_plan", lambda network, training: network)
        model.compile("sgd", learning_rate=0.05)
        return [model.train_on_batch(x, y) for _ in range(10)]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-4)


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_learns_planned_as_unplanned(name, monkeypatch):
    """Losses and all gradients of three steps, each from the same weights; enough images for Winograd's convolution."""
    shape = SMALLEST.get(name, (16, 16, 3))
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((8, *shape)).astype(np.float32), rng.integers(10, size=8)
    with backend.using("native"):
        model = zoo.build(name, shape)
        loss = "bce" if model.final_activation == "sigmoid" else "cce"
        model.compile("sgd", loss, learning_rate=0.01, metrics=())
        model.adapt_to(x)
        plain = model.twin(np.float32)
        monkeypatch.setattr(plain, "_plan", lambda network, training: network)
        for step in range(3):
            plain.load_weights(model.params | model.state)
            (fused, gradients), (unfused, wanted) = (m.gradients(x, y, epoch=step) for m in (model, plain))
            assert fused["loss"] == pytest.approx(unfused["loss"], rel=1e-5)
            assert gradients.keys() == wanted.keys()
            whole = np.sqrt(sum(np.linalg.norm(gradient) ** 2 for gradient in wanted.values()))
            for path, gradient in wanted.items():  # a unit of ReLU may be switched, as above
                error = np.linalg.norm(gradients[path] - gradient)
                assert error <= 2e-3 * max(np.linalg.norm(gradient), 1e-2 * whole), path
            for path, array in plain.state.items():
                np.testing.assert_allclose(model.state[path], array, rtol=1e-4, atol=1e-5, err_msg=path)
            model.optimizer.apply(model.params, gradients)


def test_a_model_that_was_planned_can_be_built_anew_and_extended():
    model = pl.Sequential([pl.Conv2D(4, 3, activation="relu"), pl.MaxPooling2D(2), pl.Flatten(), pl.Dense(2)])
    model.compile(input_shape=(8, 8, 1))
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1))
    model.train_on_batch(x, np.array([0, 1]))
    model.build((8, 8, 1), seed=3)
    again = pl.Sequential([layer.clone() for layer in model.layers])
    again.build((8, 8, 1), seed=3)
    np.testing.assert_allclose(model.predict(x), again.predict(x), rtol=1e-5)


def random_statistics(model: Chain) -> None:
    """Weights and moving statistics as after a training, some scales negative."""
    rng = np.random.default_rng(2)
    for path, array in (model.params | model.state).items():
        if path.endswith("moving_variance"):
            array[...] = rng.uniform(0.5, 2, array.shape)
        elif path.endswith(("gamma", "beta", "moving_mean", "bias")):
            array[...] = rng.standard_normal(array.shape)


@pytest.mark.parametrize("name", zoo.names())
def test_predictions_with_folded_normalisations_are_those_of_the_layers(name):
    shape = SMALLEST.get(name, (32, 32, 3))
    model = zoo.build(name, shape)
    random_statistics(model)
    x = np.random.default_rng(0).standard_normal((5, *shape)).astype(np.float32)
    with backend.using("numpy"):
        expected = Chain.__call__(model, x)
    with backend.using("native"):
        found = planned(model, training=False)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-5 * np.abs(expected).max())


def folds(*layers, image=(8, 8, 3)) -> bool:
    """Whether the normalisation among these layers goes into the convolution; the numbers must be right either way."""
    chain = Chain(layers)
    chain.build(image)
    random_statistics(chain)
    x = np.random.default_rng(0).standard_normal((2, *image)).astype(np.float32)
    with backend.using("native"):
        plan = planned(chain, training=False)
        np.testing.assert_allclose(plan(x), chain(x), rtol=1e-4, atol=1e-4)
    return len(plan.layers) < len(planned(chain).layers)


def test_a_normalisation_goes_into_the_convolution_only_where_the_numbers_stay_the_same():
    conv, norm = pl.Conv2D, pl.BatchNormalization
    assert folds(conv(4, 3), norm())
    assert folds(conv(4, 3, use_bias=False), norm(center=False), pl.ReLU())
    assert folds(conv(6, 3, groups=3), norm(scale=False))
    assert folds(conv(4, 3), pl.MaxPooling2D(2), norm(scale=False), pl.Activation("gelu"))
    assert folds(conv(4, 3, padding="same"), pl.AveragePooling2D(3, padding="same"), norm())
    assert not folds(conv(4, 3), pl.MaxPooling2D(2), norm()), "a negative scale turns the largest into the smallest"
    assert not folds(conv(4, 3, activation="relu"), norm())
    assert not folds(conv(4, 3), pl.AveragePooling2D(2, padding=1, count_padding=True), norm())


def test_a_normalisation_stays_where_its_kernel_outweighs_the_pixels():
    chain = Chain([pl.Conv2D(64, 3, padding="same"), pl.BatchNormalization(), pl.ReLU(), pl.MaxPooling2D(2)])
    chain.build((4, 4, 64))
    random_statistics(chain)
    x = np.random.default_rng(0).standard_normal((64, 4, 4, 64)).astype(np.float32)
    with backend.using("native"):
        one, many = (planned(chain, training=False, images=images) for images in (1, 64))
        assert (len(one.layers), len(many.layers)) == (2, 1)
        np.testing.assert_allclose(one(x[:1]), chain(x[:1]), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(many(x)[:1], one(x[:1]), rtol=1e-4, atol=1e-4)


def test_a_prediction_sees_weights_that_were_changed_in_place():
    model = pl.Sequential([pl.Conv2D(4, 3), pl.BatchNormalization(), pl.Flatten(), pl.Dense(2)])
    model.compile(input_shape=(8, 8, 1))
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1)).astype(np.float32)
    for _ in range(2):
        random_statistics(model)
        np.testing.assert_allclose(model.predict(x), Chain.__call__(model, x), rtol=1e-4, atol=1e-5)
        model.params["conv1/kernel"][...] *= 2
        np.testing.assert_allclose(model.predict(x), Chain.__call__(model, x), rtol=1e-4, atol=1e-5)


def test_a_batch_size_that_makes_no_sense_is_refused_before_anything_is_planned():
    model = pl.Sequential([pl.Flatten(), pl.Dense(2)])
    model.compile(input_shape=(4, 4, 1))
    with pytest.raises(pl.PellucidError, match="batch_size was 0"):
        model.predict(np.zeros((2, 4, 4, 1)), batch_size=0)
