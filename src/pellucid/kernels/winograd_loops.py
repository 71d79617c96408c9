"""The loops of Winograd's convolution; see ``winograd`` and ``transforms``."""

from __future__ import annotations

from numpy.typing import NDArray

from . import machine, transforms
from .assembly import address, call, clear, get, put
from .buffers import aligned
from .gemm import product
from .jit import IN1, IN4, INT, OUT1, OUT2, OUT3, OUT4, TABLE, TEAM, inline, kernel
from .simd import NO_FLOOR
from .threads import MEMBERS, next_chunk, parallel_for
from .transforms import GRADIENT, INPUT, OUTPUT, WEIGHTS, WEIGHTS_BACK
from .transpose import copy, transpose
from .transpose import table as transposing


@inline
def _cut_strip(functions, x, image, top, left, height, width, channels, strip):
    """strip (height, width, channels) = the part of an image that begins at (top, left), zeros outside the image.

    ``strip`` is an address, ``channels`` those of the image filled up to whole vectors.
    """
    rows, columns, used = x.shape[1], x.shape[2], x.shape[3]
    first, end = min(max(0, -left), width), max(min(width, columns - left), 0)
    end = max(first, end)
    widest = 4 * functions[0, 0]
    for i in range(height):
        line = strip + 4 * i * width * channels
        if top + i < 0 or top + i >= rows:
            clear(line, width * channels)
            continue
        clear(line, first * channels)
        clear(line + 4 * end * channels, (width - end) * channels)
        if end > first:
            source = address(x) + 4 * ((image * rows + top + i) * columns + left + first) * used
            for c in range(0, used, widest):
                copy(
                    functions, source + 4 * c, used, line + 4 * (first * channels + c), channels, min(widest, used - c),
                    end - first,
                )  # fmt: skip


@inline
def _transform_strip(function, lanes, size, step, strip, width, channels, across, target, apart):
    """The transforms of all tiles of one strip: tile i begins at column i·step; its 36 parts lie ``apart`` from each other."""
    for tile in range(across):
        call(
            function, strip + 4 * tile * step * channels, width * channels, channels,
            target + 4 * tile * channels, size * apart, apart, channels // lanes, 0, NO_FLOOR,
        )  # fmt: skip


@inline
def _forward_line(functions, lanes, m, x, line, down, across, above, left, strip, v, v_apart):
    """V for one row of tiles, counted through all images."""
    ci, width = (x.shape[3] + lanes - 1) // lanes * lanes, across * m + 2
    image, row = line // down, line % down * m
    _cut_strip(functions, x, image, row - above, -left, m + 2, width, ci, strip)
    _transform_strip(functions[m, INPUT], lanes, m + 2, m, strip, width, ci, across, v, v_apart)


