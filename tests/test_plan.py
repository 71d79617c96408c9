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
            monkeypatch.setattr(model, "_plan", lambda network: network)
        model.compile("sgd", learning_rate=0.05)
        return [model.train_on_batch(x, y) for _ in range(10)]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-4)


def test_a_model_that_was_planned_can_be_built_anew_and_extended():
    model = pl.Sequential([pl.Conv2D(4, 3, activation="relu"), pl.MaxPooling2D(2), pl.Flatten(), pl.Dense(2)])
    model.compile(input_shape=(8, 8, 1))
    x = np.random.default_rng(0).standard_normal((2, 8, 8, 1))
    model.train_on_batch(x, np.array([0, 1]))
    model.build((8, 8, 1), seed=3)
    again = pl.Sequential([layer.clone() for layer in model.layers])
    again.build((8, 8, 1), seed=3)
    np.testing.assert_allclose(model.predict(x), again.predict(x), rtol=1e-5)
