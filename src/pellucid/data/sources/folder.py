"""Your own pictures: a folder with one sub-folder per class, or train/, val/ and test/ folders of such folders."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import DataError, PellucidError
from ...preprocessing import IMAGE_SUFFIXES, image_info, read_image
from ..dataset import Contents, Part, check_memory

PART_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
ON_BAD_IMAGE = ("error", "skip")
_SHOWN = 20  # so many files are named in an error; the rest is counted


@dataclass(frozen=True)
class Picture:
    """An image file, the part it belongs to ("train", "validation", "test") and its class."""

    path: Path
    part: str
    label: str


def read(folder: Path, *, size: tuple[int, int] | None, channels: int | None, on_bad_image: str) -> Contents:
    """Read a folder of class folders. The classes are the names of the folders, in alphabetical order.

    Raises
    ------
    DataError
        see :func:`list_pictures` and :func:`read_pictures`.
    """
    pictures, notes = list_pictures(folder)
    contents = read_pictures(pictures, where=str(folder), size=size, channels=channels, on_bad_image=on_bad_image)
    contents.notes[:0] = notes
    return contents


def list_pictures(folder: Path) -> tuple[list[Picture], list[str]]:
    """Every image file below ``folder`` with its part and class, and notes about files that are left aside.

    Sub-folders of a class folder are searched too; names that start with a dot are not looked at.

    Raises
    ------
    DataError
        no class folders, part folders beside class folders, or a class folder without images.
    """
    children = _subfolders(folder)
    parts = {child: PART_NAMES[child.name.lower()] for child in children if child.name.lower() in PART_NAMES}
    if not parts:
        parts = {folder: "train"}
    elif len(parts) < len(children):
        others = ", ".join(repr(child.name) for child in children if child not in parts)
        named = ", ".join(repr(child.name) for child in parts)
        raise DataError(
            f"{folder} mixes the part folders {named} with {others}. Wanted: either class folders only, or train/ "
            "(and val/, test/) with the class folders inside. Move them, or rename the classes."
        )
    if "train" not in parts.values():
        raise DataError(
            f"{folder} has {', '.join(sorted(parts.values()))} but no train folder. Add train/ with class folders."
        )
    if len(set(parts.values())) < len(parts):
        named = ", ".join(repr(child.name) for child in parts)
        raise DataError(f"{folder} names one part twice: {named}. Keep one folder for each of train, val and test.")
    pictures: list[Picture] = []
    aside = 0
    for part_folder, part in parts.items():
        class_folders = _subfolders(part_folder)
        if not class_folders:
            raise DataError(_no_classes(part_folder))
        aside += sum(1 for path in part_folder.iterdir() if path.is_file() and not path.name.startswith("."))
        for class_folder in class_folders:
            found, others_here = _images_below(class_folder)
            aside += others_here
            if not found and part == "train":
                raise DataError(
                    f"{class_folder} holds no images (known endings: {', '.join(IMAGE_SUFFIXES)}). "
                    "Put images there, or remove the folder."
                )
            pictures += [Picture(path, part, class_folder.name) for path in found]
    notes = (
        [f"{aside:,} files in {folder} are left aside: their place or ending is not that of an image."] if aside else []
    )
    return pictures, notes


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

    Raises
    ------
    DataError
        unreadable files (all are named; with ``on_bad_image="skip"`` they are left out and noted), images of different
        sizes, classes that only the validation or test part has, a class left without training images, or more pixels
        than the memory of the machine holds.
    """
    if on_bad_image not in ON_BAD_IMAGE:
        raise DataError(f"on_bad_image is {on_bad_image!r}; it is 'error' or 'skip'.")
    train_labels = {picture.label for picture in pictures if picture.part == "train"}
    names = sorted(train_labels) if class_names is None else list(class_names)
    strangers = sorted({picture.label for picture in pictures} - train_labels)
    if strangers:
        part = next(picture.part for picture in pictures if picture.label == strangers[0])
        raise DataError(
            f"{where}: {', '.join(map(repr, strangers))} in the {part} part is no class of the training part, which has "
            f"{', '.join(sorted(train_labels)) or 'none'}. Use the same class names in every part."
        )
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        infos = list(pool.map(_try(image_info), (picture.path for picture in pictures)))
        good = [(picture, info) for picture, info in zip(pictures, infos, strict=True) if isinstance(info, tuple)]
        bad = [info for info in infos if not isinstance(info, tuple)]
        if not good:
            _refuse_or_note(bad, where, "error")
            raise DataError(f"{where} holds no images.")
        if size is None and not (bad and on_bad_image == "error"):
            size = _common_size([info[:2] for _, info in good], where)
        if channels is None:
            channels = max(info[2] for _, info in good)
        size = good[0][1][:2] if size is None else size
        check_memory(len(good) * math.prod((*size, channels)), f"{where}: {len(good):,} images of {(*size, channels)}")
        x = np.empty((len(good), *size, channels), np.uint8)

        def decode(i: int) -> DataError | None:
            outcome = _try(read_image)(good[i][0].path, size=size, channels=channels)
            if isinstance(outcome, DataError):
                return outcome
            x[i] = outcome
            return None

        outcomes = list(pool.map(decode, range(len(good))))
    kept = [i for i, outcome in enumerate(outcomes) if outcome is None]
    bad += [outcome for outcome in outcomes if outcome is not None]
    notes = _refuse_or_note(bad, where, on_bad_image)
    numbers = {name: number for number, name in enumerate(names)}
    parts: dict[str, Part | None] = {}
    for part in ("train", "validation", "test"):
        mine = [i for i in kept if good[i][0].part == part]
        y = np.array([numbers[good[i][0].label] for i in mine], np.int64)
        paths = tuple(str(good[i][0].path) for i in mine)
        whole = len(mine) == len(x)
        parts[part] = Part(x if whole else x[mine], y, paths) if mine else None
    train = parts["train"]
    left = set() if train is None else {names[number] for number in train.y}
    if train is None or left != train_labels:
        gone = ", ".join(sorted(train_labels - left))
        raise DataError(
            f"{where}: no readable training image is left of {gone}. Repair the images, or remove the class."
        )
    return Contents(
        train, parts["validation"], parts["test"], tuple(names), notes, skipped=[str(error) for error in bad]
    )


