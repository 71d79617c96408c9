"""A model that is trained with averages of its weights is evaluated, asked and saved with them."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, load
from pellucid.layers import BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D, Residual
from pellucid.optimizers import EMA, SGD, Lookahead
from pellucid.schedules import Cosine, Linear, WarmUp
from pellucid.training import EarlyStopping

rng = np.random.default_rng(0)
X = rng.standard_normal((24, 8, 8, 2)).astype(np.float32)
Y = rng.integers(3, size=24)


def network(averages: object = None, **settings: object) -> Sequential:
    body = [Conv2D(4, 3, padding="same"), BatchNormalization()]
    layers = [Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Residual(body), Flatten(), Dense(3, "softmax")]
    model = Sequential(layers)
    model.compile(SGD(0.1, 0.9, averages=averages), "cce", input_shape=(8, 8, 2), **settings)
    return model


def twin_with(model: Sequential, arrays: dict[str, np.ndarray]) -> Sequential:
    """A model without averages that has these weights."""
    twin = network()
    twin.load_weights(arrays)
    return twin


@pytest.mark.parametrize("averages", [EMA(0.5), Lookahead(0.5, 4)])
def test_asking_asks_the_averages_and_training_goes_on_with_the_weights(averages, tmp_path):
    model = network(averages)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    arrays = model.params | model.state
    weights = {path: array.copy() for path, array in arrays.items()}
    means = model.optimizer.averaged(arrays)
    assert means.keys() == weights.keys()
    assert any((means[path] != weights[path]).any() for path in weights)

    expected = twin_with(model, means)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    assert model.evaluate(X, Y) == expected.evaluate(X, Y)
    model.save(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "model.safetensors").predict(X), expected.predict(X))
    for path, array in (model.params | model.state).items():
        np.testing.assert_array_equal(array, weights[path])


def test_validation_scores_the_averages():
    model, raw = network(EMA(0.5)), network()
    rows = model.fit(X, Y, batch_size=8, epochs=2, validation_data=(X, Y), verbose=0).rows
    plain = raw.fit(X, Y, batch_size=8, epochs=2, validation_data=(X, Y), verbose=0).rows
    assert [row["train_loss"] for row in rows] == [row["train_loss"] for row in plain]  # an EMA changes no step
    assert rows[-1]["val_loss"] != plain[-1]["val_loss"]
    assert rows[-1]["val_loss"] == model.evaluate(X, Y)["loss"]


def test_adopted_averages_are_the_weights():
    model = network(EMA(0.5))
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0)
    expected = model.predict(X)
    model.adopt_averages()
    assert model.averaged() is model
    np.testing.assert_array_equal(model.predict(X), expected)
    network().adopt_averages()  # nothing to do


def test_loaded_weights_are_what_is_asked():
    model, other = network(EMA(0.9)), network(seed=5)
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0)
    model.load_weights(other.params | other.state)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


def test_early_stopping_brings_back_the_averages_it_has_seen():
    class Best(EarlyStopping):
        def on_epoch_end(self, training, row):
            super().on_epoch_end(training, row)
            if self.best_epoch == row["epoch"]:
                self.expected = training.model.predict(X)

    model, stopping = network(EMA(0.5)), Best("val_loss", patience=2, restore_best=True)
    model.fit(X, Y[::-1], batch_size=8, epochs=8, validation_data=(X, Y), callbacks=[stopping], verbose=0)
    np.testing.assert_array_equal(model.predict(X), stopping.expected)


def test_a_fit_with_a_schedule_records_the_rate_of_every_epoch():
    model = network()
    model.compile(SGD(WarmUp(Cosine(0.1), "1 epoch")), "cce")
    rows = model.fit(X, Y, batch_size=8, epochs=4, verbose=0).rows
    schedule = Cosine(0.1, 9)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.1 * 2 / 3, *(schedule(s) for s in (2, 5, 8))])


def test_a_schedule_spans_what_its_optimizer_is_there_for():
    model = network()
    model.fit(X, Y, batch_size=8, epochs=5, verbose=0)
    model.compile(SGD(Linear(0.1)), "cce")  # a second phase
    rows = model.fit(X, Y, batch_size=8, epochs=2, verbose=0).rows
    assert rows[-1]["learning_rate"] == pytest.approx(0.1 / 6)
    rows = model.fit(X, Y, batch_size=8, epochs=2, verbose=0).rows  # goes on: four epochs in all
    assert rows[-1]["learning_rate"] == pytest.approx(0.1 / 12)


def test_patterns_that_fit_nothing_are_refused_by_compile():
    with pytest.raises(PellucidError, match=r"'conv2/\*' fits no parameter. The parameters are conv1/kernel"):
        network().compile(SGD(0.1, groups={"conv2/*": {}}), "cce")
