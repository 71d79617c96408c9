"""Machine code that nobody uses any more, of older versions or other settings, leaves the cache.

Which version a file belongs to cannot be told, and several versions may share a cache; but a file's date says when it was last
used: ``used`` sets it, once a day.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

DAY = 86400.0
UNUSED = 30 * DAY  # after so many seconds a file goes
MOST_BYTES = 256 << 20  # a whole zoo takes a tenth of it
OURS = re.compile(r".+-[0-9a-f]{24}\.bin")
TEMPORARY = ".writing-"  # how names of files begin that are not complete yet
ABANDONED = 3600.0  # the seconds after which nobody is still writing


def used(file: Path) -> None:
    """Note that a file is in use."""
    with contextlib.suppress(OSError):
        if time.time() - file.stat().st_mtime > DAY:
            os.utime(file)


def prune(folder: Path) -> None:
    """Remove what was not used for a month, then what was not used for longest until the rest is small enough.

    Others may read, write and prune at the same time: who finds a file gone compiles again. What cannot be removed stays.
    """
    now = time.time()
    files: list[tuple[float, int, Path]] = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            with contextlib.suppress(OSError):
                status = entry.stat()
                files.append((status.st_mtime, status.st_size, Path(entry.path)))
    room = MOST_BYTES
    for date, size, path in sorted(files, reverse=True):  # the last used first
        if path.name.startswith(TEMPORARY):
            unwanted = now - date > ABANDONED
        elif OURS.fullmatch(path.name):
            room -= size
            unwanted = now - date > UNUSED or room < 0
        else:
            unwanted = False  # nobody here wrote it
        if unwanted:
            with contextlib.suppress(OSError):
                path.unlink()
