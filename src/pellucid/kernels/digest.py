"""Have any of these arrays changed? Four multiplied sums per piece of memory answer that faster than they could be copied.

    h_j <- (h_j xor word) · PRIME      modulo 2⁶⁴, for every fourth word

Each step can be undone, so that one changed word always changes the digest; that several changes cancel each other out has a
chance of 2⁻⁶⁴. It is no cryptography: nobody is kept from changing weights in secret.

Source: Fowler, Noll, Vo, "The FNV Non-Cryptographic Hash Algorithm", with words for bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .assembly import word
from .jit import INT, TABLE, TEAM, kernel
from .threads import next_chunk, parallel_for

PRIME = 1099511628211
PIECE = 1 << 13  # words of one chunk
LANES = 4


@kernel(TEAM, INT, TABLE, TEAM)
def _digest(team, chunks, pieces, digests):
    """One chunk is one row of ``pieces``: an address, and how many words lie there."""
    chunk = next_chunk(team)
    while chunk < chunks:
        at, words = pieces[chunk, 0], pieces[chunk, 1]
        a = b = c = d = np.intp(chunk)
        for i in range(words // LANES):
            a = (a ^ word(at + 32 * i)) * PRIME
            b = (b ^ word(at + 32 * i + 8)) * PRIME
            c = (c ^ word(at + 32 * i + 16)) * PRIME
            d = (d ^ word(at + 32 * i + 24)) * PRIME
        for i in range(words // LANES * LANES, words):
            a = (a ^ word(at + 8 * i)) * PRIME
        digests[LANES * chunk], digests[LANES * chunk + 1] = a, b
        digests[LANES * chunk + 2], digests[LANES * chunk + 3] = c, d
        chunk = next_chunk(team)


class Digest:
    """Knows some arrays, which must be without gaps, and what was in them when it was made.

    Nobody looks into those that are read-only and own their memory: to change one, it has to be made writeable first.
    """

    def __init__(self, arrays: Sequence[NDArray]) -> None:
        self.fixed = [array for array in arrays if array.base is None and not array.flags.writeable]
        fixed = set(map(id, self.fixed))
        arrays = [array for array in arrays if id(array) not in fixed]
        self.arrays = [array for array in arrays if array.nbytes >= 8]
        self.short = [array for array in arrays if array.nbytes < 8]
        rows = [
            (start, min(PIECE, (end - start) // 8))
            for array in self.arrays
            for first in [array.ctypes.data]
            for end in [first + array.nbytes]
            for start in range(first, end - 7, 8 * PIECE)
        ]
        # what is left of an array behind its last whole word: the last word again, some bytes earlier
        rows += [(a.ctypes.data + a.nbytes - 8, 1) for a in self.arrays if a.nbytes % 8]
        self.pieces = np.array(rows, np.intp).reshape(-1, 2)
        self.now = np.zeros(LANES * len(rows), np.intp)
        self.update()
        self.then = self._value()

    def update(self) -> None:
        """Look at the arrays."""
        if len(self.pieces):
            parallel_for(_digest, len(self.pieces), self.pieces, self.now)

    def unchanged(self) -> bool:
        """Whether what ``update`` saw is what was there at first."""
        return self._value() == self.then and not any(array.flags.writeable for array in self.fixed)

    def _value(self) -> bytes:
        return self.now.tobytes() + b"".join(array.tobytes() for array in self.short)
