"""The generator behind dropout, order and augmentation: repeatable, uniform, independent."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pellucid.randomness import GOLDEN, Randomness, generator, mix, permutation


def batch(n=64, seed=0, epoch=0):
    return Randomness.for_batch(seed, epoch, np.arange(n))


def test_mix_is_splitmix64():
    """The first outputs of the published generator for the seed 1234567."""
    state = np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * GOLDEN
    assert mix(state).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_an_image_draws_the_same_in_any_batch():
    whole = Randomness.for_batch(7, 3, np.array([8, 1, 6])).uniform((5, 2))
    alone = Randomness.for_batch(7, 3, np.array([6])).uniform((5, 2))
    np.testing.assert_array_equal(whole[2:], alone)


def test_a_longer_draw_begins_like_a_shorter_one():
    np.testing.assert_array_equal(batch().uniform((10,))[:, :4], batch().uniform((4,)))


def test_uniform_numbers_lie_in_0_to_1_and_are_uniform():
    u = batch(100).uniform((1000,))
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3


def test_every_bit_is_set_half_of_the_time():
    bits = batch(50).bits((400,)).ravel()
    for position in range(64):
        assert ((bits >> np.uint64(position)) & np.uint64(1)).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "other",
    [
        Randomness.for_batch(1, 0, np.arange(200)),
        Randomness.for_batch(-1, 0, np.arange(200)),
        Randomness.for_batch(0, 1, np.arange(200)),
        Randomness.for_batch(0, 0, np.arange(200) + 1),
        Randomness.for_batch(0, 0, np.arange(200)).child("conv1"),
    ],
    ids=["seed", "negative seed", "epoch", "image", "layer"],
)
def test_another_seed_epoch_image_or_layer_is_another_stream(other):
    here, there = Randomness.for_batch(0, 0, np.arange(200)).uniform((100,)), other.uniform((100,))
    assert abs(np.corrcoef(here.ravel(), there.ravel())[0, 1]) < 0.03
    assert not (here == there).any()


def test_neighbouring_numbers_and_images_are_not_correlated():
    u = batch(300).uniform((100,))
    assert abs(np.corrcoef(u[:, :-1].ravel(), u[:, 1:].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(u[:-1].ravel(), u[1:].ravel())[0, 1]) < 0.03


def test_children_depend_on_their_whole_path():
    rng = batch(3)
    streams = [
        rng,
        rng.child("a"),
        rng.child("b"),
        rng.child("a").child("b"),
        rng.child("b").child("a"),
        rng.child("a").child("a"),
    ]
    keys = {tuple(stream.keys.tolist()) for stream in streams}
    assert len(keys) == len(streams)


def test_no_two_images_of_a_large_data_set_share_a_key():
    assert len(np.unique(Randomness.for_batch(0, 0, np.arange(200_000)).keys)) == 200_000


@pytest.mark.parametrize("n", [0, 1, 2, 1000])
def test_a_permutation_is_a_permutation(n):
    np.testing.assert_array_equal(np.sort(permutation(0, 0, n)), np.arange(n))


def test_permutations_repeat_for_the_same_epoch_and_differ_for_others():
    np.testing.assert_array_equal(permutation(3, 4, 100), permutation(3, 4, 100))
    assert not np.array_equal(permutation(3, 4, 100), permutation(3, 5, 100))
    assert not np.array_equal(permutation(3, 4, 100), permutation(4, 4, 100))
    assert not np.array_equal(permutation(0, 1, 100), permutation(1, 0, 100))


def test_every_image_comes_first_about_equally_often():
    firsts = np.bincount([permutation(0, epoch, 5)[0] for epoch in range(500)], minlength=5)
    assert stats.chisquare(firsts).pvalue > 1e-3


def test_weights_are_drawn_by_seed_and_name():
    draws = {
        (seed, name): generator(seed, name).random(4).tolist() for seed in (0, 1) for name in ("a/kernel", "b/kernel")
    }
    assert generator(0, "a/kernel").random(4).tolist() == draws[0, "a/kernel"]
    assert len({tuple(draw) for draw in draws.values()}) == 4
