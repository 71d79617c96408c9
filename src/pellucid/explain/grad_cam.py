"""Grad-CAM: which places of a layer's maps speak for a class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..layers import AveragePooling2D, Chain, Dropout, MaxPooling2D, SpatialDropout2D
from ..layers.base import Field
from ..model import Sequential
from .attribution import Attribution, attribute
from .network import Classes, Place, find_layer, layers_of
from .receptive import receptive_fields

_NO_MAPS_OF_THEIR_OWN = (MaxPooling2D, AveragePooling2D, Dropout, SpatialDropout2D)


def grad_cam(
    model: Sequential,
    x: NDArray,
    classes: Classes = None,
    *,
    layer: str | None = None,
    of: str = "logit",
    batch_size: int = 64,
) -> Attribution:
    """The maps of a layer, weighted by how much each speaks for the class, added up, and what is below zero left out:

        maps = relu(Σ_c a_c · A_c),    a_c = the mean over all places of ∂score/∂A_c

    ``layer`` is any layer with maps, by path; without it ``default_layer``. ``maps`` (N, h, w) has the layer's resolution,
    ``values`` (N, H, W) the image's: each place of the map is put where its receptive field has its centre, with linear
    interpolation between (as PyTorch's bilinear resizing does, wherever the centres lie as that assumes).

    Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization",
    arXiv:1610.02391.

    >>> from pellucid import zoo
    >>> found = grad_cam(zoo.build("cnn2"), np.ones((2, 32, 32, 3), np.float32))
    >>> found.layer, found.maps.shape, found.values.shape
    ('conv2', (2, 16, 16), (2, 32, 32))
    """
    place = find_layer(
        model, layer or default_layer(model), lambda place: place.spatial, "maps with a place for each pixel"
    )

    def coarse(network: Chain, batch: NDArray, dy: NDArray, part: slice) -> NDArray:
        _, tape = Chain.forward(network, batch)
        gradient, _ = Chain.backward(network, dy, tape, until=place.path)
        weights = gradient.mean(axis=(1, 2), keepdims=True)  # type: ignore[union-attr]  # (N, 1, 1, C)
        return np.maximum((tape[place.path].output * weights).sum(axis=3), 0)

    maps, chosen, scores, words = attribute(model, x, classes, of, batch_size, coarse)
    size = (model.input_shape or ())[:2]
    values = enlarge(maps, receptive_fields(model)[place.path], size)
    return replace(Attribution("Grad-CAM", values, chosen, scores, words, signed=False), layer=place.path, maps=maps)


def default_layer(model: Sequential) -> str:
    """The last layer with maps, pooling and dropout left aside: they only thin out the maps of the layer before them.

    >>> from pellucid import zoo
    >>> default_layer(zoo.build("resnet8")), default_layer(zoo.build("vgg_small"))
    ('relu4', 'relu6')
    """
    with_maps = [place for place in layers_of(model).values() if "/" not in place.path and place.spatial]
    own = [place for place in with_maps if not isinstance(place.layer, _NO_MAPS_OF_THEIR_OWN)]
    chosen: list[Place] = own or with_maps
    if not chosen:
        raise PellucidError(
            "No layer of this network puts out maps (H, W, C), so there is nothing to show on the image."
        )
    return chosen[-1].path


def enlarge(maps: NDArray, field: Field, size: tuple[int, ...]) -> NDArray:
    """Maps (N, h, w) drawn over an image of ``size``: each place at the centre of its receptive field, linear between.

    >>> field = Field(size=(2, 2), step=(2, 2), start=(0, 0))            # as behind 2x2 pooling
    >>> enlarge(np.array([[[0.0, 1.0]]]), field, (1, 4))
    array([[[0.  , 0.25, 0.75, 1.  ]]])
    """
    for axis in (0, 1):
        n = maps.shape[1 + axis]
        centre = field.start[axis] + field.size[axis] / 2  # of the first place, in pixels from the image's edge
        where = np.clip((np.arange(size[axis]) + 0.5 - centre) / field.step[axis], 0, n - 1)
        below = np.minimum(where.astype(int), max(n - 2, 0))
        share = (where - below).astype(maps.dtype).reshape(-1, *[1] * (1 - axis))
        low = np.take(maps, below, axis=1 + axis)
        high = np.take(maps, np.minimum(below + 1, n - 1), axis=1 + axis)
        maps = low + share * (high - low)
    return maps
