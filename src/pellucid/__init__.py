"""pellucid: convolutional neural networks from scratch, readable as NumPy and fast on a CPU.

import pellucid as pl

model = pl.Sequential([pl.Conv2D(32, 3, activation="relu"), pl.Flatten(), pl.Dense(10, activation="softmax")])
model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", learning_rate=0.01, input_shape=(32, 32, 3))
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Where each public name lives. They are loaded on first use, so that importing the package stays quick.
_LAYERS = [
    "GELU",
    "Activation",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "MaxPooling2D",
    "ReLU",
    "Rescaling",
    "Residual",
    "Softmax",
    "SpatialDropout2D",
    "WhiteningConv2D",
]
_HOMES = {
    **dict.fromkeys(_LAYERS, "layers"),
    **dict.fromkeys(("Sequential", "load"), "model"),
    **{f"{verb}_{what}": "backend" for verb in ("set", "get") for what in ("backend", "num_threads", "precision")},
    "PellucidError": "errors",
    "Preprocessing": "preprocessing",
}
_MODULES = (
    "augmentation",
    "backend",
    "data",
    "doctor",
    "explain",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "ops",
    "optimizers",
    "regularizers",
    "schedules",
    "testing",
    "training",
    "zoo",
)

__all__ = sorted(
    _HOMES
)  # ``from pellucid import *`` brings layers and functions, no module that could hide your own ``data``


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pellucid' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_HOMES, *_MODULES, "__version__"])
