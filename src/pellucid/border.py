"""The border of a model: what people pass in is looked at here, before anything is computed, copied or changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import PellucidError, ShapeError

Shape = tuple[int, ...]
_AT_ONCE = 4096  # images looked at together when searching for NaN: a set on disk is never in memory as a whole


def channels_last(given: Any, data_format: str | None = None) -> tuple[Shape, str]:
    """The shape of one image as (H, W, C), and whether ``given`` was "channels_last" or "channels_first".

    Unless ``data_format`` says it, a shape whose first axis alone can be a number of channels is taken as channels first.

    >>> channels_last([1, 32, 32])
    ((32, 32, 1), 'channels_first')
    >>> channels_last((3, 32, 3)), channels_last((100,))
    (((3, 32, 3), 'channels_last'), ((100,), 'channels_last'))
    """
    if data_format not in (None, "channels_last", "channels_first"):
        raise PellucidError(f"data_format was {data_format!r}; wanted 'channels_last' or 'channels_first'.")
    if not isinstance(given, list | tuple) or not all(isinstance(n, int | np.integer) and n > 0 for n in given):
        raise PellucidError(
            f"input_shape was {given!r}; wanted the whole numbers of one image, (H, W, C), without the number of images."
        )
    shape, channels = tuple(int(n) for n in given), (1, 3, 4)
    looks_first = len(shape) == 3 and shape[0] in channels and shape[2] not in channels
    data_format = data_format or ("channels_first" if looks_first else "channels_last")
    return (*shape[1:], shape[0]) if data_format == "channels_first" and len(shape) == 3 else shape, data_format


def images(x: Any, expected: Shape) -> NDArray:
    """``x`` as an array (N, *expected); nothing is copied if it is one. The error for any other shape says how to get there."""
    x = np.asarray(x)
    if x.dtype.kind not in "biuf":
        raise PellucidError(f"The model got x of type {x.dtype}; wanted numbers, uint8 or floating point.")
    if x.ndim and len(x) and x.shape[1:] == expected:
        return x
    hint = next((hint for shape, hint in _repairs(x.shape) if shape[1:] == expected), "")
    hint = hint or "Resize the images, or build a model for their size."
    raise ShapeError(f"The model got x of shape {x.shape}; wanted (N, {', '.join(map(str, expected))}). {hint}")


def _repairs(shape: Shape) -> Iterator[tuple[Shape, str]]:
    """What could be done to ``x``: the shape it would have, and the words for it."""
    if shape[:1] == (0,):
        yield shape, "Give it at least one image."
    yield (1, *shape), "Add the batch axis: x[None]."
    yield (*shape, 1), "Add the channel axis of greyscale images: x[..., None]."
    yield (*shape[:1], 1, *shape[1:]), "Add the channel axis of greyscale images: x[:, None]."
    yield (1, *shape, 1), "Add the axes of batch and channel: x[None, ..., None]."
    if len(shape) == 4:
        n, a, b, c = shape
        told = "or compile with data_format"
        yield (n, b, c, a), f"The channels come first in x: pass x.transpose(0, 2, 3, 1), {told}='channels_first'."
        yield (n, c, a, b), f"The channels come last in x: pass x.transpose(0, 3, 1, 2), {told}='channels_last'."
        yield (n, b, a, c), "Height and width are swapped: pass x.transpose(0, 2, 1, 3)."
        if c == 1:
            yield (n, a, b, 3), "Make three channels of one: np.repeat(x, 3, axis=-1)."


def targets(
    x: NDArray, y: Any, sample_weight: Any = None, *, classes: int | None = None
) -> tuple[NDArray, NDArray | None]:
    """``y`` and ``sample_weight`` as arrays with one entry for each image; ``classes`` is how many labels there may be."""
    y = np.asarray(y)
    sample_weight = None if sample_weight is None else np.asarray(sample_weight)
    for name, array in (("target", y), ("weight", sample_weight)):
        if array is not None and np.shape(array)[:1] != (len(x),):
            raise ShapeError(
                f"There are {len(x)} images but {len(array) if array.ndim else 1} {name}s; wanted one {name} for each image."
            )
    for name, array in (("x", x), ("y", y), ("sample_weight", sample_weight)):
        if array is not None and not _finite(array):
            raise PellucidError(f"{name} contains NaN or infinity; clean the data, nothing can be learned from them.")
    labels = y.dtype.kind in "iu" and (y.ndim == 1 or y.shape[1:] == (1,))
    if labels and classes is not None and (y.min() < 0 or y.max() >= classes):
        raise PellucidError(
            f"The labels run from {y.min()} to {y.max()}, but the model's outputs stand for the classes "
            f"0 … {classes - 1}. Count the classes from 0, or give the last layer more units."
        )
    return y, sample_weight


def _finite(array: NDArray) -> bool:
    if array.dtype.kind != "f":
        return True
    pieces = (array[start : start + _AT_ONCE] for start in range(0, len(array), _AT_ONCE))
    with np.errstate(over="ignore", invalid="ignore"):
        # a sum with NaN or infinity in it is not finite, and quicker; one of finite numbers may be too large
        return all(np.isfinite(piece.sum()) or np.isfinite(piece).all() for piece in pieces)
