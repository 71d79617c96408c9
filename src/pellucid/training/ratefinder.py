"""The learning-rate range test: which rate suits a network, found in a hundred steps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..figures import BLUE, FAINT, VERMILION, canvas, drawn
from ..randomness import permutation
from ..schedules import Horizon

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Augment = Callable[[NDArray, NDArray, NDArray, int], tuple[NDArray, NDArray]]

MEMORY = 0.9  # of the mean loss that is watched
WINDOW = 6  # a part of 1/6 of the steps is smoothed over
DIVERGED = 2.0  # times the distance from the lowest loss to the first: then it is over
LEAST_FALL = 0.05  # the part of its first value that the loss has to fall for a suggestion
BEGUN = 0.1  # the part of its fall after which the loss has begun to fall
WAY = 2 / 3  # how far from there to the lowest loss, over the logarithm of the rate, the suggestion lies


@dataclass(frozen=True)
class RateTest:
    """What a range test has seen. ``rates`` and ``losses`` are those of its steps, ``smoothed`` are without noise."""

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float | None
    """A rate to begin with; None if the test does not show one."""
    reason: str
    """Why this one, or why none."""

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        curves = {name: getattr(self, name).tolist() for name in ("rates", "losses", "smoothed")}
        return {"suggestion": self.suggestion, "reason": self.reason} | curves

    @drawn
    def figure(self) -> Figure:
        """The losses over the rates, and the suggestion; write it with ``pellucid.figures.save``."""
        figure = canvas(6, 3.6, "Learning-rate range test")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, ".", color=FAINT, markersize=3, label="loss of a batch")
        axes.plot(self.rates, self.smoothed, color=BLUE, label="smoothed")
        if self.suggestion is not None:
            axes.axvline(self.suggestion, color=VERMILION, linewidth=1, label=f"suggestion {self.suggestion:.2g}")
        low, high = self.smoothed.min(), self.smoothed[0]
        high = max(high, low + 0.01 * abs(low))
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.set_ylim(low - 0.1 * (high - low), high + 0.4 * (high - low))
        axes.legend()
        return figure


def find(
    model: Any,
    x: NDArray,
    y: NDArray,
    *,
    batch_size: int = 32,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    seed: int = 0,
    augment: Augment | None = None,
) -> RateTest:
    """Train with rates that grow from ``lowest`` to ``highest``, each step by the same factor, and watch the loss.

    While the rate is too small nothing happens; then the loss falls, the faster the larger the rate; then it diverges, which ends
    the test. The suggestion lies two thirds of the way from where the loss begins to fall to where it is lowest, as seen over the
    logarithm of the rate: near the largest rate that still helps, with some distance kept. Afterwards model and optimizer are
    what they were, bit for bit.

    Source: Smith, "Cyclical learning rates for training neural networks", arXiv:1506.01186.

    Raises
    ------
    PellucidError
        for rates or a number of steps that make no sense.
    """
    if not 0 < lowest < highest < math.inf:
        raise PellucidError(
            f"The rates were {lowest} to {highest}; wanted two positive numbers, the smaller one first."
        )
    if not isinstance(steps, int) or steps < 10:
        raise PellucidError(f"steps was {steps!r}; wanted at least 10, better 100.")
    rates, losses, means = np.geomspace(lowest, highest, steps), [], []
    total, best = 0.0, math.inf
    with unchanged(model), np.errstate(over="ignore", invalid="ignore"):
        model.optimizer.expect(Horizon(steps, -(-len(x) // batch_size)))
        for step, (indices, epoch) in zip(range(steps), _batches(len(x), batch_size, seed), strict=False):
            model.optimizer.learning_rate = float(rates[step])
            try:
                if augment is None:
                    scores = model.train_step(x[indices], y[indices], epoch=epoch, indices=indices)
                else:
                    images = augment(x, y, indices, epoch)
                    scores = model.train_step(*images, epoch=epoch, indices=indices, prepared=True)
            except FloatingPointError:
                break
            loss = scores["loss"]
            total = MEMORY * total + (1 - MEMORY) * loss
            if not math.isfinite(total):
                break
            losses.append(loss)
            means.append(total / (1 - MEMORY ** (step + 1)))
            best = min(best, means[-1])
            if means[-1] - best > DIVERGED * max(means[0] - best, LEAST_FALL * abs(means[0])):
                break
    if not losses:
        raise PellucidError(f"The loss was not finite from the very first step on, with the rate {lowest:g}.")
    return judged(rates[: len(losses)], np.array(losses), steps)


def judged(rates: NDArray[np.float64], losses: NDArray[np.float64], steps: int) -> RateTest:
    """What a test shows that was meant to have ``steps`` steps.

    >>> rates = np.geomspace(1e-4, 1, 80)
    >>> losses = 2 - 1 / (1 + (0.01 / rates)) + np.where(rates > 0.5, 3, 0)
    >>> judged(rates, losses, 100).reason
    'Of the rates between 0.0001 and 1, the loss began to fall at 0.0015 and was lowest at 0.31; it diverged at 1'
    """
    tested = f"between {rates[0]:.2g} and {rates[-1]:.2g}"
    diverged = len(rates) < steps
    if len(rates) < 10:
        return RateTest(
            rates, losses, losses, None, f"The loss diverged at once, at {rates[-1]:.2g}: test smaller rates"
        )
    smoothed = _smooth(losses)
    start, lowest = float(smoothed[: len(rates) // WINDOW + 1].mean()), int(smoothed.argmin())
    fall = start - float(smoothed[lowest])
    if fall < LEAST_FALL * abs(start) or lowest == 0:
        reason = f"The loss hardly fell at any rate {tested}; test others, or look for a mistake in data and network"
        return RateTest(rates, losses, smoothed, None, reason)
    begun = max(np.flatnonzero(smoothed[:lowest] > start - BEGUN * fall), default=0)
    rate = rates[begun] ** (1 - WAY) * rates[lowest] ** WAY
    end = f"it diverged at {rates[-1]:.2g}" if diverged else "it never diverged, so larger rates may be worth a test"
    where = f"the loss began to fall at {rates[begun]:.2g} and was lowest at {rates[lowest]:.2g}"
    return RateTest(rates, losses, smoothed, float(f"{rate:.1e}"), f"Of the rates {tested}, {where}; {end}")


def _smooth(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The losses without noise: a parabola fitted around every step.

    Source: Savitzky, Golay, "Smoothing and differentiation of data by simplified least squares procedures", 1964.
    """
    from scipy.signal import savgol_filter

    clipped = np.minimum(losses, 2 * np.median(losses[: len(losses) // 2]))  # what diverges would drown the rest
    return savgol_filter(clipped, max(len(losses) // WINDOW, 5) | 1, 2)  # an odd number of steps


@contextlib.contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """A block after which a model's weights, statistics and optimizer are what they were before, bit for bit."""
    optimizer, arrays = model.optimizer, model.params | model.state
    kept = {path: array.copy() for path, array in arrays.items()}
    slots = {name: slot.copy() for name, slot in optimizer.slots.items()}
    before = optimizer.iterations, optimizer.learning_rate, optimizer.horizon
    try:
        yield
    finally:
        for path, array in arrays.items():
            np.copyto(array, kept[path])
        optimizer.load_slots(slots, before[0])
        optimizer.learning_rate, optimizer.horizon = before[1:]


def _batches(images: int, batch_size: int, seed: int) -> Iterator[tuple[NDArray, int]]:
    """Batches without end, in the order of epoch after epoch: (indices, epoch)."""
    epoch = 0
    while True:
        order = permutation(seed, epoch, images)
        for first in range(0, images, batch_size):
            yield order[first : first + batch_size], epoch
        epoch += 1
