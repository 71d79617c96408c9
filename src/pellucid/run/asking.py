"""What a trained model sees on pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, PellucidError
from ..metrics import as_probabilities
from ..model import Sequential, load
from ..preprocessing import IMAGE_SUFFIXES
from .networks import model_path, with_views

_AT_ONCE = 256  # pictures in memory


@dataclass(frozen=True)
class Prediction:
    """One picture: its likeliest classes with their probabilities, or ``error``, why it could not be read."""

    file: str
    classes: tuple[tuple[str, float], ...] = ()
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        if self.error is not None:
            return {"file": self.file, "error": self.error}
        return {"file": self.file, "classes": [{"class": name, "probability": p} for name, p in self.classes]}


def predict(
    target: str | os.PathLike[str] | Sequential,
    pictures: Iterable[str | os.PathLike[str]],
    *,
    top: int = 3,
    views: str | None = None,
) -> Iterator[Prediction]:
    """The ``top`` classes of every picture, in the order of ``pictures``: files, or folders to be searched.

    A picture that cannot be read is a prediction with an ``error``; the others are not held up. ``views`` are those of
    ``Sequential.predict``.
    """
    if top < 1:
        raise PellucidError(f"top was {top}; wanted at least 1.")
    model = with_views(target if isinstance(target, Sequential) else load(model_path(target)), views)
    if model.preprocessing is None:
        raise PellucidError(
            "The model does not say how the pixels of a picture become its input. Those trained by `pellucid train` do; "
            "in Python set model.preprocessing = pl.Preprocessing.fit(x) before compile and fit."
        )
    files = _files(pictures)
    for start in range(0, len(files), _AT_ONCE):
        yield from _predict(model, files[start : start + _AT_ONCE], top)


def probabilities(model: Sequential, x: NDArray) -> NDArray:
    """What the model makes of raw images (N, H, W, C), as a probability per class (N, K)."""
    return as_probabilities(model.predict(x), model.final_activation)


def _predict(model: Sequential, files: list[Path], top: int) -> Iterator[Prediction]:
    images: list[NDArray] = []
    errors: dict[Path, str] = {}
    for file in files:
        try:
            images.append(model.preprocessing.read(file))  # type: ignore[union-attr]
        except DataError as error:
            errors[file] = str(error)
    rows = iter(probabilities(model, np.stack(images))) if images else iter(())
    for file in files:
        if file in errors:
            yield Prediction(str(file), error=errors[file])
            continue
        row = next(rows)
        names = model.class_names or tuple(map(str, range(len(row))))
        best = np.argsort(-row, kind="stable")[:top]
        yield Prediction(str(file), tuple((names[k], float(row[k])) for k in best))


def _files(pictures: Iterable[str | os.PathLike[str]]) -> list[Path]:
    files: list[Path] = []
    for picture in pictures:
        path = Path(picture).expanduser()
        if not path.is_dir():
            files.append(path)
            continue
        inside = [Path(root, name) for root, _, names in os.walk(path) for name in names]
        found = sorted(file for file in inside if file.name.lower().endswith(IMAGE_SUFFIXES) and file.name[0] != ".")
        if not found:
            raise DataError(f"The folder {path} holds no pictures (known endings: {', '.join(IMAGE_SUFFIXES)}).")
        files += found
    return list(dict.fromkeys(files))
