"""A resumed training is the training: every bit of weights, slots, history and files."""

import contextlib
import os

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pellucid import backend
from pellucid.errors import PellucidError
from pellucid.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
from pellucid.model import Sequential, load
from pellucid.optimizers import EMA, SGD, Adagrad, AdamW, Lookahead, Muon, RMSprop
from pellucid.schedules import Cosine, CosineRestarts, Linear, OneCycle, Plateau, WarmUp
from pellucid.training import (
    BestModel,
    Checkpointer,
    EarlyStopping,
    MetricsFile,
    Progress,
    fit,
    latest,
    restore,
)

from .models import Died, StopAt, Stub, assert_same, lines, points, timeless


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch):
    """What survives a power cut is not asked here, and waiting for the disk hundreds of times takes long."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


EPOCHS, BATCH = 4, 5  # 22 images: 5 batches an epoch, the last of 2 images


def train(folder, *, stop_at=None, die=False, every_steps=1, epochs=EPOCHS, model=None, data=None, **settings):
    """Train in a folder, going on if there is something to go on from."""
    x, y = points() if data is None else data
    model = Stub() if model is None else model
    callbacks = [
        Checkpointer(folder / "checkpoints", every_steps=every_steps, every_seconds=None),
        MetricsFile(folder / "metrics.jsonl"),
        BestModel(folder / "model.safetensors"),
        EarlyStopping(patience=100),
    ]
    checkpoint = latest(folder / "checkpoints")
    progress = None if checkpoint is None else restore(checkpoint, model, callbacks)
    if stop_at is not None:
        callbacks.append(StopAt(stop_at, die=die))
    settings = {"batch_size": BATCH, "seed": 3} | settings
    history = fit(model, x, y, epochs=epochs, validation=(x, y), progress=progress, callbacks=callbacks, **settings)
    return model, history


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return *train(folder), lines(folder / "metrics.jsonl")


@pytest.mark.parametrize("die", [False, True], ids=["stopped", "died"])
@pytest.mark.parametrize("every_steps", [1, 3, None])
@pytest.mark.parametrize("step", range(1, 21))
def test_interrupted_at_any_step(tmp_path, uninterrupted, step, every_steps, die):
    whole, history, rows = uninterrupted
    with contextlib.suppress(Died):
        train(tmp_path, stop_at=step, die=die, every_steps=every_steps)
    model, resumed = train(tmp_path, every_steps=every_steps)
    assert_same(model, whole)
    assert timeless(resumed.rows) == timeless(history.rows)
    assert timeless(lines(tmp_path / "metrics.jsonl")) == timeless(rows)
    assert resumed.stop_reason is None


def test_interrupted_again_and_again(tmp_path, uninterrupted):
    whole, history, rows = uninterrupted
    for step in (1, 2, 4, 5, 6, 11, 15, 19):
        train(tmp_path, stop_at=step)
    model, resumed = train(tmp_path)
    assert_same(model, whole)
    assert timeless(resumed.rows) == timeless(history.rows)
    assert timeless(lines(tmp_path / "metrics.jsonl")) == timeless(rows)


def test_seconds_go_on_from_where_they_were(tmp_path):
    train(tmp_path, stop_at=7)
    before = latest(tmp_path / "checkpoints").progress
    assert 0 < before.epoch_seconds <= before.seconds
    _, resumed = train(tmp_path)
    assert resumed.rows[-1]["seconds"] > before.seconds
    assert all(row["images_per_second"] > 0 for row in resumed.rows)


def test_a_finished_training_can_be_extended(tmp_path, uninterrupted):
    whole, history, _ = uninterrupted
    train(tmp_path, epochs=2)
    model, resumed = train(tmp_path, epochs=EPOCHS)
    assert_same(model, whole)
    assert timeless(resumed.rows) == timeless(history.rows)
    again, resumed = train(tmp_path, epochs=EPOCHS)  # nothing left to do
    assert_same(again, whole)
    assert len(resumed.rows) == len(lines(tmp_path / "metrics.jsonl")) == EPOCHS


@pytest.mark.parametrize("step", [5, 7])
def test_other_data_that_are_accepted_may_be_fewer_or_more(step):
    x, y = points()
    for chosen in (slice(0, 16), [*range(22), *range(9)]):
        model, progress = Stub(), Progress()
        fit(model, x, y, batch_size=5, epochs=4, progress=progress, callbacks=[StopAt(step)])
        with pytest.raises(PellucidError, match="images was 22"):
            fit(model, x[chosen], y[chosen], batch_size=5, epochs=4, progress=progress)
        progress.accept(len(x[chosen]))
        history = fit(model, x[chosen], y[chosen], batch_size=5, epochs=4, progress=progress)
        assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4]
        assert sum(len(indices) for epoch, indices in model.seen if epoch == 3) == len(x[chosen])
    progress.accept(31)
    assert progress.plan["images"] == 31


def test_early_stopping_counts_across_a_resume(tmp_path):
    x, y = points()

    class Stuck(Stub):
        def evaluate(self, x, y, batch_size=256):
            return {"loss": 1.0, "accuracy": 0.0}

    def go(stop_at=None):
        model, stopping = Stuck(), EarlyStopping(patience=3)
        callbacks = [stopping, Checkpointer(tmp_path / "c", every_steps=1)]
        checkpoint = latest(tmp_path / "c")
        progress = restore(checkpoint, model, callbacks) if checkpoint else None
        if stop_at:
            callbacks.append(StopAt(stop_at))
        return fit(
            model, x, y, batch_size=11, epochs=50, validation=(x, y), progress=progress, callbacks=callbacks
        ), stopping

    history, stopping = go(stop_at=5)  # two epochs and a half
    assert (len(history.rows), stopping.waited) == (2, 1)
    history, stopping = go()
    assert (len(history.rows), stopping.waited) == (4, 3)
    assert history.stop_reason == "no better val_loss for 3 epochs"
    history, _ = go()  # it has come to its end: resuming does not change that
    assert len(history.rows) == 4
    assert history.stop_reason == "no better val_loss for 3 epochs"


def test_best_so_far_outlives_a_resume(tmp_path):
    class Worse(Stub):
        def evaluate(self, x, y, batch_size=256):
            return {"loss": float(self.optimizer.iterations)}

    for stop_at in (7, None):
        train(tmp_path, model=Worse(), stop_at=stop_at)
    assert '"epoch": 1,' in (tmp_path / "model.safetensors").read_text()


def test_lines_beyond_the_checkpoint_are_dropped(tmp_path, uninterrupted):
    _, _, rows = uninterrupted
    train(tmp_path, epochs=3)
    for checkpoint in (tmp_path / "checkpoints").glob("*15*"):
        checkpoint.unlink()
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"test_loss": 1}\n{"torn li')
    train(tmp_path)
    assert timeless(lines(tmp_path / "metrics.jsonl")) == timeless(rows)


def test_a_changed_learning_rate_is_remembered(tmp_path):
    model = Stub()

    class Halve(StopAt):
        def on_batch_end(self, run, scores):
            run.model.optimizer.learning_rate = 0.025
            super().on_batch_end(run, scores)

    x, y = points()
    fit(model, x, y, callbacks=[Checkpointer(tmp_path), Halve(1)], batch_size=5)
    other = Stub()
    restore(latest(tmp_path), other)
    assert other.optimizer.learning_rate == 0.025


# The real thing ------------------------------------------------------------------------------------------------------


def network(optimizer="adam", dtype=np.float32):
    model = Sequential(
        [
            Conv2D(4, 3, activation="relu"),
            BatchNormalization(),
            MaxPooling2D(2),
            Dropout(0.3),
            Flatten(),
            Dense(10, activation="softmax"),
        ]
    )
    rate = {"learning_rate": 0.01} if isinstance(optimizer, str) else {}
    model.compile(optimizer, "cce", **rate, input_shape=(8, 8, 1), seed=1)
    return model.astype(dtype)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return data.images[:150, ..., None].astype(np.float32) / 16, data.target[:150]


@pytest.mark.parametrize(
    ("optimizer", "dtype", "implementation"),
    [("sgd", np.float32, "native"), ("adam", np.float32, "numpy"), ("adam", np.float64, "numpy")],
)
def test_a_network_with_dropout_and_batch_norm(tmp_path, digits, optimizer, dtype, implementation):
    with backend.using(implementation):
        resumed_is_uninterrupted(tmp_path, digits, optimizer, dtype)


OPTIMIZERS = {
    "lookahead, warm-up, groups, clipping": lambda: SGD(
        WarmUp(Cosine(0.05), 0.2),
        0.9,
        nesterov=True,
        weight_decay=0.01,
        global_clipnorm=1.0,
        averages=Lookahead(0.7, every=3, growth=2),
        groups={"*/bias": {"rate_multiplier": 4, "weight_decay": 0}, "conv1/bias": {"until": "1 epoch"}},
    ),
    "averages of accumulated batches": lambda: AdamW(OneCycle(0.01), accumulate=3, averages=EMA(0.8)),
    "plateau": lambda: RMSprop(WarmUp(Plateau(0.01, 0.5, patience=0, min_delta=0.5), 3), momentum=0.5, centered=True),
    "muon": lambda: Muon(Linear(0.1), sgd_learning_rate=0.01),
    "adagrad": lambda: Adagrad(CosineRestarts(0.1, first=4)),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_all_that_optimizers_schedules_and_averages_remember(tmp_path, digits, make):
    settings = {"data": digits, "batch_size": 32, "epochs": 4, "every_steps": 1}
    whole, history = train(tmp_path / "whole", model=network(make()), **settings)
    rates = [row["learning_rate"] for row in history.rows]
    assert len(set(rates)) > 1
    folder = tmp_path / "parts"
    for step in (1, 5, 8, 14):
        train(folder, model=network(make()), stop_at=step, **settings)
    model, resumed = train(folder, model=network(make()), **settings)
    assert_same(model, whole)
    assert timeless(resumed.rows) == timeless(history.rows)
    assert model.optimizer.config() == whole.optimizer.config()
    one, two = load(tmp_path / "whole" / "model.safetensors"), load(folder / "model.safetensors")
    assert all(one.params[path].tobytes() == two.params[path].tobytes() for path in one.params)


def resumed_is_uninterrupted(tmp_path, digits, optimizer, dtype):
    settings = {"data": digits, "batch_size": 32, "epochs": 3, "every_steps": 2}
    whole, history = train(tmp_path / "whole", model=network(optimizer, dtype), **settings)
    for step, die in ((4, True), (5, False), (7, True), (12, False)):
        folder = tmp_path / f"{step}"
        with contextlib.suppress(Died):
            train(folder, model=network(optimizer, dtype), stop_at=step, die=die, **settings)
        model, resumed = train(folder, model=network(optimizer, dtype), **settings)
        assert_same(model, whole)
        assert timeless(resumed.rows) == timeless(history.rows)
    one, two = load(tmp_path / "whole" / "model.safetensors"), load(folder / "model.safetensors")
    assert all(one.params[path].tobytes() == two.params[path].tobytes() for path in one.params)


def test_the_number_of_threads_does_not_matter(tmp_path, digits):
    settings = {"data": digits, "batch_size": 32, "epochs": 2}
    whole, _ = train(tmp_path / "whole", model=network(), **settings)
    threads = backend.get_num_threads()
    try:
        backend.set_num_threads(1)
        train(tmp_path / "parts", model=network(), stop_at=3, **settings)
        backend.set_num_threads(2)
        model, _ = train(tmp_path / "parts", model=network(), **settings)
    finally:
        backend.set_num_threads(threads)
    assert_same(model, whole)
