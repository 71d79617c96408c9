"""Draw the picture of a run that opens the README.

    python docs/pictures/make_run.py runs/cifar10-cnn2-… --data-dir FOLDER

It shows images of the official test part with the network's answers, the curves of the run and the filters of its first layer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import pellucid as pl

INK, RIGHT, WRONG, MUTED = "#22303c", "#2a7f62", "#c4452d", "#8a97a3"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("run.png"))
    arguments = parser.parse_args()

    model = pl.load(arguments.run / "model.safetensors")
    lines = [json.loads(line) for line in (arguments.run / "metrics.jsonl").read_text().splitlines()]
    rows = [line for line in lines if "train_loss" in line]
    held_out = pl.data.load("cifar10", data_dir=arguments.data_dir, verify=False).test
    chosen = np.random.default_rng(3).choice(len(held_out), 20, replace=False)
    x, y = held_out.x[chosen], held_out.y[chosen]
    probabilities = model.predict(x)

    plt.rcParams.update({"font.family": "DejaVu Sans", "text.color": INK, "axes.labelcolor": INK, "font.size": 9})
    figure = plt.figure(figsize=(11, 6.2), dpi=110)
    grid = figure.add_gridspec(3, 20, height_ratios=[1, 1, 2.1], hspace=0.42, wspace=0.6)
    for i in range(20):
        axes = figure.add_subplot(grid[i // 10, 2 * (i % 10) : 2 * (i % 10) + 2])
        answer = int(probabilities[i].argmax())
        right = answer == y[i]
        axes.imshow(x[i], interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(color=RIGHT if right else WRONG, linewidth=2.5)
        text = f"{model.class_names[answer]} {probabilities[i, answer]:.0%}"
        axes.set_title(text, fontsize=7.8, color=RIGHT if right else WRONG, pad=3)
        if not right:
            axes.set_xlabel(f"is {model.class_names[y[i]]}", fontsize=8, color=MUTED, labelpad=2)

    axes = figure.add_subplot(grid[2, :11])
    epochs = [row["epoch"] for row in rows]
    axes.plot(epochs, [100 * row["train_accuracy"] for row in rows], "o-", color=MUTED, label="training images")
    axes.plot(epochs, [100 * row["val_accuracy"] for row in rows], "o-", color=RIGHT, label="validation images")
    axes.set(xlabel="epoch", ylabel="accuracy, %", xticks=epochs)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("Learning", loc="left", fontsize=10)

    kernel = next(array for path, array in model.params.items() if path.endswith("kernel"))  # (KH, KW, 3, CO)
    filters = figure.add_subplot(grid[2, 12:])
    filters.imshow(tile(kernel), interpolation="nearest")
    filters.set(xticks=[], yticks=[])
    filters.set_title(f"The {kernel.shape[3]} filters of the first layer", loc="left", fontsize=10)
    figure.savefig(arguments.out, bbox_inches="tight", facecolor="white")
    print(arguments.out)


def tile(kernel: np.ndarray, columns: int = 8) -> np.ndarray:
    """Filters (KH, KW, 3, CO) side by side, each stretched to the full range of colours."""
    kh, kw, _, co = kernel.shape
    rows = -(-co // columns)
    sheet = np.ones((rows * (kh + 1) - 1, columns * (kw + 1) - 1, 3))
    for i in range(co):
        one = kernel[..., i]
        one = 0.5 + 0.5 * one / np.abs(one).max()
        top, left = i // columns * (kh + 1), i % columns * (kw + 1)
        sheet[top : top + kh, left : left + kw] = one
    return sheet


if __name__ == "__main__":
    main()
