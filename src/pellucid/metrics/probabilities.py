"""Outputs of a network as a probability for each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import ops


def as_probabilities(outputs: NDArray, activation: str | None) -> NDArray:
    """Outputs (N, K) behind ``activation`` as probabilities: those of softmax and sigmoid are, others are taken as logits.

    A single output (N, 1) is the probability, or the logit, of the second of two classes: the result is (N, 2) then.

    >>> as_probabilities(np.array([[0.0], [100.0]]), None)
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    if activation not in ("softmax", "sigmoid"):
        outputs = ops.softmax(outputs)[0] if outputs.shape[1] > 1 else ops.sigmoid(outputs)[0]
    return np.concatenate([1 - outputs, outputs], axis=1) if outputs.shape[1] == 1 else outputs
