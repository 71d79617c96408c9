"""Model files: ONE safetensors file, arrays by path, everything else as JSON in its metadata. Nothing in it can run."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import arrayfile
from .errors import FileFormatError, PellucidError

FORMAT = 1
KEY = "pellucid"


def write(path: str | os.PathLike[str], arrays: Mapping[str, NDArray], about: dict[str, Any]) -> None:
    """Write arrays and a description of plain types, atomically."""
    try:
        text = json.dumps({"format": FORMAT, **about}, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise PellucidError(
            f"The model cannot be described in its file ({error}). Its training_summary, class_names and the settings of its "
            "layers may hold text, finite numbers, lists and tables."
        ) from error
    arrayfile.write(path, arrays, {KEY: text})


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r:.50}")


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The description and the arrays. What the file claims is compared with its size before any memory is taken."""
    name = os.fspath(path)
    if not Path(path).is_file():
        raise FileFormatError(f"There is no model file {name!r}.")
    try:
        texts, arrays = arrayfile.read(path)
        about = json.loads(texts[KEY]) if KEY in texts else None
    except (FileFormatError, ValueError, RecursionError) as error:
        why = str(error).replace(f"{path} ", "it ", 1).rstrip(".")
        raise FileFormatError(
            f"{name!r} is not a model file, or it is cut off or damaged ({why}). "
            "Wanted a .safetensors file written by model.save or by training."
        ) from error
    if KEY not in texts:
        raise FileFormatError(
            f"{name!r} holds arrays but no pellucid model. Wanted a file written by model.save or by training."
        )
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        version = about.get("format") if isinstance(about, dict) else None
        raise FileFormatError(
            f"{name!r} is of model format {version!r}, this pellucid reads {FORMAT}. "
            "Install the version it was made with."
        )
    return about, arrays


def check_shapes(wanted: Mapping[str, tuple[int, ...]], arrays: Mapping[str, NDArray]) -> None:
    """Refuse arrays that do not fit the architecture, before memory is allocated for it."""
    for name in [*wanted, *arrays]:
        if name not in arrays or name not in wanted or tuple(wanted[name]) != arrays[name].shape:
            got = arrays[name].shape if name in arrays else "missing"
            raise FileFormatError(
                f"its array {name!r} is {got}, its architecture wants {wanted.get(name, 'none of that name')}"
            )
        if arrays[name].dtype.kind != "f":
            raise FileFormatError(f"its array {name!r} holds {arrays[name].dtype}, wanted floating point")


@contextlib.contextmanager
def explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Any complaint about the content of a file names the file."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise FileFormatError(
            f"{os.fspath(path)!r} is damaged or not what it says: {str(error).rstrip('.')}."
        ) from error
