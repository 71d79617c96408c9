"""What happens to a run in real life: the terminal is closed, the reader of a pipe leaves, the disk fills or refuses."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

import pytest

from pellucid.training import RunFolder, latest

from .conftest import finish, good, rows, start

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX terminals, signals and mounts")
ENDLESS = ("--model", "cnn1_avg", "--epochs", 100_000)
EPOCHS = 40
LONG = ("--model", "cnn1_avg", "--epochs", EPOCHS, "--batch-size", 8, "--checkpoint.every-steps", 20)


def wait_for(condition, process):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline
        time.sleep(0.002)


def checkpointed(folder):
    return lambda: any((folder / "checkpoints").glob("step-*.safetensors"))


@pytest.fixture(scope="module")
def whole(small_images, tmp_path_factory):
    home = tmp_path_factory.mktemp("whole")
    good("train", small_images, *LONG, "--out", "run", cwd=home)
    return rows(home / "run")


def test_a_terminal_that_is_closed_ends_a_run_that_can_be_resumed(small_images, tmp_path):
    pty = pytest.importorskip("pty")
    command = [sys.executable, "-m", "pellucid", "train", str(small_images), *map(str, ENDLESS), "--out", "run"]
    pid, terminal = pty.fork()
    if pid == 0:  # as in a shell, also where the tests themselves were started with SIGHUP ignored
        os.chdir(tmp_path)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.execve(sys.executable, command, os.environ | {"PELLUCID_BACKEND": "numpy"})
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.05)[0]:  # somebody has to read, or the program waits
            os.read(terminal, 65536)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 129
    checkpoint = latest(tmp_path / "run/checkpoints", pytest.fail)
    assert checkpoint.progress.stop_reason == "SIGHUP"
    good("resume", "run", "--epochs", checkpoint.progress.epoch + 1, cwd=tmp_path)


def test_a_reader_who_leaves_does_not_end_the_run(small_images, tmp_path):
    process = start("train", small_images, "--model", "cnn1_avg", "--epochs", 30, "--out", "run", cwd=tmp_path)
    process.stdout.readline()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(120) == 0
    assert rows(tmp_path / "run")[-2]["epoch"] == 30
    assert "test_accuracy" in rows(tmp_path / "run")[-1]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    with contextlib.suppress(OSError):
        if subprocess.run(command, capture_output=True).returncode == 0:
            yield disk
            subprocess.run(["umount", "-l", str(disk)], check=True)
            return
    pytest.skip("no right to mount a file system here")


def test_a_disk_that_fills_up_costs_nothing_that_was_saved(small_disk, small_images, whole, tmp_path):
    run = small_disk / "run"
    process = start("train", small_images, *LONG, "--out", run, cwd=tmp_path)
    wait_for(checkpointed(run), process)
    with contextlib.suppress(OSError), open(small_disk / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(512))
    answer = finish(process)
    assert answer.status == 0, answer
    said = answer.out + answer.err
    assert "could not be written" in said
    assert "No space left on device" in said
    assert "The line of the test could not be written" in said
    assert "Traceback" not in said
    kept = latest(run / "checkpoints", pytest.fail)
    assert kept.progress.epoch < EPOCHS
    assert not list(run.rglob(".*.tmp"))
    assert rows(run) == whole[: len(rows(run))]  # no half lines
    (small_disk / "filler").unlink()
    good("resume", run, cwd=tmp_path)
    assert rows(run) == whole


def read_only(folder, yes):
    """Refuse all writing below a folder; root is refused nothing but what is immutable."""
    for path in (folder, folder / "checkpoints"):
        if os.geteuid():
            path.chmod(0o555 if yes else 0o755)
        elif subprocess.run(["chattr", "+i" if yes else "-i", str(path)], capture_output=True).returncode:
            pytest.skip("no way to make a folder read-only here")


def test_a_disk_that_becomes_read_only_costs_nothing_that_was_saved(small_images, whole, tmp_path):
    run = tmp_path / "run"
    process = start("train", small_images, *LONG, "--out", run, cwd=tmp_path)
    wait_for(checkpointed(run), process)
    try:
        read_only(run, True)
        answer = finish(process)
        assert answer.status == 0, answer
        said = answer.out + answer.err
        assert "could not be written" in said
        assert "not permitted" in said or "denied" in said
        assert "Traceback" not in said
        assert latest(run / "checkpoints", pytest.fail).progress.epoch < EPOCHS
    finally:
        process.kill()
        read_only(run, False)
    good("resume", run, cwd=tmp_path)
    assert rows(run) == whole


def test_a_run_that_was_suspended_goes_on_as_if_nothing_had_been(small_images, whole, tmp_path):
    process = start("train", small_images, *LONG, "--out", "run", cwd=tmp_path)
    wait_for(checkpointed(tmp_path / "run"), process)
    for _ in range(3):
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.05)
    answer = finish(process)
    assert answer.status == 0, answer
    assert rows(tmp_path / "run") == whole


def test_a_run_folder_that_is_removed_is_made_again_and_the_run_goes_on(small_images, whole, tmp_path):
    process = start("train", small_images, *LONG, "--out", "run", cwd=tmp_path)
    wait_for(checkpointed(tmp_path / "run"), process)
    os.replace(tmp_path / "run", tmp_path / "removed")  # at once, as seen from the run
    answer = finish(process)
    assert answer.status == 0, answer
    assert "had disappeared and is made again" in answer.out + answer.err
    assert rows(tmp_path / "run")[:-1] == whole[:-1]  # the test is of the best model since: the one before is gone
    assert "test_accuracy" in rows(tmp_path / "run")[-1]
    good("evaluate", "run", cwd=tmp_path)


def test_a_checkpoint_that_is_cut_off_is_passed_over_and_said(small_images, whole, tmp_path):
    process = start("train", small_images, *LONG, "--out", "run", cwd=tmp_path)
    wait_for(lambda: len(list((tmp_path / "run/checkpoints").glob("step-*.safetensors"))) > 1, process)
    process.send_signal(signal.SIGTERM)
    finish(process)
    newest = max((tmp_path / "run/checkpoints").glob("step-*.safetensors"))
    os.truncate(newest, newest.stat().st_size // 2)
    answer = good("resume", "run", cwd=tmp_path)
    assert "Falling back to the checkpoint before." in answer.out + answer.err
    assert rows(tmp_path / "run") == whole


def test_after_the_computer_was_off_all_clocks_may_differ(small_images, whole, tmp_path):
    """A monotonic clock begins anew with every start of the computer; nothing of it may be remembered."""
    later = ["unshare", "--time", "--monotonic", "90000000", "--boottime", "90000000"]
    with contextlib.suppress(OSError):
        if subprocess.run([*later, "true"], capture_output=True).returncode == 0:
            process = start("train", small_images, *LONG, "--out", "run", cwd=tmp_path, prefix=later)
            wait_for(checkpointed(tmp_path / "run"), process)
            process.send_signal(signal.SIGTERM)
            finish(process)
            good("resume", "run", cwd=tmp_path)
            assert rows(tmp_path / "run") == whole
            return
    pytest.skip("no right to change a process's clock here")


def test_two_commands_on_one_run_are_refused(small_images, tmp_path):
    process = start("train", small_images, *ENDLESS, "--out", "run", cwd=tmp_path)
    wait_for(checkpointed(tmp_path / "run"), process)
    answer = finish(start("resume", "run", cwd=tmp_path))
    process.kill()
    finish(process)
    assert answer.status == 2
    assert f"Another process (process {process.pid} on " in answer.err
    with RunFolder.open(tmp_path / "run").locked():
        pass
