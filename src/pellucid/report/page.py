"""From what was collected to the file."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PellucidError
from ..files import write_text
from .answers import percent
from .collect import Report, collect

if TYPE_CHECKING:
    from jinja2 import Template

FILE_NAME = "report.html"


def write_report(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    images: int = 6,
    overrides: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of the run in the folder ``run``; returns its path, by default ``RUN/report/report.html``.

    The run may be unfinished, have no test part, or have lost its data: the page says what is missing. ``images`` answers are
    explained; ``overrides`` are settings of the data by dotted names, such as ``{"data.data_dir": "data"}``.

    Raises
    ------
    PellucidError
        if ``run`` is no run folder.
    OSError
        as the file system reports it.
    """
    target = None if out is None else Path(out).expanduser()
    if target is not None and target.is_dir():
        raise PellucidError(f"{target} is a folder; name a file, such as {target / FILE_NAME}.")
    report = collect(run, images=images, overrides=overrides)
    path = target or report.record.folder.report / FILE_NAME
    if target is None:
        path.parent.mkdir(exist_ok=True)
    write_text(path, render(report))
    return path


def render(report: Report) -> str:
    """The page. Everything from the run is escaped; the only script that may run is the page's own, by its checksum."""
    from markupsafe import Markup

    folder = files("pellucid.report") / "templates"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    checksum = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(r=report, style=Markup(style), script=Markup(script), script_checksum=checksum)


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pellucid.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "count": "{:,}".format, "duration": duration}
    return environment.get_template("report.html")


def duration(seconds: float) -> str:
    """Seconds for reading.

    >>> duration(2.93), duration(75), duration(5000)
    ('2.9 s', '1 min 15 s', '1 h 23 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
