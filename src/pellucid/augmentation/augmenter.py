"""From images in the data to the input of a network: gathered, augmented, normalised and mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..errors import ShapeError
from ..ops.augment import Draws
from ..preprocessing import Preprocessing
from .draws import Mixing, check, draw, draw_mixing
from .transformations import Augmentation, Transformation, get

_LARGEST_TABLE = 1 << 19  # images

Given = str | list[str | Transformation] | Augmentation | None


class Augmenter:
    """What a training asks for its batches: ``augmenter(x, y, indices, epoch)`` -> (network input, targets).

    ``preprocessing`` is applied in the same pass over memory. With mixing, the targets are rows of shares per class; ``classes``
    says how many, where the targets are labels and the network has several outputs.

    >>> augmenter = Augmenter("flip,mixup:1", shape=(8, 8, 1), seed=0, classes=3)
    >>> x, y = np.zeros((10, 8, 8, 1), np.uint8), np.arange(10) % 3
    >>> inputs, targets = augmenter(x, y, np.array([4, 0]), epoch=0)
    >>> inputs.shape, targets.shape, targets.sum(axis=1)
    ((2, 8, 8, 1), (2, 3), array([1., 1.], dtype=float32))
    """

    def __init__(
        self,
        augmentation: Given,
        *,
        shape: tuple[int, ...],
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
        classes: int | None = None,
        channels_first: bool = False,
        dtype: Any = np.float32,
    ) -> None:
        self.augmentation, self.seed, self.classes = get(augmentation), seed, classes
        check(self.augmentation, shape)
        self.shape: tuple[int, int, int] = shape  # type: ignore[assignment]
        self.channels_first, self.dtype = channels_first, np.dtype(dtype)
        self.scale, self.shift = factors(preprocessing, shape[2])
        self._drawn: tuple[int, int, Any] = (-1, 0, None)  # epoch, number of images, and what happens to each of them
        self._mixed: tuple[int, int, Any] = (-1, 0, None)

    def __str__(self) -> str:
        return str(self.augmentation)

    def __call__(
        self, x: NDArray, y: NDArray, indices: NDArray[np.integer], epoch: int
    ) -> tuple[NDArray[np.floating], NDArray]:
        """Input and targets of a batch: the images at ``indices`` of all images ``x`` and targets ``y``, in this epoch."""
        inputs = self._render(x, self._draws(epoch, indices, len(x)))
        targets = y[indices]
        mixing = self._mixing(epoch, indices, len(x))
        if mixing is not None:
            others = self._render(x, self._draws(epoch, mixing.partners, len(x)))
            inputs = backend.pixels("mix", inputs, others, mixing.weights, mixing.boxes)
            targets = mix_targets(targets, y[mixing.partners], mixing.shares, self.classes)
        return inputs.astype(self.dtype, copy=False), targets

    def _draws(self, epoch: int, indices: NDArray[np.integer], total: int) -> Draws:
        """What happens to these images: looked up in a table for the whole epoch, which is drawn at once."""
        if total > _LARGEST_TABLE:
            return draw(self.augmentation, self.shape, self.seed, epoch, indices)
        if self._drawn[:2] != (epoch, total):
            everything = draw(self.augmentation, self.shape, self.seed, epoch, np.arange(total))
            self._drawn = epoch, total, everything
        table = self._drawn[2]
        return Draws._make(None if column is None else column[indices] for column in table)

    def _mixing(self, epoch: int, indices: NDArray[np.integer], total: int) -> Mixing | None:
        """With whom these images are mixed, looked up likewise."""
        if total > _LARGEST_TABLE:
            return draw_mixing(self.augmentation, self.shape, self.seed, epoch, indices, total)
        if self._mixed[:2] != (epoch, total):
            everything = draw_mixing(self.augmentation, self.shape, self.seed, epoch, np.arange(total), total)
            self._mixed = epoch, total, everything
        table = self._mixed[2]
        return None if table is None else Mixing._make(column[indices] for column in table)

    def _render(self, x: NDArray, draws: Draws) -> NDArray[np.float32]:
        if self.channels_first:
            x = x.transpose(0, 2, 3, 1)
        if x.shape[1:] != self.shape:
            raise ShapeError(f"The augmentation was made for images of {self.shape} but gets {x.shape[1:]}.")
        if x.dtype not in (np.uint8, np.float32) or not x.flags.c_contiguous:  # only the batch is converted
            x = x[draws.images]
            x = np.ascontiguousarray(x, x.dtype if x.dtype == np.uint8 else np.float32)
            draws = draws._replace(images=np.arange(len(x)))
        return backend.pixels("render", np.asarray(x), draws, self.scale, self.shift)


def factors(preprocessing: Preprocessing | None, channels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What a preprocessing multiplies by and then subtracts, per channel."""
    if preprocessing is None:
        return np.ones(channels, np.float32), np.zeros(channels, np.float32)
    std = np.asarray(preprocessing.std)
    return (preprocessing.scale / std).astype(np.float32), (np.asarray(preprocessing.mean) / std).astype(np.float32)


def normalised(x: NDArray, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """``preprocessing(x)``, compiled for pixels; the same bits."""
    if x.dtype != np.uint8 or x.shape[1:] != (*preprocessing.size, preprocessing.channels):
        return preprocessing(x)
    return backend.pixels("normalise", np.asarray(x), *factors(preprocessing, preprocessing.channels))


def mix_targets(y: NDArray, others: NDArray, shares: NDArray[np.float64], classes: int | None) -> NDArray[np.float32]:
    """``share · y + (1 - share) · others``; labels become rows with a share per class first.

    >>> mix_targets(np.array([2]), np.array([0]), np.array([0.75]), classes=3)
    array([[0.25, 0.  , 0.75]], dtype=float32)
    """
    if classes is not None and classes > 1 and y.dtype.kind in "iub" and y.size == len(y):
        rows = np.eye(classes)
        y, others = rows[y.reshape(-1)], rows[others.reshape(-1)]
    shares = shares.reshape(-1, *[1] * (y.ndim - 1))
    return (shares * y + (1 - shares) * others).astype(np.float32)


def augment(
    x: NDArray,
    augmentation: Given,
    *,
    seed: int = 0,
    epoch: int = 0,
    indices: NDArray[np.integer] | None = None,
    preprocessing: Preprocessing | None = None,
) -> NDArray:
    """Images as a training would see them, but as pixels: uint8 for uint8 images (N, H, W, C), else float32.

    ``indices`` chooses images, all by default. What is cut out has the mean colour of ``preprocessing``, of ``x`` by default.

    >>> x = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1)
    >>> augment(x, "alternating_flip", epoch=0)[0, 0, :, 0], augment(x, "alternating_flip", epoch=1)[0, 0, :, 0]
    (array([0, 1, 2, 3], dtype=uint8), array([3, 2, 1, 0], dtype=uint8))
    """
    preprocessing = Preprocessing.fit(x) if preprocessing is None else preprocessing
    augmenter = Augmenter(augmentation, shape=x.shape[1:], seed=seed, preprocessing=preprocessing)
    indices = np.arange(len(x)) if indices is None else np.asarray(indices)
    seen, _ = augmenter(x, np.zeros(len(x)), indices, epoch)
    pixels = (seen + augmenter.shift) / augmenter.scale
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8) if x.dtype == np.uint8 else pixels
