"""Checkpoints: everything a training needs to go on as if nothing had happened, in one safetensors file.

Arrays are called ``params/…``, ``state/…``, ``slots/…`` and ``callbacks/…``; the rest is strict JSON among the file's texts. A
checksum over both is verified on reading. Nothing in a checkpoint can execute.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arrayfile
from ..errors import DataError, FileFormatError
from ..nonfinite import first_of
from . import strict_json
from .callbacks import Callback, print_safely
from .progress import Progress
from .trainable import Arrays, Trainable

FORMAT = "pellucid checkpoint"
VERSION = "2"
NAME = re.compile(r"step-(\d{8,19})\.safetensors")


@dataclass
class Checkpoint:
    """The content of a checkpoint. ``path`` is None until it has one."""

    params: Arrays
    state: Arrays
    slots: Arrays
    iterations: int
    optimizer: dict[str, Any]
    model: dict[str, Any]
    progress: Progress
    callbacks: dict[str, dict[str, Any]]
    data: str | None = None
    library: str = ""
    path: Path | None = None

    @classmethod
    def capture(
        cls, model: Trainable, progress: Progress, callbacks: Sequence[Callback] = (), data: str | None = None
    ) -> Checkpoint:
        """What a training is at this moment. The arrays are the model's own, not copies: save them before the next step."""
        optimizer = model.optimizer
        memory = {name: callback.state() for name, callback in named(callbacks).items()}
        kept = (optimizer.slots, optimizer.iterations, optimizer.config(), model.config())
        return cls(model.params, model.state, *kept, progress, memory, data, _library_version())

    def damaged(self) -> str | None:
        """The name of an array that holds NaN or infinity, None if all are fine."""
        return first_of(self.params) or first_of(self.state) or first_of(self.slots)

    def check_data(self, fingerprint: str | None) -> None:
        """Raise ``DataError`` if the training data are not those of the checkpoint (see ``data_fingerprint``)."""
        if self.data is not None and fingerprint is not None and self.data != fingerprint:
            raise DataError(
                "The training data have changed since this run was interrupted: a resumed run would not be the same run. "
                "Bring back the files as they were, or accept the new ones explicitly."
            )


def named(callbacks: Sequence[Callback]) -> dict[str, Callback]:
    """Callbacks by the name of their class, from the second of a class on with a number."""
    names: dict[str, Callback] = {}
    for callback in callbacks:
        name = type(callback).__name__
        same = sum(type(other).__name__ == name for other in names.values())
        names[f"{name} {same + 1}" if same else name] = callback
    return names


# Writing -------------------------------------------------------------------------------------------------------------


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint, atomically: a crash or a full disk leaves the file that was there before.

    Raises
    ------
    OSError
        as the file system reports it.
    """
    arrayfile.write(path, *packed(checkpoint))


def packed(checkpoint: Checkpoint, *, copy: bool = False) -> tuple[Arrays, dict[str, str]]:
    """The arrays and texts of a checkpoint's file; with ``copy`` the training may go on before they are written."""
    arrays = {f"params/{name}": array for name, array in checkpoint.params.items()}
    arrays |= {f"state/{name}": array for name, array in checkpoint.state.items()}
    arrays |= {f"slots/{name}": array for name, array in checkpoint.slots.items()}
    plain: dict[str, dict[str, Any]] = {}
    for owner, memory in checkpoint.callbacks.items():
        plain[owner] = {key: value for key, value in memory.items() if not isinstance(value, np.ndarray)}
        arrays |= {f"callbacks/{owner}/{key}": value for key, value in memory.items() if isinstance(value, np.ndarray)}
    content = strict_json.dumps(
        {
            "progress": checkpoint.progress.to_dict(),
            "callbacks": plain,
            "optimizer": checkpoint.optimizer,
            "iterations": checkpoint.iterations,
            "model": checkpoint.model,
            "data": checkpoint.data,
            "library": checkpoint.library,
        }
    )
    arrays = {name: np.array(array, order="C", copy=copy or None) for name, array in arrays.items()}
    return arrays, {"format": FORMAT, "version": VERSION, "content": content}


def checkpoint_path(folder: str | os.PathLike[str], step: int) -> Path:
    """The file of a step.

    >>> checkpoint_path("checkpoints", 1234).name
    'step-00001234.safetensors'
    """
    return Path(folder) / f"step-{step:08d}.safetensors"


def checkpoints(folder: str | os.PathLike[str]) -> list[tuple[int, Path]]:
    """The steps and files of all checkpoints in a folder, oldest first; empty if there is no such folder."""
    folder = Path(folder)
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted((int(match[1]), folder / name) for name in names if (match := NAME.fullmatch(name)))


# Reading -------------------------------------------------------------------------------------------------------------


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises
    ------
    FileFormatError
        if the file is missing, damaged, or no checkpoint. Memory is bounded by the size of the file.
    """
    path = Path(path)
    texts, arrays = arrayfile.read(path, checked=True)
    if texts.get("format") != FORMAT:
        raise FileFormatError(f"{path} is a safetensors file but no checkpoint of pellucid.")
    if texts.get("version") != VERSION:
        raise FileFormatError(
            f"{path} has version {texts.get('version')!r} of the checkpoint format, this pellucid reads {VERSION}: "
            "take the version of pellucid it was made with."
        )
    try:
        content = strict_json.loads(texts["content"])
        memory = {name: dict(values) for name, values in content["callbacks"].items()}
        for owner, values in memory.items():
            values.update(_below(arrays, f"callbacks/{owner}/"))
        checkpoint = Checkpoint(
            params=_below(arrays, "params/"),
            state=_below(arrays, "state/"),
            slots=_below(arrays, "slots/"),
            iterations=int(content["iterations"]),
            optimizer=dict(content["optimizer"]),
            model=content["model"],
            progress=Progress.from_dict(content["progress"]),
            callbacks=memory,
            data=content["data"],
            library=str(content["library"]),
            path=path,
        )
        if damaged := checkpoint.damaged():
            raise FileFormatError(f"{damaged} holds NaN or infinity.")
        return checkpoint
    except FileFormatError as error:
        raise FileFormatError(f"{path} is damaged: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise FileFormatError(f"{path} is damaged: {type(error).__name__} in its content ({error}).") from error


def latest(folder: str | os.PathLike[str], say: Callable[[str], None] = print_safely) -> Checkpoint | None:
    """The newest readable checkpoint of a folder; None if there are no checkpoints.

    A damaged one is passed over in favour of the one before, and ``say`` is told so.

    Raises
    ------
    FileFormatError
        if there are checkpoints and all of them are damaged.
    """
    found = checkpoints(folder)
    for _, path in reversed(found):
        try:
            return load_checkpoint(path)
        except FileFormatError as error:
            say(f"{error} Falling back to the checkpoint before.")
    if found:
        raise FileFormatError(
            f"All {len(found)} checkpoints in {folder} are damaged; the training has to begin anew, in another folder."
        )
    return None


def _below(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


@functools.cache
def _library_version() -> str:
    from importlib import metadata  # takes 0.1 s to load

    try:
        return metadata.version("pellucid")
    except metadata.PackageNotFoundError:
        return ""


def data_fingerprint(*arrays: NDArray) -> str:
    """A short text that changes when any number, type or shape of a data set changes; takes about a second per GB.

    >>> data_fingerprint(np.zeros(3, np.uint8)) == data_fingerprint(np.zeros(3, np.int8))
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape} ".encode())
        digest.update(np.asarray(array, order="C").reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
