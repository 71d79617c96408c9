"""What the presets reach, and in how many minutes: accuracy over seeds, with the runs behind it.

    python benchmarks/recipes.py --data-dir data --presets 1min 5min --seeds 0 1 2
    python benchmarks/recipes.py --data-dir data --pace          # how long they take, on a machine that does nothing else
    python benchmarks/recipes.py --data-dir data --presets 1min --precision bfloat16 --output results/recipes-bfloat16.json
    python benchmarks/recipes.py --runs runs/a runs/b            # accuracies of runs that were trained by hand
    python benchmarks/recipes.py --figure                        # results/recipes.json -> results/recipes.png

Every row is one ``pellucid train DATA --preset …`` in a process of its own. For CIFAR-10 it is trained on the 40,000 images of
the first four official batches and asked once, at the end, about the 10,000 images of the fifth, on which nothing was chosen.
``--whole`` trains on all 50,000 and asks about the official test images that are there, as is always done for MNIST. Rows are
added to the result; nothing is averaged away. An accuracy does not depend on what else the machine does, so that only the pace,
in images a second, needs a quiet one: the minutes of a row are its images divided by the pace.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import harness

from pellucid.benchmark.receipt import receipt
from pellucid.presets import names, path

RESULT = harness.RESULTS / "recipes.json"
ORIGIN = (5 * 28 * 60, 52.0, "the network of our origins:\n28 hours an epoch")  # minutes, accuracy, what it was


def train(source: str, preset: str, folder: Path, *more: str) -> None:
    """One training by a preset."""
    arguments = ["--preset", preset, "--no-verify", "--no-report", "--out", str(folder), *more]
    subprocess.run([sys.executable, "-m", "pellucid", "train", source, *arguments], check=True)


def variant(name: str, precision: str | None) -> str:
    """A preset, or a network, in a precision: two words where it is not float32."""
    return name if precision in (None, "float32") else f"{name} {precision}"


def row(folder: Path) -> dict[str, Any]:
    """What a finished run of a preset says about it."""
    config = tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))
    *epochs, last = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    source, network = config["data"]["source"], config["model"]["name"]
    presets = {name: tomllib.loads(path(source, name).read_text(encoding="utf-8")) for name in names(source)}
    alike = [
        name
        for name, known in presets.items()
        if (known["model"]["name"], known["training"]["epochs"]) == (network, len(epochs))
    ]
    if len(alike) != 1 or "test_accuracy" not in last:
        raise SystemExit(f"{folder} is not a finished run of one of the presets of {source}.")
    images = {"cifar10": 50_000, "mnist": 60_000}[source]
    return {
        "source": source,
        "preset": variant(alike[0], config.get("precision")),
        "seed": config["seed"],
        "network": variant(network, config.get("precision")),
        "epochs": len(epochs),
        "trained_on": images - 10_000 * (config["data"]["test_part"] == "data_batch_5"),
        "accuracy": last["test_accuracy"],
        "test_images": last["test_images"],
    }


def pace(source: str, preset: str, options: argparse.Namespace) -> float:
    """Images a second, while nothing else runs: of the second of two short epochs."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        short = ["--epochs", "2", "--limit-batches", "16" if source == "cifar10" else "400"]
        train(source, preset, run, *short, *settings_of(options))
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return float(lines[1]["images_per_second"])


def settings_of(options: argparse.Namespace) -> list[str]:
    given = {"--data-dir": options.data_dir, "--precision": options.precision}
    return [word for pair in given.items() if pair[1] for word in pair]


class Mean(NamedTuple):
    """Of the runs of a preset: accuracy in percent and its spread (standard deviation), minutes, how many they are."""

    accuracy: float
    spread: float
    minutes: float
    runs: int


def mean(result: dict[str, Any], preset: str, trained_on: int) -> Mean | None:
    """Over the seeds of a preset; None if there is no run, minutes that are not a number if there is no pace."""
    mine = [row for row in result["runs"] if (row["preset"], row["trained_on"]) == (preset, trained_on)]
    if not mine:
        return None
    accuracies = [100 * row["accuracy"] for row in mine]
    images = statistics.mean(row["epochs"] * row["trained_on"] for row in mine)
    spread = statistics.stdev(accuracies) if len(mine) > 1 else 0.0
    measured = result["pace"].get(f"{mine[0]['source']} {mine[0]['network']}", {})
    minutes = images / measured.get("images_per_second", math.nan) / 60
    return Mean(statistics.mean(accuracies), spread, minutes, len(mine))


