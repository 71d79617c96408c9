"""How sure one can be of a share that was counted."""

from __future__ import annotations

import math


def wilson_interval(accuracy: float, images: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % confidence interval of a proportion, sound for small numbers and near 100 % too.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    >>> tuple(round(end, 4) for end in wilson_interval(0.94, 1017))
    (0.9237, 0.953)
    """
    centre = accuracy + z * z / (2 * images)
    width = z * math.sqrt(accuracy * (1 - accuracy) / images + z * z / (4 * images * images))
    scale = 1 + z * z / images
    return max(0.0, (centre - width) / scale), min(1.0, (centre + width) / scale)
