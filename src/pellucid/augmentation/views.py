"""Asking a network about several views of an image and taking the mean: a little better, and so many times slower."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..errors import PellucidError, ShapeError, nearest
from ..layers import Layer
from ..layers.activation import activate
from ..ops.augment import Draws, reflect


class View(NamedTuple):
    """How an image is looked at, and how much that counts."""

    weight: float
    mirrored: int = 0
    down: int = 0  # so many pixels further down and right in the image; the border reflects
    right: int = 0


VIEWS: dict[str, tuple[View, ...]] = {
    "none": (View(1.0),),
    "mirror": (View(0.5), View(0.5, 1)),
    "mirror+shifts": tuple(
        View(weight, mirrored, step, step)
        for step, weight in ((0, 0.25), (-1, 0.125), (1, 0.125))
        for mirrored in (0, 1)
    ),
}
_FROM_LOGITS = ("softmax", "log_softmax", "sigmoid")


def known(views: str) -> str:
    """The name itself, or an error with the nearest match.

    >>> list(VIEWS)
    ['none', 'mirror', 'mirror+shifts']
    """
    if views not in VIEWS:
        raise PellucidError(f"There are no views {views!r}. {nearest(str(views), VIEWS)}")
    return views


def ask(network: Layer, x: NDArray, views: str = "none") -> NDArray:
    """The outputs of a network for its input ``x`` (N, H, W, C), the mean over ``views``.

    ``"mirror"``: the image and its mirror image. ``"mirror+shifts"``: both, as they are with weight 1/2, and seen one pixel up
    and left, and one pixel down and right, with weight 1/4 each. Logits are averaged: a last softmax or sigmoid comes after.

    Source: Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498.
    """
    looks = VIEWS[known(views)]
    if len(looks) == 1:
        return network(x)
    if x.ndim != 4:
        raise ShapeError(f"The views {views!r} want images (N, H, W, C) but get {x.shape}; ask with views='none'.")
    last = network.final_activation if network.final_activation in _FROM_LOGITS else None
    bare = network if last is None else network.without_activation()
    first, *others = looks
    total = bare(x) * x.dtype.type(first.weight)
    for view in others:
        total += bare(look(x, view)) * x.dtype.type(view.weight)
    return activate(last, total)[0]


def look(x: NDArray, view: View) -> NDArray:
    """Images (N, H, W, C) in another view.

    >>> look(np.arange(4.0).reshape(1, 1, 4, 1), View(1, mirrored=1, right=1)).ravel()
    array([2., 3., 2., 1.])
    """
    moves = np.tile([view.mirrored, view.down, view.right], (len(x), 1))
    if x.dtype == np.float32:
        one, zero = np.ones(x.shape[3], np.float32), np.zeros(x.shape[3], np.float32)
        return backend.pixels("render", np.ascontiguousarray(x), Draws(np.arange(len(x)), moves), one, zero)
    h, w = x.shape[1:3]
    columns = np.arange(w)[::-1] if view.mirrored else np.arange(w)
    rows, columns = reflect(np.arange(h) + view.down, h), reflect(columns + view.right, w)
    return np.ascontiguousarray(x[:, rows[:, None], columns])
