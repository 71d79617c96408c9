"""CIFAR-10 and CIFAR-100 in their python version: loose batch files, or straight out of the official archive.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html. A row of a batch is an image, its 1024 red, 1024 green and 1024 blue pixels.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...errors import DataError, nearest
from ..catalogue import CIFAR10_TEST, CIFAR10_TRAIN, CIFAR100_TEST, CIFAR100_TRAIN, Source
from ..dataset import Contents, Part
from ..locate import Found, Layout, looks_like_html
from .pickles import read_pickle

TEST_PARTS = ("official", "data_batch_5")
_MAX_FILE = 256 << 20  # the largest official file, the training part of CIFAR-100, has 155 MB
_MAX_UNPACKED = 320 << 20  # the largest official archive, that of CIFAR-100, unpacks to 187 MB


def needed_layouts(source: Source, test_part: str) -> Sequence[Layout]:
    """The layouts of a CIFAR source that hold what ``test_part`` needs (``data_batch_5`` needs no ``test_batch``)."""
    if test_part not in TEST_PARTS:
        raise DataError(f"{test_part!r} is no test part of {source.name}. {nearest(str(test_part), TEST_PARTS)}")
    if test_part == "official":
        return source.layouts
    if source.name != "cifar10":
        raise DataError(f"test_part='data_batch_5' belongs to cifar10; {source.name} has the official test part only.")
    loose, packed = source.layouts
    return (loose[: len(CIFAR10_TRAIN)], packed)


def read(source: Source, found: Found, *, test_part: str) -> Contents:
    """Read the files of CIFAR-10 or CIFAR-100 into uint8 (N, 32, 32, 3) and labels."""
    fine = source.name == "cifar100"
    train_names = [file.name for file in ((CIFAR100_TRAIN,) if fine else CIFAR10_TRAIN)]
    test_name = (CIFAR100_TEST if fine else CIFAR10_TEST).name
    if test_part == "data_batch_5":
        *train_names, test_name = train_names
    wanted = [*train_names, test_name]
    if found.files[0][0].name.endswith(".tar.gz"):
        folder = "cifar-100-python" if fine else "cifar-10-batches-py"
        members = read_members(found.files[0][1], [f"{folder}/{name}" for name in wanted])
        blobs = {name: members[f"{folder}/{name}"] for name in wanted}
    else:
        blobs = {}
    notes: list[str] = []
    parts: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in wanted:
        blob = blobs.pop(name) if blobs else _read_file(found.folder / name)
        x, y, label = read_batch(blob, name, len(source.class_names))
        parts[name] = (x, y)
        expected = 50_000 if name == CIFAR100_TRAIN.name else 10_000
        if len(y) != expected:
            kind = "test" if name == test_name else "training"
            notes.append(
                f"{kind}: {name} holds {len(y):,} of the {expected:,} official images ({label or 'no label'})."
            )
    train = Part(
        np.concatenate([parts[name][0] for name in train_names]),
        np.concatenate([parts[name][1] for name in train_names]),
    )
    return Contents(train, None, Part(*parts[test_name]), source.class_names, notes)


def read_batch(data: bytes, name: str, num_classes: int) -> tuple[np.ndarray, np.ndarray, str]:
    """The images (N, 32, 32, 3), labels (N,) and label text of one CIFAR file."""
    batch = read_pickle(data, name)
    pixels = batch.get("data")
    labels = batch.get("labels", batch.get("fine_labels"))
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != 3072:
        shape = pixels.shape if isinstance(pixels, np.ndarray) else None
        raise DataError(f"{name} is no CIFAR file: its data have the shape {shape}, wanted (N, 3072).")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(pixels):
        count = len(labels) if isinstance(labels, list) else "no"
        raise DataError(f"{name} is damaged: {len(pixels):,} images come with {count} labels.")
    y = np.array(labels, np.int64)
    if len(y) == 0:
        raise DataError(f"{name} holds no images.")
    if y.min() < 0 or y.max() >= num_classes:
        raise DataError(f"{name} is damaged: labels from {y.min()} to {y.max()}, wanted 0 to {num_classes - 1}.")
    x = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
    label = batch.get("batch_label", b"")
    return np.ascontiguousarray(x), y, label.decode("latin1") if isinstance(label, bytes) else ""


def count_images(path: Path) -> str:
    """A remark for the error about a file that differs: how many images it holds."""
    _, y, label = read_batch(_read_file(path), path.name, 100)
    return f"{len(y):,} images, labelled {label!r}"


def read_members(archive: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    """The contents of the named regular files of a ``.tar.gz``; nothing is ever written to the disk.

    Raises
    ------
    DataError
        the archive is damaged or larger than any official one, or a member is missing, a link, or there twice.
    """
    contents: dict[str, bytes] = {}
    try:
        with gzip.open(archive) as packed, tarfile.open(fileobj=_Limited(packed, archive), mode="r|") as tar:
            for member in tar:
                if not 0 <= member.size <= _MAX_UNPACKED:
                    raise DataError(
                        f"{archive} is refused: its member {member.name} claims {member.size:,} bytes; no official archive "
                        f"unpacks to more than {_MAX_UNPACKED:,} bytes. Get it from the official source."
                    )
                if member.name not in wanted:
                    continue
                file = tar.extractfile(member) if member.isreg() else None
                if file is None or member.name in contents or member.size > _MAX_FILE:
                    raise DataError(
                        f"{archive} is refused: its member {member.name} is a link, there twice, or too large. "
                        "Get the archive from the official source."
                    )
                contents[member.name] = file.read()
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        hint = " (it looks like a web page)" if looks_like_html(archive) else ""
        raise DataError(
            f"{archive} is damaged, truncated or no tar.gz archive{hint} ({error}). Remove it and get it again."
        ) from error
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise DataError(f"{archive} lacks {', '.join(missing)}. Get the archive from the official source.")
    return contents


_PATIENCE = 1000  # reads beyond the end


class _Limited(io.RawIOBase):
    """A stream that refuses to unpack more than any official archive holds."""

    def __init__(self, stream: gzip.GzipFile, name: Path) -> None:
        self._stream, self._name, self._left, self._beyond = stream, name, _MAX_UNPACKED, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(f"{self._name} is refused: it unpacks to more than {_MAX_UNPACKED:,} bytes.")
        self._beyond += not data and size != 0
        if self._beyond > _PATIENCE:  # tarfile is on its way to a place that a header has made up
            raise DataError(f"{self._name} is cut off, or claims more than it holds. Get it again.")
        return data


def _read_file(path: Path) -> bytes:
    if path.stat().st_size > _MAX_FILE:
        raise DataError(f"{path} is refused: {path.stat().st_size:,} bytes, more than any official file has.")
    return path.read_bytes()
