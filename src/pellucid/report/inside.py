"""The network from inside: its layers, filters, maps, and what excites it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import explain, figures
from ..explain.dead import few_left
from ..explain.filters import convolutions
from ..explain.network import layers_of
from ..model import Sequential
from ..summary import Summary
from .pixels import coloured, embedded, sheet

SAMPLE = 256  # images looked at for statistics and favourites
_FILTERS, _COLUMNS = 64, 8  # of a layer that reads one or three channels
_DEEP, _READ, _LAYERS = 6, 12, 3
_MAP_LAYERS, _CHANNELS, _LARGEST_MAP = 8, 8, 64
_BRIGHT = 99.5  # percent: a few glaring pixels would leave the others dark
_EXCITED, _FAVOURITES, _THUMBNAIL = 6, 6, 64


class Kernels(NamedTuple):
    """The filters of a convolution as one picture; ``words`` say how to read it."""

    layer: str
    words: str
    uri: str
    columns: int


class Maps(NamedTuple):
    """The strongest maps of a layer for one image: (channel, data URI)."""

    layer: str
    shape: str
    channels: list[tuple[int, str]]


class Favourite(NamedTuple):
    """An image that excites a filter, and the frame of what the filter saw, in percent: left, top, width, height."""

    uri: str
    activation: float
    frame: tuple[float, float, float, float]


class Excited(NamedTuple):
    """A filter of a layer and the images that excite it most, the strongest first."""

    layer: str
    filter: int
    images: list[Favourite]


class LayerRow(NamedTuple):
    """A line of the table of layers; ``share`` is that of all multiply-adds, ``dead`` how many of ``outputs`` never fire, which
    is ``worrying`` where few others are left.
    """

    depth: int
    name: str
    kind: str
    settings: str
    output: str
    parameters: int
    multiply_adds: int
    share: float
    sees: str
    dead: int
    outputs: int
    worrying: bool


def kernels(model: Sequential) -> list[Kernels]:
    """The filters of the first convolution, in colour where it reads colours, and of some deeper ones by channel."""
    paths = convolutions(model)
    chosen = [paths[i] for i in _spread(len(paths), _LAYERS)]
    return [_kernels(path, explain.filters(model, path)) for path in chosen]


def _kernels(path: str, weights: NDArray) -> Kernels:
    count, kh, kw, channels = weights.shape
    top = float(np.abs(weights).max()) or 1.0
    size = f"{kh}×{kw}"
    if channels in (1, 3):
        shown = weights[:_FILTERS]
        if channels == 3:
            scale = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
            tiles = 0.5 + 0.5 * shown / np.maximum(scale, np.finfo(np.float32).tiny)
            how = "in the colours they look for: grey is zero, each filter in its own scale"
        else:
            tiles = coloured(shown[..., 0], figures.SIGNED, -top, top)
            how = "red adds, blue takes away, white is zero"
        return Kernels(
            path, f"{_of(len(shown), count)} filters of {size}, {how}", embedded(sheet(tiles, _COLUMNS)), _COLUMNS
        )
    shown = weights[:_DEEP, :, :, :_READ].transpose(0, 3, 1, 2)  # (filters, channels, KH, KW)
    tiles = coloured(shown.reshape(-1, kh, kw), figures.SIGNED, -top, top)
    words = (
        f"{_of(shown.shape[0], count)} filters of {size}, a row each; a column for each of {_of(shown.shape[1], channels)} "
        "channels they read; red adds, blue takes away"
    )
    return Kernels(path, words, embedded(sheet(tiles, shown.shape[1])), shown.shape[1])


def maps(model: Sequential, image: NDArray) -> list[Maps]:
    """What the outer layers make of one image (1, H, W, C): of each the channels with the largest mean."""
    spatial = [path for path, place in layers_of(model).items() if place.spatial and "/" not in path]
    chosen = [spatial[i] for i in _spread(len(spatial), _MAP_LAYERS)]
    found = []
    for path, output in explain.activations(model, image, chosen).items():
        values = output[0]
        low, high = float(min(values.min(), 0)), float(np.percentile(values, _BRIGHT)) or float(values.max())
        strongest = np.argsort(-values.mean(axis=(0, 1)), kind="stable")[:_CHANNELS]
        pictures = [
            (int(c), embedded(coloured(values[:, :, c], figures.AMOUNTS, low, high), _LARGEST_MAP)) for c in strongest
        ]
        found.append(Maps(path, "×".join(map(str, values.shape)), pictures))
    return found


def favourites(model: Sequential, x: NDArray) -> list[Excited]:
    """For some filters of the last convolution, the images of ``x`` that excite them most."""
    paths = convolutions(model)
    if not paths:
        return []
    best = explain.maximally_activating(model, x, paths[-1], top=_FAVOURITES)
    alive = np.flatnonzero(best.values[:, 0] > best.values.min())
    chosen = [int(alive[i]) for i in _spread(len(alive), _EXCITED)]
    return [Excited(paths[-1], filter, _favourites(model, x, best, filter)) for filter in chosen]


def _favourites(model: Sequential, x: NDArray, best: explain.Favourites, filter: int) -> list[Favourite]:
    height, width = x.shape[1:3]
    found = []
    for place, image in enumerate(best.images[filter]):
        box = best.box(model, filter, place)
        left, top = max(box.left, 0), max(box.top, 0)
        right, bottom = min(box.right, width), min(box.bottom, height)
        frame = (100 * left / width, 100 * top / height, 100 * (right - left) / width, 100 * (bottom - top) / height)
        uri = embedded(figures.displayable(x[image : image + 1])[0], _THUMBNAIL)
        found.append(Favourite(uri, float(best.values[filter, place]), frame))
    return found


def layer_rows(model: Sequential, summary: Summary, x: NDArray | None) -> list[LayerRow]:
    """The table of layers; ``x`` are the images that dead units are looked for with."""
    dead = {} if x is None else explain.dead_units(model, x)
    worrying = few_left(dead)
    return [
        LayerRow(
            row.depth,
            row.path.rpartition("/")[2],
            row.layer,
            row.settings,
            "×".join(map(str, row.output_shape)),
            row.parameters,
            row.multiply_adds,
            row.multiply_adds / max(summary.multiply_adds, 1),
            row.receptive_field.replace("x", "×"),
            int(dead[row.path].sum()) if row.path in dead else 0,
            row.output_shape[-1],
            row.path in worrying,
        )
        for row in summary.rows
    ]


def _of(shown: int, count: int) -> str:
    return f"all {count}" if shown == count else f"the first {shown} of {count}"


def _spread(count: int, most: int) -> list[int]:
    """At most so many of ``count`` things: the first, the last, and some between."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})
