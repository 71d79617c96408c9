"""What every layer promises, checked record by record."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

import pellucid
from pellucid import backend, layers
from pellucid.layers import Layer
from pellucid.testing import assert_layer

from .records import RECORDS, Record, randomness

each_record = pytest.mark.parametrize("record", RECORDS, ids=str)


def test_every_layer_has_a_record():
    ours = {name for name, cls in Layer.classes.items() if cls.__module__.startswith("pellucid.")}
    without = ours - {record.name for record in RECORDS}
    assert not without, f"add a record to tests/layers/records.py for {sorted(without)}"


def test_every_public_layer_is_registered_under_its_name():
    public = {n: cls for n in layers.__all__ if inspect.isclass(cls := getattr(layers, n)) and issubclass(cls, Layer)}
    assert {n: cls for n, cls in public.items() if cls is not Layer}.items() <= Layer.classes.items()


def test_every_activation_has_a_record():
    assert set(layers.ACTIVATIONS) <= {record.case for record in RECORDS if record.name == "Activation"}


def test_layers_inherit_from_abstract_classes_only():
    """No layer quietly changes another one's behaviour; a model is a chain that learns, and nothing else."""
    ours = {cls for cls in Layer.classes.values() if cls.__module__.startswith("pellucid.")}
    assert {cls for cls in ours if cls.__base__ in ours} == {pellucid.Sequential}


@each_record
def test_gradients_and_rules_of_the_public_check(record):
    assert_layer(record.make(), record.input_shape, batch_size=3, samples=40)


@each_record
def test_output_has_the_known_shape(record):
    layer = record.build()
    assert layer.output_shape(record.input_shape) == record.output_shape
    assert layer(record.x()).shape == (3, *record.output_shape)


@each_record
def test_weights_have_the_known_shapes_as_declared(record):
    layer = record.build()
    assert {path: a.shape for path, a in (layer.params | layer.state).items()} == record.weights
    declared = record.make().declared(record.input_shape)
    assert {path: weight.shape for path, weight in declared.items()} == record.weights
    assert {path for path, weight in declared.items() if weight.trained} == layer.params.keys()
    assert layer.count_params() == sum(int(np.prod(declared[path].shape)) for path in layer.params)


@each_record
def test_config_is_plain_json_and_makes_the_same_layer(record):
    layer = record.make()
    config = json.loads(json.dumps(layer.config(), allow_nan=False))
    again = Layer.from_config(config)
    assert type(again) is type(layer)
    assert (again.config(), repr(again)) == (layer.config(), repr(layer))
    assert config == layer.config()


@each_record
def test_settings_are_stored_under_their_own_names(record):
    layer = record.make()
    assert all(hasattr(layer, name) for name in inspect.signature(type(layer)).parameters)
    assert set(layer.config()) == {"class", *inspect.signature(type(layer)).parameters}


@each_record
def test_clone_has_the_settings_and_none_of_the_weights(record):
    layer = record.build()
    clone = layer.clone()
    assert clone is not layer
    assert clone.config() == layer.config()
    assert not clone.built
    clone.build(record.input_shape)
    mine = {id(a) for a in (layer.params | layer.state).values()}
    assert not mine & {id(a) for a in (clone.params | clone.state).values()}


@each_record
def test_repr_is_the_code_that_makes_the_layer(record):
    names = {name: getattr(layers, name) for name in layers.__all__} | {"Sequential": pellucid.Sequential}
    layer = record.make()
    assert eval(repr(layer), names).config() == layer.config()


@each_record
def test_first_weights_depend_on_seed_and_path_only(record):
    def weights(seed, path=""):
        layer = record.make()
        layer.build(record.input_shape, seed=seed, path=path)
        return layer.params

    first, again, other, elsewhere = weights(0), weights(0), weights(1), weights(0, "deep/")
    for path, a in first.items():
        np.testing.assert_array_equal(a, again[path])
        if np.ptp(a) > 0:
            assert (a != other[path]).any()
            assert (a != elsewhere[path]).any()


@each_record
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_native_float32_agrees_with_the_reference_in_float64(record, training):
    def run(name, dtype):
        with backend.using(name):
            layer = record.build(dtype)
            y, cache = layer.forward(record.x(dtype=dtype), training=training, rng=randomness(4, 0, 9))
            dx, gradients = layer.backward(record.dy(dtype=dtype), cache)
            return {"y": y, "dx": dx} | gradients | {path: a.copy() for path, a in layer.state.items()}

    reference, native = run("numpy", np.float64), run("native", np.float32)
    assert reference.keys() == native.keys()
    for path, a in reference.items():
        assert native[path].dtype == np.float32
        assert native[path].shape == a.shape
        np.testing.assert_allclose(native[path], a, rtol=1e-4, atol=1e-5 * np.abs(a).max(), err_msg=path)


@each_record
def test_inference_looks_at_each_image_alone(record):
    layer = record.build()
    together = layer(record.x(5))
    alone = np.concatenate([layer(record.x(5)[n : n + 1]) for n in range(5)])
    np.testing.assert_allclose(alone, together, rtol=2e-6, atol=1e-6)


@each_record
def test_inference_calls_and_forward_agree_and_draw_nothing(record):
    layer = record.build()
    np.testing.assert_array_equal(layer(record.x()), layer.forward(record.x(), training=False, rng=None)[0])


def _without_batch_statistics(record: Record) -> bool:
    return not any("moving" in path for path in record.weights)


@pytest.mark.parametrize("record", [r for r in RECORDS if _without_batch_statistics(r)], ids=str)
def test_what_happens_to_an_image_in_training_does_not_depend_on_its_batch(record):
    layer = record.build()
    x = record.x(3)

    def run(order):
        return layer.forward(x[order], training=True, rng=randomness(*np.array([8, 1, 5])[order]))[0]

    together, turned = run([0, 1, 2]), run([2, 0])
    np.testing.assert_allclose(turned, together[[2, 0]], rtol=2e-6, atol=1e-6)


@each_record
def test_weights_can_change_their_precision(record):
    layer = record.build()
    before = {path: a.copy() for path, a in (layer.params | layer.state).items()}
    assert layer.astype(np.float64) is layer
    for path, a in (layer.params | layer.state).items():
        assert a.dtype == np.float64
        np.testing.assert_array_equal(a, before[path])
    with backend.using("numpy"):
        assert layer(record.x(dtype=np.float64)).dtype == np.float64


@each_record
def test_a_layer_without_weights_says_what_to_do(record):
    if record.weights:
        with pytest.raises(pellucid.PellucidError, match=r"no weights yet: build or compile the model"):
            record.make().forward(record.x())
