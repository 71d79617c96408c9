"""Dropout: what is dropped depends on the seed, the epoch, the image and the layer, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.ops import dropout, dropout_backward, spatial_dropout
from pellucid.randomness import Randomness


def mask(indices, *, seed=0, epoch=0, layer="dropout1", rate=0.5, shape=(6, 6, 4)):
    rng = Randomness.for_batch(seed, epoch, np.array(indices)).child(layer)
    y, _ = dropout(np.ones((len(indices), *shape)), rate=rate, rng=rng)
    return y != 0


def test_the_same_image_in_another_batch_is_dropped_alike():
    whole = mask([5, 2, 9, 0])
    np.testing.assert_array_equal(mask([9]), whole[2:3])
    np.testing.assert_array_equal(mask([0, 5]), whole[[3, 0]])
    np.testing.assert_array_equal(mask([5, 2, 9, 0]), whole)


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}, {"layer": "dropout2"}])
def test_another_seed_epoch_or_layer_drops_others(other):
    agreement = (mask([3, 4]) == mask([3, 4], **other)).mean()
    assert 0.35 < agreement < 0.65  # independent masks agree in one half


def test_images_of_a_batch_are_dropped_differently():
    kept = mask([0, 1])
    assert 0.3 < (kept[0] == kept[1]).mean() < 0.7


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_rate_is_what_is_dropped_on_average(rate):
    kept = mask(range(20), rate=rate, shape=(10, 10, 10))
    assert kept.mean() == pytest.approx(1 - rate, abs=5 * np.sqrt(rate * (1 - rate) / kept.size))


def test_a_rate_of_zero_drops_nothing():
    assert mask([0, 1], rate=0.0).all()


def test_spatial_dropout_drops_whole_channels_of_single_images():
    rng = Randomness.for_batch(0, 0, np.arange(50)).child("spatial_dropout1")
    y, _ = spatial_dropout(np.ones((50, 4, 3, 20)), rate=0.3, rng=rng)
    kept = y[:, 0, 0]
    np.testing.assert_array_equal(y, np.broadcast_to(kept[:, None, None], y.shape))
    assert set(np.unique(kept).round(12)) == {0, round(1 / 0.7, 12)}
    assert (kept != 0).mean() == pytest.approx(0.7, abs=5 * np.sqrt(0.21 / kept.size))
    assert len({row.tobytes() for row in kept}) == 50


def test_what_is_kept_is_scaled_up_and_the_gradient_by_the_same():
    x = np.random.default_rng(0).normal(size=(3, 5, 4))
    y, cache = dropout(x, rate=0.75, rng=Randomness.for_batch(0, 0, np.arange(3)))
    kept = y != 0
    np.testing.assert_allclose(y, np.where(kept, 4 * x, 0), rtol=1e-15)
    np.testing.assert_array_equal(dropout_backward(np.ones_like(x), cache), np.where(kept, 4.0, 0.0))


def test_the_mask_does_not_depend_on_the_values_or_their_precision():
    rng = Randomness.for_batch(0, 0, np.arange(2))
    a, _ = dropout(np.ones((2, 50)), rate=0.5, rng=rng)
    b, _ = dropout(-3 * np.ones((2, 50), np.float32), rate=0.5, rng=rng)
    np.testing.assert_array_equal(a != 0, b != 0)
