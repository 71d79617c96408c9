"""From an image file to the input of a network: one way to read it, one way to scale it.

The same two steps serve training and prediction, and they travel inside the model file, so a picture asked about later
is treated exactly like the pictures the network has learned from::

    file --read--> uint8 pixels (H, W, C) --call--> float32 network input
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError, FileFormatError, PellucidError, ShapeError

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm")
MAX_PIXELS = 64 * 1024 * 1024  # an image of 8192 x 8192
ANY_PIXELS = 4 * 1024 * 1024  # so many are always allowed, more only to files that are large enough to mean it
PIXELS_PER_BYTE = 4096  # more than a PNG, a GIF or a JPEG of one single colour has

# Pillow reads many more formats, some through outside programs (EPS); these are decoded in process.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_PIXELS_AT_ONCE = 1 << 20  # statistics walk through a data set in pieces of this many pixels
_header_lock = threading.Lock()
_large_lock = threading.Lock()  # a large image is unpacked a few times over: one after another


def read_image(
    path: str | os.PathLike[str], *, size: tuple[int, int] | None = None, channels: int
) -> np.ndarray:  # (H, W, C)
    """Read an image file as uint8 pixels of shape (height, width, channels).

    In this order: the EXIF orientation is applied; transparency (RGBA, LA, palette or tRNS) is laid over white; colours
    become grey by the luma formula of ITU-R BT.601 for ``channels=1``, grey becomes three equal channels for
    ``channels=3``; 16-bit grey is scaled to 8 bits; and with ``size`` = (height, width) an image of another size is
    stretched to it (bilinear with antialiasing). Of an animation the first frame counts.

    Raises
    ------
    DataError
        the file is missing, truncated, no image, of an unsupported kind, larger than ``MAX_PIXELS``, or so small that it can
        only be made to fill the memory.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "red.png"
    >>> Image.new("RGBA", (4, 2), (255, 0, 0, 255)).save(path)
    >>> read_image(path, channels=3).shape
    (2, 4, 3)
    >>> int(read_image(path, size=(8, 8), channels=1)[0, 0, 0])  # 0.299 · 255
    76
    """
    _check_size_and_channels(size, channels)
    with _open(path) as image:
        large = image.width * image.height > ANY_PIXELS
        try:
            with _large_lock if large else contextlib.nullcontext():
                return _pixels(_convert(_upright(image), channels), size)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except Exception as error:  # Pillow's decoders raise nearly everything on damaged files
            raise DataError(
                f"{path} cannot be decoded ({_short(error)}): the file is damaged or truncated. "
                "Replace or remove it, or skip such files with on_bad_image='skip'."
            ) from error


def image_info(path: str | os.PathLike[str]) -> tuple[int, int, int]:
    """(height, width, channels) of an image file from its header, without decoding the pixels.

    ``channels`` is 1 for a grey image, 3 for every other kind. Raises :class:`DataError` as :func:`read_image` does.
    """
    with _open(path) as image:
        width, height = image.size
        if _orientation(image) in (5, 6, 7, 8):  # lying on its side
            width, height = height, width
        return height, width, 1 if image.mode in _GREY_MODES else 3


def convert_images(x: np.ndarray, *, size: tuple[int, int] | None = None, channels: int | None = None) -> np.ndarray:
    """Give uint8 images (N, H, W, C) another size or number of channels, by the rules of :func:`read_image`.

    >>> convert_images(np.zeros((2, 28, 28, 1), np.uint8), size=(32, 32), channels=3).shape
    (2, 32, 32, 3)
    """
    n, *shape, c = x.shape
    size = (int(shape[0]), int(shape[1])) if size is None else size
    channels = c if channels is None else channels
    if (*size, channels) == x.shape[1:]:
        return x
    _check_size_and_channels(size, channels)
    if x.dtype != np.uint8 or c not in (1, 3):
        raise DataError(
            f"Only uint8 images with 1 or 3 channels can be resized or recoloured; these are {x.dtype} with {c} "
            "channels. Leave out size and channels, or convert the arrays before saving them."
        )
    from PIL import Image

    y = np.empty((n, *size, channels), np.uint8)
    for i in range(n):
        image = Image.fromarray(x[i, :, :, 0] if c == 1 else x[i])
        y[i] = _pixels(_convert(image, channels), size)
    return y


@dataclass(frozen=True)
class Preprocessing:
    """What happens between raw pixels and the first layer: ``(x * scale - mean) / std``, per channel.

    ``size`` is (height, width); ``mean`` and ``std`` hold one number per channel, in units of ``x * scale``.

    >>> preprocessing = Preprocessing(size=(1, 2), channels=1, scale=1 / 255, mean=(0.5,), std=(0.25,))
    >>> preprocessing(np.array([[[[0], [255]]]], np.uint8)).ravel().tolist()
    [-2.0, 2.0]
    >>> Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing
    True
    """

    size: tuple[int, int]
    channels: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.size) != 2 or not all(_is_whole(side) and side >= 1 for side in self.size):
            raise PellucidError(f"size is {self.size!r}; it is (height, width), two whole numbers of at least 1.")
        if not _is_whole(self.channels) or self.channels < 1:
            raise PellucidError(f"channels is {self.channels!r}; it is a whole number of at least 1.")
        if not _is_number(self.scale) or self.scale <= 0:
            raise PellucidError(f"scale is {self.scale!r}; it is a finite number above 0, such as 1/255.")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels or not all(_is_number(value) for value in values):
                raise PellucidError(
                    f"{name} is {values!r}; it is one finite number for each of {self.channels} channels."
                )
        if min(self.std) <= 0:
            raise PellucidError(f"std is {self.std!r}; every standard deviation is above 0 (1 leaves the scale alone).")

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Network input, float32 (N, H, W, C), from raw pixels of any dtype and the same shape."""
        x = np.asarray(x)
        wanted = (*self.size, self.channels)
        if x.ndim != 4 or x.shape[1:] != wanted:
            hint = ""
            if x.ndim == 3 and x.shape == wanted:
                hint = " Add the axis of images: x[None]."
            elif x.ndim == 4 and (x.shape[2], x.shape[3], x.shape[1]) == wanted:
                hint = " Move the channels last: x.transpose(0, 2, 3, 1)."
            elif x.ndim == 3 and x.shape[1:] == self.size and self.channels == 1:
                hint = " Add the axis of channels: x[..., None]."
            raise ShapeError(f"Got images of shape {x.shape}, wanted (N, {', '.join(map(str, wanted))}).{hint}")
        std = np.asarray(self.std)
        y = x.astype(np.float32)  # (N, H, W, C)
        y *= (self.scale / std).astype(np.float32)
        y -= (np.asarray(self.mean) / std).astype(np.float32)
        return y

    def read(self, path: str | os.PathLike[str]) -> np.ndarray:
        """The raw pixels of an image file as this network wants them: uint8 (H, W, C). See :func:`read_image`."""
        return read_image(path, size=self.size, channels=self.channels)

    @classmethod
    def fit(cls, x: np.ndarray) -> Preprocessing:
        """Mean and standard deviation per channel of training images (N, H, W, C), in float64.

        uint8 pixels get the scale 1/255, floats the scale 1. A channel that never changes gets the deviation 1.
        The images are visited in pieces, so the set is never copied to float as a whole.

        >>> Preprocessing.fit(np.array([[[[0], [255]]]], np.uint8))
        Preprocessing(size=(1, 2), channels=1, scale=0.00392156862745098, mean=(0.5,), std=(0.5,))
        """
        if x.ndim != 4 or x.size == 0:
            raise ShapeError(f"Got training images of shape {x.shape}, wanted at least one image in (N, H, W, C).")
        scale = 1 / 255 if x.dtype == np.uint8 else 1.0
        mean, std = _moments_of_bytes(x) if x.dtype == np.uint8 else _moments(x)
        std = np.where(std > 0, std, 1 / scale)
        return cls(
            size=(int(x.shape[1]), int(x.shape[2])),
            channels=int(x.shape[3]),
            scale=scale,
            mean=tuple(float(value) for value in mean * scale),
            std=tuple(float(value) for value in std * scale),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> Preprocessing:
        """The inverse of :meth:`to_dict`. Raises :class:`FileFormatError` when a value is missing or makes no sense."""
        names = [field.name for field in fields(cls)]
        if not isinstance(d, Mapping) or set(d) != set(names):
            given = sorted(map(str, d)) if isinstance(d, Mapping) else type(d).__name__
            raise FileFormatError(f"The preprocessing of a model has the entries {names}; this one has {given}.")
        try:
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, (list, tuple)) else value for key, value in d.items()
            }
            for key in ("size", "mean", "std"):
                if not isinstance(values[key], tuple):
                    raise PellucidError(f"{key} is {values[key]!r}; it is a list of numbers.")
            return cls(**values)
        except PellucidError as error:
            raise FileFormatError(f"The preprocessing of the model is damaged: {error}") from error


