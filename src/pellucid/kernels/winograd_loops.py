"""The loops of Winograd's convolution; see ``winograd`` and ``transforms``."""

from __future__ import annotations

from numpy.typing import NDArray

from . import machine, transforms
from .buffers import aligned
from .gemm import product
from .jit import IN1, IN4, INT, OUT1, OUT2, OUT4, TABLE, TEAM, inline, kernel
from .simd import address
from .threads import MEMBERS, next_chunk, parallel_for
from .transforms import GRADIENT, INPUT, OUTPUT, WEIGHTS, WEIGHTS_BACK, call_transform

PARTS_FLOATS = 1 << 23  # of all partial sums of dU together


@inline
def _cut_strip(x, image, top, left, height, width, channels, strip):
    """strip (height, width, channels) = the part of an image that begins at (top, left), zeros outside the image."""
    rows, columns, used = x.shape[1], x.shape[2], x.shape[3]
    first, end = min(max(0, -left), width), max(min(width, columns - left), 0)
    end = max(first, end)
    for i in range(height):
        line = strip[i * width * channels : (i + 1) * width * channels]
        if top + i < 0 or top + i >= rows:
            line[:] = 0
            continue
        line[: first * channels] = 0
        line[end * channels :] = 0
        if used == channels:
            source = x[image, top + i].reshape(-1)[(left + first) * used : (left + end) * used]
            target = line[first * channels : end * channels]
            for c in range(target.size):
                target[c] = source[c]
        else:
            for j in range(first, end):
                pixel, target = x[image, top + i, left + j], line[j * channels : (j + 1) * channels]
                for c in range(used):
                    target[c] = pixel[c]
                target[used:] = 0


@inline
def _transform_strip(function, lanes, size, step, strip, width, channels, across, target, apart):
    """The transforms of all tiles of one strip: tile i begins at column i·step; its 36 parts lie ``apart`` from each other."""
    for tile in range(across):
        call_transform(
            function, address(strip) + 4 * tile * step * channels, width * channels, channels,
            target + 4 * tile * channels, size * apart, apart, channels // lanes, 0,
        )  # fmt: skip


