"""From the start of a process to the end of its first training step: imports, building, compiling, one batch.

    python benchmarks/startup.py
    python benchmarks/startup.py --networks all --cold 1

Three fresh processes take turns: pellucid with an empty cache of kernels ("cold", as after installing it; ``--cold`` says how
often), pellucid with the cache that run left behind ("warm", as ever after), and PyTorch in the memory format of its default.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import harness

from pellucid import backend
from pellucid.benchmark import networks, timing
from pellucid.benchmark.receipt import Result


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Start one network in each way; a row of the result."""
    model = networks.network(name)
    task = {"images": options.batch, "batch": options.batch, "steps": 1, "threads": backend.get_num_threads()}
    cold: list[float] = []
    seconds: dict[str, list[float]] = {"pellucid": [], "PyTorch": []}
    harness.run_process("NCHW", model, **task)  # brings PyTorch's files into memory, for all runs alike
    with tempfile.TemporaryDirectory() as folder:
        for run in range(options.runs):
            variables = {"PELLUCID_CACHE_DIR": f"{folder}/{min(run, options.cold - 1)}"}
            if run < options.cold:
                cold.append(_first_step("pellucid", model, task, variables))
            seconds["pellucid"].append(_first_step("pellucid", model, task, variables))
            seconds["PyTorch"].append(_first_step("NCHW", model, task))
    spreads = {way: timing.spread(values) for way, values in {"pellucid cold": cold, **seconds}.items()}
    return {"seconds": spreads, **timing.share(seconds)}


def _first_step(engine: str, model: Any, task: dict[str, Any], variables: dict[str, str] | None = None) -> float:
    return harness.run_process(engine, model, variables=variables, **task)["first_step_seconds"]


def line(row: dict[str, Any]) -> str:
    """A row in a few words."""
    cold, warm, torch = (spread["median"] for spread in row["seconds"].values())
    return f"{cold:.2f} s with a cold cache, {warm:.2f} s with a warm one, PyTorch {torch:.2f} s"


def table(result: Result) -> Any:
    """The result as a table."""
    from rich.table import Table

    headings = ("network", "cold cache", "warm cache", "PyTorch", "warm / PyTorch (quartiles)")
    shown = Table(*headings, title="Import and first training step, seconds")
    for row in result["networks"]:
        medians = (f"{spread['median']:.2f}" for spread in row["seconds"].values())
        shown.add_row(row["network"], *medians, timing.times_x(row))
    return shown


def main() -> int:
    """Measure, print, save."""
    parser = harness.parser(__doc__, networks=["cnn2", "resnet20"], runs=5)
    parser.add_argument("--batch", type=harness.positive, default=64, metavar="N", help="images a step; default: 64")
    parser.add_argument("--cold", type=harness.positive, default=2, metavar="N", help="runs with no cache; default: 2")
    options = parser.parse_args()
    options.cold = min(options.cold, options.runs)
    harness.prepare(options)
    return harness.measure("startup", options, ("batch", "cold"), measure, line=line, table=table)


if __name__ == "__main__":
    raise SystemExit(main())
