"""First values of weights: their size, their shape, and that they repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pellucid import PellucidError
from pellucid.initializers import INITIALIZERS, initialize
from pellucid.layers import Conv2D, Dense

SHAPE, FANS = (5, 5, 24, 40), (600, 1000)
# the variance that the papers ask for
VARIANCE = {
    "glorot_uniform": 2 / (600 + 1000),
    "glorot_normal": 2 / (600 + 1000),
    "he_uniform": 2 / 600,
    "he_normal": 2 / 600,
    "lecun_uniform": 1 / 600,
    "lecun_normal": 1 / 600,
    "orthogonal": 1 / 600,  # 40 columns of length 1 with 600 numbers each
    "torch_uniform": 1 / (3 * 600),
    "orthogonal_pairs": 1 / 600,
    "identity": 24 / np.prod(SHAPE) + 16 / 40 / (3 * 600) - (24 / np.prod(SHAPE)) ** 2,  # 24 ones; 16 filters drawn
    "zeros": 0,
    "ones": 0,
}


def draw(name, shape=SHAPE, seed=0):
    return initialize(name, shape, FANS, np.random.default_rng(seed))


def test_every_initializer_has_a_known_variance():
    assert set(INITIALIZERS) == set(VARIANCE), "add the variance of the new one"


@pytest.mark.parametrize("name", INITIALIZERS)
def test_values_have_the_variance_of_the_paper_and_mean_zero(name):
    values = draw(name)
    assert values.shape == SHAPE
    assert values.var() == pytest.approx(VARIANCE[name], rel=0.03)
    if name not in ("ones", "identity"):
        assert abs(values.mean()) <= 4 * math.sqrt(VARIANCE[name] / values.size)


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name.endswith("uniform")])
def test_uniform_values_stay_within_their_limit(name):
    limit = math.sqrt(3 * VARIANCE[name])
    assert 0.999 * limit < np.abs(draw(name)).max() <= limit


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name.endswith("normal")])
def test_normal_values_are_cut_off_at_two_standard_deviations(name):
    values = draw(name)
    # cutting N(0, 1) at ±2 leaves the standard deviation sqrt(1 - 4 φ(2) / (2 Φ(2) - 1))
    phi, Phi = math.exp(-2) / math.sqrt(2 * math.pi), (1 + math.erf(2 / math.sqrt(2))) / 2
    limit = 2 * math.sqrt(VARIANCE[name]) / math.sqrt(1 - 4 * phi / (2 * Phi - 1))
    assert 0.999 * limit < np.abs(values).max() <= limit * (1 + 1e-12)


@pytest.mark.parametrize("shape", [(3, 3, 4, 20), (2, 2, 2, 30), (16, 16)])
def test_orthogonal_rows_or_columns_stand_at_right_angles(shape):
    matrix = draw("orthogonal", shape).reshape(-1, shape[-1])
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=1e-12)


def test_an_identity_kernel_passes_its_inputs_through():
    x = np.random.default_rng(0).standard_normal((2, 6, 5, 3)).astype(np.float32)
    layer = Conv2D(5, 3, padding="same", use_bias=False, kernel_initializer="identity")
    layer.build(x.shape[1:])
    np.testing.assert_array_equal(layer(x)[..., :3], x)
    drawn = layer.params["kernel"][..., 3:]
    assert 0.5 / math.sqrt(27) < np.abs(drawn).max() <= 1 / math.sqrt(27)
    dense = Dense(2, kernel_initializer="identity")
    dense.build((4,))
    np.testing.assert_array_equal(dense.params["kernel"], np.eye(4, 2))


def test_orthogonal_pairs_are_opposites():
    kernel = draw("orthogonal_pairs", (2, 2, 3, 24)).reshape(12, 24)
    np.testing.assert_array_equal(kernel[:, :12], -kernel[:, 12:])
    np.testing.assert_allclose(kernel[:, :12].T @ kernel[:, :12], np.eye(12), atol=1e-12)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_the_same_generator_gives_the_same_values(name):
    np.testing.assert_array_equal(draw(name), draw(name))
    assert VARIANCE[name] == 0 or (draw(name) != draw(name, seed=1)).any()


@pytest.mark.parametrize("value", [0.25, -1, np.float32(0.5)])
def test_a_number_stands_for_itself(value):
    np.testing.assert_array_equal(draw(value, (3, 2)), np.full((3, 2), float(value)))


def test_unknown_initializers_are_answered_with_the_nearest_one():
    with pytest.raises(PellucidError, match=r"There is no initializer 'he_norm'\. Did you mean 'he_normal'"):
        draw("he_norm")


def test_layers_count_their_fans():
    assert Conv2D(8, (3, 2)).weights((9, 9, 4))["kernel"].fans == (3 * 2 * 4, 3 * 2 * 8)
    assert Conv2D(8, 3, groups=4).weights((9, 9, 4))["kernel"].fans[0] == 9
    assert Dense(5).weights((7,))["kernel"].fans == (7, 5)
