"""The images to ask a trained model about: a part of its own data, or of any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..config import RunConfig, make
from ..data import Dataset, Part
from ..errors import DataError, PellucidError
from ..model import Sequential
from .prepare import choose_engine, load_data

PARTS = ("train", "validation", "test")
_KNOWN = {
    "train": "The model was trained on these images: this says nothing about new ones.",
    "validation": "The best epoch was chosen by these images: on new ones expect a little less.",
}


class Chosen(NamedTuple):
    """``part`` of a data set (``"all"`` for all of it): its images, labelled as the model numbers its classes."""

    dataset: Dataset
    part: str
    images: Part
    notes: tuple[str, ...]  # what a person should know beside any figure


def choose_images(
    model: Sequential,
    source: str | None = None,
    *,
    part: str | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Chosen:
    """Images of the data set ``source``, without it of the one the model was trained with, in the size that the model takes.

    ``part`` and ``overrides`` are those of ``evaluate``; raises ``PellucidError`` for data that do not fit the model.
    """
    config, same_source = _data_settings(model, source, dict(overrides or {}))
    choose_engine(config)
    own = not same_source and config.data.validation_split is None
    dataset = load_data(config)
    if own and part is None and dataset.test is None:  # images of one's own, all of them new to the model
        config.data.validation_split = 0
        dataset = load_data(config)
    name, images = _choose_part(dataset, part, whole=own)
    return Chosen(
        dataset,
        name,
        _with_labels_of(model, dataset, images),
        (_KNOWN[name],) if same_source and name in _KNOWN else (),
    )


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
