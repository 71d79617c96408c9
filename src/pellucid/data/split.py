"""A stratified split: a part with the same class proportions as the whole."""

from __future__ import annotations

import numpy as np

from ..errors import DataError
from ..randomness import GOLDEN, mix


def stratified_split(labels: np.ndarray, size: float | int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (rest, part), both ascending: the part holds ``size`` images with the classes' proportions kept.

    ``size`` is a fraction between 0 and 1 (a float) or a number of images (an int). Every class gets its exact share,
    rounded down, and the images left over go to the classes with the largest remainders; so each class is within one
    image of its share. At least one image of each class stays in the rest. The result depends on (seed, labels) alone,
    not on the version of a random number library: each image draws a 64-bit number from (seed, its index), and the
    smallest of a class are taken.

    Raises
    ------
    DataError
        ``size`` is out of range, or leaves a class without images in the rest.

    >>> rest, part = stratified_split(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.5, seed=0)
    >>> len(rest), np.bincount(np.array([0, 0, 0, 0, 1, 1, 1, 1])[part]).tolist()
    (4, [2, 2])
    """
    labels = np.asarray(labels)
    n = len(labels)
    wanted = number_of_images(size, n)
    classes, positions, counts = np.unique(labels, return_inverse=True, return_counts=True)
    share = counts * wanted // max(n, 1)  # rounded down, exact in integers
    remainder = counts * wanted - share * n
    may_grow = share + 1 <= counts - 1
    order = np.lexsort((np.arange(len(classes)), -remainder))
    growing = order[(remainder[order] > 0) & may_grow[order]][: wanted - int(share.sum())]
    share[growing] += 1
    if (share >= counts).any() or (isinstance(size, int) and share.sum() != wanted):
        raise DataError(
            f"A validation part of {wanted:,} of {n:,} images leaves a class without training images "
            f"(the smallest class has {int(counts.min())}). Choose a smaller one."
        )
    keys = _random_keys(seed, n)
    by_class = np.lexsort((keys, positions))  # classes one after another, keys ascending inside each
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    chosen = np.zeros(n, bool)
    for start, number in zip(starts, share, strict=True):
        chosen[by_class[start : start + number]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def number_of_images(size: float | int, n: int) -> int:
    """How many of ``n`` images a split ``size`` means: a fraction of them (at least one) or a number.

    >>> number_of_images(0.1, 1000), number_of_images(50, 1000), number_of_images(0, 1000)
    (100, 50, 0)
    """
    if isinstance(size, bool) or not isinstance(size, (int, float, np.integer, np.floating)):
        raise DataError(f"The size of a split is {size!r}; it is a fraction such as 0.1 or a number of images.")
    if isinstance(size, (float, np.floating)):
        if not 0 <= size < 1:
            raise DataError(
                f"The size of a split is {size}; a fraction lies between 0 and 1 (a whole number counts images)."
            )
        return 0 if size == 0 else max(1, round(size * n))
    if not 0 <= size < max(n, 1):
        raise DataError(f"The size of a split is {size:,} images; there are {n:,}, and some must remain to train on.")
    return int(size)


def _random_keys(seed: int, n: int) -> np.ndarray:  # uint64 (n,)
    start = mix(np.array([seed & 0xFFFF_FFFF_FFFF_FFFF], np.uint64) + GOLDEN)  # wraps modulo 2^64, as intended
    return mix(start + np.arange(1, n + 1, dtype=np.uint64) * GOLDEN)
