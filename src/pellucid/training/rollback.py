"""Going back to the last good checkpoint when a step was not finite, and on from there in smaller steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..errors import FileFormatError, PellucidError
from .callbacks import Callback
from .checkpoint import Checkpoint, checkpoints, load_checkpoint
from .checkpointer import Checkpointer
from .nonfinite import NonFiniteLossError
from .restore import restore

if TYPE_CHECKING:
    from .loop import Training


class Rollback(Callback):
    """When a step was not finite, go back to an anchor of ``checkpointer`` and multiply the learning rate by ``factor``.

    Anchors are the beginning of each epoch and every ``every_steps``-th step (see ``Checkpointer``): places that do not
    depend on the clock or on interruptions, so that a run which is killed and resumed is the run that was not. After
    ``most`` attempts from one anchor, and for images that are not finite themselves, the training ends as it does without.
    """

    order: ClassVar[int] = 8  # after those that keep evidence of the weights as they were

    def __init__(self, checkpointer: Checkpointer, factor: float = 0.5, most: int = 5) -> None:
        if not 0 < factor < 1 or most < 1:
            raise PellucidError(
                f"Rollback got factor={factor}, most={most}; wanted a factor between 0 and 1, and at least 1 attempt."
            )
        self.checkpointer, self.factor, self.most = checkpointer, factor, most
        checkpointer.keep_anchor = True

    def on_nonfinite(self, training: Training, failure: NonFiniteLossError) -> bool:
        progress, optimizer = training.progress, training.model.optimizer
        self.checkpointer.wait(training)
        checkpoint = self._anchor(training)
        if checkpoint is None or (failure.batch is not None and failure.batch.bad_images):
            return False
        step = checkpoint.progress.step
        if sum(earlier["to"] == step for earlier in progress.rollbacks) >= self.most:
            training.say(f"Smaller learning rates have not helped: step {step} was tried {self.most + 1} times.")
            return False
        again = restore(checkpoint, training.model, training.callbacks)
        # An anchor that could not be written anew, on a full disk, still has the rate of before.
        optimizer.learning_rate *= self.factor ** (len(progress.rollbacks) + 1 - len(again.rollbacks))
        taken = {"step": failure.step, "to": step, "learning_rate": float(optimizer.learning_rate)}
        again.rollbacks, again.seconds = [*progress.rollbacks, taken], progress.seconds
        again.stop_reason, again.finished = progress.stop_reason, progress.finished
        progress.become(again)
        training.say(f"{failure} Back to step {step}, and on with the learning rate {optimizer.learning_rate:g}.")
        self.checkpointer.restart(training)
        return True

    def _anchor(self, training: Training) -> Checkpoint | None:
        """The newest readable anchor; without one, as when the training began without ``Rollback``, the newest checkpoint."""
        found = checkpoints(self.checkpointer.folder)
        anchors = [path for step, path in found if self.checkpointer.is_anchor(training, step)]
        for path in [*reversed(anchors), *(path for _, path in reversed(found))]:
            try:
                return load_checkpoint(path)
            except FileFormatError as error:
                training.say(f"{error} Falling back to the checkpoint before.")
        training.say(f"There is no checkpoint to go back to in {self.checkpointer.folder}.")
        return None
