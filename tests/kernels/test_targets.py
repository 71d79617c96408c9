"""What LLVM makes of the hand-written functions for CPUs that this machine is none of."""

from __future__ import annotations

import re
import types
from collections.abc import Callable

import pytest

from pellucid.kernels import machine, moments, simd, simd_bfloat16, transforms, transpose, windows
from pellucid.kernels.assembly import module
from pellucid.kernels.machine import Vectors

llvm = pytest.importorskip("llvmlite.binding")

NEON = Vectors(4, 29)
TARGETS = {
    "64-bit ARM": ("aarch64-unknown-linux-gnu", "generic", NEON, "fmla"),
    "Cortex-A76": ("aarch64-unknown-linux-gnu", "cortex-a76", NEON, "fmla"),
    "Neoverse N1": ("aarch64-unknown-linux-gnu", "neoverse-n1", NEON, "fmla"),
    "Apple": ("arm64-apple-darwin", "apple-m1", NEON, "fmla"),
    "AVX-512": ("x86_64-unknown-linux-gnu", "skylake-avx512", Vectors(16, 32), "vfmadd"),
    "AVX2": ("x86_64-pc-windows-msvc", "haswell", Vectors(8, 16), "vfmadd"),
    "SSE": ("x86_64-unknown-linux-gnu", "x86-64", Vectors(4, 15), "mulps"),
}


class Target:
    def __init__(self, triple: str, cpu: str, unit: Vectors, multiplication: str) -> None:
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        try:
            self.machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
        except RuntimeError as error:
            pytest.skip(f"this LLVM knows no {triple}: {error}")
        self.triple, self.unit, self.multiplication = triple, unit, multiplication

    def parsed(self, text: str) -> object:
        parsed = llvm.parse_assembly(text)
        parsed.triple, parsed.data_layout = self.triple, str(self.machine.target_data)
        parsed.verify()
        return parsed

    def assembly(self, text: str) -> list[str]:
        return self.machine.emit_assembly(self.parsed(text)).splitlines()


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    return Target(*TARGETS[request.param])


def inner_loop(lines: list[str], multiplication: str) -> list[str]:
    """What stands between the label in front of the multiplications and the last of these."""
    places = [n for n, line in enumerate(lines) if multiplication in line]
    labels = [n for n, line in enumerate(lines) if re.match(r"\.?\w+:", line) and n < places[0]]
    return lines[labels[-1] : places[-1] + 1]


@pytest.mark.parametrize("vectors", range(1, simd.MOST_VECTORS + 1))
def test_the_tallest_tile_stays_in_the_registers(target, vectors):
    rows = simd.tallest_tile(target.unit, vectors)
    loop = inner_loop(
        target.assembly(module(target.unit.lanes, [simd.tile(target.unit, rows, vectors)])), target.multiplication
    )
    assert sum(target.multiplication in line for line in loop) == rows * vectors
    on_the_stack = [line for line in loop if re.search(r"\[sp\b|\(%rsp\b", line)]
    assert not [line for line in on_the_stack if re.search(r"\b[dqsv]\d+\b|mm\d+\b", line)]  # a vector, that is


@pytest.mark.parametrize("name", ["aarch64", "arm64", "ARM64"])
def test_every_64_bit_arm_has_such_registers(name, monkeypatch):
    monkeypatch.delenv("PELLUCID_VECTOR_LANES", raising=False)
    monkeypatch.setattr(machine.platform, "machine", lambda: name)
    assert machine.vectors.__wrapped__() == NEON


@pytest.mark.parametrize("table", [simd.tiles, transforms.table, windows.table, transpose.table, moments.table])
def test_every_function_becomes_an_object_file(target, table: Callable, monkeypatch):
    made = types.SimpleNamespace(functions=0)

    def assemble(name: str, text: str, functions: list[str]) -> list[int]:
        symbols = target.machine.emit_object(target.parsed(text))
        for function in functions:
            assert function.encode() in symbols, function
        made.functions += len(functions)
        return list(range(1, len(functions) + 1))

    monkeypatch.setattr(machine, "vectors", lambda: target.unit)
    monkeypatch.setattr(machine, "assemble", assemble)
    table.__wrapped__()  # as it is behind what remembers it
    assert made.functions


@pytest.mark.parametrize(
    ("unit", "cpu", "instruction", "most"),
    [("amx", "sapphirerapids", "tdpbf16ps", 4), ("avx512", "znver4", "vdpbf16ps", 16)],
)
def test_products_of_bfloat16_stay_in_the_registers(unit, cpu, instruction, most):
    target = Target("x86_64-unknown-linux-gnu", cpu, Vectors(16, 32), instruction)
    lines = target.assembly(simd_bfloat16.assembly(unit))
    loop = inner_loop(lines[lines.index("product_2:") :], instruction)
    assert sum(instruction in line for line in loop) >= most
    assert not [line for line in loop if re.search(r"\(%rsp", line) and "mm" in line]
