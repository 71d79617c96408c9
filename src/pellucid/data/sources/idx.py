"""MNIST and Fashion-MNIST: IDX files, packed with gzip or not.

An IDX file is a header (two zero bytes, the type of a value, the number of axes, the length of each axis as a big-endian
32-bit number) and the values. Source: http://yann.lecun.com/exdb/mnist/, "THE IDX FILE FORMAT".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ...errors import DataError
from ..catalogue import Source
from ..dataset import Contents, Part
from ..locate import MOST_DEFLATE_CAN_DO, Found, looks_like_html

_MAX_VALUES = 1 << 30


def read(source: Source, found: Found) -> Contents:
    """Read the four IDX files of a data set into uint8 (N, H, W, 1) and labels."""
    arrays = [read_idx(path, axes=3 if i % 2 == 0 else 1) for i, (_, path) in enumerate(found.files)]
    notes: list[str] = []
    parts = []
    for i, expected in ((0, source.train), (2, source.test)):
        (x, y), path = arrays[i : i + 2], found.files[i + 1][1]
        if len(x) != len(y):
            raise DataError(
                f"{path} holds {len(y):,} labels for {len(x):,} images. One of the two files is not the right one."
            )
        if x.shape[1:] != source.shape[:2] or len(y) == 0:
            raise DataError(
                f"{found.files[i][1]} holds {x.shape} pixels, wanted (N, {source.shape[0]}, {source.shape[1]})."
            )
        if y.max() >= len(source.class_names):
            raise DataError(f"{path} holds labels up to {y.max()}, wanted 0 to {len(source.class_names) - 1}.")
        if len(y) != expected:
            kind = "training" if i == 0 else "test"
            notes.append(f"{kind}: {path.name} holds {len(y):,} of the {expected:,} official images.")
        parts.append(Part(x[..., None], y))
    return Contents(parts[0], None, parts[1], source.class_names, notes)


def read_idx(path: Path, *, axes: int) -> np.ndarray:
    """The uint8 array in an IDX file; ``axes`` is the number of axes it must have.

    Raises
    ------
    DataError
        the file is truncated, a web page, of another type, or its header does not agree with its length. What the header
        claims is compared with the size of the file before any memory is taken.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels"
    >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 1]))
    >>> read_idx(path, axes=1).tolist()
    [7, 1]
    """
    packed = path.name.endswith(".gz")
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            return _read(cast(BinaryIO, file), path, axes, path.stat().st_size * (MOST_DEFLATE_CAN_DO if packed else 1))
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        what = "a web page, not data: the download went wrong"
        if not looks_like_html(path):
            what = f"damaged or truncated ({error})"
        raise DataError(f"{path} is {what}. Remove it and get it again.") from error


def _read(file: BinaryIO, path: Path, axes: int, at_most: int) -> np.ndarray:
    header = file.read(4 + 4 * axes)
    if header[:4] != bytes([0, 0, 8, axes]):
        what = (
            "a web page"
            if header.lstrip()[:1] == b"<"
            else f"a file that starts with {header[:4].hex(' ') or 'nothing'}"
        )
        raise DataError(
            f"{path} is {what}; an IDX file of bytes with {axes} axes starts with 00 00 08 {axes:02x}. "
            "Remove it and get it again."
        )
    if len(header) < 4 + 4 * axes:
        raise DataError(f"{path} is truncated inside its header. Remove it and get it again.")
    shape = struct.unpack(f">{axes}I", header[4:])
    count = math.prod(shape)
    if count > min(at_most, _MAX_VALUES):
        raise DataError(f"{path} is refused: its header claims {count:,} values {shape}, more than the file can hold.")
    data = file.read(count + 1)
    if len(data) != count:
        amount = f"only {len(data):,}" if len(data) < count else "more"
        raise DataError(
            f"{path} is damaged: its header claims {count:,} values {shape}, it holds {amount}. Get it again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape).copy()  # writable, unlike the bytes
