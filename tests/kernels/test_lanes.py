"""The kernels give right results for every width of vectors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np
from pellucid import ops
from pellucid.kernels import conv, dense, machine, norm, threads, winograd

threads.set_num_threads(2)
rng = np.random.default_rng(0)


def draw(*shape):
    return rng.standard_normal(shape, np.float32)


def close(native, reference):
    for a, b in zip(native, reference, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * max(1, np.abs(b).max())


for channels, filters, settings in [
    (3, 16, {"padding": "same"}), (5, 33, {"strides": 2, "padding": 1}), (16, 70, {"padding": 1}), (8, 6, {"groups": 2}),
    (7, 7, {"groups": 7}), (12, 9, {"dilation": 2}),
]:
    x, kernel, bias = draw(3, 9, 10, channels), draw(3, 3, channels // settings.get("groups", 1), filters), draw(filters)
    y, cache = conv.conv2d(x, kernel, bias, **settings)
    wanted, reference_cache = ops.conv2d(*(a.astype(np.float64) for a in (x, kernel, bias)), **settings)
    dy = draw(*y.shape)
    close([y, *conv.conv2d_backward(dy, cache)], [wanted, *ops.conv2d_backward(dy.astype(np.float64), reference_cache)])

for size, channels, filters in [(9, 20, 33), (3, 16, 5)]:
    x, kernel, bias = draw(3, size, size, channels), draw(3, 3, channels, filters), draw(filters)
    y, cache = winograd.conv2d(x, kernel, bias, padding=1)
    wanted, reference_cache = ops.conv2d(*(a.astype(np.float64) for a in (x, kernel, bias)), padding=1)
    dy = draw(*y.shape)
    close([y, *winograd.conv2d_backward(dy, cache)], [wanted, *ops.conv2d_backward(dy.astype(np.float64), reference_cache)])

for n, ci, co in [(1, 1, 1), (17, 300, 10), (64, 33, 129)]:
    x, kernel, bias, dy = draw(n, ci), draw(ci, co), draw(co), draw(n, co)
    y, cache = dense.dense(x, kernel, bias)
    wanted, reference_cache = ops.dense(*(a.astype(np.float64) for a in (x, kernel, bias)))
    close([y, *dense.dense_backward(dy, cache)], [wanted, *ops.dense_backward(dy.astype(np.float64), reference_cache)])

for channels in (1, 5, 70):
    x, dy = draw(4, 6, 6, channels), draw(4, 6, 6, channels)
    weights = [draw(channels), draw(channels), np.zeros(channels, np.float32), np.ones(channels, np.float32)]
    double = [a.astype(np.float64) for a in weights]
    y, cache = norm.batch_norm(x, *weights, training=True)
    wanted, reference_cache = ops.batch_norm(x.astype(np.float64), *double, training=True)
    close([y, *norm.batch_norm_backward(dy, cache)], [wanted, *ops.batch_norm_backward(dy.astype(np.float64), reference_cache)])
print(machine.vectors().lanes)
"""


@pytest.mark.parametrize("lanes", [1, 4, 8, 16])
def test_every_width_of_vectors_gives_right_results(lanes):
    environment = {**os.environ, "PELLUCID_VECTOR_LANES": str(lanes)}
    result = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(lanes)
