"""The networks by name: their sizes worked out by hand, their gradients checked, their receptive fields seen."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, backend, zoo
from pellucid.errors import ShapeError
from pellucid.layers import Field
from pellucid.summary import summarize

each_name = pytest.mark.parametrize("name", zoo.names())


def conv(ci, co, k=3):
    return k * k * ci * co + co


def norm(ci, co, k=3):
    """A convolution without bias, and the two numbers a channel of its batch normalisation."""
    return k * k * ci * co + 2 * co


def dense(ci, co):
    return ci * co + co


def resnet(blocks):
    """First convolution, then stages of 16, 32, 64 channels; where they change, a 1x1 convolution on the shortcut."""
    total = norm(3, 16) + 2 * blocks * norm(16, 16)
    for ci, co in [(16, 32), (32, 64)]:
        total += norm(ci, co) + norm(ci, co, 1) + (2 * blocks - 1) * norm(co, co)
    return total + dense(64, 10)


def inception(ci, one, three, five, pooled):
    three_by_three = norm(ci, three // 2, 1) + norm(three // 2, three)
    five_by_five = norm(ci, five // 2, 1) + norm(five // 2, five, 5)
    return norm(ci, one, 1) + three_by_three + five_by_five + norm(ci, pooled, 1)


def speed(b1, b2, b3):
    """The bias of the whitening convolution; then per block two convolutions and the biases of two normalisations."""
    blocks = sum(9 * ci * co + 9 * co * co + 2 * co for ci, co in [(24, b1), (b1, b2), (b2, b3)])
    return 24 + blocks + 10 * b3


PARAMETERS = {
    "cnn1_avg": conv(3, 16) + dense(16 * 16 * 16, 64) + dense(64, 10),
    "cnn1_mnist": conv(3, 4) + dense(16 * 16 * 4, 128) + dense(128, 10),
    "cnn2": 545_098,
    "cnn2_mnist": conv(3, 16) + conv(16, 16) + dense(8 * 8 * 16, 128) + dense(128, 10),
    "cnn3": conv(3, 8) + conv(8, 16) + conv(16, 32) + dense(8 * 8 * 32, 128) + dense(128, 10),
    "cnn3_bn": 9 * (3 * 8 + 8 * 16 + 16 * 32) + 2 * (8 + 16 + 32) + dense(8 * 8 * 32, 128) + dense(128, 10),
    "cnn3_sigmoid": conv(3, 32) + conv(32, 64) + conv(64, 128) + dense(4 * 4 * 128, 256) + dense(256, 10),
    "cnn4": conv(3, 16) + conv(16, 32) + conv(32, 64) + conv(64, 128) + dense(8 * 8 * 128, 128) + dense(128, 10),
    "lenet5": conv(3, 6, 5) + conv(6, 16, 5) + dense(400, 120) + dense(120, 84) + dense(84, 10),
    "resnet8": resnet(1),
    "resnet20": 272_474,  # He et al. write 0.27 million; this is the number usually given for shortcuts of kind B
    "resnet9": norm(3, 64)
    + norm(64, 128)
    + 2 * norm(128, 128)
    + norm(128, 256)
    + norm(256, 512)
    + 2 * norm(512, 512)
    + 5120,
    "vgg_small": sum(norm(ci, co) + norm(co, co) for ci, co in [(3, 32), (32, 64), (64, 128)]) + dense(128, 10),
    "inception_small": norm(3, 32)
    + inception(32, 16, 32, 8, 8)
    + inception(64, 24, 48, 12, 12)
    + inception(96, 32, 64, 16, 16)
    + inception(128, 48, 96, 24, 24)
    + dense(192, 10),
    "speed_small": speed(32, 128, 128),
    "speed_medium": speed(64, 128, 128),
    "speed_large": speed(64, 256, 256),
    "speed_huge": speed(128, 384, 384),
}


def test_every_network_has_a_known_number_of_parameters():
    assert set(PARAMETERS) == set(zoo.names())
    assert PARAMETERS["resnet20"] == resnet(3)
    assert PARAMETERS["cnn2"] == conv(3, 32) + conv(32, 64) + dense(8 * 8 * 64, 128) + dense(128, 10)


@each_name
def test_every_network_builds_with_its_number_of_parameters(name):
    model = zoo.build(name)
    assert isinstance(model, Sequential)
    assert model.name == name
    assert model.count_params() == PARAMETERS[name] == summarize(model, (32, 32, 3)).parameters
    assert model.output_shape((32, 32, 3)) == (10,)
    assert model.final_activation == ("sigmoid" if name == "cnn3_sigmoid" else "softmax")


@each_name
def test_every_network_asks_for_probabilities_and_is_documented(name):
    model = zoo.build(name, (32, 32, 1), num_classes=4, seed=1)
    p = model.predict(np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype(np.float32))
    assert p.shape == (2, 4)
    assert np.isfinite(p).all()
    assert ((p >= 0) & (p <= 1)).all()
    assert len(zoo.describe(name)) > 30


SPEED = ("speed_small", "speed_medium", "speed_large", "speed_huge")
SMALLEST = {"lenet5": (32, 32, 1)} | dict.fromkeys(SPEED, (17, 17, 1))
LARGE = (
    "resnet9",
    "resnet20",
    "inception_small",
    *SPEED,
)  # many parameters, or many arrays of them: along one direction each


@pytest.mark.parametrize("name", [n for n in zoo.names() if n not in LARGE])
def test_the_gradient_of_every_parameter_is_that_of_the_complex_step(name):
    model = zoo.build(name, SMALLEST.get(name, (8, 8, 2)), num_classes=3)
    model.compile(loss="bce" if name == "cnn3_sigmoid" else "cce")
    rows = model.gradient_check(samples=2, directions=1)
    assert len(rows) == len(model.params)
    assert max(row.error for row in rows) < 1e-9


@pytest.mark.parametrize("name", LARGE)
def test_the_gradient_of_a_large_network_is_that_of_the_complex_step_along_a_direction(name):
    model = zoo.build(name, SMALLEST.get(name, (8, 8, 1)), num_classes=3)
    model.compile(loss="cce")
    assert max(row.error for row in model.gradient_check(samples=0, directions=1)) < 1e-9


@pytest.mark.smoke
def test_cnn2_and_lenet5_in_full_size_are_right():
    for name, shape in [("cnn2", (32, 32, 3)), ("lenet5", (32, 32, 1))]:
        model = zoo.build(name, shape)
        model.compile(loss="cce")
        assert max(row.error for row in model.gradient_check(samples=1, directions=1)) < 1e-6


# Hand computation ------------------------------------------------------------------------------------------------------

MULTIPLY_ADDS = {
    ("lenet5", (32, 32, 1)): 28 * 28 * 25 * 6 + 10 * 10 * 25 * 6 * 16 + 400 * 120 + 120 * 84 + 84 * 10,
    ("cnn2", (32, 32, 3)): 32 * 32 * 9 * 3 * 32 + 16 * 16 * 9 * 32 * 64 + 4096 * 128 + 128 * 10,
    ("resnet20", (32, 32, 3)): 1024 * 9 * (3 * 16 + 6 * 16 * 16)
    + 256 * (9 * (16 * 32 + 5 * 32 * 32) + 16 * 32)
    + 64 * (9 * (32 * 64 + 5 * 64 * 64) + 32 * 64)
    + 640,
    ("resnet9", (32, 32, 3)): 1024 * 9 * (3 * 64 + 64 * 128)
    + 256 * 9 * (2 * 128 * 128 + 128 * 256)
    + 64 * 9 * 256 * 512
    + 16 * 9 * 2 * 512 * 512
    + 5120,
    ("speed_large", (32, 32, 3)): 31 * 31 * (12 * 24 + 9 * 24 * 64)
    + 15 * 15 * 9 * (64 * 64 + 64 * 256)
    + 7 * 7 * 9 * 2 * 256 * 256
    + 3 * 3 * 9 * 256 * 256
    + 2560,
}


@pytest.mark.parametrize(("name", "shape"), MULTIPLY_ADDS)
def test_multiply_adds_are_those_worked_out_by_hand(name, shape):
    summary = summarize(zoo.build(name, shape), shape)
    assert summary.multiply_adds == MULTIPLY_ADDS[name, shape]
    assert sum(row.multiply_adds for row in summary.rows) == summary.multiply_adds


# After every layer with a window w, the field grows by (w - 1) times the product of the strides before it.
FIELDS = {
    "lenet5": {"conv1": 5, "average_pool1": 6, "conv2": 6 + 4 * 2, "average_pool2": 14 + 1 * 2},
    "cnn2": {"conv1": 3, "max_pool1": 4, "conv2": 4 + 2 * 2, "max_pool2": 8 + 1 * 2},
    "resnet20": {"conv1": 3, "residual3": 3 + 6 * 2, "residual6": 15 + 2 + 5 * 4, "residual9": 37 + 4 + 5 * 8},
    "speed_small": {"whitening1": 2, "conv1": 4, "max_pool1": 5, "conv2": 5 + 2 * 2, "conv3": 9 + 2 * 2},
    "inception_small": {"concatenate1": (3 + 1) + 4 * 2, "concatenate4": 12 + 8 + 1 * 2 + 4 * 4 * 2},
}


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_fields_are_those_worked_out_by_hand(name):
    rows = {row.path: row.receptive_field for row in summarize(zoo.build(name, (32, 32, 1)), (32, 32, 1)).rows}
    assert {path: rows[path] for path in FIELDS[name]} == {path: f"{n}x{n}" for path, n in FIELDS[name].items()}


@pytest.mark.parametrize(("name", "path"), [("lenet5", "average_pool2"), ("resnet20", "residual9")])
def test_receptive_fields_are_where_a_gradient_arrives(name, path):
    """All weights positive, all images positive: every pixel that can have an influence has one."""
    size = 128
    model = zoo.build(name, (size, size, 1))
    for weights in model.params.values():
        weights[...] = 0.01 * (1 + np.abs(weights))
    net = Sequential(model.layers[: [layer.name for layer in model.layers].index(path) + 1])
    with backend.using("numpy"):
        y, tape = net.forward(np.ones((1, size, size, 1), np.float32))
        dy = np.zeros_like(y)
        dy[0, y.shape[1] // 2, y.shape[2] // 2] = 1
        dx, _ = net.backward(dy, tape)
    rows, columns = np.nonzero(dx[0, :, :, 0])
    n = FIELDS[name][path]
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (n, n)
    field = net.receptive_field(Field((1, 1), (1, 1)), (size, size, 1))
    first = tuple(field.start[axis] + y.shape[1 + axis] // 2 * field.step[axis] for axis in (0, 1))
    assert (rows.min(), columns.min()) == first


# Errors ----------------------------------------------------------------------------------------------------------------


def test_unknown_names_are_answered_with_the_nearest_one():
    for ask in (zoo.build, zoo.describe):
        with pytest.raises(PellucidError, match=r"There is no network 'resnet2'\. Did you mean 'resnet20'"):
            ask("resnet2")


def test_images_too_small_for_a_network_are_explained():
    with pytest.raises(ShapeError, match=r"'lenet5' cannot take images of 8x8x1: Layer 'conv2'.*does not fit"):
        zoo.build("lenet5", (8, 8, 1))


@pytest.mark.parametrize("classes", [0, -1])
def test_a_network_needs_classes(classes):
    with pytest.raises(PellucidError, match=f"units={classes}; wanted at least 1"):
        zoo.build("cnn2", num_classes=classes)


@each_name
def test_the_seed_decides_the_first_weights(name):
    first, again, other = (zoo.build(name, (32, 32, 1), seed=seed).params for seed in (0, 0, 1))
    kernels = [path for path in first if path.endswith("kernel")]
    for path in kernels:
        np.testing.assert_array_equal(first[path], again[path])
    kernels = [path for path in kernels if np.abs(first[path]).sum() != first[path].shape[-1]]  # not the identity
    for path in kernels:
        assert (first[path] != other[path]).any()
    drawn = [first[path].ravel()[-8:].tobytes() for path in kernels]
    assert len(set(drawn)) == len(drawn)  # no two layers start with the same numbers
