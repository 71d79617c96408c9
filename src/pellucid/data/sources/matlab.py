"""Arrays of numbers in MATLAB 5 files, as SVHN comes in; every length is compared with what is there before it is believed.

A file is a header of 128 bytes and a sequence of elements: a type, a length, the content, filled up to a multiple of 8. An
element may be packed with zlib. A matrix is an element of elements: flags, the shape, the name, the numbers.
SciPy reads far more kinds, and can be made to crash by damaged files. Source: MathWorks, "MAT-File Format", chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Container, Iterator

import numpy as np

from ...errors import DataError
from ..locate import MOST_DEFLATE_CAN_DO

_NUMBERS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
_CLASSES = {6: "<f8", 7: "<f4", 8: "i1", 9: "u1", 10: "<i2", 11: "<u2", 12: "<i4", 13: "<u4", 14: "<i8", 15: "<u8"}
_MATRIX, _PACKED, _COMPLEX = 14, 15, 0x0800
_MOST_AXES = 8


def read_matrices(content: bytes, wanted: Container[str], most: int) -> dict[str, np.ndarray]:
    """The matrices of real numbers with the ``wanted`` names; others are passed over. None takes more than ``most`` bytes.

    Raises
    ------
    DataError
        with words for the middle of a sentence, if the content is cut off, damaged, or of another kind.
    """
    if content[:19] != b"MATLAB 5.0 MAT-file" or content[126:128] != b"IM":
        raise DataError("is not a MATLAB 5 file of a little-endian machine")
    found: dict[str, np.ndarray] = {}
    for kind, element in _elements(memoryview(content)[128:]):
        if kind == _PACKED:
            unpack = zlib.decompressobj()
            limit = min(most + 1024, MOST_DEFLATE_CAN_DO * len(element) + 1024)
            try:
                unpacked = unpack.decompress(element, limit)
            except zlib.error as error:
                raise DataError(f"cannot be unpacked ({error})") from error
            if not unpack.eof:
                raise DataError("is cut off, or unpacks to more than it can hold")
            kind, element = next(_elements(memoryview(unpacked)), (0, memoryview(b"")))
        if kind == _MATRIX:
            name, array = _matrix(element, wanted, most)
            if name in found:
                raise DataError(f"has the variable {name} twice")
            if array is not None:
                found[name] = array
    return found


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(type, content) of the elements that follow one another; short ones have both in their first 8 bytes."""
    while len(data) >= 8:
        kind, size = struct.unpack_from("<II", data)
        if kind >> 16:  # up to 4 bytes: the length stands in the upper half of the type
            kind, size, start, end = kind & 0xFFFF, kind >> 16, 4, 8
        else:
            start, end = 8, 8 + (size if kind == _PACKED else -(-size // 8) * 8)
        if size > len(data) - start:
            raise DataError("is cut off inside an element")
        yield kind, data[start : start + size]
        data = data[end:]


def _matrix(element: memoryview, wanted: Container[str], most: int) -> tuple[str, np.ndarray | None]:
    """Name and numbers of a matrix; None for the numbers of one that is not wanted."""
    parts = _elements(element)
    try:
        (_, flags), (_, sides), (_, letters) = next(parts), next(parts), next(parts)
        flag = struct.unpack_from("<I", flags)[0]
        shape = struct.unpack(f"<{len(sides) // 4}i", sides)
    except (StopIteration, struct.error):
        raise DataError("is damaged: a matrix has no name or shape") from None
    name = bytes(letters).decode("latin1")
    if name not in wanted:
        return name, None
    if flag & 0xFF not in _CLASSES or flag & _COMPLEX:
        raise DataError(f"is of another kind: {name} does not hold real numbers")
    dtype = np.dtype(_CLASSES[flag & 0xFF])
    count = math.prod(shape)
    if not 2 <= len(shape) <= _MOST_AXES or min(shape) < 0 or count * dtype.itemsize > most:
        raise DataError(f"is refused: {name} claims the shape {shape}")
    kind, numbers = next(parts, (0, memoryview(b"")))
    if kind not in _NUMBERS or len(numbers) != count * np.dtype(_NUMBERS[kind]).itemsize:
        raise DataError(f"is damaged: {name} has not as many numbers as its shape {shape} says")
    with np.errstate(invalid="ignore"):
        return name, np.frombuffer(numbers, _NUMBERS[kind]).astype(dtype).reshape(shape, order="F")
