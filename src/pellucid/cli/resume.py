"""``pellucid resume``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from .options import with_settings

# What may change without making it another run: the order of the images and the first weights stay as they were.
_SETTINGS = (
    "backend",
    "threads",
    "data.data_dir",
    "data.verify",
    "training.epochs",
    "training.early_stopping",
    "training.max_time",
    "training.rollback",
    "checkpoint.every_steps",
    "checkpoint.every_seconds",
    "checkpoint.keep",
)


@with_settings(_SETTINGS)
def resume(
    run: str,
    /,
    *,
    accept_other_data: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    report: bool = True,
    **overrides: Any,
) -> int:
    """Go on with a training that was interrupted, or train longer.

    The run continues at its last checkpoint, in its folder, as if nothing had
    happened.

    Examples:

      pellucid resume runs/digits-cnn1_avg-20250131-120000

      pellucid resume runs/digits-cnn1_avg-20250131-120000 --epochs 60

    Parameters
    ----------
    run
        The folder of the run.
    accept_other_data
        Go on although the images are not those the run was begun with.
    report
        Write the page about the run anew at its end, as `pellucid report` does.
    """
    from ..run import resume as go_on
    from .report import at_the_end

    result = go_on(run, overrides, accept_other_data=accept_other_data)
    if report and result.exit_status == 0:
        at_the_end(result.folder)
    return result.exit_status
