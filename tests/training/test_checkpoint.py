"""Checkpoint files: written as a whole, verified when read, refused where they do not belong."""

import errno
import json
import math
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.numpy

from pellucid import arrayfile, training
from pellucid.errors import DataError, FileFormatError, PellucidError
from pellucid.training import (
    Callback,
    Checkpoint,
    Checkpointer,
    EarlyStopping,
    Progress,
    checkpoint_path,
    checkpointer,
    checkpoints,
    data_fingerprint,
    fit,
    latest,
    load_checkpoint,
    restore,
    save_checkpoint,
)
from pellucid.training import checkpoint as module

from .models import StopAt, Stub, assert_same, points


@pytest.fixture
def trained():
    model, progress = Stub(), Progress()
    x, y = points()
    fit(model, x, y, batch_size=5, epochs=3, validation=(x, y), progress=progress, callbacks=[StopAt(12)])
    return model, progress


@pytest.fixture
def saved(tmp_path, trained):
    path = checkpoint_path(tmp_path, 12)
    save_checkpoint(path, Checkpoint.capture(*trained, [EarlyStopping()], "f00d"))
    return path


class Averages(Callback):
    """Memory with arrays in it."""

    def __init__(self):
        self.mean, self.count = np.zeros((2, 3), np.float32), 0

    def state(self):
        return {"mean/line": self.mean, "count": self.count}

    def load_state(self, state):
        self.mean, self.count = state["mean/line"].copy(), state["count"]


# There and back ------------------------------------------------------------------------------------------------------


def test_there_and_back(tmp_path, trained):
    model, progress = trained
    progress.history[0]["val_loss"] = math.inf
    progress.sums["loss"] = math.pi / 10
    averages = Averages()
    averages.mean += 0.1
    averages.count = 7
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, Checkpoint.capture(model, progress, [averages, EarlyStopping(), Averages()], "f00d"))
    checkpoint = load_checkpoint(path)
    assert checkpoint.progress == progress
    assert (checkpoint.data, checkpoint.library) == ("f00d", "0.1.0")

    other, again = Stub(), [Averages(), EarlyStopping(), Averages()]
    assert restore(checkpoint, other, again) == progress
    assert_same(other, model)
    assert (again[0].mean.tobytes(), again[0].count) == (averages.mean.tobytes(), 7)
    assert again[2].count == 0
    assert other.params["line/w"] is not checkpoint.params["line/w"]


def test_it_is_one_safetensors_file_that_others_can_read(saved, trained):
    arrays = safetensors.numpy.load_file(saved)
    assert sorted(arrays) == [
        "params/line/b",
        "params/line/w",
        "slots/velocity/line/b",
        "slots/velocity/line/w",
        "state/line/mean",
    ]
    assert (arrays["params/line/w"] == trained[0].params["line/w"]).all()


def test_arrays_in_any_memory_layout(tmp_path, trained):
    model, progress = trained
    model.params["line/w"] = np.arange(6.0)[::2]
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, Checkpoint.capture(model, progress))
    assert load_checkpoint(path).params["line/w"].tolist() == [0, 2, 4]


# Refusals ------------------------------------------------------------------------------------------------------------


def test_another_network_is_refused_and_nothing_is_changed(saved, trained):
    other = Stub(features=4)
    stopping = EarlyStopping()
    stopping.waited = 3
    with pytest.raises(
        FileFormatError, match=r"another network: layers\[0\].features is 3 in the checkpoint and 4 here"
    ):
        restore(load_checkpoint(saved), other, [stopping])
    assert not other.params["line/w"].any()
    assert (stopping.waited, other.optimizer.iterations, other.optimizer.slots) == (3, 0, {})


def test_the_same_shapes_with_other_settings_are_another_network(saved):
    with pytest.raises(FileFormatError, match=r"width is 0\.1 in the checkpoint and 0\.2 here"):
        restore(load_checkpoint(saved), Stub(width=0.2))


def test_another_precision_is_refused(saved):
    other = Stub()
    other.params["line/w"] = other.params["line/w"].astype(np.float32)
    with pytest.raises(FileFormatError, match=r"line/w is float64 \(3,\) in the checkpoint and float32 \(3,\) here"):
        restore(load_checkpoint(saved), other)


def test_another_optimizer_is_refused(saved, monkeypatch):
    other = Stub()
    monkeypatch.setattr(other.optimizer, "config", lambda: {"name": "adam", "learning_rate": 0.05})
    with pytest.raises(FileFormatError, match='optimizer: name is "stub" in the checkpoint and "adam" here'):
        restore(load_checkpoint(saved), other)


