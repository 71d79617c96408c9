"""Augmentation; the twin of ``ops/augment.py``, with the same bits.

One pass over memory: an image is gathered from the data, transformed and normalised by one thread while it is in its nearest
cache. A chunk is one image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .assembly import address, flat, numbers
from .buffers import aligned
from .jit import BYTES_IN4, IN1, IN2, IN4, INT, INTS, OUT2, OUT4, TABLE, TEAM, Array, Kernel, inline, kernel, named
from .threads import MEMBERS, next_chunk, parallel_for

_f = np.float32
_ROWS = 128
_BYTES_IN2 = Array("uint8", 2)
_ONE, _U1, _U2 = _f(1), np.uint32(1), np.uint32(2)
_RED, _GREEN, _BLUE = _f(0.299), _f(0.587), _f(0.114)


@inline
def _reflect(index, size):
    """``index`` as seen in mirrors that stand on the first and the last of ``size`` places."""
    if 0 <= index < size:
        return index
    period = max(2 * (size - 1), 1)
    index %= period
    return index if index < size else period - index


@inline
def _move(image, move, places, line, scale, shift, y):
    """Mirrored and moved by whole pixels, then ``value · scale - shift``. ``places`` and ``line`` hold a row."""
    h, w, channels = image.shape
    mirrored, down, right = move[0], move[1], move[2]
    for column in range(w):
        places[column] = channels * _reflect((w - 1 - column if mirrored else column) + right, w)
    for row in range(h):
        source, target = flat(image[_reflect(row + down, h)]), flat(y[row])
        if channels == 3:
            for column in range(w):
                # numbers without a sign need no look whether they count from the end
                a, b = places[column], np.uint32(3 * column)
                line[b], line[b + _U1], line[b + _U2] = source[a], source[a + _U1], source[a + _U2]
        else:
            for column in range(w):
                for c in range(channels):
                    line[column * channels + c] = source[places[column] + np.uint32(c)]
        for j in range(line.size):  # apart, so that the conversion is done by vectors
            target[j] = _f(line[j]) * scale[j] - shift[j]


@inline
def _map(image, m, values, tops, bottoms, lefts, rears, downs, rights, y):
    """Looked up at the places the map names, between pixels bilinearly.

    ``values`` holds an image (H · W · C), ``tops`` to ``rears`` (int32) and ``downs`` and ``rights`` (float32) a row.
    """
    h, w, channels = image.shape
    pixels = flat(image)
    for j in range(values.size):
        values[j] = _f(pixels[j])
    for row in range(h):
        for column in range(w):  # step by step, so that each is done by vectors
            down = m[0] * _f(row) + m[1] * _f(column) + m[2]
            right = m[3] * _f(row) + m[4] * _f(column) + m[5]
            first_row, first_column = np.floor(down), np.floor(right)
            tops[column], lefts[column] = np.int32(first_row), np.int32(first_column)
            downs[column], rights[column] = down - first_row, right - first_column
        _neighbours(tops, bottoms, h)
        _neighbours(lefts, rears, w)
        target = y[row]
        for column in range(w):
            down, right = downs[column], rights[column]
            top, bottom = tops[column] * w, bottoms[column] * w
            a, b = np.uint32((top + lefts[column]) * channels), np.uint32((top + rears[column]) * channels)
            c, d = np.uint32((bottom + lefts[column]) * channels), np.uint32((bottom + rears[column]) * channels)
            for channel in range(channels):
                k = np.uint32(channel)
                above, below = values[a + k], values[c + k]
                above += (values[b + k] - above) * right
                below += (values[d + k] - below) * right
                target[column, channel] = above + (below - above) * down


@inline
def _neighbours(places, following, size):
    """The places one further on, and both as seen in the mirrors. Places lie on a line: only its ends can be far outside."""
    last = np.int32(size - 1)
    least, most = min(places[0], places[-1]), max(places[0], places[-1]) + 1
    if -last <= least and most <= 2 * last:  # once mirrored, they are inside: no remainder is needed
        for column in range(places.size):
            place = abs(places[column])
            after = abs(places[column] + np.int32(1))
            places[column] = last - abs(last - place)
            following[column] = last - abs(last - after)
    else:
        for column in range(places.size):
            place = places[column]
            places[column], following[column] = _reflect(place, size), _reflect(place + 1, size)


@inline
def _mean_grey(image, totals):
    """``totals`` (C,) is of a type that pixels can be added in without rounding."""
    h, w, channels = image.shape
    totals[:] = 0
    for row in range(h):
        values = image[row]
        for column in range(w):
            for c in range(channels):
                totals[c] += values[column, c]
    grey = 0.0
    for c in range(channels):
        weight = 1 / channels
        if channels == 3:
            weight = 0.299 if c == 0 else 0.587 if c == 1 else 0.114
        grey += totals[c] / (h * w) * weight
    return _f(grey)


@inline
def _recolor(color, pivot, y):
    """Brightness, contrast about ``pivot``, saturation about the grey of each pixel."""
    brightness, contrast, saturation = color[0], color[1], color[2]
    pivot = (_ONE - contrast) * (pivot * brightness)
    values = flat(y)
    for j in range(values.size):
        values[j] = values[j] * brightness * contrast + pivot
    if y.shape[2] == 3:
        rest = _ONE - saturation
        for row in range(y.shape[0]):
            for column in range(y.shape[1]):
                pixel = y[row, column]
                grey = rest * (pixel[0] * _RED + pixel[1] * _GREEN + pixel[2] * _BLUE)
                for c in range(3):
                    pixel[c] = pixel[c] * saturation + grey


def _render_kernel(dtype: str, array: Array, clips: bool) -> Kernel:
    scalar, sum_type = np.dtype(dtype).type, np.int64 if clips else np.float64

    @kernel(TEAM, INT, OUT2, array, INTS, TABLE, IN2, IN2, TABLE, IN1, IN1, OUT4)
    @named(f"render_{dtype}")
    def run(team, chunks, workspace, x, images, moves, maps, colors, boxes, scale, shift, y):
        w, channels = y.shape[2:]
        row, space = w * channels, address(workspace[next_chunk(team[MEMBERS:])])
        totals, line = numbers(space, channels, sum_type), numbers(space + 8 * channels, row, scalar)
        space += 4 * (2 * channels + row)
        ones, zeros = numbers(space, row, np.float32), numbers(space + 4 * row, row, np.float32)
        ones[:], zeros[:] = 1, 0
        space += 8 * row
        places = numbers(space, w, np.uint32)
        tops, bottoms = numbers(space, w, np.int32), numbers(space + 4 * w, w, np.int32)
        lefts, rears = numbers(space + 8 * w, w, np.int32), numbers(space + 12 * w, w, np.int32)
        downs, rights = numbers(space + 16 * w, w, np.float32), numbers(space + 20 * w, w, np.float32)
        floats = numbers(space + 24 * w, y.shape[1] * row, np.float32)
        recolored = colors.shape[0] > 0
        chunk = next_chunk(team)
        while chunk < chunks:
            image, target = x[images[chunk]], y[chunk]
            if maps.shape[0]:
                _map(image, maps[chunk], floats, tops, bottoms, lefts, rears, downs, rights, target)
            else:
                _move(
                    image,
                    moves[chunk],
                    places,
                    line,
                    ones if recolored else scale,
                    zeros if recolored else shift,
                    target,
                )
            if recolored:
                pivot = _mean_grey(image, totals) if colors[chunk, 1] != _ONE else _f(0)
                _recolor(colors[chunk], pivot, target)
            if recolored or maps.shape[0]:
                for i in range(target.shape[0]):
                    values = flat(target[i])
                    if clips and recolored:
                        for j in range(values.size):
                            values[j] = min(max(values[j], _f(0)), _f(255))
                    for j in range(values.size):
                        values[j] = values[j] * scale[j] - shift[j]
            if boxes.shape[0]:
                target[boxes[chunk, 0] : boxes[chunk, 2], boxes[chunk, 1] : boxes[chunk, 3]] = 0
            chunk = next_chunk(team)

    return run


_RENDER = {"uint8": _render_kernel("uint8", BYTES_IN4, True), "float32": _render_kernel("float32", IN4, False)}
_NO_FLOATS, _NO_INTS = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int64)


def render(
    x: NDArray, draws: tuple[NDArray, ...], scale: NDArray[np.float32], shift: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The images that ``draws`` names, transformed, as the network sees them: ``value · scale - shift`` per channel."""
    images, moves, maps, colors, boxes = draws
    if len(images) and not 0 <= images.min() <= images.max() < len(x):
        raise IndexError(f"images {images.min()} … {images.max()} of {len(x)}")  # compiled code would not notice
    h, w, c = x.shape[1:]
    y = aligned((len(images), h, w, c))
    parallel_for(
        _RENDER[x.dtype.name],
        len(images),
        x,
        images,
        moves,
        _NO_FLOATS if maps is None else maps,
        _NO_FLOATS if colors is None else colors,
        _NO_INTS if boxes is None else boxes,
        np.tile(scale, x.shape[2]),  # a row of them
        np.tile(shift, x.shape[2]),
        y,
        workspace=2 * c + w * (3 * c + 6) + (0 if maps is None else h * w * c),  # see above, where it is shared out
    )
    return y


