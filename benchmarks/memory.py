"""Peak memory of a training, the whole process counted: interpreter, libraries, images, network.

    python benchmarks/memory.py
    python benchmarks/memory.py --networks cnn2 resnet9 --batch 64 --steps 30

Every training has a process of its own that holds one library only, with the C library's own settings. PyTorch runs in both
memory formats; ours is divided by the one that needs less.
"""

from __future__ import annotations

import argparse
from typing import Any

import harness

MIB = 2**20


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train one network in each way; a row of the result."""
    model = harness.make_network(name)
    task = {"images": 10 * options.batch, "batch": options.batch, "steps": options.steps, "threads": options.threads}
    ways = {"pellucid": "pellucid", "PyTorch NCHW": "NCHW", "PyTorch channels-last": "channels-last"}
    peaks: dict[str, list[float]] = {way: [] for way in ways}
    before: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(options.runs):
        for way, engine in ways.items():
            report = harness.run_process(engine, model, **task)
            peaks[way].append(report["peak_bytes"] / MIB)
            before[way].append(report["built_bytes"] / MIB)
    amounts = {"mebibytes": peaks, "mebibytes_before_first_step": before}
    medians = {label: {way: harness.spread(v) for way, v in values.items()} for label, values in amounts.items()}
    return {"network": name, **medians, **harness.share(peaks)}


def main() -> int:
    """Measure, print, save."""
    parser = harness.parser(__doc__, networks=["cnn2", "resnet9"], runs=3)
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="images a step; default: 64")
    parser.add_argument("--steps", type=int, default=20, metavar="N", help="default: 20")
    options = parser.parse_args()
    harness.prepare(options)
    from rich.table import Table

    console = harness.console()
    result = harness.receipt("memory", options, batch=options.batch, steps=options.steps) | {"networks": []}
    table = Table(
        "network", "pellucid", "PyTorch", "ours / theirs (quartiles)", "before the first step", title="Peak memory, MiB"
    )
    for network in harness.network_names(options.networks):
        with console.status(network):
            row = measure(network, options)
        result["networks"].append(row)
        harness.save(result, options, "memory")
        peaks, before = row["mebibytes"], row["mebibytes_before_first_step"]
        mine, theirs = (f"{peaks[way]['median']:,.0f}" for way in ("pellucid", row["best"]))
        start = " against ".join(f"{before[way]['median']:,.0f}" for way in ("pellucid", row["best"]))
        table.add_row(network, mine, theirs, harness.times_x(row), start)
    console.print(table, harness.headline(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
