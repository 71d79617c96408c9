"""A step that is not finite: where it was, what is kept, and how a training goes back and on."""

import contextlib
import json

import numpy as np
import pytest
import safetensors.numpy

from pellucid import backend
from pellucid.errors import PellucidError
from pellucid.layers import BatchNormalization, Conv2D, Dense, Flatten, MaxPooling2D, ReLU, Residual
from pellucid.model import Sequential
from pellucid.optimizers import SGD
from pellucid.schedules import Cosine
from pellucid.training import (
    Callback,
    Checkpointer,
    Evidence,
    MetricsFile,
    NonFiniteLossError,
    Rollback,
    checkpoint_path,
    checkpoints,
    fit,
    latest,
    restore,
)

from .models import Died, StopAt, Stub, assert_same, lines, points, timeless


@pytest.fixture(autouse=True)
def _numpy():
    with backend.using("numpy"):
        yield


def network(rate=0.01, optimizer="sgd"):
    body = [Conv2D(4, 3, padding="same"), BatchNormalization(), ReLU(), Conv2D(4, 3, padding="same")]
    model = Sequential([Conv2D(4, 3, activation="relu"), MaxPooling2D(2), Residual(body), Flatten(), Dense(10)])
    model.compile(optimizer, "cce", learning_rate=rate, input_shape=(8, 8, 1), seed=1)
    return model


def images(n=40):
    return np.random.default_rng(0).random((n, 8, 8, 1), np.float32), np.arange(n) % 10


class Meddle(Callback):
    """Do something to the model after a step."""

    def __init__(self, step, change):
        self.step, self.change = step, change

    def on_batch_end(self, run, scores):
        if run.progress.step == self.step:
            self.change(run.model)


def spoil(path, value):
    def change(model):
        array = model.params[path]
        array[...] = np.where(np.isfinite(value), value, array)
        array.flat[0] = value

    return change


def fails(model, *callbacks, **settings):
    with pytest.raises(NonFiniteLossError) as caught:
        fit(model, *images(), **({"batch_size": 8, "epochs": 3, "callbacks": callbacks} | settings))
    return caught.value


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        ("conv1/kernel", np.nan, "the weights conv1/kernel: 1 of 36 numbers; the step before spoilt them"),
        ("residual1/body/conv2/kernel", 3e38, "the output of residual1/body/conv2: "),
        ("residual1/body/conv1/bias", np.inf, "the weights residual1/body/conv1/bias: 1 of 4"),
        ("dense1/bias", -np.inf, "the weights dense1/bias: 1 of 10"),
        ("dense1/kernel", 3e38, "the output of dense1: "),
    ],
)
def test_the_first_layer_that_is_not_finite_is_named_with_batch_and_step(path, value, place):
    model = network()
    model.params["residual1/body/conv2/kernel"][...] *= 30
    error = fails(model, Meddle(7, spoil(path, value)))
    assert (error.epoch, error.step) == (2, 8)
    assert "epoch 2, batch 3 of 5 (step 8)" in str(error)
    assert place in str(error)
    assert len(error.indices) == 8


def test_of_weights_that_a_bad_gradient_has_spoilt_the_last_is_named():
    def change(model):
        for path in ("conv1/kernel", "residual1/body/conv1/kernel"):
            model.params[path].flat[0] = np.nan

    assert "the weights residual1/body/conv1/kernel" in str(fails(network(), Meddle(1, change)))


def test_a_bad_image_is_named_and_so_are_the_numbers_it_became():
    x, y = images()
    x[13, 2, 2] = np.inf
    with pytest.raises(
        NonFiniteLossError, match=r"the images, as the first layer sees them: 1 of 512.*: images 13\. Clean"
    ):
        fit(network(), x, y, batch_size=8)


def test_a_step_that_fails_changes_no_weight():
    model, before = network(), {}

    class Remember(Callback):
        def on_batch_end(self, run, scores):
            before.update({path: array.copy() for path, array in run.model.params.items()})
            if run.progress.step == 3:
                run.model.params["dense1/kernel"][...] = before["dense1/kernel"][...] = 3e38

    error = fails(model, Remember())
    assert error.step == 4
    assert all(np.array_equal(model.params[path], before[path]) for path in before)
    assert model.optimizer.iterations == 3


def test_a_gradient_that_overflows_behind_a_finite_loss_is_caught_in_its_own_step():
    x, y = images()
    model = Sequential([Flatten(), Dense(1, name="small"), Dense(1, name="large")])
    model.compile("sgd", "mse", input_shape=(8, 8, 1))
    model.load_weights({**model.params, "small/kernel": np.full((64, 1), 1e-38), "large/kernel": np.full((1, 1), 1e38)})
    before = {path: array.copy() for path, array in model.params.items()}
    with pytest.raises(
        NonFiniteLossError, match=r"The gradient of small/\w+ became NaN or infinite in .* batch 1"
    ) as caught:
        fit(model, x, y, batch_size=8)
    assert caught.value.place == "the gradient of small/kernel: 64 of 64 numbers; the loss is finite"
    assert all(np.array_equal(model.params[path], before[path]) for path in before)


