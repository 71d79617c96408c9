"""What is measured: a network ready to train, and random images for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..model import Sequential
from ..run.networks import find

MADE_FOR = {"_mnist": (28, 28, 1)}  # by the end of a name; all others are made for CIFAR-10's images
CIFAR = (32, 32, 3)


def network(
    name: str, input_shape: Sequence[int] | None = None, classes: int = 10, *, learning_rate: float = 1e-3
) -> Sequential:
    """A network of the zoo, a TOML file of layers, a model file or a run, ready to train with SGD on what its layers see.

    Without an ``input_shape``, (H, W, C), a network of the zoo is built for the images it was made for. There are no metrics:
    what is compared with computes none either.

    >>> network("cnn2_mnist").input_shape, network("lenet5").input_shape
    ((28, 28, 1), (32, 32, 3))
    """
    usual = next((shape for ending, shape in MADE_FOR.items() if name.endswith(ending)), CIFAR)
    model = find(name, input_shape or usual, classes)
    model.preprocessing = None  # the images are random already
    loss = "binary_crossentropy" if model.final_activation == "sigmoid" else "categorical_crossentropy"
    model.compile("sgd", loss, learning_rate=learning_rate, metrics=())
    return model


def images(model: Sequential, count: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Random images (N, H, W, C), as the layers see them, and labels (N,); the model adapts to them, if any layer has to."""
    if count < 1:
        raise PellucidError(f"Got batches of {count} images; wanted at least 1.")
    rng = np.random.default_rng(seed)
    shape = tuple(model.input_shape or ())
    x = rng.standard_normal((count, *shape), np.float32)
    model.adapt_to(x)
    return x, rng.integers(max(2, model.output_shape(shape)[-1]), size=count)
