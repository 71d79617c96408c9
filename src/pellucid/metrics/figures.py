"""An evaluation in pictures: confusion matrix, ROC curves, reliability diagram, the surest mistakes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import figures
from ..figures import canvas, displayable, drawn, label, picture
from .evaluation import Evaluation
from .intervals import wilson_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVES = 10  # more than so many ROC curves cannot be told apart


@drawn
def confusion_matrix(found: Evaluation) -> Figure:
    """Rows are what images are, columns what they were taken for; the colour is the share of the row."""
    counts, names = found.confusion, [label(name) for name in found.class_names]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(1.6 + 0.5 * len(names), 3.6, 12))
    title = f"Confusion matrix: {100 * found.accuracy:.1f} % of {found.images:,} images are on the diagonal"
    figure = canvas(max(side + 0.8, 5.6), side, title)
    axes = figure.subplots()
    shown = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 25:
        for i, j in np.ndindex(*counts.shape):
            colour = "white" if share[i, j] > 0.6 else figures.INK
            if counts[i, j]:
                axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=colour, fontsize=7.5)
    size = 8 if len(names) <= 25 else 5
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set(xlabel="predicted", ylabel="true class")
    axes.spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes, label="share of the true class", shrink=0.8)
    return figure


@drawn
def roc_curves(found: Evaluation) -> Figure:
    """One class against the rest, for each class; of many classes the ten that are hardest to find."""
    with_curve = [score for score in found.classes if score.roc is not None]
    chosen = sorted(with_curve, key=lambda score: score.auc or 0)[:_CURVES]
    chosen = [score for score in with_curve if score in chosen]
    which = "one class against the rest" if len(chosen) == len(with_curve) else f"the {_CURVES} hardest classes"
    mean = "" if found.macro.auc is None else f", mean area {found.macro.auc:.3f}"
    figure = canvas(6.6, 4.2, f"ROC curves: {which}{mean}")
    axes = figure.subplots()
    for place, score in enumerate(chosen):
        colour, style = (
            figures.COLOURS[place % 7],
            "-" if place < 7 else "--",
        )  # yellow, the eighth, is too pale for a line
        false, true, _ = score.roc  # type: ignore[misc]
        axes.plot(false, true, style, color=colour, linewidth=1.4, label=f"{label(score.name)} {score.auc:.3f}")
    axes.plot([0, 1], [0, 1], ":", color=figures.FAINT, linewidth=1, label="guessing 0.500")
    axes.set(xlabel="false alarms: share of other classes taken for it", ylabel="found: share of the class recognised")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.legend(title="class, area under the curve", loc="center left", bbox_to_anchor=(1.02, 0.5), title_fontsize=8)
    return figure


@drawn
def reliability_diagram(found: Evaluation) -> Figure:
    """How often the network is right when it says how sure it is; below, how often it says so."""
    calibration = found.calibration
    figure = canvas(4.8, 5.0, f"Reliability: expected calibration error {100 * calibration.expected_error:.1f} points")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    there = calibration.count > 0
    centres, width = (calibration.edges[:-1] + calibration.edges[1:]) / 2, np.diff(calibration.edges)
    accuracy = calibration.accuracy[there]
    upper.bar(centres[there], accuracy, 0.92 * width[there], color=figures.SKY, label="right, in fact")
    ends = np.array([wilson_interval(a, n) for a, n in zip(accuracy, calibration.count[there], strict=True)])
    spread = np.abs(ends.T - accuracy)
    upper.errorbar(centres[there], accuracy, spread, fmt="none", color=figures.INK, linewidth=0.9, capsize=2)
    upper.plot([0, 1], [0, 1], "--", color=figures.VERMILION, linewidth=1.3, label="as sure as right")
    upper.set(ylabel="share that was right", ylim=(0, 1.02), xlim=(0, 1))
    upper.legend(loc="upper left")
    lower.bar(centres, calibration.count, 0.92 * width, color=figures.FAINT)
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="images")
    return figure


@drawn
def class_scores(found: Evaluation) -> Figure:
    """Precision and recall of each class, side by side; the recall with its 95 % interval."""
    scores = sorted(found.classes, key=lambda score: score.f1)
    places = np.arange(len(scores))
    figure = canvas(6.4, float(np.clip(1.2 + 0.36 * len(scores), 2.4, 14)), "Precision and recall of each class")
    axes = figure.subplots()
    recall = np.array([score.recall for score in scores])
    ends = [wilson_interval(s.recall, s.images) if s.images else (s.recall, s.recall) for s in scores]
    axes.errorbar(
        recall,
        places + 0.12,
        xerr=np.abs(np.array(ends).T - recall),
        fmt="o",
        color=figures.BLUE,
        label="recall: of its images, found",
        markersize=5,
        capsize=2,
        linewidth=1,
    )
    precision = [score.precision for score in scores]
    axes.plot(
        precision,
        places - 0.12,
        "D",
        color=figures.VERMILION,
        markersize=5,
        label="precision: of those named so, right",
    )
    axes.set_yticks(places, [label(score.name) for score in scores])
    axes.set(xlim=(0, 1.02), ylim=(-0.6, len(scores) - 0.4), xlabel="share (bars: 95 % interval)")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@drawn
def mistakes(found: Evaluation, images: NDArray, count: int = 20) -> Figure:
    """The most confident wrong predictions; ``images`` (N, H, W, C) are those the evaluation was made on."""
    chosen = found.mistakes[:count]
    columns = 5
    rows = max(1, -(-len(chosen) // columns))
    title = f"The surest of {found.images - int(np.trace(found.confusion)):,} mistakes" if chosen else "No mistakes"
    figure = canvas(1.5 * columns + 0.2, 1.95 * rows + 0.4, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, mistake in zip(grid.flat, chosen, strict=False):
        said = f"said {label(mistake.predicted)} {100 * mistake.confidence:.0f} %"
        truth = f"is {label(mistake.label)} ({100 * mistake.probability:.1f} %)"
        picture(axes, displayable(images[mistake.image : mistake.image + 1])[0])
        axes.set_title(f"{said}\n{truth}", fontsize=8)
    return figure


def write(found: Evaluation, folder: str | os.PathLike[str], images: NDArray | None = None) -> list[Path]:
    """Write all figures into a folder as PNG files; the mistakes only where their ``images`` are given."""
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "confusion-matrix": confusion_matrix(found),
        "class-scores": class_scores(found),
        "roc-curves": roc_curves(found),
        "reliability": reliability_diagram(found),
    }
    if images is not None:
        pictures["surest-mistakes"] = mistakes(found, images)
    return [figures.save(figure, folder / f"{name}.png") for name, figure in pictures.items()]
