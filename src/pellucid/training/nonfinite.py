"""Numbers that are no longer finite: the error that says where, and what is kept of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import arrayfile, files
from ..errors import PellucidError
from . import strict_json
from .callbacks import Callback, reason

if TYPE_CHECKING:
    from .loop import Training


class Batch(NamedTuple):
    """What one step learns from: images as they were given, targets, weights, and their places in the data."""

    x: NDArray
    y: NDArray
    sample_weight: NDArray | None
    indices: NDArray

    @property
    def bad_images(self) -> list[int]:
        """The places of images that hold NaN or infinity."""
        return self.indices[~np.isfinite(self.x).reshape(len(self.x), -1).all(axis=1)].tolist()


class NonFiniteLossError(PellucidError):
    """The loss of a step, its gradients or the weights are NaN or infinite.

    ``loss``, ``epoch`` and ``step`` (both from 1) and ``indices`` (of the images) say in which batch, ``place`` what in the
    network was the first that is not finite (None if the model cannot tell). ``batch`` is None where it was noticed between
    two steps. The step that failed has not changed the weights.
    """

    def __init__(
        self,
        what: str,
        training: Training,
        *,
        loss: float = np.nan,
        batch: Batch | None = None,
        place: str | None = None,
    ) -> None:
        progress = training.progress
        self.loss, self.place, self.batch = loss, place, batch
        self.epoch, self.step = progress.epoch + 1, progress.step + (batch is not None)
        self.indices = np.zeros(0, np.int64) if batch is None else batch.indices
        where = f"epoch {self.epoch}, after step {self.step}"
        if batch is not None:
            where = f"epoch {self.epoch}, batch {progress.batch + 1} of {training.batches} (step {self.step})"
        first = f" The first numbers that are not finite: {place}." if place else ""
        super().__init__(f"{what} in {where}.{first} {_advice(batch, training.model.optimizer.learning_rate)}.")


def _advice(batch: Batch | None, rate: Any) -> str:
    if batch is not None and batch.bad_images:
        return f"The data contain NaN or infinity: images {', '.join(map(str, batch.bad_images[:5]))}. Clean them first"
    return f"The learning rate {rate:g} is probably too large: try {float(rate) / 10:g}, or scale the images to 0…1"


class Evidence(Callback):
    """Keep what led to a loss that is not finite in ``folder``: ``step-….safetensors`` and ``step-….json``.

    The arrays are ``batch/x``, ``batch/y``, ``batch/indices`` and, of the last weights, ``params/…``, ``state/…``, ``slots/…``;
    ``safetensors.numpy.load_file`` reads them. The JSON says in words and numbers what happened.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def on_nonfinite(self, training: Training, failure: NonFiniteLossError) -> bool:
        model, batch = training.model, failure.batch
        about = {
            "error": str(failure),
            "place": failure.place,
            "loss": failure.loss,
            "epoch": failure.epoch,
            "step": failure.step,
            "images": failure.indices.tolist(),
            "optimizer": model.optimizer.config(),
            "iterations": model.optimizer.iterations,
            "model": model.config(),
        }
        arrays = {} if batch is None else {f"batch/{name}": value for name, value in batch._asdict().items()}
        for kind in ("params", "state"):
            arrays |= {f"{kind}/{path}": array for path, array in getattr(model, kind).items()}
        arrays |= {f"slots/{path}": array for path, array in model.optimizer.slots.items()}
        arrays = {name: np.asarray(array) for name, array in arrays.items() if array is not None}
        path = self.folder / f"step-{failure.step:08d}.safetensors"
        text = strict_json.dumps(about)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            arrayfile.write(path, arrays, {"evidence": text})
            files.write_text(path.with_suffix(".json"), text)
            training.say(f"The batch and the weights of step {failure.step} are kept in {path}.")
        except OSError as error:
            training.say(f"What led to it could not be kept in {path} ({reason(error)}).")
        return False
