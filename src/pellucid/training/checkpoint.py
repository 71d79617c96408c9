"""Checkpoints: everything a training needs to go on as if nothing had happened, in one safetensors file.

Arrays are called ``params/…``, ``state/…``, ``slots/…`` and ``callbacks/…``; the rest is strict JSON in the file's metadata. A
checksum over both is verified on reading. Nothing in a checkpoint can execute.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from .. import files
from ..errors import DataError, FileFormatError
from ..nonfinite import first_of
from . import strict_json
from .callbacks import Callback, print_safely
from .progress import Progress
from .trainable import Arrays, Trainable

FORMAT = "pellucid checkpoint"
VERSION = "1"
MAX_HEADER = 64 * 2**20  # bytes; a history of a hundred thousand epochs fits
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
    path = Path(path)
    arrays = {f"params/{name}": array for name, array in checkpoint.params.items()}
    arrays |= {f"state/{name}": array for name, array in checkpoint.state.items()}
    arrays |= {f"slots/{name}": array for name, array in checkpoint.slots.items()}
    plain: dict[str, dict[str, Any]] = {}
    for owner, memory in checkpoint.callbacks.items():
        plain[owner] = {key: value for key, value in memory.items() if not isinstance(value, np.ndarray)}
        arrays |= {f"callbacks/{owner}/{key}": value for key, value in memory.items() if isinstance(value, np.ndarray)}
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
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
    header = {"format": FORMAT, "version": VERSION, "content": content, "checksum": _checksum(content, arrays)}
    files.write_arrays(path, arrays, header)


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
        if the file is missing, damaged, or no checkpoint. No more memory is taken than twice the size of the file.
    """
    path = Path(path)
    metadata, arrays = _read(path)
    if metadata.get("format") != FORMAT:
        raise FileFormatError(f"{path} is a safetensors file but no checkpoint of pellucid.")
    if metadata.get("version") != VERSION:
        raise FileFormatError(
            f"{path} has version {metadata.get('version')!r} of the checkpoint format, this pellucid reads {VERSION}: update it."
        )
    text = metadata.get("content", "")
    if _checksum(text, arrays) != metadata.get("checksum"):
        raise FileFormatError(f"{path} is damaged: its content does not match its checksum.")
    try:
        content = strict_json.loads(text)
        memory = {name: dict(values) for name, values in content["callbacks"].items()}
        for owner, values in memory.items():
            values.update(_below(arrays, f"callbacks/{owner}/"))
        return Checkpoint(
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


def _read(path: Path) -> tuple[dict[str, str], Arrays]:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= header_size <= min(size - 8, MAX_HEADER):
                raise FileFormatError(
                    f"{path} is no checkpoint, or was cut off: its {size:,} bytes have no valid header."
                )
            if size > _memory() // 2:
                raise FileFormatError(f"{path} is {size:,} bytes long, too much for the memory of this computer.")
            file.seek(0)
            data = file.read(size)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        arrays = safetensors.numpy.load(data)  # checks that the arrays fill the file exactly, before it makes any
        metadata = json.loads(data[8 : 8 + header_size])["__metadata__"]
        if not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata that is no text")
    except Exception as error:  # whatever a hostile header makes the reader raise: it is the file's fault
        raise FileFormatError(f"{path} is no checkpoint, or is damaged: {error!s:.200}.") from error
    return metadata, arrays


def _checksum(content: str, arrays: Arrays) -> str:
    digest = hashlib.blake2b(content.encode(), digest_size=16)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _below(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not POSIX
        return 16 * 2**30


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
    return _checksum("data", {str(i): np.asarray(array, order="C") for i, array in enumerate(arrays)})
