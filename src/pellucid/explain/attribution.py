"""What an attribution is: for every pixel, how much it mattered for one score of one image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..layers import Chain
from ..model import Sequential
from .network import Classes, batches, class_numbers, direction, predicted, scores_of

ValuesOf = Callable[[Chain, NDArray, NDArray, slice], NDArray]


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each pixel mattered for the score of a class, in each of N images.

    ``values`` are (N, H, W, C) by channel or (N, H, W); ``heat`` is always (N, H, W). ``classes`` (N,) are those explained,
    ``scores`` (N,) their scores, ``score`` says in words what these are. ``signed``: whether values below zero speak against
    the class. ``layer`` and ``maps`` (N, h, w), its own resolution, are Grad-CAM's.
    """

    method: str
    values: NDArray
    classes: NDArray
    scores: NDArray
    score: str
    signed: bool
    fold: str = ""  # how channels become one number: "sum" or "largest"
    layer: str | None = None
    maps: NDArray | None = None

    @property
    def heat(self) -> NDArray:
        """One number for each pixel: the sum over the channels where signs matter, else the largest size of any channel."""
        if self.values.ndim == 3:
            return self.values
        return self.values.sum(axis=3) if self.fold == "sum" else np.abs(self.values).max(axis=3)


def attribute(
    model: Sequential, x: NDArray, classes: Classes, of: str, batch_size: int, values_of: ValuesOf
) -> tuple[NDArray, NDArray, NDArray, str]:
    """Run ``values_of(network, batch, dy, part)`` over all images, ``dy`` (N, K) the gradient of the score by the outputs.

    Returns its results one behind the other, the classes explained, their scores, and what the scores are.
    """
    network, words = scores_of(model, of)
    wanted = class_numbers(model, classes, len(model.check_input(x)))
    values, chosen, scores = [], [], []
    for part, batch in batches(model, x, batch_size):
        outputs = network(batch)
        single_probability = words == "probability" and outputs.shape[1] == 1
        numbers = predicted(outputs - 0.5 if single_probability else outputs) if wanted is None else wanted[part]
        dy = direction(outputs, numbers)
        values.append(values_of(network, batch, dy, part))
        chosen.append(numbers)
        score = (outputs * dy).sum(axis=1)
        scores.append(score + (numbers == 0) if single_probability else score)  # 1 - p for class 0
    return np.concatenate(values), np.concatenate(chosen), np.concatenate(scores), words


def input_gradient(network: Chain, x: NDArray, dy: NDArray) -> NDArray:
    """The gradient of Σ outputs · dy by the input of the network: (N, H, W, C)."""
    _, tape = Chain.forward(network, x)
    dx, _ = Chain.backward(network, dy, tape)
    return dx  # type: ignore[return-value]
