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

from .errors import FileFormatError, PellucidError
from .files import write_arrays

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
    write_arrays(path, arrays, {KEY: text})


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r:.50}")


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The description and the arrays. safetensors checks the header against the file's size before any memory is taken."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileFormatError(f"There is no model file {os.fspath(path)!r}.")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise FileFormatError(
                    f"{os.fspath(path)!r} holds arrays but no pellucid model. Wanted a file written by model.save or by training."
                )
            about = json.loads(text)
            if not isinstance(about, dict) or about.get("format") != FORMAT:
                version = about.get("format") if isinstance(about, dict) else None
                raise FileFormatError(
                    f"{os.fspath(path)!r} is of model format {version!r}, this pellucid reads {FORMAT}. "
                    "Install the version it was made with."
                )
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileFormatError:
        raise
    except (SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise FileFormatError(
            f"{os.fspath(path)!r} is not a model file, or it is cut off or damaged ({error}). "
            "Wanted a .safetensors file written by model.save or by training."
        ) from error


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
