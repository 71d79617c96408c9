"""The loops of fused convolution; see ``fused`` for how they are set up."""

from __future__ import annotations

import numpy as np

from .assembly import address, clear, copy_line
from .convolve import add_pixels, add_taps, convolve_images
from .jit import BYTES_IN4, BYTES_OUT4, IN1, IN4, INT, INTS, OUT2, OUT4, OUT5, TABLE, TEAM, inline, kernel
from .simd import NO_FLOOR, RELU
from .tail import rectify, run_windows
from .threads import MEMBERS, next_chunk

# As typed integers, since Numba compiles a function once more for every constant it is called with
FIRST, ALL, PLAIN = np.intp(0), np.intp(1 << 30), np.intp(NO_FLOOR)  # panel or segment, panels, no ReLU


@kernel(
    *(TEAM, INT, OUT2, TABLE, TABLE, INT, IN4, IN1, IN1, OUT4, BYTES_OUT4),
    *(TABLE, TABLE, TABLE, INT, INT, INT, INT, INT, INT, INT, INT, INT, TABLE, TABLE, INT),
)
def forward(
    team, chunks, workspace, tiles, functions, lanes, x, packed, bias, y, codes,
    segments, bands, columns, width, taps, kw, groups, vectors, images, relu, function, marks, rows, pools, taps_across,
):  # fmt: skip
    """y = tail(bias + x * weights). One chunk is ``images`` images and one band of rows.

    bands: rows of y from, to; the first row of z and how many; segments from, to. ``width`` pixels of z are used in each row.
    """
    n, in_height, in_width, ci = x.shape
    co = y.shape[3]
    x_image, z_row, pooled = in_height * in_width * ci, width * co, rows.shape[0] > 0
    space = workspace[next_chunk(team[MEMBERS:])]
    chunk = next_chunk(team)
    while chunk < chunks:
        block, band = chunk // bands.shape[0], chunk % bands.shape[0]
        begin, end = block * images, min((block + 1) * images, n)
        first, last, top, height = bands[band, 0], bands[band, 1], bands[band, 2], bands[band, 3]
        if not pooled:
            height = y.shape[1]
        z = address(space) if pooled else address(y) + 4 * begin * height * z_row
        convolve_images(
            tiles, lanes, address(x) + 4 * begin * x_image, in_height, in_width, ci, address(packed), address(bias), z, height,
            width, co, end - begin, segments, bands[band, 4], bands[band, 5], columns, taps, kw, groups, vectors, FIRST,
            ALL, np.intp(RELU) if relu and not pooled else PLAIN,
        )  # fmt: skip
        for image in range(begin, end if pooled else begin):
            run_windows(
                functions, function, z + 4 * (image - begin) * height * z_row, z_row, top, y, codes, marks, image, first, last,
                rows, pools, taps_across,
            )  # fmt: skip
        chunk = next_chunk(team)


@inline
def _copy_padded(x, images, height, line, padded, padded_height, padded_line):
    """The inside of padded images = some images; addresses of the first number of each, a line has so many floats."""
    for i in range(images):
        for row in range(height):
            copy_line(x + 4 * (i * height + row) * line, padded + 4 * (i * padded_height + row) * padded_line, line)


