"""What several figures share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...figures import displayable, label
from ...metrics import as_probabilities
from ...model import Sequential
from ..network import class_name


def originals(model: Sequential, x: NDArray) -> NDArray:
    """Raw images as something to look at, (N, H, W, 1 or 3) in 0 … 1."""
    x = model.check_input(x)
    if model.data_format == "channels_first" and x.ndim == 4:
        x = x.transpose(0, 2, 3, 1)
    return displayable(x)


def answers(model: Sequential, x: NDArray) -> list[str]:
    """What the model says to each image: "cat 83 %"."""
    rows = as_probabilities(model.predict(x), model.final_activation)
    return [f"{label(class_name(model, int(row.argmax())))} {100 * row.max():.0f} %" for row in rows]


def grey(image: NDArray) -> NDArray:
    """The brightness of an image (H, W, C), for something to be laid over."""
    return image @ np.array([0.299, 0.587, 0.114], image.dtype) if image.shape[2] == 3 else image[:, :, 0]


def evenly(count: int, most: int) -> list[int]:
    """At most so many of ``count`` things, spread over all of them."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})
