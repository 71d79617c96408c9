"""Asked again about few images, a model answers from recorded kernel calls: with the same numbers, whatever happens meanwhile."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pellucid import Sequential, backend, kernels, load, replies, zoo
from pellucid.errors import PellucidError
from pellucid.layers import Conv2D, Dense, Flatten

from .drawn import draw


@pytest.fixture(autouse=True)
def native():
    with backend.using("native"):
        yield


def images(model: Sequential, n: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, *model.input_shape)).astype(np.float32)


def recorded(model: Sequential) -> list:
    return [known.playback for known in model._replies._known.values() if known.playback is not None]


def forgetful(model: Sequential, x: np.ndarray) -> np.ndarray:
    """The answer of a model that has never been asked before."""
    return copy.deepcopy(model).predict(x)


def small() -> Sequential:
    model = Sequential([Conv2D(8, 3, activation="relu", padding="same"), Flatten(), Dense(3, activation="softmax")])
    model.build((8, 8, 3), seed=1)
    return model


@pytest.mark.parametrize("name", zoo.names())
def test_networks_of_the_zoo_answer_alike(name):
    model = zoo.build(name)
    x = images(model, 5)
    wanted = [forgetful(model, x[n : n + 1]) for n in range(5)]
    for again in range(2):
        for n in range(5):
            np.testing.assert_array_equal(model.predict(x[n : n + 1]), wanted[n], err_msg=f"image {n}, time {again}")
    assert len(recorded(model)) == 1
    np.testing.assert_allclose(np.concatenate(wanted), model.predict(np.tile(x, (60, 1, 1, 1)))[:5], atol=2e-5)


@pytest.mark.parametrize("seed", range(40))
def test_drawn_networks_answer_alike(seed):
    drawn = draw(1000 + seed)
    model = drawn.model()
    rng = np.random.default_rng(seed)
    for array in model.state.values():
        array += rng.uniform(0, 0.5, array.shape).astype(np.float32)
    for n in (1, len(drawn.x)):
        wanted = forgetful(model, drawn.x[:n]), forgetful(model, -drawn.x[:n])
        for _ in range(3):
            np.testing.assert_array_equal(model.predict(drawn.x[:n]), wanted[0], err_msg=str(drawn))
            np.testing.assert_array_equal(model.predict(-drawn.x[:n]), wanted[1], err_msg=str(drawn))


def test_every_change_of_a_weight_is_seen():
    model = zoo.build("resnet8")
    x = images(model)
    for path in [*model.params, *model.state]:
        for _ in range(3):
            model.predict(x)
        array = (model.params | model.state)[path]
        array.flat[array.size // 2] += 0.25
        np.testing.assert_array_equal(model.predict(x), forgetful(model, x), err_msg=path)
        model._replies = replies.Replies()  # or it would grow tired of weights that change all the time


def test_it_waits_longer_and_longer_for_weights_that_keep_changing(monkeypatch):
    made = []
    original = backend.playback
    monkeypatch.setattr(backend, "playback", lambda *arguments: made.append(1) or original(*arguments))
    model = small()
    x = images(model)
    for step in range(200):
        next(iter(model.params.values()))[...] += 0.01
        np.testing.assert_array_equal(model.predict(x), forgetful(model, x), err_msg=str(step))
    assert 5 <= len(made) <= 9  # after 1, 2, 4, 8 … answers
    for _ in range(200):
        model.predict(x)
    assert recorded(model)


def test_weights_that_are_replaced_or_trained_or_loaded_are_seen():
    model = small()
    model.compile("adam", "cce", input_shape=(8, 8, 3))
    x, y = images(model, 4), np.array([0, 1, 2, 0])

    def check(what: str) -> None:
        for _ in range(3):
            np.testing.assert_array_equal(model.predict(x), forgetful(model, x), err_msg=what)

    check("at first")
    model.train_on_batch(x, y)
    check("trained")
    model.layers[2].params["bias"] = np.full(3, 0.5, np.float32)
    check("replaced")
    model.load_weights({path: array * 0.5 for path, array in model.params.items()})
    check("loaded")
    model.build((8, 8, 3), seed=7)
    check("built again")


def test_weights_with_gaps_are_seen_to_change():
    model = small()
    x = images(model)
    bias = np.zeros(6, np.float32)[::-2]
    model.layers[2].params["bias"] = bias
    for value in (0.0, 0.5, 1.0):
        bias[1] = value
        for _ in range(3):
            np.testing.assert_array_equal(model.predict(x), forgetful(model, x))
    assert not recorded(model)


def test_read_only_weights_need_no_look_until_they_can_be_changed():
    model = small()
    x = images(model)
    model.predict(x)
    model.make_read_only()
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x), forgetful(model, x))
    assert recorded(model)
    (known,) = model._replies._known.values()
    assert not known.playback._digest.arrays  # nothing is read but what the kernels need
    bias = model.layers[2].params["bias"]
    with pytest.raises(ValueError, match="read-only"):
        bias[0] = 1
    bias.flags.writeable = True
    bias[0] = 1
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x), forgetful(model, x))


def test_a_view_of_weights_is_looked_at_even_if_it_is_read_only():
    model = small()
    x = images(model)
    owner = np.zeros(3, np.float32)
    model.layers[2].params["bias"] = owner[:]
    model.make_read_only()
    for value in (0.0, 0.5, 1.0):
        owner[1] = value
        for _ in range(3):
            np.testing.assert_array_equal(model.predict(x), forgetful(model, x))


def test_read_only_models_refuse_to_learn_and_their_copies_do_not(tmp_path):
    model = small()
    model.compile("adam", "cce", input_shape=(8, 8, 3))
    model.save(tmp_path / "model.safetensors")
    model = load(tmp_path / "model.safetensors", read_only=True)
    model.compile("adam", "cce")
    x, y = images(model, 4), np.array([0, 1, 2, 0])
    before = {path: array.copy() for path, array in model.params.items()}
    for change in (
        lambda: model.fit(x, y, verbose=0),
        lambda: model.train_on_batch(x, y),
        lambda: model.load_weights(before | model.state),
    ):
        with pytest.raises(PellucidError, match=r"read-only.*without read_only"):
            change()
    for path, array in model.params.items():
        np.testing.assert_array_equal(array, before[path])
    copied = copy.deepcopy(model)
    copied.fit(x, y, verbose=0)
    assert any((copied.params[path] != before[path]).any() for path in before)


def test_weights_that_follow_from_the_data_are_computed_before():
    model = zoo.build("speed_small")
    model.make_read_only()
    with pytest.raises(PellucidError, match="read-only"):
        model.adapt_to(images(model, 4))


def test_each_shape_has_its_own_and_only_some_are_kept():
    model = small()
    for _ in range(3):
        for n in range(1, 8):
            x = images(model, n, seed=n)
            np.testing.assert_array_equal(model.predict(x), forgetful(model, x))
    assert len(model._replies._known) <= replies.SHAPES


def test_parts_of_a_batch_are_answered_alike():
    model = small()
    x = images(model, 11)
    wanted = np.concatenate([forgetful(model, x[:4]), forgetful(model, x[4:8]), forgetful(model, x[8:])])
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x, batch_size=4), wanted)


def test_many_images_are_answered_in_parts():
    model = small()
    x = images(model, 3 * replies.PART_IMAGES + 9)
    with backend.using("numpy"):
        wanted = forgetful(model, x)
    for _ in range(3):
        np.testing.assert_allclose(model.predict(x), wanted, atol=1e-6)
    assert sorted(key[1][0] for key in model._replies._known) == [9, replies.PART_IMAGES]
    assert len(recorded(model)) == 2
    assert model.predict(x, batch_size=5).shape == wanted.shape


def test_parts_are_smaller_where_more_lies_between_the_layers(monkeypatch):
    model = small()
    between = 4 * (8 * 8 * 8 + 8 * 8 * 8 + 3)
    for part in (256, 64, 32, 16):
        monkeypatch.setattr(replies, "PART_BYTES", part * between)
        model._replies = replies.Replies()
        assert model._replies.at_once(model, 1000) == part
    assert model._replies.at_once(model, 5) == 16


def test_many_images_and_large_models_are_asked_as_ever(monkeypatch):
    model = small()
    monkeypatch.setattr(replies, "PART_WEIGHTS", 100)
    for _ in range(3):
        model.predict(images(model, replies.MOST_IMAGES + 1))
    assert not model._replies._known
    model = small()
    monkeypatch.setattr(replies, "MOST_BYTES", 100)
    for _ in range(3):
        model.predict(images(model))
    assert not model._replies._known


def test_settings_that_change_what_runs_are_seen():
    model = zoo.build("cnn2")
    x = images(model)
    before, winograd = kernels.get_num_threads(), kernels.winograd_enabled()
    try:
        first = [model.predict(x) for _ in range(3)][-1]
        kernels.set_num_threads(before + 1)
        np.testing.assert_array_equal(model.predict(x), first)
        kernels.set_winograd(False)
        without = forgetful(model, x)
        for _ in range(3):
            np.testing.assert_array_equal(model.predict(x), without)
        with backend.using("numpy"):
            np.testing.assert_allclose(model.predict(x), first, atol=1e-5)
    finally:
        kernels.set_num_threads(before)
        kernels.set_winograd(winograd)


def test_several_python_threads_get_their_own_answers():
    model = small()
    x = [images(model, seed=n) for n in range(16)]
    wanted = [forgetful(model, one) for one in x]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model.predict, x * 40))
    for n, found in enumerate(answers):
        np.testing.assert_array_equal(found, wanted[n % 16])


def test_several_python_threads_may_ask_about_many_shapes_while_weights_change():
    model = small()
    x = [images(model, n) for n in range(1, 9)]
    bias = model.layers[2].params["bias"]

    def ask(number: int) -> bool:
        if number % 7 == 0:
            bias[...] += 0.01
        return model.predict(x[number % 8]).shape == (number % 8 + 1, 3)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(800)))
    for one in x:
        np.testing.assert_array_equal(model.predict(one), forgetful(model, one))


def test_a_model_that_has_answered_is_copied_and_pickled():
    model = small()
    x = images(model)
    wanted = [model.predict(x) for _ in range(3)][-1]
    for twin in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for _ in range(3):
            np.testing.assert_array_equal(twin.predict(x), wanted)


def test_other_precisions_are_asked_as_ever():
    model = small().twin(np.float64)
    x = images(model).astype(np.float64)
    wanted = model.predict(x)
    assert wanted.dtype == np.float64
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x), wanted)
