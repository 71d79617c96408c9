"""``pellucid data list``, ``get``, ``check`` and ``show``."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from .helptext import ShortNames
from .options import with_settings

data = App(name="data", help="List, fetch and examine data sets.", help_format="plaintext", help_formatter=ShortNames())

Folder = Annotated[str | None, Parameter(metavar="FOLDER", show_default=False)]
Switch = Annotated[bool, Parameter(negative=(), show_default=False)]


@data.command(name="list")
def list_(*, data_dir: Folder = None, json: Switch = False) -> int:
    """The official data sets, and which of them are on this machine.

    Example:

      pellucid data list

    Parameters
    ----------
    data_dir
        A folder to look in first; then PELLUCID_DATA and the user's cache.
    json
        Print a JSON list instead of a table.
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from ..data import describe

    rows = describe(data_dir)
    if json:
        print(
            json_.dumps([asdict(row) | {"folder": str(row.folder) if row.folder else None} for row in rows], indent=1)
        )
        return 0
    table = Table()
    for heading in ("name", "images", "size", "classes", "where"):
        table.add_column(heading, justify="left" if heading in ("name", "where") else "right", overflow="fold")
    for row in rows:
        if row.folder:
            where = str(row.folder)
        elif row.embedded:
            where = "built in"
        else:
            where = f"{row.note} To fetch: {row.download / 1e6:.0f} MB".strip()
        size = "x".join(map(str, row.shape))
        table.add_row(row.name, f"{row.train:,} + {row.test:,}", size, str(row.classes), where)
    Console().print(table)
    print("Your own pictures: a folder with one sub-folder per class, an .npz (x, y) or a .csv (path, label).")
    return 0


@data.command
def get(name: str, /, *, data_dir: Folder = None, verify: bool = True) -> int:
    """Fetch an official data set, unless it is here, and verify it.

    Example:

      pellucid data get mnist

    Parameters
    ----------
    name
        See `pellucid data list`.
    data_dir
        Where to look for it and put it; else PELLUCID_DATA, else the user's cache.
    verify
        Refuse files whose checksum is not the published one.
    """
    from ..data import get as fetch

    folder = fetch(name, data_dir, verify=verify)
    print(f"{name} is built in." if folder is None else f"{name} is in {folder}")
    return 0


_READING = (
    "seed",
    "data.data_dir",
    "data.verify",
    "data.validation_split",
    "data.test_part",
    "data.size",
    "data.channels",
    "data.on_bad_image",
    "data.classes",
)


@data.command
@with_settings(_READING)
def check(source: str, /, *, json: Switch = False, **overrides: Any) -> int:
    """Examine a data set: parts, classes, duplicates, unreadable files.

    Examples:

      pellucid data check digits

      pellucid data check photos/ --on-bad-image skip

    Parameters
    ----------
    source
        A data set by name or path.
    json
        Print a JSON object instead of words.
    """
    from ..config import make
    from ..data import check as examine

    config = make({"data.source": source} | overrides)
    settings = config.data.model_dump(exclude={"source", "seed", "download"})
    report = examine(source, seed=config.seed, **settings)
    if json:
        print(json_.dumps(report.to_dict(), default=str))
        return 0
    parts = ", ".join(f"{count:,} {part}" for part, count in report.parts.items())
    print(f"{report.name}: {parts}; images {'x'.join(map(str, report.shape))} {report.dtype}")
    numbers = {part: dict(zip(report.class_names, counts, strict=True)) for part, counts in report.class_counts.items()}
    for name in report.class_names:
        print(f"  {name}: " + ", ".join(f"{counts[name]:,} {part}" for part, counts in numbers.items()))
    print(
        f"Mean {_rounded(report.mean)}, standard deviation {_rounded(report.std)}; fingerprint {report.fingerprint[:16]}"
    )
    for note in (*report.notes, *report.warnings):
        print(f"  {note}")
    return 0


@data.command
@with_settings((*_READING, "training.augment"))
def show(
    source: str,
    /,
    *,
    out: Annotated[Path, Parameter(metavar="FILE")] = Path("samples.png"),
    images: Annotated[int, Parameter(metavar="N")] = 8,
    **overrides: Any,
) -> int:
    """Draw training images, a row for every class; or how augmentation changes them.

    With --augment a row shows one image as it is and as the network will see
    it in each of the first epochs: a training with the same seed sees exactly
    these.

    Examples:

      pellucid data show cifar10

      pellucid data show cifar10 --augment flip,crop:4,cutout:8 --out augmented.png

    Parameters
    ----------
    source
        A data set by name or path.
    out
        The picture to write: .png, .svg, .pdf or .jpg.
    images
        How many images a row shows.
    """
    from ..config import make
    from ..data import load
    from ..run.showing import save_samples

    config = make({"data.source": source} | overrides)
    settings = config.data.model_dump(exclude={"source", "seed", "download"})
    dataset = load(source, download=False, seed=config.seed, **settings)
    print(save_samples(dataset, out, augmentation=config.training.augment, images=images, seed=config.seed))
    return 0


def _rounded(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
