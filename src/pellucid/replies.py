"""Quick answers of a network to small batches, which it is asked again and again; many images are small batches, too.

The second time that a network is asked about a batch of some shape, the calls of its kernels are written down, and from then
on made again in one go (see ``kernels.playback``). The numbers are the same, bit for bit. Weights may change at any
time: each answer looks whether they have.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backend
from .layers.base import Layer, Shape, arrays_of
from .layers.merge import Chain

MOST_IMAGES = 16  # of a small batch
MOST_BYTES = 1 << 26  # of weights, which are kept a second time, and up to four times as large
PART_IMAGES = 256  # of many images, that are answered at once,
PART_BYTES = 1 << 26  # so that what lies between the layers stays near
PART_WEIGHTS = 3 << 19  # bytes of weights, which every part reads anew, up to which that pays
SHAPES = 4  # that are known at the same time
MOST_PATIENCE = 1 << 10  # answers between two attempts
NEVER = 1 << 62


class Replies:
    """The playbacks of a model. A copy of a model begins without any."""

    def __init__(self) -> None:
        self._known: dict[Any, _Known] = {}
        self._bytes: tuple[int, int] | None = (
            None  # of the model's weights, and of what lies between its layers for an image
        )

    def __reduce__(self) -> tuple[type, tuple]:
        return Replies, ()

    def at_once(self, model: Layer, images: int) -> int | None:
        """How many of so many images may be answered at once; None where that is none of ours."""
        if self._bytes is None:
            between = 4 * _numbers(model, model.input_shape or ())
            self._bytes = sum(array.nbytes for array in arrays_of(_weighted(model))), between
        weights, between = self._bytes
        if weights > MOST_BYTES or (images > MOST_IMAGES and weights > PART_WEIGHTS):
            return None
        part = PART_IMAGES
        while part > MOST_IMAGES and part * between > PART_BYTES:
            part //= 2
        return part

    def reply(self, model: Layer, network: Chain, x: NDArray) -> NDArray:
        """The outputs for x of a model, by ``network``, a plan of it."""
        if x.dtype != np.float32:  # no kernel would run
            return network(x)
        key = backend.settings(), x.shape, *network.layers
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
        weights, playback = arrays_of(self.weighted), self.playback  # which another thread may change meanwhile
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


def _numbers(layer: Layer, shape: Shape) -> int:
    """That come out of the layers for one image."""
    parts = layer.parts(shape)
    return sum(_numbers(part, shape) for _, part, shape in parts) if parts else prod(layer.output_shape(shape))


def _weighted(model: Layer) -> list[Layer]:
    return [layer for layer in model.walk() if layer._params or layer._state]
