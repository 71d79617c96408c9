"""What the machine can do at most: arithmetic and memory."""

from __future__ import annotations

import contextlib
import ctypes
import math
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import backend

_COPY = 1 << 25  # float32 numbers, 128 MiB: more than any cache holds


class Peak(NamedTuple):
    """What the machine can do at most, on this many threads."""

    gflops: float  # billions of float32 operations a second; a fused multiply-add counts as two
    gigabytes: float  # read and written per second by a large copy
    threads: int

    def or_more(self, other: Peak) -> Peak:
        """What two measurements found at most.

        >>> Peak(200.0, 30.0, 2).or_more(Peak(250.0, 20.0, 2))
        Peak(gflops=250.0, gigabytes=30.0, threads=2)
        """
        return Peak(max(self.gflops, other.gflops), max(self.gigabytes, other.gigabytes), self.threads)


def measure_peak(seconds: float = 0.02, tries: int = 5) -> Peak:
    """The most arithmetic and the most bytes per second, on as many threads as the kernels use; about half a second.

    Arithmetic: the register tile of ``pellucid.kernels.simd``, over and over on operands that stay in the nearest cache.
    Memory: a copy of 128 MiB. Each is the best of a few tries, since other work on the machine can only make it look slower.
    """
    threads = backend.get_num_threads()
    gflops = max(_arithmetic_peak(vectors, threads, seconds, tries) for vectors in (1, 2, 4))
    return Peak(gflops, _copy_peak(threads, tries), threads)


def _arithmetic_peak(vectors: int, threads: int, seconds: float, tries: int) -> float:
    from ..kernels import machine, simd

    lanes, rows, depth = machine.vectors().lanes, int(simd.tiles()[vectors, 0]), 64
    if rows < 1:
        return 0.0  # so wide a tile does not fit into the registers of this machine
    columns = vectors * lanes
    tile = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * len(simd.PARAMETERS))(int(simd.tiles()[vectors, rows]))
    rng = np.random.default_rng(0)
    arrays = [  # A, B and C of each thread; 13 to 25 KiB. Sums of random signs stay small
        [rng.uniform(-1e-3, 1e-3, size).astype(np.float32) for size in (rows * depth, depth * columns, rows * columns)]
        for _ in range(threads)
    ]

    def run(thread: int, repeats: int) -> None:
        a, b, c = (array.ctypes.data for array in arrays[thread])
        values = {
            "a": a, "a_m": depth, "a_k": 1, "a_r": 0, "b": b, "b_k": columns, "b_r": 0, "d": c, "d_m": columns,
            "c": c, "c_m": columns, "columns": columns, "depth": depth, "repeats": repeats,
            "floor": simd.NO_FLOOR,
        }  # fmt: skip
        tile(*[values[name] for name in simd.PARAMETERS])

    once = 2 * rows * columns * depth
    quick = _together(threads, lambda thread: run(thread, 1000), 2)
    repeats = max(1000, int(1000 * seconds / quick))
    return threads * once * repeats / _together(threads, lambda thread: run(thread, repeats), tries) / 1e9


def _copy_peak(threads: int, tries: int) -> float:
    source, target = np.ones(_COPY, np.float32), np.zeros(_COPY, np.float32)
    target.fill(0.0)  # touches every page
    parts = [slice(t * _COPY // threads, (t + 1) * _COPY // threads) for t in range(threads)]
    taken = _together(threads, lambda thread: np.copyto(target[parts[thread]], source[parts[thread]]), tries)
    return 2 * source.nbytes / taken / 1e9


def _together(threads: int, work: Callable[[int], object], tries: int) -> float:
    """Seconds that the quickest of some tries took for ``work(thread)`` on all threads at once; work gives up the GIL."""
    ready, done = threading.Barrier(threads), threading.Barrier(threads)

    def follow(thread: int) -> None:
        # If the calling thread fails, so do the barriers, and nobody is left waiting.
        with contextlib.suppress(threading.BrokenBarrierError):
            for _ in range(tries):
                ready.wait()
                work(thread)
                done.wait()

    helpers = [threading.Thread(target=follow, args=(thread,), daemon=True) for thread in range(1, threads)]
    for helper in helpers:
        helper.start()
    best = math.inf
    try:
        for _ in range(tries):
            ready.wait()
            start = time.perf_counter()
            work(0)
            done.wait()
            best = min(best, time.perf_counter() - start)
    finally:
        ready.abort()
        done.abort()
        for helper in helpers:
            helper.join()
    return best
