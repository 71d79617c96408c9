"""Dead units: those behind a ReLU that no image excites. Statistics, report and doctor all mean this by it, and count it here."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..layers import Chain, Layer
from ..model import Sequential
from .network import batches, layers_of

# Healthy networks have some: a fifth of a dense layer on the digits, and Adam's first steps cost `cnn2` four fifths of its 128
# dense units, without which it still reaches its 68 % on CIFAR-10. When a tenth of a layer is left, little comes through.
_FEW_LEFT = 0.9
_NO_HARM = (
    "Most networks have some, and do without them; pellucid doctor warns when no more than a tenth of a layer is left."
)


def dead_units(model: Sequential, x: NDArray, *, batch_size: int = 64) -> dict[str, NDArray[np.bool_]]:
    """For every layer that ends in ReLU, by path, which of its units (channels) put out zero everywhere in all images ``x``.

    No gradient comes through them, so they stay as they are. Another image may still excite one.

    >>> from pellucid import zoo
    >>> found = dead_units(zoo.build("cnn2"), np.zeros((4, 32, 32, 3), np.float32))
    >>> {path: int(units.sum()) for path, units in found.items()}      # an image of zeros excites nobody
    {'conv1': 32, 'conv2': 64, 'dense1': 128}
    """
    paths = [path for path, place in layers_of(model).items() if rectified(place.layer)]
    ends: dict[str, tuple[NDArray, NDArray]] = {}
    for _, batch in batches(model, x, batch_size):
        _, tape = Chain.forward(model, batch)
        for path in paths:
            rows = tape[path].output.reshape(-1, tape[path].output.shape[-1])
            low, high = ends.get(path, (rows[0], rows[0]))
            ends[path] = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
    return {path: never_changes(low, high) for path, (low, high) in ends.items()}


def rectified(layer: Layer) -> bool:
    """Whether its outputs come out of a ReLU."""
    return getattr(layer, "activation", None) == "relu"


def never_changes(smallest: NDArray, largest: NDArray) -> NDArray[np.bool_]:
    """Whose outputs are all the same, to within the rounding of the layer's largest output; behind ReLU they are zero."""
    scale = max(np.abs(largest).max(initial=0), np.abs(smallest).max(initial=0))
    return largest - smallest <= 1e-6 * scale


def few_left(dead: Mapping[str, NDArray]) -> dict[str, float]:
    """The layers of which no more than a tenth is left, with the share that is dead: that is worth a warning.

    >>> few_left({"conv1": np.array([True, False]), "conv2": np.array([True, True])})
    {'conv2': 1.0}
    """
    return {path: float(units.mean()) for path, units in dead.items() if units.mean() >= _FEW_LEFT}


def counted(dead: Mapping[str, NDArray]) -> str:
    """How many of which layers.

    >>> counted({"conv1": np.array([True, False]), "conv2": np.array([False, False])})
    '1 of 2 in conv1'
    """
    return ", ".join(f"{units.sum():,} of {units.size:,} in {path}" for path, units in dead.items() if units.any())


def in_words(dead: Mapping[str, NDArray], images: int) -> str:
    """What there is to say about them, and whether it is a reason to worry.

    >>> print(in_words({"conv1": np.array([True, False])}, 512))
    Dead units (zero for all of 512 images): 1 of 2 in conv1.
    Most networks have some, and do without them; pellucid doctor warns when no more than a tenth of a layer is left.
    """
    told = f"Dead units (zero for all of {images:,} images): {counted(dead) or 'none'}."
    if worst := few_left(dead):
        return f"{told}\nLittle comes through {', '.join(worst)}: pellucid doctor says what to do."
    if counted(dead):
        return f"{told}\n{_NO_HARM}"
    return told
