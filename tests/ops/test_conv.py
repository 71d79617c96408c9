"""Convolution against its own formula, written as plain loops, and against what is known about it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as options
from numpy.typing import NDArray

from pellucid import backend
from pellucid.ops import conv2d, conv2d_backward, dense, shape
from pellucid.testing import check_gradients

from .strategies import both, convolutions, drawn


def slow_conv2d(x: NDArray, kernel: NDArray, bias: NDArray | None, **settings: Any) -> NDArray:
    """The sum of the docstring, one multiplication at a time."""
    strides, dilation, groups = both(settings["strides"]), both(settings["dilation"]), settings["groups"]
    pads = shape.resolve_padding(settings["padding"], x.shape[1:3], kernel.shape[:2], strides, dilation)
    x = np.pad(x, ((0, 0), *pads, (0, 0)))
    kh, kw, ci, co = kernel.shape
    oh, ow = (
        (n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(x.shape[1:3], (kh, kw), dilation, strides, strict=True)
    )
    y = np.zeros((len(x), oh, ow, co)) if bias is None else np.broadcast_to(bias, (len(x), oh, ow, co)).copy()
    for n, h, w, o, i, j, c in np.ndindex(len(x), oh, ow, co, kh, kw, ci):
        channel = o // (co // groups) * ci + c
        y[n, h, w, o] += (
            x[n, h * strides[0] + i * dilation[0], w * strides[1] + j * dilation[1], channel] * kernel[i, j, c, o]
        )
    return y


@options(drawn, max_examples=25)
@given(case=convolutions())
def test_convolution_is_the_sum_it_says_it_is(case):
    arrays, settings = case
    np.testing.assert_allclose(conv2d(*arrays, **settings)[0], slow_conv2d(*arrays, **settings), rtol=1e-10, atol=1e-12)


@options(drawn, max_examples=40)
@given(case=convolutions())
def test_gradients_of_drawn_convolutions_are_exact(case):
    arrays, settings = case
    check_gradients(conv2d, conv2d_backward, arrays, samples=6, directions=2, **settings).verify()


def test_an_example_by_hand():
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]).reshape(1, 3, 3, 1)
    kernel = np.array([[1.0, 0.0], [0.0, -2.0]]).reshape(2, 2, 1, 1)
    y, cache = conv2d(x, kernel, np.array([10.0]))
    assert y[0, :, :, 0].tolist() == [[1 - 10 + 10, 2 - 12 + 10], [4 - 16 + 10, 5 - 18 + 10]]
    dx, dkernel, dbias = conv2d_backward(np.array([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 2, 2, 1), cache)
    assert dx[0, :, :, 0].tolist() == [[1, 2, 0], [3, 4 - 2, -4], [0, -6, -8]]
    assert dkernel[:, :, 0, 0].tolist() == [[1 + 4 + 12 + 20, 2 + 6 + 15 + 24], [4 + 10 + 21 + 32, 5 + 12 + 24 + 36]]
    assert dbias.tolist() == [10]


def test_the_kernel_is_not_flipped():
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1] = 1
    y, _ = conv2d(x, np.arange(9.0).reshape(3, 3, 1, 1), padding="same")
    assert y[0, :, :, 0].tolist() == [[8, 7, 6], [5, 4, 3], [2, 1, 0]]


def test_a_kernel_of_one_pixel_is_a_dense_layer_at_every_place():
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(5, 6)), rng.normal(size=6)
    expected, _ = dense(x.reshape(-1, 5), kernel, bias)
    np.testing.assert_allclose(conv2d(x, kernel[None, None], bias)[0].reshape(-1, 6), expected, rtol=1e-13)


def test_a_kernel_as_large_as_the_image_is_a_dense_layer():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(3, 4, 5, 6))
    expected, _ = dense(x.reshape(2, -1), kernel.reshape(-1, 6))
    np.testing.assert_allclose(conv2d(x, kernel)[0].reshape(2, 6), expected, rtol=1e-13)


def test_groups_are_convolutions_side_by_side():
    rng = np.random.default_rng(0)
    x, kernel, bias = rng.normal(size=(2, 5, 5, 6)), rng.normal(size=(3, 3, 2, 9)), rng.normal(size=9)
    parts = [
        conv2d(x[..., 2 * g : 2 * g + 2], kernel[..., 3 * g : 3 * g + 3], bias[3 * g : 3 * g + 3], strides=2)[0]
        for g in range(3)
    ]
    np.testing.assert_allclose(
        conv2d(x, kernel, bias, strides=2, groups=3)[0], np.concatenate(parts, axis=-1), rtol=1e-13
    )


def test_dilation_is_a_kernel_with_holes():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 9, 9, 2)), rng.normal(size=(3, 2, 2, 3))
    holes = np.zeros((5, 4, 2, 3))
    holes[::2, ::3] = kernel
    np.testing.assert_allclose(conv2d(x, kernel, dilation=(2, 3))[0], conv2d(x, holes)[0], rtol=1e-12, atol=1e-13)


def test_a_shifted_image_gives_a_shifted_output():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 8, 8, 2)), rng.normal(size=(3, 3, 2, 2))
    y, _ = conv2d(x, kernel)
    shifted, _ = conv2d(x[:, 1:, 2:], kernel)
    np.testing.assert_allclose(shifted, y[:, 1:, 2:], rtol=1e-12)


@pytest.mark.parametrize("padding", ["same", 1, (1, 1), ((1, 1), (1, 1))])
def test_ways_to_write_a_padding_agree(padding):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(1, 5, 5, 2)), rng.normal(size=(3, 3, 2, 2))
    expected, _ = conv2d(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), kernel)
    np.testing.assert_array_equal(conv2d(x, kernel, padding=padding)[0], expected)


@pytest.mark.parametrize("wanted", list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize(
    "kernel",
    [(3, 3, 16, 16), (1, 1, 16, 16), (2, 2, 16, 8), (3, 3, 1, 16)],
    ids=["winograd", "product", "direct", "depthwise"],
)
def test_only_the_gradients_that_are_wanted_are_computed(kernel, wanted):
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((4, 16, 16, 16)).astype(np.float32), rng.standard_normal(kernel).astype(np.float32)
    groups = 16 // kernel[2]
    for name in ("numpy", "native"):
        with backend.using(name):
            y, saved = backend.forward("conv2d", x, weights, np.zeros(kernel[3], np.float32), groups=groups)
            everything = backend.backward(y, saved)
            some = backend.backward(y, saved, input_gradient=wanted[0], kernel_gradient=wanted[1])
        for whole, found, asked in zip(everything, some, (*wanted, True), strict=True):
            assert (found is not None) == asked
            if asked:
                np.testing.assert_allclose(found, whole, rtol=0, atol=1e-5 * np.abs(whole).max(), err_msg=name)
