"""Output sizes and padding: the arithmetic that everything else stands on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pellucid.ops import shape

from .strategies import drawn


@drawn
@given(n=st.integers(1, 30), k=st.integers(1, 5), s=st.integers(1, 4), d=st.integers(1, 3), p=st.integers(0, 4))
def test_output_size_is_the_number_of_windows_that_fit(n, k, s, d, p):
    span = (k - 1) * d + 1
    assume(n + 2 * p >= span)
    fitting = [start for start in range(0, n + 2 * p, s) if start + span <= n + 2 * p]
    assert shape.geometry((n, n), k, strides=s, padding=p, dilation=d).output == (len(fitting), len(fitting))


@drawn
@given(n=st.integers(1, 40), k=st.integers(1, 7), s=st.integers(1, 4), p=st.integers(0, 3))
def test_output_size_without_dilation_is_the_textbook_formula(n, k, s, p):
    """floor((in + 2p - k) / s) + 1, and not the (in - k + 2p) / (s + 1) that is sometimes seen in its place."""
    assume(n + 2 * p >= k)
    assert shape.geometry((n, n), k, strides=s, padding=p).output[0] == (n + 2 * p - k) // s + 1


def test_output_size_of_a_known_layer():
    """A first layer of AlexNet: 227 pixels, window 11, stride 4. The mistaken formula would say 43."""
    assert shape.geometry((227, 227), 11, strides=4).output == (55, 55)
    assert (227 - 11 + 0) // (4 + 1) == 43


def test_rows_and_columns_have_settings_of_their_own():
    geo = shape.geometry((9, 12), (3, 2), strides=(2, 3), padding=((1, 0), (2, 3)), dilation=(2, 1))
    assert geo.padded == (10, 17)
    assert geo.output == ((9 + 1 - 5) // 2 + 1, (12 + 5 - 2) // 3 + 1)


@drawn
@given(n=st.integers(1, 30), k=st.integers(1, 5), s=st.integers(1, 5), d=st.integers(1, 3))
def test_same_padding_gives_one_output_for_every_stride_begun(n, k, s, d):
    geo = shape.geometry((n, n), k, strides=s, padding="same", dilation=d)
    assert geo.output[0] == -(-n // s)


@drawn
@given(n=st.integers(1, 30), k=st.integers(1, 5), s=st.integers(1, 5), d=st.integers(1, 3))
def test_same_padding_is_no_more_than_needed_and_puts_the_odd_pixel_last(n, k, s, d):
    geo = shape.geometry((n, n), k, strides=s, padding="same", dilation=d)
    before, after = geo.padding[0]
    assert after - before in (0, 1)
    reach = (geo.output[0] - 1) * s + (k - 1) * d + 1
    assert before + after == max(0, reach - n)


@pytest.mark.parametrize(
    ("padding", "pixels"),
    [
        ("valid", ((0, 0), (0, 0))),
        ("VALID", ((0, 0), (0, 0))),
        ("Same", ((1, 1), (1, 1))),
        (2, ((2, 2), (2, 2))),
        (np.int64(2), ((2, 2), (2, 2))),
        ((1, 2), ((1, 1), (2, 2))),
        ([1, 2], ((1, 1), (2, 2))),
        (((1, 2), (3, 4)), ((1, 2), (3, 4))),
        ([[1, 2], [3, 4]], ((1, 2), (3, 4))),
        ((1, (3, 4)), ((1, 1), (3, 4))),
    ],
)
def test_padding_can_be_written_in_many_ways(padding, pixels):
    assert shape.resolve_padding(padding, (9, 9), (3, 3)) == pixels


def test_taps_visit_the_window_row_by_row():
    geo = shape.geometry((5, 5), (2, 3), dilation=2)
    assert [(i, j) for i, j, _ in geo.taps()] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


@drawn
@given(n=st.integers(1, 9), k=st.integers(1, 3), s=st.integers(1, 3), d=st.integers(1, 3), p=st.integers(0, 3))
def test_each_tap_meets_the_pixels_the_formula_names(n, k, s, d, p):
    assume(n + 2 * p >= (k - 1) * d + 1)
    geo = shape.geometry((n, n), k, strides=s, padding=p, dilation=d)
    rows = np.broadcast_to(np.arange(n + 2 * p)[:, None, None], (n + 2 * p, n + 2 * p, 1))[None]
    for i, _, where in geo.taps():
        assert rows[where].shape == (1, *geo.output, 1)
        assert rows[where][0, :, 0, 0].tolist() == [h * s + i * d for h in range(geo.output[0])]


def test_unpad_is_the_inverse_and_the_adjoint_of_pad():
    rng = np.random.default_rng(0)
    geo = shape.geometry((3, 4), 2, padding=((1, 2), (0, 3)))
    x, z = rng.normal(size=(2, 3, 4, 2)), rng.normal(size=(2, *geo.padded, 2))
    np.testing.assert_array_equal(shape.unpad(shape.pad(x, geo), geo), x)
    assert np.vdot(shape.pad(x, geo), z) == pytest.approx(np.vdot(x, shape.unpad(z, geo)), rel=1e-12)


def test_nothing_is_copied_where_nothing_is_padded():
    x = np.zeros((1, 3, 3, 1))
    assert shape.pad(x, shape.geometry((3, 3), 2)) is x
