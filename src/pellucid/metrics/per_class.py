"""Precision, recall and F1 of each class, one class against the rest, and their averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_POINTS = 201  # a curve in JSON


class Curve(NamedTuple):
    """A ROC curve: the share of the other classes taken for this one, and of this class found, as the threshold falls."""

    false_positive_rate: NDArray
    true_positive_rate: NDArray
    thresholds: NDArray

    def thinned(self, points: int = _POINTS) -> Curve:
        """At most so many of its points, the ends among them."""
        kept = np.unique(np.linspace(0, len(self.thresholds) - 1, points).round().astype(int))
        return Curve(*(values[kept] for values in self))


@dataclass(frozen=True, eq=False)
class ClassScore:
    """One class against the rest. ``images`` are its own; ``auc`` and ``roc`` are None without any of them, or with no others.

    precision = right / predicted as this class (0 where nothing was), recall = right / images of this class, F1 their
    harmonic mean.
    """

    name: str
    images: int
    precision: float
    recall: float
    f1: float
    auc: float | None
    roc: Curve | None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        numbers = {name: getattr(self, name) for name in ("name", "images", "precision", "recall", "f1", "auc")}
        roc = None
        if self.roc is not None:
            false, true, _ = self.roc.thinned()
            roc = {"false_positive_rate": false.tolist(), "true_positive_rate": true.tolist()}
        return {**numbers, "roc": roc}


class Averages(NamedTuple):
    """Means over the classes that have images: each class counting alike (macro), or each image (weighted)."""

    precision: float
    recall: float
    f1: float
    auc: float | None


def class_scores(y: NDArray, probabilities: NDArray, names: Sequence[str]) -> tuple[ClassScore, ...]:
    """The scores of each class: labels (N,), probabilities (N, K)."""
    from sklearn.metrics import precision_recall_fscore_support

    labels = np.arange(len(names))
    predicted = probabilities.argmax(axis=1)
    table = precision_recall_fscore_support(y, predicted, labels=labels, zero_division=0)
    scores = []
    for k, (precision, recall, f1, images) in enumerate(zip(*table, strict=True)):
        roc = _roc(y == k, probabilities[:, k])
        auc = None if roc is None else float(np.trapezoid(roc.true_positive_rate, roc.false_positive_rate))
        scores.append(ClassScore(names[k], int(images), float(precision), float(recall), float(f1), auc, roc))
    return tuple(scores)


def averages(scores: Sequence[ClassScore], *, weighted: bool) -> Averages:
    """The means over the classes that have images."""
    seen = [score for score in scores if score.images]
    weights = np.array([score.images if weighted else 1 for score in seen], float)

    def mean(name: str) -> float | None:
        values = [getattr(score, name) for score in seen]
        return None if None in values else float(np.average(values, weights=weights))

    return Averages(mean("precision"), mean("recall"), mean("f1"), mean("auc"))  # type: ignore[arg-type]


def _roc(positive: NDArray, score: NDArray) -> Curve | None:
    from sklearn.metrics import roc_curve

    if positive.all() or not positive.any():
        return None
    return Curve(*roc_curve(positive, score))
