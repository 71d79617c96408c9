"""How good a trained model is on images it never saw, and how sure one can be of that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .. import metrics
from ..data import Dataset, Part
from ..errors import PellucidError
from ..metrics import wilson_interval
from ..model import Sequential, load
from .asking import probabilities
from .images import PARTS, choose_images
from .networks import model_path, with_views


@dataclass(frozen=True)
class Evaluation:
    """The score of a model on ``images`` images: ``part`` of the data set ``data``.

    ``interval`` is the 95 % confidence interval of the accuracy: it would contain that of endless images of the same kind in
    95 of 100 cases. ``notes`` belong beside the figure. ``details`` are everything else there is to know, where it was asked for.
    """

    loss: float
    accuracy: float
    interval: tuple[float, float]
    images: int
    data: str
    part: str
    notes: tuple[str, ...] = ()
    details: metrics.Evaluation | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        details = None if self.details is None else self.details.to_dict()
        return {**vars(self), "interval": list(self.interval), "notes": list(self.notes), "details": details}

    def __str__(self) -> str:
        low, high = (100 * end for end in self.interval)
        which = "all images" if self.part == "all" else f"the {self.part} part"
        return (
            f"Accuracy {100 * self.accuracy:.2f} % (95 % interval {low:.2f} … {high:.2f} %), loss {self.loss:.4f}, "
            f"on {self.images:,} images: {which} of {self.data}"
        )


def evaluate(
    target: str | os.PathLike[str] | Sequential,
    source: str | None = None,
    *,
    part: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    figures: str | os.PathLike[str] | None = None,
    views: str | None = None,
) -> Evaluation:
    """Score a model (a run folder, a model file, or a model) on a data set; without ``source`` on the one it was trained with.

    Parameters
    ----------
    part
        ``"test"``, ``"validation"`` or ``"train"``; without it the test part, where there is none the validation part, and all
        images of a ``source`` that has neither.
    overrides
        settings of the data by dotted names, such as ``{"data.data_dir": "data"}``.
    figures
        a folder for pictures: confusion matrix, ROC curves, reliability, surest mistakes.

    views
        as for ``Sequential.predict``; without it the model's own.

    Raises
    ------
    PellucidError
        for data that do not fit the model.
    """
    model = with_views(target if isinstance(target, Sequential) else load(model_path(target)), views)
    chosen = choose_images(model, source, part=part, overrides=overrides)
    result = score(model, chosen.images, chosen.dataset, chosen.part)
    result = _with_details(replace(result, notes=result.notes + chosen.notes), model, chosen.images)
    if figures is not None and result.details is not None:
        from ..metrics import figures as pictures

        pictures.write(result.details, figures, chosen.images.x)
    return result


def score(model: Sequential, images: Part, dataset: Dataset, part: str) -> Evaluation:
    """Loss and accuracy of a model on one part of a data set."""
    found = model.evaluate(images.x, images.y)
    accuracy = found.get("accuracy")
    if accuracy is None:
        raise PellucidError(
            "The model was compiled without the metric 'accuracy': compile it with metrics=['accuracy']."
        )
    other_parts = tuple(f"{name}:" for name in PARTS if name != part)
    notes = tuple(note for note in dataset.notes if not note.startswith(other_parts))
    if model.views != "none":
        notes = (*notes, f"Every answer is the mean over several views of the image: {model.views}.")
    return Evaluation(
        found["loss"], accuracy, wilson_interval(accuracy, len(images)), len(images), dataset.name, part, notes
    )


def _with_details(result: Evaluation, model: Sequential, images: Part) -> Evaluation:
    try:
        details = metrics.evaluation(images.y, probabilities(model, images.x), model.class_names)
    except PellucidError as error:  # a training that diverged: its accuracy is said all the same
        return replace(result, notes=(*result.notes, f"No further scores: {error}"))
    return replace(result, details=details)
