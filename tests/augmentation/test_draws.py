"""What happens to an image depends on the seed, the epoch and its place in the data, and on nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid.augmentation import get, names
from pellucid.augmentation.draws import draw, draw_mixing

SHAPE = (12, 10, 3)
EVERYTHING = ",".join(name for name in names() if name not in ("flip", "mixup", "cutmix"))


def drawn(indices, text=EVERYTHING, seed=3, epoch=2):
    return draw(get(text), SHAPE, seed, epoch, np.asarray(indices))


def same(a, b):
    return all((x is None and y is None) or np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_same_image_in_another_batch_is_changed_alike():
    whole, part = drawn([5, 2, 9, 0]), drawn([9])
    assert all(np.array_equal(a[2:3], b) for a, b in zip(whole, part, strict=True))


@pytest.mark.parametrize("name", [name for name in names() if name not in ("mixup", "cutmix")])
def test_one_transformation_draws_the_same_beside_others(name):
    text = EVERYTHING.replace("alternating_flip", name) if name == "flip" else EVERYTHING
    alone, among = drawn(range(50), name), drawn(range(50), text)
    for a, b in [(alone.moves, among.moves), (alone.colors, among.colors), (alone.boxes, among.boxes)]:
        if a is not None:
            changed = (a != a[0]).any(axis=0)  # the columns this transformation fills
            np.testing.assert_array_equal(a[:, changed], b[:, changed])


@pytest.mark.parametrize("name", [name for name in names() if name not in ("mixup", "cutmix", "alternating_flip")])
@pytest.mark.parametrize("other", [{"seed": 4}, {"epoch": 3}])
def test_another_seed_or_epoch_draws_others(name, other):
    assert not same(drawn(range(50), name), drawn(range(50), name, **other))
    assert same(drawn(range(50), name), drawn(range(50), name))


def test_flips_are_fair():
    flips = drawn(range(4000), "flip").moves[:, 0]
    assert flips.mean() == pytest.approx(0.5, abs=0.04)


def test_alternating_flips_show_every_image_both_ways_in_two_epochs():
    flips = np.stack([drawn(range(4000), "alternating_flip", epoch=epoch).moves[:, 0] for epoch in range(4)])
    assert (flips[0] + flips[1] == 1).all()
    np.testing.assert_array_equal(flips[0], flips[2])
    np.testing.assert_array_equal(flips[1], flips[3])
    assert flips[0].mean() == pytest.approx(0.5, abs=0.04)
    assert (drawn(range(100), "alternating_flip", seed=9, epoch=0).moves[:, 0] != flips[0, :100]).any()


def test_crops_reach_every_place_equally_often():
    moves = drawn(range(9000), "crop:1").moves[:, 1:]
    places, counts = np.unique(moves, axis=0, return_counts=True)
    assert len(places) == 9
    assert counts.min() > 850


def test_factors_and_angles_stay_within_their_limits():
    colors = drawn(range(2000), "brightness:0.3,contrast:0.1,saturation:1").colors
    for column, part in enumerate((0.3, 0.1, 1)):
        assert 0.99 * part < abs(colors[:, column] - 1).max() <= part
    m = drawn(range(2000), "rotation:30").maps
    angles = np.degrees(np.arctan2(m[:, 1], m[:, 0]))
    assert 29.5 < abs(angles).max() <= 30.001
    sizes = 1 / np.hypot(*drawn(range(2000), "scale:0.5").maps[:, :2].T)
    assert (sizes.min(), sizes.max()) == (pytest.approx(1 / 1.5, rel=0.01), pytest.approx(1.5, rel=0.01))
    m = drawn(range(2000), "shift:0.25").maps
    assert abs(m[:, 2]).max() == pytest.approx(0.25 * 12, rel=0.01)
    assert abs(m[:, 5]).max() == pytest.approx(0.25 * 10, rel=0.01)


def test_cut_out_squares_have_their_centre_anywhere():
    boxes = drawn(range(3000), "cutout:4").boxes
    heights, widths = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    assert heights.max() == widths.max() == 4
    assert heights.min() == widths.min() == 2  # half of it beyond the border
    covered = np.zeros(SHAPE[:2])
    for top, left, bottom, right in boxes:
        covered[top:bottom, left:right] += 1
    assert covered.min() > 50


def mixing(indices, text, total=1000, **which):
    which = {"seed": 3, "epoch": 2} | which
    return draw_mixing(get(text), SHAPE, which["seed"], which["epoch"], np.asarray(indices), total)


@pytest.mark.parametrize("text", ["mixup:0.4", "cutmix:1", "mixup:1,cutmix:0.5"])
def test_the_partner_and_its_share_are_a_function_of_the_image_too(text):
    whole, part = mixing([5, 2, 9, 0], text), mixing([9], text)
    assert all(np.array_equal(a[2:3], b) for a, b in zip(whole, part, strict=True))
    assert not same(mixing(range(50), text), mixing(range(50), text, epoch=5))
    assert mixing(range(5), "flip,crop") is None


def test_shares_follow_the_beta_distribution():
    for alpha in (0.2, 1.0, 3.0):
        shares = mixing(range(4000), f"mixup:{alpha}").shares
        assert shares.mean() == pytest.approx(0.5, abs=0.03)
        assert shares.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.08)
    partners = mixing(range(4000), "mixup", total=10).partners
    assert np.bincount(partners, minlength=10).min() > 300


def test_a_label_gets_the_share_of_the_area_its_image_keeps():
    found = mixing(range(500), "cutmix")
    top, left, bottom, right = found.boxes.T
    np.testing.assert_allclose(found.shares, 1 - (bottom - top) * (right - left) / 120, rtol=1e-12)
    assert (found.weights == 1).all()
    assert 0.4 < found.shares.mean() < 0.75  # boxes that stick out are cut off


def test_of_both_kinds_of_mixing_one_is_chosen():
    found = mixing(range(1000), "mixup,cutmix")
    cut = (found.boxes[:, 2] > found.boxes[:, 0]) & (found.boxes[:, 3] > found.boxes[:, 1])
    assert ((found.weights == 1) | ~cut).all()
    assert 0.4 < cut.mean() < 0.6
