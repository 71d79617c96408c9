"""The run folder: never overwritten, trained in by one process at a time."""

import os
import shutil
import subprocess
import sys

import pytest

from pellucid.errors import FileFormatError, PellucidError
from pellucid.training import BestModel, Callback, Checkpointer, KeepFolder, MetricsFile, RunFolder, fit, latest

from .models import Stub, lines, points, timeless


def test_create_and_open(tmp_path):
    made = RunFolder.create(tmp_path / "runs" / "a", 'epochs = 5\nname = "Größe"\n')
    folder = RunFolder.open(tmp_path / "runs" / "a")
    assert folder.read_config() == 'epochs = 5\nname = "Größe"\n'
    assert folder.path == made.path
    assert folder.checkpoints.is_dir()
    names = (folder.config, folder.metrics, folder.checkpoints, folder.model, folder.report)
    assert [path.name for path in names] == [
        "config.toml",
        "metrics.jsonl",
        "checkpoints",
        "model.safetensors",
        "report",
    ]


def test_what_is_there_is_never_touched(tmp_path):
    RunFolder.create(tmp_path / "a", "first")
    with pytest.raises(PellucidError, match=r"a exists already .*pellucid resume .*a`, or .*--out"):
        RunFolder.create(tmp_path / "a", "second")
    assert (tmp_path / "a" / "config.toml").read_text() == "first"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PellucidError, match="exists already"):
        RunFolder.create(tmp_path / "file", "")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(PellucidError, match="exists already"):
        RunFolder.create(tmp_path / "full", "")
    assert os.listdir(tmp_path / "full") == ["thesis.tex"]


def test_an_empty_folder_is_taken(tmp_path):
    assert RunFolder.create(tmp_path, "x").read_config() == "x"


def test_where_no_folder_can_be_made_the_error_proposes_another(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PellucidError, match=r"cannot be made: Not a directory\. Choose another folder with --out"):
        RunFolder.create(tmp_path / "file" / "run", "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folders(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "")
    tmp_path.chmod(0o555)
    folder.path.chmod(0o555)
    try:
        with pytest.raises(PellucidError, match="cannot be made: Permission denied"):
            RunFolder.create(tmp_path / "b", "")
        with pytest.raises(PellucidError, match="cannot be written to"), folder.locked():
            pass
    finally:
        tmp_path.chmod(0o755)
        folder.path.chmod(0o755)


def test_a_read_only_run_is_refused(tmp_path, monkeypatch):
    folder = RunFolder.create(tmp_path / "run", "")

    def refuse(*arguments):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PellucidError, match=r"cannot be written to .Read-only file system"), folder.locked():
        pass


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
def test_what_is_no_run_is_refused(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "file":
        path.write_text("")
    if kind == "empty":
        path.mkdir()
    reason = {"missing": "does not exist", "file": "is no folder", "empty": "has no config.toml"}[kind]
    with pytest.raises(FileFormatError, match=f"not the folder of a run: it {reason}"):
        RunFolder.open(path)


def test_an_unreadable_config_is_explained(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "")
    folder.config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileFormatError, match=r"config\.toml cannot be read"):
        folder.read_config()


def test_two_at_a_time_are_refused(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "")
    other = RunFolder.open(folder.path)
    words = rf"Another process .process {os.getpid()} on .* is training in"
    with folder.locked(), pytest.raises(PellucidError, match=words), other.locked():
        pass
    with folder.locked():
        pass


HOLD = """
import sys, time
from pellucid.training import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_of_a_dead_process_counts_for_nothing(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder.path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            with pytest.raises(PellucidError, match=f"process {process.pid} on"), folder.locked():
                pass
        finally:
            process.kill()
        process.wait()
        with folder.locked():
            pass


def test_stale_temporaries_are_swept_only_under_the_lock(tmp_path):
    folder = RunFolder.create(tmp_path / "run", "")
    stale = [folder.path / ".model.safetensors.x1.tmp", folder.checkpoints / ".step-00000001.safetensors.x.tmp"]
    stale.append(folder.failures / ".step-00000001.json.x.tmp")
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    RunFolder.open(folder.path)
    assert all(path.exists() for path in stale)
    with folder.locked():
        assert not any(path.exists() for path in stale)


def test_a_file_system_without_locks_does_not_prevent_training(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*arguments):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with RunFolder.create(tmp_path / "run", "").locked():
        pass


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("mine"), r"not overwritten\. It is a file\. Choose another folder with --out\.$"),
        (lambda path: (path / "sub").mkdir(parents=True), r"It is not empty and no run\. Choose another"),
        (
            lambda path: RunFolder.create(path, ""),
            r"Continue that run with `pellucid resume .*taken`, or choose another",
        ),
    ],
)
def test_only_a_run_is_proposed_for_resuming(tmp_path, make, words):
    make(tmp_path / "taken")
    with pytest.raises(PellucidError, match=words):
        RunFolder.create(tmp_path / "taken", "")


class Vanish(Callback):
    """The run's folder is removed, and perhaps something else stands in its place."""

    def __init__(self, path, step, then=lambda path: None):
        self.path, self.step, self.then = path, step, then

    def on_batch_end(self, run, scores):
        if run.progress.step == self.step:
            shutil.rmtree(self.path)
            self.then(self.path)


def train(folder, *callbacks):
    (folder.path / "data.json").write_text("{}")
    x, y = points()
    with folder.locked():
        kept = [KeepFolder(folder, "data.json"), MetricsFile(folder.metrics), BestModel(folder.model)]
        settings = {"batch_size": 5, "epochs": 4, "validation": (x, y)}
        fit(Stub(), x, y, **settings, callbacks=[*kept, Checkpointer(folder.checkpoints), *callbacks])


@pytest.mark.parametrize("step", [3, 5, 12, 20])
def test_a_run_folder_that_disappears_is_made_again(tmp_path, capsys, step):
    folder, other = (RunFolder.create(tmp_path / name, "epochs = 4") for name in ("run", "whole"))

    class Second(Callback):
        order = 10

        def on_epoch_end(self, run, row):
            if row["epoch"] == 4 and step < 20:
                with pytest.raises(PellucidError, match="Another process"), RunFolder.open(folder.path).locked():
                    pass

    train(other)
    train(folder, Vanish(folder.path, step), Second())
    assert capsys.readouterr().err.count("had disappeared and is made again") == 1
    assert RunFolder.open(folder.path).read_config() == "epochs = 4"
    assert (folder.path / "data.json").read_text() == "{}"
    assert timeless(lines(folder.metrics)) == timeless(lines(other.metrics))
    assert latest(folder.checkpoints).progress.epoch == 4
    assert folder.model.is_file()
    with folder.locked():
        pass


def test_a_run_folder_that_cannot_be_made_again_does_not_end_the_training(tmp_path, capsys):
    folder = RunFolder.create(tmp_path / "run", "")
    train(folder, Vanish(folder.path, 7, lambda path: path.write_text("in the way")))
    said = capsys.readouterr().err
    assert "run has disappeared and cannot be made again" in said
    assert "The checkpoint of step 10 could not be written" in said
