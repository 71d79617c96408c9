"""Machine code of this machine, kept in a folder of the user's cache.

A file holds a checksum and an *object file*, as compilers write them: machine code and the names of its functions. Its own
name is a hash of everything it was made from: all sources of this package, the versions of Python, NumPy, Numba and LLVM, the
CPU. So nothing stale can be found, a damaged file is made again, and a machine without a writable cache only compiles more
often. What is not used any more goes (``prune``).

``PELLUCID_CACHE_DIR`` moves the cache, ``PELLUCID_CACHE_DIR=off`` does without.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np

from .prune import TEMPORARY, prune, used

compiled: list[str] = []
"""What this process had to compile, by name; what it found in the cache is not among it."""


def version(package: str) -> bytes:
    """What a package says of its version, without importing it.

    Raises
    ------
    ImportError
        if it is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ImportError(f"{package} is not installed")
    try:
        return Path(found.origin).with_name("_version.py").read_bytes()
    except OSError:
        from importlib import metadata

        return metadata.version(package).encode()


@functools.cache
def fingerprint() -> bytes:
    """A hash of what decides about machine code besides the function itself and the CPU."""
    digest = hashlib.sha256(f"{sys.version} {np.__version__} {platform.machine()}".encode())
    for package in ("numba", "llvmlite"):
        digest.update(version(package))
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode())
        with contextlib.suppress(OSError):
            digest.update(source.read_bytes())
    return digest.digest()


@functools.cache
def cache_folder() -> Path | None:
    """Where machine code is kept, or None if no place can be written to."""
    chosen = os.environ.get("PELLUCID_CACHE_DIR", "")
    if chosen.lower() == "off":
        return None
    if not chosen:
        import platformdirs

        chosen = platformdirs.user_cache_dir("pellucid", appauthor=False)
    user = getattr(os, "getuid", lambda: "user")()
    for folder in (Path(chosen) / "kernels", Path(tempfile.gettempdir()) / f"pellucid-{user}" / "kernels"):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = folder.stat()
            if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
                continue  # machine code is only read from a folder that nobody else could have filled
            with tempfile.TemporaryFile(dir=folder):
                return folder
    return None


def read_cache(name: str, key: bytes) -> bytes | None:
    """The data kept under this key, or None if there is none or it is damaged."""
    folder = cache_folder()
    if folder is None:
        return None
    file = _cache_file(folder, name, key)
    try:
        content = file.read_bytes()
    except OSError:
        return None
    used(file)
    return content[32:] if hashlib.sha256(content[32:]).digest() == content[:32] else None


def write_cache(name: str, key: bytes, data: bytes) -> None:
    """Keep what had to be compiled under a key; files of older versions are left to ``prune``."""
    compiled.append(name)
    folder = cache_folder()
    if folder is None:
        return
    target = _cache_file(folder, name, key)
    _prune_once(folder)
    with contextlib.suppress(OSError):
        file, temporary = tempfile.mkstemp(dir=folder, prefix=TEMPORARY)
        with os.fdopen(file, "wb") as stream:
            stream.write(hashlib.sha256(data).digest() + data)
        os.replace(temporary, target)


@functools.cache
def _prune_once(folder: Path) -> None:
    """The cache grows only where something is written, so that is when it is looked at, once per process."""
    prune(folder)


def filled() -> bool:
    """Whether the cache holds anything that was compiled by the same versions of everything."""
    folder = cache_folder()
    return folder is not None and any(folder.glob(f"*-{fingerprint().hex()[:8]}*.bin"))


def _cache_file(folder: Path, name: str, key: bytes) -> Path:
    return folder / f"{name}-{fingerprint().hex()[:8]}{hashlib.sha256(fingerprint() + key).hexdigest()[:16]}.bin"
