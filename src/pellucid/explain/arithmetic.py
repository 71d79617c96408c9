"""One number of a network, worked out in full: a convolution, a pooling, and the gradient on its way back through them.

A convolution looks at the image through a small window. Think of the patch under the window as a card, and of the kernel as
the terminal that reads it: the card is laid on the terminal, number on number, every pair is multiplied, and the sum says how
well the pattern on the card is the one the terminal asks for. The window moves on, the terminal stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError
from ..layers import AveragePooling2D, Chain, Layer, MaxPooling2D
from ..layers.activation import activate, activate_backward
from ..model import Sequential
from ..ops import shape
from .filters import CONVOLUTIONS, kernel_of
from .network import Classes, Place, class_name, class_numbers, direction, find_layer, input_of, predicted, scores_of

_WANTED = "windows that slide over images, as convolution and pooling have"


@dataclass(frozen=True, eq=False)
class Gradient:
    """What one output of the layer passes back when the score of a class is to rise.

    ``dy`` is the gradient by the output, ``dz`` that in front of the activation (the same for pooling). ``dpatch`` (KH, KW, CI)
    is what each number of the patch gets from this output alone: dz · kernel, or for max pooling all of it for the winner.
    ``dkernel`` is what each number of the kernel gets: dz · patch. A layer's gradients are their sums over all its outputs.
    """

    score: str  # of what, in words
    dy: float
    dz: float
    dpatch: NDArray
    dkernel: NDArray | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One output of one layer: ``patch`` and, for a convolution, ``kernel`` and their ``products`` are (KH, KW, CI).

    ``inside`` (KH, KW) is False where the patch lies in the padding; ``rows`` and ``columns`` are the places of its pixels in the
    layer's input, ``channels`` which of its channels. ``total`` is the sum of the products and ``bias``, or the pooled value;
    ``output`` what the layer really put out there, behind its ``activation``. ``winner`` is the place in the patch (i, j) of the
    number that max pooling let through.
    """

    layer: str
    kind: str  # "convolution", "max pooling" or "average pooling"
    row: int
    column: int
    filter: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    channels: range
    inside: NDArray[np.bool_]
    patch: NDArray
    total: float
    output: float
    input: NDArray  # (H, W, C): what the layer was fed
    maps: NDArray  # (H, W): all that this filter put out
    kernel: NDArray | None = None
    products: NDArray | None = None
    bias: float = 0.0
    activation: str | None = None
    winner: tuple[int, int] | None = None
    gradient: Gradient | None = None

    def __str__(self) -> str:
        from .text import in_words

        return in_words(self)


def arithmetic(
    model: Sequential,
    x: NDArray,
    layer: str,
    *,
    row: int | None = None,
    column: int | None = None,
    filter: int | None = None,
    classes: Classes = None,
) -> Step:
    """How a convolution or pooling layer came to one of its numbers for one image ``x`` (1, H, W, C), and what goes back there.

    Without ``filter`` it is the one with the largest output, without ``row`` and ``column`` the place where that is. The gradient
    is that of the logit of ``classes``, by default of the predicted one.

    >>> from pellucid import zoo
    >>> step = arithmetic(zoo.build("cnn2"), np.ones((1, 32, 32, 3), np.float32), "conv1", row=0, column=5, filter=2)
    >>> step.patch.shape, step.inside.tolist()[0]                   # the first row lies in the padding
    ((3, 3, 3), [False, False, False])
    >>> bool(np.isclose(step.products.sum() + step.bias, step.total))
    True
    """
    place = find_layer(model, layer, _slides, _WANTED)
    x = model.check_input(x)
    if len(x) != 1:
        raise PellucidError(f"arithmetic got {len(x)} images; wanted one: x[:1].")
    network, words = scores_of(model)
    batch = model.to_input(x)
    scores, tape = Chain.forward(network, batch)
    output = tape[layer].output[0]  # (OH, OW, C)
    filter, row, column = _choose(output, filter, row, column, layer)
    numbers = class_numbers(model, classes, 1)
    numbers = predicted(scores) if numbers is None else numbers
    dy, _ = Chain.backward(network, direction(scores, numbers), tape, until=layer)
    fed = input_of(network, batch, tape, layer)  # type: ignore[arg-type]
    about = _window(place, fed, row, column, filter)
    about |= {"layer": layer, "row": row, "column": column, "filter": filter}
    about |= {"output": float(output[row, column, filter]), "maps": output[:, :, filter], "input": fed[0]}
    score = f"{words.partition(',')[0]} of {class_name(model, int(numbers[0]))}"
    if isinstance(place.layer, MaxPooling2D | AveragePooling2D):
        return _pooling(place.layer, about, float(dy[0, row, column, filter]), score)  # type: ignore[index]
    return _convolution(place.layer, about, fed, dy, score)  # type: ignore[arg-type]


