"""Compiled blocks equal the reference: whatever is convolved, cut off and pooled, on any number of threads.

The images and kernels are small whole numbers, so that convolutions are exact in float32 and float64 alike. Which pixel wins a
window and what ReLU cuts off is then a matter of definition, never of rounding, and ties are frequent.
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pellucid import ops
from pellucid.kernels import composed, conv, fused, fused_norm, norm, winograd
from pellucid.ops import fused as reference

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "60"))
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def tails(draw, size):
    """The settings of an activation and a pooling that fits images of this size."""
    activation, pool = (
        draw(st.sampled_from([None, "relu", "relu"])),
        draw(st.sampled_from([None, "max_pool2d", "max_pool2d", "average_pool2d"])),
    )
    if pool is None:
        return {"activation": activation}
    pool_size = (2, 2) if draw(st.booleans()) else draw(pairs)
    pool_size = tuple(min(p, s) for p, s in zip(pool_size, size, strict=True))
    sides = [st.tuples(st.integers(0, k - 1), st.integers(0, k - 1)) for k in pool_size]
    padding = draw(st.one_of(st.just("valid"), st.just("valid"), st.just("same"), st.tuples(*sides)))
    strides = draw(st.one_of(st.none(), st.none(), pairs))
    return {
        "activation": activation,
        "pool": pool,
        "pool_size": pool_size,
        "pool_strides": strides,
        "pool_padding": padding,
    }


@st.composite
def cases(draw):
    """(x shape, kernel shape, settings) of a block."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    ci, co = (groups * draw(st.integers(1 if groups == 1 else 2, 70 // groups)) for _ in range(2))
    kernel_size, strides = draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), draw(pairs)
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2)]))
    padding = draw(st.sampled_from(["valid", "same", 1, ((0, 2), (1, 0))]))
    least = [(k - 1) * d + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    size = [draw(st.integers(low, low + 16)) for low in least]
    x_shape, kernel_shape = (draw(st.integers(1, 6)), *size, ci), (*kernel_size, ci // groups, co)
    convolution = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
    output = ops.shape.conv_geometry(x_shape, kernel_shape, **convolution).output
    tail = draw(tails(output))
    return x_shape, kernel_shape, convolution | tail | ({} if "pool" in tail else {"activation": "relu"})


def whole_numbers(rng, *shape):
    return rng.integers(-3, 4, shape).astype(np.float32)


def compare(agrees, same_bits, x, kernel, bias, settings_, dy_seed=0):
    exact = [None if a is None else a.astype(np.float64) for a in (x, kernel, bias)]
    y, cache = ops.conv2d_block(*exact, **settings_)
    dy = np.random.default_rng(dy_seed).standard_normal(y.shape, np.float32)
    wanted = ops.conv2d_block_backward(dy.astype(np.float64), cache)

    def native():
        y, cache = fused.conv2d_block(x, kernel, bias, **settings_)
        return y, *fused.conv2d_block_backward(dy, cache)

    computed_y, *gradients = same_bits(native)
    taps = int(np.prod(settings_.get("pool_size", 2)))
    # the mean of a window is rounded, and so is its share of dy
    agrees("y", computed_y, y, np.abs(y) + (50 if settings_.get("pool") == "average_pool2d" else 0), taps)
    dz = reference._tail_backward(np.abs(dy).astype(np.float64), cache.tail)
    absolute = ops.conv2d_backward(
        dz, cache.convolved._replace(x_padded=np.abs(cache.convolved.x_padded), kernel=np.abs(exact[1]))
    )
    pixels = dz.shape[0] * dz.shape[1] * dz.shape[2]
    lengths = [kernel.shape[0] * kernel.shape[1] * kernel.shape[3], pixels, pixels]
    for name, a, b, m, length in zip(("dx", "dkernel", "dbias"), gradients, wanted, absolute, lengths, strict=True):
        if b is None:
            assert a is None
        else:
            agrees(name, a, b, m, length + taps)


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(), st.integers(0, 2**32 - 1), st.booleans())
def test_any_block_equals_the_reference(agrees, same_bits, case, seed, bias):
    x_shape, kernel_shape, settings_ = case
    rng = np.random.default_rng(seed)
    x, kernel = whole_numbers(rng, *x_shape), whole_numbers(rng, *kernel_shape)
    left = kernel.size >= fused.LARGE_KERNEL and x.size // x_shape[3] <= fused.FEW_PIXELS  # to ``composed``
    assert fused.accepts_conv2d_block(x, kernel, None, **settings_) is not left
    compare(agrees, same_bits, x, kernel, whole_numbers(rng, kernel_shape[3]) if bias else None, settings_, seed + 1)


RELU_MAX = {"activation": "relu", "pool": "max_pool2d"}
RELU_AVERAGE = {"activation": "relu", "pool": "average_pool2d"}


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "settings_"),
    [
        ((66, 32, 32, 3), (3, 3, 3, 32), {"padding": "same", **RELU_MAX}),
        ((40, 28, 28, 1), (5, 5, 1, 6), RELU_AVERAGE),
        ((70, 14, 14, 6), (5, 5, 6, 16), RELU_AVERAGE),
        ((3, 31, 31, 24), (3, 3, 24, 70), {"padding": 1, **RELU_MAX}),
        ((2, 112, 112, 3), (7, 7, 3, 64), {"strides": 2, "padding": 3, **RELU_MAX, "pool_size": 3, "pool_strides": 2}),
        ((1, 64, 64, 16), (3, 3, 16, 64), {"padding": 1, **RELU_MAX}),
        ((5, 14, 14, 64), (1, 1, 64, 33), {"activation": "relu"}),
    ],
)
def test_blocks_of_real_networks_equal_the_reference(agrees, same_bits, x_shape, kernel_shape, settings_):
    rng = np.random.default_rng(0)
    arrays = [whole_numbers(rng, *s) for s in (x_shape, kernel_shape, kernel_shape[3:])]
    compare(agrees, same_bits, *arrays, settings_)


