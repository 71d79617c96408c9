"""What watches a training: early stopping, the time limit, the metrics file, the best model."""

import json
import math
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.training import (
    BestModel,
    Callback,
    EarlyStopping,
    MetricsFile,
    StopOnSignal,
    TimeLimit,
    fit,
    strict_json,
)

from .models import StopAt, Stub, lines, points


class Scripted(Stub):
    """A model whose validation scores are given."""

    def __init__(self, losses, accuracies=None):
        super().__init__()
        self.losses, self.accuracies = iter(losses), iter(accuracies or [0.0] * 99)

    def evaluate(self, x, y, batch_size=256):
        return {"loss": next(self.losses), "accuracy": next(self.accuracies)}


def run(model, *callbacks, epochs=10, **settings):
    x, y = points()
    return fit(model, x, y, batch_size=11, epochs=epochs, **({"validation": (x, y)} | settings), callbacks=callbacks)


# Early stopping ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "settings", "epochs"),
    [
        ([5, 4, 3, 3, 3, 3], {"patience": 2}, 5),
        ([5, 6, 4, 6, 6, 6], {"patience": 2}, 5),
        ([5, 6, 7, 8, 9, 10], {"patience": 1}, 2),
        ([5, 4.95, 4.9, 4.85, 4.8, 4], {"patience": 2, "min_delta": 0.2}, 3),
        ([math.nan, math.nan, 3, 4, 4, 5], {"patience": 3}, 6),
        ([5, 4, math.nan, math.nan, 1], {"patience": 2}, 4),
        ([1, 2, 3, 2, 1, 1], {"patience": 2, "mode": "max"}, 5),
    ],
)
def test_early_stopping(losses, settings, epochs):
    history = run(Scripted(losses), EarlyStopping(**settings), epochs=6)
    assert len(history.rows) == epochs


def test_early_stopping_on_accuracy_wants_more_of_it_and_restores_the_best():
    class Weights(Callback):
        def __init__(self):
            self.seen = []

        def on_epoch_end(self, run, row):
            self.seen.append(run.model.params["line/w"].copy())

    model = Scripted([0.0] * 9, [0.1, 0.5, 0.4, 0.3, 0.9])
    stopping, weights = EarlyStopping("val_accuracy", patience=2, restore_best=True), Weights()
    history = run(model, stopping, weights)
    assert len(history.rows) == 4
    assert history.stop_reason == "no better val_accuracy for 2 epochs"
    assert (stopping.best, stopping.best_epoch) == (0.5, 2)
    assert (model.params["line/w"] == weights.seen[1]).all()


def test_early_stopping_can_be_used_for_a_second_training():
    stopping = EarlyStopping(patience=2)
    run(Scripted([1] * 9), stopping)
    assert len(run(Scripted([1] * 9), stopping).rows) == 3


def test_early_stopping_without_validation_says_so_before_the_first_step():
    model = Stub()
    with pytest.raises(PellucidError, match="no validation part: give one, or watch train_loss"):
        run(model, EarlyStopping(), validation=None)
    assert not model.seen
    with pytest.raises(PellucidError, match="watches 'val_f1', which is not among the scores: epoch, step, train_loss"):
        run(Stub(), EarlyStopping("val_f1"))


