"""The loops of direct convolution: forward, and the gradient to the kernel.

``convolve`` runs over rectangles of output pixels that see the same taps (see ``segments``). In a rectangle every line
of pixels is one ``product``: with channels last, the KW·CI inputs that a pixel needs from one image row are
contiguous, so the sum runs over k in such a row and over r = KH rows, and going to the next pixel is a constant
stride. No image is padded or copied. The gradient to the input is the same function with dy for x and turned weights.

``kernel_gradient`` is the product the other way round: dkernel[tap] (CI, CO) sums over pixels. A's rows are channels (stride 1),
k runs over the pixels of an image row, r over rows or images.
"""

from __future__ import annotations

import numpy as np

from .assembly import address, put
from .gemm import product
from .jit import IN1, IN4, INT, INTS, OUT1, OUT2, OUT4, OUT5, TABLE, TEAM, inline, kernel
from .simd import NO_FLOOR
from .threads import MEMBERS, next_chunk
from .transpose import clear, copy, transpose


@kernel(TEAM, INT, TABLE, IN4, INTS, INTS, INT, INT, INT, INT, OUT1)
def pack_weights(team, chunks, functions, weights, row_taps, column_taps, groups, turned, width, lanes, packed):
    """Weights (KH, KW, CI / groups, CO) as panels [group][panel][tap row][tap column][input channel][width].

    ``turned`` swaps the roles of input and output channels. One chunk is one tap of one group.
    """
    kh, kw = row_taps.size, column_taps.size
    inputs, outputs = weights.shape[2], weights.shape[3] // groups
    if turned:
        inputs, outputs = outputs, inputs
    whole = (outputs + lanes - 1) // lanes * lanes
    chunk = next_chunk(team)
    while chunk < chunks:
        group, tap = chunk // (kh * kw), chunk % (kh * kw)
        source = weights[row_taps[tap // kw], column_taps[tap % kw]]  # (CI / groups, CO)
        for first in range(0, outputs, width):
            full, valid = min(width, whole - first), min(width, outputs - first)
            panel = address(packed) + 4 * ((group * whole + first) * kh * kw * inputs + tap * inputs * full)
            if turned:
                if valid < full:
                    clear(panel, inputs * full)
                at = address(source) + 4 * (first * source.shape[1] + group * inputs)
                transpose(functions, at, source.shape[1], panel, full, valid, inputs)
            else:
                at = address(source) + 4 * (group * outputs + first)
                copy(functions, at, source.shape[1], panel, full, valid, inputs)
        chunk = next_chunk(team)


@inline
def _fill_line(y, count, step, bias, columns, floor):
    """Pixels that see no tap at all: only the bias. y is the address of the first, ``step`` floats lie between pixels."""
    for i in range(count):
        for c in range(columns):
            put(y + 4 * (i * step + c), bias[c] if floor == NO_FLOOR or bias[c] > 0 else np.float32(0))


@inline
def _convolve_rectangle(
    tiles, x, packed, bias, y, image, target, rows, columns, group, inputs, first, valid, panel, full, here, kw, floor
):  # fmt: skip
    """All pixels of one rectangle, for the output channels of one panel. rows, columns: segments of the two axes."""
    out_row, out_row_step, row_count, in_row, in_row_step, row_tap, row_taps, row_tap_step = rows
    out_col, out_col_step, col_count, in_col, in_col_step, col_tap, col_taps, col_tap_step = columns
    width, ci, co, out_width = x.shape[2], x.shape[3], y.shape[3], y.shape[2]
    y_pixel, y_line = out_col_step * co, out_row_step * out_width * co
    x_pixel, x_line = in_col_step * ci, in_row_step * width * ci
    y_at = ((target * y.shape[1] + out_row) * out_width + out_col) * co + first
    x_at = ((image * x.shape[1] + in_row) * width + in_col) * ci + group * inputs
    lines, pixels = row_count, col_count
    if row_count > col_count:  # lines run downwards
        lines, pixels = col_count, row_count
        y_pixel, y_line, x_pixel, x_line = y_line, y_pixel, x_line, x_pixel
    if row_taps == 0 or col_taps == 0:
        for line in range(lines):
            _fill_line(address(y) + 4 * (y_at + line * y_line), pixels, y_pixel, bias[first:], valid, floor)
        return
    tap = inputs * full
    weights = address(packed) + 4 * (panel + (row_tap * kw + col_tap) * tap)
    joined = col_tap_step == 1 and inputs == ci  # the taps of an image row are contiguous
    for line in range(lines):
        a = address(x) + 4 * (x_at + line * x_line)
        c = address(y) + 4 * (y_at + line * y_line)
        start, start_step = address(bias) + 4 * first, 0
        if joined:
            product(
                tiles, here, pixels, a, x_pixel, 1, row_tap_step * width * ci, weights, full, kw * tap,
                start, start_step, c, y_pixel, valid, col_taps * ci, row_taps, floor,
            )  # fmt: skip
        else:
            for i in range(row_taps):
                product(
                    tiles, here, pixels, a + 4 * i * row_tap_step * width * ci, x_pixel, 1, col_tap_step * ci,
                    weights + 4 * i * kw * tap, full, tap,
                    start, start_step, c, y_pixel, valid, inputs, col_taps,
                    floor if i == row_taps - 1 else NO_FLOOR,
                )  # fmt: skip
                start, start_step = c, y_pixel


@inline
def convolve_images(
    tiles, lanes, x, packed, bias, y, begin, end, target, rows, row_begin, row_end, columns, taps, kw, groups, vectors,
    panel_begin, panel_end, floor,
):  # fmt: skip
    """y[target], … = bias + x[begin:end] * weights, in the rectangles of some segments of rows, for some panels of weights."""
    inputs, outputs = x.shape[3] // groups, y.shape[3] // groups
    width = vectors * lanes
    whole = (outputs + lanes - 1) // lanes * lanes
    group_panels = (outputs + width - 1) // width
    for p in range(panel_begin, min(panel_end, group_panels * groups)):
        group, first = p // group_panels, p % group_panels * width
        full, valid = min(width, whole - first), min(width, outputs - first)
        panel = (group * whole + first) * taps * inputs
        for image in range(begin, end):
            for i in range(row_begin, row_end):
                r = rows[i]
                row = (r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
                for j in range(columns.shape[0]):
                    s = columns[j]
                    column = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7])
                    _convolve_rectangle(
                        tiles, x, packed, bias, y, image, target + image - begin, row, column, group, inputs,
                        group * outputs + first, valid, panel, full, full // lanes, kw, floor,
                    )  # fmt: skip


@kernel(TEAM, INT, TABLE, INT, IN4, IN1, IN1, OUT4, TABLE, INTS, TABLE, INT, INT, INT, INT, INT, INT, INT)
def convolve(
    team, chunks, tiles, lanes, x, packed, bias, y, rows, bands, columns, taps, kw, groups, vectors, images, panels,
    floor,
):  # fmt: skip
    """y = bias + x * weights. One chunk is ``images`` images, one band of rows and ``panels`` panels of output channels."""
    band_count, n = bands.size - 1, x.shape[0]
    width = vectors * lanes
    all_panels = (y.shape[3] // groups + width - 1) // width * groups
    panel_chunks = (all_panels + panels - 1) // panels
    chunk = next_chunk(team)
    while chunk < chunks:
        block, rest = chunk // (band_count * panel_chunks), chunk % (band_count * panel_chunks)
        band, panel_chunk = rest // panel_chunks, rest % panel_chunks
        begin, end = block * images, min((block + 1) * images, n)
        convolve_images(
            tiles, lanes, x, packed, bias, y, begin, end, begin, rows, bands[band], bands[band + 1], columns, taps, kw,
            groups, vectors, panel_chunk * panels, (panel_chunk + 1) * panels, floor,
        )  # fmt: skip
        chunk = next_chunk(team)


@inline
def _copy_panel(functions, dy, image, count, first, valid, full, panel):
    """The channels of one panel of ``count`` images of dy, pixel by pixel, zeros up to whole vectors."""
    pixels, channels = dy.shape[1] * dy.shape[2], dy.shape[3]
    start = address(dy) + 4 * (image * pixels * channels + first)
    copy(functions, start, channels, address(panel), full, valid, count * pixels)


@inline
def add_taps(
    tiles, x, image, count, b0, b_pixel, out_height, out_width, parts, part, group, first, valid, here, zeros, afresh,
    row_out, row_count, row_in, col_out, col_count, col_in, row_step, col_step, merged,
):  # fmt: skip
    """parts[part] += xᵀ dy over ``count`` images, for the output channels of one panel; ``afresh``: instead of what is there.

    b0 is the address of these channels of dy of the first image, whose pixels lie ``b_pixel`` floats apart.
    """
    height, width, ci = x.shape[1], x.shape[2], x.shape[3]
    kh, kw, inputs, co = parts.shape[1], parts.shape[2], parts.shape[3], parts.shape[4]
    for i in range(kh):
        for j in range(1 if merged else kw):
            c = address(parts) + 4 * ((((part * kh + i) * kw + j) * inputs) * co + first)
            start, start_step = (zeros, 0) if afresh else (c, co)
            m = inputs * kw if merged else inputs
            lines, across = row_count[i], col_count[j]
            if lines == 0 or across == 0:
                if afresh:
                    for k in range(m):
                        parts[part, i, j + k // inputs, k % inputs, first : first + valid] = 0
                continue
            a = address(x) + 4 * (((image * height + row_in[i]) * width + col_in[j]) * ci + group * inputs)
            b = b0 + 4 * (row_out[i] * out_width + col_out[j]) * b_pixel
            line_a, line_b = row_step * width * ci, out_width * b_pixel
            image_a, image_b = height * width * ci, out_height * out_width * b_pixel
            if across == out_width and line_a == across * col_step * ci:  # whole rows: one run of pixels
                across, lines = across * lines, 1
            # of lines and images, the tile runs over the longer one and this loop over the shorter
            outer, repeats = count, lines
            outer_a, outer_b, a_r, b_r = image_a, image_b, line_a, line_b
            if lines < count:
                outer, repeats = lines, count
                outer_a, outer_b, a_r, b_r = line_a, line_b, image_a, image_b
            for o in range(outer):
                product(
                    tiles, here, m, a + 4 * o * outer_a, 1, col_step * ci, a_r, b + 4 * o * outer_b, b_pixel, b_r,
                    start, start_step, c, co, valid, across, repeats, NO_FLOOR,
                )  # fmt: skip
                start, start_step = c, co


@inline
def add_pixels(tiles, b0, b_pixel, pixels, total, valid, here, zeros, one, afresh):
    """total += Σ dy over pixels for the channels of one panel; b0 and total are addresses. A product with ones."""
    product(
        tiles, here, 1, one, 0, 0, 0, b0, b_pixel, 0, zeros if afresh else total, 0, total, 0, valid, pixels, 1, NO_FLOOR
    )  # fmt: skip


@kernel(
    TEAM, INT, OUT2, TABLE, TABLE, INT, IN4, IN4, OUT5, OUT2, IN1, INTS, INTS, INTS, INTS, INTS, INTS,
    INT, INT, INT, INT, INT, INT,
)  # fmt: skip
def kernel_gradient(
    team, chunks, workspace, tiles, functions, lanes, x, dy, parts, bias_parts, constants, row_out, row_count, row_in,
    col_out, col_count, col_in, row_step, col_step, groups, vectors, together, merged,
):  # fmt: skip
    """parts[p] = Σ over the images of part p of xᵀ dy, tap by tap; one chunk is one panel of output channels of one part.

    row_out, row_count, row_in: the reach of the tap rows (see ``segments.tap_reach``), likewise for columns. ``together``
    images are taken at a time; ``merged``: all taps of a kernel row reach the same outputs, so that they are one product.
    ``constants``: zeros as long as a tile is wide, then a one.
    """
    n, co, outputs = x.shape[0], dy.shape[3], dy.shape[3] // groups
    count_parts, pixels = parts.shape[0], dy.shape[1] * dy.shape[2]
    wide = vectors * lanes
    group_panels = (outputs + wide - 1) // wide
    panel = workspace[next_chunk(team[MEMBERS:])]
    zeros, one = address(constants), address(constants) + 4 * (constants.size - 1)
    chunk = next_chunk(team)
    while chunk < chunks:
        part, p = chunk // (group_panels * groups), chunk % (group_panels * groups)
        group, first = p // group_panels, p % group_panels * wide
        valid = min(wide, outputs - first)
        here = (valid + lanes - 1) // lanes
        full = here * lanes
        first += group * outputs
        begin, end = n * part // count_parts, n * (part + 1) // count_parts
        for image in range(begin, end, together):
            count = min(together, end - image)
            _copy_panel(functions, dy, image, count, first, valid, full, panel)
            if bias_parts.shape[0] > 0:
                total = address(bias_parts) + 4 * (part * co + first)
                add_pixels(tiles, address(panel), full, count * pixels, total, valid, here, zeros, one, image == begin)
            add_taps(
                tiles, x, image, count, address(panel), full, dy.shape[1], dy.shape[2], parts, part, group, first, valid,
                here, zeros, image == begin, row_out, row_count, row_in, col_out, col_count, col_in, row_step, col_step,
                merged,
            )  # fmt: skip
        chunk = next_chunk(team)
