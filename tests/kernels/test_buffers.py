"""Memory of results is used again, and only once nobody holds it."""

from __future__ import annotations

import gc

import numpy as np

from pellucid.kernels import buffers

LARGE = (buffers.SMALLEST, 4)


def test_an_array_is_aligned_and_behaves_like_any_other():
    for shape in [(3,), (5, 7), LARGE, (0, 4)]:
        a = buffers.aligned(shape)
        assert a.shape == shape
        assert a.dtype == np.float32
        assert a.ctypes.data % 64 == 0 or a.size == 0
        assert a.flags.c_contiguous
        assert a.flags.writeable
        assert a.T.copy().shape == shape[::-1]


def test_memory_comes_back_when_the_last_view_is_gone():
    buffers.release()
    a = buffers.aligned(LARGE)
    place, view = a.ctypes.data, a[1:].reshape(-1)[::2]
    del a
    gc.collect()
    assert buffers.aligned(LARGE).ctypes.data != place, "taken away while a view was left"
    buffers.release()
    view[:] = 1
    del view
    gc.collect()
    assert buffers.aligned(LARGE).ctypes.data == place


def test_what_lies_idle_is_released():
    buffers.aligned(LARGE)
    gc.collect()
    assert buffers.idle_bytes() >= 4 * np.prod(LARGE)
    buffers.release()
    assert buffers.idle_bytes() == 0
