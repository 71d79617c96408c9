"""What can be done to an image: one small class each, its setting in ``__init__``, and the text they are written as.

The order is fixed, however they are listed: first geometry (flips, crop, then rotation, scale and shift as one map), then
colours, then normalisation, then cutting out, then mixing with another image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from ..errors import PellucidError, nearest


@dataclass(frozen=True)
class Transformation:
    """The base of all: at most one setting, a positive number up to ``most``, whole where the default is."""

    name: ClassVar[str]
    most: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= self.most
            if not number or not math.isfinite(value) or (isinstance(field.default, int) and value != int(value)):
                kind = "a whole number of at least 1" if isinstance(field.default, int) else "a number above 0"
                limit = f" and at most {self.most:g}" if math.isfinite(self.most) else ""
                raise PellucidError(
                    f"{self.name} got {field.name}={value!r}; wanted {kind}{limit}, such as {field.default}."
                )

    def __str__(self) -> str:
        return ":".join([self.name, *(f"{getattr(self, field.name):g}" for field in fields(self))])


@dataclass(frozen=True)
class Flip(Transformation):
    """Mirrored, left to right, with a chance of one half."""

    name = "flip"


@dataclass(frozen=True)
class AlternatingFlip(Transformation):
    """A random half of the images is mirrored in the first epoch; then every image in every other epoch.

    In two epochs each image is so seen both ways, which chance alone does for half of them only.

    Source: Jordan, "94 % on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498.
    """

    name = "alternating_flip"


@dataclass(frozen=True)
class Crop(Transformation):
    """Moved by up to ``pixels`` whole pixels along both axes; what comes in at the border is reflected.

    The same as padding by reflection and cropping at random.
    """

    name = "crop"
    pixels: int = 4


@dataclass(frozen=True)
class Shift(Transformation):
    """Moved by up to ``part`` of height and width, also between pixels (bilinear); the border reflects."""

    name = "shift"
    most = 1
    part: float = 0.1


@dataclass(frozen=True)
class Rotation(Transformation):
    """Turned around the centre by up to ``degrees`` in both directions (bilinear); the border reflects."""

    name = "rotation"
    most = 180
    degrees: float = 15.0


@dataclass(frozen=True)
class Scale(Transformation):
    """Resized by a factor from 1 / (1 + part) to 1 + part about the centre (bilinear); the border reflects."""

    name = "scale"
    most = 10
    part: float = 0.1


@dataclass(frozen=True)
class Brightness(Transformation):
    """All values multiplied by a factor in 1 ± part."""

    name = "brightness"
    most = 1
    part: float = 0.2


@dataclass(frozen=True)
class Contrast(Transformation):
    """The distance from the image's mean grey multiplied by a factor in 1 ± part."""

    name = "contrast"
    most = 1
    part: float = 0.2


@dataclass(frozen=True)
class Saturation(Transformation):
    """The distance of each pixel from its own grey multiplied by a factor in 1 ± part. For images of 3 channels."""

    name = "saturation"
    most = 1
    part: float = 0.2


@dataclass(frozen=True)
class Cutout(Transformation):
    """A square of ``size`` pixels, its centre anywhere in the image, becomes 0 as the network sees it: the mean colour.

    Source: DeVries, Taylor, "Improved regularization of convolutional neural networks with cutout", arXiv:1708.04552.
    """

    name = "cutout"
    size: int = 8


@dataclass(frozen=True)
class MixUp(Transformation):
    """The mean of two images and of their labels, weighted by λ and 1 - λ with λ from Beta(alpha, alpha).

    Source: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: beyond empirical risk minimization", arXiv:1710.09412.
    """

    name = "mixup"
    alpha: float = 0.2


@dataclass(frozen=True)
class CutMix(Transformation):
    """A rectangle of another image laid over, of a part 1 - λ of the area with λ from Beta(alpha, alpha); labels by area.

    Source: Yun et al., "CutMix: regularization strategy to train strong classifiers with localizable features",
    arXiv:1905.04899.
    """

    name = "cutmix"
    alpha: float = 1.0


_CLASSES: dict[str, type[Transformation]] = {
    cls.name: cls
    for cls in (Flip, AlternatingFlip, Crop, Shift, Rotation, Scale, Brightness, Contrast, Saturation, Cutout, MixUp, CutMix)
}  # fmt: skip


class Augmentation:
    """Transformations that go together. ``str`` gives the text that ``get`` reads.

    >>> str(Augmentation(Crop(2), AlternatingFlip()))
    'alternating_flip,crop:2'
    """

    def __init__(self, *transformations: Transformation) -> None:
        by_name: dict[str, Transformation] = {}
        for one in transformations:
            if not isinstance(one, Transformation):
                raise PellucidError(f"An augmentation is made of transformations such as Flip(), but got {one!r}.")
            if one.name in by_name:
                raise PellucidError(f"The augmentation has {one.name} twice; once is enough.")
            by_name[one.name] = one
        if "flip" in by_name and "alternating_flip" in by_name:
            raise PellucidError("The augmentation has flip and alternating_flip, which undo each other; leave out one.")
        self._by_name = {name: by_name[name] for name in _CLASSES if name in by_name}

    def __iter__(self) -> Iterator[Transformation]:
        return iter(self._by_name.values())

    def get(self, kind: type[Transformation]) -> Any:
        """The transformation of this class, None if there is none."""
        return self._by_name.get(kind.name)

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Augmentation) and self._by_name == other._by_name

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __str__(self) -> str:
        return ",".join(map(str, self))

    def __repr__(self) -> str:
        return f"Augmentation({', '.join(map(repr, self))})"


def names() -> list[str]:
    """The names of all transformations.

    >>> names()[:3]
    ['flip', 'alternating_flip', 'crop']
    """
    return list(_CLASSES)


def get(augmentation: str | Sequence[str | Transformation] | Augmentation | None) -> Augmentation:
    """An augmentation from text: names with their numbers, ``"flip,crop:4,cutout:8"``. None and "" mean none.

    >>> get("crop")
    Augmentation(Crop(pixels=4))
    >>> get("flop")
    Traceback (most recent call last):
    pellucid.errors.PellucidError: There is no augmentation 'flop'. Did you mean 'flip'? ...
    """
    if isinstance(augmentation, Augmentation):
        return augmentation
    if isinstance(augmentation, str):
        augmentation = [word for word in re.split(r"[,\s]+", augmentation) if word]
    if isinstance(augmentation, Transformation):
        augmentation = [augmentation]
    return Augmentation(*(_read(one) if isinstance(one, str) else one for one in augmentation or ()))


def _read(text: str) -> Transformation:
    name, *numbers = text.strip().lower().split(":")
    name = name.replace("-", "_")
    if name not in _CLASSES:
        raise PellucidError(f"There is no augmentation {name!r}. {nearest(name, _CLASSES)}")
    cls = _CLASSES[name]
    settings = fields(cls)
    try:
        if len(numbers) > len(settings):
            raise ValueError
        values = [
            int(number) if isinstance(field.default, int) else float(number)
            for number, field in zip(numbers, settings, strict=False)
        ]
    except ValueError:
        form = ":".join([name, *(f"{field.default:g}" for field in settings)])
        about = f"its number is {settings[0].name}" if settings else "it has no number"
        raise PellucidError(f"The augmentation was {text!r}; wanted {form}: {about}.") from None
    return cls(*values)
