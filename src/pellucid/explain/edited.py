"""A network with one layer's output changed on the way: another network around the same weights, the first stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..layers import Chain, Concatenate, Layer, Residual
from ..layers.base import Gradients, Shape
from ..model import Sequential
from ..randomness import Randomness
from .network import find_layer

Edit = Callable[[NDArray], NDArray]


class _Edited(Layer):
    """A layer whose output passes through a function."""

    def __init__(self, layer: Layer, edit: Edit) -> None:
        super().__init__(name=layer.name)
        self.layer, self.edit = layer, edit
        self.input_shape = layer.input_shape

    def _collect(self, kind: str) -> Gradients:
        return self.layer._collect(kind)

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.layer.output_shape(input_shape)

    def forward(self, x: NDArray, *, training: bool = False, rng: Randomness | None = None) -> tuple[NDArray, Any]:
        y, cache = self.layer.forward(x, training=training, rng=rng)
        return self.edit(y), cache

    @property
    def final_activation(self) -> str | None:
        return self.layer.final_activation

    def without_activation(self) -> Layer:
        return _Edited(self.layer.without_activation(), self.edit)


def edited(network: Layer, path: str, edit: Edit) -> Layer:
    """A twin of a network in which the output of the layer at ``path`` passes through ``edit``; it can be asked, not trained."""
    head, _, rest = path.partition("/")

    def change(layer: Layer) -> Layer:
        return edited(layer, rest, edit) if rest else _Edited(layer, edit)

    twin = copy.copy(network)
    if isinstance(network, Chain):
        twin.layers = [change(layer) if layer.name == head else layer for layer in network.layers]  # type: ignore[attr-defined]
    elif isinstance(network, Concatenate):
        twin.branches = [change(layer) if layer.name == head else layer for layer in network.branches]  # type: ignore[attr-defined]
    elif isinstance(network, Residual):
        part = "body" if head == "body" else "shortcut"
        setattr(twin, part, change(getattr(network, part)))
    else:
        raise PellucidError(f"{network!r} has no layers inside.")
    if isinstance(twin, Sequential):
        twin._plans = {}
    return twin


def without_filters(
    model: Sequential, layer: str, filters: Iterable[int], *, value: float | NDArray = 0.0
) -> Sequential:
    """The model with some filters of a layer silenced: they put out ``value`` everywhere (one number, or one for each filter).

    It shares all weights with the model, which stays as it is.

    >>> from pellucid import zoo
    >>> model, x = zoo.build("cnn2"), np.ones((1, 32, 32, 3), np.float32)
    >>> silenced = without_filters(model, "conv2", range(64))
    >>> bool(np.allclose(silenced.predict(x), silenced.predict(5 * x)))
    True
    """
    place = find_layer(model, layer)
    count, chosen = place.output_shape[-1], np.array(list(filters), np.int64)
    if chosen.size and (chosen.min() < 0 or chosen.max() >= count):
        raise PellucidError(f"{layer} has the filters 0 … {count - 1}; got {chosen.min()} … {chosen.max()}.")
    values = np.broadcast_to(np.asarray(value), (count,))[chosen]

    def silence(y: NDArray) -> NDArray:
        y = y.copy()
        y[..., chosen] = values
        return y

    return edited(model, place.path, silence)  # type: ignore[return-value]
