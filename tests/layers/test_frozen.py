"""Frozen layers: training leaves them alone, and everything that describes a model remembers them."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, backend, load
from pellucid.errors import FileFormatError
from pellucid.layers import (
    Activation,
    BatchNormalization,
    Chain,
    Conv2D,
    Dense,
    Flatten,
    Layer,
    MaxPooling2D,
    ReLU,
    Residual,
)
from pellucid.optimizers import SGD

X = np.random.default_rng(0).standard_normal((6, 6, 6, 2)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1, 2])


def network() -> Sequential:
    body = [Conv2D(4, 3, padding="same"), BatchNormalization(), Activation("tanh")]
    layers = [Conv2D(4, 3, padding="same"), BatchNormalization(), ReLU(), Residual(body), MaxPooling2D(2)]
    model = Sequential([*layers, Flatten(), Dense(3, "softmax")])
    model.compile("sgd", "cce", learning_rate=0.1, input_shape=(6, 6, 2))
    return model


def everything(model: Sequential) -> dict[str, np.ndarray]:
    return {path: array.copy() for path, array in (model.params | model.state).items()}


def changed_by_training(model: Sequential) -> set[str]:
    before = everything(model)
    model.fit(X, Y, batch_size=3, epochs=1, verbose=0)
    return {path for path, array in everything(model).items() if (array != before[path]).any()}


@pytest.mark.parametrize("backend", ["numpy", "native"])
def test_training_changes_neither_weights_nor_statistics_of_frozen_layers(backend):
    import pellucid

    with pellucid.backend.using(backend):
        model = network()
        for name in ("batch_norm1", "residual1"):
            next(layer for layer in model.layers if layer.name == name).trainable = False
        assert changed_by_training(model) == {"conv1/kernel", "conv1/bias", "dense1/kernel", "dense1/bias"}
        assert set(model.trainable_params) == {"conv1/kernel", "conv1/bias", "dense1/kernel", "dense1/bias"}


def test_the_gradients_of_what_is_left_are_those_of_the_unfrozen_network():
    def gradients(frozen):
        model = network()
        model.layers[0].trainable = not frozen
        return model.gradients(X, Y)[1]

    free, some = gradients(frozen=False), gradients(frozen=True)
    assert free.keys() - some.keys() == {"conv1/kernel", "conv1/bias"}
    for path, gradient in some.items():
        np.testing.assert_array_equal(gradient, free[path])


def test_a_frozen_batch_normalisation_uses_its_moving_statistics_and_has_right_gradients():
    model = network()
    model.layers[1].trainable = False
    model.layers[1].state["moving_mean"][...] = 0.5
    rows = model.gradient_check(samples=3)
    assert "batch_norm1/gamma" not in {row.path for row in rows}
    assert max(row.error for row in rows) < 1e-9
    frozen, x = model.layers[1], np.random.default_rng(1).standard_normal((3, 6, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(frozen.forward(x, training=True)[0], frozen(x))


def test_a_container_is_frozen_and_thawed_with_all_that_is_inside():
    model = network()
    model.trainable = False
    assert not model.trainable
    assert not model.trainable_params
    assert changed_by_training(model) == set()
    model.layers[3].trainable = True
    assert {path.split("/")[0] for path in model.trainable_params} == {"residual1"}
    assert model.trainable
    model.trainable = True
    assert model.trainable_params.keys() == model.params.keys()


def test_layers_are_frozen_by_pattern():
    model = network()
    model.freeze(["conv*", "residual1/*"])
    assert set(model.trainable_params) == {"batch_norm1/gamma", "batch_norm1/beta", "dense1/kernel", "dense1/bias"}
    model.freeze("batch_norm1")
    assert set(model.trainable_params) == {"dense1/kernel", "dense1/bias"}
    with pytest.raises(
        PellucidError, match=r"'conv2' fits no layer. The layers are conv1, batch_norm1, .*residual1/body/conv1"
    ):
        model.freeze("conv2")


def test_clone_config_and_model_file_remember_what_is_frozen(tmp_path):
    model = network()
    model.layers[3].trainable = False
    assert "trainable" not in model.layers[0].config()
    model.save(tmp_path / "model.safetensors")
    for twin in (model.clone(), load(tmp_path / "model.safetensors"), Layer.from_config(model.config())):
        flags = [layer.trainable for layer in twin.walk()]
        assert flags == [layer.trainable for layer in model.walk()]
        assert flags.count(False) == 5  # the residual block, its body, and three layers


def test_a_flag_that_is_none_is_refused():
    with pytest.raises(PellucidError, match="trainable was 1; wanted True or False"):
        Dense(3).trainable = 1
    with pytest.raises(FileFormatError, match="trainable of Dense was 'no'"):
        Layer.from_config({"class": "Dense", "units": 3, "trainable": "no"})


@pytest.mark.parametrize("accumulate", [1, 2])
def test_parameters_that_are_no_longer_trained_cost_nothing_and_change_nothing(monkeypatch, accumulate):
    """The first layer is trained in the first epoch only, of 2 batches; nothing is computed for it then."""
    calls = []

    def trained():
        model = network()
        groups = {"conv1/*": {"until": "1 epoch"}, "batch_norm1/beta": {"rate_multiplier": 0}}
        model.compile(SGD(0.1, groups=groups, accumulate=accumulate), "cce")
        calls.clear()
        model.fit(X, Y, batch_size=3, epochs=3, verbose=0)
        return everything(model)

    backward = Conv2D.backward

    def spy(self, dy, cache, *, input_gradient=True):
        if self.name == "conv1" and self.input_shape == (6, 6, 2):
            calls.append(input_gradient)
        return backward(self, dy, cache, input_gradient=input_gradient)

    monkeypatch.setattr(Conv2D, "backward", spy)
    with backend.using("numpy"):  # where the layers are asked in every step
        found = trained()
        assert calls == [False, False]
        monkeypatch.setattr(SGD, "resting", lambda self, paths: set())
        wanted = trained()
    assert len(calls) == 6
    assert all(array.tobytes() == wanted[path].tobytes() for path, array in found.items())
    assert not found["batch_norm1/beta"].any()


def test_layers_without_weights_do_not_hide_where_the_gradient_may_end():
    chain = Chain([Conv2D(2, 3), ReLU(), Conv2D(2, 3)])
    chain.build((6, 6, 2))
    chain.layers[0].trainable = False
    y, tape = chain.forward(X, training=True)
    dx, gradients = chain.backward(np.ones_like(y), tape, input_gradient=False)
    assert dx is None
    assert set(gradients) == {"conv2/kernel", "conv2/bias"}  # nothing was computed for conv1
