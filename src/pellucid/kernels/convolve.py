"""The loops of direct convolution: forward, and the gradient to the kernel.

``convolve`` runs over rectangles of output pixels that see the same taps (see ``segments``). In a rectangle every line
of pixels is one ``product``: with channels last, the KW·CI inputs that a pixel needs from one image row are
contiguous, so the sum runs over k in such a row and over r = KH rows, and going to the next pixel is a constant
stride. No image is padded or copied. The gradient to the input is the same function with dy for x and turned weights.

``kernel_gradient`` is the product the other way round: dkernel[tap] (CI, CO) sums over pixels. A's rows are channels (stride 1),
k runs over the pixels of an image row, r over rows or images.
"""

from __future__ import annotations

from .gemm import product
from .jit import IN1, IN4, INT, INTS, OUT1, OUT2, OUT4, OUT5, TABLE, TEAM, inline, kernel
from .simd import address
from .threads import MEMBERS, next_chunk


@kernel(TEAM, INT, IN4, INTS, INTS, INT, INT, INT, INT, OUT1)
def pack_weights(team, chunks, weights, row_taps, column_taps, groups, turned, width, lanes, packed):
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
            start = (group * whole + first) * kh * kw * inputs + tap * inputs * full
            panel = packed[start : start + inputs * full]
            if turned:
                for j in range(valid):
                    line = source[first + j, group * inputs : (group + 1) * inputs]
                    for k in range(inputs):
                        panel[k * full + j] = line[k]
                if valid < full:
                    for k in range(inputs):
                        panel[k * full + valid : (k + 1) * full] = 0
            else:
                for k in range(inputs):
                    line = source[k, group * outputs + first : group * outputs + first + valid]
                    target = panel[k * full : (k + 1) * full]
                    for j in range(valid):
                        target[j] = line[j]
                    target[valid:] = 0
        chunk = next_chunk(team)


@inline
def _fill_line(y, count, step, bias, columns):
    """Pixels that see no tap at all: only the bias. y starts at the first pixel; ``step`` floats lie between pixels."""
    for i in range(count):
        pixel = y[i * step : i * step + columns]
        for c in range(columns):
            pixel[c] = bias[c]


@inline
def _convolve_rectangle(
    tiles, x, packed, bias, y, image, rows, columns, group, inputs, first, valid, panel, full, here, kw
):  # fmt: skip
    """All pixels of one rectangle, for the output channels of one panel. rows, columns: segments of the two axes."""
    out_row, out_row_step, row_count, in_row, in_row_step, row_tap, row_taps, row_tap_step = rows
    out_col, out_col_step, col_count, in_col, in_col_step, col_tap, col_taps, col_tap_step = columns
    width, ci, co, out_width = x.shape[2], x.shape[3], y.shape[3], y.shape[2]
    y_pixel, y_line = out_col_step * co, out_row_step * out_width * co
    x_pixel, x_line = in_col_step * ci, in_row_step * width * ci
    y_at = ((image * y.shape[1] + out_row) * out_width + out_col) * co + first
    x_at = ((image * x.shape[1] + in_row) * width + in_col) * ci + group * inputs
    lines, pixels = row_count, col_count
    if row_count > col_count:  # lines run downwards
        lines, pixels = col_count, row_count
        y_pixel, y_line, x_pixel, x_line = y_line, y_pixel, x_line, x_pixel
    if row_taps == 0 or col_taps == 0:
        for line in range(lines):
            _fill_line(y.reshape(-1)[y_at + line * y_line :], pixels, y_pixel, bias[first:], valid)
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
                start, start_step, c, y_pixel, valid, col_taps * ci, row_taps,
            )  # fmt: skip
        else:
            for i in range(row_taps):
                product(
                    tiles, here, pixels, a + 4 * i * row_tap_step * width * ci, x_pixel, 1, col_tap_step * ci,
                    weights + 4 * i * kw * tap, full, tap,
                    start, start_step, c, y_pixel, valid, inputs, col_taps,
                )  # fmt: skip
                start, start_step = c, y_pixel


