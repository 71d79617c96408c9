"""The learning-rate range test: leaves no trace, suggests what trains well, says when it cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pellucid import PellucidError, Sequential, figures, optimizers
from pellucid.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D, WhiteningConv2D
from pellucid.optimizers import EMA, SGD, Adam, AdamW, Muon
from pellucid.schedules import Cosine, Plateau
from pellucid.training.ratefinder import judged


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.images[:600, ..., None].astype(np.float32) / 16, data.target[:600]


def network(optimizer: optimizers.Optimizer | None = None) -> Sequential:
    layers = [Conv2D(8, 3, activation="relu"), BatchNormalization(), MaxPooling2D(2), Dropout(0.2), Flatten()]
    model = Sequential([*layers, Dense(10, "softmax")])
    model.compile(SGD(0.01, 0.9) if optimizer is None else optimizer, "cce", input_shape=(8, 8, 1))
    return model


def everything(model: Sequential) -> dict[str, bytes]:
    optimizer = model.optimizer
    arrays = model.params | model.state | optimizer.slots
    plain = {"config": json.dumps(optimizer.config()), "iterations": optimizer.iterations, "horizon": optimizer.horizon}
    return {path: array.tobytes() for path, array in arrays.items()} | {
        name: repr(value).encode() for name, value in plain.items()
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: AdamW(Cosine(0.01), accumulate=2, averages=EMA(0.9)),
        lambda: SGD(Plateau(0.1, patience=0), 0.9),
        lambda: Muon(),
    ],
)
def test_model_and_optimizer_are_what_they_were_bit_for_bit(digits, make):
    model, twin = network(make()), network(make())
    for each in (model, twin):
        each.fit(*digits, batch_size=50, epochs=1, verbose=0)
    before = everything(model)
    model.find_learning_rate(*digits, batch_size=50, steps=60)
    assert everything(model) == before
    for each in (model, twin):  # and so it goes on as the other one
        each.fit(*digits, batch_size=50, epochs=1, verbose=0)
    assert everything(model) == everything(twin)


def test_weights_that_follow_from_the_data_are_not_kept_either(digits):
    model = Sequential([WhiteningConv2D(2), Flatten(), Dense(10, "softmax")])
    model.compile(SGD(0.01), "cce", input_shape=(8, 8, 1))
    before = everything(model)
    model.find_learning_rate(*digits, steps=20)
    assert everything(model) == before


@pytest.mark.parametrize("make", [lambda rate: SGD(rate), lambda rate: SGD(rate, 0.9), lambda rate: Adam(rate)])
def test_the_suggestion_trains_better_than_rates_far_off(digits, make):
    suggestion = network(make(1.0)).find_learning_rate(*digits).suggestion
    losses = []
    for factor in (1 / 50, 1, 50):
        model = network(make(suggestion * factor))
        try:
            losses.append(model.fit(*digits, batch_size=32, epochs=2, verbose=0).rows[-1]["train_loss"])
        except PellucidError:  # diverged
            losses.append(np.inf)
    assert losses[1] == min(losses)


def test_the_test_is_repeatable_and_ends_where_the_loss_diverges(digits):
    one, two = (network().find_learning_rate(*digits, highest=1e4, steps=120) for _ in range(2))
    assert one.to_dict() == two.to_dict()
    assert 10 < len(one.rates) < 120
    assert f"it diverged at {one.rates[-1]:.2g}" in one.reason
    assert len(one.losses) == len(one.smoothed) == len(one.rates)


def test_augmented_images_are_what_is_tested(digits):
    model = network()
    plain = model.find_learning_rate(*digits, steps=20)
    augmented = model.find_learning_rate(*digits, steps=20, augmentation="crop:1")
    assert (plain.losses != augmented.losses).any()


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        (np.full(100, 2.3), "The loss hardly fell at any rate between 1e-06 and 10; test others"),
        (2.3 * 1.5 ** np.arange(12), "The loss hardly fell"),
        (np.array([2.3, 9.0, 90.0]), "The loss diverged at once, at 1.4e-06: test smaller rates"),
    ],
)
def test_where_nothing_can_be_suggested_it_says_why(losses, text):
    found = judged(np.geomspace(1e-6, 10, 100)[: len(losses)], losses, 100)
    assert found.suggestion is None
    assert text in found.reason


def test_a_loss_that_still_falls_at_the_end_asks_for_larger_rates():
    found = judged(np.geomspace(1e-6, 1e-2, 100), np.linspace(2.3, 1.0, 100), 100)
    assert found.suggestion is not None
    assert "it never diverged, so larger rates may be worth a test" in found.reason


def test_a_loss_that_is_never_finite_is_an_error(digits):
    model = network()
    model.params["conv1/kernel"].fill(np.nan)
    with pytest.raises(PellucidError, match="not finite from the very first step on"):
        model.find_learning_rate(*digits)


@pytest.mark.parametrize(
    ("settings", "text"), [({"lowest": 1.0, "highest": 0.1}, "the smaller one first"), ({"steps": 3}, "steps was 3")]
)
def test_wrong_settings_are_explained(digits, settings, text):
    with pytest.raises(PellucidError, match=text):
        network().find_learning_rate(*digits, **settings)


def test_the_figure_is_written(digits, tmp_path):
    found = network().find_learning_rate(*digits, steps=30)
    path = figures.save(found.figure(), tmp_path / "test.png")
    assert path.stat().st_size > 5000
    figures.save(judged(np.geomspace(1e-6, 1, 30), np.full(30, 2.3), 30).figure(), tmp_path / "flat.png")