def test_looking_for_the_place_changes_no_moving_statistics():
    model, (x, y) = network(), images()
    before = {path: array.copy() for path, array in model.state.items()}
    assert model.first_non_finite(x, y) is None
    assert all(np.array_equal(model.state[path], before[path]) for path in before)


@pytest.mark.parametrize("spoilt", ["params", "state", "slots"])
def test_what_no_loss_shows_is_found_when_the_epoch_ends_or_a_checkpoint_is_due(tmp_path, spoilt):
    class Silent(Stub):
        def train_step(self, x, y, **which):
            super().train_step(x, y, **which)
            return {"loss": 1.0}

    for every, found in ((None, 5), (4, 4)):
        model, folder = Silent(), tmp_path / str(every)

        def change(model):
            next(iter((model.optimizer.slots if spoilt == "slots" else getattr(model, spoilt)).values())).flat[0] = (
                np.nan
            )

        watch = Checkpointer(folder, every_steps=every)
        with pytest.raises(NonFiniteLossError, match=f"line/.* holds NaN or infinity in epoch 1, after step {found}"):
            fit(model, *points(), batch_size=5, epochs=3, callbacks=[watch, Meddle(2, change)])
        assert checkpoints(folder) == []


def test_the_evidence_is_enough_to_see_it_again(tmp_path, capsys):
    error = fails(network(), Evidence(tmp_path / "failures"), Meddle(6, spoil("dense1/kernel", 3e38)))
    file = tmp_path / "failures" / "step-00000007.safetensors"
    assert f"The batch and the weights of step 7 are kept in {file}." in capsys.readouterr().err
    kept = safetensors.numpy.load_file(file)
    about = json.loads(file.with_suffix(".json").read_text())
    assert about["images"] == kept["batch/indices"].tolist() == error.indices.tolist()
    assert np.array_equal(kept["batch/x"], images()[0][error.indices])
    model = network()
    model.load_weights(
        {name.partition("/")[2]: array for name, array in kept.items() if name.startswith(("params/", "state/"))}
    )
    with np.errstate(over="ignore", invalid="ignore"):
        place = model.first_non_finite(
            kept["batch/x"], kept["batch/y"], epoch=about["epoch"] - 1, indices=kept["batch/indices"]
        )
    assert place == about["place"] == error.place


def test_evidence_that_cannot_be_kept_is_told(tmp_path, capsys):
    (tmp_path / "failures").write_text("in the way")
    fails(network(), Evidence(tmp_path / "failures"), Meddle(1, spoil("dense1/bias", np.nan)))
    assert "What led to it could not be kept" in capsys.readouterr().err


# Rollback ------------------------------------------------------------------------------------------------------------


class Fragile(Stub):
    """Its loss is NaN at step 13 and 18 as long as the learning rate is above 0.02."""

    def train_step(self, x, y, **which):
        if self.optimizer.iterations in (12, 17) and self.optimizer.learning_rate > 0.02:
            return {"loss": np.nan}
        return super().train_step(x, y, **which)


def train(folder, *, stop_at=None, die=False, every_steps=None, model=None, factor=0.5, most=5):
    x, y = points()
    model = Fragile() if model is None else model
    checkpointer = Checkpointer(folder / "checkpoints", every_steps=every_steps, every_seconds=None, keep=1)
    callbacks = [checkpointer, MetricsFile(folder / "metrics.jsonl"), Rollback(checkpointer, factor, most)]
    checkpoint = latest(folder / "checkpoints")
    progress = None if checkpoint is None else restore(checkpoint, model, callbacks)
    if stop_at is not None:
        callbacks.append(StopAt(stop_at, die=die))
    history = fit(
        model, x, y, batch_size=5, seed=3, epochs=4, validation=(x, y), progress=progress, callbacks=callbacks
    )
    return model, history


@pytest.mark.parametrize("every_steps", [None, 1, 3])
def test_a_rollback_takes_up_the_last_anchor_with_a_smaller_rate(tmp_path, capsys, every_steps):
    model, history = train(tmp_path, every_steps=every_steps)
    assert model.optimizer.learning_rate == 0.05 / 4
    progress = latest(tmp_path / "checkpoints").progress
    anchor = {None: 10, 1: 12, 3: 12}[every_steps]
    assert progress.rollbacks[0] == {"step": 13, "to": anchor, "learning_rate": 0.025}
    assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4]
    assert f"Back to step {anchor}, and on with the learning rate 0.025." in capsys.readouterr().err


