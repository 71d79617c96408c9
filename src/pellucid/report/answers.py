"""What the network says to every image it is tested on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from numpy.typing import NDArray

from .. import figures, metrics
from ..model import Sequential
from ..run.asking import probabilities
from ..run.images import PARTS, choose_images
from .pixels import embedded

LARGEST = 128  # pixels of a picture on the page


class Picture(NamedTuple):
    """An image with its answer; ``where`` names it as ``pellucid explain`` takes it."""

    uri: str
    where: str
    label: str
    predicted: str
    confidence: float

    @property
    def right(self) -> bool:
        """Whether the answer is the label."""
        return self.label == self.predicted


@dataclass(frozen=True, eq=False)
class Answers:
    """Images ``x`` (N, H, W, C) of one part of the data, labels ``y`` (N,), ``probabilities`` (N, K), and their scores.

    ``notes`` belong beside the accuracy; ``images_per_second`` is the speed of these predictions.
    """

    part: str
    data: str
    x: NDArray
    y: NDArray
    probabilities: NDArray
    evaluation: metrics.Evaluation
    notes: tuple[str, ...]
    images_per_second: float

    @property
    def predicted(self) -> NDArray:
        """The likeliest class of each image (N,)."""
        return self.probabilities.argmax(axis=1)

    @property
    def confidence(self) -> NDArray:
        """Its probability (N,)."""
        return self.probabilities.max(axis=1)

    @property
    def right(self) -> NDArray:
        """Whether it is the label (N,)."""
        return self.predicted == self.y

    def picture(self, image: int) -> Picture:
        """One image as the page shows it."""
        names = self.evaluation.class_names
        return Picture(
            embedded(figures.displayable(self.x[image : image + 1])[0], LARGEST),
            self.where(image),
            names[self.y[image]],
            names[self.predicted[image]],
            float(self.confidence[image]),
        )

    def where(self, image: int) -> str:
        """The name of an image: test:17."""
        return f"{self.part}:{image}" if self.part in PARTS else f"image {image}"

    def words(self, image: int) -> str:
        """A line below a small picture."""
        return f"{self.where(image)}, {100 * self.confidence[image]:.0f}\u00a0%"


def ask(model: Sequential, overrides: Mapping[str, Any] | None = None) -> Answers:
    """Let the model answer all images of its test part, or of the part that comes closest.

    Raises ``PellucidError`` for data that are not there, and for answers that are not finite.
    """
    chosen = choose_images(model, overrides=overrides)
    x, y = chosen.images.x, chosen.images.y
    probabilities(model, x[:64])  # kernels are loaded with the first batch: that is no part of the speed
    start = time.perf_counter()
    p = probabilities(model, x)
    seconds = time.perf_counter() - start
    other_parts = tuple(f"{name}:" for name in PARTS if name != chosen.part)
    notes = tuple(note for note in chosen.dataset.notes if not note.startswith(other_parts)) + chosen.notes
    if model.views != "none":
        notes = (*notes, f"Every answer is the mean over several views of the image: {model.views}.")
    scores = metrics.evaluation(y, p, model.class_names)
    return Answers(chosen.part, chosen.dataset.name, x, y, p, scores, notes, len(x) / max(seconds, 1e-9))


def percent(share: float) -> str:
    """A share for reading, its sign never on another line: 100 % only where nothing is missing.

    >>> [percent(share).replace("\\u00a0", " ") for share in (0.9996, 1.0, 0.834)]
    ['> 99.9 %', '100 %', '83.4 %']
    """
    if 0.9995 <= share < 1:
        return ">\u00a099.9\u00a0%"
    return f"{100 * share:.1f}\u00a0%" if share < 1 else "100\u00a0%"
