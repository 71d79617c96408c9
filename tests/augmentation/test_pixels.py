"""What augmentation does to pixels: by hand, against SciPy, and compiled bit for bit like the reference."""

from __future__ import annotations

import os

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import Preprocessing, backend
from pellucid.augmentation import Augmenter, augment, get, names
from pellucid.augmentation.augmenter import mix_targets, normalised
from pellucid.augmentation.draws import draw, draw_mixing
from pellucid.errors import ShapeError
from pellucid.kernels import augment as compiled
from pellucid.kernels import get_num_threads, set_num_threads
from pellucid.ops.augment import Draws, render

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "40"))
ONE, ZERO = np.ones(1, np.float32), np.zeros(1, np.float32)


def ramp(h=4, w=5):
    return np.arange(h * w, dtype=np.uint8).reshape(1, h, w, 1)


def rendered(x, moves=(0, 0, 0), maps=None, colors=None, boxes=None, scale=ONE, shift=ZERO):
    rest = [None if a is None else np.array([a], t) for a, t in ((maps, "f4"), (colors, "f4"), (boxes, "i8"))]
    draws = Draws(np.zeros(1, np.int64), np.array([moves]), *rest)
    return render(x, draws, np.resize(scale, x.shape[-1]), np.resize(shift, x.shape[-1]))[0]


def test_mirrored_moved_and_reflected_by_hand():
    x = ramp()
    np.testing.assert_array_equal(rendered(x)[..., 0], x[0, ..., 0])
    np.testing.assert_array_equal(rendered(x, (1, 0, 0))[..., 0], x[0, :, ::-1, 0])
    padded = np.pad(x[0, ..., 0], 3, mode="reflect")
    for mirrored in (0, 1):
        for down in (-3, 0, 2):
            for right in (-2, 1, 3):
                window = padded[3 + down : 7 + down, 3 + right : 8 + right]
                wanted = window if not mirrored else padded[:, ::-1][3 + down : 7 + down, 3 - right : 8 - right]
                np.testing.assert_array_equal(rendered(x, (mirrored, down, right))[..., 0], wanted)


@pytest.mark.parametrize("text", ["rotation:40", "scale:0.5", "shift:0.3", "rotation,scale,shift,flip,crop:2"])
def test_maps_between_pixels_are_scipys(text):
    x = np.random.default_rng(0).integers(256, size=(3, 9, 12, 3), dtype=np.uint8)
    draws = draw(get(text), (9, 12, 3), 0, 1, np.arange(3))
    found = render(x, draws, np.ones(3, np.float32), np.zeros(3, np.float32))
    for image, m, y in zip(x.astype(np.float64), draws.maps.astype(np.float64), found, strict=True):
        for c in range(3):
            wanted = scipy.ndimage.affine_transform(
                image[..., c], m.reshape(2, 3)[:, :2], m.reshape(2, 3)[:, 2], order=1, mode="mirror"
            )
            np.testing.assert_allclose(y[..., c], wanted, atol=2e-3)


@pytest.mark.parametrize("almost_nothing", ["rotation:0.0001", "scale:0.000001", "shift:0.000001"])
def test_a_map_that_does_almost_nothing_leaves_flips_and_crops_as_they_are(almost_nothing):
    x = np.random.default_rng(0).integers(256, size=(20, 7, 10, 3), dtype=np.uint8)

    def seen(text):
        return Augmenter(text, shape=(7, 10, 3))(x, np.zeros(20), np.arange(20), 1)[0]

    np.testing.assert_allclose(seen(f"flip,crop:3,{almost_nothing}"), seen("flip,crop:3"), atol=0.05)


def test_shifts_move_the_picture_and_turns_keep_its_centre():
    m = draw(get("rotation:90,scale:1"), (7, 9, 1), 0, 0, np.arange(50)).maps
    np.testing.assert_allclose(m.reshape(50, 2, 3) @ np.array([3, 4, 1]), np.tile([3, 4], (50, 1)), atol=1e-4)
    m = draw(get("shift:0.5"), (7, 9, 1), 0, 0, np.arange(50)).maps.reshape(50, 2, 3)
    np.testing.assert_array_equal(m[:, :, :2], np.tile(np.eye(2), (50, 1, 1)))


def test_a_quarter_turn_and_a_doubling_by_hand():
    x = np.random.default_rng(0).integers(256, size=(1, 5, 5, 1), dtype=np.uint8)
    np.testing.assert_array_equal(rendered(x, maps=(0, 1, 0, -1, 0, 4))[..., 0], np.rot90(x[0, ..., 0], -1)[::-1, ::-1])
    doubled = rendered(x, maps=(0.5, 0, 1, 0, 0.5, 1))[..., 0]
    np.testing.assert_array_equal(doubled[::2, ::2], x[0, 1:4, 1:4, 0])
    np.testing.assert_array_equal(doubled[1, 1], x[0, 1:3, 1:3, 0].mean())