@kernel(TEAM, INT, OUT2, TABLE, TABLE, INT, INT, IN4, IN1, IN1, OUT4, INT, INT, INT, INT, INT, INT)
def convolve(
    team, chunks, workspace, tiles, functions, lanes, m, x, weights, bias, y, above, left, lines, vectors, v_apart, m_apart
):  # fmt: skip
    """One chunk is a group: ``lines`` rows of tiles, counted through all images."""
    t = m + 2
    inputs, outputs = x.shape[3], y.shape[3]
    ci, co = (inputs + lanes - 1) // lanes * lanes, (outputs + lanes - 1) // lanes * lanes
    across, down = (y.shape[2] + m - 1) // m, (y.shape[1] + m - 1) // m
    total, strip_width = x.shape[0] * down, across * m + 2
    space = workspace[next_chunk(team[MEMBERS:])]
    strip, space = space[: t * strip_width * ci], space[t * strip_width * ci :]
    v, space = space[: t * t * v_apart], space[t * t * v_apart :]
    products, corner = space[: t * t * m_apart], space[t * t * m_apart :]
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = chunk * lines, min((chunk + 1) * lines, total)
        count = (end - begin) * across
        for line in range(begin, end):
            image, row = line // down, line % down * m
            _cut_strip(x, image, row - above, -left, t, strip_width, ci, strip)
            _transform_strip(
                functions[m, INPUT], lanes, t, m, strip, strip_width, ci, across,
                address(v) + 4 * (line - begin) * across * ci, v_apart,
            )  # fmt: skip
        for e in range(t * t):
            for first in range(0, co, vectors * lanes):
                here = min(vectors, (co - first) // lanes)
                product(
                    tiles, here, count, address(v) + 4 * e * v_apart, ci, 1, 0,
                    address(weights) + 4 * (e * co + first) * inputs, here * lanes, 0,
                    address(bias) + 4 * co, 0, address(products) + 4 * (e * m_apart + first), co,
                    here * lanes, inputs, 1,
                )  # fmt: skip
        for line in range(begin, end):
            image, row = line // down, line % down * m
            for tile in range(across):
                column = tile * m
                source = address(products) + 4 * ((line - begin) * across + tile) * co
                place = ((image * y.shape[1] + row) * y.shape[2] + column) * outputs
                high, wide = min(m, y.shape[1] - row), min(m, y.shape[2] - column)
                if high == m and wide == m and co == outputs:
                    call_transform(
                        functions[m, OUTPUT], source, t * m_apart, m_apart, address(y) + 4 * place, y.shape[2] * outputs,
                        outputs, co // lanes, address(bias),
                    )  # fmt: skip
                    continue
                call_transform(
                    functions[m, OUTPUT], source, t * m_apart, m_apart, address(corner), m * co, co, co // lanes,
                    address(bias),
                )  # fmt: skip
                for i in range(high):
                    for j in range(wide):
                        pixel, target = corner[(i * m + j) * co :], y[image, row + i, column + j]
                        for c in range(outputs):
                            target[c] = pixel[c]
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
            call_transform(
                functions[m, WEIGHTS], source, row, column, address(transformed) + 4 * (first * inputs + chunk * full),
                t * co * inputs, co * inputs, full // lanes, 0,
            )  # fmt: skip
        chunk = next_chunk(team)


def transform_weights(weights: NDArray, transformed: NDArray, m: int, vectors: int) -> None:
    """weights (3, 3, CI, CO) -> U."""
    lanes = machine.vectors().lanes
    parallel_for(
        _transform_weights, weights.shape[2], transforms.table(), lanes, m, weights, vectors, transformed,
        workspace=9 * vectors * lanes,
    )  # fmt: skip


@kernel(TEAM, INT, IN4, OUT4)
def _turn(team, chunks, weights, turned):
    """turned[i, j, co, ci] = weights[2 - i, 2 - j, ci, co]; one chunk is eight output channels of one tap."""
    outputs = weights.shape[3]
    strips = (outputs + 7) // 8
    chunk = next_chunk(team)
    while chunk < chunks:
        tap, first = chunk // strips, chunk % strips * 8
        source, target = weights[2 - tap // 3, 2 - tap % 3], turned[tap // 3, tap % 3]
        for co in range(first, min(first + 8, outputs)):
            line = target[co]
            for ci in range(line.size):
                line[ci] = source[ci, co]
        chunk = next_chunk(team)


def turn(weights: NDArray) -> NDArray:
    """(KH, KW, CI, CO) -> (KH, KW, CO, CI), rotated by half a turn."""
    turned = aligned((*weights.shape[:2], weights.shape[3], weights.shape[2]))
    parallel_for(_turn, 9 * -(-weights.shape[3] // 8), weights, turned)
    return turned


@kernel(TEAM, INT, OUT2, TABLE, TABLE, INT, INT, IN4, IN4, OUT4, OUT2, INT, INT, INT, INT, INT, INT, IN1)
def kernel_products(
    team, chunks, workspace, tiles, functions, lanes, m, x, dy, parts, sums, above, left, lines, vectors, v_apart, d_apart,
    zeros,
):  # fmt: skip
    """parts[p, e] (CI, CO) = Σ V[e]ᵀ D[e] over the tiles of a part; one chunk is one part. sums: Σ dy of it."""
    t = m + 2
    inputs, outputs = x.shape[3], dy.shape[3]
    ci, co = (inputs + lanes - 1) // lanes * lanes, (outputs + lanes - 1) // lanes * lanes
    across, down = (dy.shape[2] + m - 1) // m, (dy.shape[1] + m - 1) // m
    total, width, dy_width = x.shape[0] * down, across * m + 2, across * m
    space = workspace[next_chunk(team[MEMBERS:])]
    strip, space = space[: t * width * ci], space[t * width * ci :]
    dy_strip, space = space[: m * dy_width * co], space[m * dy_width * co :]
    v, d = space[: t * t * v_apart], space[t * t * v_apart :]
    chunk = next_chunk(team)
    while chunk < chunks:
        begin, end = total * chunk // chunks, total * (chunk + 1) // chunks
        sums[chunk] = 0
        for group in range(begin, end, lines):
            group_end = min(group + lines, end)
            count = (group_end - group) * across
            for line in range(group, group_end):
                image, row = line // down, line % down * m
                _cut_strip(x, image, row - above, -left, t, width, ci, strip)
                place = (line - group) * across
                _transform_strip(
                    functions[m, INPUT], lanes, t, m, strip, width, ci, across, address(v) + 4 * place * ci, v_apart
                )
                _cut_strip(dy, image, row, 0, m, dy_width, co, dy_strip)
                _transform_strip(
                    functions[m, GRADIENT],
                    lanes,
                    t,
                    m,
                    dy_strip,
                    dy_width,
                    co,
                    across,
                    address(d) + 4 * place * co,
                    d_apart,
                )
                total_dy = sums[chunk]
                for pixel in range(m * dy_width):
                    values = dy_strip[pixel * co : (pixel + 1) * co]
                    for c in range(co):
                        total_dy[c] += values[c]
            for e in range(t * t):
                for first in range(0, co, vectors * lanes):
                    here = min(vectors, (co - first) // lanes)
                    at = address(parts) + 4 * ((chunk * t * t + e) * inputs * co + first)
                    product(
                        tiles, here, inputs, address(v) + 4 * e * v_apart, 1, ci, 0,
                        address(d) + 4 * (e * d_apart + first), co, 0,
                        address(zeros) if group == begin else at, 0 if group == begin else co, at, co,
                        here * lanes, count, 1,
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
        call_transform(
            functions[m, WEIGHTS_BACK], address(sums), (m + 2) * co, co, address(taps), 3 * co, co, co // lanes, 0
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