@kernel(TEAM, INT, IN4, IN4, IN1, TABLE, OUT4)
def _mix(team, chunks, x, partners, weights, boxes, y):
    chunk = next_chunk(team)
    while chunk < chunks:
        weight, rest = weights[chunk], _ONE - weights[chunk]
        source, other, target = flat(x[chunk]), flat(partners[chunk]), flat(y[chunk])
        for j in range(target.size):
            target[j] = source[j] * weight + other[j] * rest
        for i in range(boxes[chunk, 0], boxes[chunk, 2]):
            source, target = partners[chunk, i], y[chunk, i]  # (W, C)
            for j in range(boxes[chunk, 1], boxes[chunk, 3]):
                for c in range(x.shape[3]):
                    target[j, c] = source[j, c]
        chunk = next_chunk(team)


def mix(
    y: NDArray[np.float32], partners: NDArray[np.float32], weights: NDArray[np.float32], boxes: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Images (N, H, W, C) mixed with their partners: the weighted mean, and inside the box the partner alone."""
    mixed = aligned(y.shape)
    parallel_for(_mix, len(y), y, partners, weights, boxes, mixed)
    return mixed


@kernel(TEAM, INT, _BYTES_IN2, IN1, IN1, OUT2)
def _normalise(team, chunks, x, scale, shift, y):
    """A row of ``x`` is one of an image; a chunk is ``_ROWS`` of them."""
    chunk = next_chunk(team)
    while chunk < chunks:
        for row in range(chunk * _ROWS, min((chunk + 1) * _ROWS, len(x))):
            source, target = x[row], y[row]
            for j in range(target.size):
                target[j] = _f(source[j]) * scale[j] - shift[j]
        chunk = next_chunk(team)


def normalise(x: NDArray[np.uint8], scale: NDArray[np.float32], shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images (N, H, W, C) as they are: ``value · scale - shift`` per channel."""
    x, y = np.ascontiguousarray(x), aligned(x.shape)
    n, h, w, c = x.shape
    rows = n * h, w * c
    parallel_for(
        _normalise, -(-rows[0] // _ROWS), x.reshape(rows), np.tile(scale, w), np.tile(shift, w), y.reshape(rows)
    )
    return y
