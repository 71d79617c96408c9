"""Convolution by hardware for numbers of 16 bits equals the reference, given the rounded numbers."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid import backend, ops
from pellucid.kernels import composed, conv_bfloat16, machine, set_winograd, simd_bfloat16, winograd, winograd_enabled
from pellucid.ops import fused as reference
from pellucid.ops.bfloat16 import rounded
from pellucid.run.prepare import BY_UNIT

EXAMPLES = int(os.environ.get("PELLUCID_EXAMPLES", "30"))
RELU_MAX = {"activation": "relu", "pool": "max_pool2d"}


@pytest.fixture(params=simd_bfloat16.UNITS)
def unit(request, monkeypatch):
    """Each unit that this CPU has."""
    monkeypatch.setenv("PELLUCID_BFLOAT16", request.param)
    simd_bfloat16.unit.cache_clear()
    simd_bfloat16.table.cache_clear()
    if not simd_bfloat16.unit():
        pytest.skip(f"this CPU does not multiply bfloat16 by {request.param}")
    before = winograd_enabled()
    set_winograd(False)  # which would take over where there are few channels
    yield request.param
    set_winograd(before)
    simd_bfloat16.unit.cache_clear()
    simd_bfloat16.table.cache_clear()


@st.composite
def cases(draw):
    """(shape of x, of the kernel, padding) with outputs and less padding than taps."""
    window = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    size = tuple(draw(st.integers(taps, 19)) for taps in window)
    sides = tuple((draw(st.integers(0, taps - 1)), draw(st.integers(0, taps - 1))) for taps in window)
    channels = draw(st.tuples(st.integers(1, 70), st.integers(1, 70)))
    padding = draw(st.sampled_from(["valid", "same", sides]))
    return (draw(st.integers(1, 20)), *size, channels[0]), (*window, *channels), padding


def compare(agrees, same_bits, x_shape, kernel_shape, padding, seed, bias=True):
    rng = np.random.default_rng(seed)
    x, kernel = rng.standard_normal(x_shape, np.float32), rng.standard_normal(kernel_shape, np.float32)
    b = rng.standard_normal(kernel_shape[3], np.float32) if bias else None
    double = [None if a is None else a.astype(np.float64) for a in (rounded(x), rounded(kernel), b)]
    wanted, cache = ops.conv2d(*double, padding=padding)
    dy = rng.standard_normal(wanted.shape, np.float32)
    exact = [wanted, *ops.conv2d_backward(rounded(dy).astype(np.float64), cache)]
    if bias:
        exact[3] = dy.sum(axis=(0, 1, 2), dtype=np.float64)  # which is no product
    sizes, cache = ops.conv2d(*(None if a is None else np.abs(a) for a in double), padding=padding)
    magnitudes = [sizes, *ops.conv2d_backward(np.abs(rounded(dy)).astype(np.float64), cache)]

    def native():
        y, cache = conv_bfloat16.conv2d(x, kernel, b, padding=padding)
        return y, *conv_bfloat16.conv2d_backward(dy, cache)

    taps, pixels = kernel_shape[0] * kernel_shape[1], int(np.prod(dy.shape[:3]))
    lengths = taps * kernel_shape[2], taps * kernel_shape[3], pixels, pixels
    for name, a, e, size, length in zip(
        ("y", "dx", "dkernel", "dbias"), same_bits(native), exact, magnitudes, lengths, strict=True
    ):
        if e is None:
            assert a is None
        else:
            agrees(name, a, e, 1.01 * size, length)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases(), bias=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_any_image_equals_the_reference(unit, agrees, same_bits, case, bias, seed):
    compare(agrees, same_bits, *case, seed, bias)


@pytest.mark.parametrize(
    ("x_shape", "kernel_shape", "padding"),
    [
        ((1, 300, 70, 32), (3, 3, 32, 16), "same"),  # in bands
        ((2, 40, 90, 130), (5, 5, 130, 24), ((4, 0), (1, 3))),
        ((70, 4, 4, 100), (3, 3, 100, 70), 1),  # more images than are transformed together
        ((1, 1, 1, 16), (1, 1, 16, 16), "valid"),
        ((33, 32, 32, 16), (3, 3, 16, 32), "same"),
    ],
)
def test_large_and_tiny_images_equal_the_reference(unit, agrees, same_bits, x_shape, kernel_shape, padding):
    compare(agrees, same_bits, x_shape, kernel_shape, padding, 0)


@pytest.mark.parametrize("tail", [RELU_MAX, {"activation": "relu"}, {"pool": "average_pool2d"}])
@pytest.mark.parametrize("images_at_once", [2, 6])
def test_a_tail_behind_it_equals_the_reference(monkeypatch, unit, same_bits, tail, images_at_once):
    """Given what the convolution computed, rounding and all."""
    monkeypatch.setattr(composed, "PART_FLOATS", 13 * 15 * 40 * images_at_once)
    rng = np.random.default_rng(0)
    x, kernel, bias = (rng.standard_normal(s, np.float32) for s in ((6, 13, 15, 24), (3, 3, 24, 40), (40,)))
    z, convolved = conv_bfloat16.conv2d(x, kernel, bias, padding=1)
    arguments = tail.get("activation"), tail.get("pool"), 2, None, "valid"
    wanted, cache = reference._tail(z, *arguments)
    dy = rng.standard_normal(wanted.shape, np.float32)
    dz = reference._tail_backward(dy, cache).astype(np.float32)

    def native():
        y, cache = composed.bfloat16_block(x, kernel, bias, padding=1, **tail)
        return y, *composed.parted_block_backward(dy, cache)

    exact = [wanted, *conv_bfloat16.conv2d_backward(dz, convolved)]
    largest = [*(np.abs(e).max() for e in exact[:3]), np.abs(dz).sum(axis=(0, 1, 2)).max()]  # of what is summed up
    for a, b, size in zip(same_bits(native), exact, largest, strict=True):
        assert np.allclose(a, b, rtol=1e-6, atol=1e-6 * size)


def test_what_is_not_finite_stays_so(unit):
    rng = np.random.default_rng(0)
    x, kernel = rng.standard_normal((3, 9, 9, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
    x[1, 4, 4, 3] = np.float32(np.uint32(0x7F800001).view(np.float32))  # whose upper half alone would be infinite
    x[2, 0, 0, 0] = np.inf
    y = conv_bfloat16.conv2d(x, kernel, padding="same")[0]
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1, 3:6, 3:6]).all()
    assert (y[2, :2, :2] == np.inf).all()


def test_it_runs_where_it_is_asked_for_and_pays(unit):
    set_winograd(True)
    x, kernel = np.ones((64, 16, 16, 32), np.float32), np.ones((5, 5, 32, 64), np.float32)
    accepts = conv_bfloat16.accepts_conv2d
    assert accepts(x, kernel, padding="same")
    assert accepts(x, kernel, padding=[2, 2])
    assert accepts(x, kernel[:3, :3], padding="same") == (unit == "amx")
    assert not accepts(x, kernel, strides=2)
    assert not accepts(x, kernel, dilation=2)
    assert not accepts(x, kernel, padding=5)
    assert not accepts(x[..., :8], kernel[:, :, :8])
    assert not accepts(x, kernel[:, :, :16], groups=2)
    assert not accepts(x.astype(np.float64), kernel.astype(np.float64))
    for op, settings_ in (("conv2d", {}), ("conv2d_block", RELU_MAX)):
        ran = {}
        for precision in backend.PRECISIONS:
            backend.set_precision(precision)
            try:
                ran[precision] = backend.forward(op, x, kernel, padding="same", **settings_)[1]
            finally:
                backend.set_precision("float32")
        assert ran["bfloat16"].implementation.precision == "bfloat16"
        assert not ran["bfloat16"].rounded  # beforehand, that is
        assert ran["float32"].implementation.precision == "float32"


@pytest.mark.parametrize(
    ("window", "channels", "size", "wanted"),
    [(3, 32, 16, winograd), (3, 128, 16, conv_bfloat16), (5, 32, 16, conv_bfloat16), (3, 32, 1, conv_bfloat16)],
)
def test_the_gradient_to_few_weights_is_float32s_where_that_is_quicker(unit, window, channels, size, wanted):
    set_winograd(True)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, size, size, channels), np.float32)
    kernel = rng.standard_normal((window, window, channels, channels), np.float32)
    y, cache = conv_bfloat16.conv2d(x, kernel, padding="same")
    chosen = conv_bfloat16.kernel_gradient_of(kernel.shape, cache.geometry, False)
    assert type(chosen) is wanted.KernelGradient
    found = conv_bfloat16.conv2d_backward(y, cache)[1]
    exact = ops.conv2d_backward(
        y.astype(np.float64), ops.conv2d(x.astype(np.float64), kernel.astype(np.float64), padding="same")[1]
    )[1]
    assert np.abs(found - exact).max() < (1e-5 if wanted is winograd else 1e-2) * np.abs(exact).max()


def test_a_training_says_what_the_unit_is_good_for():
    assert set(BY_UNIT) == {*simd_bfloat16.UNITS, ""}
    with backend.using("numpy"):
        assert backend.bfloat16_unit() == ""
    with backend.using("native"):
        assert backend.bfloat16_unit() == simd_bfloat16.unit()


def test_a_cpu_without_it_does_without(monkeypatch):
    for flags, lanes, system in (("avx2 fma", 8, "Linux"), ("avx512_bf16 amx_tile amx_bf16", 8, "Linux")):
        monkeypatch.setattr(machine, "features", lambda flags=flags: frozenset(flags.split()))
        monkeypatch.setattr(machine, "vectors", lambda lanes=lanes: machine.Vectors(lanes, 16))
        monkeypatch.setattr(machine.platform, "system", lambda system=system: system)
        assert not any(machine.multiplies_bfloat16.__wrapped__(name) for name in simd_bfloat16.UNITS)
    monkeypatch.setattr(machine, "vectors", lambda: machine.Vectors(16, 32))
    monkeypatch.setattr(machine.platform, "system", lambda: "Windows")  # which has not been asked for its tiles
    assert [machine.multiplies_bfloat16.__wrapped__(name) for name in simd_bfloat16.UNITS] == [False, True]


@pytest.mark.parametrize(
    ("has", "amd", "wanted"),
    [({"amx", "avx512"}, False, "amx"), ({"avx512"}, False, ""), ({"avx512"}, True, "avx512"), (set(), True, "")],
)
def test_the_unit_is_one_that_is_quicker_than_float32(monkeypatch, has, amd, wanted):
    monkeypatch.delenv("PELLUCID_BFLOAT16", raising=False)
    monkeypatch.setattr(machine, "multiplies_bfloat16", lambda name: name in has)
    monkeypatch.setattr(machine, "cpu", lambda: "vendor_id : AuthenticAMD" if amd else "vendor_id : GenuineIntel")
    assert simd_bfloat16.unit.__wrapped__() == wanted


@pytest.mark.parametrize(("value", "wanted"), [("off", "''"), ("tpu", "wanted amx, avx512 or off")])
def test_the_environment_chooses(value, wanted):
    code = "from pellucid.kernels import simd_bfloat16; print(repr(simd_bfloat16.unit()))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PELLUCID_BFLOAT16": value}, capture_output=True, text=True
    )
    assert wanted in done.stdout + done.stderr


def test_threads_that_were_there_before_may_use_the_unit():
    """AMX has to be asked for; helpers of the pool are older than that question."""
    code = """
import numpy as np
from pellucid.kernels import conv, conv_bfloat16, set_num_threads, simd_bfloat16
set_num_threads(3)
x, kernel = np.ones((40, 8, 8, 16), np.float32), np.ones((3, 3, 16, 16), np.float32)
wanted = conv.conv2d(x, kernel, padding="same")[0]  # the pool is there
if simd_bfloat16.unit():
    assert all((conv_bfloat16.conv2d(x, kernel, padding="same")[0] == wanted).all() for _ in range(20))
"""
    subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], check=True)
