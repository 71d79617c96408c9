"""Containers: gradients at any depth, paths on the tape, names, shapes that do not fit."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from pellucid import PellucidError, backend
from pellucid.layers import (
    Activation,
    BatchNormalization,
    Chain,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    MaxPooling2D,
    ReLU,
    Residual,
    Softmax,
)

from .records import randomness

SHAPE = (6, 6, 2)
STEP = 1e-30


def network() -> Chain:
    """Every kind of container, inside every other kind."""
    inner = Residual([Conv2D(3, 3, padding="same", activation="tanh"), Dropout(0.3)], [Conv2D(3, 1)])
    branches = Concatenate([[Conv2D(3, 1), inner, ReLU()], MaxPooling2D(3, 1, "same"), Residual(Conv2D(2, 1))])
    block = Residual([branches, BatchNormalization(), Conv2D(2, 3, padding="same")])
    return Chain([block, Chain([MaxPooling2D(2), Activation("gelu")]), Flatten(), Dense(4, "softmax")])


def built(dtype=np.float64) -> Chain:
    net = network()
    net.build(SHAPE, seed=1, dtype=dtype)
    return net


def run(net, training=True, n=3):
    """(y, tape, dy) on the textbook, with random x and dy."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, *SHAPE))
    with backend.using("numpy"):
        y, tape = net.forward(x, training=training, rng=randomness(*range(n)))
    return y, tape, rng.standard_normal(y.shape)


def at(net, path):
    """The layer at a path."""
    for name in path.split("/"):
        net = dict(net.children())[name]
    return net


PATHS = [path for path, _ in run(built())[1].walk()]


def test_the_network_has_every_kind_of_path():
    assert {"residual1", "residual1/body/concatenate1/branch1/residual1/shortcut/conv1", "chain1/activation1"} <= {
        *PATHS
    }
    assert len(PATHS) == 22


