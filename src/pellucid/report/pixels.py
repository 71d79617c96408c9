"""Arrays as small pictures inside the page: data URIs, nothing beside the file."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import figures

_SIDE = 120  # pixels: what an overlay is enlarged to, so that the heat is smooth over sharp pixels
_CLIP = 99.5  # percent: a few pixels brighter than all others would leave the rest dark


def embedded(pixels: NDArray, largest: int | None = None) -> str:
    """A picture (H, W), (H, W, 1), (H, W, 3) or with opacity (H, W, 4), floats in 0 … 1, as a data URI.

    It is a PNG with just these pixels. Pictures with more than ``largest`` on a side are photographs, made smaller as JPEG: a
    tenth of the bytes.

    >>> embedded(np.zeros((8, 8)))[:22]
    'data:image/png;base64,'
    """
    from PIL import Image

    values = np.clip(np.nan_to_num(np.asarray(pixels, np.float32)), 0, 1)
    values = values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values
    image = Image.fromarray(np.round(255 * values).astype(np.uint8))
    format, settings = "png", dict[str, Any](optimize=True)
    if largest is not None and max(image.size) > largest:
        image.thumbnail((largest, largest))
        format, settings = "jpeg", dict[str, Any](quality=88)
    file = io.BytesIO()
    image.save(file, format, **settings)
    return f"data:image/{format};base64," + base64.b64encode(file.getvalue()).decode()


def coloured(values: NDArray, colours: str, low: float, high: float) -> NDArray:
    """Numbers ``low`` … ``high`` in the colours of a map of Matplotlib: (H, W) -> (H, W, 3)."""
    from matplotlib import colormaps

    share = (values - low) / ((high - low) or 1.0)
    return colormaps[colours](np.clip(np.nan_to_num(share), 0, 1))[..., :3]


def overlay(image: NDArray, heat: NDArray, signed: bool) -> NDArray:
    """``heat`` (H, W) laid over the brightness of ``image`` (H, W, C): strong places cover it, weak ones let it through."""
    factor = max(1, _SIDE // max(heat.shape))
    grey = image @ np.array([0.299, 0.587, 0.114]) if image.shape[2] == 3 else image[:, :, 0]
    grey = np.repeat(np.repeat(grey, factor, 0), factor, 1)[:, :, None]
    heat = _enlarged(heat, factor)
    top = float(np.percentile(np.abs(heat), _CLIP)) or float(np.abs(heat).max()) or 1.0
    colours = coloured(heat, figures.SIGNED if signed else figures.HEAT, -top if signed else 0.0, top)
    alpha = 0.8 * np.clip(np.abs(heat) / top, 0, 1)[:, :, None] ** 0.7
    return (1 - alpha) * grey + alpha * colours


def sheet(tiles: NDArray, columns: int) -> NDArray:
    """Tiles (N, H, W, 3) side by side, one pixel apart; the gaps are transparent: (rows·(H+1)-1, columns·(W+1)-1, 4)."""
    n, h, w, _ = tiles.shape
    columns = min(columns, n)
    rows = -(-n // columns)
    canvas = np.zeros((rows * (h + 1) - 1, columns * (w + 1) - 1, 4), np.float32)
    for number, tile in enumerate(tiles):
        y, x = (number // columns) * (h + 1), (number % columns) * (w + 1)
        canvas[y : y + h, x : x + w, :3], canvas[y : y + h, x : x + w, 3] = tile, 1
    return canvas


def _enlarged(heat: NDArray, factor: int) -> NDArray:
    from PIL import Image

    height, width = heat.shape
    picture = Image.fromarray(np.nan_to_num(heat).astype(np.float32))
    return np.asarray(picture.resize((factor * width, factor * height), Image.Resampling.BILINEAR))
