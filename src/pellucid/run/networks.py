"""A network from whatever a person calls it: a name of the zoo, a file of layers, a model file, a run folder."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path

from ..augmentation.views import known as known_views
from ..config.sections import ModelSection
from ..errors import FileFormatError, PellucidError, ShapeError
from ..layers import Layer
from ..model import Sequential, load
from ..zoo import build as build_from_zoo
from ..zoo import names as zoo_names

MODEL_FILE = "model.safetensors"


def build(section: ModelSection, input_shape: Sequence[int], num_classes: int, *, seed: int = 0) -> Sequential:
    """The network that the settings describe, its first weights drawn from ``section.seed`` or else ``seed``.

    Raises
    ------
    ShapeError
        for layers that do not fit each other, the images or the number of classes.
    PellucidError
        for layers whose settings make no sense.
    """
    seed = seed if section.seed is None else section.seed
    if section.layers is None:
        return build_from_zoo(str(section.name), tuple(input_shape), num_classes, seed)
    try:
        model = Sequential([Layer.from_config(table) for table in section.layers], name=section.name)
        model.build(tuple(input_shape), seed=seed)
    except PellucidError:
        raise
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
        raise PellucidError(
            f"The network {section.name!r} cannot be built: {error}. A setting of one of its layers makes no sense, such as "
            "a fraction or text where a whole number belongs."
        ) from error
    outputs = model.output_shape(tuple(input_shape))
    if outputs != (num_classes,) and not (num_classes == 2 and outputs == (1,)):
        raise ShapeError(
            f"The network {section.name!r} ends in the shape {outputs}; wanted ({num_classes},), one output for each "
            f'class. Let its last layer be class = "Dense", units = {num_classes}, after Flatten or global pooling.'
        )
    return model


def model_path(path: str | os.PathLike[str]) -> Path:
    """The model file that ``path`` means: itself, or the best model of the run folder it is."""
    path = Path(path).expanduser()
    if path.is_dir():
        inside = path / MODEL_FILE
        if inside.is_file():
            return inside
        if (path / "config.toml").is_file():
            raise FileFormatError(
                f"The run {path} has no model yet: no epoch is finished. Go on with it: pellucid resume {path}"
            )
        raise FileFormatError(
            f"{path} is a folder, but not of a run: it has no {MODEL_FILE}. Name a run or a model file."
        )
    if not path.exists():
        raise FileFormatError(f"There is no model or run {str(path)!r}. {_runs_here(path)}")
    return path


def with_views(model: Sequential, views: str | None) -> Sequential:
    """The same model, sharing everything, answering with these views; without ``views`` the model itself."""
    if views is None:
        return model
    twin = copy.copy(model)
    twin.views = known_views(views)
    return twin


def find(name: str, input_shape: Sequence[int] = (32, 32, 3), num_classes: int = 10) -> Sequential:
    """A built network: from the zoo or a TOML file of layers for ``input_shape``, or trained, from a model file or a run."""
    from ..config import make

    path = Path(name).expanduser()
    if name in zoo_names():
        return build_from_zoo(name, tuple(input_shape), num_classes)
    if path.suffix.lower() == ".toml":
        return build(make({"model.file": name}).model, input_shape, num_classes)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return load(model_path(path))
    try:
        return build_from_zoo(name, tuple(input_shape), num_classes)
    except PellucidError as error:
        raise PellucidError(f"{name!r} is neither a file or folder here nor a network of the zoo. {error}") from None


def _runs_here(path: Path) -> str:
    runs = sorted(Path("runs").glob(f"*/{MODEL_FILE}"), key=os.path.getmtime)
    known = ", ".join(str(run.parent) for run in runs[-3:])
    return f"The latest runs here: {known}." if runs else "Train one first: pellucid train digits"