@pytest.mark.parametrize(
    "slots", [{"velocity/line/c": np.zeros(3)}, {"velocity/line/w": np.zeros(4)}, {"w": np.zeros(3)}]
)
def test_slots_that_fit_no_parameter_are_refused(saved, slots):
    checkpoint = load_checkpoint(saved)
    checkpoint.slots = slots
    with pytest.raises(FileFormatError, match="no parameter for its slot"):
        restore(checkpoint, Stub())


def test_memory_that_does_not_fit_is_refused_and_nothing_is_changed(saved):
    checkpoint, other = load_checkpoint(saved), Stub()
    checkpoint.callbacks = {"Averages": {"mean/line": np.ones(2), "count": 1}, "EarlyStopping": {"best": "high"}}
    averages = Averages()
    with pytest.raises(FileFormatError, match="memory of a callback"):
        restore(checkpoint, other, [averages, EarlyStopping()])
    assert averages.count == 0
    assert not other.params["line/w"].any()


def test_callbacks_may_come_and_go(saved):
    stopping = EarlyStopping(monitor="train_loss")
    restore(load_checkpoint(saved), Stub(), [Averages(), stopping])
    restore(load_checkpoint(saved), Stub())


def test_data_that_changed_are_refused(saved):
    checkpoint = load_checkpoint(saved)
    checkpoint.check_data("f00d")
    checkpoint.check_data(None)
    with pytest.raises(DataError, match="have changed"):
        checkpoint.check_data("beef")


def test_a_fingerprint_sees_every_number_shape_and_type():
    x = np.arange(12, dtype=np.uint8).reshape(3, 4)
    changed = x.copy()
    changed[2, 3] += 1
    prints = [
        data_fingerprint(*arrays) for arrays in ([x], [changed], [x.T], [x.reshape(4, 3)], [x.astype(int)], [x, x])
    ]
    assert len(set(prints)) == len(prints)
    assert data_fingerprint(x) == data_fingerprint(np.asfortranarray(x))


# Damage --------------------------------------------------------------------------------------------------------------


def test_every_cut_is_noticed(saved):
    whole = saved.read_bytes()
    for length in [*range(0, 64), *range(64, len(whole), 37), len(whole) - 1]:
        saved.write_bytes(whole[:length])
        with pytest.raises(FileFormatError, match="step-00000012"):
            load_checkpoint(saved)


def test_every_flipped_bit_is_noticed_or_harmless(saved):
    """Every byte of the arrays, and of what the checksum covers; blanks and names of the file's own header may differ."""
    whole, sound = saved.read_bytes(), load_checkpoint(saved)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 1500):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        saved.write_bytes(damaged)
        try:
            found = load_checkpoint(saved)
        except FileFormatError:
            continue
        assert found.progress == sound.progress
        assert all(found.params[path].tobytes() == sound.params[path].tobytes() for path in sound.params)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 64,
        b"<html>not found</html>" * 20,
        (200).to_bytes(8, "little") + b"{}" * 100,
        (2**40).to_bytes(8, "little") + b"{",
        (40000).to_bytes(8, "little") + b'{"a":' * 8000,
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"c\.safetensors"):
        load_checkpoint(path)


def header(path, entries, body=b""):
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def test_a_header_that_claims_a_terabyte_takes_no_memory(tmp_path):
    path = tmp_path / "c.safetensors"
    header(path, {"w": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}})
    with pytest.raises(FileFormatError):
        load_checkpoint(path)


def test_a_file_with_holes_larger_than_the_memory_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    header(path, {"w": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}})
    try:
        os.truncate(path, path.stat().st_size + 2**40)  # takes no room on the disk
    except OSError:
        pytest.skip("no sparse files of this size here")
    with pytest.raises(FileFormatError, match="too much for the memory"):
        load_checkpoint(path)


