"""Products of any height from register tiles, and matrix products from those.

``product`` cuts the rows of C into pieces of nearly equal height, none higher than the tallest tile: 31 rows are better done as
11 + 10 + 10 than as 14 + 14 + 3, since a low tile does not keep the arithmetic units busy.

A matrix product packs B first, in *panels*: blocks of a few vectors of columns, each contiguous and padded with zeros to whole
vectors, so that a tile reads B from beginning to end.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import machine, simd, threads
from .assembly import address, call
from .buffers import aligned
from .jit import IN1, IN2, INT, OUT1, OUT2, TABLE, TEAM, inline, kernel
from .simd import NO_FLOOR
from .threads import next_chunk, parallel_for

BLOCK_DEPTH = 512  # of a panel of B, so that it stays in the nearest cache but one


@inline
def product(
    tiles, vectors, rows, a, a_m, a_k, a_r, b, b_k, b_r, d, d_m, c, c_m, columns, depth, repeats, floor=NO_FLOOR
):
    """C = D + Σ_r Σ_k A·B for any number of rows; a, b, c and d are addresses (see ``simd``)."""
    tallest = tiles[vectors, 0]
    pieces = (rows + tallest - 1) // tallest
    first = 0
    for piece in range(pieces):
        end = rows * (piece + 1) // pieces
        call(
            tiles[vectors, end - first],
            a + 4 * first * a_m, a_m, a_k, a_r,
            b, b_k, b_r,
            d + 4 * first * d_m, d_m,
            c + 4 * first * c_m, c_m,
            columns, depth, repeats, floor,
        )  # fmt: skip
        first = end


def panel_vectors(columns: int, *, rows: int = 14) -> int:
    """How many vectors wide a panel should be for C with this many columns, made in pieces of about this many rows.

    As wide as leaves no panel half empty; low pieces need wide tiles to have enough independent sums.
    """
    whole = -(-columns // machine.vectors().lanes)
    table = simd.tiles()
    best, least = 1, np.inf
    for vectors in range(1, simd.MOST_VECTORS + 1):
        tallest = int(table[vectors, 0])
        if tallest < 1 or vectors > whole:
            continue
        height = rows / -(-rows // tallest)  # of a piece
        # loads per multiplication, and what too few accumulators cost
        cost = 1 / vectors + 1 / height + 4 * max(0.0, 10 / (vectors * height) - 1)
        cost += 0.5 * ((-whole) % vectors) / whole
        if cost < least:
            best, least = vectors, cost
    return best


def panel_blocks(columns: int, vectors: int) -> tuple[int, int]:
    """(number of panels, floats per unit of depth over all panels) for this many columns."""
    whole = -(-columns // machine.vectors().lanes)
    return -(-whole // vectors), whole * machine.vectors().lanes


@kernel(TEAM, INT, IN2, INT, INT, INT, OUT1)
def _pack(team, chunks, b, transposed, width, lanes, packed):
    """Panels of B (depth, columns), or of its transpose; one chunk is one panel."""
    depth, columns = (b.shape[1], b.shape[0]) if transposed else (b.shape[0], b.shape[1])
    chunk = next_chunk(team)
    while chunk < chunks:
        first = chunk * width
        valid = min(width, columns - first)
        full = min(width, (valid + lanes - 1) // lanes * lanes)
        panel = packed[first * depth : (first + full) * depth]
        if transposed:
            for j in range(valid):
                source = b[first + j]
                for k in range(depth):
                    panel[k * full + j] = source[k]
            for k in range(depth):
                panel[k * full + valid : (k + 1) * full] = 0
        else:
            for k in range(depth):
                row = panel[k * full : (k + 1) * full]
                source = b[k, first : first + valid]
                for j in range(valid):
                    row[j] = source[j]
                row[valid:] = 0
        chunk = next_chunk(team)


@kernel(TEAM, INT, TABLE, INT, IN2, INT, IN1, IN1, OUT2, INT, INT, INT, INT)
def _multiply(team, chunks, tiles, lanes, a, transposed, packed, bias, c, vectors, row_block, depth_block, floor):
    """C = bias + A B; one chunk is some rows of C and one panel of B."""
    rows, columns = c.shape
    depth = a.shape[0] if transposed else a.shape[1]
    a_m, a_k = (1, a.shape[1]) if transposed else (a.shape[1], 1)
    width = vectors * lanes
    row_blocks = (rows + row_block - 1) // row_block
    chunk = next_chunk(team)
    while chunk < chunks:
        panel, block = chunk // row_blocks, chunk % row_blocks
        m0, n0 = block * row_block, panel * width
        height, valid = min(row_block, rows - m0), min(width, columns - n0)
        here = min(vectors, (valid + lanes - 1) // lanes)
        at = address(c) + 4 * (m0 * columns + n0)
        for k0 in range(0, depth, depth_block):
            product(
                tiles, here, height,
                address(a) + 4 * (m0 * a_m + k0 * a_k), a_m, a_k, 0,
                address(packed) + 4 * (n0 * depth + k0 * here * lanes), here * lanes, 0,
                address(bias) + 4 * n0 if k0 == 0 else at, 0 if k0 == 0 else columns,
                at, columns, valid, min(depth_block, depth - k0), 1, floor if k0 + depth_block >= depth else NO_FLOOR,
            )  # fmt: skip
        chunk = next_chunk(team)


@kernel(TEAM, INT, INT, IN2, OUT1)
def _sum_parts(team, chunks, size, parts, total):
    """total = Σ_p parts[p], in the order of p; one chunk is ``size`` numbers."""
    chunk = next_chunk(team)
    while chunk < chunks:
        first, end = chunk * size, min((chunk + 1) * size, total.size)
        sums = total[first:end]
        sums[:] = parts[0, first:end]
        for p in range(1, parts.shape[0]):
            part = parts[p, first:end]
            for i in range(end - first):
                sums[i] += part[i]
        chunk = next_chunk(team)


def sum_parts(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """parts (P, ...) -> their sum over P, always in the same order."""
    if len(parts) == 1:
        return parts[0]
    total = np.empty(parts.shape[1:], np.float32)
    size = 4096
    parallel_for(_sum_parts, -(-total.size // size), size, parts.reshape(len(parts), -1), total.reshape(-1))
    return total


def whole_vectors(bias: NDArray[np.float32] | None, columns: int) -> NDArray[np.float32]:
    """The bias, or zeros, up to whole vectors, and behind it as many zeros as the widest tile has columns."""
    lanes = machine.vectors().lanes
    padded = np.zeros((-(-columns // lanes) + simd.MOST_VECTORS) * lanes, np.float32)
    if bias is not None:
        padded[:columns] = bias
    return padded


def matmul(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    bias: NDArray[np.float32] | None = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    floor: int = NO_FLOOR,
) -> NDArray[np.float32]:
    """A B + bias for float32 C-contiguous matrices, either one transposed if asked: (M, K) (K, N) -> (M, N).

    ``floor`` is ``simd.RELU`` to set what is negative to zero.
    """
    rows = a.shape[1] if transpose_a else a.shape[0]
    depth, columns = b.shape[::-1] if transpose_b else b.shape
    c = aligned((rows, columns))
    if c.size == 0:
        return c
    if depth == 0:
        c[...] = 0 if bias is None else bias
        return c if floor == NO_FLOOR else np.maximum(c, 0)
    lanes = machine.vectors().lanes
    vectors = panel_vectors(columns, rows=rows)
    panels, padded = panel_blocks(columns, vectors)
    packed = aligned((padded * depth,))
    parallel_for(_pack, panels, b, int(transpose_b), vectors * lanes, lanes, packed)
    # as many rows to a chunk as leave enough chunks to share, in multiples of the tallest tile
    tallest = int(simd.tiles()[vectors, 0])
    row_block = max(tallest, min(rows, 16 * tallest, -(-rows // max(1, 32 // panels))))
    chunks = panels * -(-rows // row_block)
    parallel_for(
        _multiply, chunks, simd.tiles(), lanes, a, int(transpose_a), packed, whole_vectors(bias, columns), c, vectors,
        row_block, BLOCK_DEPTH, floor,
    )  # fmt: skip
    return c


__all__ = ["aligned", "matmul", "panel_blocks", "panel_vectors", "product", "sum_parts", "threads"]
