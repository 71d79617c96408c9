"""When checkpoints are written, and which are kept."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ..errors import PellucidError
from .callbacks import Callback, reason
from .checkpoint import Checkpoint, checkpoint_path, checkpoints, save_checkpoint
from .progress import Row

if TYPE_CHECKING:
    from .loop import Training


class Checkpointer(Callback):
    """Save the training into ``folder`` every so many steps, every so many minutes, after every epoch and when it stops.

    The newest ``keep`` checkpoints stay; with at least 2 a damaged one can be passed over. A checkpoint that cannot be
    written (full or read-only disk) is reported, the earlier ones stay, and the training goes on. Weights with NaN or
    infinity are never saved but end the training. ``data`` is the fingerprint of the training data (see
    ``data_fingerprint``), kept for ``resume``.

    With ``keep_anchor``, which ``Rollback`` sets, the newest *anchor* stays too: a checkpoint of the beginning of an epoch,
    also of the first, or of an ``every_steps``-th step.

    A training begun from an earlier checkpoint than the newest puts the newer ones aside (``….set-aside``).
    """

    order: ClassVar[int] = 9  # the last to be called: what the others decided and remember is part of the checkpoint

    def __init__(
        self,
        folder: str | os.PathLike[str],
        every_steps: int | None = None,
        every_minutes: float | None = 5.0,
        keep: int = 3,
        *,
        data: str | None = None,
    ) -> None:
        if (
            keep < 1
            or (every_steps is not None and every_steps < 1)
            or (every_minutes is not None and every_minutes <= 0)
        ):
            raise PellucidError(
                f"Checkpointer got every_steps={every_steps}, every_minutes={every_minutes}, keep={keep}; "
                "wanted at least 1 step, more than 0 minutes (or None for never) and at least 1 to keep."
            )
        self.folder, self.every_steps, self.every_minutes, self.keep = Path(folder), every_steps, every_minutes, keep
        self.data = data
        self.keep_anchor = False
        self._saved: tuple[int, int, str | None] | None = None  # what _position said of the newest checkpoint
        self._trouble: str | None = None
        self._time = 0.0

    def on_train_begin(self, training: Training) -> None:
        self._saved, self._trouble, self._time = None, None, time.monotonic()
        self._tidy_up(training)
        if self.keep_anchor and training.progress.step == 0:
            self.save(training)

    def restart(self, training: Training) -> None:
        """Begin anew from an earlier step: checkpoints of later ones are put aside, then that one is written as it is now."""
        self._tidy_up(training)
        self.save(training)

    def is_anchor(self, training: Training, step: int) -> bool:
        """Whether a step is the beginning of an epoch, or one of every ``every_steps``."""
        return step % training.batches == 0 or (self.every_steps is not None and step % self.every_steps == 0)

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

    def on_batch_end(self, training: Training, scores: dict[str, float]) -> None:
        due = self.every_steps is not None and training.progress.step % self.every_steps == 0
        if self.every_minutes is not None and time.monotonic() - self._time >= self.every_minutes * 60:
            due = True
        if due and not self.save(training):
            training.check_weights()

    def on_epoch_end(self, training: Training, row: Row) -> None:
        self.save(training)

    def on_train_end(self, training: Training) -> None:
        # After an error the weights may be in the middle of a step, or NaN: the checkpoint before is the truth.
        if training.error is None and self._position(training) != self._saved and training.progress.step:
            self.save(training)

    def save(self, training: Training) -> bool:
        """Write a checkpoint now; returns whether it is on the disk. Trouble is reported once, and again when it is over."""
        self._time = time.monotonic()
        progress = training.progress
        checkpoint = Checkpoint.capture(training.model, progress, training.callbacks, self.data)
        trouble = None
        if damaged := checkpoint.damaged():
            trouble = f"{damaged} holds NaN or infinity"
        else:
            path = checkpoint_path(self.folder, progress.step)
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                save_checkpoint(path, checkpoint)
                self._prune(training, path)
            except OSError as error:
                trouble = reason(error)
        if trouble is None:
            self._saved, training.saved_step = self._position(training), progress.step
            if self._trouble:
                training.say(f"Checkpoints in {self.folder} can be written again.")
        elif trouble != self._trouble:
            kept = "the one before is kept" if checkpoints(self.folder) else "there is none before"
            training.say(
                f"The checkpoint of step {progress.step} could not be written to {self.folder}: {trouble}; {kept}."
            )
        self._trouble = trouble
        return trouble is None

    def _position(self, training: Training) -> tuple[int, int, str | None]:
        progress = training.progress
        return progress.epoch, progress.step, progress.stop_reason

    def _prune(self, training: Training, newest: Path) -> None:
        found = checkpoints(self.folder)
        older = [path for _, path in found if path != newest]
        anchors = [path for step, path in found if self.is_anchor(training, step)] if self.keep_anchor else []
        for path in older[: max(0, len(older) - self.keep + 1)]:
            if path not in anchors[-1:]:
                path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writes that were cut off left in a folder. Only for the one process that writes there.

    Raises ``OSError`` if that is not allowed.
    """
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
