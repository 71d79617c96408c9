"""Augmentations are written as text, and what makes no sense is explained."""

from __future__ import annotations

import pytest

from pellucid import PellucidError
from pellucid.augmentation import (
    AlternatingFlip,
    Augmentation,
    Augmenter,
    Brightness,
    Crop,
    CutMix,
    Cutout,
    Flip,
    MixUp,
    Rotation,
    get,
    names,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Augmentation()),
        ("flip", Augmentation(Flip())),
        ("flip,crop:4,cutout:8", Augmentation(Flip(), Crop(4), Cutout(8))),
        (" Crop:2 ,  alternating-flip ", Augmentation(AlternatingFlip(), Crop(2))),
        ("rotation:7.5 brightness", Augmentation(Rotation(7.5), Brightness())),
        (["mixup:0.3", CutMix()], Augmentation(MixUp(0.3), CutMix(1.0))),
        (Flip(), Augmentation(Flip())),
        (None, Augmentation()),
    ],
)
def test_text_lists_and_objects_say_the_same(text, expected):
    augmentation = get(text)
    assert augmentation == expected
    assert hash(augmentation) == hash(expected)
    assert get(str(augmentation)) == augmentation
    assert get(augmentation) is augmentation
    assert bool(augmentation) == bool(list(expected))


@pytest.mark.parametrize("name", names())
def test_every_name_can_be_read_back_with_its_number(name):
    (one,) = get(name)
    assert one.name == name
    assert list(get(str(one))) == [one]
    assert len(type(one).__doc__) > 30


def test_the_order_they_are_listed_in_does_not_matter():
    assert str(get("cutout,crop,flip")) == str(get("flip,crop,cutout")) == "flip,crop:4,cutout:8"


WRONG = [
    ("flop", "There is no augmentation 'flop'. Did you mean 'flip'"),
    ("crop:x", "The augmentation was 'crop:x'; wanted crop:4: its number is pixels"),
    ("crop:1.5", "wanted crop:4"),
    ("flip:0.3", "wanted flip: it has no number"),
    ("crop:0", "crop got pixels=0; wanted a whole number of at least 1, such as 4"),
    ("crop:-1", "crop got pixels=-1"),
    ("shift:2", "shift got part=2.0; wanted a number above 0 and at most 1"),
    ("mixup:nan", "mixup got alpha=nan"),
    ("rotation:inf", "rotation got degrees=inf"),
    ("flip,flip", "has flip twice"),
    ("flip,alternating_flip", "which undo each other"),
    ([3], "made of transformations such as Flip"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[str(text) for text, _ in WRONG])
def test_what_makes_no_sense_is_explained(text, message):
    with pytest.raises(PellucidError, match=message):
        get(text)


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("saturation", (8, 8, 1), "saturation wants 3 channels but gets 1"),
        ("crop:8", (8, 9, 3), "crop:8 is too large for images of 8x9"),
        ("cutout:17", (8, 9, 3), "cutout:17 is too large"),
        ("flip", (12,), r"wants images \(H, W, C\) but gets \(12,\)"),
    ],
)
def test_images_that_do_not_fit_are_refused_before_training(text, shape, message):
    with pytest.raises(PellucidError, match=message):
        Augmenter(text, shape=shape)
