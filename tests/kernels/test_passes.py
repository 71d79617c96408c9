"""Every kernel call of a step can be made again: no number that it needs is NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pellucid import backend
from pellucid.kernels import buffers, get_num_threads, passes, set_num_threads, set_winograd, winograd_enabled
from pellucid.randomness import Randomness

from ..ops.records import RECORDS, Record


@pytest.fixture(autouse=True)
def native():
    with backend.using("native"):
        yield
    backend.set_precision("float32")


class OneOp:
    """An op as a way forward and back: its first array is what comes in, all others are weights."""

    def __init__(self, record: Record, seed: int) -> None:
        self.record = record
        drawn = record.draw(np.random.default_rng(seed))
        arrays = [a if a is None else np.ascontiguousarray(a, np.float32) for a in drawn]
        self.x, self.weights = arrays[0], arrays[1:]
        self.saved: Any = None

    @property
    def is_native(self) -> bool:
        record = self.record
        arrays, settings = [self.x, *self.weights], dict(record.settings)
        return all(a is None or a.dtype == np.float32 for a in arrays) and backend.is_native(
            record.op, *arrays, **settings
        )

    def forward(self, x: np.ndarray, rng: Randomness) -> tuple[np.ndarray, Any]:
        settings = dict(self.record.settings)
        if "rng" in settings:
            settings["rng"] = rng.child("layer")
        y, saved = backend.forward(self.record.op, x, *self.weights, **settings)

        def back(dy: np.ndarray) -> dict[str, np.ndarray]:
            gradients = backend.backward(dy, saved)
            gradients = gradients if isinstance(gradients, tuple) else (gradients,)
            return {str(n): g for n, g in enumerate(gradients) if g is not None}

        return y, back

    def become(self, other: OneOp) -> None:
        """All numbers of another one, in the same places."""
        for mine, theirs in zip([self.x, *self.weights], [other.x, *other.weights], strict=True):
            if mine is not None:
                mine[...] = theirs


def result(way: Any, x: np.ndarray, seed: int) -> list[np.ndarray]:
    y, back = way(x, Randomness.for_batch(seed, 0, np.arange(len(x))))
    dy = np.random.default_rng(seed).standard_normal(y.shape).astype(np.float32)
    y = y.copy()
    return [y, *(gradient.copy() for gradient in back(dy).values())]


NUMPY = {
    "flatten",
    "log_softmax",
    "mean_squared_error",
}  # what NumPy computes, and losses, which lie between the passes
UNFUSED = {"conv2d_block-gelu averaged", "conv2d_block-tanh, every setting", "batch_norm_block-inference averaged"}
KERNELS = [r for r in RECORDS if r.op not in NUMPY and "cross_entropy" not in r.op and str(r) not in UNFUSED]


@pytest.mark.parametrize("record", KERNELS, ids=str)
def test_calls_of_an_op_made_again_for_other_numbers_are_the_op(record):
    first, other, wanted = (OneOp(record, seed) for seed in (1, 2, 2))
    assert first.is_native
    recorded = passes.Passes(first.forward)
    result(recorded.write_down, first.x, 1)
    first.become(other)
    expected = result(wanted.forward, wanted.x, 2)
    found = result(lambda x, rng: recorded.play(x, rng, scrambled=True), first.x, 2)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first.weights, wanted.weights, strict=True):  # moving statistics
        assert (a is None and b is None) or a.tobytes() == b.tobytes()


LARGE = (40, 12, 12, 16)  # so that results lie on segments


def large(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(LARGE).astype(np.float32)


KERNEL = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32) / 12


def two_convolutions(x: np.ndarray, rng: Randomness) -> tuple[np.ndarray, Any]:
    y, first = backend.forward("conv2d_block", x, KERNEL, None, padding="same", activation="relu")
    z, second = backend.forward("conv2d", y, KERNEL, None, padding="same")
    del y

    def back(dz: np.ndarray) -> dict[str, np.ndarray]:
        nonlocal first, second
        dy, dsecond, _ = backend.backward(dz, second)
        _, dfirst, _ = backend.backward(dy, first, input_gradient=False)
        first = second = None
        return {"first": dfirst, "second": dsecond}

    return z, back


@pytest.fixture
def fresh(monkeypatch):
    monkeypatch.setattr(buffers, "_segments", [])


@pytest.mark.parametrize("way", ["direct", "winograd", "bfloat16"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_results_lie_where_others_lay_and_are_right(fresh, threads, way):
    before = get_num_threads(), winograd_enabled()
    try:
        set_num_threads(threads)
        set_winograd(way == "winograd")
        backend.set_precision("bfloat16" if way == "bfloat16" else "float32")
        first = result(two_convolutions, large(0), 0)
        recorded = passes.Passes(two_convolutions)
        np.testing.assert_array_equal(result(recorded.write_down, large(0), 0)[0], first[0])
        for seed in (1, 2):
            found = result(recorded.play, large(seed), seed)
            for a, b in zip(found, result(two_convolutions, large(seed), seed), strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        set_num_threads(before[0])
        set_winograd(before[1])


def test_a_step_that_is_played_needs_no_more_memory_than_any_other(fresh):
    result(two_convolutions, large(0), 0)
    held = buffers.held_bytes()  # the workspace of the kernels
    needed = sum(segment.size for segment in buffers._segments)
    recorded = passes.Passes(two_convolutions)
    result(recorded.write_down, large(0), 0)
    result(recorded.play, large(1), 1)
    assert sum(segment.size for segment in buffers._segments) == needed
    assert buffers.held_bytes() > held
    recorded.rest()
    assert buffers.held_bytes() == held


def test_nothing_is_played_where_somebody_holds_a_part_of_the_memory(fresh):
    recorded = passes.Passes(two_convolutions)
    result(recorded.write_down, large(0), 0)
    taken = buffers.aligned(LARGE)
    taken[...] = 7
    assert recorded.play(large(1), Randomness.for_batch(0, 0, np.arange(40))) is None
    assert (taken == 7).all()
    del taken
    np.testing.assert_array_equal(result(recorded.play, large(1), 1)[1], result(two_convolutions, large(1), 1)[1])


def test_nothing_is_played_where_the_memory_was_given_back(fresh):
    recorded = passes.Passes(two_convolutions)
    result(recorded.write_down, large(0), 0)
    buffers.release()
    assert recorded.play(large(1), Randomness.for_batch(0, 0, np.arange(40))) is None


def test_a_claim_is_all_or_nothing(fresh):
    arrays = [buffers.aligned((1 << 16,)) for _ in range(4)]
    places = [buffers.borrowed(array) for array in arrays]
    assert all(a.ctypes.data == b.ctypes.data for a, b in zip(arrays, places, strict=True))
    own = np.zeros(3, np.float32)
    assert buffers.borrowed(own) is own
    del arrays[1:3]
    assert buffers.claim(places[1:]) is None
    held = buffers.held_bytes()
    middle = buffers.claim(places[1:3])
    assert middle is not None
    assert len(middle) == 1  # side by side
    assert middle[0].ctypes.data == places[1].ctypes.data
    assert buffers.claim(places[1:2]) is None
    del middle
    assert buffers.held_bytes() == held
