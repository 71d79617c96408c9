"""What was taken for what: the confusion matrix, its cells, and the images in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import figures
from ..metrics import Evaluation
from .answers import Answers, percent
from .pixels import coloured, embedded

LARGEST_TABLE = 26  # classes; beyond, a cell of a table is too small for a number
_THUMBNAIL = 64  # pixels
_PIXELS = 500_000  # of all thumbnails together: about 1.6 MB in the page
_PER_CELL, _PAIRS, _LETTERS = 12, 8, 12


class Cell(NamedTuple):
    """Images of one class and one answer; ``share`` of the images of the class."""

    key: str
    size: int
    share: float
    right: bool
    label: str
    predicted: str

    @property
    def words(self) -> str:
        """What the cell says, in a sentence."""
        said = "recognised" if self.right else f"taken for {self.predicted}"
        images = f"{self.size:,} image{'' if self.size == 1 else 's'}"
        return f"{self.label} {said}: {images}, {percent(self.share)} of its class"


@dataclass(frozen=True)
class Confusion:
    """``rows`` are (class, its images, cells), or empty where there are too many classes: then ``picture`` is the matrix.

    ``images`` maps a cell to the places of some of its images, ``thumbnails`` a place to (data URI, words). ``pairs`` are the
    most frequent mistakes.
    """

    names: tuple[str, ...]
    rows: list[tuple[str, int, list[Cell]]]
    pairs: list[Cell]
    picture: str = ""
    images: dict[str, list[int]] = field(default_factory=dict)
    thumbnails: dict[int, tuple[str, str]] = field(default_factory=dict)

    @property
    def label_length(self) -> int:
        """Letters that the names beside the table have room for."""
        return min(max(map(len, self.names)), _LETTERS)

    @property
    def interactive(self) -> dict[str, object]:
        """What the page's script needs to show the images of a cell."""
        cells = {cell.key: [cell.words, self.images[cell.key]] for cell in self.cells if cell.key in self.images}
        return {"cells": cells, "thumbnails": self.thumbnails}

    @property
    def cells(self) -> list[Cell]:
        """All cells of the table, or the most frequent mistakes where there is none."""
        return [cell for _, _, cells in self.rows for cell in cells if cell.size] or self.pairs


def confusion(answers: Answers) -> Confusion:
    """The matrix of all answers, with as many images in it as a page can bear."""
    scores = answers.evaluation
    matrix = _cells(scores)
    wrong = [cell for row in matrix for cell in row if not cell.right and cell.size]
    pairs = sorted(wrong, key=lambda cell: -cell.size)[:_PAIRS]
    if len(scores.class_names) > LARGEST_TABLE:
        share = scores.confusion / np.maximum(scores.confusion.sum(axis=1, keepdims=True), 1)
        picture = embedded(coloured(np.sqrt(share), figures.AMOUNTS, 0, 1))
        return Confusion(scores.class_names, [], pairs, picture, *_thumbnails(answers, pairs))
    totals = scores.confusion.sum(axis=1)
    rows = list(zip(scores.class_names, map(int, totals), matrix, strict=True))
    filled = [cell for row in matrix for cell in row if cell.size]
    return Confusion(scores.class_names, rows, pairs, "", *_thumbnails(answers, filled))


def _cells(scores: Evaluation) -> list[list[Cell]]:
    names, counts = scores.class_names, scores.confusion
    totals = np.maximum(counts.sum(axis=1), 1)
    return [
        [
            Cell(f"{i}-{j}", int(counts[i, j]), float(counts[i, j] / totals[i]), i == j, names[i], names[j])
            for j in range(len(names))
        ]
        for i in range(len(names))
    ]


def _thumbnails(answers: Answers, cells: list[Cell]) -> tuple[dict[str, list[int]], dict[int, tuple[str, str]]]:
    """The images of each cell, mistakes by their confidence, and each of them as a small picture."""
    sizes = np.array([cell.size for cell in cells])
    height, width = (min(side, _THUMBNAIL) for side in answers.x.shape[1:3])
    room = _PIXELS // (height * width)
    most = next((n for n in range(_PER_CELL, 0, -1) if np.minimum(sizes, n).sum() <= room), 1)
    images = {}
    for cell in cells[:room]:
        label, predicted = map(int, cell.key.split("-"))
        inside = np.flatnonzero((answers.y == label) & (answers.predicted == predicted))
        order = inside if cell.right else inside[np.argsort(-answers.confidence[inside], kind="stable")]
        images[cell.key] = [int(i) for i in order[:most]]
    thumbnails: dict[int, tuple[str, str]] = {}
    for i in (i for chosen in images.values() for i in chosen):
        thumbnails[i] = (embedded(_displayed(answers, i), _THUMBNAIL), answers.words(i))
    return images, thumbnails


def _displayed(answers: Answers, image: int) -> NDArray:
    return figures.displayable(answers.x[image : image + 1])[0]
