"""Softmax and cross-entropy in one pass: the loss and its gradient by the logits; the twin of ``ops.softmax_cross_entropy``.

With targets t of sum 1, and m the largest logit, the loss of a row is

    l = -Σ_k t[k] log softmax(z)[k] = log Σ_j e^(z[j] - m) + Σ_k t[k] (m - z[k])

and its gradient softmax(z) - t: once the exponentials are there, both are. For labels with smoothing a, t is 1 - a at the label
and a / K more everywhere. Targets of another kind, such as mixed ones, are computed by the reference.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..ops.loss import one_hot, shares
from .activation import exp
from .buffers import aligned
from .jit import FLOAT, IN1, IN2, INT, INTS, OUT1, OUT2, TEAM, array_of, kernel
from .softmax import CHUNK
from .threads import next_chunk, parallel_for

_WRONG = np.float32(np.nan)


@kernel(TEAM, INT, INT, IN2, INTS, FLOAT, IN1, OUT1, OUT1, OUT2)
def _cross_entropy(team, chunks, rows, logits, labels, smoothing, share, totals, distances, slopes):
    """Of every row Σ_j e^(z[j] - m), Σ_k t[k] (m - z[k]), and the gradient. One chunk is so many ``rows``."""
    classes = logits.shape[1]
    everywhere = smoothing / np.float32(classes)
    chunk = next_chunk(team)
    while chunk < chunks:
        for n in range(chunk * rows, min((chunk + 1) * rows, logits.shape[0])):
            z, slope, label = logits[n], slopes[n], labels[n]
            largest = z[0]
            for k in range(1, classes):
                largest = max(largest, z[k])
            total, distance = np.float32(0), np.float32(0)
            for k in range(classes):
                slope[k] = exp(z[k] - largest)
                total += slope[k]
                distance += largest - z[k]
            for k in range(classes):
                slope[k] = (slope[k] / total - everywhere) * share[n]
            if 0 <= label < classes:
                slope[label] -= (np.float32(1) - smoothing) * share[n]
                totals[n] = total
                distances[n] = (np.float32(1) - smoothing) * (largest - z[label]) + everywhere * distance
            else:
                totals[n] = distances[n] = _WRONG
        chunk = next_chunk(team)


def accepts(
    logits: NDArray, targets: NDArray, weights: NDArray | None = None, *, label_smoothing: float = 0.0, **settings: str
) -> bool:
    """Float32 logits of several classes, and a label for each row."""
    return (
        logits.dtype == np.float32
        and logits.ndim == 2
        and logits.shape[1] > 1
        and targets.dtype.kind in "iu"
        and targets.shape == logits.shape[:1]
    )


def softmax_cross_entropy(
    logits: NDArray,
    labels: NDArray,
    weights: NDArray | None = None,
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> tuple[NDArray, NDArray]:
    """The loss, and its gradient by the logits: logits (N, K), labels (N,), weights (N,)."""
    n, classes = logits.shape
    share = shares(n, weights, reduction, logits.dtype)
    totals, distances, slopes = np.empty(n, np.float32), np.empty(n, np.float32), aligned(logits.shape)
    rows = max(1, CHUNK // classes)
    parallel_for(
        _cross_entropy, -(-n // rows), rows, array_of(logits), labels.astype(np.intp), label_smoothing, share, totals,
        distances, slopes,
    )  # fmt: skip
    loss = ((np.log(totals) + distances) * share).sum()
    if not math.isfinite(loss):
        one_hot(labels.astype(np.int64), classes)  # raises if a label is no class
    return loss, slopes


def softmax_cross_entropy_backward(dy: float | NDArray, slopes: NDArray) -> NDArray:
    """dlogits[n] = dy · w[n] / Z · (softmax(logits)[n] - t[n])."""
    return slopes * np.float32(dy)
