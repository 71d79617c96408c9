"""A network that has really learned something, trained once for all tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from pellucid import Preprocessing, Sequential, data
from pellucid.layers import Conv2D, Dense, Flatten, MaxPooling2D


class Trained(NamedTuple):
    """A network for the digits and images it has not seen: some to rank filters by, others to test on."""

    model: Sequential
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


@pytest.fixture(scope="session")
def trained() -> Trained:
    digits = data.load("digits", validation_split=0.25)
    layers = [
        Conv2D(16, 3, padding="same", activation="relu"),
        MaxPooling2D(2),
        Flatten(),
        Dense(10, activation="softmax"),
    ]
    model = Sequential(layers)
    model.preprocessing, model.class_names = Preprocessing.fit(digits.train.x), digits.class_names
    model.compile("adam", "sparse_categorical_crossentropy", learning_rate=0.003, input_shape=(8, 8, 1), seed=0)
    model.fit(digits.train.x, digits.train.y, epochs=8, verbose=0)
    validation, test = digits.validation, digits.test
    return Trained(model, validation.x, validation.y, test.x, test.y)
