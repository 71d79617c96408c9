"""How fast a network trains beside PyTorch: forward, backward and a step of SGD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import PellucidError
from . import networks, timing
from .receipt import Result
from .series import refusal
from .timing import times_x


def measure(
    name: str,
    *,
    batch: int = 64,
    runs: int = 15,
    seconds: float = 0.2,
    bfloat16: bool = False,
    compiled: bool = False,
    input_shape: Sequence[int] | None = None,
    classes: int = 10,
) -> dict[str, Any]:
    """Check and time one network (see ``networks.network``); a row of the result.

    Every one of ``runs`` rounds gives each side as many steps as take the quickest about ``seconds``. ``bfloat16`` lets PyTorch
    compute in that, and adds how pellucid does in it as ``in_bfloat16``; ``compiled`` lets PyTorch take part through
    ``torch.compile`` as well.
    """
    from .pytorch import check, contenders

    model = networks.network(name, input_shape, classes)
    x, y = networks.images(model, batch)
    shape = tuple(model.input_shape or ())
    about = {
        "input_shape": list(shape),
        "parameters": model.count_params(),
        "multiply_adds": model.multiply_adds(shape),
    }
    try:
        errors = check.check(model, x, y)
    except PellucidError as error:  # it differs, or has a layer that PyTorch has not
        return about | {"refused": str(error)}
    ways = contenders.training(model, x, y, bfloat16=bfloat16, compiled=compiled)
    times, calls = timing.interleave(ways, runs, seconds=seconds)
    reduced = times.pop(timing.OURS_IN_BFLOAT16, None)
    compared = timing.compare(times)
    if reduced is not None:
        result = timing.compare(times | {timing.OURS: reduced})
        about["in_bfloat16"] = {
            "milliseconds": result["milliseconds"][timing.OURS],
            "ratio": result["ratio"],
            "quartiles": result["quartiles"],
        }
    rates = {way: round(1e3 * batch / ms["median"]) for way, ms in compared["milliseconds"].items()}
    return about | {"errors": errors, "steps_per_round": calls, **compared, "images_per_second": rates}


def line(row: dict[str, Any]) -> str:
    """A row in a few words."""
    reduced = f", in bfloat16 {times_x(row['in_bfloat16'])}" if "in_bfloat16" in row else ""
    return f"{times_x(row)} of {row['best']}, {row['images_per_second']['pellucid']:,} images/s{reduced}"


def table(result: Result) -> Any:
    """The result as a table."""
    from rich.table import Table

    ways = list(dict.fromkeys(way for row in result["networks"] for way in row.get("milliseconds", {})))
    shown = Table(title=f"Training step, batches of {result['settings']['batch']}: milliseconds")
    shown.add_column("network")
    for heading in (*ways, "quicker than the best by (quartiles)", "img/s"):
        shown.add_column(heading, justify="right")
    for row in result["networks"]:
        if "refused" in row:
            shown.add_row(row["network"], *[""] * len(ways), f"[red]{refusal(row)}")
            continue
        medians = [f"{row['milliseconds'][way]['median']:.2f}" for way in ways]
        shown.add_row(row["network"], *medians, times_x(row), f"{row['images_per_second']['pellucid']:,}")
    return shown
