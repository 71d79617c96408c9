"""Matrix products from register tiles.

A matrix product packs B in *panels*: blocks of a few vectors of columns, contiguous and padded with zeros to whole
vectors, so that a tile reads B from beginning to end.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from . import machine, simd
from .assembly import address, call, clear, get, put
from .buffers import aligned
from .jit import IN1, IN2, INT, OUT1, OUT2, TABLE, TEAM, array_of, inline, kernel
from .recording import current
from .simd import NO_FLOOR
from .sums import copy_into
from .threads import MEMBERS, next_chunk, parallel_for
from .transpose import copy, transpose
from .transpose import table as transposing

FAR = 256  # floats from k to k of a transposed A from which on it is packed: caches hold few lines so far apart
PLAIN, TRANSPOSED, PACKED, PANELS, IN_PLACE = range(
    5
)  # how matrices lie in memory: A in the first ways, B in all but PACKED
FEW = 4  # rows of A that read B but once or twice: then it is not worth packing
LOW = 112  # rows that are not worth sharing out: eight times the tallest tile of two vectors
BLOCK_DEPTH = 512  # of a panel of B, so that it stays in the nearest cache but one


@inline
def product(
    tiles, vectors, rows, a, a_m, a_k, a_r, b, b_k, b_r, d, d_m, c, c_m, columns, depth, repeats, floor=NO_FLOOR
):
    """C = D + Σ_r Σ_k A·B for any number of rows; a, b, c and d are addresses (see ``simd``)."""
    call(
        tiles[0, 0], address(tiles) + 8 * tiles.shape[1] * vectors, rows,
        a, a_m, a_k, a_r, b, b_k, b_r, d, d_m, c, c_m, columns, depth, repeats, floor,
    )  # fmt: skip


@lru_cache(maxsize=4096)
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


@inline
def _pack(functions, b, transposed, k0, depth, first, valid, full, panel):
    """Rows k0 … of ``valid`` columns of B, or of its transpose, as a panel ``full`` wide, zeros behind them."""
    if transposed:
        if valid < full:
            clear(panel, depth * full)
        transpose(functions, address(b) + 4 * (first * b.shape[1] + k0), b.shape[1], panel, full, valid, depth)
    else:
        copy(functions, address(b) + 4 * (k0 * b.shape[1] + first), b.shape[1], panel, full, valid, depth)


@kernel(TEAM, INT, TABLE, IN2, INT, INT, INT, OUT1)
def _pack_rows(team, chunks, functions, a, transposed, row_block, depth_block, packed):
    """A as blocks of rows, each (depth, rows): the numbers that a tile broadcasts for one k then lie side by side.

    One chunk is ``depth_block`` of the depth of one block of rows.
    """
    depth, rows = (a.shape[0], a.shape[1]) if transposed else (a.shape[1], a.shape[0])
    depth_blocks = (depth + depth_block - 1) // depth_block
    chunk = next_chunk(team)
    while chunk < chunks:
        first, k0 = chunk // depth_blocks * row_block, chunk % depth_blocks * depth_block
        height, deep = min(row_block, rows - first), min(depth_block, depth - k0)
        block = address(packed) + 4 * (first * depth + k0 * height)
        if transposed:
            for k in range(deep):
                for m in range(height):
                    put(block + 4 * (k * height + m), get(address(a) + 4 * ((k0 + k) * rows + first + m)))
        else:
            transpose(functions, address(a) + 4 * (first * depth + k0), depth, block, height, height, deep)
        chunk = next_chunk(team)


@kernel(TEAM, INT, TABLE, INT, IN2, INT, INT, OUT2)
def _pack_panels(team, chunks, functions, lanes, b, transposed, width, packed):
    """All panels of B; one chunk is one of them."""
    depth, columns = (b.shape[1], b.shape[0]) if transposed else (b.shape[0], b.shape[1])
    chunk = next_chunk(team)
    while chunk < chunks:
        first = chunk * width
        valid = min(width, columns - first)
        full = (valid + lanes - 1) // lanes * lanes
        _pack(functions, b, transposed, 0, depth, first, valid, full, address(packed) + 4 * first * depth)
        chunk = next_chunk(team)


@kernel(TEAM, INT, OUT2, TABLE, TABLE, INT, IN1, INT, IN2, INT, INT, IN1, OUT2, INT, INT, INT, INT)
def _multiply(
    team, chunks, workspace, tiles, functions, lanes, a, layout, b, b_layout, depth, bias, c, vectors, row_block,
    depth_block, floor,
):  # fmt: skip
    """C = bias + A B; one chunk is some rows of C and one panel of B, which is packed as it is needed, if it has to be."""
    rows, columns = c.shape
    width = vectors * lanes
    row_blocks = (rows + row_block - 1) // row_block
    panel = workspace[next_chunk(team[MEMBERS:])]
    chunk = next_chunk(team)
    while chunk < chunks:
        n0, m0 = chunk // row_blocks * width, chunk % row_blocks * row_block
        height, valid = min(row_block, rows - m0), min(width, columns - n0)
        here = min(vectors, (valid + lanes - 1) // lanes)
        a_m, a_k = (1, height) if layout == PACKED else (1, rows) if layout == TRANSPOSED else (depth, 1)
        start = m0 if layout == TRANSPOSED else m0 * depth
        at = address(c) + 4 * (m0 * columns + n0)
        for k0 in range(0, depth, depth_block):
            deep = min(depth_block, depth - k0)
            b_at, b_k = address(panel), here * lanes
            if b_layout == IN_PLACE:
                b_at, b_k = address(b) + 4 * (k0 * columns + n0), columns
            elif b_layout == PANELS:
                b_at = address(b) + 4 * (n0 * depth + k0 * b_k)
            else:
                _pack(functions, b, b_layout == TRANSPOSED, k0, deep, n0, valid, b_k, b_at)
            product(
                tiles, here, height,
                address(a) + 4 * (start + k0 * a_k), a_m, a_k, 0,
                b_at, b_k, 0,
                address(bias) + 4 * n0 if k0 == 0 else at, 0 if k0 == 0 else columns,
                at, columns, valid, deep, 1, floor if k0 + deep == depth else NO_FLOOR,
            )  # fmt: skip
        chunk = next_chunk(team)


def whole_vectors(bias: NDArray[np.float32] | None, columns: int) -> NDArray[np.float32]:
    """The bias, or zeros, up to whole vectors, and behind it as many zeros as the widest tile has columns."""
    lanes = machine.vectors().lanes
    padded = np.zeros((-(-columns // lanes) + simd.MOST_VECTORS) * lanes, np.float32)
    if bias is not None:
        copy_into(padded[:columns], array_of(bias))
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
    lanes, table = machine.vectors().lanes, simd.tiles()
    vectors = panel_vectors(columns, rows=rows)
    while vectors > 1 and -(-columns // (vectors * lanes)) * -(-rows // LOW) < 4:
        vectors -= 1  # narrower panels, so that there is something to share out
    panels = -(-columns // (vectors * lanes))
    # Each chunk packs its panel for itself: few rows stay together, many are shared out
    packed = transpose_a and rows >= FAR
    row_block = min(rows, max(LOW // 2, min(LOW if packed else 4 * LOW, -(-rows // -(-16 // panels)))))
    if rows <= LOW:
        row_block = rows
    blocks = -(-rows // row_block)
    if packed:
        a, rows_of = aligned((rows * depth,)), a
        chunks = blocks * -(-depth // BLOCK_DEPTH)
        parallel_for(_pack_rows, chunks, transposing(), rows_of, int(transpose_a), row_block, BLOCK_DEPTH, a)
    layout = PACKED if packed else TRANSPOSED if transpose_a else PLAIN
    b_layout = TRANSPOSED if transpose_b else PLAIN
    if rows <= FEW and not transpose_b and columns % lanes == 0:
        b_layout = IN_PLACE
    elif current.lasting:
        rows_of, b_layout, width = b, PANELS, vectors * lanes
        b = aligned((depth, -(-columns // lanes) * lanes))
        parallel_for(_pack_panels, panels, transposing(), lanes, rows_of, int(transpose_b), width, b)
    parallel_for(
        _multiply, panels * blocks, table, transposing(), lanes, a.reshape(-1), layout, b, b_layout, depth,
        whole_vectors(bias, columns), c, vectors, row_block, BLOCK_DEPTH, floor,
        workspace=BLOCK_DEPTH * vectors * lanes,
    )  # fmt: skip
    return c
