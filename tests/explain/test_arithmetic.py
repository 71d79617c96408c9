"""One number worked out by hand is the number the layer put out; all of them added up are its gradients."""

from __future__ import annotations

import numpy as np
import pytest

from pellucid import explain
from pellucid.explain.network import find_layer
from pellucid.layers import Chain

from .models import MODELS, images

X = images(1)
WINDOWS = {
    "plain": ["conv1", "max_pool1", "conv2"],
    "tangled": [
        "conv1",
        "residual1/body/conv1",
        "residual1/body/conv2",
        "concatenate1/branch1",
        "concatenate1/branch2/max_pool1",
        "concatenate1/branch2/depthwise_conv1",
        "conv2",
        "average_pool1",
    ],
}
CASES = [(name, layer) for name, layers in WINDOWS.items() for layer in layers]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[1])
def steps(request):
    """Every output of a layer, step by step: the model, the layer's path and the steps."""
    name, layer = request.param
    model = MODELS[name]().astype(np.float64)
    rows, columns, filters = explain.activations(model, X, [layer])[layer].shape[1:]
    places = np.ndindex(rows, columns, filters)
    return (
        model,
        layer,
        [explain.arithmetic(model, X, layer, row=i, column=j, filter=c, classes=2) for i, j, c in places],
    )


def test_products_and_bias_add_up_to_the_layers_own_output(steps):
    model, layer, all_steps = steps
    output = explain.activations(model, X, [layer])[layer][0]
    for step in all_steps:
        assert step.output == pytest.approx(output[step.row, step.column, step.filter], rel=1e-12)
        if step.kernel is not None:
            np.testing.assert_array_equal(step.products, step.patch * step.kernel)
            assert step.total == pytest.approx(step.products.sum() + step.bias)
        expected = {"relu": max(step.total, 0.0), "leaky_relu": max(step.total, 0.3 * step.total)}
        assert step.output == pytest.approx(expected.get(step.activation, step.total), rel=1e-12, abs=1e-14)
        assert step.maps[step.row, step.column] == step.output


def test_patches_are_cut_from_what_the_layer_was_fed(steps):
    model, layer, all_steps = steps
    fed = explain.features(model, X, layer).reshape(all_steps[0].input.shape)
    for step in all_steps[::7]:
        np.testing.assert_array_equal(step.input, fed)
        for i, j in np.argwhere(step.inside):
            pixel = fed[step.rows[i], step.columns[j], step.channels.start : step.channels.stop]
            np.testing.assert_array_equal(step.patch[i, j], pixel)
        assert not step.patch[~step.inside].any()


def test_what_goes_back_adds_up_to_the_gradients_of_the_layer(steps):
    model, layer, all_steps = steps
    network = model.without_activation()
    _, tape = Chain.forward(network, model.to_input(X))
    _, gradients = Chain.backward(network, np.eye(5)[[2]], tape)
    by_output, _ = Chain.backward(network, np.eye(5)[[2]], tape, until=layer)
    place = find_layer(model, layer)
    dx, _ = place.layer.backward(by_output, tape[layer].cache)
    dpatches = np.zeros_like(all_steps[0].input)
    dkernels: dict[int, np.ndarray] = {}
    for step in all_steps:
        assert step.gradient.dy == pytest.approx(by_output[0, step.row, step.column, step.filter], rel=1e-12, abs=1e-15)
        for i, j in np.argwhere(step.inside):
            where = (step.rows[i], step.columns[j], slice(step.channels.start, step.channels.stop))
            dpatches[where] += step.gradient.dpatch[i, j]
        if step.kernel is not None:
            dkernels[step.filter] = dkernels.get(step.filter, 0) + step.gradient.dkernel
    np.testing.assert_allclose(dpatches, dx[0], rtol=1e-9, atol=1e-12)
    if dkernels:
        expected = gradients[f"{layer}/kernel"]
        expected = expected.reshape(*expected.shape[:2], -1, len(dkernels))
        for filter, dkernel in dkernels.items():
            np.testing.assert_allclose(dkernel, expected[..., filter], rtol=1e-9, atol=1e-12)


def test_the_winner_of_max_pooling_is_the_largest_and_gets_the_whole_gradient():
    model = MODELS["plain"]()
    step = explain.arithmetic(model, X, "max_pool1", row=1, column=0, filter=3)
    assert step.patch[step.winner][0] == step.patch.max() == step.output
    assert step.gradient.dpatch[step.winner][0] == step.gradient.dy
    assert np.count_nonzero(step.gradient.dpatch) == 1
    assert "The winner is marked" in str(step)


def test_without_a_place_the_strongest_output_is_worked_out():
    model = MODELS["plain"]()
    maps = explain.activations(model, X, ["conv2"])["conv2"][0]
    step = explain.arithmetic(model, X, "conv2")
    assert step.output == pytest.approx(maps.max(), rel=1e-5)
    step = explain.arithmetic(model, X, "conv2", filter=4)
    assert step.output == pytest.approx(maps[..., 4].max(), rel=1e-5)
    step = explain.arithmetic(model, X, "conv2", row=1)
    assert step.output == pytest.approx(maps[1].max(), rel=1e-5)


def test_the_words_hold_the_numbers():
    step = explain.arithmetic(MODELS["plain"](), X, "conv1", row=2, column=1, filter=3, classes="cow")
    text = str(step)
    assert text.startswith("conv1, filter 3, output at row 2, column 1: convolution over 3x3 numbers of 3 channels")
    assert "rows 2 to 4 and columns 1 to 3" in text
    for value in (step.patch[0, 0, 0], step.kernel[1, 2, 1], step.products[2, 2, 2]):
        assert f"{value:+.3f}" in text
    assert f"{step.total:+.4f}" in text
    assert ("the pattern is there" in text) == (step.output > 0)
    assert "the logit of cow" in text


def test_the_words_of_an_output_that_relu_declines_say_that_nothing_goes_back():
    model = MODELS["plain"]()
    maps = explain.activations(model, X, ["conv1"])["conv1"][0]
    row, column, filter = np.argwhere(maps == 0)[0]
    step = explain.arithmetic(model, X, "conv1", row=int(row), column=int(column), filter=int(filter))
    assert step.gradient.dz == 0
    assert "declined" in str(step)
    assert "nothing goes back" in str(step)


def test_padding_is_named_and_many_channels_are_summed():
    step = explain.arithmetic(MODELS["plain"](), X, "conv2", row=0, column=0, filter=0)
    assert step.inside.tolist()[0] == [False] * 3
    assert "partly in the padding" in str(step)
    assert "sum of the 3 other channels" in str(step)
