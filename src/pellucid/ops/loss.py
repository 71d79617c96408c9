"""Losses: one number that says how wrong a batch of predictions is.

Every loss is a weighted mean over the N samples of the batch, ``loss = Σ_n w[n] l[n] / Z``, with ``weights`` w (N,),
1 where None. ``reduction`` chooses Z: ``"mean"`` is N, as in Keras; ``"weighted_mean"`` is Σ w, as in PyTorch's losses
with class weights (a batch whose weights are all 0 has the loss 0 and no gradient); ``"sum"`` is 1.

``targets`` are labels, integers (N,), or one-hot rows or probabilities (N, K). ``label_smoothing`` a moves the targets
towards the uniform distribution: ``(1 - a) targets + a / K`` (Szegedy et al., arXiv:1512.00567), a / 2 for binary losses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError, ShapeError
from .activation import log_softmax, sigmoid

SMALLEST_PROBABILITY = 1e-7  # Keras's; below it a probability counts as this, and its gradient as 0


class LossCache(NamedTuple):
    predictions: NDArray  # (N, K): whatever the derivative is simplest in
    targets: NDArray  # (N, K)
    share: NDArray  # (N, 1): w[n] / Z


def softmax_cross_entropy(
    logits: NDArray,
    targets: NDArray,
    weights: NDArray | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[NDArray, LossCache]:
    """Categorical cross-entropy of softmax(logits), computed together: l[n] = -Σ_k targets[n, k] log softmax(logits)[n, k].

    No probability is ever rounded to 0 before its logarithm is taken.

    Shapes: logits (N, K), targets (N,) or (N, K), weights (N,); the loss is a scalar. Raises ``PellucidError`` for a
    label outside 0 … K-1, ``ShapeError`` for shapes that do not fit.

    >>> loss, cache = softmax_cross_entropy(np.array([[0.0, 0.0], [1000.0, 0.0]]), np.array([1, 0]))
    >>> round(float(loss), 4)                           # (log 2 + 0) / 2
    0.3466
    """
    targets = _smooth(_rows(targets, logits), label_smoothing, logits.shape[1])
    log_p, _ = log_softmax(logits)
    loss, share = _reduce(-(targets * log_p).sum(axis=1), weights, reduction)
    return loss, LossCache(log_p, targets, share)


def softmax_cross_entropy_backward(dy: float | NDArray, cache: LossCache) -> NDArray:
    """dlogits[n] = w[n] / Z · (softmax(logits)[n] · Σ_k targets[n, k] - targets[n]); for one-hot targets just p - target."""
    log_p, targets, share = cache
    return (np.exp(log_p) * targets.sum(axis=1, keepdims=True) - targets) * (dy * share)


def categorical_cross_entropy(
    probabilities: NDArray,
    targets: NDArray,
    weights: NDArray | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[NDArray, LossCache]:
    """l[n] = -Σ_k targets[n, k] log probabilities[n, k], with probabilities below 1e-7 counted as 1e-7.

    Prefer ``softmax_cross_entropy`` where the logits are at hand. The rows are not normalised again.

    >>> loss, cache = categorical_cross_entropy(np.array([[0.25, 0.75]]), np.array([0]))
    >>> round(float(loss), 4)                           # log 4
    1.3863
    """
    targets = _smooth(_rows(targets, probabilities), label_smoothing, probabilities.shape[1])
    p = _at_least(probabilities, SMALLEST_PROBABILITY)
    loss, share = _reduce(-(targets * np.log(p)).sum(axis=1), weights, reduction)
    return loss, LossCache(probabilities, targets, share)


def categorical_cross_entropy_backward(dy: float | NDArray, cache: LossCache) -> NDArray:
    """dp[n, k] = -w[n] / Z · targets[n, k] / p[n, k], and 0 where p < 1e-7."""
    p, targets, share = cache
    below = p.real < SMALLEST_PROBABILITY
    return np.where(below, 0, -targets / np.where(below, 1, p)) * (dy * share)


def sigmoid_cross_entropy(
    logits: NDArray,
    targets: NDArray,
    weights: NDArray | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[NDArray, LossCache]:
    """Binary cross-entropy of sigmoid(logits), computed together: l[n] = mean_k log(1 + eᶻ) - targets · z, z = logits[n, k].

    >>> loss, cache = sigmoid_cross_entropy(np.array([[0.0], [-1000.0]]), np.array([1, 0]))
    >>> round(float(loss), 4)                           # (log 2 + 0) / 2
    0.3466
    """
    targets = _smooth(_rows(targets, logits), label_smoothing, 2)
    positive = logits.real > 0
    softplus = np.where(positive, logits, 0) + np.log1p(np.exp(np.where(positive, -logits, logits)))
    loss, share = _reduce((softplus - targets * logits).mean(axis=1), weights, reduction)
    return loss, LossCache(logits, targets, share)


def sigmoid_cross_entropy_backward(dy: float | NDArray, cache: LossCache) -> NDArray:
    """dlogits[n, k] = w[n] / (Z K) · (sigmoid(logits)[n, k] - targets[n, k])."""
    logits, targets, share = cache
    return (sigmoid(logits)[0] - targets) * (dy * share / logits.shape[1])


def binary_cross_entropy(
    probabilities: NDArray,
    targets: NDArray,
    weights: NDArray | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[NDArray, LossCache]:
    """l[n] = -mean_k (targets log p + (1 - targets) log(1 - p)), with p and 1 - p below 1e-7 counted as 1e-7.

    Prefer ``sigmoid_cross_entropy`` where the logits are at hand.

    >>> loss, cache = binary_cross_entropy(np.array([[0.25]]), np.array([1]))
    >>> round(float(loss), 4)
    1.3863
    """
    targets = _smooth(_rows(targets, probabilities), label_smoothing, 2)
    p = _at_least(probabilities, SMALLEST_PROBABILITY)
    q = _at_least(1 - probabilities, SMALLEST_PROBABILITY)
    each = -(targets * np.log(p) + (1 - targets) * np.log(q)).mean(axis=1)
    loss, share = _reduce(each, weights, reduction)
    return loss, LossCache(probabilities, targets, share)


def binary_cross_entropy_backward(dy: float | NDArray, cache: LossCache) -> NDArray:
    """dp[n, k] = w[n] / (Z K) · ((1 - targets) / (1 - p) - targets / p), each part 0 where its probability is below 1e-7."""
    p, targets, share = cache
    p_below, q_below = p.real < SMALLEST_PROBABILITY, (1 - p).real < SMALLEST_PROBABILITY
    up = np.where(q_below, 0, (1 - targets) / np.where(q_below, 1, 1 - p))
    down = np.where(p_below, 0, targets / np.where(p_below, 1, p))
    return (up - down) * (dy * share / p.shape[1])


def mean_squared_error(
    predictions: NDArray,
    targets: NDArray,
    weights: NDArray | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[NDArray, LossCache]:
    """l[n] = mean_k (predictions[n, k] - targets[n, k])².

    >>> loss, cache = mean_squared_error(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))
    >>> float(loss)
    2.0
    """
    targets = _smooth(_rows(targets, predictions), label_smoothing, predictions.shape[1])
    difference = predictions - targets
    loss, share = _reduce((difference * difference).mean(axis=1), weights, reduction)
    return loss, LossCache(difference, targets, share)


def mean_squared_error_backward(dy: float | NDArray, cache: LossCache) -> NDArray:
    """dpredictions[n, k] = w[n] / Z · 2 (predictions[n, k] - targets[n, k]) / K."""
    difference, _, share = cache
    return difference * (2 * dy * share / difference.shape[1])


def one_hot(labels: NDArray, classes: int, dtype: np.dtype | type = np.float32) -> NDArray:
    """Labels (N,) as rows (N, classes) with a single 1.

    Raises ``PellucidError`` for a label outside 0 … classes - 1.

    >>> one_hot(np.array([1, 0]), 3)
    array([[0., 1., 0.], [1., 0., 0.]], dtype=float32)
    """
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.size:
        raise PellucidError(
            f"Labels must lie in 0 … {classes - 1} for {classes} outputs, but {wrong.size} do not, the first is "
            f"{wrong[0]}. Count the classes from 0, or give the last layer more units."
        )
    rows = np.zeros((len(labels), classes), dtype)
    rows[np.arange(len(labels)), labels] = 1
    return rows


def _rows(targets: NDArray, predictions: NDArray) -> NDArray:
    """Any form of targets as (N, K) in the precision of the predictions."""
    n, classes = predictions.shape if predictions.ndim == 2 else (len(predictions), 0)
    if targets.shape == (n, 1) and classes > 1:
        targets = targets[:, 0]
    if targets.shape == (n,) and classes == 1:
        targets = targets[:, None]
    if targets.shape == (n,) and classes > 1 and targets.dtype.kind in "iub":
        return one_hot(targets.astype(np.int64), classes, predictions.real.dtype)
    if predictions.ndim != 2 or targets.shape != predictions.shape:
        raise ShapeError(
            f"The loss got predictions of shape {predictions.shape} and targets of shape {targets.shape} "
            f"({targets.dtype}); wanted predictions (N, K) and integer labels (N,) or targets (N, K)."
        )
    return targets.astype(predictions.real.dtype)


def _smooth(targets: NDArray, label_smoothing: float, classes: int) -> NDArray:
    return targets if not label_smoothing else targets * (1 - label_smoothing) + label_smoothing / classes


def _at_least(p: NDArray, smallest: float) -> NDArray:
    return np.where(p.real < smallest, p.real.dtype.type(smallest), p)  # NaN stays NaN


def _reduce(each: NDArray, weights: NDArray | None, reduction: str) -> tuple[NDArray, NDArray]:
    """Σ w l / Z and w / Z (N, 1)."""
    share = shares(len(each), weights, reduction, each.real.dtype)
    return (share * each).sum(), share[:, None]


def shares(count: int, weights: NDArray | None, reduction: str, dtype: np.dtype) -> NDArray:
    """What the loss of each sample counts: w / Z (N,).

    >>> shares(2, None, "mean", np.dtype(np.float32))
    array([0.5, 0.5], dtype=float32)
    """
    w = np.ones(count, dtype) if weights is None else np.asarray(weights, dtype)
    if w.shape != (count,):
        raise ShapeError(f"The loss got weights of shape {w.shape} for {count} samples; wanted ({count},).")
    divisors = {"mean": count, "weighted_mean": w.sum() or 1, "sum": 1}
    if reduction not in divisors:
        raise PellucidError(f"reduction was {reduction!r}; wanted one of {', '.join(divisors)}.")
    return w / divisors[reduction]
