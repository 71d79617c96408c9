"""Receptive fields are where a change of the image changes the output, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import Sequential, explain
from pellucid.explain.grad_cam import enlarge
from pellucid.layers import AveragePooling2D, Concatenate, Conv2D, Dense, DepthwiseConv2D, Field, Flatten, Residual


@pytest.fixture(scope="module")
def model() -> Sequential:
    """All weights positive, so that every pixel that can have an influence has one. Even sizes: padding is uneven."""
    layers = [
        Conv2D(2, 3, 2, padding="same"),
        AveragePooling2D(2, 1),
        Residual([Conv2D(2, 3, padding="same", dilation_rate=2)]),
        Concatenate(
            [Conv2D(1, 1), [DepthwiseConv2D((3, 1), padding="same"), Conv2D(1, (1, 2), padding=((0, 0), (0, 1)))]]
        ),
        Conv2D(2, 2, padding=((1, 0), (0, 0))),
        Flatten(),
        Dense(2),
    ]
    model = Sequential(layers)
    model.build((24, 20, 1), seed=0)
    for weights in model.params.values():
        weights[...] = 0.1 + np.abs(weights)
    return model


@pytest.mark.parametrize(
    "layer", ["conv1", "average_pool1", "residual1/body/conv1", "residual1", "concatenate1", "conv2"]
)
def test_a_box_holds_exactly_the_pixels_that_matter(model, layer):
    x = np.ones((1, 24, 20, 1), np.float32)
    rows, columns = explain.activations(model, x, [layer])[layer].shape[1:3]
    for row, column in [(0, 0), (rows - 1, columns - 1), (rows // 2, columns // 2), (0, columns - 1)]:
        assert explain.receptive_field(model, layer, row, column) == where_it_matters(model, x, layer, row, column)


def where_it_matters(model, x, layer, row, column):
    """The box of the pixels whose change changes one output: all images with one pixel changed, as one batch."""
    height, width = x.shape[1:3]
    changed = np.repeat(x, height * width, axis=0)
    changed.reshape(height * width, -1)[np.arange(height * width), np.arange(height * width)] += 1
    before = explain.activations(model, x, [layer])[layer][0, row, column]
    after = explain.activations(model, changed, [layer])[layer][:, row, column]
    differs = (np.abs(after - before) > 1e-6).any(axis=1).reshape(height, width)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    return (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)


def test_dense_layers_see_everything(model):
    assert explain.receptive_field(model, "dense1", 0, 0) == (0, 0, 24, 20)


def test_what_lies_in_the_padding_is_cut_off_unless_asked_for(model):
    assert explain.receptive_field(model, "residual1", 0, 0)[:2] == (0, 0)
    whole = explain.receptive_field(model, "residual1", 0, 0, clip=False)
    assert whole.top < 0
    assert whole.left < 0


def test_maps_are_enlarged_so_that_each_place_keeps_its_centre():
    maps = np.zeros((1, 3, 3))
    maps[0, 1, 1] = 1
    field = Field(size=(5, 5), step=(4, 4), start=(2, 2))  # centres at 4.5, 8.5, 12.5: the pixels 4, 8, 12
    found = enlarge(maps, field, (16, 16))
    assert found[0].argmax() == 8 * 16 + 8
    np.testing.assert_allclose(found[0, 8, 4:13], [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0])
    assert enlarge(np.ones((2, 1, 1)), field, (4, 6)).shape == (2, 4, 6)
