"""What is wrong with a network before it learns anything."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..explain.network import layers_of, number_of_classes
from ..layers import BatchNormalization, GroupNormalization, LayerNormalization, Rescaling, WhiteningConv2D
from ..model import Sequential
from .finding import Finding, Findings

_NORMALISING = (BatchNormalization, GroupNormalization, LayerNormalization, WhiteningConv2D)
_SQUASHING = ("softmax", "log_softmax", "sigmoid")

# Initial weights are drawn for inputs of a root mean square of about one. Standardised images have 1, images scaled to 0…1 a
# half, to -1…1 less than one; dark ones a few hundredths. Raw bytes have about 100, and bytes divided by 255 twice 0.002.
_LARGE, _SMALL = 10.0, 0.01


def inputs_not_scaled(model: Sequential, images: NDArray) -> Findings:
    """Images that reach the first weights far larger or smaller than these were drawn for."""
    x = model.to_input(model.check_input(images))
    for layer in model.layers:
        if not isinstance(layer, Rescaling):
            break
        x = layer(x)
    if isinstance(layer, _NORMALISING):  # it scales them
        return
    size = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
    if size == 0 or _SMALL <= size <= _LARGE or not math.isfinite(size):
        return
    # Behind a normalisation the size of a layer's output no longer matters; its bias and the first steps do suffer.
    helped = any(isinstance(place.layer, _NORMALISING) for place in layers_of(model).values())
    yield Finding(
        "inputs not scaled",
        "warning" if helped else "serious",
        f"The first layer sees numbers from {x.min():.4g} to {x.max():.4g}, root mean square {size:.3g}; "
        f"the first weights are drawn for about 1.",
        "Before compile set model.preprocessing = pl.Preprocessing.fit(x_train), which scales raw pixels inside the model, or "
        "divide bytes by 255 once.",
        {"rms": size, "smallest": float(x.min()), "largest": float(x.max())},
    )


def softmax_twice(model: Sequential) -> Findings:
    """Softmax of probabilities, which lie between 0 and 1, is nearly the same for all classes: the gradient withers.

    From probabilities (1, 0, …, 0) a second softmax makes e / (e + K - 1) for the right class, so the loss cannot fall below
    ln(e + K - 1) - 1 for K classes.
    """
    places = layers_of(model).values()
    named = [(p.path, getattr(p.layer, "activation", None)) for p in places if not p.layer.children()]
    squashing = [(path, activation) for path, activation in named if activation in _SQUASHING]
    before = [path for path, activation in squashing[:-1] if activation == "softmax"]
    if not before:
        return
    last, activation = squashing[-1]
    classes = number_of_classes(model)
    lowest = math.log(math.e + classes - 1) - 1
    both_at_the_end = {path for path, _ in named[-2:]} >= {before[-1], last}
    limit = f" The loss cannot fall below {lowest:.2f}." if both_at_the_end and activation == "softmax" else ""
    yield Finding(
        "softmax twice",
        "serious",
        f"{before[-1]} ends in softmax, and what it gives goes through {activation} again in {last}.{limit}",
        f"Keep one softmax, at the very end: let {before[-1]} be linear, or remove {last}.",
        {"layers": [*before, last]} | ({"lowest_loss": lowest} if limit else {}),
    )
