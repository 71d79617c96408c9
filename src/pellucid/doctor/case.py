"""Everything that is known about a case, and what follows from it; what is not known is None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import Part
from ..explain import dead_units
from ..model import Sequential
from ..training.progress import Row
from .neighbours import Agreement, agreement

_SAMPLE = 128  # images a network is shown: a unit that none of them excites is as good as dead, and the look is cheap


@dataclass(frozen=True, eq=False)
class Case:
    """What is known: as much of it as there is.

    ``rows`` are those of ``History``; ``failures`` what ``training.Evidence`` wrote; ``held_out`` the parts of the data that are
    not trained on, by name; ``initial`` the weights before the first step, by path; ``trouble`` why the data could not be read.
    """

    rows: Sequence[Row] | None = None
    failures: Sequence[Mapping[str, Any]] | None = None
    model: Sequential | None = None
    initial: Mapping[str, NDArray] | None = None
    train: Part | None = None
    held_out: Mapping[str, Part] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    trouble: str | None = None

    @cached_property
    def priors(self) -> NDArray | None:
        """The share of every class among the training labels (K,)."""
        if self.train is None or not len(self.train):
            return None
        outputs = 0
        if self.model is not None and self.model.input_shape is not None:
            outputs = self.model.output_shape(self.model.input_shape)[-1]
        return np.bincount(self.train.y, minlength=max(outputs, len(self.class_names))) / len(self.train)

    @cached_property
    def chance(self) -> float | None:
        """The loss of knowing nothing but how frequent the classes are; ln K for K classes of equal size.

        This is the entropy of the labels, smoothed as in training: no constant answer has a smaller cross-entropy. Known for
        categorical cross-entropy, and for binary with a single output.
        """
        priors, loss = self.priors, self.model.loss if self.model is not None else None
        if priors is None or loss is None or self.model is None:
            return None
        single = self.model.output_shape(self.model.input_shape or ())[-1] == 1
        if not ("categorical" in loss.name or (loss.name == "binary_crossentropy" and single)):
            return None
        p = (1 - loss.label_smoothing) * priors + loss.label_smoothing / len(priors)
        p = p[p > 0]
        return float(-(p * np.log(p)).sum()) or None  # with one class there is nothing to know

    @cached_property
    def images(self) -> NDArray | None:
        """Some training images (N, H, W, C), from all over the part: class folders are read one after another."""
        if self.train is None or not len(self.train):
            return None
        return self.train.x[spread(len(self.train), _SAMPLE)]

    @cached_property
    def dead(self) -> dict[str, NDArray] | None:
        """For every layer with ReLU which of its units none of ``images`` excites."""
        if self.model is None or self.images is None or not self.model.built:
            return None
        return dead_units(self.model, self.images)

    @cached_property
    def moved(self) -> float | None:
        """How far training took the weights: of all kernels the largest ‖W − W₀‖ / ‖W₀‖."""
        if self.model is None or self.initial is None:
            return None
        now = self.model.trainable_params
        lengths = {path: float(np.linalg.norm(self.initial[path])) for path in now if path.endswith("kernel")}
        ways = [np.linalg.norm(now[path] - self.initial[path]) / n for path, n in lengths.items() if n > 0]
        way = float(max(ways, default=math.nan))
        return way if math.isfinite(way) else None

    @cached_property
    def _agreement(self) -> Agreement | None:
        return None if self.train is None else agreement(self.train, self.held_out.get("validation"))

    def neighbours(self) -> Agreement | None:
        """Whether images that look alike have like labels. A method, because it takes a moment: asked only when it matters."""
        return self._agreement


def spread(n: int, count: int) -> NDArray[np.int64]:
    """At most ``count`` of the numbers 0 … n - 1, evenly spread.

    >>> spread(10, 4).tolist()
    [0, 3, 6, 9]
    """
    return np.linspace(0, n - 1, min(n, count)).round().astype(np.int64)


def as_part(given: Part | tuple[Any, Any]) -> Part:
    """Images and labels as a part; one-hot rows become class numbers."""
    if isinstance(given, Part):
        return given
    x, y = (np.asarray(array) for array in given)
    y = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(len(y))
    return Part(x, y.astype(np.int64))
