"""Pictures of training images: as they are, and as augmentation lets a network see them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .. import figures
from ..augmentation import Augmentation, Augmenter
from ..augmentation import get as get_augmentation
from ..data import Dataset
from ..errors import PellucidError
from ..preprocessing import Preprocessing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_ROWS = 12
_CELL = 0.92  # inches


def save_samples(
    dataset: Dataset,
    path: str | os.PathLike[str],
    *,
    augmentation: str | Augmentation | None = None,
    images: int = 8,
    seed: int = 0,
) -> Path:
    """Write ``augmented_samples`` or, without an augmentation, ``samples`` of the training part to a file."""
    if images < 1:
        raise PellucidError(f"The number of images in a row was {images}; wanted at least 1.")
    if Path(path).suffix.lower() not in figures.SUFFIXES:
        figures.save(figures.canvas(1, 1), path)  # refuses in its own words, before anything is drawn
    chosen = get_augmentation(augmentation)
    figure = augmented_samples(dataset, chosen, epochs=images, seed=seed) if chosen else samples(dataset, images=images)
    return figures.save(figure, path)


@figures.drawn
def samples(dataset: Dataset, *, images: int = 8) -> Figure:
    """The first ``images`` training images of every class, a row each."""
    train = dataset.train
    rows = [
        (name, train.x[np.flatnonzero(train.y == k)[:images]])
        for k, name in enumerate(dataset.class_names[:_MOST_ROWS])
    ]
    title = f"{dataset.name}: {len(train):,} training images of {dataset.num_classes} classes"
    figure, grid = _grid(title, len(rows), images, dataset.class_names)
    for cells, (name, some) in zip(grid, rows, strict=True):
        _row_name(cells[0], name)
        for axes, image in zip(cells, some, strict=False):
            figures.picture(axes, _shown(image))
    return figure


@figures.drawn
def augmented_samples(dataset: Dataset, augmentation: Augmentation, *, epochs: int = 8, seed: int = 0) -> Figure:
    """One training image of every class, as it is and as a training with this seed sees it in its first ``epochs``.

    Where images are mixed, a line below says what counts as the right answer.
    """
    train = dataset.train
    classes = [k for k in range(dataset.num_classes) if (train.y == k).any()][:_MOST_ROWS]
    indices = np.array([np.flatnonzero(train.y == k)[0] for k in classes])
    preprocessing = Preprocessing.fit(train.x)
    augmenter = Augmenter(
        augmentation, shape=dataset.input_shape, seed=seed, preprocessing=preprocessing, classes=dataset.num_classes
    )
    title = f"{dataset.name}, augmented: {str(augmentation).replace(',', ', ')}"
    figure, grid = _grid(title, len(classes), epochs + 1, dataset.class_names, gap=True)
    for cells, k, index in zip(grid, classes, indices, strict=True):
        _row_name(cells[0], dataset.class_names[k])
        figures.picture(cells[0], _shown(train.x[index]))
    grid[0, 0].set_title("in the data")
    for epoch in range(epochs):
        seen, targets = augmenter(train.x, train.y, indices, epoch)
        pixels = (seen + augmenter.shift) / augmenter.scale
        grid[0, epoch + 1].set_title(f"epoch {epoch + 1}")
        for axes, image, target in zip(grid[:, epoch + 1], pixels, targets, strict=True):
            figures.picture(axes, _shown(image, whole=train.x.dtype == np.uint8))
            if np.ndim(target):
                axes.set_xlabel(_shares(target, dataset.class_names), fontsize=6.5, labelpad=2)
    return figure


def _grid(title: str, rows: int, columns: int, names: tuple[str, ...], *, gap: bool = False) -> tuple[Figure, NDArray]:
    """Axes (rows, columns), all empty; with a ``gap`` behind the first column."""
    margin = 0.35 + 0.075 * max(map(len, names[:_MOST_ROWS]))
    figure = figures.canvas(margin + _CELL * (columns + 0.2 * gap), 0.5 + 1.12 * _CELL * rows, title)
    widths = [1.0, 0.12, *[1.0] * (columns - 1)] if gap else [1.0] * columns
    grid = figure.subplots(rows, len(widths), squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure, np.delete(grid, 1, axis=1) if gap else grid


def _row_name(axes, name: str) -> None:
    axes.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6)


def _shown(image: NDArray, *, whole: bool = True) -> NDArray:
    """Pixels as a picture: 0 … 1, floats stretched to it."""
    if image.dtype == np.uint8 or whole:
        image = np.clip(image / 255, 0, 1)
    else:
        image = (image - image.min()) / max(float(np.ptp(image)), 1e-12)
    return image if image.shape[2] in (1, 3) else image[:, :, :1]


def _shares(target: NDArray, names: tuple[str, ...]) -> str:
    """The two largest shares of a mixed label, "cat 0.7, dog 0.3"."""
    best = np.argsort(-target, kind="stable")[:2]
    return "\n".join(f"{names[k]} {target[k]:.2f}" for k in best if target[k] >= 0.005)
