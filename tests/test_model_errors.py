"""Wrong inputs to a model: every error says what was given, what was wanted and how to fix it."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, zoo
from pellucid.errors import ShapeError
from pellucid.layers import Conv2D, Dense, Flatten, GlobalAveragePooling2D, MaxPooling2D
from pellucid.optimizers import SGD

SHAPE = (8, 10, 3)


def model(shape=SHAPE, loss="cce", last="softmax", **options) -> Sequential:
    net = Sequential([Conv2D(2, 3), GlobalAveragePooling2D(), Dense(4, last)])
    net.compile(loss=loss, input_shape=shape, **options)
    return net


def images(n=6, shape=SHAPE):
    return np.random.default_rng(0).normal(size=(n, *shape)).astype(np.float32), np.arange(n) % 4


# The shape of x --------------------------------------------------------------------------------------------------------

GREY = (8, 10, 1)
WRONG_X = [
    (
        "channels first by mistake",
        SHAPE,
        (6, 3, 8, 10),
        r"\(6, 3, 8, 10\); wanted \(N, 8, 10, 3\).*x.transpose\(0, 2, 3, 1\)",
    ),
    ("channels last by mistake", (3, 8, 10), (6, 8, 10, 3), r"wanted \(N, 3, 8, 10\).*x.transpose\(0, 3, 1, 2\)"),
    ("no batch axis", SHAPE, SHAPE, r"\(8, 10, 3\); wanted \(N, 8, 10, 3\).*Add the batch axis: x\[None\]"),
    ("no channel axis", GREY, (6, 8, 10), r"Add the channel axis of greyscale images: x\[\.\.\., None\]"),
    (
        "no channel axis, channels first",
        (1, 8, 10),
        (6, 8, 10),
        r"Add the channel axis of greyscale images: x\[:, None\]",
    ),
    ("one grey image", GREY, (8, 10), r"\(8, 10\).*x\[None, \.\.\., None\]"),
    ("grey for colour", SHAPE, (6, 8, 10, 1), r"np\.repeat\(x, 3, axis=-1\)"),
    ("another size", SHAPE, (6, 9, 10, 3), "Resize the images, or build a model for their size"),
    ("height and width swapped", SHAPE, (6, 10, 8, 3), r"x.transpose\(0, 2, 1, 3\)"),
    ("empty", SHAPE, (0, *SHAPE), r"\(0, 8, 10, 3\).*Give it at least one image"),
    ("a number", SHAPE, (), r"\(\); wanted \(N, 8, 10, 3\)"),
]


@pytest.mark.smoke
@pytest.mark.parametrize(("shape", "given", "text"), [row[1:] for row in WRONG_X], ids=[row[0] for row in WRONG_X])
def test_a_wrong_shape_of_x_is_explained(shape, given, text):
    net, x = model(shape), np.zeros(given, np.float32)
    y = np.zeros(given[0] if given else 1, np.int64)
    for ask in (
        lambda: net.predict(x),
        lambda: net.evaluate(x, y),
        lambda: net.fit(x, y, verbose=0),
        lambda: net.train_on_batch(x, y),
    ):
        with pytest.raises(ShapeError, match=f"The model got x of shape .*{text}"):
            ask()


@pytest.mark.parametrize("x", [np.array([["a"]]), np.array([None]), ["cat.png"]])
def test_what_is_no_array_of_numbers_is_explained(x):
    with pytest.raises(PellucidError, match=r"The model got x of type .*; wanted numbers"):
        model().predict(x)


def test_vectors_without_a_batch_axis_are_explained():
    net = Sequential([Dense(2)])
    net.compile(input_shape=(5,))
    with pytest.raises(ShapeError, match=r"wanted \(N, 5\). Add the batch axis: x\[None\]"):
        net.predict(np.zeros(5))


# The architecture ------------------------------------------------------------------------------------------------------

WRONG_NETWORKS = [
    ([Conv2D(2, 3), Dense(4)], SHAPE, r"Layer 'dense1', Dense\(units=4\), cannot take \(6, 8, 2\).*Put Flatten\(\)"),
    ([Conv2D(2, 11)], SHAPE, r"Layer 'conv1'.* 11x11 .*does not fit into an image of 8x10.*Use a smaller window"),
    ([Flatten(), Conv2D(2, 3)], SHAPE, "Layer 'conv1'.* cannot take .*Place it before Flatten"),
    ([*(MaxPooling2D() for _ in range(4))], SHAPE, "Layer 'max_pool4'.*fewer pooling layers"),
    ([], SHAPE, r"The model has no layers. Add some: Sequential\(\["),
    ([Conv2D(2, 3), Flatten()], (8, 10), r"cannot take \(8, 10\).*add the channel axis"),
    ([Conv2D(2, 3), Flatten()], None, r"compile got no input_shape .*pass input_shape=\(H, W, C\)"),
    ([Conv2D(2, 3), Flatten()], (None, 8, 10, 3), r"input_shape was \(None, 8, 10, 3\); wanted .*\(H, W, C\)"),
    ([Conv2D(2, 3), Flatten()], (8, 0, 3), r"input_shape was \(8, 0, 3\)"),
    ([Conv2D(2, 3), Flatten()], 32, "input_shape was 32"),
    ([Conv2D(2, 3), Flatten()], (8.5, 8, 3), "input_shape was"),
]


@pytest.mark.parametrize(("layers", "shape", "text"), WRONG_NETWORKS, ids=[row[2][:30] for row in WRONG_NETWORKS])
def test_a_network_that_does_not_fit_is_explained(layers, shape, text):
    with pytest.raises(PellucidError, match=f"(?s){text}"):
        Sequential([layer.clone() for layer in layers]).compile(input_shape=shape)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"optimizer": "sgdd"}, "There is no optimizer 'sgdd'. Did you mean 'sgd'"),
        ({"loss": "crossentropy"}, "There is no loss 'crossentropy'. Did you mean '.*crossentropy'"),
        ({"metrics": ["acuracy"]}, "There is no metric 'acuracy'. Did you mean 'accuracy'"),
        ({"learning_rate": 0}, "learning rate was 0; wanted a positive number, for example 0.01"),
        ({"optimizer": SGD(0.1), "learning_rate": 0.1}, "give the rate to the optimizer"),
        ({"data_format": "NCHW"}, "data_format was 'NCHW'; wanted 'channels_last' or 'channels_first'"),
    ],
)
def test_unknown_settings_are_answered_with_the_nearest_ones(options, text):
    with pytest.raises(PellucidError, match=text):
        model(**options)


def test_a_failed_compile_leaves_the_model_as_it_was():
    net = model()
    before = (net.optimizer, net.loss, net.metrics)
    for options in ({"loss": "nothing"}, {"metrics": ["nothing"]}, {"input_shape": (2, 2, 3)}):
        with pytest.raises(PellucidError):
            net.compile(**{"optimizer": "adam", "loss": "mse", "metrics": []} | options)
        assert (net.optimizer, net.loss, net.metrics) == before
    assert net.predict(images()[0]).shape == (6, 4)


# Before compile --------------------------------------------------------------------------------------------------------


def test_asking_too_early_says_what_to_call_first():
    x, y = images()
    bare = Sequential([Conv2D(2, 3), GlobalAveragePooling2D(), Dense(4)])
    for ask in (lambda: bare.predict(x), lambda: bare.train_on_batch(x, y)):
        with pytest.raises(PellucidError, match="The model has no weights yet: call compile with its input_shape"):
            ask()
    for ask in (bare.summary, lambda: bare.save("nowhere.safetensors")):
        with pytest.raises(PellucidError, match="compile it with its input_shape first"):
            ask()
    built = zoo.build("cnn1_mnist", SHAPE, num_classes=4)
    for net in (bare, built):
        for ask in (lambda net=net: net.fit(x, y), lambda net=net: net.evaluate(x, y), net.gradient_check):
            with pytest.raises(
                PellucidError, match=r"does not know its loss: call compile\(optimizer=…, loss=…\) first"
            ):
                ask()
    with pytest.raises(PellucidError, match=r"call compile\(optimizer=…, loss=…\) first"):
        built.train_on_batch(x, y)


# Targets and weights ---------------------------------------------------------------------------------------------------

_, Y = images()
WRONG_Y = [
    ("too few", Y[:-1], "There are 6 images but 5 targets; wanted one target for each image"),
    (
        "out of range",
        Y + 1,
        "The labels run from 1 to 4, but .* the classes 0 … 3. Count the classes from 0, or give the last",
    ),
    ("negative", Y - 1, "The labels run from -1 to 2"),
    ("floats", Y.astype(float), r"targets of shape \(6,\) \(float64\); wanted .* integer labels"),
    ("NaN", np.full((6, 4), np.nan), "y contains NaN or infinity; clean the data"),
    ("too many columns", np.eye(6), r"targets of shape \(6, 6\)"),
    ("strings", np.array(list("aabbcc")), "integer labels"),
]


@pytest.mark.parametrize(("y", "text"), [row[1:] for row in WRONG_Y], ids=[row[0] for row in WRONG_Y])
def test_wrong_targets_are_explained_before_anything_is_learned(y, text):
    net, (x, _) = model(), images()
    before = {path: a.copy() for path, a in net.params.items()}
    for ask in (lambda: net.fit(x, y, verbose=0), lambda: net.evaluate(x, y), lambda: net.train_on_batch(x, y)):
        with pytest.raises(PellucidError, match=text):
            ask()
    for path, a in net.params.items():
        np.testing.assert_array_equal(a, before[path])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_images_with_nan_are_explained_before_anything_is_learned(bad):
    net, (x, y) = model(), images()
    before = {path: a.copy() for path, a in net.params.items()}
    x[3, 2, 1, 0] = bad
    for ask in (lambda: net.fit(x, y, verbose=0), lambda: net.evaluate(x, y), lambda: net.train_on_batch(x, y)):
        with pytest.raises(PellucidError, match="x contains NaN or infinity; clean the data"):
            ask()
    for path, a in net.params.items():
        np.testing.assert_array_equal(a, before[path])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"batch_size": 0}, "batch_size was 0; wanted at least 1"),
        ({"validation_split": 1.0}, "validation_split was 1.0; wanted a part from 0 up to, but not, 1"),
        ({"validation_split": -0.1}, "validation_split was -0.1"),
        ({"validation_split": 0.1}, "validation_split was 0.1, which leaves no image .* of 6"),
        ({"sample_weight": np.ones(5)}, "There are 6 images but 5 weights"),
        ({"sample_weight": np.ones(7)}, "There are 6 images but 7 weights"),
        ({"sample_weight": np.full(6, np.nan)}, "sample_weight contains NaN"),
        ({"class_weight": {-1: 2.0}}, "class_weight was"),
        ({"validation_data": (np.zeros((2, 4, 4, 3)), np.zeros(2, int))}, r"got x of shape \(2, 4, 4, 3\)"),
        ({"validation_data": (np.zeros((2, *SHAPE)), np.array([0, 7]))}, "The labels run from 0 to 7"),
    ],
)
def test_wrong_settings_of_fit_are_explained(options, text):
    with pytest.raises(PellucidError, match=text):
        model().fit(*images(), verbose=0, **options)


def test_weights_of_another_number_of_images_are_explained_everywhere():
    net, (x, y) = model(), images()
    for ask in (lambda w: net.evaluate(x, y, sample_weight=w), lambda w: net.train_on_batch(x, y, w)):
        with pytest.raises(PellucidError, match="6 images but 7 weights"):
            ask(np.ones(7))


def test_one_class_only_and_one_image_only_are_fine():
    net, (x, _) = model(), images()
    assert np.isfinite(net.fit(x, np.zeros(6, int), verbose=0).rows[-1]["train_loss"])
    assert np.isfinite(net.train_on_batch(x[:1], np.zeros(1, int)))
