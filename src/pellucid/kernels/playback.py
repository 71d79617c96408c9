"""A network that answers small batches of one shape: the kernel calls of one answer, made again for every other.

Layer by layer it is found out what can be written down (see ``recording``): those layers whose calls, made again for other
numbers, give what the layer itself gives. All others, such as those that NumPy computes, are asked as ever.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import recording, threads
from .buffers import aligned
from .digest import Digest
from .recording import Recording
from .sums import fill

MOST_BYTES = 1 << 28  # that packed weights and results may take together
Layer = Callable[[NDArray], NDArray]


class _Step(NamedTuple):
    """Calls that turn what lies in ``x`` into ``y``; or a layer that does, wherever its output lies."""

    x: NDArray[np.float32]
    calls: recording.Calls
    layer: Layer | None
    y: NDArray[np.float32]


class Playback:
    """``layers`` one after another, for inputs of one shape and the ``weights`` that they have now.

    It is ``usable`` unless it would take too much memory, or a weight has gaps: then nobody would see it change.
    """

    def __init__(self, layers: Iterable[Layer], weights: Sequence[NDArray], shape: tuple[int, ...]) -> None:
        self._weights = list(weights)
        self._answering, self.stale = threading.Lock(), False
        self.usable = all(array.flags.c_contiguous for array in weights)
        if not self.usable:
            return
        self._digest = Digest(weights)
        with recording.of(self._digest.now) as looking:
            self._digest.update()
        self._kept, self._steps = [looking], list[_Step]()
        self._draw = np.random.default_rng(0).standard_normal
        self._write_down(layers, shape, looking.rows)
        self.usable = sum(calls.size for calls in self._kept) <= MOST_BYTES
        if not self.usable:
            self._kept, self._steps = [], []

    def fits(self, weights: Sequence[NDArray]) -> bool:
        """Whether these arrays are the weights."""
        return len(weights) == len(self._weights) and all(map(operator.is_, weights, self._weights))

    def __call__(self, x: NDArray) -> NDArray | None:
        """The output for x; None if another thread is being answered, or the weights have changed: then it is ``stale``."""
        if not self.usable or not self._answering.acquire(blocking=False):
            return None
        try:
            y = x
            for step in self._steps:
                if step.x is not y:
                    fill(step.x, y)
                if step.layer is None:
                    threads.replay(step.calls)
                    y = step.y
                else:
                    y = step.layer(step.x)
            self.stale = not self._digest.unchanged()
            return None if self.stale else y.copy()
        finally:
            self._answering.release()

    def _write_down(self, layers: Iterable[Layer], shape: tuple[int, ...], rows: list[recording.Row]) -> None:
        """Make steps of the layers; the calls of neighbours are one step. ``rows`` are calls to begin with."""
        start = here = self._place(shape)
        for layer in layers:
            with recording.of(here) as calls:
                y = layer(here)
            if calls.depends(y) and y.flags.c_contiguous and self._agrees(calls, layer, here, y):
                self._kept.append(calls)
                rows, here = rows + calls.rows, y
                continue
            self._steps.append(_Step(start, recording.gathered(rows), None, here))
            self._steps.append(_Step(here, recording.gathered([]), layer, y))
            start, rows = self._place(y.shape), []
            here = start
        self._steps.append(_Step(start, recording.gathered(rows), None, here))

    def _agrees(self, calls: Recording, layer: Layer, x: NDArray, y: NDArray) -> bool:
        """Whether the calls turn other numbers in x into the numbers in y that the layer makes of them."""
        x[...] = self._draw(x.shape, np.float32)
        threads.replay(recording.gathered(calls.rows))
        return np.array_equal(y, layer(x), equal_nan=True)

    def _place(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        x = aligned(shape)
        x[...] = self._draw(shape, np.float32)
        return x