def _try(function):
    def attempt(*args, **settings):
        try:
            return function(*args, **settings)
        except DataError as error:
            return error

    return attempt


def _refuse_or_note(bad: Sequence[PellucidError], where: str, on_bad_image: str) -> list[str]:
    if not bad:
        return []
    shown = [f"  {error}" for error in bad[:_SHOWN]]
    if len(bad) > _SHOWN:
        shown.append(f"  and {len(bad) - _SHOWN:,} more")
    if on_bad_image == "error":
        raise DataError(
            f"{where}: {len(bad):,} image files cannot be read:\n" + "\n".join(shown) + "\n"
            "Repair or remove them, or leave them out with on_bad_image='skip' (--data.on-bad-image skip)."
        )
    return [f"{len(bad):,} unreadable image files are skipped:\n" + "\n".join(shown)]


def _common_size(sizes: Sequence[tuple[int, int]], where: str) -> tuple[int, int]:
    counts = Counter(sizes).most_common()
    if len(counts) == 1:
        return counts[0][0]
    listed = ", ".join(f"{height} x {width} ({count:,})" for (height, width), count in counts[:5])
    more = f" and {len(counts) - 5:,} other sizes" if len(counts) > 5 else ""
    (height, width), _ = counts[0]
    raise DataError(
        f"{where}: the images have different sizes, height x width: {listed}{more}. A network wants one: choose it with "
        f"size=({height}, {width}) (--data.size {height} {width}), and every image is resized to it."
    )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX")))


def _images_below(folder: Path) -> tuple[list[Path], int]:
    images, others = [], 0
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.startswith("."):
                continue
            if name.lower().endswith(IMAGE_SUFFIXES):
                images.append(Path(root, name))
            else:
                others += 1
    return images, others


def _no_classes(folder: Path) -> str:
    images = sum(1 for path in folder.iterdir() if path.name.lower().endswith(IMAGE_SUFFIXES))
    what = f"{images:,} images but no class folders" if images else "no class folders with images"
    return (
        f"{folder} holds {what}. Wanted: one folder per class, such as {folder.name or 'data'}/cat/1.png and "
        f"{folder.name or 'data'}/dog/1.png, optionally inside train/, val/ and test/."
    )
