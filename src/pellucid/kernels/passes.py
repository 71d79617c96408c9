"""The passes of a training step, forward and back, for batches of one shape: kernel calls written down once and made again.

Between the kernels of a step lie thousands of small decisions of Python, the same in every step. So the calls of one step are
written down (see ``recording``), and made again for another batch, with what the weights are then.

The calls need the memory in which they found their arrays. As in the step that was written down, one array lies where another
one lay before; so a step that is played needs no more memory than any other. It claims its places before it begins.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..randomness import Randomness
from . import threads
from .buffers import aligned, claim
from .recording import Calls, Recording, gathered, of_everything
from .sums import fill

Gradients = dict[str, NDArray]
Back = Callable[[NDArray], Gradients]
Way = Callable[[NDArray, Randomness], tuple[NDArray, Back]]
"""Forward: (x, rng) -> (outputs, the way back: dy -> gradients)."""


class Passes:
    """A way forward and back. ``write_down`` goes it and writes down how; then ``play`` goes it again.

    What ``play`` and the way back return is overwritten by the next step, and free for others after ``rest``. ``complete``: both
    ways have been written down.
    """

    def __init__(self, way: Way) -> None:
        self._way = way
        self._places: list[NDArray] = []
        self._held: list[NDArray[np.float32]] | None = None
        self._kept: list[Recording] = []
        self._forward = self._backward = gathered([])
        self.complete = False

    def write_down(self, x: NDArray, rng: Randomness) -> tuple[NDArray, Back]:
        """The outputs and the way back, as the way itself gives them."""
        self._rng = rng.renewable()
        with of_everything() as calls:
            place = _place(x)
            outputs, back = self._way(place, self._rng)
            self._x, self._outputs = calls.hold(place), calls.hold(outputs)
            del place
        self._forward = self._done(calls)

        def back_and_write_down(dy: NDArray) -> Gradients:
            with of_everything() as calls:
                place = _place(dy)
                gradients = back(place)
                self._dy, self._gradients = calls.hold(place), {path: calls.hold(g) for path, g in gradients.items()}
            self._backward = self._done(calls)
            self.complete = True
            return gradients

        return outputs, back_and_write_down

    def play(self, x: NDArray, rng: Randomness, *, scrambled: bool = False) -> tuple[NDArray, Back] | None:
        """The same for another batch; None if somebody else holds a part of the memory.

        ``scrambled``: nothing is found there that is left of another step.
        """
        if self._held is None:
            self._held = claim(self._places)
        if self._held is None:
            return None
        for array in self._held if scrambled else ():
            array.fill(np.nan)
        fill(self._x, x)
        self._rng.renew(rng)
        threads.replay(self._forward)
        return self._outputs, self._play_back

    def rest(self) -> None:
        """Let others use the memory until the next step."""
        self._held = None

    def _play_back(self, dy: NDArray) -> Gradients:
        self._dy[...] = dy
        threads.replay(self._backward)
        return dict(self._gradients)

    def _done(self, calls: Recording) -> Calls:
        self._kept.append(calls)
        self._places += calls.borrowed
        return gathered(calls.rows)


def _place(x: NDArray) -> NDArray[np.float32]:
    """A copy where results lie."""
    place = aligned(x.shape)
    place[...] = x
    return place
