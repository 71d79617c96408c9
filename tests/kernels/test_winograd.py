"""Winograd's convolution equals the reference to 1e-5 of the largest value."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import ops
from pellucid.kernels import set_winograd, winograd, winograd_enabled
from pellucid.kernels.transforms import POINTS, matrices

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "30"))
sides = st.tuples(st.integers(0, 3), st.integers(0, 3))


def compare(same_bits, x_shape, filters, padding, seed, bias=True):
    rng = np.random.default_rng(seed)
    x, kernel = rng.standard_normal(x_shape, np.float32), rng.standard_normal((3, 3, x_shape[3], filters), np.float32)
    b = rng.standard_normal(filters, np.float32) if bias else None
    wanted, cache = ops.conv2d(*(a if a is None else a.astype(np.float64) for a in (x, kernel, b)), padding=padding)
    dy = rng.standard_normal(wanted.shape, np.float32)

    def native():
        y, cache = winograd.conv2d(x, kernel, b, padding=padding)
        return y, *winograd.conv2d_backward(dy, cache)

    exact = (wanted, *ops.conv2d_backward(dy.astype(np.float64), cache))
    for name, a, e in zip(("y", "dx", "dkernel", "dbias"), same_bits(native), exact, strict=True):
        if e is None:
            assert a is None
            continue
        assert a.dtype == np.float32
        assert a.shape == e.shape
        # a number of the transformed sums is about sqrt(length) large, whatever the result it ends in
        length = {"y": 9 * x_shape[3], "dx": 9 * filters}.get(name, int(np.prod(dy.shape[:3])))
        assert np.abs(a - e).max() <= 1e-5 * max(np.abs(e).max(), np.sqrt(length)), name


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.integers(1, 5),
    st.tuples(st.integers(3, 20), st.integers(3, 20)),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.one_of(st.just("valid"), st.just("same"), st.tuples(sides, sides)),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_image_equals_the_reference(same_bits, n, size, channels, padding, bias, seed):
    compare(same_bits, (n, *size, channels[0]), channels[1], padding, seed, bias)


@pytest.mark.parametrize(
    ("x_shape", "filters", "padding"),
    [
        ((6, 8, 8, 144), 130, 1),
        ((70, 3, 3, 100), 100, 1),
        ((3, 17, 9, 96), 130, "same"),
        ((40, 7, 7, 150), 128, "valid"),
    ],
)
def test_many_channels_equal_the_reference(same_bits, x_shape, filters, padding):
    compare(same_bits, x_shape, filters, padding, 0)


@pytest.mark.parametrize("m", POINTS)
def test_the_matrices_give_the_convolution_exactly(m):
    rng = np.random.default_rng(m)
    a, g, b = (np.array(matrix, object) for matrix in matrices(m))
    image, taps = rng.integers(-9, 9, (m + 2, m + 2)), rng.integers(-9, 9, (3, 3))
    tile = a @ ((g @ taps @ g.T) * (b @ image @ b.T)) @ a.T
    wanted = ops.conv2d(image.reshape(1, m + 2, m + 2, 1) * 1.0, taps.reshape(3, 3, 1, 1) * 1.0)[0][0, :, :, 0]
    assert (tile == wanted).all()


def test_it_is_used_where_it_pays_and_can_be_switched_off():
    x, kernel = np.zeros((64, 16, 16, 32), np.float32), np.zeros((3, 3, 32, 64), np.float32)
    before = winograd_enabled()
    set_winograd(True)
    assert winograd.accepts_conv2d(x, kernel, padding="same")
    assert winograd.accepts_conv2d(x, kernel, padding=[1, 1], strides=(1, 1))
    assert not winograd.accepts_conv2d(x, kernel, padding="same", strides=2)
    assert not winograd.accepts_conv2d(x, kernel, padding="same", dilation=(1, 2))
    assert not winograd.accepts_conv2d(x[:, :, :, :16], kernel, padding="same", groups=2)
    assert not winograd.accepts_conv2d(x[..., :3], kernel[:, :, :3], padding="same")
    assert not winograd.accepts_conv2d(x[:1], kernel, padding="same")
    set_winograd(False)
    assert not winograd.accepts_conv2d(x, kernel, padding="same")
    set_winograd(before)


def test_the_environment_switches_it_off():
    code = "from pellucid.kernels import winograd_enabled; raise SystemExit(winograd_enabled())"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PELLUCID_WINOGRAD": "0"}, check=True)
