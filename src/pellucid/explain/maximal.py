"""The images a filter likes best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..layers import Chain
from ..model import Sequential
from .network import batches, find_layer
from .receptive import Box, receptive_field


@dataclass(frozen=True, eq=False)
class Favourites:
    """For each filter (or unit) of a layer the images that excite it most, the strongest first.

    All arrays are (filters, top): ``images`` the places in ``x``, ``values`` the activations, ``rows`` and ``columns`` where in
    the map the activation was (-1 where the layer has no maps).
    """

    layer: str
    images: NDArray[np.int64]
    values: NDArray
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def box(self, model: Sequential, filter: int, place: int) -> Box:
        """The part of the image that excited it: the receptive field of that output."""
        row, column = int(self.rows[filter, place]), int(self.columns[filter, place])
        return receptive_field(model, self.layer, max(row, 0), max(column, 0))


def maximally_activating(
    model: Sequential, x: NDArray, layer: str, *, top: int = 9, batch_size: int = 64
) -> Favourites:
    """Search ``x`` for the ``top`` images that excite each filter of a layer most, each image counting at its strongest place.

    Source: Zeiler, Fergus, "Visualizing and understanding convolutional networks", arXiv:1311.2901.

    >>> from pellucid import zoo
    >>> found = maximally_activating(zoo.build("cnn2"), np.zeros((4, 32, 32, 3), np.float32), "conv1", top=2)
    >>> found.images.shape
    (32, 2)
    """
    path = find_layer(model, layer).path
    best: tuple[NDArray, NDArray, NDArray] | None = None  # values, images, places: each (candidates, filters)
    for part, batch in batches(model, x, batch_size):
        output = Chain.forward(model, batch)[1][path].output
        width = output.shape[2] if output.ndim == 4 else 0
        maps = output.reshape(len(output), -1, output.shape[-1])  # (N, places, filters)
        place = maps.argmax(axis=1)
        value = np.take_along_axis(maps, place[:, None], axis=1)[:, 0]
        image = np.broadcast_to(np.arange(part.start, part.stop)[:, None], value.shape)
        found = (value, image, place)
        if best is not None:
            found = tuple(np.concatenate(pair) for pair in zip(best, found, strict=True))  # type: ignore[assignment]
        order = np.argsort(-found[0], axis=0, kind="stable")[:top]
        best = tuple(np.take_along_axis(array, order, axis=0) for array in found)  # type: ignore[assignment]
    values, images, places = (np.ascontiguousarray(array.T) for array in best)  # type: ignore[union-attr]
    rows, columns = np.divmod(places, width) if width else (np.full_like(places, -1),) * 2
    return Favourites(path, images, values, rows, columns)
