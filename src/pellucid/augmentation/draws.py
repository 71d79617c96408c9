"""What happens to which image: numbers drawn from (seed, epoch, place in the data), before any pixel is touched."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import PellucidError, ShapeError
from ..ops.augment import Draws
from ..randomness import Randomness
from .transformations import (
    AlternatingFlip,
    Augmentation,
    Brightness,
    Contrast,
    Crop,
    CutMix,
    Cutout,
    Flip,
    MixUp,
    Rotation,
    Saturation,
    Scale,
    Shift,
)

Shape = tuple[int, int, int]


class Mixing(NamedTuple):
    """How N images are mixed with others: y = weight · image + (1 - weight) · partner, and inside the box the partner alone."""

    partners: NDArray[np.int64]  # (N,) places in the data
    weights: NDArray[np.float32]  # (N,)
    boxes: NDArray[np.int64]  # (N, 4)
    shares: NDArray[np.float64]  # (N,) of the image's own label


def check(augmentation: Augmentation, shape: tuple[int, ...]) -> None:
    """Raise ``ShapeError`` if images of this shape cannot be augmented so."""
    if len(shape) != 3:
        raise ShapeError(f"Augmentation wants images (H, W, C) but gets {tuple(shape)}; train without augmentation.")
    if augmentation.get(Saturation) and shape[2] != 3:
        raise ShapeError(f"The augmentation saturation wants 3 channels but gets {shape[2]}; leave it out.")
    side = min(shape[:2])
    for kind, setting in ((Crop, "pixels"), (Cutout, "size")):
        one = augmentation.get(kind)
        if one is not None and getattr(one, setting) > (side - 1 if kind is Crop else 2 * side):
            raise PellucidError(f"The augmentation {one} is too large for images of {shape[0]}x{shape[1]}.")


def draw(augmentation: Augmentation, shape: Shape, seed: int, epoch: int, images: NDArray[np.integer]) -> Draws:
    """What happens in ``epoch`` to the images at these places in the data."""
    places: NDArray[np.int64] = np.ascontiguousarray(images, np.int64)
    rng = Randomness.for_batch(seed, epoch, places)
    moves = np.zeros((len(places), 3), np.int64)
    if augmentation.get(Flip):
        moves[:, 0] = _uniform(rng, Flip)[:, 0] < 0.5
    if augmentation.get(AlternatingFlip):
        first = _uniform(Randomness.for_batch(seed, 0, places), AlternatingFlip)[:, 0] < 0.5
        moves[:, 0] = first ^ (epoch % 2 == 1)
    if crop := augmentation.get(Crop):
        moves[:, 1:] = np.floor(_uniform(rng, Crop, 2) * (2 * crop.pixels + 1)) - crop.pixels
    return Draws(
        places,
        moves,
        _maps(augmentation, rng, shape, moves),
        _colors(augmentation, rng),
        _cuts(augmentation, rng, shape),
    )


def _uniform(rng: Randomness, kind: type, count: int = 1) -> NDArray[np.float64]:
    return rng.child(f"augmentation/{kind.name}").uniform((count,))  # type: ignore[attr-defined]


def _around(rng: Randomness, kind: type, count: int = 1) -> NDArray[np.float64]:
    """Numbers in [-1, 1)."""
    return 2 * _uniform(rng, kind, count) - 1


def _maps(
    augmentation: Augmentation, rng: Randomness, shape: Shape, moves: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Rotation, scale and shift about the centre, and behind them what ``moves`` says, as one map from output to source."""
    rotation, scale, shift = (augmentation.get(kind) for kind in (Rotation, Scale, Shift))
    if rotation is None and scale is None and shift is None:
        return None
    n, (h, w, _) = len(moves), shape
    angle, size, down, right = np.zeros(n), np.ones(n), np.zeros(n), np.zeros(n)
    if rotation:
        angle = np.deg2rad(rotation.degrees) * _around(rng, Rotation)[:, 0]
    if scale:
        size = (1 + scale.part) ** _around(rng, Scale)[:, 0]
    if shift:
        down, right = (_around(rng, Shift, 2) * shift.part * (h, w)).T
    cosine, sine = np.cos(angle) / size, np.sin(angle) / size
    row, column = (h - 1) / 2, (w - 1) / 2
    maps = np.empty((n, 2, 3))
    # source - centre = R(-angle) (output - centre - shift) / size
    maps[:, 0] = np.stack([cosine, sine, row - cosine * (row + down) - sine * (column + right)], 1)
    maps[:, 1] = np.stack([-sine, cosine, column + sine * (row + down) - cosine * (column + right)], 1)
    mirrored = moves[:, 0] == 1
    maps[mirrored, 1] *= -1
    maps[mirrored, 1, 2] += w - 1
    maps[:, :, 2] += moves[:, 1:]
    return maps.reshape(n, 6).astype(np.float32)


