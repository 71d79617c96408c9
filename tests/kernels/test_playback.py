"""Recorded kernel calls give what the layers give, and only for weights that are what they were."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import backend, kernels
from pellucid.kernels import digest, playback, recording, threads
from pellucid.kernels.activation import relu
from pellucid.kernels.dense import dense
from pellucid.layers import Conv2D, Dense, Flatten, MaxPooling2D, ReLU

pytestmark = pytest.mark.usefixtures("native")


@pytest.fixture
def native():
    with backend.using("native"):
        yield


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(deadline=None)  # the first example compiles
@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=6), which=st.integers(0, 10**6), bit=st.integers(0, 31))
def test_a_digest_sees_every_changed_bit(sizes, which, bit):
    arrays = [normal(size, seed=n) for n, size in enumerate(sizes)]
    known = digest.Digest(arrays)
    known.update()
    assert known.unchanged()
    changed = arrays[which % len(arrays)].view(np.uint32)
    changed[which % changed.size] ^= np.uint32(1 << bit)
    known.update()
    assert not known.unchanged()
    changed[which % changed.size] ^= np.uint32(1 << bit)
    known.update()
    assert known.unchanged()


def test_a_digest_sees_a_change_anywhere_in_a_large_array_and_two_that_swap():
    x = normal(3 * 2 * digest.PIECE + 5)
    known = digest.Digest([x])
    for place in (0, 1, 2 * digest.PIECE - 1, 2 * digest.PIECE, len(x) // 2, len(x) - 1):
        x[place] += 1
        known.update()
        assert not known.unchanged(), place
        x[place] -= 1
        x[place] = normal(len(x))[place]
    x[[3, 11]] = x[[11, 3]]
    known.update()
    assert not known.unchanged()


def test_only_calls_that_depend_on_the_input_are_written_down():
    x, kernel = normal(2, 8), normal(8, 5)
    with recording.of(x) as calls:
        relu(kernel)  # for good
        y = relu(dense(x, kernel)[0])[0]
    assert len(calls.rows) == 2
    assert calls.depends(y)
    assert not calls.depends(kernel)
    before = y.copy()
    x[...] = normal(2, 8, seed=1)
    threads.replay(recording.gathered(calls.rows))
    np.testing.assert_array_equal(y, relu(dense(x, kernel)[0])[0])
    assert not np.array_equal(y, before)


def test_recordings_are_those_of_one_thread():
    x = normal(2, 8)
    with recording.of(x) as calls:
        other = threading.Thread(target=relu, args=(x,))
        other.start()
        other.join()
    assert not calls.rows
    assert recording.current.recording is None


def layered() -> list:
    layers = [Conv2D(8, 3, padding="same"), ReLU(), MaxPooling2D(2), Flatten(), Dense(5)]
    shape: tuple = (8, 8, 3)
    for layer in layers:
        layer.build(shape, seed=3)
        shape = layer.output_shape(shape)
    return layers


def answer(layers: list, x: np.ndarray) -> np.ndarray:
    for layer in layers:
        x = layer(x)
    return x


def test_what_numpy_does_is_asked_between_the_calls():
    """First, last, alone and twice in a row: a layer that has no kernels, and one that begins with kernels and ends without."""

    def squared(x):
        return x * x

    def half_and_half(x):
        return relu(x)[0] + np.float32(1)

    def numpy_first(x):
        return relu(x - np.float32(1))[0]

    for layers in (
        [squared],
        [squared, *layered()],
        [*layered(), squared, squared],
        [half_and_half, *layered(), numpy_first],
        [*layered()[:2], half_and_half, squared, *layered()[2:]],
    ):
        played = playback.Playback(layers, [], (2, 8, 8, 3))
        for seed in (1, 2):
            x = normal(2, 8, 8, 3, seed=seed)
            np.testing.assert_array_equal(played(x), answer(layers, x))


def test_the_answer_is_the_users_own():
    layers = layered()
    played = playback.Playback(layers, [], (1, 8, 8, 3))
    first = played(normal(1, 8, 8, 3, seed=1))
    kept = first.copy()
    played(normal(1, 8, 8, 3, seed=2))
    np.testing.assert_array_equal(first, kept)


def test_what_takes_too_much_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr(playback, "MOST_BYTES", 1000)
    played = playback.Playback(layered(), [], (1, 8, 8, 3))
    assert not played.usable
    assert backend.playback(layered(), [], (1, 8, 8, 3)) is None


def test_without_kernels_there_is_no_playback():
    with backend.using("numpy"):
        assert backend.playback(layered(), [], (1, 8, 8, 3)) is None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_answers_have_the_same_bits_on_any_number_of_threads(count):
    before = kernels.get_num_threads()
    x = normal(1, 8, 8, 3, seed=1)
    wanted = answer(layered(), x)
    try:
        kernels.set_num_threads(count)
        played = playback.Playback(layered(), [], x.shape)
        np.testing.assert_array_equal(played(x), wanted)
    finally:
        kernels.set_num_threads(before)


def test_while_another_thread_has_the_helpers_the_caller_does_everything():
    layers, x = layered(), normal(4, 8, 8, 3)
    played = playback.Playback(layers, [], x.shape)
    with threads._pool.lock:
        np.testing.assert_array_equal(played(x), answer(layers, x))
