"""The whitening convolution: what comes out is white, and a model computes it once, from its first images."""

from __future__ import annotations

import numpy as np
import pytest

import pellucid
from pellucid import Sequential, load, zoo
from pellucid.errors import PellucidError, ShapeError
from pellucid.layers import Activation, Chain, Concatenate, Conv2D, Dense, Flatten, WhiteningConv2D
from pellucid.layers.whitening import whitening_kernel


def natural(n=300, size=12, seed=0):
    """Images whose neighbouring pixels and channels resemble each other, uint8."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, size + 4, size + 4, 1)) + 0.2 * rng.normal(size=(n, size + 4, size + 4, 3))
    smooth = np.lib.stride_tricks.sliding_window_view(noise, (5, 5), (1, 2)).mean((-2, -1))
    return np.clip(128 + 150 * smooth, 0, 255).astype(np.uint8)


def normalised(x):
    return pellucid.Preprocessing.fit(x)(x)


def covariance(y):
    y = y.reshape(-1, y.shape[-1]).astype(np.float64)
    return y.T @ y / len(y)


def test_the_first_half_of_the_outputs_is_white_and_the_second_its_negative():
    x = normalised(natural())
    layer = WhiteningConv2D(2, epsilon=0.0)
    layer.build(x.shape[1:])
    layer.adapt(x)
    y = layer(x)
    np.testing.assert_allclose(y[..., :12], -y[..., 12:], atol=1e-5)
    np.testing.assert_allclose(covariance(y[..., :12]), np.eye(12), atol=2e-3)
    assert np.abs(covariance(x) - np.eye(3)).max() > 0.5  # it was not before


def test_epsilon_keeps_rare_patterns_from_being_blown_up():
    x = normalised(natural())
    kernel = whitening_kernel(x, (2, 2), epsilon=0.1).reshape(12, 24)[:, :12]
    lengths = np.linalg.norm(kernel, axis=0)
    assert (np.diff(lengths) > 0).all()  # the most common pattern first
    assert lengths.max() < 1 / np.sqrt(0.1)
    assert np.linalg.norm(whitening_kernel(x, (2, 2), 0.0)[..., 11]) > 1 / np.sqrt(0.1)


def test_the_kernel_is_the_one_pytorch_finds():
    torch = pytest.importorskip("torch")
    x = torch.tensor(normalised(natural())).permute(0, 3, 1, 2).double()  # (N, C, H, W)
    patches = torch.nn.functional.unfold(x, 2).transpose(1, 2).reshape(-1, 12)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + 5e-4).sqrt()).T.flip(0).reshape(12, 3, 2, 2).permute(2, 3, 1, 0).numpy()
    kernel = whitening_kernel(normalised(natural()), (2, 2))[..., :12]
    sign = np.sign((kernel * filters).sum((0, 1, 2)))
    np.testing.assert_allclose(kernel, filters * sign, rtol=1e-4, atol=1e-6)


def test_many_images_are_looked_at_in_pieces_that_add_up(monkeypatch):
    x = normalised(natural())
    whole = whitening_kernel(x, (2, 2))
    monkeypatch.setattr("pellucid.layers.whitening._PATCHES", 1000)
    np.testing.assert_allclose(whitening_kernel(x, (2, 2)), whole, rtol=1e-9, atol=1e-12)


def model_of(x):
    model = Sequential([WhiteningConv2D(2), Activation("gelu"), Flatten(), Dense(3, "softmax")])
    model.preprocessing = pellucid.Preprocessing.fit(x)
    model.compile("sgd", "cce", learning_rate=0.01, input_shape=x.shape[1:])
    return model


def test_fit_computes_the_kernel_once_and_never_trains_it(tmp_path):
    x, y = natural(60), np.arange(60) % 3
    model = model_of(x)
    assert model.needs_data
    model.fit(x, y, batch_size=20, epochs=2, verbose=0)
    expected = whitening_kernel(normalised(x), (2, 2)).astype(np.float32)
    np.testing.assert_array_equal(model.state["whitening1/kernel"], expected)
    assert model.params["whitening1/bias"].any()
    assert not model.needs_data

    model.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    again.compile("sgd", "cce")
    again.fit(natural(20, seed=1), y[:20], verbose=0)  # other images: the kernel stays what the weights behind it know
    np.testing.assert_array_equal(again.state["whitening1/kernel"], expected)


def test_single_batches_and_a_limit_of_images_do_too():
    x, y = natural(60), np.arange(60) % 3
    model = model_of(x)
    model.train_on_batch(x[:20], y[:20])
    assert model.state["whitening1/adapted_to"] == 20
    model = model_of(x)
    model.adapt_to(x, images=30)
    assert model.state["whitening1/adapted_to"] == 30
    model.adapt_to(x)  # has been done
    assert model.state["whitening1/adapted_to"] == 30


def test_a_whitening_layer_inside_containers_sees_what_it_will_be_fed():
    chain = Chain([Conv2D(2, 1, activation="tanh"), Concatenate([Conv2D(2, 2), WhiteningConv2D(2, epsilon=0.0)])])
    chain.build((12, 12, 3))
    x = normalised(natural())
    chain.adapt(x)
    y = chain(x)[..., 2:10]
    np.testing.assert_allclose(np.diag(covariance(y)), 1, atol=0.05)


def test_the_frozen_kernel_costs_no_gradient_but_the_bias_has_one():
    model = zoo.build("speed_small")
    assert "whitening1/kernel" in model.state
    layer, x = model.layers[0], np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    y, cache = layer.forward(x, training=True)
    dx, gradients = layer.backward(np.ones_like(y), cache, input_gradient=False)
    assert dx is None
    assert set(gradients) == {"bias"}


def test_what_cannot_be_is_explained():
    with pytest.raises(PellucidError, match=r"epsilon=-1; wanted a number of at least 0"):
        WhiteningConv2D(epsilon=-1)
    with pytest.raises(ShapeError, match=r"whitening kernel of 2x2 got images of shape \(0, 8, 8, 3\)"):
        whitening_kernel(np.zeros((0, 8, 8, 3)), (2, 2))
