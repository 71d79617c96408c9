"""Quick answers of a network to small batches, which it is asked again and again.

The second time that a network is asked about a batch of some shape, the calls of its kernels are written down, and from then
on made again in one go (see ``kernels.playback``). The numbers are the same, bit for bit. Weights may change at any
time: each answer looks whether they have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backend
from .layers.base import Layer
from .layers.merge import Chain

MOST_IMAGES = 16  # of a small batch
MOST_BYTES = 1 << 26  # of weights, which are kept a second time, and up to four times as large
SHAPES = 4  # that are known at the same time
MOST_PATIENCE = 1 << 10  # answers between two attempts
NEVER = 1 << 62


class Replies:
    """The playbacks of a model. A copy of a model begins without any."""

    def __init__(self) -> None:
        self._known: dict[Any, _Known] = {}
        self._bytes: int | None = None  # of the model's weights

    def __reduce__(self) -> tuple[type, tuple]:
        return Replies, ()

    def suit(self, model: Layer, images: int) -> bool:
        """Whether so many images are few enough, and the model small enough."""
        if images > MOST_IMAGES:
            return False
        if self._bytes is None:
            self._bytes = sum(array.nbytes for array in _weights(_weighted(model)))
        return self._bytes <= MOST_BYTES

    def reply(self, model: Layer, network: Chain, x: NDArray) -> NDArray:
        """The outputs for x of a model, by ``network``, a plan of it."""
        if x.dtype != np.float32:  # no kernel would run
            return network(x)
        key = backend.get_backend(), x.shape, *network.layers
        with backend.lasting_weights():
            known = self._known.get(key)
            if known is None:
                for oldest in list(self._known)[: 1 - SHAPES]:  # another thread may be here too
                    self._known.pop(oldest, None)
                self._known[key] = _Known(model, network)
            answer = None if known is None else known.reply(x)
            return network(x) if answer is None else answer


class _Known:
    """A network and a shape that it was asked about."""

    def __init__(self, model: Layer, network: Chain) -> None:
        self.network, self.weighted = network, _weighted(model)
        self.playback: Any = None
        self.patience = self.wait = 1  # answers until the next attempt; more and more if the weights keep changing

    def reply(self, x: NDArray) -> NDArray | None:
        weights, playback = _weights(self.weighted), self.playback  # which another thread may change meanwhile
        if playback is None or not playback.fits(weights):
            self.wait -= 1
            if self.wait > 0:
                return None
            playback = self.playback = backend.playback(self.network.layers, weights, x.shape)
            if playback is None:
                self.wait = NEVER
                return None
        answer = playback(x)
        if playback.stale:
            self.playback = None
            self.wait = self.patience = min(2 * self.patience, MOST_PATIENCE)
        return answer


def _weighted(model: Layer) -> list[Layer]:
    return [layer for layer in model.walk() if layer._params or layer._state]


def _weights(layers: list[Layer]) -> list[NDArray]:
    return [array for layer in layers for kind in (layer._params, layer._state) for array in (kind or {}).values()]
