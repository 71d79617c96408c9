"""Training on augmented images: the same on both backends and any number of threads, and exactly resumed."""

from __future__ import annotations

import os

import numpy as np
import pytest

from pellucid import PellucidError, Preprocessing, Sequential, backend
from pellucid.augmentation import Augmenter
from pellucid.layers import Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from pellucid.training import Callback, Checkpointer, fit, latest, restore

RNG = np.random.default_rng(0)
X, Y = RNG.integers(256, size=(26, 8, 8, 3), dtype=np.uint8), np.arange(26) % 3
TEXT = "alternating_flip,crop:2,rotation:5,contrast:0.2,cutout:3,mixup:0.5,cutmix"


def network(outputs=3, activation="softmax", loss="cce", data_format=None) -> Sequential:
    model = Sequential(
        [Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Dropout(0.2), Flatten(), Dense(outputs, activation)]
    )
    model.preprocessing = Preprocessing.fit(X)
    shape = (8, 8, 3) if data_format is None else (3, 8, 8)
    model.compile("adam", loss, learning_rate=0.01, input_shape=shape, data_format=data_format, seed=1)
    return model


def weights(model) -> bytes:
    return b"".join(array.tobytes() for array in (model.params | model.state).values())


def trained(augmentation=TEXT, epochs=3, x=X, y=Y, model=None, **settings):
    model = network() if model is None else model
    history = model.fit(x, y, batch_size=5, epochs=epochs, augmentation=augmentation, verbose=0, **settings)
    return model, history


def test_augmentation_changes_what_is_learned_and_no_augmentation_nothing():
    plain, _ = trained(None)
    assert weights(trained("")[0]) == weights(plain)
    assert weights(trained("flip")[0]) != weights(plain)
    assert weights(trained()[0]) == weights(trained()[0])


def test_numpy_and_native_learn_the_same():
    losses = []
    for name in ("numpy", "native"):
        with backend.using(name):
            losses.append(trained()[1].history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_the_number_of_threads_changes_no_bit():
    before, results = backend.get_num_threads(), set()
    try:
        for threads in (1, 2, 3):
            backend.set_num_threads(threads)
            results.add(weights(trained()[0]))
    finally:
        backend.set_num_threads(before)
    assert len(results) == 1


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_batch_end(self, training, scores):
        if training.progress.step == self.step:
            training.stop("asked to")


@pytest.mark.parametrize("step", [1, 5, 6, 8, 12])
def test_interrupted_in_the_middle_of_an_epoch_and_resumed_is_uninterrupted(tmp_path, monkeypatch, step):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    settings = {"batch_size": 5, "epochs": 3, "seed": 1}
    whole = network()
    fit(whole, X, Y, augment=whole.augmenter(TEXT), **settings)

    first = network()
    callbacks = [Checkpointer(tmp_path, every_steps=1), StopAt(step)]
    fit(first, X, Y, augment=first.augmenter(TEXT), callbacks=callbacks, **settings)
    second = network()
    progress = restore(latest(tmp_path), second, [])
    fit(second, X, Y, augment=second.augmenter(TEXT), progress=progress, **settings)
    assert weights(second) == weights(whole)


def test_a_training_does_not_go_on_with_another_augmentation(tmp_path):
    model = network()
    fit(model, X, Y, augment=model.augmenter("flip"), epochs=2, callbacks=[Checkpointer(tmp_path), StopAt(1)])
    progress = restore(latest(tmp_path), model, [])
    with pytest.raises(PellucidError, match="augmentation was flip and is crop:2"):
        fit(model, X, Y, augment=model.augmenter("crop:2"), epochs=2, progress=progress)


def test_a_second_fit_goes_on_with_new_draws():
    once, _ = trained(epochs=4)
    twice, _ = trained(epochs=2)
    trained(epochs=2, model=twice)
    assert twice.epochs_seen == once.epochs_seen == 4
    np.testing.assert_allclose(twice.params["conv1/kernel"], once.params["conv1/kernel"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("outputs", "activation", "loss", "y"),
    [
        (3, "softmax", "cce", Y),
        (3, "softmax", "cce", np.eye(3)[Y]),
        (3, "sigmoid", "bce", Y),
        (1, "sigmoid", "bce", Y % 2),
        (3, "linear", "mse", Y),
        (1, "linear", "mse", Y / 2),
    ],
)
def test_every_loss_takes_mixed_targets(outputs, activation, loss, y):
    model = network(outputs, activation, loss)
    _, history = trained("flip,mixup:1,cutmix", epochs=2, y=y, model=model)
    assert np.isfinite(history.history["loss"]).all()


def test_mixed_targets_have_right_gradients():
    model = network()
    augmenter = model.augmenter("mixup:1,cutmix")
    inputs, targets = augmenter(X, Y, np.arange(4), 0)
    assert set(np.unique(targets)) - {0, 1}
    rows = model.gradient_check(inputs.astype(np.float64), targets, samples=3)
    assert max(row.error for row in rows) < 1e-9


def test_every_epoch_is_drawn_anew(monkeypatch):
    asked, call = [], Augmenter.__call__
    monkeypatch.setattr(Augmenter, "__call__", lambda self, *which: asked.append(which[3]) or call(self, *which))
    model, _ = trained("flip", epochs=2)
    trained("flip", epochs=1, model=model)
    assert asked == [0] * 6 + [1] * 6 + [2] * 6


def test_channels_first_images_are_augmented_like_others():
    last, _ = trained("flip,crop:2", model=network())
    first, _ = trained("flip,crop:2", x=X.transpose(0, 3, 1, 2), model=network(data_format="channels_first"))
    assert weights(first) == weights(last)


def test_validation_images_stay_as_they_are():
    model, history = trained("crop:3,cutout:4", validation_data=(X, Y))
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y)["loss"], rel=1e-6)


def test_wrong_augmentations_are_refused_before_a_weight_changes():
    model = network()
    before = weights(model)
    for text, message in [("flop", "Did you mean 'flip'"), ("crop:9", "too large for images of 8x8")]:
        with pytest.raises(PellucidError, match=message):
            trained(text, model=model)
    assert weights(model) == before
