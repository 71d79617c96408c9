"""Compiling kernels: on first use, once per machine.

A kernel is a plain Python function with one signature, compiled by Numba when it is first called, without the GIL. Its
machine code is kept in a folder of the user's cache, in a file whose name is a hash of everything it was made from: all
sources of this package, the versions of Python and Numba, the CPU. So nothing stale can be found, a damaged file is
compiled again, and a machine without a writable cache only compiles more often. What is not used any more goes (``prune``).

``PELLUCID_CACHE_DIR`` moves the cache, ``PELLUCID_CACHE_DIR=off`` does without.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import compiler
from numba.core.serialize import dumps

from .prune import TEMPORARY, prune, used

compiled: list[str] = []
"""What this process had to compile, by name; what it found in the cache is not among it."""

# The types kernels take. Inputs are marked read-only: such a kernel accepts writable and read-only arrays alike.
INT, FLOAT = types.intp, types.float32
INTS = types.Array(types.intp, 1, "C", readonly=True)
TABLE = types.Array(types.intp, 2, "C", readonly=True)
TEAM = types.Array(types.intp, 1, "C")
IN1, IN2, IN3, IN4, IN5 = (types.Array(types.float32, d, "C", readonly=True) for d in range(1, 6))
OUT1, OUT2, OUT3, OUT4, OUT5 = (types.Array(types.float32, d, "C") for d in range(1, 6))
BYTES_IN4, BYTES_OUT4 = types.Array(types.uint8, 4, "C", readonly=True), types.Array(types.uint8, 4, "C")
void = types.void

inline = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions called by kernels: part of their callers' code, with no door to Python, which would double compile times."""


class Kernel:
    """A function that compiles itself on its first call."""

    def __init__(self, function: Callable, signature: Any) -> None:
        self.function, self.signature = function, signature
        self._dispatcher: Callable | None = None
        functools.update_wrapper(self, function)

    def ready(self) -> Callable:
        """The compiled function, to be called directly."""
        if self._dispatcher is None:
            dispatcher = numba.njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(self.function)
            dispatcher._cache = DiskCache(self.function)
            dispatcher.compile(self.signature)
            dispatcher.disable_compile()
            self._dispatcher = dispatcher
        return self._dispatcher

    def __call__(self, *arguments: Any) -> Any:
        return (self._dispatcher or self.ready())(*arguments)


def kernel(*arguments: Any) -> Callable[[Callable], Kernel]:
    """Decorator: a compiled function of arguments of these types, without a result."""
    return lambda function: Kernel(function, void(*arguments))


def named(name: str) -> Callable[[Callable], Callable]:
    """Decorator for a function made by a factory: gives it a name of its own, under which its machine code is kept."""

    def rename(function: Callable) -> Callable:
        function.__name__ = function.__qualname__ = name
        return function

    return rename


def array_of(x: Any) -> np.ndarray:
    """``x`` as the kernels want it: float32, C-contiguous, aligned, in this machine's byte order."""
    return np.require(x, np.float32, ("C", "A"))


@functools.cache
def fingerprint() -> bytes:
    """A hash of what decides about machine code besides the function itself and the CPU."""
    digest = hashlib.sha256(f"{sys.version} {numba.__version__} {platform.machine()}".encode())
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


def cached(name: str, key: bytes, make: Callable[[], bytes]) -> bytes:
    """``make()``, or what it returned when it was last called with this key on this machine."""
    data = read_cache(name, key)
    if data is None:
        data = make()
        compiled.append(name)
        write_cache(name, key, data)
    return data


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
    """Keep data under a key; files of older versions are left to ``prune``."""
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


def _cache_file(folder: Path, name: str, key: bytes) -> Path:
    return folder / f"{name}-{hashlib.sha256(fingerprint() + key).hexdigest()[:24]}.bin"


class DiskCache:
    """What Numba asks for when it looks for, or has made, the machine code of a function."""

    cache_path = property(lambda self: str(cache_folder()))

    def __init__(self, function: Callable) -> None:
        self.function = function

    def load_overload(self, signature: Any, context: Any) -> Any:
        context.refresh()
        data = read_cache(self.function.__qualname__, self._key(signature, context.codegen()))
        if data is None:
            return None
        try:
            return compiler.CompileResult._rebuild(context, *pickle.loads(data))
        except Exception:  # whatever is wrong with it: compile anew
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        data = dumps(result._reduce())
        compiled.append(self.function.__qualname__)
        write_cache(self.function.__qualname__, self._key(signature, result.codegen), data)

    def flush(self) -> None:
        """Numba's way to empty the cache of a function; files here are never wrong, so there is nothing to do."""

    def _key(self, signature: Any, codegen: Any) -> bytes:
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        return repr((name, str(signature), codegen.magic_tuple())).encode()
