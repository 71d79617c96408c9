"""Your own pictures: a folder with one sub-folder per class, or train/, val/ and test/ folders of such folders."""

from __future__ import annotations

import os
from pathlib import Path

from ...errors import DataError
from ...preprocessing import IMAGE_SUFFIXES
from ..dataset import Contents
from .pictures import Picture, read_pictures

PART_NAMES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def read(folder: Path, *, size: tuple[int, int] | None, channels: int | None, on_bad_image: str) -> Contents:
    """Read a folder of class folders. The classes are the names of the folders, in alphabetical order.

    Raises
    ------
    DataError
        see :func:`list_pictures` and :func:`pellucid.data.sources.pictures.read_pictures`.
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
