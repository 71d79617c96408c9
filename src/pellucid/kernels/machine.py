"""The machine the kernels run on, as LLVM sees it, and the way from LLVM's assembly language to functions on it."""

from __future__ import annotations

import functools
import os
from typing import NamedTuple

import llvmlite.binding as llvm

from ..errors import PellucidError
from . import jit

FLOAT_BYTES = 4


class Vectors(NamedTuple):
    """The vector unit of a CPU."""

    lanes: int  # float32 numbers in one register
    registers: int  # how many registers there are


_PLANS = {16: Vectors(16, 32), 8: Vectors(8, 16), 4: Vectors(4, 16), 1: Vectors(1, 16)}


@functools.cache
def features() -> dict[str, bool]:
    """What this CPU can do, by LLVM's names: ``avx512f``, ``fma``, ``neon``, …"""
    return dict(llvm.get_host_cpu_features())


@functools.cache
def vectors() -> Vectors:
    """The vector unit of this CPU; ``PELLUCID_VECTOR_LANES`` (1, 4, 8, 16) chooses another width, for tests."""
    forced = os.environ.get("PELLUCID_VECTOR_LANES", "")
    if forced:
        if forced not in map(str, _PLANS):
            raise PellucidError(f"PELLUCID_VECTOR_LANES was {forced!r}; wanted 1, 4, 8 or 16.")
        return _PLANS[int(forced)]
    has, architecture = features(), llvm.get_process_triple().split("-")[0]
    if architecture in ("aarch64", "arm64"):
        return Vectors(4, 32)  # NEON belongs to every 64-bit ARM
    if has.get("avx512f") and has.get("avx512vl"):
        return _PLANS[16]
    if has.get("avx2") and has.get("fma"):
        return _PLANS[8]
    if has.get("sse2"):
        return _PLANS[4]
    return _PLANS[1]


@functools.cache
def _target() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    return llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, reloc="default",
        codemodel="jitdefault", jit=True,
    )  # fmt: skip


@functools.cache
def _engine() -> llvm.ExecutionEngine:
    _target()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target())


def machine_code(assembly: str) -> bytes:
    """LLVM assembly compiled to an object file for this CPU. The code comes as it should run: nothing is unrolled or inlined."""
    module = llvm.parse_assembly(assembly)
    module.verify()
    return _target().emit_object(module)


def load(name: str, assembly: str, functions: list[str]) -> list[int]:
    """Compile LLVM assembly, or take it from the cache, and return the addresses of these functions of it."""
    key = repr((assembly, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), llvm.llvm_version_info))
    code = jit.cached(name, key.encode(), lambda: machine_code(assembly))
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    addresses = [engine.get_function_address(function) for function in functions]
    if not all(addresses):
        raise RuntimeError(f"LLVM did not find all functions of {name!r}.")
    return addresses