@pytest.mark.parametrize(
    "tail", [RELU_MAX, {**RELU_AVERAGE, "pool_padding": "same"}, {"activation": "relu"}, {"pool": "max_pool2d"}]
)
@pytest.mark.parametrize(
    ("convolution", "kernel_shape", "settings_"),
    [
        (winograd, (3, 3, 24, 40), {"padding": 1}),
        (winograd, (3, 3, 24, 160), {"padding": 1}),
        (conv, (3, 3, 1, 24), {"groups": 24, "strides": (1, 2)}),
    ],
)
@pytest.mark.parametrize("images_at_once", [2, 4, 6])
def test_a_tail_behind_another_convolution_equals_the_reference(
    monkeypatch, same_bits, convolution, kernel_shape, settings_, tail, images_at_once
):
    """Given what that convolution computed, rounding and all."""
    monkeypatch.setattr(composed, "PART_FLOATS", 13 * 15 * kernel_shape[3] * images_at_once)
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.standard_normal(s, np.float32) for s in ((6, 13, 15, 24), kernel_shape, kernel_shape[3:]))
    block, block_backward, accepts = {
        winograd: (composed.winograd_block, composed.parted_block_backward, composed.accepts_winograd),
        conv: (composed.any_block, composed.any_block_backward, composed.accepts_any),
    }[convolution]
    assert accepts(x, kernel, bias, **settings_, **tail)
    z, convolved = convolution.conv2d(x, kernel, bias, **settings_)
    arguments = tail.get("activation"), tail.get("pool"), 2, None, tail.get("pool_padding", "valid")
    wanted, cache = reference._tail(z, *arguments)
    dy = rng.standard_normal(wanted.shape, np.float32)
    dz = reference._tail_backward(dy, cache).astype(np.float32)

    def native():
        y, cache = block(x, kernel, bias, **settings_, **tail)
        return y, *block_backward(dy, cache)

    for a, b in zip(same_bits(native), [wanted, *convolution.conv2d_backward(dz, convolved)], strict=True):
        assert np.allclose(a, b, rtol=1e-6, atol=1e-6 * np.abs(b).max())