def test_colors_by_hand():
    x = np.array([[[[100, 50, 200], [20, 40, 60]]]], np.uint8)
    weights = np.array([0.299, 0.587, 0.114])
    brighter = rendered(x, colors=(1.5, 1, 1))
    np.testing.assert_allclose(brighter, np.minimum(1.5 * x[0], 255), rtol=1e-6)
    grey = (x[0] @ weights).mean()
    np.testing.assert_allclose(rendered(x, colors=(1, 0.25, 1)), 0.25 * x[0] + 0.75 * grey, rtol=1e-6)
    without = rendered(x, colors=(1, 1, 0))
    np.testing.assert_allclose(without, np.repeat((x[0] @ weights)[..., None], 3, axis=-1), rtol=1e-6)
    floats = rendered(x.astype(np.float32) / 100, colors=(2, 1, 1))
    np.testing.assert_allclose(floats, x[0] / 50, rtol=1e-6)  # numbers that are no pixels are not cut off


def test_what_is_cut_out_is_0_for_the_network_and_the_mean_colour_for_people():
    x = np.random.default_rng(0).integers(256, size=(1, 6, 6, 3), dtype=np.uint8)
    mean, std = np.array([0.501, 0.4, 0.32], np.float32), np.array([0.2, 0.25, 0.3], np.float32)
    y = rendered(x, boxes=(1, 2, 4, 9), scale=1 / 255 / std, shift=mean / std)
    np.testing.assert_allclose(
        np.delete(y, slice(1, 4), 0), np.delete((x[0] / 255 - mean) / std, slice(1, 4), 0), atol=1e-5
    )
    assert not y[1:4, 2:].any()
    assert y[1:4, :2].all()
    preprocessing = Preprocessing((6, 6), 3, 1 / 255, tuple(mean.tolist()), tuple(std.tolist()))
    seen = augment(np.repeat(x, 20, axis=0), "cutout:6", preprocessing=preprocessing)
    np.testing.assert_array_equal(seen[0, 3, 3], np.round(255 * mean))


def test_without_transformations_pixels_become_input_as_by_preprocessing():
    x = np.random.default_rng(0).integers(256, size=(7, 6, 5, 3), dtype=np.uint8)
    preprocessing = Preprocessing.fit(x)
    for name in ("numpy", "native"):
        with backend.using(name):
            augmenter = Augmenter("", shape=(6, 5, 3), preprocessing=preprocessing)
            indices = np.array([3, 6, 0])
            np.testing.assert_array_equal(augmenter(x, np.arange(7), indices, 0)[0], preprocessing(x[indices]))
            for part in (x, x[::2], x[:, ::-1]):
                np.testing.assert_array_equal(normalised(part, preprocessing), preprocessing(part))
            floats = x.astype(np.float64)
            np.testing.assert_array_equal(normalised(floats, preprocessing), preprocessing(floats))
            with pytest.raises(ShapeError, match="Got images of shape"):
                normalised(x[:, :3], preprocessing)


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(2, 17)), draw(st.integers(2, 17)), draw(st.sampled_from([1, 2, 3, 3])))
    chosen = draw(st.lists(st.sampled_from(names()), unique=True))
    if "flip" in chosen and "alternating_flip" in chosen:
        chosen.remove("flip")
    if shape[2] != 3 and "saturation" in chosen:
        chosen.remove("saturation")
    numbers = {"crop": ":1", "cutout": ":3", "shift": ":0.9", "rotation": ":180", "scale": ":2"}
    text = ",".join(name + numbers.get(name, "") for name in chosen)
    x = rng.integers(256, size=(9, *shape), dtype=np.uint8)
    if draw(st.booleans()):
        x = rng.standard_normal(x.shape).astype(np.float32)
    return text, x, rng.integers(9, size=draw(st.integers(1, 6))), draw(st.integers(0, 5))


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_the_compiled_pass_has_the_bits_of_the_reference(case):
    text, x, indices, epoch = case
    preprocessing = Preprocessing.fit(x)
    augmenter = Augmenter(text, shape=x.shape[1:], seed=1, preprocessing=preprocessing, classes=3)
    with backend.using("numpy"):
        wanted, targets = augmenter(x, np.arange(9) % 3, indices, epoch)
    before = get_num_threads()
    try:
        for threads in (1, 2, 3):
            set_num_threads(threads)
            found, same_targets = augmenter(x, np.arange(9) % 3, indices, epoch)
            if "contrast" in text and x.dtype == np.float32:  # sums of floats depend on their order, in the last place
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
            else:
                assert found.tobytes() == wanted.tobytes()
            np.testing.assert_array_equal(same_targets, targets)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize("layout", ["float64", "channels first", "every other", "read only"])
