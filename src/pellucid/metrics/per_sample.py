"""Scores of a batch of predictions, one number per sample, to be averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError, nearest

Metric = Callable[[NDArray, NDArray, float], NDArray[np.bool_]]


def _labels(targets: NDArray, classes: int) -> NDArray:
    return targets.argmax(axis=1) if targets.ndim == 2 and classes > 1 and targets.shape[1] > 1 else targets.reshape(-1)


def accuracy(outputs: NDArray, targets: NDArray, threshold: float = 0.5) -> NDArray[np.bool_]:
    """Whether the largest output is the right class; for a single output, whether it lies on the right side of ``threshold``.

    Shapes: outputs (N, K), targets (N,) or (N, K); returns (N,).

    >>> accuracy(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    array([ True, False])
    """
    labels = _labels(targets, outputs.shape[1])
    numbers = ~np.isnan(outputs).any(axis=1)  # NaN is no answer, not the first class
    if outputs.shape[1] == 1:
        return numbers & ((outputs[:, 0] > threshold) == (labels > 0.5))  # labels may be mixed
    return numbers & (outputs.argmax(axis=1) == labels)


def top_k(k: int) -> Metric:
    """Whether the right class is among the ``k`` largest outputs.

    >>> top_k(2)(np.array([[0.1, 0.3, 0.6]]), np.array([1]), 0.5)
    array([ True])
    """

    def among_the_largest(outputs: NDArray, targets: NDArray, threshold: float = 0.5) -> NDArray[np.bool_]:
        labels = _labels(targets, outputs.shape[1])
        right = np.take_along_axis(outputs, labels[:, None], axis=1)
        return (~(outputs <= right)).sum(axis=1) < k  # so written, outputs that are NaN are never right

    return among_the_largest


METRICS: dict[str, Metric] = {"accuracy": accuracy, "top_3_accuracy": top_k(3), "top_5_accuracy": top_k(5)}


def get(names: str | Iterable[str]) -> dict[str, Metric]:
    """Metrics by name, one or several; ``"acc"`` is short for accuracy.

    >>> list(get(["acc"]))
    ['accuracy']
    """
    names = [names] if isinstance(names, str) else names
    full = ["accuracy" if name == "acc" else name for name in names]
    for name in full:
        if name not in METRICS:
            raise PellucidError(f"There is no metric {name!r}. {nearest(str(name), METRICS)}")
    return {name: METRICS[name] for name in full}
