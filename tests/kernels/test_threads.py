"""The team of threads: shares work, survives errors, forks and callers from other threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.kernels import activation, conv, threads


@pytest.fixture
def three_threads():
    before = threads.get_num_threads()
    threads.set_num_threads(3)
    yield
    threads.set_num_threads(before)


def test_several_python_threads_may_compute_at_once(three_threads):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((4, 16, 16, 8), np.float32), rng.standard_normal((3, 3, 8, 24), np.float32)
    alone = conv.conv2d(x, kernel)[0]
    with ThreadPoolExecutor(4) as pool:
        for y in pool.map(lambda _: conv.conv2d(x, kernel)[0], range(40)):
            assert np.array_equal(y, alone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_compute():
    code = """
import os
import numpy as np
from pellucid.kernels import activation, threads
threads.set_num_threads(2)
x = np.ones((8, 64, 64, 8), np.float32)
activation.relu(x)
child = os.fork()
if child == 0:
    os._exit(0 if activation.relu(x)[0].sum() == x.size else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_an_error_reaches_the_caller(three_threads):
    x, y = np.zeros(8, np.float32), np.zeros(8, np.float64)  # which is not what relu writes to
    with pytest.raises(TypeError, match="'y'"):
        threads.parallel_for(activation._FORWARD["relu"], 8, x, 0.0, y)
    assert activation.relu(np.ones((1 << 17,), np.float32))[0].sum() == 1 << 17


def test_a_thousand_kernels_one_after_another_are_each_done_whole(three_threads):
    rng = np.random.default_rng(0)
    for turn in range(1000):
        x = rng.standard_normal(int(rng.integers(1, 200_000)), np.float32)
        assert np.array_equal(activation.relu(x)[0], np.maximum(x, 0)), turn


def test_the_number_of_threads_may_change_at_any_time():
    before = threads.get_num_threads()
    x = np.arange(-50_000, 50_000, dtype=np.float32)
    try:
        for count in (2, 4, 1, 3, 2, 5):
            threads.set_num_threads(count)
            for _ in range(20):
                assert np.array_equal(activation.relu(x)[0], np.maximum(x, 0))
    finally:
        threads.set_num_threads(before)


def test_helpers_without_work_go_to_sleep(three_threads):
    x = np.ones(1 << 18, np.float32)
    for _ in range(10):
        activation.relu(x)
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1


def test_a_program_may_end_while_helpers_are_watching():
    code = """
import numpy as np
from pellucid.kernels import activation, threads
threads.set_num_threads(4)
for _ in range(50):
    activation.relu(np.ones(1 << 18, np.float32))
"""
    for _ in range(5):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_senseless_number_of_threads_is_refused(count):
    with pytest.raises(PellucidError, match="whole number"):
        threads.set_num_threads(count)
