"""Callbacks: what watches a training, and may stop it.

A callback that remembers anything between steps gives it away in ``state`` and takes it back in ``load_state``; checkpoints
carry it, so that a resumed training is the training.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

import numpy as np

from .. import files
from ..errors import PellucidError
from ..nonfinite import first_of
from . import strict_json
from .progress import Row
from .trainable import evaluated

if TYPE_CHECKING:
    from .loop import Training
    from .nonfinite import NonFiniteLossError


class Callback:
    """The base of all callbacks: override what you want to hear of. ``training`` is a ``pellucid.training.Training``."""

    order: ClassVar[int] = 0  # callbacks with a smaller number are called first, and ended last

    def on_train_begin(self, training: Training) -> None:
        """Before the first step, also of a resumed training. ``training.progress.step == 0`` means a fresh start."""

    def on_batch_end(self, training: Training, scores: dict[str, float]) -> None:
        """After every step, with the mean scores of the batch."""

    def on_epoch_end(self, training: Training, row: Row) -> None:
        """After every epoch and its validation, with the new row of the history."""

    def on_train_end(self, training: Training) -> None:
        """At the end, whatever the reason: see ``training.stopping``, ``training.progress.stop_reason``, ``training.error``."""

    def on_nonfinite(self, training: Training, failure: NonFiniteLossError) -> bool:
        """When a step was not finite; returns whether this callback has put the training back to where it can go on."""
        return False

    def on_message(self, text: str) -> bool:
        """Something to tell the user; returns whether this callback has shown it."""
        return False

    def state(self) -> dict[str, Any]:
        """What has to outlive an interruption: plain Python values, and NumPy arrays at the top level."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""


class EarlyStopping(Callback):
    """Stop when ``monitor`` has not improved by more than ``min_delta`` for ``patience`` epochs in a row.

    ``mode`` is ``"min"``, ``"max"`` or ``"auto"`` (``"max"`` for accuracies). A NaN is no improvement. With
    ``restore_best`` the model has the weights of its best epoch afterwards.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ) -> None:
        if patience < 1 or min_delta < 0:
            raise PellucidError(
                f"EarlyStopping got patience={patience}, min_delta={min_delta}; wanted at least 1 epoch and at least 0."
            )
        self.monitor, self.patience, self.min_delta, self.restore_best = monitor, patience, min_delta, restore_best
        self.sign = _sign(monitor, mode)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.waited = 0
        self.weights: dict[str, np.ndarray] = {}

    def on_train_begin(self, training: Training) -> None:
        if training.progress.step == 0:
            self._forget()
        if self.monitor.startswith("val_") and not training.validated:
            raise PellucidError(
                f"EarlyStopping watches {self.monitor}, but there is no validation part: give one, "
                f"or watch {self.monitor.replace('val_', 'train_', 1)}."
            )

    def on_epoch_end(self, training: Training, row: Row) -> None:
        value = _monitored(row, self.monitor, type(self).__name__)
        if _better(value, self.best, self.sign, self.min_delta):
            self.best, self.best_epoch, self.waited = value, row["epoch"], 0
            if self.restore_best:
                scored = evaluated(training.model)
                arrays = scored.params | scored.state
                self.weights = {path: array.copy() for path, array in arrays.items()}
            return
        self.waited += 1
        if self.waited >= self.patience:
            training.stop(f"no better {self.monitor} for {self.waited} epochs", finished=True)

    def on_train_end(self, training: Training) -> None:
        if self.weights and training.error is None:
            training.model.load_weights(self.weights)

    def state(self) -> dict[str, Any]:
        memory = {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}
        return memory | {f"weights/{path}": array for path, array in self.weights.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.best = None if state["best"] is None else float(state["best"])
        self.best_epoch, self.waited = state["best_epoch"], int(state["waited"])
        self.weights = {
            key.removeprefix("weights/"): array for key, array in state.items() if key.startswith("weights/")
        }


class TimeLimit(Callback):
    """Stop after so many ``seconds``, counted anew from every start or resume; at least one step is done."""

    def __init__(self, seconds: float) -> None:
        if not seconds > 0:
            raise PellucidError(f"The time limit was {seconds} seconds; wanted more than 0.")
        self.seconds = seconds

    def on_train_begin(self, training: Training) -> None:
        self.deadline = time.monotonic() + self.seconds

    def on_batch_end(self, training: Training, scores: dict[str, float]) -> None:
        if time.monotonic() >= self.deadline:
            training.stop(f"the time limit of {self.seconds:g} seconds")


class MetricsFile(Callback):
    """The history as a file of lines of JSON, each on the disk before the next epoch begins.

    A resumed training rewrites the file from its own history first: lines beyond its checkpoint are dropped, because
    these epochs come again. NaN and infinity are written as strings. A full disk is reported and does not stop the training; the
    lines follow as soon as there is room.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.complete = False  # whether the file holds all rows but the newest

    def on_train_begin(self, training: Training) -> None:
        self.complete = False
        if training.progress.history or self.path.exists():
            self._write(training, training.progress.history)

    def on_epoch_end(self, training: Training, row: Row) -> None:
        self._write(training, training.progress.history)

    def append(self, row: Row) -> None:
        """Add one more line, for example the test scores at the very end. Raises ``OSError``, and adds nothing, if that fails."""
        with open(self.path, "ab", buffering=0) as file:
            size, line = os.fstat(file.fileno()).st_size, (strict_json.dumps(row) + "\n").encode()
            try:
                if file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), size)  # no half lines
                raise

    def _write(self, training: Training, rows: list[Row]) -> None:
        try:
            if self.complete and self.path.exists():
                self.append(rows[-1])
            else:
                lines = "".join(strict_json.dumps(row) + "\n" for row in rows)
                self.path.parent.mkdir(parents=True, exist_ok=True)
                files.write_text(self.path, lines)
            self.complete = True
        except OSError as error:
            self.complete = False
            training.say(f"{self.path} could not be written ({reason(error)}); training goes on.")


