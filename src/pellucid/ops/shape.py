"""Output sizes and padding: the only place that computes them.

A window of ``k`` taps with dilation ``d`` spans ``(k - 1) d + 1`` pixels. Sliding it with stride ``s`` over ``n`` pixels
with ``before + after`` pixels of padding gives

    output = floor((n + before + after - (k - 1) d - 1) / s) + 1

positions (Dumoulin, Visin: "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, relationship 6).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ShapeError

Pair = int | tuple[int, int]
Padding = str | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]


class Geometry(NamedTuple):
    """How a window slides over an image; everything in (vertical, horizontal) order."""

    input: tuple[int, int]
    window: tuple[int, int]
    strides: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[tuple[int, int], tuple[int, int]]
    output: tuple[int, int]

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width of the padded image."""
        (top, bottom), (left, right) = self.padding
        return self.input[0] + top + bottom, self.input[1] + left + right

    def taps(self) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
        """For each tap (i, j) of the window, the slice of the padded image it meets over all output positions.

        ``x_padded[where]`` has shape (N, OH, OW, C): a convolution is a sum over its taps.
        """
        (oh, ow), (sh, sw), (dh, dw) = self.output, self.strides, self.dilation
        for i in range(self.window[0]):
            for j in range(self.window[1]):
                rows = slice(i * dh, i * dh + sh * (oh - 1) + 1, sh)
                columns = slice(j * dw, j * dw + sw * (ow - 1) + 1, sw)
                yield i, j, (slice(None), rows, columns)


def _remembered(function: Callable[..., Geometry]) -> Callable[..., Geometry]:
    """The same function, which works out each case once: a training step asks for the same few again and again."""
    remembering = functools.lru_cache(maxsize=4096, typed=True)(function)

    @functools.wraps(function)
    def ask(*arguments: Any, **settings: Any) -> Geometry:
        try:
            return remembering(*arguments, **settings)
        except TypeError:  # one of the settings is a list
            return function(*arguments, **settings)

    return ask


def pair(value: Pair, name: str, *, minimum: int = 1) -> tuple[int, int]:
    """An int or two ints as (vertical, horizontal).

    >>> pair(3, "strides"), pair((2, 1), "strides")
    ((3, 3), (2, 1))
    """
    values = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(values) != 2 or not all(isinstance(v, int | np.integer) and v >= minimum for v in values):
        raise ShapeError(f"{name} was {value!r}; wanted one or two whole numbers of at least {minimum}.")
    return int(values[0]), int(values[1])


