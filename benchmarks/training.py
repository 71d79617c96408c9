"""How fast a network trains: forward, backward and a step of SGD, beside PyTorch on the same machine.

    python benchmarks/training.py                                    # every network of the zoo, batches of 64
    python benchmarks/training.py --networks resnet9 --batch 128 --runs 9
    python benchmarks/training.py --malloc tuned --compiled          # PyTorch with all it can do
    python benchmarks/training.py --bfloat16                         # our float32 against PyTorch's bfloat16

Both libraries live in one process with the same number of threads and take turns; PyTorch runs in both of its memory formats,
and the ratio is taken against the quicker one. A network is timed only after its numbers were found equal. The ratio is the
median over rounds of (PyTorch's time / ours in the same round), given with its quartiles.
"""

from __future__ import annotations

import argparse
from typing import Any

import harness


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Check and time one network; a row of the result."""
    import check_twin
    import contenders

    model = harness.make_network(name)
    x, y = harness.make_images(model, options.batch)
    about = {
        "network": name,
        "input_shape": list(model.input_shape),
        "parameters": model.count_params(),
        "multiply_adds": model.multiply_adds(model.input_shape),
    }
    try:
        errors = check_twin.check(model, x, y)
    except check_twin.DiffersError as error:
        return about | {"refused": str(error)}
    ways = contenders.training(model, x, y, bfloat16=options.bfloat16, compiled=options.compiled)
    times, calls = harness.interleave(ways, options.runs, seconds=options.seconds)
    compared = harness.compare(times)
    rates = {way: round(1e3 * options.batch / ms["median"]) for way, ms in compared["milliseconds"].items()}
    return about | {"errors": errors, "steps_per_round": calls, **compared, "images_per_second": rates}


def show(result: dict[str, Any]) -> Any:
    """The result as a table."""
    from rich.table import Table

    settings = result["settings"]
    ways = list(dict.fromkeys(way for row in result["networks"] for way in row.get("milliseconds", {})))
    table = Table(
        title=f"Training step, batches of {settings['batch']}, {settings['malloc']} malloc: milliseconds",
        title_justify="left",
        caption=harness.headline(result),
        caption_justify="left",
    )
    table.add_column("network")
    for way in ways:
        table.add_column(way, justify="right")
    table.add_column("quicker than the best by (quartiles)", justify="right")
    table.add_column("img/s", justify="right")
    for row in result["networks"]:
        if "refused" in row:
            table.add_row(row["network"], *[""] * len(ways), f"[red]not timed: {row['refused']}")
            continue
        medians = [f"{row['milliseconds'][way]['median']:.2f}" for way in ways]
        table.add_row(row["network"], *medians, harness.times_x(row), f"{row['images_per_second']['pellucid']:,}")
    return table


def main() -> int:
    """Measure, print, save; 1 if a network was refused."""
    parser = harness.parser(__doc__)
    parser.add_argument("--batch", type=int, default=64, metavar="N", help="images a step; default: 64")
    parser.add_argument(
        "--seconds", type=float, default=0.2, metavar="X", help="of a contender in a round; default: 0.2"
    )
    harness.add_torch_options(parser)
    options = parser.parse_args()
    harness.prepare(options)
    console = harness.console()
    settings = {name: getattr(options, name) for name in ("batch", "malloc", "bfloat16", "compiled")}
    result = harness.receipt("training", options, **settings) | {"networks": []}
    name = harness.variant("training", options)
    for network in harness.network_names(options.networks):
        with console.status(network):
            row = measure(network, options)
        result["networks"].append(row)
        harness.save(result, options, name)  # what is measured is not lost if the next network takes too long
        console.print(f"{network}: {row.get('refused') or harness.times_x(row)}", highlight=False)
    console.print(show(result))
    return 1 if any("refused" in row for row in result["networks"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
