"""Integrated gradients: what each pixel adds to the score on the way from an image that shows nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..layers import Chain
from ..model import Sequential
from .attribution import Attribution, attribute, input_gradient
from .network import Classes


def integrated_gradients(
    model: Sequential,
    x: NDArray,
    classes: Classes = None,
    *,
    baseline: float | NDArray = 0.0,
    steps: int = 50,
    of: str = "logit",
    batch_size: int = 64,
) -> Attribution:
    r"""The pixels' shares of the score, relative to a baseline b:

        values = (x - b) · ∫₀¹ ∂score/∂x (b + t (x - b)) dt

    They add up to score(x) - score(b) (completeness), as well as ``steps`` points of Gauss-Legendre integration can tell.
    ``baseline`` is a number or an array (H, W, C) behind ``model.preprocessing``, where 0 is the training images' mean colour.

    Source: Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks", arXiv:1703.01365.

    >>> from pellucid import zoo
    >>> model, x = zoo.build("cnn1_mnist", (8, 8, 1)), np.ones((1, 8, 8, 1), np.float32)
    >>> found = integrated_gradients(model, x, classes=1)
    >>> nothing = integrated_gradients(model, 0 * x, classes=1, steps=1).scores
    >>> bool(abs(found.values.sum() - (found.scores - nothing)[0]) < 1e-3)
    True
    """
    if steps < 1:
        raise PellucidError(f"steps was {steps}; wanted at least 1.")
    points, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = (points + 1) / 2, weights / 2  # from -1 … 1 to 0 … 1

    def integral(network: Chain, batch: NDArray, dy: NDArray, part: slice) -> NDArray:
        start = np.broadcast_to(np.asarray(baseline, batch.dtype), batch.shape)
        total = np.zeros(batch.shape, np.float64)
        for t, weight in zip(points, weights, strict=True):
            between = start + batch.dtype.type(t) * (batch - start)
            total += weight * input_gradient(network, np.ascontiguousarray(between), dy)
        return ((batch - start) * total).astype(batch.dtype)

    values, chosen, scores, words = attribute(model, x, classes, of, batch_size, integral)
    return Attribution("integrated gradients", values, chosen, scores, words, signed=True, fold="sum")
