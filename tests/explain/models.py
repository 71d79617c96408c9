"""Networks to explain: one of every kind of layer, small enough to look at from all sides."""

from __future__ import annotations

import numpy as np

from pellucid import Sequential
from pellucid.layers import (
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    MaxPooling2D,
    ReLU,
    Residual,
)

NAMES = ("ant", "bee", "cow", "dog", "emu")


def plain() -> Sequential:
    """Convolutions with their activations, pooling that drops a row, dense layers, softmax."""
    return _ready(
        [
            Conv2D(6, 3, activation="relu"),
            MaxPooling2D(2),
            Conv2D(8, 3, padding="same", activation="relu"),
            Flatten(),
            Dense(7, activation="tanh"),
            Dense(5, activation="softmax"),
        ]
    )


def tangled() -> Sequential:
    """Branches inside branches, normalisation, groups, strides, dilation, depthwise filters, padding on one side only."""

    def conv(filters: int, *size, **settings):
        return Conv2D(filters, *size, **({"padding": "same"} | settings))

    return _ready(
        [
            conv(6, 3),
            BatchNormalization(),
            ReLU(),
            Residual([conv(6, 3, dilation_rate=2), BatchNormalization(), ReLU(), conv(6, 3, groups=2)]),
            Concatenate(
                [
                    conv(4, 1, activation="relu"),
                    [MaxPooling2D(3, 1, padding="same"), DepthwiseConv2D(3, padding="same", depth_multiplier=2)],
                ]
            ),
            conv(6, 3, 2, activation="leaky_relu"),
            AveragePooling2D(2, padding="same"),
            Dropout(0.3),
            Flatten(),
            Dense(5, activation="softmax"),
        ]
    )


def images(n: int = 3, seed: int = 1) -> np.ndarray:
    """Images 7x7x3 as the layers see them."""
    return np.random.default_rng(seed).normal(size=(n, 7, 7, 3)).astype(np.float32)


def _ready(layers) -> Sequential:
    model = Sequential(layers)
    model.compile(loss="sparse_categorical_crossentropy", input_shape=(7, 7, 3), seed=3)
    rng = np.random.default_rng(4)
    params = {path: a + rng.normal(scale=0.1, size=a.shape) for path, a in model.params.items()}
    model.load_weights(params | {path: a + rng.uniform(0, 0.5, a.shape) for path, a in model.state.items()})
    model.class_names = NAMES
    return model


MODELS = {"plain": plain, "tangled": tangled}
