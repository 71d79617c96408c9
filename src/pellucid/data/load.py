"""One function from the name of a data set, or a path to your own, to its parts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, nearest
from ..preprocessing import convert_images
from . import locate
from .catalogue import SOURCES, Source
from .dataset import Contents, Dataset, Part, checksum_of_array, fingerprint, parts_of, transform
from .split import stratified_split

OFFICIAL_VALIDATION = 10_000
OWN_VALIDATION = 0.1


def load(
    source: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    verify: bool = True,
    download: bool = True,
    validation_split: float | int | None = None,
    test_part: str = "official",
    seed: int = 0,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    on_bad_image: str = "error",
    classes: Sequence[str] | None = None,
) -> Dataset:
    """Load a data set by name, or your own by path.

    Parameters
    ----------
    source
        A name (``pellucid.data.names()``); or a folder of class folders, optionally inside train/, val/ and test/; an
        ``.npz`` file with ``x`` and ``y`` (optionally ``x_val``, ``y_val``, ``x_test``, ``y_test``, ``class_names``);
        a ``.csv`` file with the columns ``path``, ``label`` and optionally ``split``. A name wins over a folder of the
        same name; write ``./mnist`` for the folder.
    data_dir
        Where official files are looked for first; then ``PELLUCID_DATA``, then the user's cache folder.
    verify
        Refuse official files whose checksum is not the published one.
    download
        Fetch official files found nowhere, into ``data_dir``, ``PELLUCID_DATA`` or the user's cache folder.
    validation_split
        How much of the training part becomes the validation part, stratified and drawn by ``seed``: a fraction (float),
        a number of images (int), 0 for none. ``None``: 10,000 images of an official set, 10 % of digits and of your own
        data, nothing where your data bring their own validation part.
    test_part
        ``"official"``, or for cifar10 ``"data_batch_5"``: train on data_batch_1 to 4, test on the fifth.
    size, channels
        (height, width) and 1 or 3: give every image this size and these channels (see ``read_image``).
    on_bad_image
        ``"error"`` or ``"skip"`` for image files that cannot be read; either way each is named.
    classes
        Keep only these classes, numbered in this order.

    Raises
    ------
    DataError
        for everything that is wrong with names, files or labels, saying what to do about it.

    >>> load("digits")
    <Dataset digits: 1,294 train, 144 validation, 359 test, images (8, 8, 1), 10 classes>
    """
    official = SOURCES.get(str(source).lower().replace("-", "_"))
    if official is not None:
        name = official.name
        contents = read_official(official, data_dir=data_dir, verify=verify, download=download, test_part=test_part)
    else:
        path = own_path(source)
        name = path.name
        if test_part != "official":
            raise DataError(f"test_part={test_part!r} belongs to cifar10; your own data bring their own test part.")
        contents = read_own(path, size=size, channels=channels, on_bad_image=on_bad_image)
    if classes is not None:
        _choose_classes(contents, classes)
    _check(contents, name)
    _convert(contents, size, channels)
    indices = _split(contents, validation_split, seed=seed, official=official is not None and name != "digits")
    provenance: dict[str, Any] = {
        "source": name if official is not None else str(source),
        "test_part": test_part,
        "files": contents.files,
        "skipped": contents.skipped,
        "split": indices,
    }
    return Dataset(
        name=name,
        train=contents.train,
        validation=contents.validation,
        test=contents.test,
        class_names=contents.class_names,
        notes=tuple(contents.notes),
        fingerprint=fingerprint(parts_of(contents), contents.class_names),
        provenance=provenance,
    )


def read_official(
    source: Source, *, data_dir: str | os.PathLike[str] | None, verify: bool, download: bool, test_part: str
) -> Contents:
    """Find (or fetch), verify and read an official data set."""
    from .sources import cifar, digits, idx, svhn

    is_cifar = source.name.startswith("cifar")
    if test_part != "official" and not is_cifar:
        raise DataError(f"test_part={test_part!r} belongs to cifar10; {source.name} has the official test part only.")
    if source.name == "digits":
        return digits.read(source)
    layouts = cifar.needed_layouts(source, test_part) if is_cifar else source.layouts
    folders = locate.search_folders(data_dir)
    found = locate.find(source, layouts, folders)
    if found is None and download:
        from .download import fetch

        fetch(source, folders[0])
        found = locate.find(source, layouts, folders)
    if found is None:
        raise DataError(_not_found(source, layouts, folders))
    records, strange = locate.verify(
        source, found, required=verify, look_inside=cifar.count_images if is_cifar else None
    )
    if is_cifar:
        contents = cifar.read(source, found, test_part=test_part)
    elif source.name == "svhn":
        contents = svhn.read(source, found)
    else:
        contents = idx.read(source, found)
    if strange:
        contents.notes.append(f"not verified: {', '.join(strange)} have other checksums than the official files.")
    contents.files = records
    return contents


def read_own(path: Path, *, size: tuple[int, int] | None, channels: int | None, on_bad_image: str) -> Contents:
    """Read a folder of class folders, an ``.npz`` or a ``.csv`` file."""
    from .sources import arrays, folder, tables

    if path.is_dir():
        hint = _official_folder(path)
        if hint is not None:
            raise DataError(
                f"{path} holds the files of {hint}. Load it by its name: {hint} with data_dir={str(path)!r}."
            )
        contents = folder.read(path, size=size, channels=channels, on_bad_image=on_bad_image)
        contents.files = [{"path": str(path), "images": sum(len(part) for _, part in parts_of(contents))}]
    elif path.suffix.lower() == ".npz":
        contents = arrays.read_npz(path)
    elif path.suffix.lower() == ".csv":
        contents = tables.read_csv(path, size=size, channels=channels, on_bad_image=on_bad_image)
    else:
        hint = _official_folder(path.parent)
        if hint is not None:
            raise DataError(
                f"{path} belongs to {hint}. Load it by its name: {hint} with data_dir={str(path.parent)!r}."
            )
        raise DataError(
            f"{path} is not a kind of data that can be read. Wanted: a folder of class folders, an .npz file with x and "
            f"y, a .csv file with path and label, or a name: {', '.join(SOURCES)}."
        )
    if path.is_file():
        contents.files = [
            {
                "path": str(path),
                "size": path.stat().st_size,
                "sha256": locate.checksum(path, "sha256"),
                "official": False,
            }
        ]
    return contents


def own_path(source: str | os.PathLike[str]) -> Path:
    """The existing path that ``source`` means, or an error with the nearest known name."""
    path = Path(source).expanduser()
    if path.exists():
        return path
    text = str(source)
    if isinstance(source, os.PathLike) or "/" in text or os.sep in text or path.suffix or text.startswith("~"):
        parent = path.parent
        what = "its folder does not exist either" if not parent.is_dir() else f"{parent} has no such entry"
        raise DataError(f"{text} does not exist: {what}. Check the path, or use a name: {', '.join(SOURCES)}.")
    raise DataError(
        f"{text!r} is neither a known data set nor a folder or file here. {nearest(text.replace('-', '_'), SOURCES)}"
    )


def _choose_classes(contents: Contents, classes: Sequence[str]) -> None:
    names = [str(name) for name in classes]
    for name in names:
        if name not in contents.class_names:
            raise DataError(f"There is no class {name!r}. {nearest(name, contents.class_names)}")
    if len(set(names)) < len(names):
        raise DataError(f"A class is chosen twice: {', '.join(names)}. Name each once.")
    numbers = np.full(len(contents.class_names), -1, np.int64)
    for number, name in enumerate(names):
        numbers[contents.class_names.index(name)] = number

    def chosen(part: Part) -> Part:
        kept = part.take(np.flatnonzero(numbers[part.y] >= 0))
        return Part(kept.x, numbers[kept.y], kept.paths)

    transform(contents, chosen)
    contents.notes.append(f"classes: only {', '.join(names)}, of {len(contents.class_names):,}.")
    contents.class_names = tuple(names)


def _check(contents: Contents, name: str) -> None:
    present = np.unique(contents.train.y)
    if len(contents.class_names) < 2 or len(present) < 2:
        only = contents.class_names[int(present[0])] if len(present) else "none"
        raise DataError(
            f"{name}: the training images have one class only ({only}). A classifier wants at least two; "
            "add images of another class."
        )
    absent = np.setdiff1d(np.arange(len(contents.class_names)), present)
    if len(absent):
        some = ", ".join(contents.class_names[i] for i in absent[:10])
        contents.notes.append(f"training: no images of {len(absent):,} of the classes ({some}).")


def _convert(contents: Contents, size: tuple[int, int] | None, channels: int | None) -> None:
    def converted(part: Part) -> Part:
        x = convert_images(part.x, size=size, channels=channels)
        return part if x is part.x else Part(x, part.y, part.paths)

    transform(contents, converted)


def _split(contents: Contents, wanted: float | int | None, *, seed: int, official: bool) -> dict[str, Any]:
    """Split the validation part off; returns the record of it."""
    n = len(contents.train)
    record: dict[str, Any] = {"validation_split": wanted, "seed": seed, "train": n, "validation": 0}
    if contents.validation is not None:
        if wanted:
            raise DataError(
                f"validation_split={wanted} was asked for, but the data bring their own validation part of "
                f"{len(contents.validation):,} images. Leave out the one or the other."
            )
        record["validation"] = len(contents.validation)
        return record
    size = wanted
    if size is None:
        size = OFFICIAL_VALIDATION if official and n >= 2 * OFFICIAL_VALIDATION else OWN_VALIDATION
    try:
        rest, part = stratified_split(contents.train.y, size, seed=seed)
    except DataError:
        if wanted is not None:
            raise
        part = np.array([], np.int64)
    if len(part) == 0:
        if size:
            contents.notes.append("validation: none, there are too few training images to split some off.")
        return record
    contents.validation = contents.train.take(part)
    contents.train = contents.train.take(rest)
    contents.notes.append(f"validation: {len(part):,} of the {n:,} training images, stratified, seed {seed}.")
    return record | {"train": len(rest), "validation": len(part), "indices_sha256": checksum_of_array(part)}


def _official_folder(path: Path) -> str | None:
    for source in SOURCES.values():
        if source.layouts and locate.find(source, source.layouts, [path]) is not None:
            return source.name
    return None


def _not_found(source: Source, layouts: Sequence[locate.Layout], folders: Sequence[Path]) -> str:
    partial = locate.missing_pieces(source, layouts, folders)
    where = ", ".join(str(folder) for folder in folders)
    files = ", ".join(file.name for file in source.downloads)
    return (
        f"{source.name} is not on this machine: looked in {where} and the usual sub-folders. "
        + (" ".join(partial) + " " if partial else "")
        + f"Let it be downloaded, name its folder with data_dir (--data-dir) or PELLUCID_DATA, or place {files} from "
        f"{source.homepage} in one of these folders."
    )
