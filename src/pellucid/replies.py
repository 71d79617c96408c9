"""Quick answers of a network to small batches, which it is asked again and again.

The second time that a network is asked about a batch of some shape, the calls of its kernels are written down, and from then
on made again in one go (see ``kernels.playback``). The numbers are the same, bit for bit. Weights may change at any
time: each answer looks whether they have.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from . import backend
from .layers.base import Layer
from .layers.merge import Chain

FEW = 16  # images of a small batch
SHAPES = 4  # that are known at the same time
MOST_PATIENCE = 1 << 10  # answers between two attempts
NEVER = 1 << 62


class Replies:
    """The playbacks of a model. A copy of a model begins without any."""

    def __init__(self) -> None:
        self._known: dict[Any, _Known] = {}

    def __reduce__(self) -> tuple[type, tuple]:
        return Replies, ()

    def reply(self, model: Layer, network: Chain, x: NDArray) -> NDArray | None:
        """The outputs for x of a model, by a plan of it; None if that network has to be asked."""
        key = backend.get_backend(), x.shape, x.dtype, *network.layers
        if key not in self._known:
            if len(self._known) == SHAPES:
                del self._known[next(iter(self._known))]
            self._known[key] = _Known(model, network)
            return None
        return self._known[key].reply(x)


class _Known:
    """A network and a shape that it was asked about."""

    def __init__(self, model: Layer, network: Chain) -> None:
        self.network = network
        self.weighted = [layer for layer in model.walk() if layer._params or layer._state]
        self.playback: Any = None
        self.patience = self.wait = 1  # answers until the next attempt; more and more if the weights keep changing

    def reply(self, x: NDArray) -> NDArray | None:
        weights = [
            array for layer in self.weighted for kind in (layer._params, layer._state) for array in (kind or {}).values()
        ]
        if self.playback is None or not self.playback.fits(weights):
            self.wait -= 1
            if self.wait > 0:
                return None
            self.playback = backend.playback(self.network.layers, weights, x.shape)
            if self.playback is None:
                self.wait = NEVER
                return None
        answer = self.playback(x)
        if self.playback.stale:
            self.playback = None
            self.wait = self.patience = min(2 * self.patience, MOST_PATIENCE)
        return answer
