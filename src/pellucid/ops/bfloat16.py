"""Numbers of 16 bits: a float32 without the lower half of its bits, which leaves 8 significant ones and the whole range.

The product of two such numbers is exact in float32. Mixed precision rounds what a convolution or a dense layer multiplies, and
sums and stores in float32; weights stay float32 between the steps.

Source: Kalamkar et al., "A study of bfloat16 for deep learning training", arXiv:1905.12322; Micikevicius et al., "Mixed
precision training", arXiv:1710.03740.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rounded(x: NDArray) -> NDArray:
    """The nearest number of 16 bits, still as float32; of two as near the one whose last bit is 0. Other types stay as they are.

    More than 3.39e38 becomes infinite, what is not a number stays so.

    >>> rounded(np.array([1.0, 1.003, 1.005, -3.14159], np.float32))
    array([ 1.      ,  1.      ,  1.0078125, -3.140625 ], dtype=float32)
    """
    if x.dtype != np.float32:
        return x
    bits = np.ascontiguousarray(x).view(np.uint32)
    near = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return np.where(np.isnan(x), x, near.view(np.float32))