@pytest.mark.parametrize("die", [False, True], ids=["stopped", "died"])
@pytest.mark.parametrize("every_steps", [None, 3])
def test_interrupted_at_any_step_it_goes_the_same_way(tmp_path, every_steps, die):
    whole, history = train(tmp_path / "whole", every_steps=every_steps)
    for step in range(1, 21):
        folder = tmp_path / f"{step}"
        for again in range(2):  # the second time is on the way after the rollback, or not at all
            with contextlib.suppress(Died):
                train(folder, stop_at=step + 2 * again, die=die, every_steps=every_steps)
        model, resumed = train(folder, every_steps=every_steps)
        assert_same(model, whole)
        assert model.optimizer.learning_rate == whole.optimizer.learning_rate
        assert timeless(resumed.rows) == timeless(history.rows)
        assert timeless(lines(folder / "metrics.jsonl")) == timeless(history.rows)


def test_a_death_in_the_middle_of_a_rollback_changes_nothing(tmp_path, monkeypatch):
    whole, _ = train(tmp_path / "whole")
    for where in ("before", "after"):

        def restart(self, training, where=where, begin_anew=Checkpointer.restart):
            if where == "after":
                begin_anew(self, training)
            raise Died

        with monkeypatch.context() as patched, contextlib.suppress(Died):
            patched.setattr(Checkpointer, "restart", restart)
            train(tmp_path / where)
        assert_same(train(tmp_path / where)[0], whole)


def test_a_schedule_goes_on_from_where_it_was_with_smaller_rates(tmp_path):
    class FragileNetwork(Sequential):
        def train_step(self, x, y, **which):
            bad = self.optimizer.iterations == 7 and float(self.optimizer.learning_rate) > 0.03
            return {"loss": np.nan} if bad else super().train_step(x, y, **which)

    def train(folder, stop_at=None):
        model = FragileNetwork(network().layers)
        model.compile(SGD(Cosine(0.1), momentum=0.9), "cce", input_shape=(8, 8, 1), seed=1)
        checkpointer = Checkpointer(folder, every_steps=3, every_seconds=None)
        callbacks = [checkpointer, Rollback(checkpointer, 0.25), *([StopAt(stop_at, die=True)] if stop_at else [])]
        checkpoint = latest(folder)
        progress = restore(checkpoint, model, callbacks) if checkpoint else None
        with contextlib.suppress(Died):
            fit(model, *images(), batch_size=8, epochs=3, progress=progress, callbacks=callbacks)
        return model

    whole = train(tmp_path / "whole")
    assert whole.optimizer.learning_rate == Cosine(0.025)
    for stop_at in (5, 8, 12):
        train(tmp_path / f"{stop_at}", stop_at)
        assert_same(train(tmp_path / f"{stop_at}"), whole)


def test_it_gives_up_where_smaller_steps_do_not_help(tmp_path, capsys):
    class Hopeless(Stub):
        def train_step(self, x, y, **which):
            return {"loss": np.nan} if self.optimizer.iterations == 7 else super().train_step(x, y, **which)

    model = Hopeless()
    with pytest.raises(NonFiniteLossError, match="step 8"):
        train(tmp_path, model=model, most=3)
    assert "step 5 was tried 4 times" in capsys.readouterr().err
    assert model.optimizer.learning_rate == 0.05 / 8


def test_a_bad_image_is_no_reason_to_go_back(tmp_path):
    x, y = points()
    x[7] = np.nan
    checkpointer = Checkpointer(tmp_path)
    with pytest.raises(NonFiniteLossError, match="images 7"):
        fit(Stub(), x, y, batch_size=5, epochs=2, callbacks=[checkpointer, Rollback(checkpointer)])


def test_a_damaged_anchor_is_passed_over(tmp_path, capsys):
    with contextlib.suppress(Died):
        train(tmp_path, stop_at=11, die=True, every_steps=3)
    checkpoint_path(tmp_path / "checkpoints", 9).unlink(missing_ok=True)

    class Cut(Fragile):
        def train_step(self, x, y, **which):
            if self.optimizer.iterations == 12:
                checkpoint_path(tmp_path / "checkpoints", 12).write_bytes(b"cut off")
            return super().train_step(x, y, **which)

    with contextlib.suppress(NonFiniteLossError):
        train(tmp_path, every_steps=3, model=Cut())
    assert "Falling back to the checkpoint before" in capsys.readouterr().err


def test_a_full_disk_does_not_make_it_go_round_in_circles(tmp_path, monkeypatch):
    with contextlib.suppress(Died):
        train(tmp_path, stop_at=11, die=True)
    monkeypatch.setattr(Checkpointer, "save", lambda self, training: False)
    with pytest.raises(NonFiniteLossError):
        train(tmp_path, factor=0.99, most=3)
    model, _ = train(tmp_path)
    assert model.optimizer.learning_rate == 0.05 / 4


@pytest.mark.parametrize("settings", [{"factor": 1}, {"factor": 0}, {"most": 0}])
def test_impossible_settings_are_refused(tmp_path, settings):
    with pytest.raises(PellucidError, match="Rollback got"):
        Rollback(Checkpointer(tmp_path), **settings)