def test_other_safetensors_files_and_versions_are_refused(tmp_path, saved, monkeypatch):
    path = tmp_path / "c.safetensors"
    safetensors.numpy.save_file({"w": np.zeros(3)}, path)
    with pytest.raises(FileFormatError):
        load_checkpoint(path)
    arrayfile.write(path, {"w": np.zeros(3)}, {"pellucid": "{}"})
    with pytest.raises(FileFormatError, match="no checkpoint of pellucid"):
        load_checkpoint(path)
    monkeypatch.setattr(module, "VERSION", "3")
    with pytest.raises(FileFormatError, match=r"version '2' .* reads 3"):
        load_checkpoint(saved)
    with pytest.raises(FileFormatError, match="cannot be read: No such file"):
        load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"progress": None},
        {"progress": {"epoch": 1.5}},
        {"progress": {"epoch": True}},
        {"progress": {"step": -3}},
        {"progress": {"epoch": 2, "history": [{}]}},
        {"progress": {"epoch": 1, "history": [3]}},
        {"progress": {"epoch": 1, "history": [{"epoch": 1}]}},
        {"progress": {"epoch": 1, "history": [{"epoch": 1, "step": 2, "images_per_second": "fast", "seconds": 1}]}},
        {"progress": {"sums": {"loss": "much"}}},
        {"progress": {"seconds": "Infinity"}},
        {"progress": {"surprise": 1}},
        {"callbacks": [1]},
        {"callbacks": {"EarlyStopping": 3}},
        {"optimizer": None},
        {"iterations": "many"},
        {"iterations": "Infinity"},
    ],
)
def test_content_with_a_right_checksum_and_wrong_sense_is_refused(saved, change):
    """A checksum does not keep out those who can compute it."""
    texts, arrays = arrayfile.read(saved)
    arrayfile.write(saved, arrays, texts | {"content": json.dumps(json.loads(texts["content"]) | change)})
    with pytest.raises(FileFormatError, match="step-00000012"):
        load_checkpoint(saved)


@pytest.mark.parametrize("name", ["params/line/w", "state/line/mean", "slots/velocity/line/b"])
def test_numbers_that_are_not_finite_are_no_good_checkpoint(saved, name):
    texts, arrays = arrayfile.read(saved)
    arrays[name].flat[0] = np.nan
    arrayfile.write(saved, arrays, texts)
    with pytest.raises(FileFormatError, match=f"{name.partition('/')[2]} holds NaN or infinity"):
        load_checkpoint(saved)


# The folder ----------------------------------------------------------------------------------------------------------


def run(folder, *, steps=None, progress=None, model=None, **settings):
    model = Stub() if model is None else model
    x, y = points()
    callbacks = [Checkpointer(folder, **settings)] + ([StopAt(steps)] if steps else [])
    return fit(model, x, y, batch_size=5, epochs=4, progress=progress, callbacks=callbacks)


def steps(folder):
    return [step for step, _ in checkpoints(folder)]


def test_the_newest_are_kept(tmp_path):
    run(tmp_path, steps=12, every_steps=2, keep=3)
    assert steps(tmp_path) == [8, 10, 12]
    run(tmp_path / "one", every_steps=3, keep=1)
    assert steps(tmp_path / "one") == [20]
    run(tmp_path / "epochs", keep=100, every_seconds=None)
    assert steps(tmp_path / "epochs") == [5, 10, 15, 20]


def test_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpointer, "COST", 1e9)
    run(tmp_path, steps=4, every_seconds=1e-9, keep=100)
    assert steps(tmp_path) == [1, 2, 3, 4]


@pytest.mark.parametrize("background", [False, True])
def test_the_clock_saves_less_often_where_it_costs_too_much(tmp_path, monkeypatch, background):
    write = arrayfile.write

    def slow(*contents):
        time.sleep(0.02)
        write(*contents)

    monkeypatch.setattr(arrayfile, "write", slow)
    run(tmp_path, steps=17, every_seconds=1e-9, keep=100, background=background)  # 0.02 seconds, once in 2 seconds
    assert steps(tmp_path) in ([1, 5, 10, 15, 17], [1, 2, 5, 10, 15, 17])  # epochs, and the end, are always saved


def test_in_the_background_what_is_written_is_the_step_that_was_due(tmp_path, monkeypatch):
    run(tmp_path / "now", every_steps=3, keep=100)
    write = arrayfile.write
    monkeypatch.setattr(arrayfile, "write", lambda *contents: (time.sleep(0.005), write(*contents)))
    run(tmp_path / "beside", every_steps=3, keep=100, background=True)
    assert steps(tmp_path / "beside") == steps(tmp_path / "now")
    for step in steps(tmp_path / "now"):
        one, two = (load_checkpoint(checkpoint_path(tmp_path / name, step)) for name in ("now", "beside"))
        assert one.params["line/w"].tobytes() == two.params["line/w"].tobytes()
        assert one.slots["velocity/line/w"].tobytes() == two.slots["velocity/line/w"].tobytes()
        assert (one.progress.epoch, one.progress.sums) == (two.progress.epoch, two.progress.sums)


