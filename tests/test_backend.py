"""The table that picks an implementation."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from pellucid import PellucidError, backend, ops
from pellucid.backend import Implementation, Saved

X = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32)
KERNEL = np.random.default_rng(1).normal(size=(3, 3, 4, 8)).astype(np.float32)


def rows(name: str, precision: str = "float32") -> dict[str, list[Implementation]]:
    return backend._table(name, precision)


def python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_every_op_stands_in_the_table_and_the_reference_last():
    names = {name for name in ops.__all__ if not name.endswith("_backward")}
    for table in (rows(name, precision) for name in backend.BACKENDS for precision in backend.PRECISIONS):
        assert table.keys() == names
        for name, implementations in table.items():
            last = implementations[-1]
            assert (last.backend, last.forward, last.backward) == (
                "numpy", getattr(ops, name), getattr(ops, f"{name}_backward"),
            )  # fmt: skip
            assert last.accepts(object(), anything=object())
            assert all(row.backend == "native" for row in implementations[:-1])
    assert all(len(implementations) == 1 for implementations in rows("numpy").values())


@pytest.mark.parametrize(("name", "expected"), [("native", "native"), ("numpy", "numpy")])
def test_the_backend_in_use_runs(name, expected):
    with backend.using(name):
        _, saved = backend.forward("conv2d", X, KERNEL, None)
        assert saved.implementation.backend == expected


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_what_the_kernels_do_not_take_falls_to_the_reference(dtype):
    with backend.using("native"):
        y, saved = backend.forward("conv2d", X.astype(dtype), KERNEL.astype(dtype), None)
    assert saved.implementation.backend == "numpy"
    assert y.dtype == dtype


def test_the_first_that_accepts_runs_and_alone_opens_its_cache(monkeypatch):
    calls = []

    def implementation(name, accepted):
        return Implementation(
            name,
            lambda x, **_: (calls.append(name) or x, name),
            lambda dy, cache, **_: (calls.append(f"{name} opens {cache}"), dy)[1],
            lambda x, **_: x.ndim == accepted,
        )

    table = {"relu": [implementation("first", 1), implementation("second", 2), implementation("third", 2)]}
    monkeypatch.setattr(backend, "_table", lambda *_: table)
    _, saved = backend.forward("relu", np.ones((2, 2)))
    backend.backward(np.ones((2, 2)), saved)
    assert calls == ["second", "second opens second"]
    with pytest.raises(AssertionError, match="the reference of relu accepts everything"):
        backend.forward("relu", np.ones((1, 1, 1)))


def test_a_cache_is_opened_by_its_maker_after_the_backend_changed():
    with backend.using("native"):
        y, saved = backend.forward("conv2d", X, KERNEL, None)
    with backend.using("numpy"):
        dx, dkernel, dbias = backend.backward(np.ones_like(y), saved)
    assert isinstance(saved, Saved)
    reference = ops.conv2d_backward(np.ones_like(y), ops.conv2d(X, KERNEL)[1])
    np.testing.assert_allclose(dx, reference[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dkernel, reference[1], rtol=1e-4, atol=1e-4)
    assert dbias is None


def test_settings_of_backward_are_passed_on():
    for name in backend.BACKENDS:
        with backend.using(name):
            y, saved = backend.forward("conv2d", X, KERNEL, None)
            assert backend.backward(np.ones_like(y), saved, input_gradient=False)[0] is None


def test_using_gives_the_backend_back_even_after_an_error():
    before = backend.get_backend()
    other = next(name for name in backend.BACKENDS if name != before)

    def fail():
        with backend.using(other):
            assert backend.get_backend() == other
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert backend.get_backend() == before


@pytest.mark.parametrize(("name", "hint"), [("nativ", "Did you mean 'native'"), ("cuda", "Known: numpy, native")])
def test_unknown_backends_are_answered_with_the_nearest_one(name, hint):
    before = backend.get_backend()
    with pytest.raises(PellucidError, match=f"There is no backend '{name}'.*{hint}"):
        backend.set_backend(name)
    assert backend.get_backend() == before


def test_an_unknown_op_is_an_error():
    with pytest.raises(KeyError, match="conv3d"):
        backend.forward("conv3d", X)


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None, True])
def test_numbers_of_threads_that_make_no_sense_are_refused(n):
    with pytest.raises(PellucidError, match=r"number of threads was .*; wanted a whole number of at least 1"):
        backend.set_num_threads(n)


def test_threads_can_be_chosen_and_do_not_change_a_bit():
    before = backend.get_num_threads()
    try:
        found = []
        with backend.using("native"):
            for n in (1, 2, 3):
                backend.set_num_threads(n)
                assert backend.get_num_threads() == n
                y, saved = backend.forward("conv2d", X, KERNEL, None)
                found.append([y.tobytes(), *(g.tobytes() for g in backend.backward(y, saved)[:2])])
        assert found[0] == found[1] == found[2]
    finally:
        backend.set_num_threads(before)


def test_the_environment_chooses_the_backend_a_process_starts_with():
    ask = "from pellucid import backend; print(backend.get_backend())"
    assert python(ask, PELLUCID_BACKEND="numpy").stdout.strip() == "numpy"
    wrong = python(ask, PELLUCID_BACKEND="numpi")
    assert wrong.returncode != 0
    assert "There is no backend 'numpi'. Did you mean 'numpy'" in wrong.stderr


def test_without_numba_numpy_takes_over_with_a_warning():
    code = """
import sys, warnings
sys.modules["numba"] = None                      # importing it fails
import numpy as np
from pellucid import backend
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    y, saved = backend.forward("relu", np.ones(3, np.float32))
    backend.forward("relu", np.ones(3, np.float32))
print(saved.implementation.backend, len(seen), seen[0].message)
"""
    found = python(code, PELLUCID_BACKEND="native")
    assert "numpy 1 The compiled kernels cannot be loaded" in found.stdout, found.stderr