@pytest.mark.parametrize("path", PATHS)
def test_the_gradient_by_the_output_of_any_layer_is_that_of_the_complex_step(path):
    net = built()
    _, tape, dy = run(net)
    found, _ = net.backward(dy, tape, until=path)
    assert found.shape == tape[path].output.shape

    nudged = built(np.complex128)
    layer = at(nudged, path)
    forward = layer.forward
    for seed in range(3):
        v = np.random.default_rng(seed).standard_normal(found.shape)

        def and_nudge(x, v=v, **options):
            y, cache = forward(x, **options)
            return y + 1j * STEP * v, cache

        layer.forward = and_nudge
        numeric = (run(nudged)[0] * dy).sum().imag / STEP
        np.testing.assert_allclose((found * v).sum(), numeric, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_stopping_early_gives_the_gradients_of_what_lies_behind(path):
    net = built()
    _, tape, dy = run(net)
    everything = net.backward(dy, tape)[1]
    behind = net.backward(dy, tape, until=path)[1]
    assert behind.keys() <= everything.keys()
    for name, gradient in behind.items():
        np.testing.assert_array_equal(gradient, everything[name])


def test_stopping_early_is_running_the_rest_of_the_network():
    net = built()
    _, tape, dy = run(net)
    for position, layer in enumerate(net.layers[:-1]):
        rest = Chain(net.layers[position + 1 :])
        with backend.using("numpy"):
            y, rest_tape = rest.forward(tape[layer.name].output, training=True, rng=randomness(0, 1, 2))
        np.testing.assert_array_equal(y, tape[-1].output)
        np.testing.assert_array_equal(rest.backward(dy, rest_tape)[0], net.backward(dy, tape, until=layer.name)[0])


def test_gradients_have_the_paths_and_shapes_of_the_parameters():
    net = built()
    _, tape, dy = run(net)
    dx, gradients = net.backward(dy, tape)
    assert dx.shape == (3, *SHAPE)
    assert {path: g.shape for path, g in gradients.items()} == {path: a.shape for path, a in net.params.items()}


def test_leaving_out_the_input_gradient_changes_no_other():
    net = built()
    _, tape, dy = run(net)
    dx, gradients = net.backward(dy, tape, input_gradient=False)
    assert dx is None
    for path, gradient in net.backward(dy, tape)[1].items():
        np.testing.assert_array_equal(gradients[path], gradient)


def test_layers_in_front_of_the_first_parameter_are_not_differentiated_for_nothing():
    net = Chain([MaxPooling2D(2), ReLU(), Flatten(), Dense(3)])
    net.build(SHAPE)
    y, tape = net.forward(np.ones((1, *SHAPE), np.float32))
    for layer in net.layers[:3]:
        layer.backward = None  # calling it would fail
    assert net.backward(np.ones_like(y), tape, input_gradient=False)[1].keys() == net.params.keys()


def test_the_tape_finds_outputs_by_path():
    net = built()
    y, tape, _ = run(net)
    assert tape["dense1"].output is y
    np.testing.assert_array_equal(tape["chain1"].output, tape["chain1/activation1"].output)
    branches = [tape[f"residual1/body/concatenate1/branch{n}"].output for n in (1, 2, 3)]
    np.testing.assert_array_equal(np.concatenate(branches, -1), tape["residual1/body/concatenate1"].output)
    assert tape[0] is tape["residual1"]


def test_unknown_paths_are_answered_with_the_nearest_one():
    net = built()
    _, tape, dy = run(net)
    with pytest.raises(PellucidError, match=r"The tape has no layer 'chian1'\. Did you mean 'chain1'"):
        tape["chian1"]
    for path, wrong in [("dense7", "dense1"), ("residual1/boddy", "body"), ("residual1/body/conv7", "conv1")]:
        with pytest.raises(PellucidError, match=f"has no layer .* Did you mean '{wrong}'"):
            net.backward(dy, tape, until=path)
    with pytest.raises(PellucidError, match="'dense1' has no layers inside"):
        net.backward(dy, tape, until="dense1/kernel")


def test_a_residual_is_the_sum_of_its_parts():
    net = built()
    x = np.random.default_rng(3).standard_normal((2, *SHAPE))
    block = net.layers[0]
    with backend.using("numpy"):
        np.testing.assert_array_equal(block(x), block.body(x) + x)


def test_without_activation_shares_the_weights_and_ends_in_logits():
    net = built()
    assert net.final_activation == "softmax"
    bare = net.without_activation()
    assert (bare.final_activation, net.final_activation) == (None, "softmax")
    x = np.random.default_rng(3).standard_normal((2, *SHAPE))
    with backend.using("numpy"):
        np.testing.assert_allclose(Softmax().forward(bare(x))[0], net(x), rtol=1e-12)
    bare.params["dense1/kernel"][...] = 0
    assert not net.params["dense1/kernel"].any()


@pytest.mark.parametrize(
    "last", [Dense(3, "softmax"), Softmax(), Activation("softmax"), Chain([Dense(3), Softmax()])], ids=repr
)
def test_the_last_activation_is_found_in_any_kind_of_last_layer(last):
    net = Chain([Flatten(), Dense(3), last.clone()])
    assert net.final_activation == "softmax"
    assert net.without_activation().final_activation is None


def test_linear_counts_as_no_activation():
    assert Dense(3, "linear").final_activation is None
    assert Chain([Dense(3), Activation("linear")]).final_activation is None
    assert Chain().final_activation is None


# Names and shapes ------------------------------------------------------------------------------------------------------


def test_layers_without_a_name_are_numbered_by_kind():
    net = Chain([Conv2D(1, 1), Conv2D(1, 1, name="conv2"), Conv2D(1, 1), Flatten(), Dense(2)])
    assert [layer.name for layer in net.layers] == ["conv1", "conv2", "conv3", "flatten1", "dense1"]


def test_a_name_stands_for_one_layer():
    layer = Dense(2)
    with pytest.raises(PellucidError, match="stands in the model twice; make a second layer"):
        Chain([layer, layer])
    for name in ("a", "a/b"):
        with pytest.raises(PellucidError, match=f"The layer name '{name}' is taken or contains a slash"):
            Chain([Dense(2, name="a"), Dense(2, name=name)])


def test_what_is_no_layer_is_refused():
    for wrong in ("conv", Dense, None):
        with pytest.raises(
            PellucidError, match=r"A model is made of layers, but got .* Write for example Conv2D\(32, 3\)"
        ):
            Chain([wrong])


def test_a_layer_added_later_asks_for_weights():
    net = built()
    net.add(Dense(2))
    assert not net.built
    with pytest.raises(PellucidError, match="no weights yet"):
        net.params  # noqa: B018


def test_a_shortcut_of_another_shape_is_explained():
    with pytest.raises(
        PellucidError, match=r"body of shape \(4, 4, 8\) to a shortcut of shape \(4, 4, 2\).*shortcut=Conv2D\(8"
    ):
        Residual(Conv2D(8, 3, padding="same")).output_shape((4, 4, 2))


def test_branches_of_different_sizes_are_explained():
    with pytest.raises(PellucidError, match="may differ in their last axis only"):
        Concatenate([Conv2D(8, 3), GlobalAveragePooling2D()]).output_shape((4, 4, 2))
    with pytest.raises(PellucidError, match="Concatenate got no branches; wanted a list"):
        Concatenate([])


def test_weights_of_another_network_change_nothing():
    net = built()
    before = {path: a.copy() for path, a in (net.params | net.state).items()}
    wrong_shape = before | {"dense1/bias": np.zeros(5)}
    missing = {path: a + 1 for path, a in before.items() if path != "dense1/bias"}
    for arrays, text in [(wrong_shape, r"dense1/bias has shape \(5,\)"), (missing, r"missing \['dense1/bias'\]")]:
        with pytest.raises(PellucidError, match=text):
            net.load_weights(arrays)
    for path, a in (net.params | net.state).items():
        np.testing.assert_array_equal(a, before[path])


def test_a_tape_read_once_lets_go_of_every_layer_as_soon_as_it_is_read():
    network = Chain(
        [
            Conv2D(3, 3, padding="same", name="first"),
            Residual([Conv2D(3, 3, padding="same", name="inner")]),
            Concatenate([Conv2D(2, 1), [ReLU(), Conv2D(2, 1)]]),
            ReLU(name="last"),
        ]
    )
    network.build((5, 5, 2))
    x = np.random.default_rng(0).standard_normal((2, 5, 5, 2)).astype(np.float32)
    y, tape = network.forward(x, training=True)
    expected = network.backward(y, tape)
    again = network.backward(y, network.forward(x, training=True)[1].once())
    np.testing.assert_array_equal(again[0], expected[0])
    for path, gradient in expected[1].items():
        np.testing.assert_array_equal(again[1][path], gradient)

    tape = network.forward(x, training=True)[1]
    held = [weakref.ref(entry.output) for _, entry in tape.walk()]
    assert all(reference() is not None for reference in held)
    network.backward(y, tape.once())
    assert not any(reference() is not None for reference in held)