class BestModel(Callback):
    """Keep the model of the best epoch in the file ``path``; without a validation part, of the last epoch.

    A training that stops before the end of its first epoch leaves the model as it is then. While the file cannot be written,
    which is said once, the best is the best of those that could.
    """

    def __init__(self, path: str | os.PathLike[str], monitor: str = "val_loss", mode: str = "auto") -> None:
        self.path, self.monitor, self.sign = Path(path), monitor, _sign(monitor, mode)
        self.best: float | None = None
        self.best_epoch: int | None = None
        self._trouble: str | None = None

    def on_train_begin(self, training: Training) -> None:
        self._trouble = None
        if training.progress.step == 0:
            self.best = self.best_epoch = None

    def on_epoch_end(self, training: Training, row: Row) -> None:
        watched = training.validated or not self.monitor.startswith("val_")
        value = _monitored(row, self.monitor, type(self).__name__) if watched else None
        gone = self.best_epoch is None or not self.path.is_file()  # a model that is not the best is better than none
        if (value is None or _better(value, self.best, self.sign) or gone) and self._save(training, row):
            self.best, self.best_epoch = value, row["epoch"]

    def on_train_end(self, training: Training) -> None:
        if self.best_epoch is None and training.error is None and training.progress.step:
            progress = training.progress
            means = {f"train_{name}": mean for name, mean in progress.means().items()}
            self._save(training, {"epoch": progress.epoch, "step": progress.step} | means)

    def _save(self, training: Training, row: Row) -> bool:
        """Whether the model is on the disk now."""
        model, trouble = training.model, None
        if damaged := first_of(model.params | model.state):
            trouble = f"The model is not kept: {damaged} holds NaN or infinity."
        else:
            model.training_summary.update(json.loads(strict_json.dumps(row)))
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                model.save(self.path)
            except OSError as error:
                trouble = f"{self.path} could not be written ({reason(error)}); training goes on."
        if trouble is not None and trouble != self._trouble:
            training.say(trouble)
        self._trouble = trouble
        return trouble is None

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state(self, state: dict[str, Any]) -> None:
        self.best = None if state["best"] is None else float(state["best"])
        self.best_epoch = state["best_epoch"]


def reason(error: Exception) -> str:
    """Why a file could not be written, in the words of the operating system."""
    return str(getattr(error, "strerror", None) or error)


def print_safely(text: str, stream: TextIO | None = None) -> None:
    """Print, to the error stream by default. A pipe or terminal that is gone is no reason to end a training."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr if stream is None else stream, flush=True)


def _sign(monitor: str, mode: str) -> int:
    if mode not in ("min", "max", "auto"):
        raise PellucidError(f"mode was {mode!r}; wanted 'min', 'max' or 'auto'.")
    return 1 if mode == "max" or (mode == "auto" and "accuracy" in monitor) else -1


def _better(value: float, best: float | None, sign: int, min_delta: float = 0.0) -> bool:
    if math.isnan(value):
        return False
    return best is None or sign * (value - best) > min_delta


def _monitored(row: Row, monitor: str, who: str) -> float:
    if monitor not in row:
        raise PellucidError(f"{who} watches {monitor!r}, which is not among the scores: {', '.join(row)}.")
    return float(row[monitor])