def _colors(augmentation: Augmentation, rng: Randomness) -> NDArray[np.float32] | None:
    chosen = [(column, augmentation.get(kind)) for column, kind in enumerate((Brightness, Contrast, Saturation))]
    if not any(one for _, one in chosen):
        return None
    colors = np.ones((len(rng.keys), 3), np.float32)
    for column, one in chosen:
        if one:
            colors[:, column] = 1 + one.part * _around(rng, type(one))[:, 0]
    return colors


def _cuts(augmentation: Augmentation, rng: Randomness, shape: Shape) -> NDArray[np.int64] | None:
    cutout = augmentation.get(Cutout)
    return None if cutout is None else _boxes(_uniform(rng, Cutout, 2), np.full((1, 2), cutout.size), shape)


def _boxes(u: NDArray, sizes: NDArray, shape: Shape) -> NDArray[np.int64]:
    """Rectangles of ``sizes`` (N, 2) about random pixels, within the image: (N, 4)."""
    sides = np.array(shape[:2])
    start = np.floor(u * sides).astype(np.int64) - sizes // 2
    return np.concatenate([np.clip(start, 0, sides), np.clip(start + sizes, 0, sides)], axis=1)


def draw_mixing(
    augmentation: Augmentation, shape: Shape, seed: int, epoch: int, images: NDArray[np.integer], total: int
) -> Mixing | None:
    """With which of the ``total`` images of the data, and how, each image is mixed; of both kinds one at random."""
    mixup, cutmix = augmentation.get(MixUp), augmentation.get(CutMix)
    if mixup is None and cutmix is None:
        return None
    rng = Randomness.for_batch(seed, epoch, np.asarray(images))
    n, (h, w, _) = len(images), shape
    u = rng.child("augmentation/mixing").uniform((3,))  # partner, λ, which of both
    partners = np.minimum((u[:, 0] * total).astype(np.int64), total - 1)
    cut = np.full(n, mixup is None) if mixup is None or cutmix is None else u[:, 2] < 0.5
    shares = np.where(
        cut, _beta(cutmix.alpha if cutmix else 1.0, u[:, 1]), _beta(mixup.alpha if mixup else 1.0, u[:, 1])
    )
    part = np.sqrt(np.where(cut, 1 - shares, 0))[:, None]
    sizes = np.floor(part * (h, w) + 0.5).astype(np.int64)
    boxes = _boxes(_uniform(rng, CutMix, 2), sizes, shape)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    shares = np.where(cut, 1 - area / (h * w), shares)
    return Mixing(partners, np.where(cut, 1, shares).astype(np.float32), boxes, shares)


def _beta(alpha: float, u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers from Beta(alpha, alpha) made of uniform ones: the one below which a part u of all lies."""
    quantiles = _quantiles(alpha)
    return np.interp(u * (len(quantiles) - 1), np.arange(len(quantiles)), quantiles)


@functools.cache
def _quantiles(alpha: float) -> NDArray[np.float64]:
    from scipy.special import betaincinv  # slow to load, and nothing else here needs it

    return betaincinv(alpha, alpha, np.linspace(0, 1, 1025))
