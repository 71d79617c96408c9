"""Your own data as arrays: ``.npz`` files with images and labels."""

from __future__ import annotations

import math
import sys
import zipfile
from pathlib import Path

import numpy as np

from ...errors import DataError
from ..dataset import Contents, Part, check_memory
from ..locate import MOST_DEFLATE_CAN_DO, looks_like_html

_KEYS = {"train": ("x", "y"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}
_MAX_CLASSES = 100_000


def read_npz(path: Path) -> Contents:
    """Read ``x`` and ``y``, optionally ``x_val``, ``y_val``, ``x_test``, ``y_test`` and ``class_names``.

    Images are (N, H, W, C), or (N, H, W) for one channel. What their numbers mean is decided by one rule, on all parts
    together: uint8, and other integers from 0 to 255, are pixels and become uint8; floats from 0 to 1 are pixels too and
    become float32 from 0 to 255, the units of an image file; any other numbers are measurements, kept as float32 as they
    are. ``Preprocessing.fit`` brings each of them to mean 0 and deviation 1.

    Labels are whole numbers from 0, or names. Pickled objects are never read.

    Raises
    ------
    DataError
        the file is damaged or holds objects, an array is missing or has the wrong shape, NaN or infinity in the images,
        labels out of range, or a number of labels that is not that of the images.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "tiny.npz"
    >>> np.savez(path, x=np.zeros((2, 4, 4)), y=["cat", "dog"])
    >>> contents = read_npz(path)
    >>> contents.class_names, contents.train.x.shape, contents.train.y.tolist()
    (('cat', 'dog'), (2, 4, 4, 1), [0, 1])
    """
    arrays = _arrays(path)
    images = {part: _images(arrays[x], f"{path}: {x}") for part, (x, _) in _KEYS.items() if x in arrays}
    labels = {part: arrays[y] for part, (_, y) in _KEYS.items() if y in arrays}
    for part, (x, y) in _KEYS.items():
        if (part in images) != (part in labels):
            raise DataError(f"{path} has {x if part in images else y} but not the other of {x} and {y}. Save both.")
    if "train" not in images:
        raise DataError(
            f"{path} has the arrays {', '.join(sorted(arrays)) or 'none'}; wanted x (images) and y (labels), such as from "
            "np.savez('data.npz', x=x, y=y)."
        )
    for part in images:
        if images[part].shape[1:] != images["train"].shape[1:]:
            raise DataError(
                f"{path}: the {part} images are {images[part].shape[1:]}, the training images "
                f"{images['train'].shape[1:]}. All parts want the same size."
            )
    notes = _common_units(images)
    numbers, names = _numbered(labels, {part: len(x) for part, x in images.items()}, arrays.get("class_names"), path)
    parts = {part: Part(images[part], numbers[part]) for part in images}
    return Contents(parts["train"], parts.get("validation"), parts.get("test"), names, notes)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    known = {name for keys in _KEYS.values() for name in keys} | {"class_names"}
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {name: _array(archive, info, path) for name, info in members.items() if name in known}
    except DataError:
        raise
    except Exception as error:  # a damaged file fails anywhere inside
        what = "a web page" if looks_like_html(path) else "damaged, truncated or no .npz file"
        raise DataError(f"{path} is {what} ({error}). Save it again with np.savez.") from error


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    # The header is read first: it says how much memory the array takes, and whether it holds pickled objects.
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise DataError(
            f"{path}: {info.filename} holds Python objects, which are never unpickled because that may run anything. "
            "Save plain arrays: all images of one size, labels as numbers or text."
        )
    size, at_most = math.prod(shape) * dtype.itemsize, MOST_DEFLATE_CAN_DO * path.stat().st_size
    if size > min(info.file_size, at_most):
        raise DataError(
            f"{path}: {info.filename} claims {size:,} bytes, more than there can be in the file. It is damaged."
        )
    check_memory(size, f"{path}: {info.filename}")
    with archive.open(info) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
    if array.dtype.kind == "U" and array.size:
        letters = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))).reshape(-1).view(np.uint32)
        if letters.max() > sys.maxunicode:
            raise DataError(f"{path}: {info.filename} holds texts with letters that do not exist. The file is damaged.")
    return array