@kernel(
    *(TEAM, INT, OUT2, TABLE, TABLE, INT, IN4, IN4, IN4, BYTES_IN4, IN1, OUT4, OUT5, OUT2, IN1),
    *(INT, INT, INT, INT, INT, INT, INT, TABLE, TABLE, INT),
    *(TABLE, TABLE, INT, INT, INT),
    *(INTS, INTS, INTS, INTS, INTS, INTS, INT, INT, INT, INT, INT, INT, INT, INT, INT, INT),
)
def backward(
    team, chunks, workspace, tiles, functions, lanes, x, dy, y, codes, packed, dx, parts, sums, constants,
    height, width, margin, pitch, function, marks, zero, rows, pools, taps_across,
    dx_rows, dx_columns, dx_taps, dx_kw, dx_vectors,
    row_out, row_count, row_in, col_out, col_count, col_in, row_step, col_step, groups, vectors, together, merged,
    padded_height, padded_width, above, left,
):  # fmt: skip
    """dx, and per part of the batch its share of dkernel and dbias. One chunk is one part, ``together`` images at a time.

    z has ``height`` and ``width``; its gradient is written into images ``pitch`` wide, from column ``margin`` on, zeros
    around it; ``zero``: it must be zero before windows write into it. What else belongs to the tail is as in ``forward``,
    what begins with dx_ belongs to the gradient to the input, the rest is as in ``convolve.kernel_gradient``. x is padded
    first if ``padded_height`` is not 0.
    """
    n, in_height, in_width, ci = x.shape
    co, inputs, outputs = dy.shape[3], ci // groups, dy.shape[3] // groups
    x_image, size, dz_row, wide = in_height * in_width * ci, height * pitch * co, pitch * co, vectors * lanes
    kernel_size, group_panels = row_count.size * col_count.size * inputs * co, (outputs + wide - 1) // wide
    space = address(workspace) + 4 * next_chunk(team[MEMBERS:]) * workspace.shape[1]
    zeros, one = address(constants), address(constants) + 4 * (constants.size - 1)
    padded, padded_line = space, padded_width * ci
    padded_size = padded_height * padded_line
    clear(padded, together * padded_size)
    dz = padded + 4 * together * padded_size
    if pitch > width:
        clear(dz, together * size)
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = n * chunk // chunks, n * (chunk + 1) // chunks
        for image in range(begin, end, together):
            count = min(together, end - image)
            if rows.shape[0] > 0:
                if zero:
                    clear(dz, count * size)
                for i in range(count):
                    run_windows(
                        functions, function, dz + 4 * (i * size + margin * co), dz_row, 0, dy, codes, marks, image + i, 0,
                        dy.shape[1], rows, pools, taps_across,
                    )  # fmt: skip
            else:
                for row in range(count * height):
                    at = 4 * (image * height + row) * width * co
                    rectify(
                        functions, address(y) + at, address(dy) + at, dz + 4 * (row * dz_row + margin * co), width * co
                    )
            if dx.shape[0] > 0:
                convolve_images(
                    tiles, lanes, dz, height, pitch, co, address(packed), zeros, address(dx) + 4 * image * x_image, in_height,
                    in_width, ci, count, dx_rows, FIRST, dx_rows.shape[0], dx_columns, dx_taps, dx_kw, groups, dx_vectors, FIRST,
                    ALL, PLAIN,
                )  # fmt: skip
            source, source_height, source_width = address(x) + 4 * image * x_image, in_height, in_width
            if padded_size > 0:
                inside = padded + 4 * (above * padded_line + left * ci)
                _copy_padded(source, count, in_height, in_width * ci, inside, padded_height, padded_line)
                source, source_height, source_width = padded, padded_height, padded_width
            for p in range(group_panels * groups):
                group, first = p // group_panels, p % group_panels * wide
                valid = min(wide, outputs - first)
                here = (valid + lanes - 1) // lanes
                first += group * outputs
                if sums.shape[0] > 0:
                    total = address(sums) + 4 * (chunk * co + first)
                    add_pixels(
                        tiles,
                        dz + 4 * first,
                        co,
                        count * height * pitch,
                        total,
                        valid,
                        here,
                        zeros,
                        one,
                        image == begin,
                    )
                add_taps(
                    tiles, source + 4 * group * inputs, source_height, source_width, ci, count,
                    dz + 4 * (margin * co + first), height, pitch, co, address(parts) + 4 * (chunk * kernel_size + first),
                    inputs, co, valid, here, zeros, image == begin, row_out, row_count, row_in, col_out, col_count, col_in,
                    row_step, col_step, merged,
                )  # fmt: skip
        chunk = next_chunk(team)