def draw(result: dict[str, Any], file: Path) -> None:
    """Accuracy against minutes of training."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.4), dpi=160, layout="constrained")
    points = [(found, name) for name in names("cifar10") if (found := mean(result, name, 40_000))]
    axes.plot([p.minutes for p, _ in points], [p.accuracy for p, _ in points], "-", color="#1f6f8b", zorder=2)
    for n, (point, name) in enumerate(points):
        ours = [100 * r["accuracy"] for r in result["runs"] if (r["preset"], r["trained_on"]) == (name, 40_000)]
        style = {"color": "#1f6f8b", "alpha": 0.6, "markeredgecolor": "white", "zorder": 3}
        axes.plot([point.minutes] * len(ours), ours, "o", **style)
        beside, side = ((6, -14), "left") if n % 2 == 0 else ((-2, 8), "right")  # neighbours may be near each other
        text = f"{name}: {point.accuracy:.1f} %"
        axes.annotate(text, (point.minutes, point.accuracy), beside, textcoords="offset points", ha=side)
    axes.plot(*ORIGIN[:2], "X", color="#9e2a2b", markersize=9, zorder=3)
    axes.annotate(ORIGIN[2], ORIGIN[:2], (-10, 8), textcoords="offset points", ha="right")
    axes.set_xscale("log")
    ticks = {0.5: "30 s", 1: "1 min", 5: "5 min", 15: "15 min", 60: "1 h", 600: "10 h", 6000: "100 h"}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set_ylim(45, 100)
    axes.set_xlabel("time of training, two CPU cores")
    axes.set_ylabel("accuracy on 10,000 held-out images, %")
    axes.set_title("CIFAR-10: how far the presets get, and how soon", loc="left", fontweight="bold")
    axes.grid(color="#d9dee3")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)


def main() -> int:
    """Train, print, keep."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--source", choices=["cifar10", "mnist"], default="cifar10")
    options.add_argument("--presets", nargs="+", metavar="NAME", help="by default all of the data set")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    options.add_argument("--data-dir", metavar="FOLDER")
    options.add_argument("--precision", choices=["float32", "bfloat16"])
    options.add_argument("--whole", action="store_true", help="train on all images, test on the official ones")
    options.add_argument("--pace", action="store_true", help="only measure images a second")
    options.add_argument("--runs", nargs="+", type=Path, default=[], metavar="FOLDER", help="take in finished runs")
    options.add_argument("--figure", action="store_true", help="only print and draw what was measured")
    options.add_argument(
        "--output", type=Path, default=RESULT, metavar="FILE", help="of another machine: no figure is drawn"
    )
    chosen = options.parse_args()
    file = chosen.output
    result = {"runs": [], "pace": {}} | (json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})
    presets = chosen.presets or names(chosen.source)

    def keep() -> None:
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    for folder in chosen.runs:
        result["runs"].append(row(folder))
        keep()
    if chosen.pace:
        for preset in presets:
            network = tomllib.loads(path(chosen.source, preset).read_text(encoding="utf-8"))["model"]["name"]
            found = {"images_per_second": pace(chosen.source, preset, chosen)}
            result["pace"][f"{chosen.source} {variant(network, chosen.precision)}"] = found | receipt(
                "recipes", harness.command()
            )
            keep()
    elif not (chosen.figure or chosen.runs):
        part = ["--test-part", "data_batch_5"] if chosen.source == "cifar10" and not chosen.whole else []
        for seed in chosen.seeds:
            for preset in presets:
                with tempfile.TemporaryDirectory() as folder:
                    run = Path(folder) / "run"
                    train(chosen.source, preset, run, "--seed", str(seed), *part, *settings_of(chosen))
                    result["runs"].append(row(run))
                keep()
    for preset, trained_on in sorted({(row["preset"], row["trained_on"]) for row in result["runs"]}):
        if found := mean(result, preset, trained_on):
            accuracy = f"{found.accuracy:.2f} % ± {found.spread:.2f} over {found.runs} runs"
            print(f"{preset}, {trained_on:,} images: {accuracy}, {found.minutes:.1f} minutes")
    if file == RESULT:
        draw(result, RESULT.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
