"""The look of all figures: light, quiet, safe for the colour-blind; drawn without a window, whatever Matplotlib is set to.

A figure is a ``matplotlib.figure.Figure`` that belongs to the caller: notebooks show it, ``save`` writes it. Matplotlib is
loaded when the first one is drawn.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from .errors import PellucidError, nearest
from .files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

# Okabe and Ito's colours, told apart with every kind of colour vision: "Color universal design", 2008.
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, YELLOW, BLACK = "#56B4E9", "#CC79A7", "#F0E442", "#000000"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
INK, FAINT = "#222222", "#8A8A8A"

AMOUNTS = "cividis"  # from nothing to much
SIGNED = "RdBu_r"  # blue below zero, white at zero, red above
HEAT = "inferno"  # laid over pictures

SUFFIXES = (".png", ".svg", ".pdf", ".jpg")

_LETTERS = 24  # of a name

_STYLE: Any = {
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 150,
    "axes.facecolor": "white",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.titlesize": 11,
    "figure.dpi": 100,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib: figures look alike everywhere
    "font.size": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "image.interpolation": "nearest",
    "image.cmap": AMOUNTS,
    "svg.fonttype": "none",
}


def drawn(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function that makes a figure do so in the common style, untouched by the user's own settings of Matplotlib."""

    @functools.wraps(draw)
    def in_style(*arguments: P.args, **settings: P.kwargs) -> Figure:
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            return draw(*arguments, **settings)

    return in_style


def canvas(width: float, height: float, title: str = "") -> Figure:
    """An empty figure of this size in inches, whose parts keep out of each other's way."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure, atomically; the ending decides how: ``.png``, ``.svg``, ``.pdf`` or ``.jpg``.

    Raises ``PellucidError`` for another ending, ``OSError`` as the file system reports it.
    """
    import matplotlib

    path = Path(path).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise PellucidError(f"A figure cannot be written to {str(path)!r}. {nearest(path.suffix, SUFFIXES)}")
    kind = path.suffix.lower()[1:]
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box stands for it
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        write_atomically(path, lambda temporary: figure.savefig(temporary, format=kind))
    return path


def label(name: str) -> str:
    """A name that a user gave, fit for a figure: not long, and no formula, which "$" begins in Matplotlib.

    >>> label("cat"), label("5 $ or less"), label("a name that takes all the room there is")
    ('cat', '5 \\\\$ or less', 'a name that takes all t…')
    """
    short = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1].rstrip()}…"
    return short.replace("$", r"\$")


def picture(axes: Axes, image: NDArray, title: str = "", **settings: Any) -> Any:
    """Show an image (H, W), (H, W, 1) or (H, W, 3) without ticks; returns what ``imshow`` returns."""
    image = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    if image.ndim == 2 and "cmap" not in settings:
        settings = {"cmap": "gray", "vmin": 0, "vmax": 1} | settings
    shown = axes.imshow(image, interpolation="nearest", **settings)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title)
    return shown


def displayable(images: NDArray) -> NDArray:
    """Images (N, H, W, C) of any kind as something to look at: float in 0 … 1, one or three channels.

    Pixels 0 … 255 and numbers within 0 … 1 keep their meaning; other numbers are stretched, each image by itself. Of two, or more
    than three, channels the mean is shown.

    >>> displayable(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)).ravel().tolist()
    [0.0, 1.0]
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    else:
        images = images.astype(np.float32)
        low, high = (reduce(images, axis=(1, 2, 3), keepdims=True) for reduce in (np.min, np.max))
        if images.size and low.min() >= 0 and 1 < high.max() <= 255 and np.array_equal(images, np.round(images)):
            images = images / np.float32(255)
        elif images.size and (low.min() < 0 or high.max() > 1):
            images = (images - low) / np.maximum(high - low, np.finfo(np.float32).tiny)
    return images if images.shape[3] in (1, 3) else images.mean(axis=3, keepdims=True)
