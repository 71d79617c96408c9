"""Which pixels mattered: the image, the heat, and one over the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ... import figures
from ...figures import canvas, drawn, picture
from ...model import Sequential
from ..attribution import Attribution
from ..network import class_name
from .parts import answers, grey, originals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CLIP = 99.5  # percent: a few pixels brighter than all others would leave the rest dark


@drawn
def attribution(model: Sequential, x: NDArray, found: Attribution) -> Figure:
    """A row for each image: what the network saw, how much each pixel mattered, and that laid over the image.

    Signed heat is red where it speaks for the class and blue where against; the scale is symmetric about zero.
    """
    images, said = originals(model, x), answers(model, x)
    where = f" at {found.layer}" if found.layer else ""
    rows = len(images)
    method = f"{found.method[0].upper()}{found.method[1:]}{where}"
    figure = canvas(7.8, 2.55 * rows + 0.45, f"{method}: which pixels matter for the class (its {found.score})")
    grid = figure.subplots(rows, 3, squeeze=False)
    for row, image, heat, answer, number, score in zip(
        grid, images, found.heat, said, found.classes, found.scores, strict=True
    ):
        name = figures.label(class_name(model, int(number)))
        picture(row[0], image, f"answer: {answer}")
        scale = _scale(heat, found.signed)
        shown = picture(row[1], heat, f"{name}: {found.score.partition(',')[0]} {score:.2f}", **scale)
        bar = figure.colorbar(shown, ax=row[1], shrink=0.85, pad=0.02)
        if not heat.any():
            row[1].set_title(f"nothing matters for {name}")
        bar.set_label("against < 0 < for" if found.signed else _MEANING.get(found.method, "influence"), fontsize=8)
        picture(row[2], grey(image))
        row[2].imshow(heat, alpha=_opacity(heat, scale), interpolation="nearest", **scale)
        row[2].set_title("over the image")
    return figure


_MEANING = {"saliency": "size of the gradient", "SmoothGrad": "size of the gradient", "Grad-CAM": "weighted activation"}


def _scale(heat: NDArray, signed: bool) -> dict[str, Any]:
    top = float(np.percentile(np.abs(heat), _CLIP)) or float(np.abs(heat).max()) or 1.0
    return (
        {"cmap": figures.SIGNED, "vmin": -top, "vmax": top}
        if signed
        else {"cmap": figures.HEAT, "vmin": 0, "vmax": top}
    )


def _opacity(heat: NDArray, scale: dict[str, Any]) -> NDArray:
    """Strong places cover the image, weak ones let it through."""
    return 0.75 * np.clip(np.abs(heat) / scale["vmax"], 0, 1) ** 0.7
