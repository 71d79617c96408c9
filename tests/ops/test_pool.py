"""Pooling: windows, ties, edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st
from numpy.typing import NDArray

from pellucid import ops
from pellucid.ops import shape

from .strategies import both, drawn, poolings


def windows(x: NDArray, settings: dict[str, Any]) -> tuple[tuple[int, int], Any]:
    """The output size, and per output position the window as (N, pixels, C) with NaN for padding."""
    pool = both(settings["pool_size"])
    strides = both(settings["strides"] or settings["pool_size"])
    pads = shape.resolve_padding(settings["padding"], x.shape[1:3], pool, strides)
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=np.nan)
    oh, ow = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:3], pool, strides, strict=True))
    cut = {
        (h, w): x[:, h * strides[0] :, w * strides[1] :][:, : pool[0], : pool[1]].reshape(len(x), -1, x.shape[3])
        for h in range(oh)
        for w in range(ow)
    }
    return (oh, ow), cut


@options(drawn, max_examples=60)
@given(case=poolings())
def test_max_pooling_takes_the_largest_pixel_of_each_window(case):
    (x,), settings = case
    y, _ = ops.max_pool2d(x, **settings)
    size, cut = windows(x, settings)
    assert y.shape[1:3] == size
    for (h, w), window in cut.items():
        np.testing.assert_array_equal(y[:, h, w], np.nanmax(window, axis=1))


@options(drawn, max_examples=60)
@given(case=poolings(), count_padding=st.booleans())
def test_average_pooling_takes_the_mean_of_each_window(case, count_padding):
    (x,), settings = case
    y, _ = ops.average_pool2d(x, count_padding=count_padding, **settings)
    _, cut = windows(x, settings)
    for (h, w), window in cut.items():
        window = np.nan_to_num(window) if count_padding else window
        np.testing.assert_allclose(y[:, h, w], np.nanmean(window, axis=1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, -3.0, 7.0])
def test_of_equal_pixels_the_first_row_by_row_wins_everything(value):
    x = np.full((1, 2, 3, 1), value)
    y, cache = ops.max_pool2d(x, pool_size=(2, 3))
    assert y.item() == value
    assert ops.max_pool2d_backward(np.array([[[[5.0]]]]), cache)[0, :, :, 0].tolist() == [[5, 0, 0], [0, 0, 0]]
    y, cache = ops.global_max_pool2d(x)
    assert ops.global_max_pool2d_backward(np.array([[5.0]]), cache)[0, :, :, 0].tolist() == [[5, 0, 0], [0, 0, 0]]


def test_a_tie_is_decided_by_rows_before_columns():
    x = np.array([[1.0, 4.0], [4.0, 4.0]]).reshape(1, 2, 2, 1)
    for op, derive, dy in [
        (ops.max_pool2d, ops.max_pool2d_backward, np.ones((1, 1, 1, 1))),
        (ops.global_max_pool2d, ops.global_max_pool2d_backward, np.ones((1, 1))),
    ]:
        assert derive(dy, op(x)[1])[0, :, :, 0].tolist() == [[0, 1], [0, 0]]


def test_a_pixel_that_wins_several_windows_adds_up_their_gradients():
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1] = 1
    _, cache = ops.max_pool2d(x, pool_size=2, strides=1)
    dx = ops.max_pool2d_backward(np.array([[1.0, 2.0], [4.0, 8.0]]).reshape(1, 2, 2, 1), cache)
    assert dx[0, 1, 1, 0] == 15
    assert dx.sum() == 15


@pytest.mark.parametrize("padding", ["same", 1, ((1, 1), (1, 0))])
def test_padding_never_wins_a_maximum(padding):
    x = -1.0 - np.arange(9.0).reshape(1, 3, 3, 1)
    y, cache = ops.max_pool2d(x, pool_size=2, strides=2, padding=padding)
    assert set(y.ravel()) <= set(x.ravel())
    assert ops.max_pool2d_backward(np.ones_like(y), cache).sum() == y.size


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_padding_never_wins_against_the_most_negative_number(dtype):
    x = np.full((1, 2, 2, 1), np.finfo(dtype).min, dtype)
    y, cache = ops.max_pool2d(x, pool_size=2, strides=1, padding=1)
    assert (y == x.min()).all()
    assert ops.max_pool2d_backward(np.ones_like(y), cache).sum() == y.size


def test_padding_never_wins_against_minus_infinity():
    y, cache = ops.max_pool2d(np.full((1, 2, 2, 1), -np.inf), pool_size=2, strides=1, padding=1)
    assert np.isneginf(y).all()
    assert ops.max_pool2d_backward(np.ones_like(y), cache)[0, :, :, 0].tolist() == [[4, 2], [2, 1]]


def test_max_pooling_shows_a_nan():
    x = np.array([[1.0, np.nan], [3.0, 4.0]]).reshape(1, 2, 2, 1)
    assert np.isnan(ops.max_pool2d(x)[0]).all()
    assert np.isnan(ops.global_max_pool2d(x)[0]).all()


def test_incomplete_windows_are_left_out_unless_padded():
    x = np.arange(25.0).reshape(1, 5, 5, 1)
    assert ops.max_pool2d(x)[0][0, :, :, 0].tolist() == [[6, 8], [16, 18]]
    assert ops.max_pool2d(x, padding="same")[0][0, :, :, 0].tolist() == [[6, 8, 9], [16, 18, 19], [21, 23, 24]]


def test_an_average_at_the_edge_counts_its_pixels_or_the_padding_too():
    x = np.full((1, 3, 3, 1), 12.0)
    settings = {"pool_size": 3, "strides": 1, "padding": "same"}
    assert ops.average_pool2d(x, **settings)[0][0, :, :, 0].tolist() == [[12] * 3] * 3
    counted, cache = ops.average_pool2d(x, count_padding=True, **settings)
    np.testing.assert_allclose(counted[0, :, :, 0], 12 * np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]]) / 9, rtol=1e-15)
    dx = ops.average_pool2d_backward(np.ones_like(counted), cache)
    np.testing.assert_allclose(dx[0, :, :, 0], np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]]) / 9, rtol=1e-15)


def test_the_gradient_of_an_average_is_shared_by_the_pixels_it_counted():
    x = np.zeros((1, 1, 3, 1))
    _, cache = ops.average_pool2d(x, pool_size=(1, 2), padding="same")
    dx = ops.average_pool2d_backward(np.array([2.0, 6.0]).reshape(1, 1, 2, 1), cache)
    assert dx.ravel().tolist() == [1, 1, 6]


def test_global_pooling_is_pooling_with_one_window():
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    np.testing.assert_array_equal(ops.global_max_pool2d(x)[0], ops.max_pool2d(x, pool_size=(4, 5))[0][:, 0, 0])
    np.testing.assert_allclose(
        ops.global_average_pool2d(x)[0], ops.average_pool2d(x, pool_size=(4, 5))[0][:, 0, 0], rtol=1e-13
    )