def resolve_padding(
    padding: Padding,
    size: tuple[int, int],
    window: tuple[int, int],
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Any way to write padding as ``((top, bottom), (left, right))``.

    ``"valid"`` is none; ``"same"`` makes the output ``ceil(input / stride)``, the odd pixel going below and right, as in
    TensorFlow (PyTorch and ONNX's SAME_LOWER differ for even windows or strides); an int pads all four sides; two ints pad
    vertically and horizontally; two pairs say everything.

    >>> resolve_padding("same", (5, 5), (3, 3), (2, 2)), resolve_padding("same", (6, 6), (3, 3), (2, 2))
    (((1, 1), (1, 1)), ((0, 1), (0, 1)))
    """
    if isinstance(padding, str):
        if padding.lower() == "valid":
            return (0, 0), (0, 0)
        if padding.lower() == "same":
            return tuple(
                (total // 2, total - total // 2)
                for n, k, s, d in zip(size, window, strides, dilation, strict=True)
                for total in [max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)]
            )  # type: ignore[return-value]
    else:
        pairs = padding if isinstance(padding, tuple | list) else (padding, padding)
        sides = [tuple(p) if isinstance(p, tuple | list) else (p, p) for p in pairs]
        whole = all(isinstance(p, int | np.integer) and p >= 0 for side in sides for p in side)
        if whole and [len(side) for side in sides] == [2, 2]:
            return tuple((int(a), int(b)) for a, b in sides)  # type: ignore[return-value]
    raise ShapeError(
        f"padding was {padding!r}; wanted 'valid', 'same', a whole number, (vertical, horizontal) "
        "or ((top, bottom), (left, right)), none negative."
    )


def geometry(
    size: tuple[int, int], window: Pair, *, strides: Pair = 1, padding: Padding = "valid", dilation: Pair = 1
) -> Geometry:
    """How a window slides over an image of ``size`` (height, width).

    Raises
    ------
    ShapeError
        if the window is larger than the padded image.

    >>> geometry((32, 32), 5).output, geometry((32, 32), 3, strides=2, padding="same").output
    ((28, 28), (16, 16))
    """
    window, strides, dilation = pair(window, "kernel_size"), pair(strides, "strides"), pair(dilation, "dilation")
    pads = resolve_padding(padding, size, window, strides, dilation)
    spans = [n + sum(pad) - (k - 1) * d - 1 for n, pad, k, d in zip(size, pads, window, dilation, strict=True)]
    if min(spans) < 0:
        raise ShapeError(
            f"A window of {window[0]}x{window[1]} with dilation {dilation} does not fit into an image of "
            f"{size[0]}x{size[1]} with padding {padding!r}. Use a smaller window, padding='same', "
            "or fewer pooling layers before this one."
        )
    output = (spans[0] // strides[0] + 1, spans[1] // strides[1] + 1)
    return Geometry(size, window, strides, dilation, pads, output)


@_remembered
def conv_geometry(
    x_shape: tuple[int, ...],
    kernel_shape: tuple[int, ...],
    *,
    strides: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
) -> Geometry:
    """The geometry of ``conv2d`` for ``x`` (N, H, W, CI) and ``kernel`` (KH, KW, CI / groups, CO), shapes checked."""
    if len(x_shape) != 4 or len(kernel_shape) != 4:
        raise ShapeError(
            f"conv2d got x of shape {x_shape} and a kernel of shape {kernel_shape}; "
            "wanted (N, H, W, CI) and (KH, KW, CI / groups, CO)."
        )
    ci, co = x_shape[3], kernel_shape[3]
    if groups < 1 or ci != kernel_shape[2] * groups or co % groups:
        raise ShapeError(
            f"conv2d got {ci} input channels, a kernel of shape {kernel_shape} and groups={groups}; the kernel's third "
            f"axis must be CI / groups and its fourth a multiple of groups. Channels come last: (N, H, W, C)."
        )
    return geometry(x_shape[1:3], kernel_shape[:2], strides=strides, padding=padding, dilation=dilation)  # type: ignore[arg-type]


@_remembered
def pool_geometry(
    x_shape: tuple[int, ...], pool_size: Pair, *, strides: Pair | None = None, padding: Padding = "valid"
) -> Geometry:
    """The geometry of pooling over ``x`` (N, H, W, C); every window must meet at least one pixel of the image."""
    if len(x_shape) != 4:
        raise ShapeError(f"Pooling got x of shape {x_shape}; wanted (N, H, W, C).")
    geo = geometry(x_shape[1:3], pool_size, strides=pool_size if strides is None else strides, padding=padding)  # type: ignore[arg-type]
    if any(max(sides) >= k for sides, k in zip(geo.padding, geo.window, strict=True)):
        raise ShapeError(
            f"Pooling with a window of {geo.window[0]}x{geo.window[1]} got padding {padding!r}: a window could lie in the "
            "padding altogether. Use less padding than the window is large."
        )
    return geo


def pad(x: NDArray, geo: Geometry, value: float = 0.0) -> NDArray:
    """``x`` (N, H, W, C) with the padding of ``geo`` around it; ``x`` itself where there is none."""
    if not any(map(any, geo.padding)):
        return x
    return np.pad(x, ((0, 0), *geo.padding, (0, 0)), constant_values=value)


def unpad(x_padded: NDArray, geo: Geometry) -> NDArray:
    """The inside of a padded image: the adjoint of ``pad`` with zeros."""
    (top, _), (left, _) = geo.padding
    return x_padded[:, top : top + geo.input[0], left : left + geo.input[1], :]
