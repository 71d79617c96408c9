"""Dropout: in training, every number is set to zero with some probability."""

from __future__ import annotations

from typing import NamedTuple

from numpy.typing import NDArray

from ..randomness import Randomness


class DropoutCache(NamedTuple):
    scale: NDArray  # 0 where dropped, 1 / (1 - rate) where kept


def dropout(x: NDArray, *, rate: float, rng: Randomness) -> tuple[NDArray, DropoutCache]:
    """y = x / (1 - rate) with probability 1 - rate, else 0, so that the expected value stays x.

    Which numbers are dropped is a function of ``rng`` alone: of the seed, the epoch, the image and the layer.

    Shapes: x (N, ...), y the same.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, "Dropout", JMLR 15 (2014).

    >>> import numpy as np
    >>> rng = Randomness.for_batch(seed=0, epoch=0, indices=np.arange(2))
    >>> y, cache = dropout(np.ones((2, 1000)), rate=0.2, rng=rng)
    >>> sorted(set(y.ravel().tolist())), round(float(y.mean()), 1)
    ([0.0, 1.25], 1.0)
    """
    keep = rng.uniform(x.shape[1:]) >= rate
    scale = keep * x.real.dtype.type(1 / (1 - rate))
    return x * scale, DropoutCache(scale)


def dropout_backward(dy: NDArray, cache: DropoutCache) -> NDArray:
    """dx = dy / (1 - rate) where the number was kept, else 0."""
    return dy * cache.scale
