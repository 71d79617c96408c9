"""Mixed precision: what is multiplied has 16 bits, everything else 32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pellucid import PellucidError, Sequential, backend, layers, zoo
from pellucid.kernels import bfloat16 as kernels
from pellucid.kernels import simd_bfloat16
from pellucid.ops import bfloat16

FLOATS = arrays(np.uint32, st.integers(0, 70), elements=st.integers(0, 2**32 - 1)).map(
    lambda bits: bits.view(np.float32)
)


@pytest.fixture(params=backend.BACKENDS)
def reduced(request):
    """Bfloat16, on either backend."""
    with backend.using(request.param):
        backend.set_precision("bfloat16")
        yield
        backend.set_precision("float32")


@pytest.fixture
def without_unit(monkeypatch):
    """As on a CPU that does not multiply bfloat16: rounded numbers, and float32's kernels to the bit."""
    monkeypatch.setattr(simd_bfloat16, "unit", lambda: "")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@settings(deadline=None)  # the first example compiles
@given(x=FLOATS)
def test_the_kernel_rounds_to_the_bits_of_the_reference(x):
    assert kernels.rounded(x).tobytes() == bfloat16.rounded(x).tobytes()


@settings(deadline=None)  # and loads PyTorch
@given(x=FLOATS)
def test_rounding_is_that_of_pytorch(x):
    torch = pytest.importorskip("torch")
    wanted = torch.from_numpy(x.copy()).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(bfloat16.rounded(x), wanted)


def test_of_two_as_near_the_even_one_is_taken():
    step = np.float32(2**-7)  # between neighbours from 1 to 2
    x = 1 + step * np.array([0.5, 1.5, 2.5, 0.499, 0.501], np.float32)
    assert ((bfloat16.rounded(x) - 1) / step).tolist() == [0, 2, 2, 0, 1]
    assert bfloat16.rounded(np.float32([3.39e38, 3.4e38, -np.inf])).tolist() == [
        float(bfloat16.rounded(np.float32([3.39e38]))[0]),
        np.inf,
        -np.inf,
    ]


@pytest.mark.parametrize("op", ["conv2d", "conv2d_block"])
@pytest.mark.usefixtures("reduced", "without_unit")
def test_a_convolution_multiplies_rounded_numbers_forward_and_back(op):
    x, kernel, bias = normal(4, 9, 9, 16), normal(3, 3, 16, 24, seed=1), normal(24, seed=2)
    y, saved = backend.forward(op, x, kernel, bias, padding="same")
    dy = normal(*y.shape, seed=3)
    found = y, *backend.backward(dy, saved)
    backend.set_precision("float32")
    y, saved = backend.forward(op, bfloat16.rounded(x), bfloat16.rounded(kernel), bias, padding="same")
    wanted = y, *backend.backward(bfloat16.rounded(dy), saved)
    exact = backend.forward(op, x, kernel, bias, padding="same")[0]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)
    assert 1e-4 < np.abs(found[0] - exact).max() / np.abs(exact).max() < 2e-2


@pytest.mark.usefixtures("reduced")
def test_a_dense_layer_too_and_nothing_else():
    x, kernel = normal(8, 30), normal(30, 5, seed=1)
    y, _ = backend.forward("dense", x, kernel, None)
    np.testing.assert_allclose(y, bfloat16.rounded(x) @ bfloat16.rounded(kernel), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(backend.forward("relu", x)[0], np.maximum(x, 0))
    np.testing.assert_array_equal(
        backend.forward("dense", x.astype(float), kernel.astype(float), None)[0], x.astype(float) @ kernel.astype(float)
    )


@pytest.mark.usefixtures("reduced")
def test_weights_stay_float32_between_the_steps():
    model = zoo.build("cnn2", (8, 8, 3))
    model.compile("sgd", learning_rate=1e-3)
    x, y = normal(6, 8, 8, 3), np.arange(6) % 10
    for _ in range(5):
        assert np.isfinite(model.train_on_batch(x, y))
    kernel = model.params["conv1/kernel"]
    assert kernel.dtype == np.float32
    assert (kernel != bfloat16.rounded(kernel)).mean() > 0.9


def test_a_change_of_precision_is_seen_by_recorded_steps_and_answers():
    def small() -> Sequential:
        model = Sequential(
            [
                layers.Conv2D(16, 3, activation="relu"),
                layers.Conv2D(24, 3),
                layers.Flatten(),
                layers.Dense(3, activation="softmax"),
            ]
        )
        model.compile("sgd", input_shape=(8, 8, 3), seed=1)
        return model

    x, y = normal(6, 8, 8, 3), np.arange(6) % 3

    def course(recorded: bool) -> list[float]:
        model, found = small(), []
        for precision in ("float32", "bfloat16", "float32"):
            backend.set_precision(precision)
            for _ in range(5):
                found += [model.train_on_batch(x, y), *model.predict(x[:1]).ravel().tolist()]
                if not recorded:
                    fresh = small()
                    fresh.load_weights(model.params)
                    model = fresh
        return found

    with backend.using("native"):
        try:
            found, wanted = course(True), course(False)
        finally:
            backend.set_precision("float32")
    assert found == wanted


def test_both_backends_train_alike():
    losses = {}
    for name in backend.BACKENDS:
        with backend.using(name):
            backend.set_precision("bfloat16")
            try:
                model = zoo.build("cnn3_bn", (12, 12, 3))
                model.compile("sgd", learning_rate=0.01)
                losses[name] = [model.train_on_batch(normal(8, 12, 12, 3), np.arange(8) % 10) for _ in range(3)]
            finally:
                backend.set_precision("float32")
    np.testing.assert_allclose(losses["native"], losses["numpy"], rtol=2e-3)


def test_unknown_precisions_are_refused():
    with pytest.raises(PellucidError, match=r"no precision 'bf16'.*float32, bfloat16"):
        backend.set_precision("bf16")
    assert backend.get_precision() == "float32"