@pytest.mark.parametrize("settings", [{"patience": 0}, {"min_delta": -1}, {"mode": "up"}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(PellucidError):
        EarlyStopping(**settings)


# Time limit ----------------------------------------------------------------------------------------------------------


def test_time_limit_stops_after_a_step_and_counts_anew_when_resumed():
    model, limit = Stub(), TimeLimit(1e-9)
    history = run(model, limit)
    assert len(model.seen) == 1
    assert history.stop_reason == "the time limit of 1e-09 seconds"
    assert len(run(Stub(), TimeLimit(1000)).rows) == 10
    with pytest.raises(PellucidError, match="time limit was 0"):
        TimeLimit(0)


# Metrics file --------------------------------------------------------------------------------------------------------


def test_metrics_are_lines_of_strict_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    history = run(Scripted([1.5, math.nan, math.inf]), metrics := MetricsFile(path), epochs=3)
    assert [row["val_loss"] for row in lines(path)] == [1.5, "NaN", "Infinity"]
    back = [strict_json.loads(line) for line in path.read_text().splitlines()]
    assert repr(back) == repr(history.rows)
    metrics.append({"test_loss": 0.5, "test_accuracy": np.float32(0.25)})
    assert lines(path)[-1] == {"test_loss": 0.5, "test_accuracy": 0.25}


def test_a_line_that_does_not_fit_on_the_disk_leaves_none_of_itself(tmp_path):
    resource = pytest.importorskip("resource")
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"epoch": 1})
    before = metrics.path.read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
    try:
        with pytest.raises(OSError, match="No space left"):
            metrics.append({"epoch": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert metrics.path.read_text() == before


def test_each_line_is_there_when_its_epoch_ends(tmp_path):
    path = tmp_path / "metrics.jsonl"

    class Count(Callback):
        order = 1
        counts = []  # noqa: RUF012

        def on_epoch_end(self, run, row):
            self.counts.append(len(lines(path)))

    run(Stub(), MetricsFile(path), Count(), epochs=3)
    assert Count.counts == [1, 2, 3]


def test_a_fresh_training_begins_a_fresh_file_and_a_lost_file_comes_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("leftovers")

    class Lose(Callback):
        def on_epoch_end(self, run, row):
            if row["epoch"] == 2:
                path.unlink()

    run(Stub(), MetricsFile(path), Lose(), epochs=3)
    assert [row["epoch"] for row in lines(path)] == [1, 2, 3]


def test_metrics_that_cannot_be_written_do_not_stop_the_training(tmp_path, monkeypatch, capsys):
    path = tmp_path / "metrics.jsonl"
    fsync = os.fsync

    class DiskIsFull(Callback):
        order = -1

        def on_epoch_end(self, run, row):
            def full(handle):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "fsync", full if row["epoch"] in (2, 3) else fsync)

    history = run(Stub(), MetricsFile(path), DiskIsFull(), epochs=5)
    assert len(history.rows) == 5
    assert capsys.readouterr().err.count("No space left on device); training goes on") == 2
    assert [row["epoch"] for row in lines(path)] == [1, 2, 3, 4, 5]


# Best model ----------------------------------------------------------------------------------------------------------


def kept_epoch(path):
    return json.loads(path.read_text())["epoch"]


def test_the_best_model_is_kept(tmp_path):
    path = tmp_path / "model.safetensors"
    run(Scripted([3, 1, 2, math.nan]), BestModel(path), epochs=4)
    assert kept_epoch(path) == 2
    run(Scripted([3, 1, 2], [0.1, 0.1, 0.2]), BestModel(path, "val_accuracy"), epochs=3)
    assert kept_epoch(path) == 3
    run(Scripted([math.nan, math.nan]), BestModel(path), epochs=2)
    assert kept_epoch(path) == 1


def test_a_best_model_that_could_not_be_written_is_not_the_one_to_beat(tmp_path, monkeypatch, capsys):
    path = tmp_path / "model.safetensors"
    fsync = os.fsync

    class DiskIsFull(Callback):
        order = -1

        def on_epoch_end(self, run, row):
            def full(handle):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "fsync", full if row["epoch"] in (2, 3) else fsync)

    run(Scripted([5, 1, 2, 4, 3, 6]), BestModel(path), DiskIsFull(), epochs=6)
    assert kept_epoch(path) == 5
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_without_validation_the_last_model_is_kept(tmp_path):
    path = tmp_path / "model.safetensors"
    run(Stub(), BestModel(path), epochs=3, validation=None)
    assert kept_epoch(path) == 3


def test_a_training_stopped_in_its_first_epoch_leaves_its_model(tmp_path):
    path = tmp_path / "model.safetensors"
    run(Stub(), BestModel(path), StopAt(1))
    summary = json.loads(path.read_text())
    assert (summary["epoch"], summary["step"]) == (0, 1)
    assert "train_loss" in summary


def test_a_model_that_cannot_be_written_does_not_stop_the_training(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert len(run(Stub(), BestModel(tmp_path / "file" / "model.safetensors"), epochs=2).rows) == 2
    assert "could not be written" in capsys.readouterr().err


# Signals -------------------------------------------------------------------------------------------------------------


class Send(Callback):
    """Send signals to this process after a step."""

    def __init__(self, step, *numbers):
        self.step, self.numbers = step, numbers

    def on_batch_end(self, run, scores):
        if run.progress.step == self.step:
            for number in self.numbers:
                os.kill(os.getpid(), number)


@pytest.fixture
def handlers():
    """The handlers a program in the foreground has, and a check that they are given back."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    after = [signal.getsignal(number) for number in numbers]
    for number, handler in before.items():
        signal.signal(number, handler)
    assert after == [signal.default_int_handler] * 3


posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGINT)])
def test_a_signal_ends_the_training_after_the_step(handlers, number, capfd):
    model = Stub()
    history = run(model, Send(3, number), StopOnSignal("pellucid resume runs/a"))
    assert len(model.seen) == 3
    assert history.stop_reason == signal.Signals(number).name
    said = capfd.readouterr().err
    assert "Once more to leave at once" in said
    assert f"Stopped by {history.stop_reason} in epoch 2, after step 3. Continue with: pellucid resume runs/a" in said


@posix
def test_the_second_signal_leaves_at_once(handlers, capfd):
    with pytest.raises(KeyboardInterrupt):
        run(Stub(), Send(3, signal.SIGINT, signal.SIGINT), StopOnSignal())
    with pytest.raises(SystemExit) as caught:
        run(Stub(), Send(3, signal.SIGINT, signal.SIGTERM), StopOnSignal())
    assert caught.value.code == 128 + signal.SIGTERM


@posix
def test_a_signal_that_was_ignored_stays_ignored(handlers):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert len(run(Stub(), Send(1, signal.SIGHUP), StopOnSignal(), epochs=2).rows) == 2
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_signals_are_left_alone():
    histories = []
    thread = threading.Thread(target=lambda: histories.append(run(Stub(), StopOnSignal(), epochs=2)))
    thread.start()
    thread.join()
    assert len(histories[0].rows) == 2


def test_strict_json_refuses_what_is_too_deep():
    with pytest.raises(ValueError, match="deep"):
        strict_json.loads("[" * 100_000)
    assert strict_json.dumps({"p": (1, np.float64(0.1), None, "x")}) == '{"p": [1, 0.1, null, "x"]}'
    assert Path(strict_json.__file__).name == "strict_json.py"