@inline
def _multiply(tiles, lanes, e, v, weights, products, bias, inputs, ci, co, count, vectors, v_apart, m_apart):
    """M[e] = V[e] U[e] for ``count`` tiles."""
    for first in range(0, co, vectors * lanes):
        here = min(vectors, (co - first) // lanes)
        product(
            tiles, here, count, v + 4 * e * v_apart, ci, 1, 0,
            address(weights) + 4 * (e * co + first) * inputs, here * lanes, 0,
            address(bias) + 4 * co, 0, products + 4 * (e * m_apart + first), co, here * lanes, inputs, 1, NO_FLOOR,
        )  # fmt: skip


@inline
def _output_line(functions, lanes, m, y, line, down, across, products, m_apart, bias, corner, floor):
    """y for one row of tiles; tiles that stick out over the edge go through ``corner``."""
    outputs = y.shape[3]
    co = (outputs + lanes - 1) // lanes * lanes
    image, row = line // down, line % down * m
    for tile in range(across):
        column = tile * m
        source = products + 4 * tile * co
        high, wide = min(m, y.shape[1] - row), min(m, y.shape[2] - column)
        if high == m and wide == m and co == outputs:
            place = ((image * y.shape[1] + row) * y.shape[2] + column) * outputs
            call(
                functions[m, OUTPUT], source, (m + 2) * m_apart, m_apart, address(y) + 4 * place, y.shape[2] * outputs,
                outputs, co // lanes, address(bias), floor,
            )  # fmt: skip
            continue
        call(
            functions[m, OUTPUT], source, (m + 2) * m_apart, m_apart, corner, m * co, co, co // lanes,
            address(bias), floor,
        )  # fmt: skip
        for i in range(high):
            to = address(y) + 4 * ((image * y.shape[1] + row + i) * y.shape[2] + column) * outputs
            if co == outputs:
                for c in range(0, co, 4 * lanes):
                    source = corner + 4 * (i * m * co + c)
                    copy(functions, source, co, to + 4 * c, co, min(4 * lanes, co - c), wide)
            else:
                for j in range(wide):
                    for c in range(outputs):
                        put(to + 4 * (j * outputs + c), get(corner + 4 * ((i * m + j) * co + c)))


@kernel(TEAM, INT, OUT2, TABLE, TABLE, INT, INT, IN4, IN1, IN1, OUT4, INT, INT, INT, INT, INT, INT, INT)
def convolve(
    team, chunks, workspace, tiles, functions, lanes, m, x, weights, bias, y, above, left, lines, vectors, v_apart, m_apart,
    floor,
):  # fmt: skip
    """One chunk is a group: ``lines`` rows of tiles, carried through all stages in the nearest caches."""
    squares, inputs = (m + 2) * (m + 2), x.shape[3]
    ci, co = (inputs + lanes - 1) // lanes * lanes, (y.shape[3] + lanes - 1) // lanes * lanes
    across, down = (y.shape[2] + m - 1) // m, (y.shape[1] + m - 1) // m
    strip = address(workspace[next_chunk(team[MEMBERS:])])
    v = strip + 4 * (m + 2) * (across * m + 2) * ci
    products = v + 4 * squares * v_apart
    corner = products + 4 * squares * m_apart
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = chunk * lines, min((chunk + 1) * lines, x.shape[0] * down)
        for line in range(begin, end):
            at = (line - begin) * across * ci
            _forward_line(functions, lanes, m, x, line, down, across, above, left, strip, v + 4 * at, v_apart)
        count = (end - begin) * across
        for e in range(squares):
            _multiply(tiles, lanes, e, v, weights, products, bias, inputs, ci, co, count, vectors, v_apart, m_apart)
        for line in range(begin, end):
            at = (line - begin) * across * co
            _output_line(functions, lanes, m, y, line, down, across, products + 4 * at, m_apart, bias, corner, floor)
        chunk = next_chunk(team)


@kernel(TEAM, INT, OUT2, TABLE, INT, INT, IN4, OUT1, INT, INT, INT, INT, INT, INT, INT, INT, INT)
def transform_input(
    team, chunks, workspace, functions, lanes, m, x, v, down, across, above, left, start, end, lines, v_apart, ci
):  # fmt: skip
    """V of the rows of tiles from ``start`` to ``end``; one chunk is ``lines`` of them."""
    strip = address(workspace[next_chunk(team[MEMBERS:])])
    chunk = next_chunk(team)
    while chunk < chunks:
        for line in range(start + chunk * lines, min(start + (chunk + 1) * lines, end)):
            at = (line - start) * across * ci
            _forward_line(functions, lanes, m, x, line, down, across, above, left, strip, address(v) + 4 * at, v_apart)
        chunk = next_chunk(team)


@kernel(TEAM, INT, TABLE, INT, IN1, IN1, OUT1, IN1, INT, INT, INT, INT, INT, INT, INT)
def multiply(team, chunks, tiles, lanes, v, weights, products, bias, inputs, ci, co, count, vectors, v_apart, m_apart):
    """M[e] = V[e] U[e]; one chunk is one e."""
    e = next_chunk(team)
    while e < chunks:
        _multiply(
            tiles,
            lanes,
            e,
            address(v),
            weights,
            address(products),
            bias,
            inputs,
            ci,
            co,
            count,
            vectors,
            v_apart,
            m_apart,
        )
        e = next_chunk(team)


@kernel(TEAM, INT, OUT2, TABLE, INT, INT, IN1, IN1, OUT4, INT, INT, INT, INT, INT, INT, INT)
def transform_output(
    team, chunks, workspace, functions, lanes, m, products, bias, y, down, across, start, end, lines, m_apart, floor
):  # fmt: skip
    """y of the rows of tiles from ``start`` to ``end``; one chunk is ``lines`` of them."""
    corner = address(workspace[next_chunk(team[MEMBERS:])])
    co = (y.shape[3] + lanes - 1) // lanes * lanes
    chunk = next_chunk(team)
    while chunk < chunks:
        for line in range(start + chunk * lines, min(start + (chunk + 1) * lines, end)):
            at = (line - start) * across * co
            _output_line(
                functions, lanes, m, y, line, down, across, address(products) + 4 * at, m_apart, bias, corner, floor
            )
        chunk = next_chunk(team)


@kernel(TEAM, INT, OUT2, TABLE, INT, INT, IN4, INT, OUT1)
def _transform_weights(team, chunks, workspace, functions, lanes, m, weights, vectors, transformed):
    """U[e] as panels of ``vectors`` vectors, [e][panel][CI][width]; one chunk is one input channel."""
    inputs, outputs = weights.shape[2], weights.shape[3]
    t, co, width = m + 2, (outputs + lanes - 1) // lanes * lanes, vectors * lanes
    space = workspace[next_chunk(team[MEMBERS:])]
    chunk = next_chunk(team)
    while chunk < chunks:
        for first in range(0, co, width):
            full, valid = min(width, co - first), min(width, outputs - first)
            source, row, column = (
                address(weights) + 4 * (chunk * outputs + first),
                3 * inputs * outputs,
                inputs * outputs,
            )
            if valid < full:
                for tap in range(9):
                    line, target = weights[tap // 3, tap % 3, chunk], space[tap * full : (tap + 1) * full]
                    for c in range(valid):
                        target[c] = line[first + c]
                    target[valid:] = 0
                source, row, column = address(space), 3 * full, full
            call(
                functions[m, WEIGHTS], source, row, column, address(transformed) + 4 * (first * inputs + chunk * full),
                t * co * inputs, co * inputs, full // lanes, 0, NO_FLOOR,
            )  # fmt: skip
        chunk = next_chunk(team)


def transform_weights(weights: NDArray, transformed: NDArray, m: int, vectors: int) -> None:
    """weights (3, 3, CI, CO) -> U."""
    lanes = machine.vectors().lanes
    parallel_for(
        _transform_weights, weights.shape[2], transforms.table(), lanes, m, weights, vectors, transformed,
        workspace=9 * vectors * lanes,
    )  # fmt: skip


@kernel(TEAM, INT, TABLE, IN4, OUT4, INT)
def _turn(team, chunks, functions, weights, turned, lines):
    """turned[i, j, co, ci] = weights[KH - 1 - i, KW - 1 - j, ci, co]; one chunk is ``lines`` input channels of one tap."""
    taps, inputs, outputs = weights.shape[0] * weights.shape[1], weights.shape[2], weights.shape[3]
    strips = (inputs + lines - 1) // lines
    chunk = next_chunk(team)
    while chunk < chunks:
        tap, first = chunk // strips, chunk % strips * lines
        source = address(weights) + 4 * ((taps - 1 - tap) * inputs + first) * outputs
        target = address(turned) + 4 * (tap * inputs * outputs + first)
        transpose(functions, source, outputs, target, inputs, min(lines, inputs - first), outputs)
        chunk = next_chunk(team)


def turn(weights: NDArray) -> NDArray:
    """(KH, KW, CI, CO) -> (KH, KW, CO, CI), rotated by half a turn."""
    turned = aligned((*weights.shape[:2], weights.shape[3], weights.shape[2]))
    taps = weights.shape[0] * weights.shape[1]
    parallel_for(_turn, taps * -(-weights.shape[2] // 64), transposing(), weights, turned, 64)
    return turned


@inline
def _transform_line(
    tiles, functions, lanes, m, x, dy, line, above, left, strip, dy_strip, v, d, v_apart, d_apart, total_dy, constants
):  # fmt: skip
    """The transforms of x and dy for one row of tiles; what dy sums up to is added to ``total_dy``, if that has a place."""
    t, down, across = m + 2, (dy.shape[1] + m - 1) // m, (dy.shape[2] + m - 1) // m
    ci, co = (x.shape[3] + lanes - 1) // lanes * lanes, (dy.shape[3] + lanes - 1) // lanes * lanes
    image, row = line // down, line % down * m
    width, dy_width = across * m + 2, across * m
    _cut_strip(functions, x, image, row - above, -left, t, width, ci, strip)
    _transform_strip(functions[m, INPUT], lanes, t, m, strip, width, ci, across, v, v_apart)
    _cut_strip(functions, dy, image, row, 0, m, dy_width, co, dy_strip)
    _transform_strip(functions[m, GRADIENT], lanes, t, m, dy_strip, dy_width, co, across, d, d_apart)
    widest = 4 * lanes
    for first in range(0, total_dy.size, widest):
        here = min(4, (co - first) // lanes)
        at = address(total_dy) + 4 * first
        product(
            tiles, here, 1, address(constants) + 4 * (constants.size - 1), 0, 0, 0, dy_strip + 4 * first, co, 0,
            at, 0, at, 0, here * lanes, m * dy_width, 1, NO_FLOOR,
        )  # fmt: skip


@kernel(TEAM, INT, OUT2, TABLE, TABLE, INT, INT, IN4, IN4, OUT4, OUT2, INT, INT, INT, INT, INT, INT, IN1, INT)
def kernel_products(
    team, chunks, workspace, tiles, functions, lanes, m, x, dy, parts, sums, above, left, lines, vectors, v_apart, d_apart,
    constants, first_time,
):  # fmt: skip
    """parts[p, e] (CI, CO) += Σ V[e]ᵀ D[e] over the tiles of a part; one chunk is one part. sums: Σ dy of it."""
    t = m + 2
    inputs, outputs = x.shape[3], dy.shape[3]
    ci, co = (inputs + lanes - 1) // lanes * lanes, (outputs + lanes - 1) // lanes * lanes
    across, down = (dy.shape[2] + m - 1) // m, (dy.shape[1] + m - 1) // m
    total, width, dy_width = x.shape[0] * down, across * m + 2, across * m
    strip = address(workspace[next_chunk(team[MEMBERS:])])
    dy_strip = strip + 4 * t * width * ci
    v = dy_strip + 4 * m * dy_width * co
    d = v + 4 * t * t * v_apart
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = total * chunk // chunks, total * (chunk + 1) // chunks
        for group in range(begin, end, lines):
            group_end = min(group + lines, end)
            count, fresh = (group_end - group) * across, first_time and group == begin
            for line in range(group, group_end):
                place = line - group
                _transform_line(
                    tiles, functions, lanes, m, x, dy, line, above, left, strip, dy_strip, v + 4 * place * across * ci,
                    d + 4 * place * across * co, v_apart, d_apart, sums[chunk], constants,
                )  # fmt: skip
            for e in range(t * t):
                for first in range(0, co, vectors * lanes):
                    here = min(vectors, (co - first) // lanes)
                    at = address(parts) + 4 * ((chunk * t * t + e) * inputs * co + first)
                    product(
                        tiles, here, inputs, v + 4 * e * v_apart, 1, ci, 0,
                        d + 4 * (e * d_apart + first), co, 0,
                        address(constants) if fresh else at, 0 if fresh else co, at, co,
                        here * lanes, count, 1, NO_FLOOR,
                    )  # fmt: skip
        chunk = next_chunk(team)


@kernel(TEAM, INT, OUT2, TABLE, TABLE, INT, INT, IN4, IN4, OUT1, OUT1, OUT2, INT, INT, INT, INT, INT, INT, INT, IN1)
def transform_both(
    team, chunks, workspace, tiles, functions, lanes, m, x, dy, v, d, sums, above, left, start, end, lines, v_apart, d_apart,
    constants,
):  # fmt: skip
    """V and D of the rows of tiles from ``start`` to ``end``; one chunk is ``lines`` of them. sums[chunk] += Σ dy."""
    across = (dy.shape[2] + m - 1) // m
    ci, co = (x.shape[3] + lanes - 1) // lanes * lanes, (dy.shape[3] + lanes - 1) // lanes * lanes
    strip = address(workspace[next_chunk(team[MEMBERS:])])
    dy_strip = strip + 4 * (m + 2) * (across * m + 2) * ci
    chunk = next_chunk(team)
    while chunk < chunks:
        for line in range(start + chunk * lines, min(start + (chunk + 1) * lines, end)):
            place = line - start
            _transform_line(
                tiles, functions, lanes, m, x, dy, line, above, left, strip, dy_strip,
                address(v) + 4 * place * across * ci, address(d) + 4 * place * across * co, v_apart, d_apart,
                sums[chunk], constants,
            )  # fmt: skip
        chunk = next_chunk(team)


@kernel(TEAM, INT, TABLE, INT, IN1, IN1, OUT3, INT, INT, INT, INT, IN1, INT)
def multiply_both(team, chunks, tiles, lanes, v, d, total, v_apart, d_apart, ci, count, zeros, first_time):
    """total[e] (CI, CO) += V[e]ᵀ D[e]; one chunk is one panel of one e."""
    squares, inputs, co = total.shape
    panels = chunks // squares
    vectors = (co // lanes + panels - 1) // panels
    chunk = next_chunk(team)
    while chunk < chunks:
        e, first = chunk // panels, chunk % panels * vectors * lanes
        here = min(vectors, (co - first) // lanes)
        at = address(total) + 4 * (e * inputs * co + first)
        product(
            tiles, here, inputs, address(v) + 4 * e * v_apart, 1, ci, 0, address(d) + 4 * (e * d_apart + first), co, 0,
            address(zeros) if first_time else at, 0 if first_time else co, at, co, here * lanes, count, 1, NO_FLOOR,
        )  # fmt: skip
        chunk = next_chunk(team)


@kernel(TEAM, INT, OUT2, TABLE, INT, INT, OUT4, OUT4)
def _transform_back(team, chunks, workspace, functions, lanes, m, parts, dkernel):
    """dkernel = Gᵀ (Σ_p parts[p]) G; one chunk is one input channel."""
    outputs, co = dkernel.shape[3], parts.shape[3]
    squares = (m + 2) * (m + 2)
    space = workspace[next_chunk(team[MEMBERS:])]
    sums, taps = space[: squares * co], space[squares * co :]
    chunk = next_chunk(team)
    while chunk < chunks:
        for e in range(squares):
            total = sums[e * co : (e + 1) * co]
            for p in range(parts.shape[0]):
                part = parts[p, e, chunk]
                if p == 0:
                    for c in range(co):
                        total[c] = part[c]
                else:
                    for c in range(co):
                        total[c] += part[c]
        call(
            functions[m, WEIGHTS_BACK],
            address(sums),
            (m + 2) * co,
            co,
            address(taps),
            3 * co,
            co,
            co // lanes,
            0,
            NO_FLOOR,
        )
        for tap in range(9):
            source, target = taps[tap * co : (tap + 1) * co], dkernel[tap // 3, tap % 3, chunk]
            for c in range(outputs):
                target[c] = source[c]
        chunk = next_chunk(team)


def transform_back(parts: NDArray, dkernel: NDArray, m: int) -> None:
    """The partial sums of dU (P, e, CI, CO) -> dkernel (3, 3, CI, CO)."""
    floats = ((m + 2) ** 2 + 9) * parts.shape[3]
    parallel_for(
        _transform_back,
        parts.shape[2],
        transforms.table(),
        machine.vectors().lanes,
        m,
        parts,
        dkernel,
        workspace=floats,
    )
