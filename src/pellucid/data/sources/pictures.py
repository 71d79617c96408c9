"""Image files with labels, decoded into parts: what folders and tables of pictures have in common."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ...errors import DataError
from ...preprocessing import image_info, read_image
from ..dataset import Contents, Part, check_memory

ON_BAD_IMAGE = ("error", "skip")
_SHOWN = 20  # so many files are named in a message; the rest is counted

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """An image file, the part it belongs to ("train", "validation", "test") and its class."""

    path: Path
    part: str
    label: str


def read_pictures(
    pictures: Sequence[Picture],
    *,
    where: str,
    size: tuple[int, int] | None,
    channels: int | None,
    on_bad_image: str,
    class_names: Sequence[str] | None = None,
) -> Contents:
    """Decode image files into uint8 parts (N, H, W, C).

    Without ``size`` all images must have the same; without ``channels`` it is 1 when every image is grey, else 3.
    ``class_names`` gives the order of the classes; without it they are in alphabetical order.

    Raises
    ------
    DataError
        unreadable files (all are named; with ``on_bad_image="skip"`` they are left out and noted), images of different
        sizes, classes that only the validation or test part has, a class left without training images, or more pixels
        than the memory of the machine holds.
    """
    if on_bad_image not in ON_BAD_IMAGE:
        raise DataError(f"on_bad_image is {on_bad_image!r}; it is 'error' or 'skip'.")
    _check_labels(pictures, where)
    infos = _in_parallel(image_info, [picture.path for picture in pictures])
    bad = [info for info in infos if isinstance(info, DataError)]
    good = [(picture, info) for picture, info in zip(pictures, infos, strict=True) if not isinstance(info, DataError)]
    if not good:
        raise _unreadable(bad, where)
    if channels is None:
        channels = max(channels for _, (_, _, channels) in good)
    if size is None:
        sizes = [(height, width) for _, (height, width, _) in good]
        # With unreadable files to complain of, the rest is decoded only to find them all.
        size = sizes[0] if bad and on_bad_image == "error" else _common_size(sizes, where)
    shape = (len(good), *size, channels)
    check_memory(math.prod(shape), f"{where}: {len(good):,} images of {shape[1:]}")
    x = np.empty(shape, np.uint8)

    def decode(i: int) -> None:
        x[i] = read_image(good[i][0].path, size=size, channels=channels)

    outcomes = _in_parallel(decode, range(len(good)))
    bad += [outcome for outcome in outcomes if isinstance(outcome, DataError)]
    if bad and on_bad_image == "error":
        raise _unreadable(bad, where)
    kept = [i for i, outcome in enumerate(outcomes) if not isinstance(outcome, DataError)]
    notes = [f"{len(bad):,} unreadable image files are skipped:{_listed(bad)}"] if bad else []
    contents = _parts([good[i][0] for i in kept], x if len(kept) == len(x) else x[kept], pictures, class_names, where)
    contents.notes, contents.skipped = notes, [str(error) for error in bad]
    return contents


def _parts(
    kept: Sequence[Picture], x: np.ndarray, pictures: Sequence[Picture], class_names: Sequence[str] | None, where: str
) -> Contents:
    """Sort decoded pictures into their parts; every class of ``pictures`` must still have a training image."""
    labels = {picture.label for picture in pictures if picture.part == "train"}
    gone = labels - {picture.label for picture in kept if picture.part == "train"}
    if gone:
        raise DataError(
            f"{where}: no readable training image is left of {', '.join(sorted(gone))}. "
            "Repair the images, or remove the class."
        )
    names = tuple(sorted(labels) if class_names is None else class_names)
    numbers = {name: number for number, name in enumerate(names)}
    whole = Part(
        x, np.array([numbers[picture.label] for picture in kept]), tuple(str(picture.path) for picture in kept)
    )
    parts: dict[str, Part] = {}
    for part in ("train", "validation", "test"):
        mine = [i for i, picture in enumerate(kept) if picture.part == part]
        if mine:
            parts[part] = whole if len(mine) == len(kept) else whole.take(mine)
    return Contents(parts["train"], parts.get("validation"), parts.get("test"), names)


def _check_labels(pictures: Sequence[Picture], where: str) -> None:
    labels = {picture.label for picture in pictures if picture.part == "train"}
    strangers = sorted({picture.label for picture in pictures} - labels)
    if strangers:
        part = next(picture.part for picture in pictures if picture.label == strangers[0])
        raise DataError(
            f"{where}: {', '.join(map(repr, strangers))} in the {part} part is no class of the training part, which has "
            f"{', '.join(sorted(labels)) or 'none'}. Use the same class names in every part."
        )


def _in_parallel(function: Callable[..., T], items: Sequence) -> list[T | DataError]:
    """The results of a function, in order; an image that cannot be read gives its error. Pillow decodes outside the GIL."""

    def attempt(item: object) -> T | DataError:
        try:
            return function(item)
        except DataError as error:
            return error

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(attempt, items))


def _unreadable(bad: Sequence[DataError], where: str) -> DataError:
    return DataError(
        f"{where}: {len(bad):,} image files cannot be read:{_listed(bad)}\n"
        "Repair or remove them, or leave them out with on_bad_image='skip' (--data.on-bad-image skip)."
    )


def _listed(bad: Sequence[DataError]) -> str:
    more = f"\n  and {len(bad) - _SHOWN:,} more" if len(bad) > _SHOWN else ""
    return "".join(f"\n  {error}" for error in bad[:_SHOWN]) + more


def _common_size(sizes: Sequence[tuple[int, int]], where: str) -> tuple[int, int]:
    counts = Counter(sizes).most_common()
    (height, width), _ = counts[0]
    if len(counts) == 1:
        return height, width
    listed = ", ".join(f"{height} x {width} ({count:,})" for (height, width), count in counts[:5])
    more = f" and {len(counts) - 5:,} other sizes" if len(counts) > 5 else ""
    raise DataError(
        f"{where}: the images have different sizes, height x width: {listed}{more}. A network wants one: choose it with "
        f"size=({height}, {width}) (--data.size {height} {width}), and every image is resized to it."
    )
