"""A second process compiles what a training needs later; nothing depends on whether it does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pellucid.kernels import ahead, jit

TRAINING = """
import sys
import numpy as np
from pellucid import Sequential, layers
from pellucid.kernels import ahead, cache
{before}
started = []
popen = ahead.subprocess.Popen
ahead.subprocess.Popen = lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
model = Sequential([layers.Dense(8, activation="relu"), layers.Dense(3, activation="softmax")])
model.compile("sgd", input_shape=(4,), metrics=())
x, y = np.random.default_rng(0).standard_normal((6, 4), np.float32), np.arange(6) % 3
{work}
print(*[process.pid for process in started])
print(*sorted(cache.compiled))
"""
STEP = "print(model.train_on_batch(x, y))"


def run(cache: str, before: str = "", work: str = STEP, **environment: str) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", TRAINING.format(before=before, work=work)],
        env={**os.environ, "PELLUCID_CACHE_DIR": cache, "PELLUCID_NUM_THREADS": "2", **environment},
        check=True, capture_output=True, text=True, timeout=300,
    ).stdout.splitlines()  # fmt: skip


@pytest.fixture(scope="module")
def loss() -> str:
    """What the training gives without another process."""
    loss, started, _ = run("off")
    assert not started
    return loss


def alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True


def test_it_compiles_each_kernel_once_and_ends_with_the_training(tmp_path, loss):
    found, started, compiled = run(str(tmp_path))
    assert found == loss
    assert not alive(started)
    assert len(set(compiled.split())) == len(compiled.split())
    assert {"relu_forward", "relu_backward"} <= set(compiled.split())
    assert run(str(tmp_path)) == [loss, "", ""]


@pytest.mark.parametrize(
    "failure",
    [
        "ahead.PROGRAM = 'raise SystemExit(1)'",  # it dies
        "ahead.PROGRAM, ahead.PATIENCE = 'import time; time.sleep(600)', 0.1",  # it does not answer
        "ahead.PROGRAM = 'while True: print(flush=True)'",  # it says that it is done, and is not
        "sys.executable = '/there/is/no/python'",
    ],
)
def test_a_training_does_not_need_it(tmp_path, loss, failure):
    found, started, compiled = run(str(tmp_path), failure)
    assert found == loss
    assert "relu_backward" in compiled
    assert not started or not alive(started)


def test_who_only_asks_or_uses_one_thread_starts_nothing(tmp_path):
    assert run(str(tmp_path), work="print(model.predict(x).shape)")[:2] == ["(6, 3)", ""]
    assert run(str(tmp_path), PELLUCID_NUM_THREADS="1")[1] == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks on this system")
def test_a_forked_process_leaves_the_one_of_its_parent_alone(tmp_path, loss):
    fork = "import os\nmodel.train_on_batch(x, y)\npid = os.fork()\n"
    inside = "assert ahead._assistant is None if pid == 0 else ahead._assistant is not None\nif pid == 0: os._exit(0)\n"
    run(str(tmp_path), work=f"{fork}{inside}assert os.waitpid(pid, 0)[1] == 0\nprint()")


def test_all_names_are_those_of_kernels():
    names = [*ahead.FOLLOWERS, *(name for names in ahead.FOLLOWERS.values() for name in names)]
    assert not {ahead.PACKAGE + name for name in names} - jit.KERNELS.keys()
