"""Receptive fields: the part of the image that one output can see."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from ..errors import PellucidError
from ..layers import Field, Layer
from ..layers.base import Shape
from ..model import Sequential
from .network import find_layer, layers_of

_ONE_PIXEL = Field((1, 1), (1, 1), (0, 0))


class Box(NamedTuple):
    """Rows ``top`` up to, not including, ``bottom`` and columns ``left`` … ``right`` of the image."""

    top: int
    left: int
    bottom: int
    right: int


def receptive_fields(model: Sequential) -> dict[str, Field]:
    """The receptive field of every layer by path: its size, the step from one output to the next, and where the first starts.

    >>> from pellucid import zoo
    >>> receptive_fields(zoo.build("cnn2"))["conv2"]
    Field(size=(8, 8), step=(2, 2), start=(-3, -3))
    """
    layers_of(model)  # raises for a model without weights
    return dict(_fields(model, model.input_shape or (), _ONE_PIXEL, ""))


def receptive_field(model: Sequential, layer: str, row: int, column: int, *, clip: bool = True) -> Box:
    """The box of pixels that output (row, column) of a layer sees; ``clip=False`` keeps what lies in the padding.

    It holds for every layer that keeps the places of the image. A dense layer sees all of it.

    >>> from pellucid import zoo
    >>> receptive_field(zoo.build("cnn2"), "conv2", row=8, column=0)
    Box(top=13, left=0, bottom=21, right=5)
    """
    place = find_layer(model, layer)
    height, width = (model.input_shape or ())[:2]
    field = receptive_fields(model)[layer]
    if math.inf in field.size or len(place.output_shape) != 3:
        return Box(0, 0, height, width)
    for name, given, size in zip(("row", "column"), (row, column), place.output_shape[:2], strict=True):
        if not 0 <= given < size:
            raise PellucidError(
                f"The maps of {layer} have {size} {name}s, counted from 0; {name} {given} is none of them."
            )
    start = [int(field.start[axis] + field.step[axis] * at) for axis, at in enumerate((row, column))]
    end = [int(start[axis] + field.size[axis]) for axis in (0, 1)]
    if clip:
        start = [max(at, 0) for at in start]
        end = [min(end[0], height), min(end[1], width)]
    return Box(*start, *end)


def _fields(network: Layer, input_shape: Shape, field: Field, prefix: str) -> Iterator[tuple[str, Field]]:
    one_after_another = hasattr(network, "layers")
    for name, layer, shape in network.parts(input_shape):
        behind = layer.receptive_field(field, shape)
        yield f"{prefix}{name}", behind
        yield from _fields(layer, shape, field, f"{prefix}{name}/")
        if one_after_another:
            field = behind
