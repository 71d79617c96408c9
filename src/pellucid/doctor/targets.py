"""From what a person names (a run, a model file, data) to everything that is known about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from ..config import RunConfig, make, read
from ..data import Dataset
from ..data.load import own_path, read_own
from ..errors import DataError
from ..model import Sequential, load
from ..training import RunFolder, latest, read_written
from .case import Case
from .causes import examine
from .finding import Finding


def examine_run(folder: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> list[Finding]:
    """What is wrong with a run, finished or not: its history, its failures, its weights and its data.

    ``overrides`` are settings of the data by dotted names, such as ``{"data.data_dir": "data"}``. Data that are gone are reported
    as a finding, and the rest is examined. Raises ``FileFormatError`` for a folder that is no run.
    """
    return examine(case_of_run(folder, overrides))


def case_of(target: str, overrides: Mapping[str, Any] | None = None) -> Case:
    """Everything known about a run folder, a model file, or data by name or path: what ``pellucid doctor`` examines."""
    path = Path(target).expanduser()
    if (path / "config.toml").is_file():
        return case_of_run(path, overrides)
    if path.suffix == ".safetensors":
        return case_of_model(path, overrides)
    return case_of_data(target, overrides)


def case_of_run(folder: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Case:
    """What is known about a run."""
    run = RunFolder.open(folder)
    config = read(run.config, overrides)
    model, written = _last_model(run), read_written(run)
    dataset, trouble = _load_if_there(config)
    case = _with_data(dataset, config.training.overfit)
    return Case(
        rows=[row for row in written.rows if "train_loss" in row] or None,
        failures=written.failures,
        model=model,
        initial=None if model is None else initial_weights(model),
        train=case.train,
        held_out=case.held_out,
        class_names=case.class_names,
        trouble=trouble,
    )


def case_of_model(path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Case:
    """What is known about a model: itself, and the data of its training, where it names them and they are there."""
    model = load(path)
    summary = model.training_summary
    if not isinstance(summary.get("data"), dict):
        return Case(model=model)
    base = {"data": dict(summary["data"]), "seed": summary.get("seed", 0)}
    dataset, trouble = _load_if_there(make(overrides or {}, base=base, origin=str(path)))
    case = _with_data(dataset)
    return Case(model=model, train=case.train, held_out=case.held_out, class_names=case.class_names, trouble=trouble)


def case_of_data(source: str, overrides: Mapping[str, Any] | None = None) -> Case:
    """What is known about a data set. Of one that cannot be trained on, because it has one class only, what its files hold."""
    config = make({**(overrides or {}), "data.source": source})
    try:
        return _with_data(_load(config))
    except DataError:
        if source.lower().replace("-", "_") in data.SOURCES:
            raise
        section = config.data
        contents = read_own(
            own_path(source), size=section.size, channels=section.channels, on_bad_image=section.on_bad_image
        )
        if len(np.unique(contents.train.y)) != 1:
            raise
        return Case(train=contents.train, class_names=contents.class_names)


def initial_weights(model: Sequential) -> dict[str, np.ndarray]:
    """The weights a model was built with, drawn anew from its seed."""
    twin = Sequential([layer.clone() for layer in model.layers])
    twin.build(model.input_shape or (), seed=model.seed)
    return dict(twin.params)


def _last_model(run: RunFolder) -> Sequential | None:
    """The model as training left it, which is what the history ends with; the best one where there is no checkpoint."""
    if not run.model.is_file():
        return None
    model, checkpoint = load(run.model), latest(run.checkpoints)
    if checkpoint is not None:
        model.load_weights(checkpoint.params | checkpoint.state)
    return model


def _load(config: RunConfig) -> Dataset:
    settings = config.data.model_dump(exclude={"source"}) | {"download": False}
    settings["seed"] = config.seed if config.data.seed is None else config.data.seed
    return data.load(config.data.source, **settings)


def _load_if_there(config: RunConfig) -> tuple[Dataset | None, str | None]:
    """The data set, or why it cannot be read."""
    try:
        return _load(config), None
    except DataError as error:
        return None, str(error)


def _with_data(dataset: Dataset | None, overfit: int | None = None) -> Case:
    if dataset is None:
        return Case()
    if overfit is not None:  # trained and validated on the same few images
        return Case(train=dataset.train.take(range(min(overfit, len(dataset.train)))), class_names=dataset.class_names)
    held_out = {"validation": dataset.validation, "test": dataset.test}
    parts = {name: part for name, part in held_out.items() if part is not None}
    return Case(train=dataset.train, held_out=parts, class_names=dataset.class_names)
