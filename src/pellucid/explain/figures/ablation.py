"""What the network loses without each filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ... import figures
from ...figures import canvas, drawn
from ..ablation import Ablation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST, _CLASSES = 16, 20  # filters by class


@drawn
def ablation(found: Ablation, class_names: Sequence[str] = ()) -> Figure:
    """All filters by their worth, and for the most valuable ones the classes that suffer."""
    order, count = found.ranking, min(_MOST, len(found.ranking))
    names = list(class_names) or [str(k) for k in range(found.class_drop.shape[1])]
    whole = f"{100 * found.accuracy:.1f} % of {found.images:,} images right with all of them"
    figure = canvas(8.6, 6.2, f"What each filter of {found.layer} is worth ({whole})")
    upper, lower = figure.subplots(2, 1, height_ratios=(1, 1.25))
    rises = found.loss_rise[order]
    colours = np.where(rises > 0, figures.BLUE, figures.ORANGE)
    upper.bar(np.arange(len(order)), rises, color=colours, width=0.8)
    upper.axhline(0, color=figures.INK, linewidth=0.8)
    upper.set(
        ylabel="rise of the loss",
        xlim=(-0.7, len(order) - 0.3),
        title="silenced one by one: blue is missed, without orange it is better",
    )
    ticks = np.arange(len(order)) if len(order) <= 64 else np.arange(0, len(order), len(order) // 32)
    upper.set_xticks(ticks, order[ticks], fontsize=6, rotation=90 if len(order) > 24 else 0)
    worst = np.nanmax(np.abs(found.class_drop[order[:count]]), axis=0, initial=-1)  # -1 for classes without images
    shown_classes = np.sort(np.argsort(-worst, kind="stable")[: min(_CLASSES, int((worst >= 0).sum()))])
    drops = 100 * found.class_drop[order[:count]][:, shown_classes].T  # (classes, filters)
    top = float(np.nanmax(np.abs(drops), initial=0)) or 1.0
    shown = lower.imshow(drops, cmap=figures.SIGNED, vmin=-top, vmax=top, aspect="auto")
    lower.set_xticks(range(count), order[:count], fontsize=7)
    lower.set_yticks(range(len(shown_classes)), [figures.label(names[k]) for k in shown_classes], fontsize=7)
    which = (
        "which classes lose"
        if len(shown_classes) == len(names)
        else f"the {len(shown_classes)} classes that change most"
    )
    lower.set(xlabel=f"filter, the {count} most valuable", title=f"{which}: fall of their recall")
    figure.colorbar(shown, ax=lower, label="points (red: lost)")
    return figure
