"""What every layer makes of an image: its activation maps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..layers import Chain
from ..model import Sequential
from .network import batches, find_layer, layers_of


def activations(
    model: Sequential, x: NDArray, layers: Iterable[str] | None = None, *, batch_size: int = 64
) -> dict[str, NDArray]:
    """The outputs of layers, by path, in the network's order: (N, H, W, C) maps, (N, units) behind Flatten.

    ``layers`` are paths, such as ``"residual1/body/conv2"``; without it all layers, which for many images is much memory.

    >>> from pellucid import zoo
    >>> found = activations(zoo.build("cnn2"), np.zeros((2, 32, 32, 3), np.float32), ["conv2", "dense1"])
    >>> {path: array.shape for path, array in found.items()}
    {'conv2': (2, 16, 16, 64), 'dense1': (2, 128)}
    """
    asked = list(layers_of(model)) if layers is None else [find_layer(model, path).path for path in layers]
    wanted = [path for path in layers_of(model) if path in asked]
    pieces: dict[str, list[NDArray]] = {path: [] for path in wanted}
    for _, batch in batches(model, x, batch_size):
        _, tape = Chain.forward(model, batch)
        for path in wanted:
            pieces[path].append(tape[path].output)
    return {path: np.concatenate(arrays) for path, arrays in pieces.items()}
