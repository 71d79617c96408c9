"""Object files made part of this process, for Linux on x86-64.

An object file is a list of *sections*: code, constants, and tables about them. A *symbol* is a name for a place in a section, or
for a function of another library. A *relocation* is a place where the address of a symbol has to be written as soon as it is
known. Code for a process that is already running may have to lie anywhere, so LLVM writes all addresses in full, and one kind of
relocation is enough.

LLVM could do this itself, on every system (``machine`` asks it where this file does not know what to do), but it takes forty
megabytes of memory, as much as Python, NumPy and a small network together.

Source: "System V application binary interface", chapters 4 and 5, and the supplement for AMD64.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import struct
from typing import Any, NamedTuple

START = b"\x7fELF\x02\x01\x01"  # 64 bits, the lowest byte first
RELOCATABLE, X86_64 = 1, 62  # what kind of file, for which CPU
CONTENT, SYMBOLS, RELOCATIONS = 1, 2, 4  # kinds of sections
LOADED = 2  # the flag of a section that is needed to run
ADDRESS = 1  # the kind of relocation: all 64 bits of an address
READ, EXECUTE = 1, 4  # what memory may be used for


class Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int  # in the file
    size: int
    link: int  # of symbols: the section with their names
    target: int  # of relocations: the section that they change
    alignment: int
    entry: int


class Symbol(NamedTuple):
    name: int  # where it begins among the names
    kind: int
    visibility: int
    section: int  # 0 for what another library has
    value: int  # where it is in its section
    size: int


class Relocation(NamedTuple):
    offset: int
    kind: int
    symbol: int
    more: int  # to be added to the address


class _File:
    """An object file and the memory it is loaded into."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        if not code.startswith(START) or struct.unpack_from("<HH", code, 16) != (RELOCATABLE, X86_64):
            raise ValueError("not an object file of this kind")
        (table,), (count,) = struct.unpack_from("<Q", code, 40), struct.unpack_from("<H", code, 60)
        self.sections = [Section(*row) for row in struct.iter_unpack("<IIQQQQIIQQ", code[table : table + 64 * count])]
        (symbols,) = (s for s in self.sections if s.kind == SYMBOLS)
        self.symbols = [Symbol(*row) for row in struct.iter_unpack("<IBBHQQ", self.content(symbols))]
        self.names = self.content(self.sections[symbols.link])
        self.places, end = {}, 0  # of the sections in memory
        for i, section in enumerate(self.sections):
            if section.kind == CONTENT and section.flags & LOADED:
                self.places[i] = end + -end % section.alignment
                end = self.places[i] + section.size
        self.memory = mmap.mmap(-1, end)
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))

    def content(self, section: Section) -> bytes:
        return self.code[section.offset : section.offset + section.size]

    def name(self, symbol: Symbol) -> str:
        return self.names[symbol.name : self.names.index(0, symbol.name)].decode()

    def address(self, symbol: Symbol) -> int:
        """Where a symbol is, in this memory or in the C library."""
        if symbol.section:
            return self.start + self.places[symbol.section] + symbol.value
        return ctypes.cast(_c_library()[self.name(symbol)], ctypes.c_void_p).value or 0

    def load(self) -> None:
        """Fill the memory, and let it be run instead of written to."""
        for i, place in self.places.items():
            self.memory[place : place + self.sections[i].size] = self.content(self.sections[i])
        for section in self.sections:
            if section.kind == RELOCATIONS and section.target in self.places:
                for row in struct.iter_unpack("<QIIq", self.content(section)):
                    relocation = Relocation(*row)
                    if relocation.kind != ADDRESS:
                        raise ValueError("a relocation of another kind")
                    address = self.address(self.symbols[relocation.symbol]) + relocation.more
                    struct.pack_into("<Q", self.memory, self.places[section.target] + relocation.offset, address)
        if _c_library().mprotect(ctypes.c_void_p(self.start), ctypes.c_size_t(len(self.memory)), READ | EXECUTE):
            raise OSError("memory that may not be run")


_loaded: list[_File] = []  # code stays where it is as long as the process lives


def load(code: bytes, functions: list[str]) -> list[int]:
    """The addresses of these functions of an object file; an empty list if this is not a file that can be loaded here."""
    try:
        file = _File(code)
        places = {file.name(symbol): file.address(symbol) for symbol in file.symbols if symbol.section in file.places}
        addresses = [places[name] for name in functions]
        file.load()
    except (AttributeError, LookupError, OSError, TypeError, ValueError, struct.error):
        return []
    _loaded.append(file)
    return addresses


@functools.cache
def _c_library() -> Any:
    return ctypes.CDLL(None)
