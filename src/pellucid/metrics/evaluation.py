"""Everything there is to know about many predictions: ``evaluation(y, probabilities)``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import PellucidError
from .calibration import Calibration, calibration
from .intervals import wilson_interval
from .per_class import Averages, ClassScore, averages, class_scores
from .per_sample import top_k

_TOP = (2, 3, 5)


class Mistake(NamedTuple):
    """A wrong prediction: the place of the image, what it is, what it was taken for, and the probabilities of both."""

    image: int
    label: str
    predicted: str
    confidence: float
    probability: float  # of the right class


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What N predictions of K classes are worth.

    ``interval`` is the 95 % confidence interval of the accuracy (Wilson). ``log_loss`` is the mean of -log(probability of the
    right class), the cross-entropy without label smoothing; probabilities below the rounding error of their type count as
    that. ``top_k`` maps k to the share of images whose class is among the k likeliest. ``confusion`` (K, K) counts images by
    class (row) and prediction (column). ``mistakes`` holds the most confident wrong predictions, the surest first.
    """

    images: int
    class_names: tuple[str, ...]
    accuracy: float
    interval: tuple[float, float]
    top_k: dict[int, float]
    log_loss: float
    confusion: NDArray
    classes: tuple[ClassScore, ...]
    macro: Averages
    weighted: Averages
    calibration: Calibration
    mistakes: tuple[Mistake, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON. ROC curves are thinned to a few hundred points."""
        return {
            "images": self.images,
            "class_names": list(self.class_names),
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "top_k": {str(k): share for k, share in self.top_k.items()},
            "log_loss": self.log_loss,
            "confusion": self.confusion.tolist(),
            "classes": [score.to_dict() for score in self.classes],
            "macro": self.macro._asdict(),
            "weighted": self.weighted._asdict(),
            "calibration": self.calibration.to_dict(),
            "mistakes": [mistake._asdict() for mistake in self.mistakes],
        }

    def __rich__(self) -> Any:
        from .table import table

        return table(self)

    def __str__(self) -> str:
        import io

        from rich.console import Console

        console = Console(file=io.StringIO(), width=120, force_terminal=False)
        console.print(self)
        return console.file.getvalue()  # type: ignore[attr-defined]


def evaluation(
    y: ArrayLike,
    probabilities: ArrayLike,
    class_names: Sequence[str] | None = None,
    *,
    bins: int = 15,
    mistakes: int = 25,
) -> Evaluation:
    """Score predictions: labels ``y`` (N,) or one-hot (N, K), ``probabilities`` (N, K) or, for two classes, (N,) or (N, 1).

    Rows should sum to one; those of independent sigmoids do not and are divided by their sum. ``bins`` are those of the
    reliability diagram, ``mistakes`` how many of the most confident wrong predictions are kept.

    Precision, recall, F1 and ROC curves are scikit-learn's.

    Raises
    ------
    PellucidError
        for shapes that do not fit, labels that are no class, and probabilities that are negative, all zero or not finite.

    >>> found = evaluation([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> found.mistakes
    (Mistake(image=2, label='1', predicted='0', confidence=0.6, probability=0.4),)
    """
    given = np.asarray(probabilities)
    p = _checked_probabilities(given)
    labels = _checked_labels(np.asarray(y), p)
    names = tuple(map(str, range(p.shape[1]) if class_names is None or not len(class_names) else class_names))
    if len(names) != p.shape[1]:
        raise PellucidError(f"There are {len(names)} class names for {p.shape[1]} columns of probabilities.")
    n, k = p.shape
    least = np.finfo(
        given.dtype if given.dtype.kind == "f" else p.dtype
    ).eps  # as scikit-learn: nobody is wrong infinitely
    predicted = p.argmax(axis=1)
    right = predicted == labels
    confidence, of_label = p.max(axis=1), p[np.arange(n), labels]
    scores = class_scores(labels, p, names)
    wrong = np.flatnonzero(~right)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:mistakes]
    return Evaluation(
        images=n,
        class_names=names,
        accuracy=float(right.mean()),
        interval=wilson_interval(float(right.mean()), n),
        top_k={top: float(top_k(top)(p, labels, 0.5).mean()) for top in _TOP if top < k},
        log_loss=float(-np.log(np.maximum(of_label, least)).mean()),
        confusion=np.bincount(k * labels + predicted, minlength=k * k).reshape(k, k),
        classes=scores,
        macro=averages(scores, weighted=False),
        weighted=averages(scores, weighted=True),
        calibration=calibration(confidence, right, bins),
        mistakes=tuple(
            Mistake(int(i), names[labels[i]], names[predicted[i]], float(confidence[i]), float(of_label[i]))
            for i in worst
        ),
    )


def _checked_probabilities(p: NDArray) -> NDArray[np.float64]:
    p = np.asarray(p, np.float64)
    if p.ndim == 1 or (p.ndim == 2 and p.shape[1] == 1):
        p = np.stack([1 - p.reshape(-1), p.reshape(-1)], axis=1)
    if p.ndim != 2 or len(p) == 0:
        raise PellucidError(f"Probabilities have the shape {p.shape}; wanted (images, classes), at least one of each.")
    bad = ~np.isfinite(p).all(axis=1) | (p < 0).any(axis=1) | (p.sum(axis=1) <= 0)
    if bad.any():
        raise PellucidError(
            f"{bad.sum():,} of {len(p):,} rows are no probabilities (the first is {int(bad.argmax())}: negative, all zero or "
            "not finite). Give the outputs of softmax or sigmoid, not logits; NaN comes from a training that diverged."
        )
    return p / p.sum(axis=1, keepdims=True)


def _checked_labels(y: NDArray, p: NDArray) -> NDArray[np.int64]:
    labels = y.argmax(axis=1) if y.shape == p.shape else y.reshape(-1)
    if len(labels) != len(p):
        raise PellucidError(
            f"Labels have the shape {y.shape} for {len(p):,} rows of probabilities; wanted one for each."
        )
    whole = labels.astype(np.int64)
    if (whole != labels).any() or whole.min() < 0 or whole.max() >= p.shape[1]:
        raise PellucidError(f"Labels must be whole numbers from 0 to {p.shape[1] - 1}, one for each column.")
    return whole
