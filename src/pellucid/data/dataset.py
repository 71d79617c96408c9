"""What every source of images becomes: parts of images and labels, and where they came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DataError


@dataclass(frozen=True, eq=False)
class Part:
    """Images and labels of one part of a data set.

    ``x`` has the shape (N, H, W, C) and holds uint8 pixels (float32 for float ``.npz`` data), ``y`` holds N int64
    labels. ``paths`` names the N image files where there are files.

    >>> part = Part(np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 1]))
    >>> len(part), part.take([2, 0]).y.tolist()
    (3, [1, 0])
    """

    x: np.ndarray
    y: np.ndarray
    paths: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "y", np.asarray(self.y, np.int64))
        if self.x.ndim != 4:
            raise DataError(f"Images have the shape {self.x.shape}; wanted (N, H, W, C), channels last.")
        if self.y.shape != (len(self.x),):
            raise DataError(
                f"{len(self.x):,} images come with labels of shape {self.y.shape}; wanted one label per image."
            )

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: Sequence[int] | np.ndarray) -> Part:
        """The images at ``indices``, in this order (a copy)."""
        indices = np.asarray(indices, np.int64)
        paths = None if self.paths is None else tuple(self.paths[i] for i in indices)
        return Part(np.ascontiguousarray(self.x[indices]), self.y[indices], paths)


@dataclass(frozen=True, eq=False)
class Dataset:
    """The parts of a data set with its class names, and what a run records about it.

    ``notes`` are sentences a person should read beside any accuracy; ``fingerprint`` is the SHA-256 of all arrays and
    class names as used; ``provenance`` holds plain JSON types: the files with their checksums, the split, files skipped.
    """

    name: str
    train: Part
    validation: Part | None
    test: Part | None
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    fingerprint: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return self.train.x.shape[1:]

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(part):,} {name}" for name, part in parts_of(self))
        return f"<Dataset {self.name}: {sizes}, images {self.input_shape}, {self.num_classes} classes>"


@dataclass
class Contents:
    """What a reader found, before classes are chosen, images resized and a validation part is split off."""

    train: Part
    validation: Part | None
    test: Part | None
    class_names: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def parts_of(data: Dataset | Contents) -> list[tuple[str, Part]]:
    """The parts there are, as (name, part), the training part first."""
    named = (("train", data.train), ("validation", data.validation), ("test", data.test))
    return [(name, part) for name, part in named if part is not None]


def transform(contents: Contents, function: Callable[[Part], Part]) -> None:
    """Replace every part there is by ``function(part)``."""
    contents.train = function(contents.train)
    contents.validation = None if contents.validation is None else function(contents.validation)
    contents.test = None if contents.test is None else function(contents.test)


def fingerprint(parts: Sequence[tuple[str, Part]], class_names: Sequence[str]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all parts and over the class names.

    >>> part = Part(np.zeros((1, 1, 1, 1), np.uint8), np.array([0]))
    >>> fingerprint([("train", part)], ["a"])[:8] == fingerprint([("train", part)], ["b"])[:8]
    False
    """
    digest = hashlib.sha256("\0".join(class_names).encode())
    for name, part in parts:
        for array in (part.x, part.y):
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def checksum_of_array(array: np.ndarray) -> str:
    """SHA-256 of the bytes of an array."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def check_memory(size: int, what: str) -> None:
    """Refuse, before any allocation, arrays of ``size`` bytes that the memory of this machine cannot hold."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # this system does not say
        return
    if size > 0.8 * memory:
        raise DataError(
            f"{what} take {size / 1e9:,.1f} GB, too much for the {memory / 1e9:.1f} GB of this machine. "
            "Use smaller images (for image files --data.size 64 64) or fewer of them."
        )