@kernel(TEAM, INT, TABLE, INT, IN4, IN1, IN1, OUT4, TABLE, INTS, TABLE, INT, INT, INT, INT, INT, INT)
def convolve(
    team, chunks, tiles, lanes, x, packed, bias, y, rows, bands, columns, taps, kw, groups, vectors, images, panels
):  # fmt: skip
    """y = bias + x * weights. One chunk is ``images`` images, one band of rows and ``panels`` panels of output channels."""
    n, inputs, outputs = x.shape[0], x.shape[3] // groups, y.shape[3] // groups
    width = vectors * lanes
    whole = (outputs + lanes - 1) // lanes * lanes
    group_panels = (outputs + width - 1) // width
    band_count = bands.size - 1
    panel_chunks = (group_panels * groups + panels - 1) // panels
    chunk = next_chunk(team)
    while chunk < chunks:
        block, rest = chunk // (band_count * panel_chunks), chunk % (band_count * panel_chunks)
        band, panel_chunk = rest // panel_chunks, rest % panel_chunks
        for p in range(panel_chunk * panels, min((panel_chunk + 1) * panels, group_panels * groups)):
            group, first = p // group_panels, p % group_panels * width
            full, valid = min(width, whole - first), min(width, outputs - first)
            panel = (group * whole + first) * taps * inputs
            for image in range(block * images, min((block + 1) * images, n)):
                for i in range(bands[band], bands[band + 1]):
                    r = rows[i]
                    row = (r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
                    for j in range(columns.shape[0]):
                        s = columns[j]
                        column = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7])
                        _convolve_rectangle(
                            tiles, x, packed, bias, y, image, row, column, group, inputs, group * outputs + first,
                            valid, panel, full, full // lanes, kw,
                        )  # fmt: skip
        chunk = next_chunk(team)


@inline
def _copy_panel(dy, image, count, first, valid, full, panel):
    """The channels of one panel of ``count`` images of dy, pixel by pixel, zeros up to whole vectors."""
    pixels = dy.shape[1] * dy.shape[2]
    for i in range(count):
        source = dy[image + i].reshape(-1)
        for p in range(pixels):
            line = source[p * dy.shape[3] + first : p * dy.shape[3] + first + valid]
            target = panel[(i * pixels + p) * full : (i * pixels + p + 1) * full]
            for c in range(valid):
                target[c] = line[c]
            for c in range(valid, full):
                target[c] = 0


@kernel(
    TEAM,
    INT,
    OUT2,
    TABLE,
    INT,
    IN4,
    IN4,
    OUT5,
    OUT2,
    IN1,
    INTS,
    INTS,
    INTS,
    INTS,
    INTS,
    INTS,
    INT,
    INT,
    INT,
    INT,
    INT,
    INT,
)
def kernel_gradient(
    team, chunks, workspace, tiles, lanes, x, dy, parts, bias_parts, constants, row_out, row_count, row_in,
    col_out, col_count, col_in, row_step, col_step, groups, vectors, together, merged,
):  # fmt: skip
    """parts[p] = Σ over the images of part p of xᵀ dy, tap by tap; one chunk is one panel of output channels of one part.

    row_out, row_count, row_in: the reach of the tap rows (see ``segments.tap_reach``), likewise for columns. ``together``
    images are taken at a time; ``merged``: all taps of a kernel row reach the same outputs, so that they are one product.
    ``constants``: zeros as long as a tile is wide, then a one.
    """
    n, height, width, ci = x.shape
    out_height, out_width, co = dy.shape[1], dy.shape[2], dy.shape[3]
    count_parts, kh, kw, inputs = parts.shape[0], parts.shape[1], parts.shape[2], parts.shape[3]
    outputs = co // groups
    wide = vectors * lanes
    group_panels = (outputs + wide - 1) // wide
    pixels = out_height * out_width
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
            _copy_panel(dy, image, count, first, valid, full, panel)
            b0 = address(panel)
            if bias_parts.shape[0] > 0:
                total = address(bias_parts) + 4 * (part * co + first)
                product(
                    tiles, here, 1, one, 0, 0, 0, b0, full, 0, zeros if image == begin else total, 0, total, 0, valid,
                    count * pixels, 1,
                )  # fmt: skip
            for i in range(kh):
                for j in range(1 if merged else kw):
                    c = address(parts) + 4 * ((((part * kh + i) * kw + j) * inputs) * co + first)
                    start, start_step = (zeros, 0) if image == begin else (c, co)
                    m = inputs * kw if merged else inputs
                    lines, across = row_count[i], col_count[j]
                    if lines == 0 or across == 0:
                        if image == begin:
                            for k in range(m):
                                parts[part, i, j + k // inputs, k % inputs, first : first + valid] = 0
                        continue
                    a = address(x) + 4 * (((image * height + row_in[i]) * width + col_in[j]) * ci + group * inputs)
                    b = b0 + 4 * (row_out[i] * out_width + col_out[j]) * full
                    line_a, line_b = row_step * width * ci, out_width * full
                    image_a, image_b = height * width * ci, pixels * full
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
                            tiles, here, m, a + 4 * o * outer_a, 1, col_step * ci, a_r,
                            b + 4 * o * outer_b, full, b_r,
                            start, start_step, c, co, valid, across, repeats,
                        )  # fmt: skip
                        start, start_step = c, co
        chunk = next_chunk(team)