def _images(x: np.ndarray, what: str) -> np.ndarray:  # (N, H, W, C)
    if x.dtype.kind not in "buif":
        raise DataError(f"{what} holds {x.dtype}; wanted numbers: uint8 pixels, or floats.")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.size == 0:
        raise DataError(f"{what} has the shape {x.shape}; wanted (N, H, W, C) or (N, H, W), with at least one image.")
    if x.shape[1] in (1, 3, 4) and x.shape[3] > 4 and x.shape[2] > 4:
        raise DataError(
            f"{what} has the shape {x.shape}, which looks like channels first. Wanted (N, H, W, C): "
            "save x.transpose(0, 2, 3, 1)."
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int((~np.isfinite(x).all(axis=(1, 2, 3))).sum())
        raise DataError(f"{what} has NaN or infinite values in {bad:,} of {len(x):,} images. Repair or remove them.")
    return x


def _common_units(images: dict[str, np.ndarray]) -> list[str]:
    """Apply the rule of :func:`read_npz` to all parts, in place; returns notes."""
    if all(x.dtype == np.uint8 for x in images.values()):
        return []
    low = min(float(x.min()) for x in images.values())
    high = max(float(x.max()) for x in images.values())
    kinds = {x.dtype.kind for x in images.values()}
    if len({kind in "f" for kind in kinds}) > 1:
        listed = ", ".join(f"{_KEYS[part][0]} {x.dtype}" for part, x in images.items())
        raise DataError(
            f"The parts hold different kinds of numbers: {listed}. Save all parts in the same units and type."
        )
    if kinds == {"b"} or ("f" in kinds and low >= 0 and high <= 1):
        note = f"images: {low:g} to {high:g}, taken as pixels and multiplied by 255."
        for part, x in images.items():
            images[part] = x.astype(np.float32) * np.float32(255)
    elif "f" not in kinds and low >= 0 and high <= 255:
        note = f"images: whole numbers from {low:g} to {high:g}, taken as pixels."
        for part, x in images.items():
            images[part] = x.astype(np.uint8)
    elif max(-low, high) > float(np.finfo(np.float32).max):
        raise DataError(
            f"The images hold numbers from {low:g} to {high:g}, too large for float32. Scale them down first."
        )
    else:
        note = f"images: numbers from {low:g} to {high:g}, taken as measurements (not in the units of an image file)."
        for part, x in images.items():
            images[part] = x.astype(np.float32)
    return [note]


def _numbered(
    labels: dict[str, np.ndarray], counts: dict[str, int], class_names: np.ndarray | None, path: Path
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels as int64 from 0 and the names of the classes."""
    names = None if class_names is None else [str(name) for name in np.ravel(class_names)]
    if names is not None and len(set(names)) < len(names):
        raise DataError(f"{path}: class_names has a name twice. Each class wants its own.")
    flat = {part: _flat(y, counts[part], f"{path}: {_KEYS[part][1]}") for part, y in labels.items()}
    if all(y.dtype.kind == "U" for y in flat.values()):
        names = sorted(set(flat["train"].tolist())) if names is None else names
        numbers = {name: number for number, name in enumerate(names)}
        strangers = sorted({name for y in flat.values() for name in y.tolist()} - set(names))
        if strangers:
            raise DataError(
                f"{path}: the labels {', '.join(strangers[:10])} are no classes of the training part ({', '.join(names)})."
            )
        return {part: np.array([numbers[name] for name in y.tolist()], np.int64) for part, y in flat.items()}, tuple(
            names
        )
    if any(y.dtype.kind == "U" for y in flat.values()):
        raise DataError(f"{path}: some parts have names as labels, others numbers. Use the same kind in all.")
    low, high = min(int(y.min()) for y in flat.values()), max(int(y.max()) for y in flat.values())
    known = len(names) if names is not None else min(int(flat["train"].max()) + 1, counts["train"], _MAX_CLASSES)
    if low < 0 or high >= known:
        what = (
            f"the {known:,} names in class_names"
            if names is not None
            else f"the {known:,} classes of the training part"
        )
        raise DataError(f"{path}: labels run from {low:,} to {high:,}; wanted 0 to {known - 1:,}, for {what}.")
    if low > 0 and names is None:
        raise DataError(f"{path}: labels run from {low:,} to {high:,}; wanted a start at 0. Subtract {low}: y - {low}.")
    return {part: y.astype(np.int64) for part, y in flat.items()}, tuple(names or map(str, range(known)))


def _flat(y: np.ndarray, n: int, what: str) -> np.ndarray:  # (N,)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        hint = " One-hot labels become numbers with y.argmax(axis=1)." if y.ndim == 2 else ""
        raise DataError(f"{what} has the shape {y.shape}; wanted (N,), one label per image.{hint}")
    if len(y) != n:
        raise DataError(
            f"{what} has {len(y):,} labels for {n:,} images. Wanted one label per image, in the same order."
        )
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", errors="replace")
    if y.dtype.kind not in "biufU":
        raise DataError(f"{what} holds {y.dtype}; wanted whole numbers from 0, or names.")
    if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.rint(y)).all()):
        raise DataError(f"{what} holds fractions or NaN; wanted whole numbers from 0, or names.")
    return y
