"""``pellucid bench``."""

from __future__ import annotations

import json as json_
from typing import Annotated, Literal

from cyclopts import Parameter


def bench(
    *,
    model: Annotated[str, Parameter(metavar="NAME")] = "cnn2",
    backend: Literal["native", "numpy", "both"] = "both",
    batch_size: Annotated[int, Parameter(metavar="N")] = 64,
    input_shape: Annotated[tuple[int, int, int], Parameter(metavar="H W C", negative_iterable=())] = (32, 32, 3),
    classes: Annotated[int, Parameter(metavar="N")] = 10,
    seconds: Annotated[float, Parameter(metavar="X")] = 3.0,
    threads: Annotated[int | None, Parameter(metavar="N", show_default=False)] = None,
    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
) -> int:
    """Measure training and prediction in images per second.

    On random images, after a first batch that is timed apart (the kernels may
    have to be compiled). The figure is the median over the batches, the range
    that of the slowest and the fastest tenth.

    Examples:

      pellucid bench

      pellucid bench --model resnet8 --backend native --seconds 10 --json

    Parameters
    ----------
    model
        A network of the zoo, a TOML file of layers, a model file or a run folder.
    backend
        Compiled kernels, NumPy alone, or one after the other.
    batch_size
        Images a step.
    input_shape
        Height, width and channels of the images, for a network that is not trained yet.
    classes
        The number of classes, for a network of the zoo.
    seconds
        How long each of the figures is measured.
    threads
        Threads of the compiled kernels; without it, all cores.
    json
        Print a JSON list instead of a table.
    """
    from rich.console import Console
    from rich.table import Table

    from ..run.measure import measure

    backends = ("native", "numpy") if backend == "both" else (backend,)
    results = measure(
        model,
        backends,
        batch_size=batch_size,
        input_shape=input_shape,
        classes=classes,
        seconds=seconds,
        threads=threads,
    )
    if json:
        print(json_.dumps([result._asdict() for result in results], indent=1))
        return 0
    threads = next((result.threads for result in results if result.threads), None)
    table = Table(
        title=f"{model}, batches of {batch_size}, {results[0].cpu}{f', {threads} threads' if threads else ''}",
        title_justify="left",
    )
    table.add_column("backend")
    table.add_column("task")
    for heading in ("images/s", "slow … fast tenth", "GFLOP/s", "first batch"):
        table.add_column(heading, justify="right")
    for r in results:
        spread = f"{r.slow:,.0f} … {r.fast:,.0f}"
        table.add_row(
            r.backend,
            r.task,
            f"{r.images_per_second:,.0f}",
            spread,
            f"{r.gflops:.1f}",
            f"{r.first_batch_seconds:.2f} s",
        )
    Console().print(table)
    print(
        "GFLOP/s count 2 operations per multiply-add forward, 6 in training: what the network asks for, not what was run."
    )
    return 0
