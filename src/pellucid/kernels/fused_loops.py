"""The loops of fused convolution; see ``fused`` for how they are set up."""

from __future__ import annotations

from .assembly import address
from .convolve import add_pixels, add_taps, convolve_images
from .jit import BYTES_IN4, BYTES_OUT4, IN1, IN4, INT, INTS, OUT2, OUT4, OUT5, TABLE, TEAM, inline, kernel
from .simd import NO_FLOOR, RELU
from .tail import rectify_backward, run_windows
from .threads import MEMBERS, next_chunk

ALL = 1 << 30  # panels


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
    n, co = x.shape[0], y.shape[3]
    z_row, pooled = width * co, rows.shape[0] > 0
    space = workspace[next_chunk(team[MEMBERS:])]
    chunk = next_chunk(team)
    while chunk < chunks:
        block, band = chunk // bands.shape[0], chunk % bands.shape[0]
        begin, end = block * images, min((block + 1) * images, n)
        first, last, top, height = bands[band, 0], bands[band, 1], bands[band, 2], bands[band, 3]
        z, target = y, begin
        if pooled:
            z = space[: (end - begin) * height * z_row].reshape((end - begin, height, width, co))
            target = 0
        convolve_images(
            tiles, lanes, x, packed, bias, z, begin, end, target, segments, bands[band, 4], bands[band, 5], columns, taps,
            kw, groups, vectors, 0, ALL, RELU if relu and not pooled else NO_FLOOR,
        )  # fmt: skip
        for image in range(begin, end if pooled else begin):
            run_windows(
                functions, function, address(z) + 4 * (image - begin) * height * z_row, z_row, top, y, codes, marks, image,
                first, last, rows, pools, taps_across,
            )  # fmt: skip
        chunk = next_chunk(team)


@inline
def _copy_padded(x, image, count, top, left, padded):
    """The inside of padded (count, H + …, W + …, CI) = x[image:]."""
    height, line = x.shape[1], x.shape[2] * x.shape[3]
    for i in range(count):
        for row in range(height):
            source = x[image + i, row].reshape(-1)
            target = padded[i, top + row].reshape(-1)[left * x.shape[3] :]
            for k in range(line):
                target[k] = source[k]


@kernel(
    *(TEAM, INT, OUT2, TABLE, TABLE, INT, IN4, IN4, IN4, BYTES_IN4, IN1, OUT4, OUT5, OUT2, IN1),
    *(INT, INT, INT, INT, INT, INT, TABLE, TABLE, INT),
    *(TABLE, TABLE, INT, INT, INT),
    *(INTS, INTS, INTS, INTS, INTS, INTS, INT, INT, INT, INT, INT, INT, INT, INT, INT, INT),
)
def backward(
    team, chunks, workspace, tiles, functions, lanes, x, dy, y, codes, packed, dx, parts, sums, constants,
    height, width, relu, function, marks, clear, rows, pools, taps_across,
    dx_rows, dx_columns, dx_taps, dx_kw, dx_vectors,
    row_out, row_count, row_in, col_out, col_count, col_in, row_step, col_step, groups, vectors, together, merged,
    padded_height, padded_width, above, left,
):  # fmt: skip
    """dx, and per part of the batch its share of dkernel and dbias. One chunk is one part, ``together`` images at a time.

    z has ``height`` and ``width``; what belongs to the tail is as in ``forward``, what begins with dx_ to the gradient to the
    input, the rest as in ``convolve.kernel_gradient``. x is padded first if ``padded_height`` is not 0.
    """
    n, co, outputs = x.shape[0], dy.shape[3], dy.shape[3] // groups
    size, wide = height * width * co, vectors * lanes
    group_panels = (outputs + wide - 1) // wide
    pooled, pixels = rows.shape[0] > 0, height * width
    space = workspace[next_chunk(team[MEMBERS:])]
    zeros, one = address(constants), address(constants) + 4 * (constants.size - 1)
    padded_size = padded_height * padded_width * x.shape[3]
    padded = space[: together * padded_size].reshape((together, padded_height, padded_width, x.shape[3]))
    padded[:] = 0
    space = space[together * padded_size :]
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = n * chunk // chunks, n * (chunk + 1) // chunks
        for image in range(begin, end, together):
            count = min(together, end - image)
            if pooled:
                dz = space[: count * size].reshape((count, height, width, co))
                if clear:
                    dz[:] = 0
                for i in range(count):
                    run_windows(
                        functions, function, address(dz) + 4 * i * size, width * co, 0, dy, codes, marks, image + i, 0,
                        dy.shape[1], rows, pools, taps_across,
                    )  # fmt: skip
            else:
                flat = space[: count * size]
                span = slice(image * size, (image + count) * size)
                if relu:
                    rectify_backward(y.reshape(-1)[span], dy.reshape(-1)[span], flat)
                else:
                    flat[:] = dy.reshape(-1)[span]
                dz = flat.reshape((count, height, width, co))
            if dx.shape[0] > 0:
                convolve_images(
                    tiles, lanes, dz, packed, constants, dx, 0, count, image, dx_rows, 0, dx_rows.shape[0], dx_columns,
                    dx_taps, dx_kw, groups, dx_vectors, 0, ALL, NO_FLOOR,
                )  # fmt: skip
            source, place = x, image
            if padded_size > 0:
                _copy_padded(x, image, count, above, left, padded)
                source, place = padded, 0
            for p in range(group_panels * groups):
                group, first = p // group_panels, p % group_panels * wide
                valid = min(wide, outputs - first)
                here = (valid + lanes - 1) // lanes
                first += group * outputs
                at = address(dz) + 4 * first
                if sums.shape[0] > 0:
                    total = address(sums) + 4 * (chunk * co + first)
                    add_pixels(tiles, at, co, count * pixels, total, valid, here, zeros, one, image == begin)
                add_taps(
                    tiles, source, place, count, at, co, height, width, parts, chunk, group, first, valid, here, zeros,
                    image == begin, row_out, row_count, row_in, col_out, col_count, col_in, row_step, col_step, merged,
                )  # fmt: skip
        chunk = next_chunk(team)
