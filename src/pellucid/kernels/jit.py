"""Kernels: plain Python functions that run as machine code, compiled once per machine.

A kernel is a Python function with one signature and no result. On its first call its machine code comes from the cache, or
from Numba (``compiler``), which is imported only then: a process that finds all it needs in the cache never loads it.

Machine code has one *door*: a function of C that takes a *block*, the arguments of a call one behind the other in words of
eight bytes. A whole number is itself, a float a double, an array the address of its Python object; the door looks
whether it is the array that the kernel wants, and finds its numbers. Python calls doors without its lock, and threads help
each other by handing on a door and a block.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ..errors import PellucidError
from . import ahead, cache, machine

if not cache.filled():
    import numba  # noqa: F401 - it will be asked for: if it does not work, that is known now, while NumPy can take over


class Array(NamedTuple):
    """The type of an array in C order; one that is not ``written`` may be read-only."""

    dtype: str
    ndim: int
    written: bool = False


Type = Array | str
"""What a kernel takes: an array, or a number of one of the types that have a ``FORMAT``."""

FORMAT = {"intp": "q", "uint64": "Q", "float32": "d", "float64": "d"}  # how numbers lie in a block

INT, FLOAT, DOUBLE = "intp", "float32", "float64"
INTS, TABLE, TEAM = Array("intp", 1), Array("intp", 2), Array("intp", 1, True)
IN1, IN2, IN3, IN4, IN5 = (Array("float32", d) for d in range(1, 6))
OUT1, OUT2, OUT3, OUT4, OUT5 = (Array("float32", d, True) for d in range(1, 6))
BYTES_IN4, BYTES_OUT4 = Array("uint8", 4), Array("uint8", 4, True)

_FLOAT32 = np.dtype(np.float32)
KERNELS: dict[str, Kernel] = {}
_loading = threading.RLock()


class Door(NamedTuple):
    """The way into a kernel: to be called with a block, and its address, to be handed on."""

    enter: Callable[[bytes], int]
    address: int


_C = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_char_p)  # which lets go of the interpreter's lock


def address_of(block: bytes) -> int:
    """Where the bytes lie: they are the last that is in their Python object, but for a zero."""
    return id(block) + bytes.__basicsize__ - 1


class Inline:
    """A function that becomes part of the kernels that call it; it has no door of its own."""

    def __init__(self, function: Callable, fastmath: frozenset[str] = frozenset()) -> None:
        self.function, self.fastmath = function, fastmath
        self.dispatcher: Any = None  # what Numba makes of it
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        raise TypeError(f"{self.function.__name__} is for kernels alone")


class Intrinsic:
    """What Python has no words for: it stands for the function of its name in ``intrinsics``, which writes LLVM's."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name

    def __call__(self, *arguments: Any) -> Any:
        raise TypeError(f"{self.name} is for kernels alone")


class Kernel:
    """A function that compiles itself on its first call."""

    def __init__(self, function: Callable, types: tuple[Type, ...]) -> None:
        self.function, self.types = function, types
        self.arrays = [i for i, t in enumerate(types) if isinstance(t, Array)]
        self.pack = struct.Struct("=" + "".join("q" if isinstance(t, Array) else FORMAT[t] for t in types)).pack
        self._door: Door | None = None
        functools.update_wrapper(self, function)
        KERNELS[self.name] = self

    @property
    def name(self) -> str:
        """The name of the door."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def ready(self) -> Door:
        """The door of this kernel; what it returns is for ``check``."""
        return self._door or self._load()

    def _load(self) -> Door:
        with _loading:
            if self._door is None:
                name = self.function.__qualname__
                ahead.needed(self.name)
                (address,) = machine.load(name, f"{self.name}{self.types}", self._compile, [self.name])
                self._door = Door(_C(address), address)
            return self._door

    def _compile(self) -> bytes:
        ahead.compiling(self.name)
        try:
            from . import compiler
        except (
            ImportError
        ) as error:  # for the first kernels the cache was enough: it is too late for NumPy to take over
            raise PellucidError(
                f"The kernel {self.name} is not in the cache yet, and Numba, which compiles it, cannot be loaded: {error}. "
                "Install it again (pip install --force-reinstall numba), or do without kernels: PELLUCID_BACKEND=numpy."
            ) from error
        return compiler.object_code(self.function, self.types)

    def block(self, *arguments: Any) -> bytes:
        """The arguments as the door takes them. They have to be kept as long as the block is used."""
        words = list(arguments)
        for i in self.arrays:
            if not isinstance(words[i], ndarray):
                self.check(i + 1)
            words[i] = id(words[i])
        return self.pack(*words)

    def check(self, wrong: int) -> None:
        """Raise TypeError if a door said which argument is ``wrong``, RuntimeError if the kernel could not do its work."""
        if wrong > 0:
            name = self.function.__code__.co_varnames[wrong - 1]
            raise TypeError(
                f"{self.name} got as {name!r} something else than the array it takes: {self.types[wrong - 1]}."
            )
        if wrong:
            raise RuntimeError(f"{self.name} failed.")

    def __call__(self, *arguments: Any) -> None:
        self.check(self.ready().enter(self.block(*arguments)))


def inline(function: Any = None, *, fastmath: tuple[str, ...] = ()) -> Any:
    """Decorator for functions called by kernels. ``fastmath``: what LLVM may assume about their sums."""
    return Inline(function, frozenset(fastmath)) if function else lambda function: Inline(function, frozenset(fastmath))


def kernel(*types: Type) -> Callable[[Callable], Kernel]:
    """Decorator: a compiled function of arguments of these types, without a result."""
    return lambda function: Kernel(function, types)


def named(name: str) -> Callable[[Callable], Callable]:
    """Decorator for a function made by a factory: gives it a name of its own, under which its machine code is kept."""

    def rename(function: Callable) -> Callable:
        function.__name__ = function.__qualname__ = name
        return function

    return rename


def array_of(x: Any) -> np.ndarray:
    """``x`` as the kernels want it: float32, C-contiguous, aligned, in this machine's byte order."""
    if type(x) is ndarray and x.dtype is _FLOAT32 and (flags := x.flags).c_contiguous and flags.aligned:
        return x  # as nearly always, and five times as quick as ``require``
    return np.require(x, np.float32, ("C", "A"))
