"""The order in which a training visits its images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import randomness
from ..errors import DataError


def batch_indices(
    n: int, batch_size: int, *, seed: int, epoch: int, shuffle: bool = True, start: int = 0
) -> Iterator[np.ndarray]:
    """The batches of an epoch, as int64 arrays of indices into ``n`` images; the last one may be smaller.

    The order is a function of (seed, epoch) alone, so a resumed run passes ``start``, the number of batches already
    done, and continues with exactly the batches that are left.

    >>> [batch.tolist() for batch in batch_indices(5, 2, seed=0, epoch=0, shuffle=False)]
    [[0, 1], [2, 3], [4]]
    >>> whole = list(batch_indices(10, 3, seed=7, epoch=2))
    >>> left = list(batch_indices(10, 3, seed=7, epoch=2, start=2))
    >>> [batch.tolist() for batch in whole[2:]] == [batch.tolist() for batch in left]
    True
    """
    if batch_size < 1 or n < 0 or start < 0:
        raise DataError(f"Got n={n}, batch_size={batch_size}, start={start}; a batch has at least one image.")
    order = randomness.permutation(seed, epoch, n) if shuffle else np.arange(n, dtype=np.int64)
    return (order[first : first + batch_size] for first in range(start * batch_size, n, batch_size))


def number_of_batches(n: int, batch_size: int) -> int:
    """How many batches an epoch over ``n`` images has.

    >>> number_of_batches(5, 2)
    3
    """
    return -(-n // batch_size)
