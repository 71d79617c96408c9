"""From the start of a process to the end of its first training step: imports, building, compiling, one batch.

    python benchmarks/startup.py
    python benchmarks/startup.py --networks cnn2 resnet20 --runs 5

Three fresh processes take turns: pellucid with an empty cache of kernels ("cold", as after installing it), pellucid with the
cache that run left behind ("warm", as ever after), and PyTorch in the memory format of its default.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import harness


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Start one network in each way; a row of the result."""
    model = harness.make_network(name)
    task = {"images": options.batch, "batch": options.batch, "steps": 1, "threads": options.threads}
    harness.run_process("NCHW", model, **task)  # brings PyTorch's files into memory, for all runs alike
    seconds: dict[str, list[float]] = {"pellucid cold": [], "pellucid": [], "PyTorch": []}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            variables = {"PELLUCID_CACHE_DIR": folder}
            for way in ("pellucid cold", "pellucid"):
                report = harness.run_process("pellucid", model, variables=variables, **task)
                seconds[way].append(report["first_step_seconds"])
        seconds["PyTorch"].append(harness.run_process("NCHW", model, **task)["first_step_seconds"])
    spreads = {way: harness.spread(values) for way, values in seconds.items()}
    del seconds["pellucid cold"]
    return {"network": name, "seconds": spreads, **harness.share(seconds)}


def main() -> int:
    """Measure, print, save."""
    parser = harness.parser(__doc__, networks=["cnn2", "resnet20"], runs=5)
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="images a step; default: 64")
    options = parser.parse_args()
    harness.prepare(options)
    from rich.table import Table

    console = harness.console()
    result = harness.receipt("startup", options, batch=options.batch) | {"networks": []}
    headings = ("network", "cold cache", "warm cache", "PyTorch", "warm / PyTorch (quartiles)")
    table = Table(*headings, title="Import and first training step, seconds")
    for network in harness.network_names(options.networks):
        with console.status(network):
            row = measure(network, options)
        result["networks"].append(row)
        harness.save(result, options, "startup")
        table.add_row(
            network, *(f"{row['seconds'][way]['median']:.2f}" for way in row["seconds"]), harness.times_x(row)
        )
    console.print(table, harness.headline(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
