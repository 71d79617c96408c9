"""What the presets reach, and in how many minutes: accuracy over seeds, with the runs behind it.

    python benchmarks/recipes.py --data-dir data --presets 1min 5min --seeds 0 1 2
    python benchmarks/recipes.py --figure                    # results/recipes.json -> results/recipes.png

Every row is one ``pellucid train cifar10 --preset …`` in a process of its own, trained on the 40,000 images of the first four
official batches and asked once, at the end, about the 10,000 images of the fifth, on which nothing was chosen. ``--whole`` trains
on all 50,000 and asks about the official test images that are there. Rows are added to the result; nothing is averaged away.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import harness

from pellucid.benchmark.receipt import receipt

RESULT = harness.RESULTS / "recipes.json"
ORIGIN = (5 * 28 * 60, 52.0, "the network of our origins:\n28 hours an epoch")  # minutes, accuracy, what it was


def measure(preset: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One training; a row of the result."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        part = [] if options.whole else ["--test-part", "data_batch_5"]
        data = ["--data-dir", options.data_dir] if options.data_dir else []
        arguments = ["--preset", preset, "--seed", str(seed), "--no-verify", "--out", str(run), *part, *data]
        subprocess.run([sys.executable, "-m", "pellucid", "train", "cifar10", *arguments], check=True)
        config = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
        *epochs, last = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "preset": preset,
        "seed": seed,
        "network": config["model"]["name"],
        "epochs": len(epochs),
        "trained_on": 50_000 if options.whole else 40_000,
        "accuracy": last["test_accuracy"],
        "test_images": last["test_images"],
        "minutes": epochs[-1]["seconds"] / 60,  # counted from the beginning
    }


def means(rows: list[dict[str, Any]], preset: str, whole: bool) -> tuple[float, float, float, int] | None:
    """Of a preset: mean accuracy in percent, its spread over seeds (standard deviation), minutes, how many runs."""
    mine = [row for row in rows if row["preset"] == preset and (row["trained_on"] == 50_000) == whole]
    if not mine:
        return None
    accuracies = [100 * row["accuracy"] for row in mine]
    spread = statistics.stdev(accuracies) if len(mine) > 1 else 0.0
    return statistics.mean(accuracies), spread, statistics.mean(row["minutes"] for row in mine), len(mine)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against minutes of training."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.4), dpi=160, layout="constrained")
    presets = list(dict.fromkeys(row["preset"] for row in rows))
    points = sorted((found[2], found[0], name) for name in presets if (found := means(rows, name, False)))
    axes.plot([p[0] for p in points], [p[1] for p in points], "-", color="#1f6f8b", zorder=2)
    for row in rows:
        if row["trained_on"] == 40_000:
            axes.plot(
                row["minutes"],
                100 * row["accuracy"],
                "o",
                color="#1f6f8b",
                alpha=0.6,
                markeredgecolor="white",
                zorder=3,
            )
    for minutes, accuracy, name in points:
        axes.annotate(f"{name}: {accuracy:.1f} %", (minutes, accuracy), (6, -14), textcoords="offset points")
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
    figure.savefig(path)


def main() -> int:
    """Train, print, keep."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--presets", nargs="+", default=["1min", "5min", "15min"], metavar="NAME")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N")
    options.add_argument("--data-dir", metavar="FOLDER")
    options.add_argument("--whole", action="store_true", help="train on all 50,000 images, test on the official ones")
    options.add_argument("--figure", action="store_true", help="only draw what was measured")
    chosen = options.parse_args()
    result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else {"runs": []}
    if not chosen.figure:
        for seed in chosen.seeds:
            for preset in chosen.presets:
                row = measure(preset, seed, chosen)
                result = receipt("recipes", harness.command()) | {"runs": [*result["runs"], row]}
                RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
                print(row)
    draw(result["runs"], RESULT.with_suffix(".png"))
    for whole in (False, True):
        for preset in dict.fromkeys(row["preset"] for row in result["runs"]):
            if found := means(result["runs"], preset, whole):
                mean, spread, minutes, count = found
                print(
                    f"{preset}: {mean:.2f} % ± {spread:.2f} over {count} runs, {minutes:.1f} minutes"
                    + " (all images)" * whole
                )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
