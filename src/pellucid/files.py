"""Durable, atomic writes: a file is either the old one or the new one, whatever happens in between."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


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
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, NDArray], metadata: Mapping[str, str]) -> None:
    """Write one safetensors file, atomically. The free space is looked at first: a full disk costs nothing then.

    Raises
    ------
    OSError
        as the file system reports it; the file that was there before stays.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path = Path(path)
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    size = sum(array.nbytes for array in arrays.values()) + sum(map(len, metadata.values()))
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, f"No space left on device: {size:,} bytes needed", str(path))
    try:
        write_atomically(path, lambda temporary: save_file(arrays, temporary, metadata=dict(metadata)))
    except SafetensorError as error:  # its text ends in "(os error 28)"
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error


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


def _umask() -> int:
    # The only portable way to read the mask is to set it.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