def _slides(place: Place) -> bool:
    return isinstance(place.layer, (*CONVOLUTIONS, MaxPooling2D, AveragePooling2D))


def _choose(
    output: NDArray, filter: int | None, row: int | None, column: int | None, layer: str
) -> tuple[int, int, int]:
    """Filter, row and column, those left open put where the output is largest."""
    given = {"row": row, "column": column, "filter": filter}
    for (name, value), size in zip(given.items(), output.shape, strict=True):
        if value is not None and not 0 <= value < size:
            raise PellucidError(
                f"The output of {layer} has {size} {name}s, counted from 0; {name} {value} is none of them."
            )
    seen = tuple(slice(None) if value is None else slice(value, value + 1) for value in given.values())
    part = output[seen]
    best = np.unravel_index(int(part.argmax()), part.shape)
    row, column, filter = (int(best[axis]) if value is None else value for axis, value in enumerate(given.values()))
    return filter, row, column


def _window(place: Place, fed: NDArray, row: int, column: int, filter: int) -> dict[str, Any]:
    """The patch of the layer's input that this output reads, and where it lies."""
    layer: Any = place.layer
    geo: shape.Geometry = layer._geometry(place.input_shape)
    channels = range(filter, filter + 1)  # pooling, one channel by itself
    if isinstance(layer, CONVOLUTIONS):
        size = kernel_of(layer).shape[2]  # channels a filter reads
        filters_a_group = place.output_shape[2] // (place.input_shape[2] // size)
        first = filter // filters_a_group * size
        channels = range(first, first + size)
    ends = []
    for axis, at in enumerate((row, column)):
        start = at * geo.strides[axis] - geo.padding[axis][0]
        ends.append(start + geo.dilation[axis] * np.arange(geo.window[axis]))
    rows, columns = ends
    inside = np.logical_and.outer((rows >= 0) & (rows < fed.shape[1]), (columns >= 0) & (columns < fed.shape[2]))
    patch = np.zeros((len(rows), len(columns), len(channels)), fed.dtype)
    for i, j in np.argwhere(inside):
        patch[i, j] = fed[0, rows[i], columns[j], channels.start : channels.stop]
    return {"rows": rows, "columns": columns, "channels": channels, "inside": inside, "patch": patch}


def _convolution(layer: Layer, about: dict[str, Any], fed: NDArray, dy: NDArray, words: str) -> Step:
    filter, row, column, patch = (about[name] for name in ("filter", "row", "column", "patch"))
    kernel = kernel_of(layer)[..., filter]
    bias = float(layer.params["bias"][filter]) if "bias" in layer.params else 0.0
    products = patch * kernel
    z = layer.without_activation()(fed)
    dz = activate_backward(dy, activate(layer.activation, z)[1])[0, row, column, filter]
    gradient = Gradient(words, float(dy[0, row, column, filter]), float(dz), dz * kernel, dz * patch)
    total = float(products.sum(dtype=np.float64) + bias)
    return Step(
        kind="convolution",
        kernel=kernel.copy(),
        products=products,
        bias=bias,
        total=total,
        activation=layer.final_activation,
        gradient=gradient,
        **about,
    )


def _pooling(layer: Layer, about: dict[str, Any], dy: float, words: str) -> Step:
    values, inside = about["patch"][:, :, 0], about["inside"]
    dpatch = np.zeros_like(about["patch"])
    if isinstance(layer, MaxPooling2D):
        flat = int(np.where(inside, values, -np.inf).argmax())  # the first of equals, row by row, as in the op
        winner = divmod(flat, values.shape[1])
        dpatch[winner] = dy
        gradient = Gradient(words, dy, dy, dpatch)
        return Step(kind="max pooling", total=float(values[winner]), winner=winner, gradient=gradient, **about)
    counted = np.ones_like(inside) if getattr(layer, "count_padding", False) else inside
    dpatch[inside] = dy / counted.sum()
    total = float(values[inside].sum(dtype=np.float64) / counted.sum())
    return Step(kind="average pooling", total=total, gradient=Gradient(words, dy, dy, dpatch), **about)
