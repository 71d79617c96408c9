"""Steps of a training are played from recorded kernel calls: bit for bit the same, whatever changes between two steps."""

from __future__ import annotations

import contextlib
import copy
import functools
import threading
from collections.abc import Callable

import numpy as np
import pytest

from pellucid import PellucidError, Sequential, backend, kernels, repeats, zoo
from pellucid.kernels import buffers
from pellucid.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
    ReLU,
)
from pellucid.optimizers import SGD

from .drawn import draw

N = 24


@pytest.fixture(autouse=True)
def native():
    with backend.using("native"):
        yield


class Never(repeats.Repeats):
    """Every step is taken by the layers themselves."""

    @contextlib.contextmanager
    def way(self, model, network, without):
        yield functools.partial(repeats.eager, network, without)


def batches(model: Sequential, steps: int, n: int = N, classes: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    shape = (n, *model.input_shape)
    return [(rng.standard_normal(shape).astype(np.float32), rng.integers(0, classes, n)) for _ in range(steps)]


def proved(model: Sequential) -> list:
    return [known for known in model._repeats._known.values() if known.proved]


def small() -> Sequential:
    model = Sequential(
        [
            Conv2D(16, 3, padding="same", use_bias=False),
            BatchNormalization(),
            ReLU(),
            Conv2D(32, 3, activation="relu", padding="same"),
            MaxPooling2D(2),
            Dropout(0.25),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile(SGD(0.05, momentum=0.9), "scce", input_shape=(16, 16, 3), seed=4)
    return model


def both(
    make: Callable[[], Sequential], steps: int = 7, change: Callable[[Sequential, int], None] = lambda model, step: None
) -> Sequential:
    """Train one model that plays its steps and one that does not, change both alike before each step, compare all they have."""
    playing, asking = make(), make()
    asking._repeats = Never()
    for step, (x, y) in enumerate(batches(playing, steps)):
        results = []
        for model in (playing, asking):
            change(model, step)
            results.append(model.train_step(x, y, epoch=step))
        assert results[0] == results[1], f"step {step}"
        for path, array in (playing.params | playing.state).items():
            np.testing.assert_array_equal(array, (asking.params | asking.state)[path], err_msg=f"{path}, step {step}")
    return playing


@pytest.mark.parametrize("name", zoo.names())
def test_networks_of_the_zoo_learn_alike_and_are_all_played(name):
    def make():
        model = zoo.build(name)
        model.compile(SGD(0.01, momentum=0.9), "scce", input_shape=model.input_shape)
        model.adapt_to(np.random.default_rng(1).standard_normal((8, *model.input_shape)).astype(np.float32))
        return model

    model = make()
    images = 4 if np.prod(model.input_shape) > 2000 else N
    playing, asking = make(), make()
    asking._repeats = Never()
    for x, y in batches(model, 5, images):
        assert playing.train_step(x, y) == asking.train_step(x, y)
    for path, array in (playing.params | playing.state).items():
        np.testing.assert_array_equal(array, (asking.params | asking.state)[path], err_msg=path)
    assert proved(playing)[0].steady == 2


@pytest.mark.parametrize("seed", range(40))
def test_drawn_networks_learn_alike(seed):
    drawn = draw(seed)
    results = []
    for kind in (repeats.Repeats, Never):
        model = drawn.model()
        model.compile(SGD(0.05, momentum=0.9), drawn.loss, metrics=[])
        model.adapt_to(drawn.x)
        model._repeats = kind()
        logs = [model.train_step(drawn.x, drawn.y, epoch=step) for step in range(5)]
        results.append((logs, {path: array.tobytes() for path, array in (model.params | model.state).items()}))
    assert results[0] == results[1], str(drawn)


def nothing(model: Sequential, step: int) -> None:
    """No change."""


def freezing(model: Sequential, step: int) -> None:
    model.layers[0].trainable = step < 4


def other_dropout(model: Sequential, step: int) -> None:
    model.layers[5].rate = 0.25 if step < 4 else 0.6


def arrays_as_attributes(model: Sequential, step: int) -> None:
    if step in (0, 6):
        model.layers[1].note = np.arange(2) + step


def loading_in_place(model: Sequential, step: int) -> None:
    if step == 4:
        model.load_weights({path: array * 0.5 for path, array in (model.params | model.state).items()})


def exchanging(model: Sequential, step: int) -> None:
    if step == 4:
        model.layers[-1].params["bias"] = np.full(3, 0.5, np.float32)


def with_gaps(model: Sequential, step: int) -> None:
    if step == 2:
        model.layers[-1].params["bias"] = np.zeros(6, np.float32)[::2]


def asking_many(model: Sequential, step: int) -> None:
    if step % 8 == 7:  # after an epoch
        model.predict(np.zeros((300, 16, 16, 3), np.float32))
        model.evaluate(np.zeros((20, 16, 16, 3), np.float32), np.zeros(20, int))


def other_batches(model: Sequential, step: int) -> None:
    for n in (5, 17):
        model.train_step(*batches(model, 1, n)[0])


def threads(model: Sequential, step: int) -> None:
    kernels.set_num_threads(1 if step > 3 else 2)


def winograd(model: Sequential, step: int) -> None:
    kernels.set_winograd(step < 4)


def numpys_turn(model: Sequential, step: int) -> None:
    backend.set_backend("numpy" if step == 4 else "native")


@pytest.mark.parametrize(
    ("change", "played"),
    [
        (nothing, True),
        (freezing, True),
        (other_dropout, True),
        (arrays_as_attributes, True),
        (loading_in_place, True),
        (exchanging, True),
        (with_gaps, False),
        (asking_many, True),
        (other_batches, True),
        (threads, True),
        (winograd, True),
        (numpys_turn, True),
    ],
)
def test_changes_between_steps_are_seen(change, played):
    before = kernels.get_num_threads(), kernels.winograd_enabled()
    try:
        model = both(small, 25, change)
        assert bool(proved(model)) == played
        if change in (nothing, asking_many):
            assert max(known.steady for known in proved(model)) >= 5
    finally:
        kernels.set_num_threads(before[0])
        kernels.set_winograd(before[1])


class Doubling(Dense):
    """A user's layer, with NumPy in it."""

    def forward(self, x, *, training=False, rng=None):
        return super().forward(x * np.float32(2), training=training, rng=rng)


def test_layers_of_others_and_what_numpy_computes_are_asked():
    def own():
        model = Sequential([Flatten(), Doubling(3, activation="softmax")])
        model.compile(SGD(0.01), "scce", input_shape=(4, 4, 1))
        return model

    def by_numpy():
        model = Sequential([Flatten(), Dense(5), Activation("log_softmax"), Dense(3, activation="softmax")])
        model.compile(SGD(0.01), "scce", input_shape=(4, 4, 1))
        return model

    for make in (own, by_numpy):
        assert not proved(both(make))


def test_memory_that_somebody_holds_is_not_written_to():
    held = []

    def hold(model: Sequential, step: int) -> None:
        if step == 5:
            model._repeats.rest()
            held.extend(buffers.aligned((1 << 16,)) for _ in range(10))
            for array in held:
                array.fill(7)

    model = both(small, 12, hold)
    assert all((array == 7).all() for array in held)
    assert proved(model)


def test_a_step_that_fails_does_not_stop_the_next_ones():
    model = small()
    steps = batches(model, 8)
    for x, y in steps[:4]:
        model.train_step(x, y)
    with pytest.raises(PellucidError):
        model.train_step(steps[4][0], steps[4][1][:-1])
    for x, y in steps[5:]:
        model.train_step(x, y)
    assert proved(model)[0].steady == 5


def test_a_model_that_is_trained_by_two_threads_at_once_does_no_harm():
    model = small()
    steps = batches(model, 12)

    def train():
        for x, y in steps:
            model.train_step(x, y)

    others = [threading.Thread(target=train) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert all(np.isfinite(array).all() for array in model.params.values())


def test_gradients_that_are_asked_for_stay_as_they_are():
    model = small()
    steps = batches(model, 6)
    for x, y in steps:
        model.train_step(x, y)
    _, first = model.gradients(*steps[0])
    kept = {path: gradient.copy() for path, gradient in first.items()}
    for x, y in steps:
        model.train_step(x, y)
    assert all((kept[path] == gradient).all() for path, gradient in first.items())


def test_a_loss_that_is_not_a_number_changes_nothing():
    model = both(small, 5)
    x, y = batches(model, 1)[0]
    before = {path: array.copy() for path, array in model.params.items()}
    x[0, 0, 0, 0] = np.nan
    assert np.isnan(model.train_step(x, y)["loss"])
    assert all((before[path] == array).all() for path, array in model.params.items())


def test_a_copy_begins_anew():
    model = both(small, 5)
    assert not copy.deepcopy(model)._repeats._known


def test_it_waits_longer_and_longer_for_what_keeps_changing(monkeypatch):
    made = []
    original = backend.passes
    monkeypatch.setattr(backend, "passes", lambda way: made.append(1) or original(way))
    model = small()
    x, y = batches(model, 1)[0]
    for step in range(200):
        model.layers[5].rate = 0.1 + step / 1000
        model.train_step(x, y)
    assert 5 <= len(made) <= 9  # after 1, 2, 4, 8 … steps
    for _ in range(200):
        model.train_step(x, y)
    assert proved(model)
