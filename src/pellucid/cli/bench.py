"""``pellucid bench``."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from ..errors import PellucidError

USUAL = "cnn2"
Networks = Annotated[
    tuple[str, ...], Parameter(name="--model", metavar="NETWORK", negative_iterable=(), show_default=False)
]
Switch = Annotated[bool, Parameter(negative=(), show_default=False)]
AtLeastOne = Number(gte=1)
Count = Annotated[int | None, Parameter(metavar="N", validator=AtLeastOne, show_default=False)]
Shape = Annotated[
    tuple[int, int, int] | None, Parameter(metavar="H W C", negative_iterable=(), show_default=False)
]  # fmt: skip


def bench(
    models: Networks = (),
    *,
    profile: Switch = False,
    warm_up: Switch = False,
    against: Annotated[Literal["torch"] | None, Parameter(show_default=False)] = None,
    inference: Switch = False,
    backend: Literal["native", "numpy", "both"] = "both",
    batch_size: Annotated[Count, Parameter(("--batch-size", "--batch"))] = None,
    input_shape: Shape = None,
    classes: Annotated[int, Parameter(metavar="N")] = 10,
    seconds: Annotated[float, Parameter(metavar="X")] = 3.0,
    runs: Count = None,
    threads: Count = None,
    json: Annotated[Path | None, Parameter(metavar="FILE", allow_leading_hyphen=True, show_default=False)] = None,
) -> int:
    """Measure how fast networks train and predict: alone, layer by layer, beside PyTorch.

    Plainly: images per second on random images, after a first batch that is
    timed apart (the kernels may have to be compiled). The figure is the median
    over the batches, the range that of the slowest and the fastest tenth.

    Examples:

      pellucid bench

      pellucid bench resnet8 --backend native --seconds 10 --json speed.json

      pellucid bench --profile cnn2 --batch 128

      pellucid bench --warm-up

      pellucid bench --against torch cnn2 resnet20

    Parameters
    ----------
    models
        Networks of the zoo, TOML files of layers, model files or run folders. Without one, cnn2.
    profile
        Take a training step apart: every layer's time, forward and backward, its share of the machine's peak, what limits it.
    warm_up
        Compile the kernels of these networks ahead, into the cache on the disk. Without a network, those of the whole zoo.
    against
        Train the same networks in PyTorch, in turns with pellucid, after checking that both compute the same.
    inference
        With --against, compare predictions instead of training steps.
    backend
        Compiled kernels, NumPy alone, or one after the other.
    batch_size
        Images a step. By default 64, in predictions beside PyTorch 256.
    input_shape
        Height, width and channels of the images, for a network that is not trained yet. By default those it was made for.
    classes
        The number of classes, for a network of the zoo.
    seconds
        How long each of the plain figures is measured.
    runs
        Steps with --profile (by default 10), rounds with --against (by default 15, of predictions 9).
    threads
        Threads of the compiled kernels, and of PyTorch. By default all cores.
    json
        Keep the result in a file; "-" prints it, and sends the tables to stderr.
    """
    asked = [option for option, on in (("profile", profile), ("warm-up", warm_up), ("against", against)) if on]
    if len(asked) > 1:
        raise PellucidError(f"--{asked[0]} and --{asked[1]} are two different measurements; ask for one at a time.")
    if inference and not against:
        raise PellucidError("--inference belongs to --against torch; without that, predictions are always measured.")
    from .. import backend as engine
    from ..benchmark.receipt import save
    from ..benchmark.series import make_console

    if threads is not None:
        engine.set_num_threads(threads)
    printed = json == Path("-")
    console = make_console(stderr=printed)
    images: dict[str, Any] = {"input_shape": input_shape, "classes": classes}
    status = 0
    result: Any
    if against:
        task = "inference" if inference else "training"
        given = {"batch": batch_size, "runs": runs}
        settings = images | {name: value for name, value in given.items() if value is not None}
        result, status = _against_torch(task, models or (USUAL,), settings, None if printed else json, console)
    elif warm_up:
        result = _warm_up(models, images, console)
    elif profile:
        settings = {"batch_size": batch_size or 64, "repeats": runs or 10}
        result = [_profile(name, images, settings, console) for name in models or (USUAL,)]
    else:
        settings = images | {"batch_size": batch_size or 64, "seconds": seconds}
        engines = ("native", "numpy") if backend == "both" else (backend,)
        result = [row for name in models or (USUAL,) for row in _throughput(name, engines, settings, console)]
    if printed:
        print(json_.dumps(result, indent=1))
    elif json is not None:
        save(result, json)
    return status


def _throughput(name: str, engines: Sequence[str], settings: dict[str, Any], console: Any) -> list[dict[str, Any]]:
    from rich.table import Table

    from ..benchmark.throughput import measure

    results = measure(name, engines, **settings)
    threads = next((result.threads for result in results if result.threads), None)
    table = Table(
        title=f"{name}, batches of {results[0].batch_size}, {results[0].cpu}{f', {threads} threads' if threads else ''}",
        title_justify="left",
        caption="GFLOP/s count 2 operations per multiply-add forward, 6 in training: what the network asks for.",
        caption_justify="left",
    )
    table.add_column("backend")
    table.add_column("task")
    for heading in ("images/s", "slow … fast tenth", "GFLOP/s", "first batch"):
        table.add_column(heading, justify="right")
    for r in results:
        rates = f"{r.images_per_second:,.0f}", f"{r.slow:,.0f} … {r.fast:,.0f}", f"{r.gflops:.1f}"
        table.add_row(r.backend, r.task, *rates, f"{r.first_batch_seconds:.2f} s")
    console.print(table)
    return [result._asdict() for result in results]


def _profile(name: str, images: dict[str, Any], settings: dict[str, Any], console: Any) -> dict[str, Any]:
    from ..benchmark.networks import network
    from ..profile import profile

    with console.status(name):
        result = profile(network(name, **images), **settings)
    console.print(result)
    return result.to_dict()


def _warm_up(names: Sequence[str], images: dict[str, Any], console: Any) -> list[dict[str, Any]]:
    from .. import zoo
    from ..benchmark.warm_up import cache_folder, warm_up

    folder = cache_folder()
    rows = []
    for row in warm_up(names or zoo.names(), **images):
        done = f"{row.functions} functions compiled" if row.functions else "nothing to compile"
        console.print(f"{row.name}: {done}, {row.seconds:.1f} s", highlight=False)
        rows.append(row._asdict())
    functions, seconds = (sum(row[key] for row in rows) for key in ("functions", "seconds"))
    console.print(
        f"{functions} functions compiled in {seconds:.1f} s, kept in {folder}", highlight=False, soft_wrap=True
    )
    return rows


def _against_torch(
    task: str, names: Sequence[str], settings: dict[str, Any], path: Path | None, console: Any
) -> tuple[dict[str, Any], int]:
    from ..benchmark.against_torch import against_torch
    from ..benchmark.pytorch.setup import prepare

    prepare()
    return against_torch(task, names, ["pellucid", *sys.argv[1:]], settings, path=path, console=console)
