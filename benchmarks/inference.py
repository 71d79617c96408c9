"""How fast a network answers: 10,000 images, and one image alone, beside PyTorch on the same machine.

    python benchmarks/inference.py
    python benchmarks/inference.py --networks cnn2 resnet9 --malloc tuned

Both give probabilities for float32 images, pellucid through ``predict``, PyTorch in inference mode, in both of its memory
formats and batches of the same size. Measured and reported as in ``training.py``.
"""

from __future__ import annotations

import argparse
from typing import Any

import harness
import numpy as np

TOLERANCE = 1e-4  # of probabilities in float32


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Check and time one network; a row of the result."""
    import contenders

    model = harness.make_network(name)
    x, _ = harness.make_images(model, options.images)
    row: dict[str, Any] = {"network": name, "input_shape": list(model.input_shape)}
    tasks = {
        "throughput": (x, options.batch, options.runs),
        "latency": (x[:1], 1, 3 * options.runs),  # short, so more rounds cost nothing
    }
    for task, (images, batch, runs) in tasks.items():
        answers = [np.asarray(run()) for run in contenders.prediction(model, images[:batch], batch).values()]
        error = max(float(np.abs(answer - answers[0]).max()) for answer in answers)
        if not error <= TOLERANCE:
            return row | {"refused": f"the probabilities differ by {error:.1e}"}
        ways = contenders.prediction(model, images, batch, bfloat16=options.bfloat16, compiled=options.compiled)
        times, calls = harness.interleave(ways, runs, seconds=0.1)
        row[task] = {"error": error, "images": len(images), "calls_per_round": calls} | harness.compare(times)
    return row


def show(result: dict[str, Any]) -> Any:
    """The result as a table."""
    from rich.table import Table

    settings = result["settings"]
    table = Table(
        title=f"predict on {settings['images']:,} images in batches of {settings['batch']}, and on one image",
        title_justify="left",
        caption=harness.headline(result),
        caption_justify="left",
    )
    table.add_column("network")
    for heading in ("img/s", "PyTorch img/s", "quicker by (quartiles)", "one image, ms", "PyTorch ms", "quicker by"):
        table.add_column(heading, justify="right")
    for row in result["networks"]:
        if "refused" in row:
            table.add_row(row["network"], f"[red]not timed: {row['refused']}")
            continue
        many, one = row["throughput"], row["latency"]
        rates = [
            f"{1e3 * many['images'] / many['milliseconds'][way]['median']:,.0f}" for way in ("pellucid", many["best"])
        ]
        waits = [f"{one['milliseconds'][way]['median']:.3f}" for way in ("pellucid", one["best"])]
        table.add_row(row["network"], *rates, harness.times_x(many), *waits, harness.times_x(one))
    return table


def main() -> int:
    """Measure, print, save; 1 if a network was refused."""
    parser = harness.parser(__doc__, runs=9)
    parser.add_argument("--images", type=int, default=10_000, metavar="N", help="default: 10000")
    parser.add_argument("--batch", type=int, default=256, metavar="N", help="default: 256")
    harness.add_torch_options(parser)
    options = parser.parse_args()
    harness.prepare(options)
    console = harness.console()
    settings = {name: getattr(options, name) for name in ("images", "batch", "malloc", "bfloat16", "compiled")}
    result = harness.receipt("inference", options, **settings) | {"networks": []}
    for network in harness.network_names(options.networks):
        with console.status(network):
            result["networks"].append(measure(network, options))
        harness.save(result, options, harness.variant("inference", options))
    console.print(show(result))
    return 1 if any("refused" in row for row in result["networks"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
