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

from .assembly import address, clear, copy_line, get, put
from .gemm import product
from .jit import IN1, IN4, INT, INTS, OUT1, OUT2, OUT4, OUT5, TABLE, TEAM, inline, kernel
from .segments import COUNT, IN, IN_STEP, OUT, OUT_STEP, TAP, TAP_STEP, TAPS
from .simd import NO_FLOOR
from .threads import MEMBERS, next_chunk
from .transpose import copy, transpose


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
            value = get(bias + 4 * c)
            put(y + 4 * (i * step + c), np.float32(0) if floor != NO_FLOOR and value <= 0 else value)


@inline
def _convolve_rectangle(
    tiles, x, width, ci, weights, bias, y, out_width, co, row, column, inputs, valid, full, here, kw, floor
):  # fmt: skip
    """All pixels of one rectangle, for the output channels of one panel. row, column: segments of the two axes.

    x, weights, bias and y: addresses of an image, a panel, the biases of its channels, and these channels of an image.
    """
    row_count, col_count, row_taps, col_taps = row[COUNT], column[COUNT], row[TAPS], column[TAPS]
    y_pixel, y_line = column[OUT_STEP] * co, row[OUT_STEP] * out_width * co
    x_pixel, x_line, x_tap_row = column[IN_STEP] * ci, row[IN_STEP] * width * ci, row[TAP_STEP] * width * ci
    y_at = y + 4 * (row[OUT] * out_width + column[OUT]) * co
    x_at = x + 4 * (row[IN] * width + column[IN]) * ci
    lines, pixels = row_count, col_count
    if row_count > col_count:  # lines run downwards
        lines, pixels = col_count, row_count
        y_pixel, y_line, x_pixel, x_line = y_line, y_pixel, x_line, x_pixel
    if x_line == pixels * x_pixel and y_line == pixels * y_pixel:  # they follow each other evenly: one line
        lines, pixels = 1, lines * pixels
    if row_taps == 0 or col_taps == 0:
        for line in range(lines):
            _fill_line(y_at + 4 * line * y_line, pixels, y_pixel, bias, valid, floor)
        return
    tap = inputs * full
    weights += 4 * (row[TAP] * kw + column[TAP]) * tap
    # k runs over the inputs of a tap and r over taps; where the taps of an image row are contiguous, k runs over them too
    joined = column[TAP_STEP] == 1 and inputs == ci
    products = 1 if joined else row_taps
    a_r, b_r, depth, repeats = column[TAP_STEP] * ci, tap, inputs, col_taps
    if joined:
        a_r, b_r, depth, repeats = x_tap_row, kw * tap, col_taps * ci, row_taps
    for line in range(lines):
        c, start, start_step = y_at + 4 * line * y_line, bias, 0
        for i in range(products):
            product(
                tiles, here, pixels, x_at + 4 * (line * x_line + i * x_tap_row), x_pixel, 1, a_r,
                weights + 4 * i * kw * tap, full, b_r, start, start_step, c, y_pixel, valid, depth, repeats,
                floor if i == products - 1 else NO_FLOOR,
            )  # fmt: skip
            start, start_step = c, y_pixel


