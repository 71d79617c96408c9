"""The folder of a run: what is where, and that only one process at a time trains in it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from .. import files
from ..errors import FileFormatError, PellucidError
from .callbacks import Callback, reason
from .checkpointer import sweep
from .progress import Row

if TYPE_CHECKING:
    from .loop import Training


class RunFolder:
    """Where a run keeps its things: ``path`` and below it

    ``config`` (``config.toml``: all settings, the run can be repeated from it), ``metrics`` (``metrics.jsonl``), ``checkpoints``
    (a folder), ``model`` (``model.safetensors``: the best), ``failures`` (a folder: what led to a loss that was not finite),
    ``report`` (a folder); the last two are made by whoever fills them.

    Use ``create`` or ``open``; train inside ``with folder.locked():``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model.safetensors"
        self.failures = self.path / "failures"
        self.report = self.path / "report"
        self._lock: int | None = None

    @classmethod
    def create(cls, path: str | os.PathLike[str], config_toml: str) -> RunFolder:
        """Make a new run folder with its config. An empty folder is taken, anything else is never touched.

        Raises
        ------
        PellucidError
            if there is something at ``path`` already, or the folder cannot be made there.
        """
        folder = cls(path)
        what = "Choose another folder with --out."
        if folder.config.is_file():
            what = f"Continue that run with `pellucid resume {folder.path}`, or choose another folder with --out."
        elif folder.path.exists():
            what = f"It is {'not empty and no run' if folder.path.is_dir() else 'a file'}. {what}"
        taken = PellucidError(f"{folder.path} exists already and is not overwritten. {what}")
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            if os.listdir(folder.path):
                raise taken
            folder.checkpoints.mkdir()  # of two processes that come this far only one gets through
            files.write_text(folder.config, config_toml)
        except FileExistsError as error:
            raise taken from error
        except OSError as error:
            raise PellucidError(
                f"The run folder {folder.path} cannot be made: {error.strerror or error}. Choose another folder with --out."
            ) from error
        return folder

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> RunFolder:
        """The folder of an earlier run. Raises ``FileFormatError`` if it is none."""
        folder = cls(path)
        if not folder.config.is_file():
            there = (
                "has no config.toml"
                if folder.path.is_dir()
                else "is no folder"
                if folder.path.exists()
                else "does not exist"
            )
            raise FileFormatError(f"{folder.path} is not the folder of a run: it {there}.")
        return folder

    def read_config(self) -> str:
        """The text of ``config.toml``. Raises ``FileFormatError`` if it cannot be read."""
        try:
            return self.config.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileFormatError(f"{self.config} cannot be read: {error}.") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """A block in which no other process trains in this folder. The lock of a process that died counts for nothing.

        Raises
        ------
        PellucidError
            if another process holds the lock, or the folder is read-only.
        """
        self._take_lock()
        try:
            with contextlib.suppress(OSError):
                for folder in (self.path, self.checkpoints, self.failures):
                    sweep(folder)
            yield
        finally:
            self._give_lock_back()

    def _take_lock(self) -> None:
        try:
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise PellucidError(
                f"{self.path} cannot be written to ({error.strerror or error}): training there is not possible."
            ) from error
        if not _lock(handle):
            owner = os.pread(handle, 200, 0).decode(errors="replace") if hasattr(os, "pread") else ""
            os.close(handle)
            raise PellucidError(
                f"Another process{f' ({owner})' if owner else ''} is training in {self.path}. Wait for it, or stop it first."
            )
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same, it only cannot say whose it is
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        self._lock = handle

    def _give_lock_back(self) -> None:
        if self._lock is not None:
            os.close(self._lock)  # as the end of the process would
            self._lock = None


class KeepFolder(Callback):
    """Make the run's folder again if it disappears while the training goes on: its config, its other ``texts``, the lock.

    The other callbacks make what is theirs; so the run can still be resumed, and its model is not lost.
    """

    order: ClassVar[int] = -1  # before those that write there

    def __init__(self, folder: RunFolder, *texts: str) -> None:
        self.folder = folder
        self.paths = [folder.config, *(folder.path / name for name in texts)]
        self.texts: dict[Path, str] = {}

    def on_train_begin(self, training: Training) -> None:
        self.texts = {path: path.read_text(encoding="utf-8") for path in self.paths if path.is_file()}

    def on_epoch_end(self, training: Training, row: Row) -> None:
        if self.folder.config.is_file():
            return
        try:
            self.folder.checkpoints.mkdir(parents=True, exist_ok=True)
            self.folder._give_lock_back()
            self.folder._take_lock()
            for path, text in self.texts.items():
                files.write_text(path, text)
            training.say(f"{self.folder.path} had disappeared and is made again; what only stood there is gone.")
        except (OSError, PellucidError) as error:
            training.say(f"{self.folder.path} has disappeared and cannot be made again ({reason(error)}).")

    def on_train_end(self, training: Training) -> None:
        if training.progress.step:
            self.on_epoch_end(training, {})


def _lock(handle: int) -> bool:
    """Try to lock an open file; returns whether it worked. The operating system gives it back when the process ends."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(handle, 2**30, os.SEEK_SET)  # far behind the text, which others may read
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks, as some mounted clouds are: better no lock than no training
        return True
    return True
