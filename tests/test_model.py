"""Sequential: compile, fit, evaluate, predict, as a person would use them."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from pellucid import Preprocessing, Sequential, backend, losses, optimizers, zoo
from pellucid.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    Softmax,
)

# The example of the project "CNNFromScratch", its import line apart.
LENET5 = """
from pellucid import *

model = Sequential([
  # Layer 1: Convolutional layer
  Conv2D(filters=6, kernel_size=5, strides=1, padding='valid', activation='relu'),
  AveragePooling2D(pool_size=2, strides=2),

  # Layer 2: Convolutional layer
  Conv2D(filters=16, kernel_size=5, strides=1, padding='valid', activation='relu'),
  AveragePooling2D(pool_size=2, strides=2),

  # Flatten the 2D feature maps into a 1D vector
  Flatten(),

  # Fully connected layer 1
  Dense(120, activation='relu'),

  # Fully connected layer 2
  Dense(84, activation='relu'),

  # Output layer: 10 classes for classification
  Dense(10, activation='softmax')
])

# Adjust input shape and compilation
input_shape = [1, 32, 32]
model.compile(optimizer='sgd', loss='cce', learning_rate=0.01, input_shape=input_shape)
"""
TRAIN = """
# Train the model
model.fit(data.X_train, data.Y_train, epochs=30)
"""


def images(n=12, shape=(8, 8, 1), classes=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, *shape)).astype(np.float32), np.arange(n) % classes


def small(last="softmax", shape=(8, 8, 1), classes=3, **options) -> Sequential:
    model = Sequential([Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Flatten(), Dense(classes, last)])
    model.compile(**{"loss": "cce", "learning_rate": 0.1, "input_shape": shape} | options)
    return model


# The example -----------------------------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("one_hot", [False, True])
def test_the_lenet5_example_runs_with_only_its_import_line_changed(one_hot, capsys):
    x, y = images(16, (1, 32, 32), classes=10)
    names = {}
    exec(LENET5, names)
    names["data"] = SimpleNamespace(X_train=x, Y_train=np.eye(10)[y] if one_hot else y)
    before = names["model"].evaluate(x, y)
    exec(TRAIN, names)
    after = names["model"].evaluate(x, y)
    assert after["loss"] < before["loss"]
    assert names["model"].count_params() == 61706  # LeCun's, with one input channel and full connections
    assert names["model"].predict(x).shape == (16, 10)
    assert "epoch 30/30" in capsys.readouterr().out


def test_channels_first_is_the_same_network_fed_at_the_border():
    first, last = (small(shape=shape) for shape in [(1, 8, 8), (8, 8, 1)])
    assert first.data_format == "channels_first"
    x, y = images()
    np.testing.assert_array_equal(first.predict(x.transpose(0, 3, 1, 2)), last.predict(x))
    assert first.train_on_batch(x.transpose(0, 3, 1, 2), y) == last.train_on_batch(x, y)
    assert first.evaluate(x.transpose(0, 3, 1, 2), y) == last.evaluate(x, y)


@pytest.mark.parametrize(
    ("shape", "data_format", "expected"),
    [
        ((32, 32, 3), None, "channels_last"),
        ((3, 32, 32), None, "channels_first"),
        ([1, 28, 28], None, "channels_first"),
        ((3, 32, 3), None, "channels_last"),
        ((3, 32, 32), "channels_last", "channels_last"),
        ((16, 32, 32), "channels_first", "channels_first"),
        ((np.int64(28), 28, 1), None, "channels_last"),
    ],
)
def test_the_format_of_images_is_found_or_said(shape, data_format, expected):
    model = Sequential([GlobalAveragePooling2D(), Dense(2)])
    model.compile(input_shape=shape, data_format=data_format)
    assert model.data_format == expected
    assert model.predict(np.zeros((1, *shape), np.float32)).shape == (1, 2)


# Learning --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.05, momentum=0.9), optimizers.Adam(0.005)])
def test_a_network_memorises_twenty_images(optimizer):
    x, y = images(20, classes=10)
    model = zoo.build("cnn1_mnist", (8, 8, 1))
    model.compile(optimizer, "sparse_categorical_crossentropy")
    history = model.fit(x, y, batch_size=5, epochs=30, verbose=0)
    assert model.evaluate(x, y)["accuracy"] == 1.0
    assert history.rows[0]["train_loss"] > 2 > 0.2 > history.rows[-1]["train_loss"]


@pytest.mark.parametrize(
    ("loss", "last", "classes"), [("bce", "sigmoid", 1), ("mse", None, 1), ("bce", None, 3), ("mse", "softmax", 3)]
)
def test_other_losses_learn_too(loss, last, classes):
    x, y = images(20, classes=max(classes, 2))
    model = small(
        last, classes=classes, loss=loss, optimizer=optimizers.Adam(0.01), learning_rate=None, metrics=["acc"]
    )
    first = model.fit(x, y, epochs=1, verbose=0).rows[0]["train_loss"]
    model.fit(x, y, epochs=60, verbose=0)
    scores = model.evaluate(x, y)
    assert scores["loss"] < 0.2 * first
    assert scores["accuracy"] == 1.0


def test_train_on_batch_returns_the_loss_before_its_step():
    model, (x, y) = small(), images()
    before = model.evaluate(x, y)["loss"]
    assert model.train_on_batch(x, y) == pytest.approx(before, rel=1e-5)
    assert model.evaluate(x, y)["loss"] < before
    assert model.optimizer.iterations == 1


def test_one_step_of_sgd_is_weights_minus_rate_times_gradient():
    model, (x, y) = small(learning_rate=0.5), images()
    weights = {path: a.copy() for path, a in model.params.items()}
    _, gradients = model.gradients(x, y)
    model.train_on_batch(x, y)
    for path, a in model.params.items():
        np.testing.assert_allclose(a, weights[path] - np.float32(0.5) * gradients[path], rtol=1e-6, atol=1e-7)


def test_fit_with_one_batch_and_no_shuffling_is_train_step():
    (x, y), one, other = images(), small(), small()
    one.fit(x, y, batch_size=100, epochs=3, shuffle=False, verbose=0)
    for epoch in range(3):
        other.train_step(x, y, epoch=epoch)
    for path, a in one.params.items():
        np.testing.assert_array_equal(a, other.params[path])


def test_training_repeats_bit_for_bit_and_depends_on_the_seed():
    x, y = images(20)

    def trained(seed):
        model = Sequential([Flatten(), Dense(8, "relu"), Dropout(0.5), Dense(3, "softmax")])
        model.compile(input_shape=(8, 8, 1), seed=seed)
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        return model.params["dense2/kernel"]

    np.testing.assert_array_equal(trained(0), trained(0))
    assert (trained(0) != trained(1)).any()


def test_dropout_of_an_image_does_not_depend_on_its_batch():
    model = Sequential([Flatten(), Dense(8), Dropout(0.5), Dense(3)])
    model.compile(loss=losses.get("cce", reduction="sum"), input_shape=(8, 8, 1))
    model.astype(np.float64)
    x, y = images(6)
    order = np.array([4, 0, 5, 2])
    _, whole = model.gradients(x[order], y[order], epoch=3, indices=order)
    parts = [model.gradients(x[[i]], y[[i]], epoch=3, indices=np.array([i]))[1] for i in order]
    for path, gradient in whole.items():
        np.testing.assert_allclose(sum(part[path] for part in parts), gradient, rtol=1e-9, atol=1e-12)


def test_validation_split_holds_out_the_last_part_and_never_learns_from_it():
    x, y = images(20)
    split, given = small(), small()
    history = split.fit(x, y, validation_split=0.25, epochs=2, verbose=0)
    expected = given.fit(x[:15], y[:15], validation_data=(x[15:], y[15:]), epochs=2, verbose=0)
    assert history.rows[-1]["val_loss"] == expected.rows[-1]["val_loss"]
    assert history.rows[-1]["val_loss"] == pytest.approx(split.evaluate(x[15:], y[15:])["loss"])
    for path, a in split.params.items():
        np.testing.assert_array_equal(a, given.params[path])


def test_class_weights_and_sample_weights_multiply():
    x, y = images()
    one, other = small(), small()
    one.fit(x, y, class_weight={1: 3.0, 2: 0.0}, sample_weight=np.full(len(x), 0.5), verbose=0, shuffle=False)
    other.fit(x, y, sample_weight=np.array([0.5, 1.5, 0.0])[y], verbose=0, shuffle=False)
    for path, a in one.params.items():
        np.testing.assert_allclose(a, other.params[path], rtol=1e-6)


def test_images_of_weight_zero_teach_nothing():
    x, y = images()
    model, again = small(), small()
    weights = np.array([1, 1, 0] * 4, np.float32)
    y_wrong = np.where(weights, y, (y + 1) % 3)
    assert model.train_on_batch(x, y, weights) == again.train_on_batch(x, y_wrong, weights)


def test_moving_statistics_change_in_training_only():
    x, y = images()
    model = Sequential([Conv2D(2, 3), BatchNormalization(), GlobalAveragePooling2D(), Dense(3, "softmax")])
    model.compile(input_shape=(8, 8, 1))
    before = {path: a.copy() for path, a in model.state.items()}
    model.predict(x), model.evaluate(x, y), model.gradient_check()
    for path, a in model.state.items():
        np.testing.assert_array_equal(a, before[path])
    model.fit(x, y, verbose=0)
    assert all((a != before[path]).any() for path, a in model.state.items())


# With momentum, one ReLU that rounding turns off in one of them lets two trainings of a residual network drift apart.
@pytest.mark.parametrize(("name", "momentum"), [("cnn2", 0.9), ("resnet8", 0.0)])
def test_numpy_and_native_learn_the_same(name, momentum):
    x, y = images(60, (16, 16, 3), classes=10)

    def run(which):
        with backend.using(which):
            model = zoo.build(name, (16, 16, 3), seed=1)
            model.compile(optimizers.SGD(0.01, momentum), "cce")
            return [model.train_step(x[i : i + 6], y[i : i + 6])["loss"] for _ in range(2) for i in range(0, 60, 6)]

    np.testing.assert_allclose(run("native"), run("numpy"), rtol=1e-4)


# Asking ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_predictions_and_scores_do_not_depend_on_batches(batch_size):
    model, (x, y) = small(), images()
    np.testing.assert_allclose(model.predict(x, batch_size), model(x), rtol=1e-5, atol=1e-7)
    whole, parts = model.evaluate(x, y), model.evaluate(x, y, batch_size)
    assert parts == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("reduction", ["mean", "weighted_mean", "sum"])
def test_the_weighted_loss_of_a_whole_set_does_not_depend_on_batches(reduction):
    model, (x, y) = small(loss=losses.get("cce", reduction=reduction)), images()
    weights = np.random.default_rng(0).uniform(0, 2, len(x))
    whole = model.evaluate(x, y, len(x), weights)["loss"]
    assert model.evaluate(x, y, 5, weights)["loss"] == pytest.approx(whole, rel=1e-5)


def test_evaluate_scores_what_predict_says():
    model, (x, y) = small(metrics=["accuracy", "top_3_accuracy"]), images()
    p = model.predict(x)
    scores = model.evaluate(x, y)
    assert scores["accuracy"] == pytest.approx((p.argmax(1) == y).mean())
    assert scores["loss"] == pytest.approx(-np.log(p[np.arange(len(x)), y]).mean(), rel=1e-5)
    assert scores["top_3_accuracy"] == 1.0
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)


def test_bytes_stay_bytes_until_their_batch(tmp_path):
    """A set of images on disk is never turned into floats as a whole."""
    n, shape = 3000, (32, 32, 3)
    x = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(n, *shape))
    x[:] = np.random.default_rng(0).integers(256, size=x.shape, dtype=np.uint8)
    model = Sequential([GlobalAveragePooling2D(), Dense(10, "softmax")])
    model.compile(input_shape=shape)
    model.preprocessing = Preprocessing.fit(np.asarray(x[:50]))
    y = np.zeros(n, np.int64)
    model.predict(x[:64])
    for ask in (lambda: model.predict(x, 64), lambda: model.evaluate(x, y, 64), lambda: model.fit(x, y, 64, verbose=0)):
        tracemalloc.start()
        ask()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < x.nbytes / 2
    np.testing.assert_allclose(model.predict(x, 64)[:8], model(model.preprocessing(x[:8])), rtol=1e-5)


def test_a_model_without_weights_of_its_own_can_be_asked():
    model = Sequential([GlobalAveragePooling2D(), Softmax()])
    model.compile(input_shape=(4, 4, 3))
    np.testing.assert_allclose(model.predict(np.ones((2, 4, 4, 3))), np.full((2, 3), 1 / 3), rtol=1e-6)


def test_lists_are_arrays_too():
    model, (x, y) = small(), images(6)
    np.testing.assert_array_equal(model.predict(x.tolist()), model.predict(x))
    assert model.evaluate(x.tolist(), y.tolist()) == model.evaluate(x, y)
    assert np.isfinite(model.train_on_batch(x.tolist(), y.tolist()))


def test_the_gradient_check_looks_at_every_parameter_and_changes_none():
    model = small()
    before = {path: a.copy() for path, a in model.params.items()}
    rows = model.gradient_check()
    assert {row.path: row.shape for row in rows} == {path: a.shape for path, a in before.items()}
    assert max(row.error for row in rows) < 1e-9
    assert max(row.error for row in model.gradient_check(method="central")) < 1e-5
    for path, a in model.params.items():
        np.testing.assert_array_equal(a, before[path])


def test_the_gradient_check_finds_a_wrong_derivative():
    class Wrong(Dense):
        def backward(self, dy, cache, *, input_gradient=True):
            dx, gradients = super().backward(dy, cache, input_gradient=input_gradient)
            return dx, gradients | {"bias": 1.01 * gradients["bias"]}

    try:
        model = Sequential([Flatten(), Wrong(3, "softmax")])
        model.compile(input_shape=(3, 3, 1))
        errors = {row.path: row.error for row in model.gradient_check()}
    finally:
        del Wrong.classes["Wrong"]
    assert errors["dense1/bias"] == pytest.approx(0.01, rel=0.01)
    assert errors["dense1/kernel"] < 1e-9


def test_the_summary_counts_what_is_there(capsys):
    model = small()
    model.summary()
    text = capsys.readouterr().out
    for expected in ("conv1", "max_pool1", "6x6x4", "Parameters 151", "0.6 kB"):
        assert expected in text
    assert model.count_params() == (9 * 4 + 4) + (36 * 3 + 3)


def test_a_compiled_model_can_be_compiled_again_and_keeps_what_it_learned():
    model, (x, y) = small(), images()
    model.fit(x, y, verbose=0)
    before = model.predict(x)
    model.compile("adam", "mse", learning_rate=0.001)
    np.testing.assert_array_equal(model.predict(x), before)
    assert model.metrics == {}
    model.compile(input_shape=(8, 8, 1))
    np.testing.assert_array_equal(model.predict(x), before)


@pytest.mark.parametrize("which", ["numpy", "native"])
def test_a_network_whose_layers_were_changed_is_another_network(which):
    """Nothing that was prepared for the old one is used for the new one."""
    (x, y), model = images(), small()
    with backend.using(which):
        model.predict(x), model.train_on_batch(x, y)
        head = model.layers.pop()
        features = model.predict(x)
        assert features.shape == (len(x), 36)
        model.layers.append(head.clone())
        head = model.layers[-1]
        head.build((36,), seed=9)
        np.testing.assert_allclose(model.predict(x), head(features), rtol=1e-5, atol=1e-6)
        before = {path: a.copy() for path, a in model.params.items()}
        model.train_on_batch(x, y)
        assert all((a != before[path]).any() for path, a in model.params.items())


def test_a_second_fit_goes_on_with_new_orders():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 6, 6, 1)).astype(np.float32), rng.integers(2, size=12)

    def trained(*epochs: int) -> tuple[Sequential, list[int]]:
        model = Sequential([Flatten(), Dropout(0.3), Dense(2, activation="softmax")])
        model.compile("sgd", input_shape=(6, 6, 1))
        numbered = [row["epoch"] for n in epochs for row in model.fit(x, y, 4, n, verbose=0).rows]
        return model, numbered

    (once, numbers), (twice, again) = trained(3), trained(1, 2)
    assert numbers == again == [1, 2, 3]
    for path, array in once.params.items():
        np.testing.assert_array_equal(array, twice.params[path])