@inline
def convolve_images(
    tiles, lanes, x, height, width, ci, packed, bias, y, out_height, out_width, co, images, rows, row_begin, row_end, columns,
    taps, kw, groups, vectors, panel_begin, panel_end, floor,
):  # fmt: skip
    """y = bias + x * weights for some images, in the rectangles of some segments of rows, for some panels of weights.

    x, packed, bias and y are addresses of images (height, width, ci), panels, co biases, and images (out_height, out_width, co).
    """
    inputs, outputs = ci // groups, co // groups
    panel_width = vectors * lanes
    whole = (outputs + lanes - 1) // lanes * lanes
    group_panels = (outputs + panel_width - 1) // panel_width
    for p in range(panel_begin, min(panel_end, group_panels * groups)):
        group, first = p // group_panels, p % group_panels * panel_width
        full, valid = min(panel_width, whole - first), min(panel_width, outputs - first)
        weights = packed + 4 * (group * whole + first) * taps * inputs
        first += group * outputs
        for image in range(images):
            source = x + 4 * (image * height * width * ci + group * inputs)
            target = y + 4 * (image * out_height * out_width * co + first)
            for i in range(row_begin, row_end):
                for j in range(columns.shape[0]):
                    _convolve_rectangle(
                        tiles, source, width, ci, weights, bias + 4 * first, target, out_width, co, rows[i], columns[j],
                        inputs, valid, full, full // lanes, kw, floor,
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
    x_image, y_image = x.shape[1] * x.shape[2] * x.shape[3], y.shape[1] * y.shape[2] * y.shape[3]
    chunk = next_chunk(team)
    while chunk < chunks:
        block, rest = chunk // (band_count * panel_chunks), chunk % (band_count * panel_chunks)
        band, panel_chunk = rest // panel_chunks, rest % panel_chunks
        begin, end = block * images, min((block + 1) * images, n)
        convolve_images(
            tiles, lanes, address(x) + 4 * begin * x_image, x.shape[1], x.shape[2], x.shape[3], address(packed), address(bias),
            address(y) + 4 * begin * y_image, y.shape[1], y.shape[2], y.shape[3], end - begin, rows, bands[band],
            bands[band + 1], columns, taps, kw, groups, vectors, panel_chunk * panels, (panel_chunk + 1) * panels, floor,
        )  # fmt: skip
        chunk = next_chunk(team)


@kernel(TEAM, INT, IN4, INT, INT, OUT4)
def pad(team, chunks, x, above, left, padded):
    """x with zeros around it; one chunk is one row of one padded image."""
    height, width = x.shape[1], x.shape[2] * x.shape[3]
    chunk = next_chunk(team)
    while chunk < chunks:
        image, row = chunk // padded.shape[1], chunk % padded.shape[1] - above
        target = address(padded) + 4 * chunk * padded.shape[2] * padded.shape[3]
        clear(target, padded.shape[2] * padded.shape[3])
        if 0 <= row < height:
            source = address(x) + 4 * (image * height + row) * width
            copy_line(source, target + 4 * left * x.shape[3], width)
        chunk = next_chunk(team)


@inline
def _copy_panel(functions, dy, image, count, first, valid, full, panel):
    """The channels of one panel of ``count`` images of dy, pixel by pixel, zeros up to whole vectors."""
    pixels, channels = dy.shape[1] * dy.shape[2], dy.shape[3]
    start = address(dy) + 4 * (image * pixels * channels + first)
    copy(functions, start, channels, address(panel), full, valid, count * pixels)


@inline
def add_taps(
    tiles, x, height, width, ci, images, dy, out_height, out_width, dy_pixel, total, inputs, co, valid, here, zeros, afresh,
    row_out, row_count, row_in, col_out, col_count, col_in, row_step, col_step, merged,
):  # fmt: skip
    """total (KH, KW, inputs, co) += xᵀ dy over some images, for the output channels of one panel; ``afresh``: total = xᵀ dy.

    x, dy and total are addresses: of the first of the input channels, of the panel's channels (pixels of dy lie ``dy_pixel``
    floats apart), and of the same in total.
    """
    kh, kw = row_count.size, col_count.size
    for i in range(kh):
        for j in range(1 if merged else kw):
            c = total + 4 * (i * kw + j) * inputs * co
            start, start_step = (zeros, 0) if afresh else (c, co)
            m = inputs * kw if merged else inputs
            lines, across = row_count[i], col_count[j]
            if lines == 0 or across == 0:
                if afresh:
                    for k in range(m):
                        clear(c + 4 * k * co, valid)
                continue
            a = x + 4 * (row_in[i] * width + col_in[j]) * ci
            b = dy + 4 * (row_out[i] * out_width + col_out[j]) * dy_pixel
            line_a, line_b = row_step * width * ci, out_width * dy_pixel
            image_a, image_b = height * width * ci, out_height * out_width * dy_pixel
            if line_b == across * dy_pixel and line_a == across * col_step * ci:  # whole rows: one run of pixels
                across, lines = across * lines, 1
            # of lines and images, the tile runs over the longer one and this loop over the shorter
            outer, repeats = images, lines
            outer_a, outer_b, a_r, b_r = image_a, image_b, line_a, line_b
            if lines < images:
                outer, repeats = lines, images
                outer_a, outer_b, a_r, b_r = line_a, line_b, image_a, image_b
            for o in range(outer):
                product(
                    tiles, here, m, a + 4 * o * outer_a, 1, col_step * ci, a_r, b + 4 * o * outer_b, dy_pixel, b_r,
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
    n, height, width, ci = x.shape
    co, inputs, outputs = dy.shape[3], ci // groups, dy.shape[3] // groups
    kernel = row_count.size * col_count.size * inputs * co
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
                tiles, address(x) + 4 * (image * height * width * ci + group * inputs), height, width, ci, count,
                address(panel), dy.shape[1], dy.shape[2], full, address(parts) + 4 * (part * kernel + first), inputs, co,
                valid, here, zeros, image == begin, row_out, row_count, row_in, col_out, col_count, col_in, row_step,
                col_step, merged,
            )  # fmt: skip
        chunk = next_chunk(team)
