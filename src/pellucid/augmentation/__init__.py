"""Augmentation: in every epoch each training image is seen a little differently, so that a network learns what matters.

What happens to an image is a function of (seed, epoch, its place in the data) alone: not of the batch it is in, the number of
threads, or what was drawn before. So an interrupted training goes on as if nothing had happened.

>>> augmentation = get("flip, crop:4")
>>> augmentation
Augmentation(Flip(), Crop(pixels=4))
>>> import numpy as np
>>> x = np.random.default_rng(0).integers(256, size=(5, 32, 32, 3), dtype=np.uint8)
>>> augmented = augment(x, augmentation, seed=0, epoch=3)
>>> augmented.shape, augmented.dtype
((5, 32, 32, 3), dtype('uint8'))
>>> np.array_equal(augment(x, augmentation, seed=0, epoch=3), augmented)
True
"""

from .augmenter import Augmenter, augment
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
    get,
    names,
)
from .views import VIEWS

__all__ = [
    "VIEWS",
    "AlternatingFlip",
    "Augmentation",
    "Augmenter",
    "Brightness",
    "Contrast",
    "Crop",
    "CutMix",
    "Cutout",
    "Flip",
    "MixUp",
    "Rotation",
    "Saturation",
    "Scale",
    "Shift",
    "augment",
    "get",
    "names",
]
