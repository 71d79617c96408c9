"""The figure of the README: how many times better than PyTorch, network by network.

    python benchmarks/figure.py                          # benchmarks/results/*.json -> benchmarks/results/speed.png

A panel for each result there is: the training step, predictions of many images, of one image, and the memory of a training.
Bars are the C library as it comes; where they were measured too, markers show PyTorch with tuned memory allocation and
PyTorch in bfloat16, both against our float32.
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import harness

INK, FAINT, GRID = "#22303c", "#6b7a86", "#dde3e8"
Rows = dict[str, dict[str, Any]]


class Panel(NamedTuple):
    """What one part of the figure shows."""

    title: str
    file: str  # without its ending; variants have words behind it
    ratio: Callable[[dict[str, Any]], dict[str, Any]]  # of a row: its "ratio" and "quartiles", 2 meaning twice as good
    colour: str


VARIANTS = {  # further results drawn as markers: (label, marker, colour)
    "-tuned-malloc": ("against PyTorch with tuned malloc", "D", "#e09f3e"),
    "-bfloat16": ("our float32 against PyTorch's bfloat16", "o", "#9e2a2b"),
}


def less(row: dict[str, Any]) -> dict[str, Any]:
    """A part of something, 0.5, as how many times less it is, 2."""
    return {"ratio": 1 / row["ratio"], "quartiles": [1 / share for share in reversed(row["quartiles"])]}


PANELS = (
    Panel("training step\ntimes faster", "training", lambda row: row, "#1f6f8b"),
    Panel("predicting many images\ntimes faster", "inference", lambda row: row["throughput"], "#3b8f6f"),
    Panel("predicting one image\ntimes faster", "inference", lambda row: row["latency"], "#7aa95c"),
    Panel("memory of a training\ntimes less", "memory", less, "#7d6b9e"),
)


def read(path: Path) -> dict[str, Any]:
    """A result; networks that were refused are left out."""
    result = json.loads(path.read_text(encoding="utf-8"))
    result["networks"] = [row for row in result["networks"] if "refused" not in row]
    return result


def results_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The results that the figure shows, by the names of their files."""
    names = {panel.file for panel in PANELS} | {panel.file + variant for panel in PANELS for variant in VARIANTS}
    return {name: read(folder / f"{name}.json") for name in sorted(names) if (folder / f"{name}.json").is_file()}


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """One row per network, the one that trains fastest beside PyTorch on top; one column per panel."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = {name: {row["network"]: row for row in result["networks"]} for name, result in results.items()}
    panels = [panel for panel in PANELS if rows.get(panel.file)]
    networks = list(dict.fromkeys(network for panel in panels for network in rows[panel.file]))
    training = rows.get("training", {})
    networks.sort(key=lambda name: training[name]["ratio"] if name in training else 0.0)
    size = (1.6 + max(5.4, 2.35 * len(panels)), 2.1 + 0.36 * len(networks))
    figure, axes = plt.subplots(1, len(panels), figsize=size, dpi=160, sharey=True, squeeze=False, layout="constrained")
    for panel, ax in zip(panels, axes[0], strict=True):
        _panel(panel, ax, networks, rows)
    axes[0, 0].set_yticks(range(len(networks)), networks, family="monospace", color=INK, fontsize=9)
    axes[0, 0].set_ylim(-0.6, len(networks) - 0.4)
    figure.suptitle("pellucid beside PyTorch on a CPU", x=0.008, ha="left", weight="bold", color=INK)
    handles = {label: handle for ax in axes[0] for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    wide = len(panels) > 2
    (figure if wide else axes[0, 0]).legend(
        handles.values(),
        handles.keys(),
        loc="upper right" if wide else "lower right",  # where the bars are short
        bbox_to_anchor=(1, 1) if wide else None,
        ncols=len(handles) if wide else 1,
        fontsize=8,
        frameon=False,
        labelcolor=INK,
    )
    caption = _caption(results, panels, int(17.5 * size[0]))
    figure.supxlabel(caption, fontsize=7, color=FAINT, x=0.008, ha="left", linespacing=1.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _panel(panel: Panel, ax: Any, networks: list[str], rows: dict[str, Rows]) -> None:
    places = {network: y for y, network in enumerate(networks)}
    found = {network: panel.ratio(row) for network, row in rows[panel.file].items()}
    ends = {network: ratio["quartiles"][1] for network, ratio in found.items()}
    ys, ratios = [places[network] for network in found], [ratio["ratio"] for ratio in found.values()]
    ax.barh(ys, ratios, height=0.62, color=panel.colour, zorder=2)
    spread = [[abs(ratio["quartiles"][side] - ratio["ratio"]) for ratio in found.values()] for side in (0, 1)]
    about = {"ecolor": INK, "elinewidth": 1.1, "capsize": 2.5, "zorder": 4, "label": "middle half of all rounds"}
    ax.errorbar(ratios, ys, xerr=spread, fmt="none", **about)
    for variant, (label, marker, colour) in VARIANTS.items():
        others = {name: panel.ratio(row) for name, row in rows.get(panel.file + variant, {}).items() if name in places}
        for name, ratio in others.items():
            ends[name] = max(ends.get(name, 0.0), ratio["ratio"])
        if others:
            xs, ys = [ratio["ratio"] for ratio in others.values()], [places[name] for name in others]
            ax.plot(
                xs, ys, marker, color=colour, markeredgecolor="white", markersize=6, zorder=5, label=label, linestyle=""
            )
    widest = max([1.0, *ends.values()])
    for network, ratio in found.items():
        ax.text(
            ends[network] + 0.03 * widest,
            places[network],
            f"{ratio['ratio']:.1f}x",
            va="center",
            fontsize=8.5,
            color=INK,
        )
    ax.axvline(1, color=INK, linewidth=1.2, linestyle="--", zorder=3)
    ax.set_xlim(0, 1.22 * widest)
    ax.set_title(panel.title, loc="left", fontsize=9.5, color=INK)
    ax.grid(axis="x", color=GRID, zorder=0)
    ax.tick_params(length=0, labelsize=8, colors=FAINT)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(GRID)


def _caption(results: dict[str, dict[str, Any]], panels: list[Panel], width: int) -> str:
    """What was measured where and how; of each panel, if they differ."""
    shown = {panel.file: results[panel.file] for panel in panels}
    batches = ", ".join(f"{name} in batches of {result['settings']['batch']}" for name, result in shown.items())
    receipts: dict[str, list[str]] = {}
    for name, result in shown.items():
        machine, versions = result["machine"], result["versions"]
        where = f"{machine['cpu']}, {result['settings']['threads']} threads"
        which = (
            f"PyTorch {versions['torch']}, pellucid {versions['pellucid']} at {result['commit']}, {result['date'][:10]}"
        )
        receipts.setdefault(f"{where}, {which}", []).append(name)
    measured = "; ".join(
        f"{', '.join(names)}: {text}" if len(receipts) > 1 else text for text, names in receipts.items()
    )
    text = (
        "The dashed line is PyTorch, the better of its two memory formats. float32; a training step is forward, backward and "
        f"SGD; {batches}. Medians of interleaved rounds. {measured}. How: benchmarks/README.md"
    )
    return textwrap.fill(text, width)


def main() -> int:
    """Draw the figure from the results there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=harness.RESULTS, metavar="FOLDER", help="default: benchmarks/results"
    )
    parser.add_argument("--output", type=Path, default=None, metavar="FILE", help="default: speed.png in that folder")
    options = parser.parse_args()
    results = results_in(options.results)
    if not any(result["networks"] for result in results.values()):
        raise SystemExit(f"There are no results in {options.results}: run benchmarks/training.py first.")
    output = options.output or options.results / "speed.png"
    draw(results, output)
    print(f"{', '.join(results)} drawn to {output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
