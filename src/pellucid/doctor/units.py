"""Units that say nothing, and networks that always say the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..explain.dead import counted, few_left
from ..explain.network import class_name, predicted
from ..model import Sequential
from ..training.progress import Row
from .finding import Finding, Findings


def dead_units(dead: Mapping[str, NDArray], images: NDArray) -> Findings:
    """ReLU units that never fire get no gradient, and so stay dead; mostly a step that was too large killed them.

    Some are no harm. Serious if a whole layer is dead: nothing comes through it, forwards or backwards.
    """
    shares = few_left(dead)
    if not shares:
        return
    yield Finding(
        "dead units",
        "serious" if max(shares.values()) == 1 else "warning",
        f"These units put out zero for all of {len(images):,} training images: {counted({path: dead[path] for path in shares})}.",
        "They no longer learn. Train anew with a tenth of the learning rate, put BatchNormalization before ReLU, or use "
        "LeakyReLU; look at the biases if you set them.",
        {"layers": {path: [int(units.sum()), int(units.size)] for path, units in dead.items()}},
    )


def one_answer(model: Sequential, images: NDArray, priors: NDArray, rows: Sequence[Row]) -> Findings:
    """A trained network that gives the same class for everything has not learned, or has forgotten."""
    if (priors > 0).sum() < 2 or priors.max() > 0.9 or rows[-1]["step"] < 100:  # of a rare class it may well not think
        return
    classes = np.unique(predicted(model.predict(images)))
    if len(classes) > 1:
        return
    name = class_name(model, int(classes[0]))
    yield Finding(
        "one answer",
        "serious",
        f"After {rows[-1]['step']:,} steps the network answers {name} for all of {len(images):,} training images, of which "
        f"{100 * priors[classes[0]]:.0f} % are {name}.",
        "Look at the other findings; without any, try a tenth of the learning rate and train longer.",
        {"class": int(classes[0]), "images": len(images)},
    )


def weights_not_finite(model: Sequential) -> Findings:
    """A weight that is NaN or infinite makes every answer so."""
    arrays = model.params | model.state
    bad = {path: int(np.count_nonzero(~np.isfinite(array))) for path, array in arrays.items()}
    bad = {path: count for path, count in bad.items() if count}
    if bad:
        path, count = next(iter(bad.items()))
        yield Finding(
            "weights not finite",
            "serious",
            f"{path} holds NaN or infinity in {count:,} of {math.prod(arrays[path].shape):,} places"
            + (f", and so do {len(bad) - 1} other arrays." if len(bad) > 1 else "."),
            "No answer of this model means anything. Train anew with a tenth of the learning rate.",
            {"arrays": bad},
        )
