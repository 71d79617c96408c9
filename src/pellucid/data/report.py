"""What there is, where it is, and whether it is sound: behind ``pellucid data list``, ``get`` and ``check``."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, nearest
from ..preprocessing import Preprocessing
from . import locate
from .catalogue import SOURCES
from .dataset import Part, parts_of
from .load import load, read_official


@dataclass(frozen=True)
class Description:
    """One official data set: what it is and where it was found. ``folder`` is None when it is not on this machine.

    ``shape`` is (H, W, C); ``download`` counts the bytes to fetch; ``note`` says what is missing from a folder that holds
    only some of the files.
    """

    name: str
    title: str
    classes: int
    shape: tuple[int, int, int]
    train: int
    test: int
    licence: str
    homepage: str
    download: int
    folder: Path | None
    embedded: bool
    note: str = ""

    @property
    def available(self) -> bool:
        return self.embedded or self.folder is not None


@dataclass(frozen=True)
class Report:
    """What :func:`check` found. ``parts`` maps the name of a part to its number of images, ``class_counts`` to the number
    of images of each class; ``mean`` and ``std`` are those of the training pixels, in their own units; ``duplicates``
    counts images of the validation and test part that are also, pixel for pixel, in the training part; ``warnings`` are
    sentences about what should be looked at."""

    name: str
    shape: tuple[int, int, int]
    dtype: str
    class_names: tuple[str, ...]
    parts: dict[str, int]
    class_counts: dict[str, list[int]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    duplicates: dict[str, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    files: list[dict[str, Any]]
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)


def describe(data_dir: str | os.PathLike[str] | None = None) -> list[Description]:
    """A row for every official data set, in the order of :func:`pellucid.data.names`. Nothing is read or downloaded.

    >>> [row.name for row in describe() if row.embedded]
    ['digits']
    """
    folders = locate.search_folders(data_dir)
    rows = []
    for source in SOURCES.values():
        found = locate.find(source, source.layouts, folders)
        missing = [] if found else locate.missing_pieces(source, source.layouts, folders)
        rows.append(
            Description(
                name=source.name,
                title=source.title,
                classes=len(source.class_names),
                shape=source.shape,
                train=source.train,
                test=source.test,
                licence=source.licence,
                homepage=source.homepage,
                download=sum(file.size or 0 for file in source.downloads),
                folder=found.folder if found else None,
                embedded=not source.layouts,
                note=" ".join(missing),
            )
        )
    return rows


def get(name: str, data_dir: str | os.PathLike[str] | None = None, *, verify: bool = True) -> Path | None:
    """Make sure an official data set is on this machine and sound; returns its folder (None for embedded digits).

    Files found in ``data_dir``, ``PELLUCID_DATA`` or the user's cache folder are verified; files found nowhere are
    downloaded into the first of these that is set.

    Raises
    ------
    DataError
        an unknown name, no mirror within reach, or files that are not the official ones.
    """
    source = SOURCES.get(str(name).lower().replace("-", "_"))
    if source is None:
        raise DataError(f"{name!r} is no official data set. {nearest(str(name), SOURCES)}")
    read_official(source, data_dir=data_dir, verify=verify, download=True, test_part="official")
    found = locate.find(source, source.layouts, locate.search_folders(data_dir))
    return found.folder if found else None


def check(source: str | os.PathLike[str], **settings: Any) -> Report:
    """Load a data set (``settings`` as for :func:`pellucid.data.load`; nothing is downloaded unless asked) and look at it.

    Raises
    ------
    DataError
        as :func:`pellucid.data.load` does.

    >>> report = check("digits")
    >>> report.parts, report.duplicates
    ({'train': 1294, 'validation': 144, 'test': 359}, {'validation': 0, 'test': 0})
    """
    dataset = load(source, **({"download": False} | settings))
    counts = {name: np.bincount(part.y, minlength=dataset.num_classes).tolist() for name, part in parts_of(dataset)}
    seen = Counter(_digests(dataset.train))
    duplicates = {
        name: sum(digest in seen for digest in _digests(part)) for name, part in parts_of(dataset) if name != "train"
    }
    warnings = [
        f"{number:,} images of the {name} part are also in the training part."
        for name, number in duplicates.items()
        if number
    ]
    repeated = sum(number - 1 for number in seen.values())
    if repeated:
        warnings.append(f"{repeated:,} training images are there more than once.")
    most, fewest = max(counts["train"]), min(counts["train"])
    if most > 10 * max(fewest, 1):
        warnings.append(f"The largest class has {most:,} training images, the smallest {fewest:,}.")
    statistics = Preprocessing.fit(dataset.train.x)
    return Report(
        name=dataset.name,
        shape=dataset.input_shape,
        dtype=str(dataset.train.x.dtype),
        class_names=dataset.class_names,
        parts={name: len(part) for name, part in parts_of(dataset)},
        class_counts=counts,
        mean=tuple(value / statistics.scale for value in statistics.mean),
        std=tuple(value / statistics.scale for value in statistics.std),
        duplicates=duplicates,
        notes=dataset.notes,
        warnings=tuple(warnings),
        files=dataset.provenance["files"],
        fingerprint=dataset.fingerprint,
    )


def _digests(part: Part) -> list[bytes]:
    return [hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in part.x]
