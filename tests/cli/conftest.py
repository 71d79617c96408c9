"""The command as its users meet it: in a process of its own, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

TIMES = ("seconds", "images_per_second")


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    status: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


def start(
    *arguments: object, cwd: Path, backend: str = "numpy", prefix: Sequence[str] = (), **options
) -> subprocess.Popen:
    """Begin a command, itself the argument of another one that is its ``prefix``. NumPy starts fastest."""
    environment = {**os.environ, "PELLUCID_BACKEND": backend, "COLUMNS": "200", "PYTHONWARNINGS": "error"}
    environment.pop("PELLUCID_DEBUG", None)
    environment.pop("PELLUCID_DATA", None)
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "pellucid", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        preexec_fn=None if os.name == "nt" else _listening,
        **options,
    )


def _listening() -> None:
    """Ctrl-C counts in the command even if this process was started in the background, where it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen) -> Answer:
    out, err = process.communicate(timeout=300)
    return Answer(process.returncode, out, err)


def run(*arguments: object, cwd: Path, backend: str = "numpy") -> Answer:
    return finish(start(*arguments, cwd=cwd, backend=backend))


def good(*arguments: object, cwd: Path, backend: str = "numpy") -> Answer:
    """Run a command that has to succeed without a word of complaint from Python."""
    answer = run(*arguments, cwd=cwd, backend=backend)
    assert answer.status == 0, answer
    assert "Traceback" not in answer.err
    return answer


def rows(folder: Path) -> list[dict]:
    """The lines of a run's metrics.jsonl, without what depends on the clock."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIMES} for line in lines]


@pytest.fixture
def command(tmp_path) -> Callable[..., Answer]:
    """``command("train", "digits")`` in a new folder; see ``run``."""

    def call(*arguments: object, backend: str = "numpy") -> Answer:
        return run(*arguments, cwd=tmp_path, backend=backend)

    return call


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory) -> tuple[Path, Answer]:
    """``pellucid train digits``, nothing else: what every newcomer types first. (folder, what was printed)"""
    home = tmp_path_factory.mktemp("digits")
    answer = good("train", "digits", cwd=home, backend="native")
    (folder,) = (home / "runs").iterdir()
    return folder, answer


@pytest.fixture(scope="session")
def small_images(tmp_path_factory) -> Path:
    """An .npz of 80 images 12x12x3 in 4 classes that a network can tell apart, with a test part."""
    rng = np.random.default_rng(0)
    y = np.arange(80) % 4
    x = rng.integers(0, 100, (80, 12, 12, 3))
    x[np.arange(80), 3 * y, :, :] += 150
    path = tmp_path_factory.mktemp("images") / "small.npz"
    x = x.astype(np.uint8)
    np.savez(path, x=x[:60], y=y[:60], x_test=x[60:], y_test=y[60:], class_names=np.array(["north", "a", "b", "south"]))
    return path


@pytest.fixture(scope="session")
def short_run(tmp_path_factory, small_images) -> tuple[Path, Answer]:
    """Three epochs on the small images, with a checkpoint every 10 steps. (folder, what was printed)"""
    home = tmp_path_factory.mktemp("short")
    settings = ("--model", "cnn1_avg", "--epochs", 3, "--batch-size", 2, "--seed", 5, "--checkpoint.every-steps", 10)
    return home / "run", good("train", small_images, *settings, "--out", "run", cwd=home)
