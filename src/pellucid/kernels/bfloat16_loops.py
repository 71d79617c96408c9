"""The loops of convolution with numbers of 16 bits; see ``conv_bfloat16`` for the grid they run on."""

from __future__ import annotations

import numpy as np

from .assembly import address, call, clear, numbers
from .bfloat16 import nearest
from .jit import IN1, IN4, INT, INTS, OUT1, OUT2, OUT3, OUT4, TABLE, TEAM, inline, kernel
from .simd_bfloat16 import BEGIN, END, FINISH, PAIR, PRODUCT, ROUND, ROWS, STEP
from .threads import MEMBERS, next_chunk
from .transpose import transpose

WIDE = 32  # channels of a panel, the last one may have 16
BLOCK = 256  # positions that a thread takes at a time for the gradient to the kernel: they stay in the nearest cache


@inline
def _clear_halves(target, count):
    halves = numbers(target, count, np.uint16)
    for i in range(count):
        halves[i] = np.uint16(0)


@inline
def _fill_grid(functions, x, first, images, top, above, left, pitch, lines, rows, grid):
    """``rows`` lines of a grid at an address: images one under another, zeros around them; an only one from line ``top`` on."""
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    for g in range(rows):
        image = min(g // lines, images - 1)
        row = top + g - image * lines - above
        line = grid + 2 * g * pitch * channels
        if row < 0 or row >= height:
            _clear_halves(line, pitch * channels)
            continue
        _clear_halves(line, left * channels)
        source = address(x) + 4 * ((first + image) * height + row) * width * channels
        call(functions[0, ROUND], source, line + 2 * left * channels, width * channels)
        _clear_halves(line + 2 * (left + width) * channels, (pitch - left - width) * channels)


@kernel(TEAM, INT, IN4, OUT1, INT)
def pack_weights(team, chunks, weights, packed, steps):
    """weights (KH, KW, CI, CO) -> panels of channels, of each line of taps the pairs of its KW·CI rows, zeros behind them."""
    lines, depth, outputs = weights.shape[0], weights.shape[1] * weights.shape[2], weights.shape[3]
    chunk = next_chunk(team)
    while chunk < chunks:
        first, line = chunk // lines * WIDE, chunk % lines
        valid = min(WIDE, outputs - first)
        full = (valid + 15) // 16 * 16
        size = steps * STEP // 2 * full
        target = address(packed) + 4 * (first * lines * steps * STEP // 2 + line * size)
        clear(target, size)
        for k in range(depth):
            source = numbers(address(weights) + 4 * ((line * depth + k) * outputs + first), valid, np.uint32)
            words = numbers(target + 4 * (k // 2 * full), valid, np.uint32)
            if k % 2 == 0:
                for c in range(valid):
                    words[c] = nearest(source[c]) >> np.uint32(16)
            else:
                for c in range(valid):
                    words[c] |= nearest(source[c]) & np.uint32(0xFFFF0000)
        chunk = next_chunk(team)


@inline
def _finish(
    function, scratch, wide, bias, y, first, valid, position, end, pitch, lines, images, top, high, floor, height, width,
    channels,
):  # fmt: skip
    """Those of the sums of some positions that are outputs to where they belong."""
    at = position
    while at < end:
        line, column = at // pitch, at % pitch
        image, row = line // lines, line % lines
        if images == 1:
            image, row = 0, line
        run = min(pitch - column, end - at)
        count = min(run, width - column)
        if count > 0 and row < high:
            place = (((image * height) + top + row) * width + column) * channels + first
            call(
                function, scratch + 4 * (at - position) * wide, address(bias) + 4 * first, y + 4 * place, channels, valid,
                count, floor,
            )  # fmt: skip
        at += run


@kernel(TEAM, INT, OUT2, TABLE, IN4, IN1, IN1, OUT4, INTS, INT)
def convolve(team, chunks, workspace, functions, x, weights, bias, y, grid, floor):
    """y = bias + x * kernel; one chunk is some images, or a band of lines of one.

    ``grid``: see ``conv_bfloat16.Grid``.
    """
    pitch, lines, above, left, kh, steps, together, band, rows = (
        grid[0], grid[1], grid[2], grid[3], grid[4], grid[5], grid[6], grid[7], grid[8],
    )  # fmt: skip
    n, ci, co, out_height, out_width = x.shape[0], x.shape[3], y.shape[3], y.shape[1], y.shape[2]
    bands = (out_height + band - 1) // band
    scratch = address(workspace[next_chunk(team[MEMBERS:])])
    cells = scratch + 4 * ROWS * WIDE
    call(functions[0, BEGIN])
    chunk = next_chunk(team)
    while chunk < chunks:
        first, top = chunk // bands * together, chunk % bands * band
        images, high = min(together, n - first), min(band, out_height - top)
        _fill_grid(functions, x, first, images, top, above, left, pitch, lines, rows, cells)
        positions = ((images - 1) * lines + high - 1) * pitch + out_width
        target = address(y) + 4 * first * out_height * out_width * co
        for c in range(0, co, WIDE):
            valid = min(WIDE, co - c)
            vectors = (valid + 15) // 16
            panel = address(weights) + 4 * c * kh * steps * STEP // 2
            for position in range(0, positions, ROWS):
                call(
                    functions[0, PRODUCT + vectors - 1], cells + 2 * position * ci, 2 * ci, 2 * pitch * ci, panel, scratch,
                    64 * vectors, steps, kh, 1,
                )  # fmt: skip
                _finish(
                    functions[0, FINISH + vectors - 1], scratch, 16 * vectors, bias, target, c, valid, position,
                    min(position + ROWS, positions), pitch, lines, images, top, high, floor, out_height, out_width, co,
                )  # fmt: skip
        chunk = next_chunk(team)
    call(functions[0, END])


@kernel(TEAM, INT, OUT2, TABLE, TABLE, IN4, IN4, OUT2, OUT1, OUT2, INTS, INT, INT)
def transform(team, chunks, workspace, functions, moves, x, dy, turned, pairs, sums, grid, start, end):
    """Images of x from ``start`` to ``end`` by channel, those of dy by pairs of positions; the last chunk is what follows them.

    turned (CI, words): the positions of a channel one behind the other; pairs: panels (words, channels). sums (…, CO): one row
    per chunk to which Σ dy is added, if there are any.
    """
    pitch, lines, above, left, area = grid[0], grid[1], grid[2], grid[3], grid[4]
    ci, co, words, count = x.shape[3], dy.shape[3], turned.shape[1], end - start
    cells = address(workspace[next_chunk(team[MEMBERS:])])
    packed = cells + 2 * (area + pitch) * max(ci, co)
    used = (count * area + STEP - 1) // STEP * STEP // 2  # words of dy
    chunk = next_chunk(team)
    while chunk < chunks:
        at = chunk * area // 2
        if chunk == count:
            for c in range(ci):
                clear(address(turned) + 4 * (c * words + at), words - at)
            for c in range(0, co, WIDE):
                full = (min(WIDE, co - c) + 15) // 16 * 16
                clear(address(pairs) + 4 * (c * words + at * full), (used - at) * full)
            chunk = next_chunk(team)
            continue
        image = start + chunk
        _fill_grid(functions, x, image, 1, 0, above, left, pitch, lines, lines + 1, cells)
        for c in range(0, ci, WIDE):
            valid = min(WIDE, ci - c)
            vectors = (valid + 15) // 16
            call(functions[0, PAIR + vectors - 1], cells + 2 * c, 2 * ci, packed, 64 * vectors, valid, area // 2)
            target = address(turned) + 4 * (c * words + at)
            transpose(moves, packed, 16 * vectors, target, words, area // 2, valid)
        _fill_grid(functions, dy, image, 1, 0, 0, 0, pitch, lines, lines + 1, cells)
        for c in range(0, co, WIDE):
            valid = min(WIDE, co - c)
            vectors = (valid + 15) // 16
            target = address(pairs) + 4 * (c * words + at * 16 * vectors)
            call(functions[0, PAIR + vectors - 1], cells + 2 * c, 2 * co, target, 64 * vectors, valid, area // 2)
        if sums.shape[0] > 0:
            total, pixels = sums[chunk], dy.shape[1] * dy.shape[2]
            for p in range(pixels):
                line = numbers(address(dy) + 4 * (image * pixels + p) * co, co, np.float32)
                for c in range(co):
                    total[c] += line[c]
        chunk = next_chunk(team)


@kernel(TEAM, INT, TABLE, OUT2, OUT1, OUT4, INTS, INT, INT, INT)
def multiply(team, chunks, functions, turned, pairs, parts, grid, positions, count, first_time):
    """parts[p, tap] (CI, CO) += Σ x dy over the positions of a part, of ``count``; one chunk is 32 x 32 channels of a part."""
    pitch, kh, kw = grid[0], grid[5], grid[6]
    words, ci, co = turned.shape[1], parts.shape[2], parts.shape[3]
    across = (co + WIDE - 1) // WIDE
    blocks = ci // ROWS * across
    all_blocks = (positions + BLOCK - 1) // BLOCK
    call(functions[0, BEGIN])
    chunk = next_chunk(team)
    while chunk < chunks:
        part, block = chunk // blocks, chunk % blocks
        inputs, outputs = block // across * ROWS, block % across * WIDE
        vectors = (min(WIDE, co - outputs) + 15) // 16
        begin, end = all_blocks * part // count * BLOCK, min(all_blocks * (part + 1) // count * BLOCK, positions)
        fresh = first_time
        for position in range(begin, end, BLOCK):
            steps = (min(BLOCK, end - position) + STEP - 1) // STEP
            b = address(pairs) + 4 * (outputs * words + position // 2 * 16 * vectors)
            for tap in range(kh * kw):
                a = address(turned) + 4 * inputs * words + 2 * (position + tap // kw * pitch + tap % kw)
                c = address(parts) + 4 * (((part * kh * kw + tap) * ci + inputs) * co + outputs)
                call(functions[0, PRODUCT + vectors - 1], a, 4 * words, 0, b, c, 4 * co, steps, 1, fresh)
            fresh = 0
        chunk = next_chunk(team)
    call(functions[0, END])


@kernel(TEAM, INT, IN4, OUT3)
def gather(team, chunks, parts, dkernel):
    """dkernel (taps, inputs, outputs) = Σ parts (P, taps, CI, CO), of the channels that there are; one chunk is a tap."""
    tap = next_chunk(team)
    while tap < chunks:
        for i in range(dkernel.shape[1]):
            total = dkernel[tap, i]
            for p in range(parts.shape[0]):
                line = parts[p, tap, i]
                if p == 0:
                    for c in range(total.size):
                        total[c] = line[c]
                else:
                    for c in range(total.size):
                        total[c] += line[c]
        tap = next_chunk(team)
