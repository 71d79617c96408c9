"""``pellucid report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..errors import PellucidError
from .options import with_settings

_SETTINGS = ("backend", "threads", "data.data_dir", "data.verify", "data.download", "data.on_bad_image")


@with_settings(_SETTINGS)
def report(
    run: str,
    /,
    *,
    out: Annotated[Path | None, Parameter(metavar="FILE", show_default=False)] = None,
    images: Annotated[int, Parameter(metavar="N")] = 6,
    **overrides: Any,
) -> int:
    """Write what there is to see of a run into one HTML file.

    Curves, scores, what was taken for what with the images, right and wrong
    answers, what the network looked at, its filters and layers, and how to
    repeat it. The file needs no network and no other file; every browser
    opens it. A run that was interrupted, or has no test part, has a report
    too: it says what is missing.

    Examples:

      pellucid report runs/digits-cnn1_avg-20250131-120000

      pellucid report runs/mine --out mine.html --images 12

    Parameters
    ----------
    run
        The folder of the run.
    out
        Where the page goes; without it, report/report.html in the folder of the run.
    images
        How many answers are explained: about half of them mistakes.
    """
    from ..report import write_report

    print(f"Report:   {write_report(run, out, images=images, overrides=overrides)}")
    return 0


def at_the_end(folder: Path | None) -> None:
    """The report of a training that has come to its end; that none can be written does not make the training a failure."""
    if folder is None:
        return
    from ..report import write_report
    from ..run.words import say_aloud

    try:
        say_aloud(f"Report:   {write_report(folder)}")
    except (PellucidError, OSError, MemoryError) as error:
        say_aloud(f"The report could not be written: {error}")
