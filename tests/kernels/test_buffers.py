"""Memory of results is used again, and only once nobody holds it."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

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


@pytest.fixture
def fresh(monkeypatch):
    """No segment that others lie on."""
    monkeypatch.setattr(buffers, "_segments", [])


def test_memory_comes_back_when_the_last_view_is_gone(fresh):
    a = buffers.aligned(LARGE)
    place, view = a.ctypes.data, a[1:].reshape(-1)[::2]
    del a
    gc.collect()
    assert buffers.aligned(LARGE).ctypes.data != place, "taken away while a view was left"
    view[:] = 1
    del view
    gc.collect()
    assert buffers.aligned(LARGE).ctypes.data == place


def test_neighbouring_gaps_are_one_for_a_larger_array(fresh):
    small = [buffers.aligned(LARGE) for _ in range(4)]
    place = small[1].ctypes.data
    for order in [(1, 2), (2, 1)]:
        for index in order:
            small[index] = None
        both = buffers.aligned((2, *LARGE))
        assert both.ctypes.data == place
        del both
        small[1], small[2] = buffers.aligned(LARGE), buffers.aligned(LARGE)
        assert small[1].ctypes.data == place


def test_the_smallest_gap_is_taken(fresh):
    sizes = [3, 1, 2, 1, 4]
    arrays = [buffers.aligned((size, *LARGE)) for size in sizes]
    places = [array.ctypes.data for array in arrays]
    for index in (0, 2, 4):
        arrays[index] = None
    assert buffers.aligned((2, *LARGE)).ctypes.data == places[2]


def test_random_arrays_never_overlap_and_all_come_back(fresh):
    rng = np.random.default_rng(0)
    held: list[np.ndarray] = []
    for step in range(2000):
        if held and rng.random() < 0.5:
            array = held.pop(rng.integers(len(held)))
            assert (array == array.flat[0]).all(), "another array wrote into this one"
        else:
            held.append(buffers.aligned((int(rng.integers(1, 40)), buffers.SMALLEST // 8)))
            held[-1].fill(step)
    del array
    held.clear()
    assert buffers.held_bytes() == 0
    buffers.release()
    assert buffers._segments == []


def test_threads_get_places_of_their_own(fresh):
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(300):
            a = buffers.aligned(LARGE)
            a.fill(number)
            if not (a == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_lies_idle_is_released(fresh):
    a = buffers.aligned(LARGE)
    assert buffers.held_bytes() >= a.nbytes
    buffers.release()
    assert buffers._segments, "something lies on it"
    del a
    gc.collect()
    assert buffers.held_bytes() == 0
    buffers.release()
    assert buffers._segments == []