def test_other_layouts_and_types_give_the_same(layout):
    x = np.random.default_rng(0).integers(256, size=(10, 8, 6, 3), dtype=np.uint8)
    wanted, _ = Augmenter("flip,crop:2", shape=(8, 6, 3))(x, np.arange(10), np.array([1, 7]), 0)
    first = layout == "channels first"
    given = {
        "float64": lambda: x.astype(np.float64),
        "channels first": lambda: np.ascontiguousarray(x.transpose(0, 3, 1, 2)),
        "every other": lambda: np.repeat(x, 2, axis=2)[:, :, ::2],
        "read only": lambda: x.copy(),
    }[layout]()
    given.flags.writeable = False
    augmenter = Augmenter("flip,crop:2", shape=(8, 6, 3), channels_first=first)
    found, _ = augmenter(given, np.arange(10), np.array([1, 7]), 0)
    np.testing.assert_array_equal(found, wanted)


def test_drawn_for_a_whole_epoch_or_batch_by_batch_is_the_same(monkeypatch):
    x, y = np.random.default_rng(0).integers(256, size=(30, 6, 6, 3), dtype=np.uint8), np.arange(30) % 3

    def batches():
        augmenter = Augmenter("flip,crop:2,rotation,contrast,cutout:3,mixup,cutmix", shape=(6, 6, 3), classes=3)
        return [augmenter(x, y, np.array(indices), epoch) for epoch in (0, 1, 0) for indices in ([3, 29], [0, 7])]

    at_once = batches()
    monkeypatch.setattr("pellucid.augmentation.augmenter._LARGEST_TABLE", 0)
    for (a, targets), (b, others) in zip(at_once, batches(), strict=True):
        assert a.tobytes() == b.tobytes()
        np.testing.assert_array_equal(targets, others)


def test_compiled_code_does_not_read_beyond_the_data():
    x = np.zeros((3, 4, 4, 1), np.uint8)
    draws = draw(get("flip"), (4, 4, 1), 0, 0, np.array([0, 3]))
    with pytest.raises(IndexError):
        compiled.render(x, draws, ONE, ZERO)


def test_mixed_images_and_labels_by_hand():
    x = np.random.default_rng(0).integers(256, size=(20, 6, 6, 1), dtype=np.uint8)
    y = np.arange(20) % 4
    augmenter = Augmenter("mixup,cutmix", shape=(6, 6, 1), classes=4)
    inputs, targets = augmenter(x, y, np.arange(20), 0)
    found = draw_mixing(get("mixup,cutmix"), (6, 6, 1), 0, 0, np.arange(20), 20)
    for n in range(20):
        partner = found.partners[n]
        wanted = found.weights[n] * x[n] + (1 - found.weights[n]) * x[partner]
        top, left, bottom, right = found.boxes[n]
        wanted[top:bottom, left:right] = x[partner, top:bottom, left:right]
        np.testing.assert_allclose(inputs[n], wanted, rtol=1e-6, atol=1e-4)
        rows = np.eye(4)
        share = found.shares[n]
        np.testing.assert_allclose(targets[n], share * rows[y[n]] + (1 - share) * rows[y[partner]], rtol=1e-6)


def test_targets_of_every_kind_are_mixed():
    share = np.array([0.25, 1.0])
    np.testing.assert_allclose(mix_targets(np.array([1, 0]), np.array([0, 1]), share, 1), [0.25, 0])  # yes or no
    np.testing.assert_allclose(
        mix_targets(np.array([[1], [0]]), np.array([[0], [1]]), share, 2), [[0.75, 0.25], [1, 0]]
    )
    np.testing.assert_allclose(mix_targets(np.array([2.0, 4.0]), np.array([6.0, 0.0]), share, None), [5, 4])
    rows = np.array([[0.5, 0.5], [1, 0]])
    np.testing.assert_allclose(mix_targets(rows, rows[::-1], share, 2), [[0.875, 0.125], [1, 0]])


def test_an_augmenter_refuses_other_images():
    with pytest.raises(ShapeError, match=r"made for images of \(8, 6, 3\) but gets \(6, 8, 3\)"):
        Augmenter("flip", shape=(8, 6, 3))(np.zeros((2, 6, 8, 3), np.uint8), np.zeros(2), np.arange(2), 0)
