"""Durable, atomic writes: a file is either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object]) -> None:
    """Let ``write(temporary)`` fill a temporary file beside ``path``, flush it to the disk and rename it to ``path``.

    A reader never sees half a file, and a crash or a full disk leaves the file that was there before.

    Raises
    ------
    OSError
        as the file system reports it; the temporary file is removed first.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_atomically(target, lambda temporary: temporary.write_text("kept"))
    >>> target.read_text()
    'kept'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # which the umask makes less
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """``write_atomically`` of a text, in UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def flush_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk, so that a rename outlives a power cut (POSIX only)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse to flush a folder; the rename itself has happened
        pass
    finally:
        os.close(handle)
