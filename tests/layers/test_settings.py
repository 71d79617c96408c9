"""Wrong settings and wrong inputs of layers: the error says what was given, what was wanted and what to do."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import PellucidError
from pellucid.errors import FileFormatError, ShapeError
from pellucid.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Chain,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalMaxPooling2D,
    GroupNormalization,
    Layer,
    LayerNormalization,
    LeakyReLU,
    MaxPooling2D,
    Rescaling,
    SpatialDropout2D,
)

from .records import randomness

WRONG_SETTINGS = [
    (lambda: Conv2D(8, 3, activation="rulu"), "There is no activation 'rulu'. Did you mean 'relu'"),
    (lambda: Dense(8, "sofmax"), "Did you mean 'softmax'"),
    (lambda: Activation("swish"), "There is no activation 'swish'.*Known: linear, relu"),
    (lambda: Conv2D(0, 3), "filters=0"),
    (lambda: Conv2D(6, 3, groups=4), "filters=6 and groups=4; filters must be a multiple of groups"),
    (lambda: Dense(0), "units=0; wanted at least 1"),
    (lambda: DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier=0; wanted at least 1"),
    (lambda: Dropout(1.0), "rate=1.0; wanted a number from 0 up to, but not, 1"),
    (lambda: Dropout(-0.1), "rate=-0.1"),
    (lambda: SpatialDropout2D(1), "SpatialDropout2D got rate=1; wanted a number from 0"),
    (lambda: GroupNormalization(0), "groups=0; wanted at least 1, or -1"),
    (lambda: GroupNormalization(2, axis=1), "axis=1; channels are the last axis"),
    (lambda: LayerNormalization((1, 2, 3)), r"axis=\(1, 2, 3\).*GroupNormalization\(groups=1\)"),
    (lambda: BatchNormalization(axis=1), "axis=1; channels are the last axis here: axis=-1"),
    (lambda: Flatten("channel_first"), "data_format was 'channel_first'; wanted 'channels_last' or 'channels_first'"),
]

WRONG_SHAPES = [
    (Conv2D(8, 5), (4, 4, 3), r"5x5 .* does not fit into an image of 4x4.*Use a smaller window, padding='same'"),
    (Conv2D(8, 3), (28, 28), r"Conv2D wants images \(H, W, C\) but gets \(28, 28\).*x\[\.\.\., None\]"),
    (Conv2D(8, 3), (100,), "Place it before Flatten and global pooling"),
    (Conv2D(8, 3, padding="smae"), (8, 8, 3), "padding was 'smae'; wanted 'valid', 'same'"),
    (Conv2D(8, 3, strides=0), (8, 8, 3), "strides was 0; wanted one or two whole numbers of at least 1"),
    (Conv2D(8, (3, 3, 3)), (8, 8, 3), r"kernel_size was \(3, 3, 3\)"),
    (Conv2D(8, 3, groups=2), (8, 8, 3), "3 input channels and groups=2; groups must divide them"),
    (GroupNormalization(4), (8, 8, 6), "6 channels and groups=4; groups must divide them"),
    (SpatialDropout2D(0.1), (64,), r"SpatialDropout2D wants images \(H, W, C\) but gets \(64,\)"),
    (DepthwiseConv2D(9), (4, 4, 3), "9x9 .* does not fit"),
    (MaxPooling2D(2), (1, 1, 8), "fewer pooling layers before this one"),
    (MaxPooling2D(2, padding=2), (4, 4, 8), "Use less padding than the window is large"),
    (AveragePooling2D(2), (64,), r"AveragePooling2D wants images \(H, W, C\) but gets \(64,\)"),
    (GlobalMaxPooling2D(), (64,), "GlobalMaxPooling2D wants images"),
    (Dense(10), (8, 8, 3), r"Dense wants vectors \(features,\) but gets \(8, 8, 3\).*Put Flatten\(\)"),
]


@pytest.mark.parametrize(("make", "text"), WRONG_SETTINGS, ids=[text for _, text in WRONG_SETTINGS])
def test_wrong_settings_are_explained(make, text):
    with pytest.raises(PellucidError, match=text):
        make()


@pytest.mark.parametrize(("layer", "shape", "text"), WRONG_SHAPES, ids=[f"{a!r}-{b}" for a, b, _ in WRONG_SHAPES])
def test_inputs_that_do_not_fit_are_explained_before_any_weight_is_drawn(layer, shape, text):
    with pytest.raises(ShapeError, match=text):
        layer.output_shape(shape)
    with pytest.raises(ShapeError, match=rf"(?s)Layer '{layer.prefix}1', .*, cannot take .*{text}"):
        Chain([layer.clone()]).declared(shape)


def test_dropout_asks_for_randomness_in_training():
    with pytest.raises(PellucidError, match=r"Dropout needs randomness in training: pass rng="):
        Dropout(0.5).forward(np.ones((2, 3)), training=True)


def test_dropout_depends_on_seed_epoch_image_and_place_in_the_network():
    layer, x = Dropout(0.5), np.ones((1, 200))

    def kept(rng):
        return layer.forward(x, training=True, rng=rng)[0].tobytes()

    same, others = kept(randomness(3)), [randomness(4), randomness(3, seed=6), randomness(3, epoch=3)]
    assert kept(randomness(3)) == same
    assert same not in [kept(rng) for rng in [*others, randomness(3).child("dropout1")]]


def test_unknown_layer_classes_are_answered_with_the_nearest_one():
    with pytest.raises(FileFormatError, match=r"There is no layer class 'Conv2d'\. Did you mean 'Conv2D'"):
        Layer.from_config({"class": "Conv2d", "filters": 1, "kernel_size": 1})


@pytest.mark.parametrize("config", [{}, [], "Dense", {"class": 3}, {"units": 3}, None])
def test_what_is_no_config_is_refused(config):
    with pytest.raises(FileFormatError, match="config must be a table with its class"):
        Layer.from_config(config)


def test_settings_a_layer_does_not_have_are_refused():
    with pytest.raises(FileFormatError, match=r"The settings of Dense do not fit.*'width'"):
        Layer.from_config({"class": "Dense", "units": 3, "width": 4})


def test_repr_shows_what_differs_from_the_defaults():
    assert repr(Conv2D(32, 3, activation="relu")) == "Conv2D(filters=32, kernel_size=3, activation='relu')"
    assert repr(LeakyReLU()) == "LeakyReLU()"
    assert repr(Rescaling(0.5)) == "Rescaling(scale=0.5)"


def test_a_layer_that_leaves_something_out_says_what():
    class HalfDone(Layer):
        pass

    try:
        with pytest.raises(NotImplementedError, match="HalfDone does not say how to compute its output"):
            HalfDone().forward(np.ones(1))
        with pytest.raises(NotImplementedError, match="HalfDone does not say how to compute its gradients"):
            HalfDone().backward(np.ones(1), None)
    finally:
        del Layer.classes["HalfDone"]
