"""Peak memory of a training, the whole process counted: interpreter, libraries, images, network.

    python benchmarks/memory.py
    python benchmarks/memory.py --networks all --batch 64 --steps 10

Every training has a process of its own that holds one library only, with the C library's own settings. PyTorch runs in both
memory formats; ours is divided by the one that needs less.
"""

from __future__ import annotations

import argparse
from typing import Any

import harness

from pellucid import backend
from pellucid.benchmark import networks, timing
from pellucid.benchmark.receipt import Result

MIB = 2**20
WAYS = {"pellucid": "pellucid", "PyTorch NCHW": "NCHW", "PyTorch channels-last": "channels-last"}


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train one network in each way; a row of the result."""
    model = networks.network(name)
    task = {"images": 10 * options.batch, "batch": options.batch, "steps": options.steps}
    peaks: dict[str, list[float]] = {way: [] for way in WAYS}
    before: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.runs):
        for way, engine in WAYS.items():
            report = harness.run_process(engine, model, threads=backend.get_num_threads(), **task)
            peaks[way].append(report["peak_bytes"] / MIB)
            before[way].append(report["built_bytes"] / MIB)
    amounts = {"mebibytes": peaks, "mebibytes_before_first_step": before}
    medians = {label: {way: timing.spread(v) for way, v in values.items()} for label, values in amounts.items()}
    return medians | timing.share(peaks)


def line(row: dict[str, Any]) -> str:
    """A row in a few words."""
    mine, theirs = (row["mebibytes"][way]["median"] for way in ("pellucid", row["best"]))
    return f"{mine:,.0f} MiB, {timing.times_x(row)} of {row['best']}'s {theirs:,.0f}"


def table(result: Result) -> Any:
    """The result as a table."""
    from rich.table import Table

    headings = ("network", "pellucid", "PyTorch", "ours / theirs (quartiles)", "before the first step")
    shown = Table(*headings, title="Peak memory, MiB")
    for row in result["networks"]:
        peaks, before = row["mebibytes"], row["mebibytes_before_first_step"]
        mine, theirs = (f"{peaks[way]['median']:,.0f}" for way in ("pellucid", row["best"]))
        start = " against ".join(f"{before[way]['median']:,.0f}" for way in ("pellucid", row["best"]))
        shown.add_row(row["network"], mine, theirs, timing.times_x(row), start)
    return shown


def main() -> int:
    """Measure, print, save."""
    parser = harness.parser(__doc__, networks=["cnn2", "resnet9"], runs=3)
    parser.add_argument("--batch", type=harness.positive, default=64, metavar="N", help="images a step; default: 64")
    parser.add_argument("--steps", type=harness.positive, default=10, metavar="N", help="default: 10")
    options = parser.parse_args()
    harness.prepare(options)
    return harness.measure("memory", options, ("batch", "steps"), measure, line=line, table=table)


if __name__ == "__main__":
    raise SystemExit(main())
