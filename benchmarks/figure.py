"""The figure of the README: how many times quicker than PyTorch each network trains.

    python benchmarks/figure.py                          # benchmarks/results/training*.json -> benchmarks/results/speed.png

Bars are the results with the C library as it comes; where they were measured too, markers show PyTorch with tuned memory
allocation and PyTorch in bfloat16, both against our float32.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from pathlib import Path
from typing import Any

import harness

OURS, INK, GRID = "#1f6f8b", "#22303c", "#d9dee3"
OTHERS = {  # further results drawn as markers: (label, marker, colour)
    "training-tuned-malloc.json": ("PyTorch with tuned malloc", "D", "#e09f3e"),
    "training-bfloat16.json": ("PyTorch in bfloat16, pellucid in float32", "o", "#9e2a2b"),
}


def read(path: Path) -> dict[str, Any]:
    """A result; networks that were refused are left out."""
    result = json.loads(path.read_text(encoding="utf-8"))
    result["networks"] = [row for row in result["networks"] if "ratio" in row]
    return result


def draw(result: dict[str, Any], others: dict[str, dict[str, Any]], path: Path) -> None:
    """One row per network, the largest ratio on top."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = sorted(result["networks"], key=lambda row: row["ratio"])
    places = {row["network"]: y for y, row in enumerate(rows)}
    figure, axes = plt.subplots(figsize=(8.5, 2.2 + 0.38 * len(rows)), dpi=160, layout="constrained")
    ratios = [row["ratio"] for row in rows]
    low, high = ([abs(row["quartiles"][side] - row["ratio"]) for row in rows] for side in (0, 1))
    axes.barh(range(len(rows)), ratios, height=0.62, color=OURS, zorder=2, label="pellucid against PyTorch as it comes")
    axes.errorbar(
        ratios, range(len(rows)), xerr=[low, high], fmt="none", ecolor=INK, elinewidth=1.2, capsize=3, zorder=4,
        label="the middle half of all rounds",
    )  # fmt: skip
    ends = [row["quartiles"][1] for row in rows]
    for file, other in others.items():
        label, marker, colour = OTHERS[file]
        points = [(row["ratio"], places[row["network"]]) for row in other["networks"] if row["network"] in places]
        axes.plot(
            *zip(*points, strict=True),
            marker,
            color=colour,
            markeredgecolor="white",
            zorder=5,
            label=label,
            linestyle="",
        )
        for ratio, place in points:
            ends[place] = max(ends[place], ratio)
    widest = max([*ends, 1.0])
    for y, row in enumerate(rows):
        text = f"{row['ratio']:.1f}x   {row['images_per_second']['pellucid']:,} images/s"
        axes.text(ends[y] + 0.03 * widest, y, text, va="center", fontsize=9, color=INK)
    axes.axvline(1, color=INK, linewidth=1.4, linestyle="--", zorder=3)
    axes.text(1 + 0.01 * widest, len(rows) - 0.55, "PyTorch", va="bottom", fontsize=9, color=INK)
    axes.set_yticks(range(len(rows)), [row["network"] for row in rows], family="monospace", color=INK)
    axes.set_xlim(0, 1.38 * widest)
    axes.set_ylim(-0.6, len(rows) + 0.15)
    axes.set_xlabel("images per second, as a multiple of PyTorch's (the better of its two memory formats)", color=INK)
    axes.grid(axis="x", color=GRID, zorder=0)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    title = "Training on a CPU: pellucid's speed as a multiple of PyTorch's"
    figure.suptitle(title, x=0.01, ha="left", weight="bold", color=INK)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=8.5, frameon=False, borderaxespad=0)
    figure.supxlabel(_caption(result), fontsize=7.5, color=INK, x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _caption(result: dict[str, Any]) -> str:
    machine, settings, versions = result["machine"], result["settings"], result["versions"]
    words = (
        f"One step: forward, backward, SGD; batches of {settings['batch']}, float32. {machine['cpu']}, "
        f"{settings['threads']} threads. PyTorch {versions['torch']}, pellucid {versions['pellucid']} ({result['commit']}), "
        f"{result['date'][:10]}; medians of {settings['runs']} interleaved rounds. {result['command']}"
    )
    return textwrap.fill(words, 140)


def main() -> int:
    """Draw the figure from the results there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=harness.RESULTS, metavar="FOLDER", help="default: benchmarks/results"
    )
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="default: speed.png in that folder")
    options = parser.parse_args()
    plain = options.results / "training.json"
    if not plain.is_file():
        raise SystemExit("There is no training.json among the results: run benchmarks/training.py first.")
    others = {name: read(options.results / name) for name in OTHERS if (options.results / name).is_file()}
    result = read(plain)
    if not result["networks"]:
        raise SystemExit("training.json holds no measured network.")
    output = options.output or options.results / "speed.png"
    draw(result, others, output)
    print(f"{len(result['networks'])} networks drawn to {output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