def _moments_of_bytes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Counting how often each of the 256 values occurs makes the sums exact.
    c = x.shape[3]
    counts = np.zeros((c, 256), np.int64)
    for piece in _pieces(x):
        for channel in range(c):
            counts[channel] += np.bincount(piece[..., channel].ravel(), minlength=256)
    values = np.arange(256.0)
    n = counts.sum(1)
    mean = counts @ values / n
    variance = np.stack([counts[channel] @ (values - mean[channel]) ** 2 for channel in range(c)]) / n
    return mean, np.sqrt(variance)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = x.size // x.shape[3]
    mean = sum(piece.sum((0, 1, 2), dtype=np.float64) for piece in _pieces(x)) / n
    variance = sum(((piece - mean) ** 2).sum((0, 1, 2)) for piece in _pieces(x)) / n
    return np.asarray(mean), np.sqrt(variance)


def _pieces(x: np.ndarray):
    step = max(1, _PIXELS_AT_ONCE // (x.shape[1] * x.shape[2]))
    return (x[start : start + step] for start in range(0, len(x), step))


def _open(path: str | os.PathLike[str]) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} is not a file. Check the path.")
    try:
        # Pillow only warns of images above its own limit, and the filters of `warnings` are shared by all threads.
        with _header_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=_FORMATS)
    except UnidentifiedImageError as error:
        kinds = ", ".join(_FORMATS)
        raise DataError(
            f"{path} is not an image that can be read (known: {kinds}), or its start is damaged."
        ) from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} is refused: {error}") from error
    except Exception as error:
        raise DataError(f"{path} cannot be opened as an image ({_short(error)}).") from error
    width, height = image.size
    limit = min(MAX_PIXELS, max(ANY_PIXELS, PIXELS_PER_BYTE * path.stat().st_size))
    if width * height > limit:
        image.close()
        raise DataError(
            f"{path} has {width} x {height} pixels, more than the limit of {limit:,} for a file of its size: refused, because "
            "such a file may be made to fill the memory. Make the image smaller first."
        )
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # damaged EXIF says nothing
        return 1


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) == 1:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _convert(image: Image.Image, channels: int) -> Image.Image:
    from PIL import Image

    mode = "L" if channels == 1 else "RGB"
    if image.mode == "F":
        raise DataError("holds floating-point pixels, whose range is unknown. Save it with 8 or 16 bits.")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise DataError("holds values outside 0..65535. Save it with 8 or 16 bits.")
        image = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _pixels(image: Image.Image, size: tuple[int, int] | None) -> np.ndarray:
    from PIL import Image

    if size is not None and (image.height, image.width) != tuple(size):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.array(image, np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _check_size_and_channels(size: tuple[int, int] | None, channels: int) -> None:
    if channels not in (1, 3):
        raise DataError(f"channels is {channels!r}; an image is read with 1 channel (grey) or 3 (red, green, blue).")
    if size is not None and (len(size) != 2 or not all(_is_whole(side) and 1 <= side <= 8192 for side in size)):
        raise DataError(f"size is {size!r}; it is (height, width), each a whole number from 1 to 8192.")


def _is_whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, (float, np.floating)) and math.isfinite(value))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
