"""A real process that trains, and what happens to it: signals at any moment, a full disk, a pipe that closes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pellucid.training import RunFolder, latest

from .models import lines, timeless

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals and limits")
PROGRAM = Path(__file__).with_name("digits_run.py")
ENVIRONMENT = os.environ | {"PELLUCID_BACKEND": "numpy", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


def start(folder, *options, **settings):
    data = folder.parent.parent / "digits.npz"
    if not data.exists():
        digits = load_digits()
        np.savez(data, x=digits.images[:300, ..., None].astype(np.float32) / 16, y=digits.target[:300])
    command = [sys.executable, str(PROGRAM), str(folder), str(data), str(folder) + ".result", *map(str, options)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    return subprocess.Popen(command, **(pipes | settings))


def finish(folder, *options, code=0):
    """Run to the end; returns what it printed."""
    with start(folder, *options) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out, err


def wait_for_step(process, step):
    for line in process.stdout:
        if line == f"step {step}\n":
            return
    raise AssertionError(process.stderr.read())


def assert_like(folder, whole):
    assert Path(f"{folder}.result").read_bytes() == Path(f"{whole}.result").read_bytes()
    assert timeless(lines(folder / "metrics.jsonl")) == timeless(lines(whole / "metrics.jsonl"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(folder)
    return folder


def test_killed_at_random_moments_and_resumed_it_is_the_same_run(tmp_path, whole):
    folder = tmp_path / "run"
    for step, delay in ((2, 0.0), (3, 0.011), (9, 0.016)):  # in the middle of a step, of a write, of whatever it is
        with start(folder, "--slow", 0.01) as process:
            wait_for_step(process, step)
            time.sleep(delay)
            process.kill()
        assert process.wait() == -signal.SIGKILL
        RunFolder.open(folder)
        assert latest(folder.joinpath("checkpoints"), pytest.fail).progress.step >= step
    finish(folder)
    assert_like(folder, whole)


def test_killed_in_the_middle_of_writing_a_checkpoint(tmp_path, whole):
    folder = tmp_path / "run"
    finish(folder, "--die-in-write", 10, code=-signal.SIGKILL)
    assert latest(folder / "checkpoints", pytest.fail).progress.step == 9
    assert list((folder / "checkpoints").glob(".*.tmp"))
    finish(folder)
    assert not list((folder / "checkpoints").glob(".*.tmp"))
    assert_like(folder, whole)


def test_asked_to_stop_it_saves_and_tells_how_to_go_on(tmp_path, whole):
    folder = tmp_path / "run"
    for name, step in (("SIGINT", 2), ("SIGTERM", 8), ("SIGHUP", 16)):
        with start(folder, "--slow", 0.05) as process:
            wait_for_step(process, step)
            process.send_signal(getattr(signal, name))
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert f"Stopped by {name} in epoch {1 + step // 7}, after step" in err
        assert f"everything is saved. Continue with: pellucid resume {folder}" in err
        assert latest(folder / "checkpoints").progress.stop_reason == name
    finish(folder)
    assert_like(folder, whole)


def test_the_second_ctrl_c_leaves_at_once_and_still_consistent(tmp_path, whole):
    folder = tmp_path / "run"
    with start(folder, "--slow", 3) as process:
        wait_for_step(process, 1)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert time.monotonic() - begin < 3
    assert process.returncode == -signal.SIGINT
    assert latest(folder / "checkpoints", pytest.fail).progress.step == 1
    finish(folder)
    assert_like(folder, whole)


def test_a_full_disk_is_reported_and_training_goes_on(tmp_path, whole):
    folder = tmp_path / "run"
    with start(folder, "--slow", 0.01) as process:
        wait_for_step(process, 4)
        process.kill()
    _, err = finish(folder, "--fsize", 3000)  # nothing larger can be written from here on
    assert err.count("could not be written") >= 2  # the checkpoint, the model
    assert "File too large; the one before is kept" in err
    kept = latest(folder / "checkpoints", pytest.fail)
    assert kept.progress.step in (3, 4, 5)
    assert not list((folder / "checkpoints").glob(".*.tmp"))
    rows = timeless(lines(folder / "metrics.jsonl"))
    assert rows == timeless(lines(whole / "metrics.jsonl"))  # the training itself has come to its end
    finish(folder)  # and with room on the disk it can be repeated from the checkpoint that was kept
    assert_like(folder, whole)


def test_nan_ends_the_training_and_keeps_the_last_good_checkpoint(tmp_path):
    folder = tmp_path / "run"
    _, err = finish(folder, "--learning-rate", "1e38", code=1)
    assert "NonFiniteLossError: The loss became" in err
    assert "try 1e+37" in err
    checkpoint = latest(folder / "checkpoints", pytest.fail)
    assert checkpoint is None or checkpoint.damaged() is None
    with RunFolder.open(folder).locked():
        pass


def test_two_processes_on_one_run_are_refused(tmp_path):
    folder = tmp_path / "run"
    with start(folder, "--slow", 0.5) as process:
        wait_for_step(process, 1)
        _, err = finish(folder, code=1)
        assert f"Another process (process {process.pid} on" in err
        process.kill()