def test_the_gradient_to_the_input_can_be_left_out():
    rng = np.random.default_rng(0)
    x, kernel, bias = whole_numbers(rng, 3, 9, 9, 3), whole_numbers(rng, 3, 3, 3, 8), whole_numbers(rng, 8)
    y, cache = fused.conv2d_block(x, kernel, bias, padding="same", **RELU_MAX)
    dx, *others = fused.conv2d_block_backward(y, cache, input_gradient=False)
    assert dx is None
    for a, b in zip(others, fused.conv2d_block_backward(y, cache)[1:], strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("pool", [None, "max_pool2d", "average_pool2d"])
@pytest.mark.parametrize("winograd_", [False, True])
def test_what_is_not_a_number_stays_so(activation, pool, winograd_):
    rng = np.random.default_rng(0)
    side, ci, co = (3, 16, 24) if winograd_ else (1, 2, 5)
    x, kernel = whole_numbers(rng, 5, 20, 20, ci), whole_numbers(rng, side, side, ci, co)
    x[rng.random(x.shape) < (1e-3 if winograd_ else 0.2)] = np.nan
    settings_ = {"activation": activation, "pool": pool}
    wanted = ops.conv2d_block(x, kernel, **settings_)[0]
    block = composed.winograd_block if winograd_ else fused.conv2d_block
    found = block(x, kernel, **settings_)[0]
    assert np.isnan(found)[np.isnan(wanted)].all()
    if not winograd_:  # whose tiles spread them to their neighbours
        assert np.array_equal(found, wanted, equal_nan=True)


def test_what_it_cannot_do_is_refused():
    x, kernel = np.ones((1, 32, 32, 4), np.float32), np.ones((3, 3, 4, 8), np.float32)
    assert fused.accepts_conv2d_block(x, kernel, activation="relu")
    assert not fused.accepts_conv2d_block(x, kernel)
    assert not fused.accepts_conv2d_block(x, kernel, activation="gelu")
    assert not fused.accepts_conv2d_block(x, kernel, pool="max_pool2d", pool_size=16)
    assert not fused.accepts_conv2d_block(x.astype(np.float64), kernel, activation="relu")
    assert not fused.accepts_conv2d_block(x, np.ones((3, 3, 1, 4), np.float32), groups=4, activation="relu")


@st.composite
def norm_cases(draw):
    """(x, weights, moving statistics, settings) of a normalised block; x of whole numbers, see above."""
    size = (draw(st.integers(1, 20)), draw(st.integers(1, 20)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels = draw(st.integers(1, 70))
    x = whole_numbers(rng, draw(st.integers(2, 5)), *size, channels)
    gamma = (rng.uniform(0.3, 2, channels) * rng.choice([-1, 1], channels)).astype(np.float32)
    weights = [a if draw(st.booleans()) else None for a in (gamma, rng.standard_normal(channels, np.float32))]
    moving = [rng.standard_normal(channels, np.float32), rng.uniform(0.5, 2, channels).astype(np.float32)]
    settings_ = {"training": draw(st.booleans()), "unbiased": draw(st.booleans()), "epsilon": 0.1}
    return x, weights, moving, settings_ | draw(tails(size))


@settings(max_examples=EXAMPLES, deadline=None)
@given(norm_cases())
def test_any_normalised_block_equals_the_reference(same_bits, case):
    x, weights, moving, settings_ = case
    double = [None if a is None else a.astype(np.float64) for a in (x, *weights, *moving)]
    alone = {name: settings_[name] for name in ("training", "unbiased", "epsilon")}
    z = ops.batch_norm(*(None if a is None else a.copy() for a in double), **alone)[0]
    assume(np.abs(z).min() > 1e-5)  # so that rounding decides nothing about ReLU
    assert fused_norm.accepts_batch_norm_block(x, *weights, *moving, **settings_)
    y, cache = ops.batch_norm_block(*double, **settings_)
    dy = np.random.default_rng(0).standard_normal(y.shape, np.float32)
    wanted = y, *ops.batch_norm_block_backward(dy.astype(np.float64), cache), *double[3:]

    def native():
        statistics = [m.copy() for m in moving]
        y, cache = fused_norm.batch_norm_block(x, *weights, *statistics, **settings_)
        return y, *fused_norm.batch_norm_block_backward(dy, cache), *statistics

    # all values are of order one: those of x, of z, and of dy, of which a window or the batch sums up some
    dz = reference._tail_backward(np.abs(dy).astype(np.float64), cache.tail)
    for name, a, b in zip(("y", "dx", "dgamma", "dbeta", "mean", "variance"), same_bits(native), wanted, strict=True):
        if b is None:
            assert a is None
            continue
        scale = 10 * dz.sum(axis=(0, 1, 2)).max() if name in ("dgamma", "dbeta") else 30 + 30 * dz.max()
        assert a.dtype == np.float32
        assert np.abs(a - b).max() <= 40 * 2.0**-24 * scale, name


@pytest.mark.parametrize(
    ("shape", "tail"),
    [((66, 32, 32, 64), RELU_MAX), ((3, 60, 60, 40), RELU_AVERAGE), ((50, 30), {"activation": "relu"})],
)
def test_normalised_blocks_of_real_networks_equal_the_plain_ops(same_bits, shape, tail):
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal(shape, np.float32), rng.standard_normal((2, shape[-1]), np.float32)
    moving = np.zeros(shape[-1], np.float32), np.ones(shape[-1], np.float32)
    z, normalised = norm.batch_norm(x, *weights, *moving, training=True)
    wanted, cache = reference._tail(z, tail["activation"], tail.get("pool"), 2, None, "valid")
    dy = rng.standard_normal(wanted.shape, np.float32)
    dz = reference._tail_backward(dy, cache).astype(np.float32)

    def native():
        y, cache = fused_norm.batch_norm_block(x, *weights, *moving, training=True, **tail)
        return y, *fused_norm.batch_norm_block_backward(dy, cache)

    for a, b in zip(same_bits(native), [wanted, *norm.batch_norm_backward(dz, normalised)], strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max())


CODE = """
import numpy as np
from pellucid import ops
from pellucid.kernels import fused, fused_norm, machine, threads

threads.set_num_threads(2)
rng = np.random.default_rng(0)
for channels, filters, settings in [
    (3, 16, {"padding": "same", "activation": "relu", "pool": "max_pool2d"}),
    (5, 37, {"activation": "relu", "pool": "average_pool2d", "pool_size": 3, "pool_strides": 2}),
    (8, 6, {"pool": "max_pool2d", "pool_padding": "same", "pool_size": 3, "pool_strides": 2}),
    (6, 19, {"pool": "average_pool2d"}),
    (6, 9, {"activation": "relu"}),
]:
    x, kernel, bias = (
        rng.integers(-3, 4, s).astype(np.float32) for s in ((3, 11, 10, channels), (3, 3, channels, filters), (filters,))
    )
    y, cache = fused.conv2d_block(x, kernel, bias, **settings)
    wanted, reference_cache = ops.conv2d_block(*(a.astype(np.float64) for a in (x, kernel, bias)), **settings)
    dy = rng.standard_normal(y.shape, np.float32)
    gradients = fused.conv2d_block_backward(dy, cache)
    for a, b in zip([y, *gradients], [wanted, *ops.conv2d_block_backward(dy.astype(np.float64), reference_cache)]):
        assert np.abs(a - b).max() <= 1e-5 * max(1, np.abs(b).max())
    statistics = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    tail = {name: value for name, value in settings.items() if name != "padding"} | {"training": True}
    y, cache = fused_norm.batch_norm_block(x, None, None, *statistics, **tail)
    wanted, reference_cache = ops.batch_norm_block(x.astype(np.float64), None, None, *statistics, **tail)
    dy = rng.standard_normal(y.shape, np.float32)
    dx, wanted_dx = (f(dy, c)[0] for f, c in [
        (fused_norm.batch_norm_block_backward, cache), (ops.batch_norm_block_backward, reference_cache)
    ])
    assert np.abs(y - wanted).max() <= 1e-5
    assert np.abs(dx - wanted_dx).max() <= 1e-5
print(machine.vectors().lanes)
"""


@pytest.mark.parametrize("lanes", [1, 4, 8])
def test_every_width_of_vectors_gives_right_results(lanes):
    environment = {**os.environ, "PELLUCID_VECTOR_LANES": str(lanes)}
    result = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(lanes)
