"""What a second core is worth: the training step on one thread and on more, for both libraries.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --networks cnn2 resnet20 --threads 2

Rounds on one thread and on all take turns. PyTorch runs in both memory formats; the one that is quicker on all threads counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import harness
import numpy as np


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Time one network on 1 and on ``options.threads`` threads; a row of the result."""
    import check_twin
    import contenders

    model = harness.make_network(name)
    x, y = harness.make_images(model, options.batch)
    try:
        check_twin.check(model, x, y)
    except check_twin.DiffersError as error:
        return {"network": name, "refused": str(error)}
    ways = contenders.training(model, x, y)
    timed = {(way, count): _on(count, run) for way, run in ways.items() for count in (1, options.threads)}
    names = {f"{way}, {count}": key for key in timed for way, count in [key]}
    times, calls = harness.interleave({label: timed[key] for label, key in names.items()}, options.runs, seconds=0.2)
    of = {key: np.array(times[label]) for label, key in names.items()}
    best = min(
        (way for way in ways if way != contenders.OURS), key=lambda way: float(np.median(of[way, options.threads]))
    )
    speedups = {way: harness.spread(of[way, 1] / of[way, options.threads]) for way in (contenders.OURS, best)}
    milliseconds = {label: harness.spread(1e3 * of[key]) for label, key in names.items()}
    return {"network": name, "steps_per_round": calls, "milliseconds": milliseconds, "best": best, "speedups": speedups}


def _on(count: int, run: Callable[[], object]) -> Callable[[], object]:
    def step() -> object:
        harness.set_threads(count)
        return run()

    return step


def main() -> int:
    """Measure, print, save."""
    parser = harness.parser(__doc__, runs=11)
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="images a step; default: 64")
    options = parser.parse_args()
    harness.prepare(options)
    if options.threads < 2:
        raise SystemExit("There is one thread only; nothing to compare.")
    from rich.table import Table

    console = harness.console()
    result = harness.receipt("scaling", options, batch=options.batch) | {"networks": []}
    table = Table(
        "network", "pellucid", "PyTorch", title=f"Training step: 1 thread's time / {options.threads} threads' time"
    )
    for network in harness.network_names(options.networks):
        with console.status(network):
            row = measure(network, options)
        result["networks"].append(row)
        harness.save(result, options, "scaling")
        cells = [row["refused"]] if "refused" in row else [harness.times_x(s) for s in row["speedups"].values()]
        table.add_row(network, *cells)
    console.print(table, harness.headline(result))
    return 1 if any("refused" in row for row in result["networks"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
