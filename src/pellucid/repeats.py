"""The steps of a training, which are alike: what is done in one of them is written down and made again in the others.

The second time that a model is trained on a batch of some shape, the calls of its kernels are written down (see
``kernels.passes``). In the third step they are made again for the first time, and compared, bit for bit, with what the layers
themselves do; where anything differs, because NumPy has a part in it, the layers are asked as ever. From then on a step
is its kernel calls and nothing else, until weights are exchanged, a layer's settings change, or the memory is needed elsewhere.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import operator
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import backend
from .layers.base import Gradients, Layer, arrays_of
from .layers.merge import Chain
from .randomness import Randomness

SHAPES = 4  # that are known at the same time
MOST_PATIENCE = 1 << 10  # steps between two attempts to write them down
STEADY = 50  # steps after which an attempt was worth it
NEVER = 1 << 62

Back = Callable[[NDArray], Gradients]
Way = Callable[[NDArray, Randomness], tuple[NDArray, Back]]
"""Forward: (x, rng) -> (outputs, the way back: dy -> gradients)."""


def eager(network: Chain, without: Collection[str], x: NDArray, rng: Randomness) -> tuple[NDArray, Back]:
    """Forward in training mode, by the layers themselves; the way back can be gone once.

    Its gradients are those by the parameters that are trained, but for those ``without`` which one can do.
    """
    outputs, tape = Chain.forward(network, x, training=True, rng=rng)

    def back(dy: NDArray) -> Gradients:
        _, gradients = Chain.backward(network, dy, tape.once(), input_gradient=False, without=without)
        trained = network.trainable_params
        return {path: g for path, g in gradients.items() if path in trained and path not in without}

    return outputs, back


class Repeats:
    """The steps of a model. A copy of a model begins without any."""

    def __init__(self) -> None:
        self._known: dict[Any, _Known] = {}
        self._busy = threading.Lock()

    def __reduce__(self) -> tuple[type, tuple]:
        return Repeats, ()

    @contextlib.contextmanager
    def way(self, model: Layer, network: Chain, without: Collection[str]) -> Iterator[Way]:
        """The way through ``network``, a plan of a model. What it returns is good until the end of the block."""
        asked = functools.partial(eager, network, without)
        if not self._busy.acquire(blocking=False):  # another thread is in such a block
            yield asked
            return
        try:
            yield functools.partial(self._go, model, network, frozenset(without), asked)
        finally:
            self._busy.release()

    def rest(self) -> None:
        """Let others use the memory until the next step."""
        if self._busy.acquire(blocking=False):
            try:
                self._rest()
            finally:
                self._busy.release()

    def _rest(self, but: _Known | None = None) -> None:
        for known in self._known.values():
            if known is not but and known.passes is not None:
                known.passes.rest()

    def _go(
        self, model: Layer, network: Chain, without: frozenset[str], asked: Way, x: NDArray, rng: Randomness
    ) -> tuple[NDArray, Back]:
        key = backend.settings(), x.shape, x.dtype, without, *network.layers
        known = self._known.get(key)
        if known is None:
            for oldest in list(self._known)[: 1 - SHAPES]:
                del self._known[oldest]
            known = self._known[key] = _Known(model)
        self._rest(known)
        return known.go(asked, x, rng)


class _Known:
    """A network, and the shape of a batch that it was trained on."""

    def __init__(self, model: Layer) -> None:
        self.model = model
        self.passes: Any = None
        self.proved = False
        self.look = _Look(model)
        self.steady = 0  # steps that were played
        self.patience = self.wait = 1  # steps until the next attempt; more and more if it keeps changing

    def go(self, asked: Way, x: NDArray, rng: Randomness) -> tuple[NDArray, Back]:
        if self.passes is None or not (self.passes.complete and self.look.same(self.model)):
            return self._write_down(asked, x, rng)
        if not self.proved:
            return self._prove(asked, x, rng)
        played = self.passes.play(x, rng)
        if played is None:
            return self._write_down(asked, x, rng)
        self.steady += 1
        if self.steady == STEADY:
            self.patience = 1
        return played

    def _write_down(self, asked: Way, x: NDArray, rng: Randomness) -> tuple[NDArray, Back]:
        self.passes, self.proved, self.steady = None, False, 0
        self.wait -= 1
        if self.wait < 0:
            self.look = _Look(self.model)
            self.passes = backend.passes(asked) if self.look.familiar and x.dtype == np.float32 else None
            self.wait = self.patience - 1 if self.passes is not None else NEVER
            self.patience = min(2 * self.patience, MOST_PATIENCE)
        return asked(x, rng) if self.passes is None else self.passes.write_down(x, rng)

    def _prove(self, asked: Way, x: NDArray, rng: Randomness) -> tuple[NDArray, Back]:
        """Take the step by the layers, then play it, and look whether that is the same; little is kept meanwhile."""
        before = [array.copy() for array in self.look.state]
        outputs, way_back = asked(x, rng)
        outputs = outputs.copy()  # its place is needed

        def back(dy: NDArray) -> Gradients:
            nonlocal way_back
            wanted = _digests([outputs, *way_back(dy).values(), *self.look.state])
            del way_back  # it may hold what frozen layers kept
            self._restore(before)
            played = self.passes.play(x, rng, scrambled=True)
            if played is not None:
                outputs_, gradients = _digests([played[0]]), played[1](dy)
                self.proved = outputs_ + _digests([*gradients.values(), *self.look.state]) == wanted
                if self.proved:
                    return gradients
                self.wait = NEVER
            self.passes = None
            self._restore(before)
            return asked(x, rng)[1](dy)

        return outputs, back

    def _restore(self, state: list[NDArray]) -> None:
        for array, old in zip(self.look.state, state, strict=True):
            array[...] = old


class _Look:
    """What a model is made of: layers, their settings, their weights."""

    def __init__(self, model: Layer) -> None:
        self.layers = _layers(model)
        self.settings = [dict(vars(layer)) for layer in self.layers]
        self.weights = arrays_of(self.layers)
        self.state = [array for layer in self.layers for array in (layer._state or {}).values()]

    @property
    def familiar(self) -> bool:
        """Whether nothing is in it that only its author knows, and all weights are as kernels read them."""
        known = all(type(layer).__module__.startswith(f"{__package__}.") for layer in self.layers)
        return known and all(w.dtype == np.float32 and w.flags.carray for w in self.weights)

    def same(self, model: Layer) -> bool:
        """Whether the model is still made of the same layers with the same settings, and of the same arrays."""
        layers = _layers(model)
        if not (_identical(layers, self.layers) and _identical(arrays_of(layers), self.weights)):
            return False
        try:
            return all(vars(layer) == settings for layer, settings in zip(layers, self.settings, strict=True))
        except ValueError:  # somebody gave a layer an array, and now another one
            return False


def _layers(model: Layer) -> list[Layer]:
    return [layer for layer in model.walk() if layer is not model]


def _identical(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _digests(arrays: list[NDArray]) -> list[bytes]:
    return [hashlib.blake2b(np.ascontiguousarray(array).data).digest() for array in arrays]
