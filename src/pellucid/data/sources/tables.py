"""Your own data in one file: ``.csv`` lists of image paths and labels."""

from __future__ import annotations

import csv
from pathlib import Path

from ...errors import DataError
from ..dataset import Contents
from .folder import PART_NAMES
from .pictures import Picture, read_pictures

_SHOWN = 20


def read_csv(file: Path, *, size: tuple[int, int] | None, channels: int | None, on_bad_image: str) -> Contents:
    """Read a CSV file with the columns ``path``, ``label`` and optionally ``split`` (train, val, test; empty is train).

    A path is absolute or relative to the CSV file. Labels are names: classes are numbered alphabetically, or by value when
    every label is a whole number. Columns are separated by commas, semicolons or tabs, whichever the first line has.

    Raises
    ------
    DataError
        missing columns, rows without path or label, unknown split names, files that do not exist (all are named), and
        what :func:`pellucid.data.sources.pictures.read_pictures` refuses.
    """
    rows = _rows(file)
    pictures = [_picture(row, line, file) for line, row in rows]
    missing = [
        (line, f"{picture.path!s:.300}")
        for (line, _), picture in zip(rows, pictures, strict=True)
        if not _is_file(picture.path)
    ]
    if missing:
        shown = "".join(f"\n  line {line}: {path}" for line, path in missing[:_SHOWN])
        more = f"\n  and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
        raise DataError(
            f"{file}: {len(missing):,} of {len(pictures):,} files do not exist:{shown}{more}\n"
            f"Paths are relative to {file.parent.resolve()}. Correct or remove these lines."
        )
    labels = {picture.label for picture in pictures if picture.part == "train"}
    return read_pictures(
        pictures,
        where=str(file),
        size=size,
        channels=channels,
        on_bad_image=on_bad_image,
        class_names=sorted(labels, key=int) if all(map(_is_whole_number, labels)) else sorted(labels),
    )


def _rows(file: Path) -> list[tuple[int, dict[str, str]]]:
    """(line number, {column: value}) of every row that is not empty."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            header = stream.readline()
            separator = max(",;\t", key=header.count)
            columns = [name.strip().lower() for name in next(csv.reader([header], delimiter=separator), [])]
            if "path" not in columns or "label" not in columns:
                raise DataError(
                    f"{file} has the columns {', '.join(columns) or 'none'}; wanted path, label and optionally split. "
                    "Name them in the first line."
                )
            reader = csv.DictReader(stream, fieldnames=columns, delimiter=separator)
            rows = [(reader.line_num + 1, row) for row in reader if any(row.values())]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} is not a CSV file in UTF-8 ({error}). Save it as one.") from error
    if not rows:
        raise DataError(f"{file} has no rows. Add a line with a path and a label for every image.")
    return rows


def _picture(row: dict[str, str], line: int, file: Path) -> Picture:
    path, label, split = ((row.get(column) or "").strip() for column in ("path", "label", "split"))
    if not path or not label:
        raise DataError(
            f"{file}, line {line}: the {'label' if path else 'path'} is missing. Fill it in, or remove the line."
        )
    part = PART_NAMES.get(split.lower() or "train")
    if part is None:
        raise DataError(f"{file}, line {line}: split is {split!r}; wanted train, val or test (empty means train).")
    return Picture(file.parent / path, part, label)


def _is_whole_number(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, for example
        return False
