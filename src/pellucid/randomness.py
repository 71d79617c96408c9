"""Counter-based randomness: a draw is a function of what it is for, not of what was drawn before.

What happens to image *i* in epoch *e* of a run with seed *s* depends on (s, e, i) and on the layer that asks, on nothing
else. So neither the number of threads nor an interruption can change it, and a resumed run needs no saved generator.

The generator is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014): the j-th
number of a stream with key *k* is ``mix(k + (j + 1) * GOLDEN)``, where ``mix`` is a bijection of 64-bit words that passes
the usual statistical batteries.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio, odd


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64, elementwise on uint64 arrays: a bijection that changes about half of the bits."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _words(*values: int) -> NDArray[np.uint64]:
    """Integers of any size and sign as one-element uint64 arrays (arrays wrap silently, NumPy scalars would warn)."""
    return np.array([value & 0xFFFF_FFFF_FFFF_FFFF for value in values], dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class Randomness:
    """The random streams of one batch, one 64-bit key per image, computed by ``make`` when something random is drawn.

    >>> rng = Randomness.for_batch(seed=0, epoch=3, indices=np.array([7, 2]))
    >>> again = Randomness.for_batch(seed=0, epoch=3, indices=np.array([2]))
    >>> bool(np.all(rng.uniform((4,))[1] == again.uniform((4,))[0]))   # image 2 draws the same in any batch
    True
    """

    make: Callable[[], NDArray[np.uint64]]
    descendants: list[Randomness] | None = None  # where they are kept track of

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """The keys (N,)."""
        return self.make()

    @classmethod
    def for_batch(cls, seed: int, epoch: int, indices: NDArray[np.integer]) -> Randomness:
        """Keys for the images with these ``indices`` in the data set."""

        def keys() -> NDArray[np.uint64]:
            base = mix(mix(_words(seed) + GOLDEN) + _words(epoch) * GOLDEN)
            return mix(base + (np.asarray(indices).astype(np.uint64) + np.uint64(1)) * GOLDEN)

        return cls(keys)

    def child(self, name: str) -> Randomness:
        """An independent set of streams, for example for a layer: ``rng.child("dropout1")``."""
        salt = zlib.crc32(name.encode())
        child = Randomness(lambda: mix(self.keys ^ mix(_words(salt) + GOLDEN)), self.descendants)
        if self.descendants is not None:
            self.descendants.append(child)
        return child

    def renewable(self) -> Randomness:
        """The same streams, for ``renew``."""
        return Randomness(self.make, [])

    def renew(self, other: Randomness) -> None:
        """Let all keys that were drawn, from this one or its descendants, be those of another batch, in the same places.

        >>> rng = Randomness.for_batch(seed=0, epoch=3, indices=np.array([7])).renewable()
        >>> keys = rng.child("dropout1").keys
        >>> rng.renew(Randomness.for_batch(seed=0, epoch=4, indices=np.array([2])))
        >>> bool(keys == Randomness.for_batch(seed=0, epoch=4, indices=np.array([2])).child("dropout1").keys)
        True
        """
        if "keys" in vars(self):
            self.keys[...] = other.keys
        for descendant in self.descendants or ():  # parents come first
            if "keys" in vars(descendant):
                descendant.keys[...] = descendant.make()

    def bits(self, shape: tuple[int, ...]) -> NDArray[np.uint64]:
        """``(N, *shape)`` words of 64 random bits."""
        counters = np.arange(1, 1 + int(np.prod(shape)), dtype=np.uint64) * GOLDEN
        return mix(self.keys[:, None] + counters[None, :]).reshape(len(self.keys), *shape)

    def uniform(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """``(N, *shape)`` numbers, uniform in [0, 1), with 53 random bits each."""
        return (self.bits(shape) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The order in which the ``n`` images of a training set are seen in an epoch.

    >>> sorted(permutation(0, 1, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    words = mix(mix(_words(seed) + GOLDEN) + _words(epoch) * GOLDEN)
    return np.random.Generator(np.random.Philox(key=int(words[0]))).permutation(n)


def generator(seed: int, name: str = "") -> np.random.Generator:
    """A NumPy generator for one-time draws such as the first values of the weight called ``name``."""
    words = [seed & 0xFFFF_FFFF_FFFF_FFFF, zlib.crc32(name.encode())]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(words)))
