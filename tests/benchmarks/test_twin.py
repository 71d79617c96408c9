"""The PyTorch twin is the same network, and a twin that is not is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pellucid import Sequential, zoo
from pellucid.layers import (
    GELU,
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    GroupNormalization,
    Layer,
    LayerNormalization,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Rescaling,
    Residual,
    Softmax,
    SpatialDropout2D,
    WhiteningConv2D,
)

torch = pytest.importorskip("torch", reason="PyTorch is optional: the benchmarks compare with it")

from pellucid.benchmark.pytorch import check, contenders, modules, twin  # noqa: E402 - they need it

torch.set_num_threads(1)  # the arrays are tiny


def frozen(layer: Layer) -> Layer:
    layer.trainable = False
    return layer


NORM = {"momentum": 0.8, "epsilon": 1e-2}
NETWORKS: dict[str, Callable[[], list[Layer]]] = {
    "convolutions": lambda: [
        Conv2D(4, 3, 2, padding="same", activation="relu"),  # pads one side only, as 8 pixels are even
        Conv2D(6, (3, 2), padding=((1, 0), (0, 1)), groups=2, activation="tanh"),
        Conv2D(4, 3, padding="same", dilation_rate=2, use_bias=False, activation="silu"),
        DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="gelu"),
        Flatten(),
        Dense(3, activation="softmax"),
    ],
    "pooling": lambda: [
        Conv2D(4, 3, padding="same", activation="leaky_relu"),
        MaxPooling2D(3, 2, padding="same"),
        AveragePooling2D(3, 1, padding="same"),
        AveragePooling2D(2, 1, padding="same"),
        AveragePooling2D(2, 1, padding=1, count_padding=True),
        GlobalMaxPooling2D(),
        Dense(3),
    ],
    "normalised": lambda: [
        BatchNormalization(**NORM),
        Residual([Conv2D(2, 3, padding="same", use_bias=False), BatchNormalization(**NORM, scale=False)]),
        ReLU(),
        Residual(Conv2D(4, 1, 2), Conv2D(4, 1, 2, activation="sigmoid")),
        Concatenate([Conv2D(3, 1), [MaxPooling2D(3, 1, padding="same"), ReLU()], [ReLU(), Conv2D(2, 3, padding="same")]]),
        BatchNormalization(**NORM, center=False),
        Flatten("channels_first"),
        BatchNormalization(**NORM),
        Dense(3, use_bias=False),
        Rescaling(0.5, 0.25),
        Softmax(),
    ],
    "flattened": lambda: [
        Conv2D(3, 3, activation="elu"),
        Flatten(),  # the dense layer's rows are reordered through what lies between
        Dropout(0.5),
        LeakyReLU(0.2),
        Dense(4, activation="relu"),
        Dense(3, activation="sigmoid"),
    ],
    "flattened last": lambda: [
        Conv2D(3, 8, activation="sigmoid"),
        Flatten(),  # the order of the outputs is pellucid's
        Activation("log_softmax"),
    ],
    "whitened": lambda: [
        WhiteningConv2D(2),
        GELU(),
        Conv2D(4, 3, padding="same", use_bias=False),
        GroupNormalization(2, epsilon=1e-2),
        GELU(approximate=True),
        LayerNormalization(epsilon=1e-2, center=False),
        SpatialDropout2D(0.5),
        GroupNormalization(-1, scale=False),
        GlobalMaxPooling2D(),
        LayerNormalization(),
        Dense(3, activation="softmax"),
    ],
    "frozen": lambda: [
        frozen(Conv2D(4, 3, activation="relu")),
        Conv2D(4, 3),
        frozen(BatchNormalization(**NORM)),
        frozen(Residual([Conv2D(4, 1), ReLU()])),
        GlobalAveragePooling2D(),
        frozen(Dense(4, activation="tanh")),
        frozen(BatchNormalization(**NORM)),
        Dense(3, activation="softmax"),
    ],
    "averaged": lambda: [Conv2D(3, 3, activation="relu"), GlobalAveragePooling2D(), Activation("softmax")],
}  # fmt: skip


def compiled(model: Sequential) -> Sequential:
    """The model with a loss, and with weights and moving statistics that are not the first ones."""
    sigmoid = model.final_activation == "sigmoid"
    model.compile("sgd", "binary_crossentropy" if sigmoid else "categorical_crossentropy", metrics=())
    rng = np.random.default_rng(5)
    params = {path: a + rng.normal(scale=0.1, size=a.shape) for path, a in model.params.items()}
    model.load_weights(params | {path: a + rng.uniform(0, 0.5, a.shape) for path, a in model.state.items()})
    return model


def batch(model: Sequential, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    shape = model.input_shape or ()
    return rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(model.output_shape(shape)[-1], size=n)


def built(layers: list[Layer]) -> Sequential:
    model = Sequential(layers)
    model.build((8, 8, 2), seed=1)
    return compiled(model)


@pytest.mark.parametrize("name", NETWORKS)
def test_twins_agree_for_every_kind_of_layer(name):
    model = built(NETWORKS[name]())
    if model.final_activation == "log_softmax":  # no loss takes it in; the comparison in float64 is of logits then
        model.compile("sgd", "categorical_crossentropy", metrics=())
        model = _without_last(model)
    before = {path: array.copy() for path, array in (model.params | model.state).items()}
    errors = check.check(model, *batch(model))
    assert errors["float64"] < 1e-12
    assert errors["pellucid"] < 1e-4
    for path, array in (model.params | model.state).items():
        assert (array == before[path]).all(), path


@pytest.mark.parametrize(
    ("inputs", "window", "strides", "own"), [(2, 1, 2, True), (16, 1, 2, False), (2, 1, 1, False), (2, 3, 2, False)]
)
def test_strided_pixels_of_few_channels_are_taken_without_pytorchs_own_strides(inputs, window, strides, own):
    """There oneDNN writes where it must not: see ``modules.PointwiseConv2d``."""
    model = Sequential([Conv2D(4, window, strides)])
    model.build((6, 6, inputs), seed=1)
    (module,) = twin.twin(model)
    assert isinstance(module, modules.PointwiseConv2d) == own


def _without_last(model: Sequential) -> Sequential:
    shorter = Sequential([layer.clone() for layer in model.layers[:-1]])
    shorter.build(model.input_shape, seed=1)
    return compiled(shorter)


def test_every_kind_of_layer_is_among_them():
    used = {type(part).__name__ for make in NETWORKS.values() for part in Sequential(make()).walk()}
    public = {name for name, cls in Layer.classes.items() if cls.__module__.startswith("pellucid.layers")}
    assert public - used <= {"Chain"}


@pytest.mark.parametrize("name", zoo.names())
def test_every_network_of_the_zoo_has_a_twin(name):
    model = zoo.build(name)
    network = twin.describe(model)
    assert json.loads(json.dumps(network.layers)) == network.layers  # fit to be sent to another process
    parameters = modules.build(network.layers).parameters()
    trained = sum(array.size for array in model.trainable_params.values())
    assert sum(p.numel() for p in parameters if p.requires_grad) == trained


@pytest.mark.parametrize("name", ["cnn3_sigmoid", "lenet5", "resnet8", "vgg_small", "inception_small"])
def test_twins_of_the_zoo_agree_in_float64(name):
    size = (16, 16, 3) if name == "lenet5" else (8, 8, 3)  # as small as they take
    model = compiled(zoo.build(name, size))
    assert check._check_exactly(model, *batch(model, 2)) < 1e-11


def test_probabilities_agree_in_both_memory_formats():
    model = compiled(zoo.build("resnet8", (8, 8, 3)))
    x, _ = batch(model, 5)
    ways = contenders.prediction(model, x, 2)
    assert list(ways) == ["pellucid", "PyTorch NCHW", "PyTorch channels-last"]
    ours, *theirs = (np.asarray(run()) for run in ways.values())
    for answer in theirs:
        np.testing.assert_allclose(answer, ours, atol=1e-5)


def _weight(module: Any) -> None:
    with torch.no_grad():
        next(module.parameters()).view(-1)[0] += 1e-4


def _epsilon(module: Any) -> None:
    next(part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)).eps *= 1.01


def _side(module: Any) -> None:
    pad = next(part for part in module.modules() if isinstance(part, modules.Pad))
    pad.left, pad.right = pad.right, pad.left


@pytest.mark.parametrize("fault", [_weight, _epsilon, _side])
def test_a_twin_that_differs_is_refused(fault, monkeypatch):
    def wrong(model, make=twin.twin):
        module = make(model)
        fault(module)
        return module

    monkeypatch.setattr(twin, "twin", wrong)
    model = compiled(zoo.build("resnet8", (8, 8, 3)))
    with pytest.raises(check.DiffersError, match="in float64 the twin differs, most in"):
        check.check(model, *batch(model))


@pytest.mark.parametrize("fault", [1.003, np.nan])
def test_a_training_step_that_is_wrong_in_float32_only_is_refused(fault, monkeypatch):
    def wrong(self, x, y, step=Sequential.train_on_batch):
        before = self.params["conv1/kernel"].copy()
        step(self, x, y)
        self.params["conv1/kernel"][...] = before + fault * (self.params["conv1/kernel"] - before)

    monkeypatch.setattr(Sequential, "train_on_batch", wrong)
    model = compiled(zoo.build("cnn1_mnist", (8, 8, 1)))
    with pytest.raises(check.DiffersError, match="our float32 is off"):
        check.check(model, *batch(model))
