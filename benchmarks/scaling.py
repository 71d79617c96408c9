"""What a second core is worth: the training step on one thread and on more, for both libraries.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --networks cnn2 resnet20 --threads 2

Rounds on one thread and on all take turns. PyTorch runs in both memory formats; the one that is quicker on all threads counts.
What the machine itself gains by its threads, in arithmetic and in copying memory, is measured before each network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import harness
import numpy as np

from pellucid import PellucidError, backend
from pellucid.benchmark import networks, timing
from pellucid.benchmark.pytorch.setup import set_threads
from pellucid.benchmark.receipt import Result
from pellucid.profile import measure_peak


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time one network on 1 and on all threads; a row of the result."""
    from pellucid.benchmark.pytorch import check, contenders

    model = networks.network(name)
    x, y = networks.images(model, options.batch)
    try:
        check.check(model, x, y)
    except PellucidError as error:  # it differs, or has a layer that PyTorch has not
        return {"refused": str(error)}
    machine = _machine(options.threads)
    ways = contenders.training(model, x, y)
    timed = {(way, count): _on(count, run) for way, run in ways.items() for count in (1, options.threads)}
    labels = {key: f"{key[0]}, {key[1]}" for key in timed}
    times, calls = timing.interleave({labels[key]: timed[key] for key in timed}, options.runs, seconds=0.1)
    of = {key: np.array(times[labels[key]]) for key in timed}
    best = min((way for way in ways if way != timing.OURS), key=lambda way: float(np.median(of[way, options.threads])))
    speedups = {way: timing.spread(of[way, 1] / of[way, options.threads]) for way in (timing.OURS, best)}
    milliseconds = {labels[key]: timing.spread(1e3 * of[key]) for key in timed}
    return {
        "machine": machine, "steps_per_round": calls, "milliseconds": milliseconds, "best": best, "speedups": speedups
    }  # fmt: skip


def _machine(threads: int) -> dict[str, float]:
    """How much more arithmetic a second, and how many more bytes to and from memory, all threads do than one."""
    set_threads(1)
    one = measure_peak()
    set_threads(threads)
    more = measure_peak()
    return {"arithmetic": more.gflops / one.gflops, "memory": more.gigabytes / one.gigabytes}


def _on(count: int, run: Callable[[], object]) -> Callable[[], object]:
    def step() -> object:
        set_threads(count)
        return run()

    return step


def line(row: dict[str, Any]) -> str:
    """A row in a few words."""
    shown = [f"{way} {timing.times_x(speedup)}" for way, speedup in row["speedups"].items()]
    return ", ".join(shown + [f"{what} {gain:.2f}x" for what, gain in row["machine"].items()])


def table(result: Result) -> Any:
    """The result as a table."""
    from rich.table import Table

    title = f"Training step: 1 thread's time / {result['settings']['threads']} threads' time"
    shown = Table("network", "pellucid", "PyTorch", "the machine: arithmetic, memory", title=title)
    for row in result["networks"]:
        if "refused" in row:
            shown.add_row(row["network"], row["refused"])
            continue
        gains = ", ".join(f"{gain:.2f}x" for gain in row["machine"].values())
        shown.add_row(row["network"], *map(timing.times_x, row["speedups"].values()), gains)
    return shown


def main() -> int:
    """Measure, print, save."""
    parser = harness.parser(__doc__, runs=9)
    parser.add_argument("--batch", type=harness.positive, default=64, metavar="N", help="images a step; default: 64")
    options = parser.parse_args()
    harness.prepare(options)
    options.threads = backend.get_num_threads()
    if options.threads < 2:
        raise SystemExit("There is one thread only; nothing to compare.")
    return harness.measure("scaling", options, ("batch",), measure, line=line, table=table)


if __name__ == "__main__":
    raise SystemExit(main())
