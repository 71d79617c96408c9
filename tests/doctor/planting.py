"""Small trainings on the digits, with or without a fault in them."""

from __future__ import annotations

import functools

import pellucid as pl
from pellucid import data, doctor

NETWORKS = {
    "shallow": lambda: [
        pl.Conv2D(16, 3, padding="same", activation="relu"),
        pl.MaxPooling2D(2),
        pl.Flatten(),
        pl.Dense(10, activation="softmax"),
    ],
    "deep": lambda: [
        pl.Conv2D(16, 3, activation="relu"),
        pl.Conv2D(32, 3, activation="relu"),
        pl.Flatten(),
        pl.Dense(64, activation="relu"),
        pl.Dense(10, activation="softmax"),
    ],
    "normalised": lambda: [
        pl.Conv2D(16, 3, use_bias=False),
        pl.BatchNormalization(),
        pl.ReLU(),
        pl.MaxPooling2D(2),
        pl.Dropout(0.2),
        pl.Flatten(),
        pl.Dense(10, activation="softmax"),
    ],
}


@functools.cache
def digits() -> data.Dataset:
    return data.load("digits")


def network(layers, *, scaled=True, optimizer="adam", rate=0.001):
    """A compiled network for the digits; ``layers`` is a name of ``NETWORKS`` or a list."""
    model = pl.Sequential(NETWORKS[layers]() if isinstance(layers, str) else layers)
    model.compile(optimizer, "cce", learning_rate=rate, input_shape=(8, 8, 1))
    if scaled:
        model.preprocessing = pl.Preprocessing.fit(digits().train.x)
    return model


def watched(model, *, train=None, validation=None, epochs=5):
    """Train under the eyes of the doctor; what it says, by cause."""
    train, validation = train or digits().train, validation or digits().validation
    watch = doctor.Watch(train, validation, digits().test)
    given = (validation.x, validation.y)
    model.fit(train.x, train.y, epochs=epochs, validation_data=given, callbacks=[watch], verbose=0)
    return {finding.cause: finding for finding in watch.findings}
