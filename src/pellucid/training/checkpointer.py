"""When checkpoints are written, and which are kept."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from .. import arrayfile
from ..errors import PellucidError
from .callbacks import Callback, reason
from .checkpoint import Checkpoint, checkpoint_path, checkpoints, packed
from .progress import Row

if TYPE_CHECKING:
    from .loop import Training


COST = 0.01  # of the time, at most, is what saving by the clock may take


class Checkpointer(Callback):
    """Save the training into ``folder`` every so many steps, every so many seconds, after every epoch and when it stops.

    The newest ``keep`` checkpoints stay; with at least 2 a damaged one can be passed over. A checkpoint that cannot be
    written (full or read-only disk) is reported, the earlier ones stay, and the training goes on. Weights with NaN or
    infinity are never saved but end the training. ``data`` is the fingerprint of the training data (see
    ``data_fingerprint``), kept for ``resume``.

    Where a large network or a slow disk makes ``every_seconds`` cost more than 1 % of the time, it is done less often. With
    ``background`` the arrays are copied and written beside the next steps, one checkpoint at a time; trouble is then
    reported a few steps later. At the end of the training all is on the disk either way.

    With ``keep_anchor``, which ``Rollback`` sets, the newest *anchor* stays too: a checkpoint of the beginning of an epoch,
    also of the first, or of an ``every_steps``-th step.

    A training begun from an earlier checkpoint than the newest puts the newer ones aside (``….set-aside``).
    """

    order: ClassVar[int] = 9  # the last to be called: what the others decided and remember is part of the checkpoint

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every_steps: int | None = None,
        every_seconds: float | None = 10.0,
        keep: int = 3,
        *,
        background: bool = False,
        data: str | None = None,
    ) -> None:
        if (
            keep < 1
            or (every_steps is not None and every_steps < 1)
            or (every_seconds is not None and every_seconds <= 0)
        ):
            raise PellucidError(
                f"Checkpointer got every_steps={every_steps}, every_seconds={every_seconds}, keep={keep}; "
                "wanted at least 1 step, more than 0 seconds (or None for never) and at least 1 to keep."
            )
        self.folder, self.every_steps, self.every_seconds, self.keep = Path(folder), every_steps, every_seconds, keep
        self.background, self.data = background, data
        self.keep_anchor = False
        self._forget()

    def _forget(self) -> None:
        self._saved: Position | None = None  # of the newest checkpoint on the disk
        self._trouble: str | None = None
        self._writing: Writing | None = None
        self._time, self._cost = time.monotonic(), 0.0

    def on_train_begin(self, training: Training) -> None:
        self._forget()
        self._tidy_up(training)
        if self.keep_anchor and training.progress.step == 0:
            self.save(training)

    def on_batch_end(self, training: Training, scores: dict[str, float]) -> None:
        if self._writing is not None and self._writing.done:
            self.wait(training)
        due = self.every_steps is not None and training.progress.step % self.every_steps == 0
        if self.every_seconds is not None and self._writing is None:
            due |= time.monotonic() - self._time >= max(self.every_seconds, self._cost / COST)
        if due and not self._begin(training):
            training.check_weights()

    def on_epoch_end(self, training: Training, row: Row) -> None:
        self._begin(training)

    def on_train_end(self, training: Training) -> None:
        self.wait(training)
        # After an error the weights may be in the middle of a step, or NaN: the checkpoint before is the truth.
        if training.error is None and Position.of(training) != self._saved and training.progress.step:
            self.save(training)

    def save(self, training: Training) -> bool:
        """Write a checkpoint now; returns whether it is on the disk. Trouble is reported once, and again when it is over."""
        return self._begin(training) and self.wait(training)

    def wait(self, training: Training) -> bool:
        """Wait for the checkpoint that is being written; returns whether the last one could be."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            error = writing.result()
            self._cost += writing.seconds
            if error is None:
                self._saved, training.saved_step = writing.position, writing.position.step
            self._report(training, writing.position.step, None if error is None else reason(error))
        return self._trouble is None

    def restart(self, training: Training) -> None:
        """Begin anew from an earlier step: checkpoints of later ones are put aside, then that one is written as it is now."""
        self.wait(training)
        self._tidy_up(training)
        self.save(training)

    def is_anchor(self, training: Training, step: int) -> bool:
        """Whether a step is the beginning of an epoch, or one of every ``every_steps``."""
        return step % training.batches == 0 or (self.every_steps is not None and step % self.every_steps == 0)

    def _begin(self, training: Training) -> bool:
        """Begin to write a checkpoint, once the one before is written; False if there is nothing that should be kept."""
        self.wait(training)
        self._time = time.monotonic()
        checkpoint = Checkpoint.capture(training.model, training.progress, training.callbacks, self.data)
        if damaged := checkpoint.damaged():
            self._report(training, training.progress.step, f"{damaged} holds NaN or infinity")
            return False
        position, contents = Position.of(training), packed(checkpoint, copy=self.background)
        path = checkpoint_path(self.folder, position.step)

        def write() -> None:
            self.folder.mkdir(parents=True, exist_ok=True)
            arrayfile.write(path, *contents)
            self._prune(training, path)

        self._writing = Writing(write, position)
        if not self.background:
            self.wait(training)
        self._cost = time.monotonic() - self._time
        return True

    def _report(self, training: Training, step: int, trouble: str | None) -> None:
        if trouble is None and self._trouble:
            training.say(f"Checkpoints in {self.folder} can be written again.")
        elif trouble != self._trouble:
            kept = "the one before is kept" if checkpoints(self.folder) else "there is none before"
            training.say(f"The checkpoint of step {step} could not be written to {self.folder}: {trouble}; {kept}.")
        self._trouble = trouble

    def _tidy_up(self, training: Training) -> None:
        if not self.folder.is_dir():
            return
        try:
            sweep(self.folder)
            for step, path in checkpoints(self.folder):
                if step > training.progress.step:
                    os.replace(path, f"{path}.set-aside")
        except OSError as error:
            training.say(f"{self.folder} cannot be tidied up ({reason(error)}).")

    def _prune(self, training: Training, newest: Path) -> None:
        found = checkpoints(self.folder)
        older = [path for _, path in found if path != newest]
        anchors = [path for step, path in found if self.is_anchor(training, step)] if self.keep_anchor else []
        for path in older[: max(0, len(older) - self.keep + 1)]:
            if path not in anchors[-1:]:
                path.unlink(missing_ok=True)


class Position(NamedTuple):
    """What tells one checkpoint from another."""

    epoch: int
    step: int
    stop_reason: str | None

    @classmethod
    def of(cls, training: Training) -> Position:
        """Where a training stands."""
        progress = training.progress
        return cls(progress.epoch, progress.step, progress.stop_reason)


class Writing:
    """A write in a thread of its own, which does not keep the program from ending."""

    def __init__(self, write: Callable[[], None], position: Position) -> None:
        self.position, self.seconds = position, 0.0
        self._write = write
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        start = time.monotonic()
        try:
            self._write()
        except BaseException as error:  # told where somebody listens
            self._error = error
        self.seconds = time.monotonic() - start

    @property
    def done(self) -> bool:
        """Whether there is nothing to wait for."""
        return not self._thread.is_alive()

    def result(self) -> OSError | None:
        """Wait for the end; returns what the file system had to object. Any other error is raised."""
        self._thread.join()
        if self._error is not None and not isinstance(self._error, OSError):
            raise self._error
        return self._error


def sweep(folder: Path) -> None:
    """Remove what writes that were cut off left in a folder. Only for the one process that writes there.

    Raises ``OSError`` if that is not allowed.
    """
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
