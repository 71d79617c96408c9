"""How good a trained model is on images it never saw, and how sure one can be of that."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..config import RunConfig, make
from ..data import Dataset, Part
from ..errors import DataError, PellucidError
from ..model import Sequential, load
from .networks import model_path
from .prepare import choose_engine, load_data

PARTS = ("train", "validation", "test")
_KNOWN = {
    "train": "The model was trained on these images: this says nothing about new ones.",
    "validation": "The best epoch was chosen by these images: on new ones expect a little less.",
}


@dataclass(frozen=True)
class Evaluation:
    """The score of a model on ``images`` images: ``part`` of the data set ``data``.

    ``interval`` is the 95 % confidence interval of the accuracy: it would contain that of endless images of the same kind in
    95 of 100 cases. ``notes`` belong beside the figure.
    """

    loss: float
    accuracy: float
    interval: tuple[float, float]
    images: int
    data: str
    part: str
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)

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
) -> Evaluation:
    """Score a model (a run folder, a model file, or a model) on a data set; without ``source`` on the one it was trained with.

    Parameters
    ----------
    part
        ``"test"``, ``"validation"`` or ``"train"``; without it the test part, where there is none the validation part, and all
        images of a ``source`` that has neither.
    overrides
        settings of the data by dotted names, such as ``{"data.data_dir": "data"}``.

    Raises
    ------
    PellucidError
        for data that do not fit the model.
    """
    model = target if isinstance(target, Sequential) else load(model_path(target))
    config, same_source = _data_settings(model, source, dict(overrides or {}))
    choose_engine(config)
    own = not same_source and config.data.validation_split is None
    dataset = load_data(config)
    if own and part is None and dataset.test is None:  # images of one's own, all of them new to the model
        config.data.validation_split = 0
        dataset = load_data(config)
    name, images = _choose_part(dataset, part, whole=own)
    images = _with_labels_of(model, dataset, images)
    result = score(model, images, dataset, name)
    known = _KNOWN.get(name) if same_source else None
    return replace(result, notes=(*result.notes, known)) if known else result


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
    return Evaluation(
        found["loss"], accuracy, wilson_interval(accuracy, len(images)), len(images), dataset.name, part, notes
    )


def wilson_interval(accuracy: float, images: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % confidence interval of a proportion, sound for small numbers and near 100 % too.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    >>> tuple(round(end, 4) for end in wilson_interval(0.94, 1017))
    (0.9237, 0.953)
    """
    centre = accuracy + z * z / (2 * images)
    width = z * math.sqrt(accuracy * (1 - accuracy) / images + z * z / (4 * images * images))
    scale = 1 + z * z / images
    return max(0.0, (centre - width) / scale), min(1.0, (centre + width) / scale)


def _data_settings(model: Sequential, source: str | None, overrides: dict[str, Any]) -> tuple[RunConfig, bool]:
    """The settings to load the data with, and whether they are the data of the training."""
    trained = model.training_summary.get("data")
    trained = trained if isinstance(trained, dict) else {}
    same = source is None or source == trained.get("source")
    if same and not trained.get("source") and "data.source" not in overrides:
        raise PellucidError(
            "The model file does not say what it was trained with. Name the data: pellucid evaluate MODEL DATA"
        )
    base = (
        {"data": dict(trained), "seed": model.training_summary.get("seed", 0)} if same else {"data": {"source": source}}
    )
    config = make(overrides, base=base, origin="" if same else "the command line")
    if model.input_shape is not None and len(model.input_shape) == 3:
        height, width, channels = model.input_shape
        config.data.size = config.data.size or (height, width)
        if config.data.channels is None and channels in (1, 3):
            config.data.channels = channels  # type: ignore[assignment]
    return config, same


def _choose_part(dataset: Dataset, part: str | None, *, whole: bool) -> tuple[str, Part]:
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    if part is None:
        if dataset.test is None and whole and dataset.validation is None:
            return "all", dataset.train
        part = "test" if dataset.test is not None else "validation"
    if part not in parts:
        raise PellucidError(f"There is no part {part!r}. Known: {', '.join(PARTS)}.")
    chosen = parts[part]
    if chosen is None:
        there = ", ".join(name for name, images in parts.items() if images is not None)
        raise DataError(f"{dataset.name} has no {part} part; it has {there}. Choose one of them with --part.")
    return part, chosen


def _with_labels_of(model: Sequential, dataset: Dataset, images: Part) -> Part:
    """The same images, their classes numbered as the model numbers them."""
    if not model.class_names or model.class_names == dataset.class_names:
        return images
    unknown = [name for name in dataset.class_names if name not in model.class_names]
    if unknown:
        raise DataError(
            f"The model does not know the class {unknown[0]!r} of {dataset.name}; it knows {', '.join(model.class_names)}. "
            "Evaluate it on images of these classes."
        )
    numbers = np.array([model.class_names.index(name) for name in dataset.class_names])
    return Part(images.x, numbers[images.y], images.paths)
