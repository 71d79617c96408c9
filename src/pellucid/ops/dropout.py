"""Dropout: in training, every number, or every channel of an image, is set to zero with some probability."""

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


def spatial_dropout(x: NDArray, *, rate: float, rng: Randomness) -> tuple[NDArray, DropoutCache]:
    """Whole channels of an image become 0 with probability ``rate`` and are divided by 1 - rate otherwise.

    Neighbouring pixels resemble each other, so that dropping single ones hides little; a dropped channel is gone.

    Shapes: x (N, ..., C), y the same.

    Source: Tompson, Goroshin, Jain, LeCun, Bregler, "Efficient object localization using convolutional networks",
    arXiv:1411.4280.

    >>> import numpy as np
    >>> rng = Randomness.for_batch(seed=0, epoch=0, indices=np.arange(1))
    >>> spatial_dropout(np.ones((1, 2, 2, 4)), rate=0.5, rng=rng)[0][0, :, :, 1].tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    keep = rng.uniform(x.shape[-1:]) >= rate  # (N, C)
    scale = keep * x.real.dtype.type(1 / (1 - rate))
    scale = scale.reshape(len(x), *[1] * (x.ndim - 2), x.shape[-1])
    return x * scale, DropoutCache(scale)


def spatial_dropout_backward(dy: NDArray, cache: DropoutCache) -> NDArray:
    """dx = dy / (1 - rate) where the channel was kept, else 0."""
    return dy * cache.scale
