"""Compiled convolutions equal the reference, whatever the geometry."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import ops
from pellucid.kernels import conv

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "60"))
sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def cases(draw):
    """(x shape, kernel shape, settings) of a convolution, any that is possible."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    if draw(st.integers(0, 9)) == 0:
        groups = ci = co = draw(st.integers(2, 40))  # depthwise
    else:
        ci = groups * draw(st.integers(1, 70 // groups))
        co = groups * draw(st.integers(1, 70 // groups))
    kernel_size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    strides, dilation = draw(pairs), draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (3, 2)]))
    padding = draw(st.one_of(st.just("valid"), st.just("same"), st.tuples(sides, sides)))
    least = []
    for axis in (0, 1):
        around = sum(padding[axis]) if isinstance(padding, tuple) else 0
        least.append(max(1, (kernel_size[axis] - 1) * dilation[axis] + 1 - around))
    size = [draw(st.integers(low, low + 16)) for low in least]
    n = draw(st.integers(1, 5))
    settings_ = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    return (n, *size, ci), (*kernel_size, ci // groups, co), settings_


def compare(agrees, same_bits, x, kernel, bias, settings_, seed):
    """Forward and all gradients beside the float64 reference; the bound comes from the same op on absolute values."""

    def exact(change, x, kernel, bias, dy):
        x, kernel, dy = (change(a.astype(np.float64)) for a in (x, kernel, dy))
        bias = None if bias is None else change(bias.astype(np.float64))
        y, cache = ops.conv2d(x, kernel, bias, **settings_)
        return y, *ops.conv2d_backward(dy, cache)

    y_shape = ops.conv2d(x, kernel, bias, **settings_)[0].shape
    dy = np.random.default_rng(seed).standard_normal(y_shape).astype(np.float32)

    def native():
        y, cache = conv.conv2d(x, kernel, bias, **settings_)
        return y, *conv.conv2d_backward(dy, cache)

    taps, pixels = kernel.shape[0] * kernel.shape[1], int(np.prod(y_shape[:3]))
    lengths = [taps * kernel.shape[2], taps * kernel.shape[3] // settings_.get("groups", 1), pixels, pixels]
    wanted, magnitudes = exact(lambda a: a, x, kernel, bias, dy), exact(np.abs, x, kernel, bias, dy)
    for name, a, b, m, length in zip(
        ("y", "dx", "dkernel", "dbias"), same_bits(native), wanted, magnitudes, lengths, strict=True
    ):
        if b is None:
            assert a is None
        else:
            agrees(name, a, b, m, length)


def draw_arrays(seed, x_shape, kernel_shape, bias=True):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in (x_shape, kernel_shape, kernel_shape[3:])]
    return arrays if bias else [*arrays[:2], None]


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(), st.integers(0, 2**32 - 1), st.booleans())
def test_any_convolution_equals_the_reference(agrees, same_bits, case, seed, bias):
    x_shape, kernel_shape, settings_ = case
    compare(agrees, same_bits, *draw_arrays(seed, x_shape, kernel_shape, bias), settings_, seed + 1)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "settings_"),
    [
        ((3, 32, 32, 3), (5, 5, 3, 32), {"padding": "same"}),
        ((2, 31, 31, 24), (3, 3, 24, 64), {"padding": 1}),
        ((3, 7, 7, 70), (3, 3, 70, 65), {"padding": 1}),
        ((2, 3, 3, 256), (3, 3, 256, 256), {"padding": 1}),
        ((2, 14, 14, 64), (1, 1, 64, 128), {"strides": 2}),
        ((2, 14, 14, 64), (1, 1, 64, 20), {}),
        ((40, 1, 1, 64), (1, 1, 64, 33), {}),
        ((1, 224, 224, 3), (7, 7, 3, 8), {"strides": 2, "padding": 3}),
        ((5, 8, 8, 64), (3, 3, 1, 64), {"padding": "same", "groups": 64}),
        ((1, 9, 9, 8), (3, 3, 8, 17), {"padding": "same", "dilation": 4}),
        ((2, 4, 4, 3), (2, 2, 3, 5), {"padding": 6}),
    ],
)
def test_layers_of_real_networks_equal_the_reference(agrees, same_bits, x_shape, kernel_shape, settings_):
    compare(agrees, same_bits, *draw_arrays(1, x_shape, kernel_shape), settings_, 2)


def test_views_and_other_memory_orders_are_accepted(agrees, same_bits):
    x, kernel, bias = draw_arrays(3, (6, 5, 14, 12), (8, 3, 3, 20))
    x, kernel = x[::2].transpose(0, 2, 3, 1), kernel.transpose(1, 2, 3, 0)[:, :, :5]
    x.flags.writeable = False
    compare(agrees, same_bits, x, kernel, bias[:8], {"padding": 1}, 4)


def test_the_gradient_to_the_input_can_be_left_out():
    x, kernel, bias = draw_arrays(5, (2, 8, 8, 3), (3, 3, 3, 8))
    y, cache = conv.conv2d(x, kernel, bias)
    dx, dkernel, dbias = conv.conv2d_backward(y, cache, input_gradient=False)
    assert dx is None
    assert np.array_equal(dkernel, conv.conv2d_backward(y, cache)[1])
    assert np.array_equal(dbias, conv.conv2d_backward(y, cache)[2])


def test_what_is_not_float32_is_refused():
    x, kernel, bias = draw_arrays(5, (2, 8, 8, 3), (3, 3, 3, 8))
    assert conv.accepts_conv2d(x, kernel, bias, strides=2)
    assert not conv.accepts_conv2d(x.astype(np.float64), kernel, bias)
    assert not conv.accepts_conv2d(x, kernel, bias.astype(np.float64))
    assert not conv.accepts_conv2d(x[:0], kernel, bias)
