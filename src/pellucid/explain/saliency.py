"""Gradients of a score by the pixels: saliency, and SmoothGrad, the same averaged over noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..layers import Chain
from ..model import Sequential
from ..randomness import generator
from .attribution import Attribution, attribute, input_gradient
from .network import Classes


def saliency(
    model: Sequential, x: NDArray, classes: Classes = None, *, of: str = "logit", batch_size: int = 64
) -> Attribution:
    """The gradient of the score by every pixel: where a small change would change the answer most.

    ``values`` (N, H, W, C) are the gradients by the network's input, that is behind ``model.preprocessing``; ``heat`` is the
    largest absolute value of the channels.

    Source: Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks", arXiv:1312.6034.

    >>> from pellucid import zoo
    >>> found = saliency(zoo.build("cnn2"), np.zeros((2, 32, 32, 3), np.float32), classes=3)
    >>> found.values.shape, found.heat.shape, found.score
    ((2, 32, 32, 3), (2, 32, 32), 'logit, before softmax')
    """

    def gradient(network: Chain, batch: NDArray, dy: NDArray, part: slice) -> NDArray:
        return input_gradient(network, batch, dy)

    values, chosen, scores, words = attribute(model, x, classes, of, batch_size, gradient)
    return Attribution("saliency", values, chosen, scores, words, signed=False, fold="largest")


def smooth_grad(
    model: Sequential,
    x: NDArray,
    classes: Classes = None,
    *,
    samples: int = 32,
    noise: float = 0.15,
    seed: int = 0,
    of: str = "logit",
    batch_size: int = 64,
) -> Attribution:
    """The mean of the gradients at ``samples`` noisy copies of each image: what saliency would be without its grain.

    The noise is normal; its standard deviation is ``noise`` times the range (largest minus smallest number) of the image as the
    network sees it. It depends on ``seed`` and the image's place in ``x`` alone, not on the batches.

    Source: Smilkov, Thorat, Kim, Viégas, Wattenberg, "SmoothGrad", arXiv:1706.03825.

    >>> from pellucid import zoo
    >>> smooth_grad(zoo.build("cnn2"), np.zeros((1, 32, 32, 3), np.float32), samples=2).values.shape
    (1, 32, 32, 3)
    """
    if samples < 1 or noise < 0:
        raise PellucidError(
            f"samples was {samples} and noise {noise}; wanted at least 1 sample and noise of at least 0."
        )

    def mean_gradient(network: Chain, batch: NDArray, dy: NDArray, part: slice) -> NDArray:
        axes = (1, 2, 3)
        spread = noise * (batch.max(axis=axes, keepdims=True) - batch.min(axis=axes, keepdims=True))
        streams = [generator(seed, f"smooth_grad/{image}") for image in range(part.start, part.stop)]
        total = np.zeros_like(batch)
        for _ in range(samples):
            draws = np.stack([stream.standard_normal(batch.shape[1:], np.float32) for stream in streams])
            total += input_gradient(network, (batch + spread * draws).astype(batch.dtype), dy)
        return total / samples

    values, chosen, scores, words = attribute(model, x, classes, of, batch_size, mean_gradient)
    return Attribution("SmoothGrad", values, chosen, scores, words, signed=False, fold="largest")
