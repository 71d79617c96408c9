"""The machine the kernels run on, and the way from LLVM's assembly language to functions on it.

LLVM is loaded only to make machine code.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import PellucidError
from . import cache, objects

FLOAT_BYTES = 4
ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18  # a system call, and what to ask it for
OBJECT_FILES = b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\x64\x86", b"\x64\xaa"  # how they begin on Linux, macOS and Windows


class Vectors(NamedTuple):
    """The vector unit of a CPU."""

    lanes: int  # float32 numbers in one register
    registers: int  # how many registers a tile may take


# SSE has 16, one of them for products that are still to be added
_PLANS = {16: Vectors(16, 32), 8: Vectors(8, 16), 4: Vectors(4, 15), 1: Vectors(1, 16)}
# NEON has 32, but LLVM keeps up to four broadcast numbers ready, and stored accumulators of taller tiles in between
_NEON = Vectors(4, 29)


@functools.cache
def cpu() -> str:
    """Everything about this CPU that machine code depends on: on Linux as its kernel says it, elsewhere as LLVM does."""
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        found = re.findall(r"(?m)^(?:vendor_id|cpu family|model|stepping|flags|CPU \w+|Features)\s*:.*", first)
        if found:
            return "\n".join(found)
    import llvmlite.binding as llvm

    return (
        f"{llvm.get_host_cpu_name()}: {' '.join(name for name, there in llvm.get_host_cpu_features().items() if there)}"
    )


@functools.cache
def features() -> frozenset[str]:
    """What this CPU can do: ``avx512f``, ``fma``, …; the names are those that Linux and LLVM have in common."""
    return frozenset(cpu().split())


@functools.cache
def vectors() -> Vectors:
    """The vector unit of this CPU; ``PELLUCID_VECTOR_LANES`` (1, 4, 8, 16) chooses another width, for tests."""
    forced = os.environ.get("PELLUCID_VECTOR_LANES", "")
    if forced:
        if forced not in map(str, _PLANS):
            raise PellucidError(f"PELLUCID_VECTOR_LANES was {forced!r}; wanted 1, 4, 8 or 16.")
        return _PLANS[int(forced)]
    if platform.machine().lower() in ("aarch64", "arm64"):
        return _NEON  # which belongs to every 64-bit ARM
    for lanes, wanted in ((16, {"avx512f", "avx512vl"}), (8, {"avx2", "fma"}), (4, {"sse2"})):
        if wanted <= features():
            return _PLANS[lanes]
    return _PLANS[1]


@functools.cache
def multiplies_bfloat16(unit: str) -> bool:
    """Whether this CPU has this unit, ``"amx"`` or ``"avx512"``, and this process may use it: Linux wants to be asked for AMX."""
    if vectors().lanes != 16:
        return False
    if unit == "amx":
        return {"amx_tile", "amx_bf16", "avx512_bf16"} <= features() and _allowed_tiles()
    return bool({"avx512_bf16", "avx512bf16"} & features())


def is_amd() -> bool:
    """Whether AMD made this CPU, by what Linux or LLVM calls it."""
    return "AuthenticAMD" in cpu() or cpu().startswith("znver")


def _allowed_tiles() -> bool:
    """Ask the operating system for the tiles; it gives them to all threads, also to those that are there."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    numbers = map(ctypes.c_long, (ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA))
    return ctypes.CDLL(None).syscall(*numbers) == 0


@functools.cache
def target() -> Any:
    """LLVM's compiler for this CPU."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, reloc="default",
        codemodel="jitdefault", jit=True,
    )  # fmt: skip


def machine_code(assembly: str) -> bytes:
    """LLVM assembly compiled to an object file for this CPU. The code comes as it should run: nothing is unrolled or inlined."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(assembly)
    module.verify()
    return target().emit_object(module)


def load(name: str, key: str, make: Callable[[], bytes], functions: list[str]) -> list[int]:
    """The addresses of these functions in an object file: the one that the cache holds under this key, else ``make()``."""
    words = f"{key} {cpu()}".encode()
    code = cache.read_cache(name, words)
    addresses = _addresses(code, functions) if code else []
    if not addresses:
        code = make()
        cache.write_cache(name, words, code)
        addresses = _addresses(code, functions)
    if not addresses:
        raise RuntimeError(f"There are not all functions in the machine code of {name!r}.")
    return addresses


def _addresses(code: bytes, functions: list[str]) -> list[int]:
    """Make an object file part of this process; an empty list if that is not what it is."""
    return objects.load(code, functions) or _load_with_llvm(code, functions)


@functools.cache
def _engine() -> Any:
    import llvmlite.binding as llvm

    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), target())


def _load_with_llvm(code: bytes, functions: list[str]) -> list[int]:
    if not code.startswith(OBJECT_FILES):
        return []  # LLVM would end the process
    import llvmlite.binding as llvm

    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    addresses = [engine.get_function_address(function) for function in functions]
    return addresses if all(addresses) else []


def assemble(name: str, assembly: str, functions: list[str]) -> list[int]:
    """Compile LLVM assembly, or take it from the cache, and return the addresses of these functions of it."""
    return load(name, assembly, lambda: machine_code(assembly), functions)
