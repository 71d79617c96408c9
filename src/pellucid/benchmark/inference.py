"""How fast a network answers beside PyTorch: many images, and one alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import PellucidError
from . import networks, timing
from .receipt import Result
from .series import refusal
from .timing import times_x

TOLERANCE = 1e-4  # of probabilities in float32
LEAST_IMAGES = 1000  # of a round


def measure(
    name: str,
    *,
    batch: int = 256,
    images: int = 10_000,
    runs: int = 9,
    seconds: float = 1.2,
    bfloat16: bool = False,
    compiled: bool = False,
    input_shape: Sequence[int] | None = None,
    classes: int = 10,
) -> dict[str, Any]:
    """Check and time one network (see ``networks.network``); a row of the result.

    ``throughput``: ``images`` images in batches. Where a round of all sides would take more than ``seconds``, it has fewer
    images: whole batches, at least 1,000; the row says how many. ``latency``: one image, in three times as many rounds.
    """
    from .pytorch import contenders

    model = networks.network(name, input_shape, classes)
    x, _ = networks.images(model, images)
    model.make_read_only()  # as one that is only asked should be
    row: dict[str, Any] = {"input_shape": list(model.input_shape or ())}
    try:
        ways = contenders.prediction(model, x[:batch], batch)
    except PellucidError as unknown:  # it has a layer that PyTorch has not
        return row | {"refused": str(unknown)}
    answers = [np.asarray(run()) for run in ways.values()]
    error = max(float(np.abs(answer - answers[0]).max()) for answer in answers)
    row["error"] = error
    if not error <= TOLERANCE:
        return row | {"refused": f"the probabilities differ by {error:.1e}"}
    x = x[: images_of_a_round(images, batch, seconds / sum(map(timing.warmed, ways.values())))]
    for task, part, size, rounds in (("throughput", x, batch, runs), ("latency", x[:1], 1, 3 * runs)):
        ways = contenders.prediction(model, part, size, bfloat16=bfloat16, compiled=compiled)
        times, calls = timing.interleave(ways, rounds, seconds=0.05)
        row[task] = {"images": len(part), "calls_per_round": calls} | timing.compare(times)
    return row


def images_of_a_round(images: int, batch: int, batches: float) -> int:
    """How many of the images fit into ``batches`` batches: whole ones, at least a thousand images, or else all.

    >>> [images_of_a_round(10_000, 256, batches) for batches in (0.3, 6.9, 500)], images_of_a_round(300, 256, 1)
    ([1024, 1536, 10000], 300)
    """
    return min(images, batch * max(math.floor(batches), math.ceil(LEAST_IMAGES / batch)))


def line(row: dict[str, Any]) -> str:
    """A row in a few words."""
    return f"{times_x(row['throughput'])} on {row['throughput']['images']:,} images, {times_x(row['latency'])} on one"


def table(result: Result) -> Any:
    """The result as a table."""
    from rich.table import Table

    batch = result["settings"]["batch"]
    shown = Table(title=f"predict in batches of {batch}, and on one image")
    shown.add_column("network")
    headings = (
        "img/s",
        "PyTorch img/s",
        "quicker by (quartiles)",
        "images",
        "one image, ms",
        "PyTorch ms",
        "quicker by",
    )
    for heading in headings:
        shown.add_column(heading, justify="right")
    for row in result["networks"]:
        if "refused" in row:
            shown.add_row(row["network"], f"[red]{refusal(row)}")
            continue
        many, one = row["throughput"], row["latency"]
        rates = [
            f"{1e3 * many['images'] / many['milliseconds'][way]['median']:,.0f}" for way in (timing.OURS, many["best"])
        ]
        waits = [f"{one['milliseconds'][way]['median']:.3f}" for way in (timing.OURS, one["best"])]
        shown.add_row(row["network"], *rates, times_x(many), f"{many['images']:,}", *waits, times_x(one))
    return shown
