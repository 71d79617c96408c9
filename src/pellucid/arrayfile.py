"""Arrays and texts in one safetensors file: written as a whole, verified when read. Nothing in it can run.

The format (https://huggingface.co/docs/safetensors) is the length of a header, the header as JSON, the bytes of the arrays.
Any program that knows it can read these files; the ``checksum`` among the texts is looked at by this one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import FileFormatError, PellucidError
from .files import write_atomically

MAX_HEADER = 64 * 2**20  # bytes; a history of a hundred thousand epochs fits
CHECKSUM = "checksum"
_TYPES = {"f2": "F16", "f4": "F32", "f8": "F64", "b1": "BOOL"} | {
    f"{kind}{size}": f"{letter}{8 * size}" for kind, letter in (("i", "I"), ("u", "U")) for size in (1, 2, 4, 8)
}


def write(path: str | os.PathLike[str], arrays: Mapping[str, NDArray], texts: Mapping[str, str]) -> None:
    """Write one file, atomically. The free space is looked at first: a full disk costs nothing then.

    Raises
    ------
    OSError
        as the file system reports it; the file that was there before stays.
    """
    path = Path(path)
    pieces = encode(arrays, texts)
    size = sum(map(len, pieces))
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, f"No space left on device: {size:,} bytes needed", str(path))

    def fill(temporary: Path) -> None:
        with open(temporary, "wb", buffering=0) as file:
            for left in pieces:
                while left:  # a signal, or a limit of the system, may end a write early
                    left = left[file.write(left) :]

    write_atomically(path, fill)


def encode(arrays: Mapping[str, NDArray], texts: Mapping[str, str]) -> list[memoryview]:
    """The bytes of a file, as pieces one after another; those of contiguous arrays are the arrays' own.

    The library's own writer takes twice as long, as it makes a copy of everything first, and hides what the system says.
    """
    texts = {key: text for key, text in texts.items() if key != CHECKSUM}  # that of another file, if there is one
    plain = {name: _little_endian(array) for name, array in arrays.items()}
    for name, array in plain.items():
        if array.dtype.str[1:] not in _TYPES:
            raise PellucidError(
                f"The array {name} holds {array.dtype}, which cannot be kept in a file; wanted numbers."
            )
    names = sorted(plain, key=lambda name: (-plain[name].itemsize, name))  # so that every array is aligned
    header: dict[str, object] = {"__metadata__": {**texts, CHECKSUM: checksum(plain, texts)}}
    end = 0
    for name in names:
        array = plain[name]
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _TYPES[array.dtype.str[1:]],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return [memoryview(struct.pack("<Q", len(head)) + head), *(_bytes(plain[name]) for name in names)]


def read(path: str | os.PathLike[str], *, checked: bool = False) -> tuple[dict[str, str], dict[str, NDArray]]:
    """The texts and the arrays of a file, compared with its checksum; with ``checked`` a file must have one.

    Raises
    ------
    FileFormatError
        if the file is missing, cut off, damaged or none. No more memory is taken than a few times the size of the file, and
        none before its header has been compared with its length.
    """
    from safetensors.numpy import load

    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or not 2 <= header_size <= min(size - 8, MAX_HEADER):
                raise FileFormatError(
                    f"{path} has {size:,} bytes without a valid header: it is cut off or another file."
                )
            if size > memory() // 2:
                raise FileFormatError(f"{path} is {size:,} bytes long, too much for the memory of this computer.")
            file.seek(0)
            data = file.read(size)
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        arrays = load(data)  # checks that the arrays fill the file exactly, before it makes any
        texts = json.loads(data[8 : 8 + header_size]).get("__metadata__") or {}
        if not all(isinstance(value, str) for value in texts.values()):
            raise TypeError("texts that are none")
        wanted = texts.pop(CHECKSUM, None)
        found = wanted and checksum(arrays, texts)
    except Exception as error:  # whatever a hostile header makes the reader raise: it is the file's fault
        raise FileFormatError(f"{path} is damaged or another file: {error!s:.200}.") from error
    if found != wanted or (checked and not wanted):
        raise FileFormatError(f"{path} is damaged: its content does not match its checksum.")
    return texts, arrays


def checksum(arrays: Mapping[str, NDArray], texts: Mapping[str, str]) -> str:
    """A short text that changes when a name, a shape, a type, a number or a text changes. It finds damage, not deceit.

    >>> checksum({"w": np.zeros(3)}, {}) == checksum({"w": np.zeros(3, np.float32)}, {})
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(texts):
        digest.update(f"{len(name)} {name} {len(texts[name])} {texts[name]}".encode())
    for name in sorted(arrays):
        array = arrays[name]
        sum_of_bytes = zlib.crc32(_bytes(array))  # five times as fast as the digest
        digest.update(f"\n{len(name)} {name} {array.dtype.str} {array.shape} {sum_of_bytes}".encode())
    return digest.hexdigest()


def _little_endian(array: NDArray) -> NDArray:
    array = np.asarray(array, order="C")
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _bytes(array: NDArray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def memory() -> int:
    """The bytes of memory this computer has, as far as it says."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not POSIX
        return 16 * 2**30
