"""The training loop: what training a network means, on one page.

In every epoch each image is seen once, in an order drawn for that epoch, a batch at a time; after every batch the
weights take one step against the gradient of its mean loss. The model does the mathematics; callbacks watch.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, PellucidError
from ..nonfinite import first_of
from ..randomness import permutation
from ..schedules import Horizon
from .callbacks import Callback, print_safely
from .nonfinite import Batch, NonFiniteLossError
from .progress import History, Progress
from .trainable import Trainable

Augment = Callable[[NDArray, NDArray, NDArray, int], tuple[NDArray, NDArray]]


def fit(
    model: Trainable,
    x: NDArray,
    y: NDArray,
    *,
    sample_weight: NDArray | None = None,
    batch_size: int = 32,
    epochs: int = 1,
    seed: int = 0,
    shuffle: bool = True,
    validation: tuple[NDArray, NDArray] | None = None,
    callbacks: Iterable[Callback] = (),
    progress: Progress | None = None,
    limit_batches: int | None = None,
    augment: Augment | None = None,
) -> History:
    """Train ``model`` on images ``x`` (N, H, W, C) and targets ``y`` until it has seen all of them ``epochs`` times.

    ``epochs`` is the total: given the ``progress`` of an interrupted training (see ``restore``), the loop continues
    with the very next batch, and the numbers are those of a training that was never interrupted. ``validation`` is scored
    after every epoch. ``limit_batches`` ends every epoch after so many batches. The last batch of an epoch may be smaller.
    ``augment(x, y, indices, epoch)`` returns input and targets of a batch, the images already as the network sees them.

    Raises
    ------
    DataError
        if images, targets and weights differ in number.
    NonFiniteLossError
        if a loss, a gradient or a weight is NaN or infinite, and no callback (see ``Rollback``) puts the training back.
    """
    n = _check(x, y, sample_weight, batch_size, limit_batches)
    progress = Progress() if progress is None else progress
    plan: dict[str, Any] = {
        "images": n,
        "batch_size": batch_size,
        "seed": seed,
        "shuffle": shuffle,
        "limit_batches": limit_batches,
    }
    plan["augmentation"] = "" if augment is None else str(augment)
    progress.begin(plan)
    training = Training(model, progress, epochs, callbacks, validation is not None)
    left = training.batches * (epochs - progress.epoch) - progress.batch  # an optimizer may be younger than its model
    model.optimizer.expect(Horizon(model.optimizer.iterations + left, training.batches))
    clock = Clock()

    def epoch() -> None:
        """The rest of the current epoch, unless somebody asks to stop."""
        order = permutation(seed, progress.epoch, n) if shuffle else np.arange(n)
        batches = [order[first : first + batch_size] for first in range(0, n, batch_size)][:limit_batches]
        for indices in batches[progress.batch :]:
            weights = None if sample_weight is None else sample_weight[indices]
            images = (x[indices], y[indices]) if augment is None else augment(x, y, indices, progress.epoch)
            scores = training.step(Batch(*images, weights, indices), prepared=augment is not None)
            progress.add(scores, len(indices), clock.lap())
            training.tell("on_batch_end", scores)
            if training.stopping:  # what is left of the epoch belongs to the resumed run
                return
        training.check_weights()
        scores = model.evaluate(*validation) if validation is not None else {}
        progress.seconds += clock.lap()
        row = progress.finish_epoch(scores, model.optimizer.rate)
        model.optimizer.observe(row)
        training.tell("on_epoch_end", row)

    with training.watched(), np.errstate(over="ignore", invalid="ignore"):  # NaN is reported in better words
        while progress.epoch < epochs and not training.stopping:
            try:
                epoch()
            except NonFiniteLossError as failure:
                if not training.recovered_from(failure):
                    raise
    return History(progress.history, progress.stop_reason)


class Training:
    """A training while it runs: what callbacks see of it, and how they stop it.

    ``model``, ``progress``, ``epochs`` (their total), ``batches`` (per epoch), ``callbacks``, ``validated`` (whether there
    is a validation part), ``error`` (the exception that ended it, None if none did).
    """

    def __init__(
        self, model: Trainable, progress: Progress, epochs: int, callbacks: Iterable[Callback], validated: bool
    ) -> None:
        self.model, self.progress, self.epochs, self.validated = model, progress, epochs, validated
        # Those that decide come before those that write down what was decided (a checkpoint holds the others' memory).
        self.callbacks: list[Callback] = sorted(callbacks, key=lambda callback: callback.order)
        self.error: BaseException | None = None
        self.saved_step: int | None = None
        plan = progress.plan
        batches = -(-plan["images"] // plan["batch_size"])
        self.batches: int = batches if plan["limit_batches"] is None else min(batches, plan["limit_batches"])

    @property
    def stopping(self) -> bool:
        """Whether somebody asked to stop."""
        return self.progress.stop_reason is not None

    def stop(self, reason: str, *, finished: bool = False) -> None:
        """Ask the loop to stop after the current step; ``finished``: a resumed run shall not go on either."""
        if not self.stopping:
            self.progress.stop_reason, self.progress.finished = reason, finished

    def step(self, batch: Batch, *, prepared: bool = False) -> dict[str, float]:
        """One step of the model; its scores. A step that is not finite is done again to find out where, then reported."""
        model, (x, y, sample_weight, indices) = self.model, batch
        which: dict[str, Any] = {"sample_weight": sample_weight, "epoch": self.progress.epoch, "indices": indices}
        which |= {"prepared": True} if prepared else {}
        try:
            scores = model.train_step(x, y, **which)
            if math.isfinite(scores["loss"]):
                return scores
            what, loss = f"The loss became {scores['loss']}", scores["loss"]
        except FloatingPointError as error:
            what, loss = str(error), math.nan
        find = getattr(model, "first_non_finite", lambda *batch, **which: None)
        raise NonFiniteLossError(what, self, loss=loss, batch=batch, place=find(x, y, **which))

    def check_weights(self) -> None:
        """Raise ``NonFiniteLossError`` if a weight, a moving statistic or a slot of the optimizer is not finite."""
        model = self.model
        if damaged := first_of(model.params) or first_of(model.state) or first_of(model.optimizer.slots):
            raise NonFiniteLossError(f"{damaged} holds NaN or infinity", self)

    def recovered_from(self, failure: NonFiniteLossError) -> bool:
        """Tell all callbacks of a step that was not finite; whether one of them has put the training back."""
        answers = [callback.on_nonfinite(self, failure) for callback in self.callbacks]
        return any(answers)

    def say(self, text: str) -> None:
        """Tell the person in front of the screen: through the display if there is one, else on the error stream."""
        shown = [callback.on_message(text) for callback in self.callbacks]
        if not any(shown):
            print_safely(text)

    def tell(self, event: str, *values: Any) -> None:
        """Call a method of all callbacks."""
        for callback in self.callbacks:
            getattr(callback, event)(self, *values)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A block between the ``on_train_begin`` and ``on_train_end`` of all callbacks, the latter in reverse order.

        Whoever has begun is ended, whatever happens, so signals and screens are given back.
        """
        with contextlib.ExitStack() as stack:
            try:
                for callback in self.callbacks:
                    callback.on_train_begin(self)
                    stack.callback(callback.on_train_end, self)
                yield
            except BaseException as error:
                self.error = error
                raise


class Clock:
    """A stopwatch on the monotonic clock: setting the computer's time does not move it, nor (on most systems) does sleep."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        """Seconds since the last lap."""
        last, self._last = self._last, time.monotonic()
        return self._last - last


def _check(x: NDArray, y: NDArray, sample_weight: NDArray | None, batch_size: int, limit_batches: int | None) -> int:
    n = len(x)
    if len(y) != n or (sample_weight is not None and len(sample_weight) != n):
        weights = "" if sample_weight is None else f" and {len(sample_weight)} sample weights"
        raise DataError(f"There are {n} images but {len(y)} targets{weights}; each image needs exactly one.")
    if n == 0:
        raise DataError("There are no images to train on.")
    if batch_size < 1:
        raise PellucidError(f"batch_size was {batch_size}; wanted at least 1, for example 32.")
    if limit_batches is not None and limit_batches < 1:
        raise PellucidError(f"limit_batches was {limit_batches}; wanted at least 1, or None for whole epochs.")
    return n