def test_in_the_background_trouble_is_told_and_is_over_at_the_end(tmp_path, monkeypatch, capsys):
    write = arrayfile.write

    def full(path, *contents):
        if path.name == "step-00000020.safetensors":
            monkeypatch.setattr(arrayfile, "write", write)  # the disk has room again for the second attempt
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(arrayfile, "write", full)
    run(tmp_path, every_steps=1, background=True)
    assert steps(tmp_path)[-1] == 20
    assert "can be written again" in capsys.readouterr().err


def test_a_bug_in_the_background_is_not_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(arrayfile, "write", lambda *contents: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, every_steps=1, background=True)


def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path, capsys):
    run(tmp_path, steps=12, every_steps=1)
    checkpoint_path(tmp_path, 12).write_bytes(b"\x00" * 100)
    assert latest(tmp_path).progress.step == 11
    assert "step-00000012.safetensors" in (said := capsys.readouterr().err)
    assert "Falling back to the checkpoint before." in said


def test_a_damaged_newest_is_put_aside_and_does_not_displace_sound_ones(tmp_path):
    run(tmp_path, steps=12, every_steps=4, keep=1)
    checkpoint_path(tmp_path, 19).write_bytes(b"damaged")
    said = []
    model = Stub()
    progress = restore(latest(tmp_path, said.append), model)
    assert len(said) == 1
    run(tmp_path, steps=16, progress=progress, model=model, keep=1)
    assert steps(tmp_path) == [16]
    assert (tmp_path / "step-00000019.safetensors.set-aside").exists()
    assert latest(tmp_path, pytest.fail).progress.step == 16


def test_all_damaged_and_none_at_all(tmp_path):
    assert latest(tmp_path) is None
    assert latest(tmp_path / "missing") is None
    checkpoint_path(tmp_path, 1).write_bytes(b"")
    checkpoint_path(tmp_path, 2).write_bytes(b"x")
    said = []
    with pytest.raises(FileFormatError, match="All 2 checkpoints"):
        latest(tmp_path, said.append)
    assert len(said) == 2


def test_stale_temporaries_are_swept_and_nothing_else(tmp_path):
    for name in (".step-00000001.safetensors.abc.tmp", "notes.txt", "step-1.safetensors"):
        (tmp_path / name).write_text("x")
    run(tmp_path, steps=1)
    assert sorted(os.listdir(tmp_path)) == ["notes.txt", "step-00000001.safetensors", "step-1.safetensors"]


def test_a_checkpoint_with_nan_is_never_written(tmp_path, capsys):
    class Poison(StopAt):
        def on_batch_end(self, run, scores):
            if run.progress.step == 3:
                run.model.params["line/w"][1] = np.nan

    model = Stub()
    x, y = points()
    with pytest.raises(training.NonFiniteLossError):
        fit(model, x, y, batch_size=5, epochs=4, callbacks=[Checkpointer(tmp_path, every_steps=1), Poison(3)])
    assert steps(tmp_path) == [1, 2]
    assert "line/w holds NaN or infinity; the one before is kept" in capsys.readouterr().err
    assert np.isfinite(latest(tmp_path).params["line/w"]).all()


def test_a_write_that_fails_is_told_once_and_training_goes_on(tmp_path, monkeypatch, capsys):
    write = arrayfile.write_atomically

    def full(path, fill):
        step = int(path.stem.removeprefix("step-"))
        if 3 <= step <= 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, fill)

    monkeypatch.setattr(arrayfile, "write_atomically", full)
    history = run(tmp_path, every_steps=1, keep=100)
    assert len(history.rows) == 4
    said = capsys.readouterr().err
    assert said.count("No space left on device; the one before is kept") == 1
    assert said.count("can be written again") == 1
    assert steps(tmp_path) == [1, 2, *range(9, 21)]


def test_too_little_room_is_noticed_before_anything_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(arrayfile.shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    run(tmp_path, steps=2)
    assert "No space left on device" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_a_folder_that_disappears_is_made_again(tmp_path):
    import shutil

    class Vanish(Callback):
        def on_batch_end(self, run, scores):
            if run.progress.step == 7:
                shutil.rmtree(tmp_path / "checkpoints")

    x, y = points()
    fit(Stub(), x, y, batch_size=5, epochs=2, callbacks=[Vanish(), Checkpointer(tmp_path / "checkpoints")])
    assert steps(tmp_path / "checkpoints") == [10]


@pytest.mark.parametrize("settings", [{"keep": 0}, {"every_steps": 0}, {"every_seconds": 0}])
def test_impossible_settings_are_refused(tmp_path, settings):
    with pytest.raises(PellucidError, match="Checkpointer got"):
        Checkpointer(tmp_path, **settings)
