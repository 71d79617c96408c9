"""What every op promises, checked record by record."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pellucid import ops
from pellucid.testing import adjoint_error, assert_gradients

from .records import RECORDS, Record

each_record = pytest.mark.parametrize("record", RECORDS, ids=str)
FORWARD = [name for name in ops.__all__ if not name.endswith("_backward")]


def run(record: Record, dtype: Any = np.float64) -> tuple[list[Any], NDArray, Any, NDArray, tuple[Any, ...]]:
    """(arrays, y, cache, dy, gradients) with a random dy."""
    arrays = record.arrays(dtype)
    y, cache = record.forward(*arrays, **record.settings)
    dy = np.asarray(np.random.default_rng(1).standard_normal(np.shape(y)), dtype)
    return arrays, y, cache, dy, record.derive(dy, cache)


def arguments(record: Record) -> list[str]:
    return list(inspect.signature(record.forward).parameters)


def test_every_op_has_a_record():
    without = set(FORWARD) - {record.op for record in RECORDS}
    assert not without, f"add a record to tests/ops/records.py for {sorted(without)}"


def test_every_record_names_an_op():
    assert {record.op for record in RECORDS} <= set(FORWARD)


def test_every_op_stands_beside_its_derivative():
    assert set(ops.__all__) == {name + end for name in FORWARD for end in ("", "_backward")}


@pytest.mark.parametrize("name", ops.__all__)
def test_every_op_is_documented(name):
    assert len(inspect.getdoc(getattr(ops, name)) or "") > 10


@pytest.mark.parametrize("name", FORWARD)
def test_settings_are_keyword_only_and_come_after_the_arrays(name):
    parameters = inspect.signature(getattr(ops, name)).parameters.values()
    record = next(record for record in RECORDS if record.op == name)
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(positional) == len(record.arrays())
    assert set(record.settings) <= {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


@each_record
def test_output_has_the_known_shape(record):
    _, y, _, _, _ = run(record)
    assert np.shape(y) == record.y_shape


@each_record
def test_gradients_come_in_argument_order_with_the_arguments_shapes(record):
    arrays, _, _, _, gradients = run(record)
    by_name = dict(zip(arguments(record), arrays, strict=False))
    found = dict(zip(arguments(record), gradients, strict=False))
    assert {name: g.shape for name, g in found.items() if g is not None} == {
        name: by_name[name].shape for name in record.gradients
    }


@each_record
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_preserved(record, dtype):
    _, y, _, _, gradients = run(record, dtype)
    assert y.dtype == dtype
    assert [g.dtype for g in gradients if g is not None] == [dtype] * len(record.gradients)


@each_record
def test_float32_agrees_with_float64(record):
    _, y, _, _, gradients = run(record)
    _, y32, _, _, gradients32 = run(record, np.float32)
    np.testing.assert_allclose(y32, y, rtol=2e-5, atol=2e-6 * max(1, np.abs(y).max()))
    for g, g32 in zip(gradients, gradients32, strict=True):
        if g is not None:
            np.testing.assert_allclose(g32, g, rtol=1e-4, atol=1e-5 * max(1, np.abs(g).max()))


@each_record
def test_cache_is_a_named_tuple(record):
    _, _, cache, _, _ = run(record)
    assert isinstance(cache, tuple)
    assert cache._fields


@each_record
def test_gradients_are_exact_by_complex_step(record):
    assert_gradients(record.forward, record.backward, record.arrays(), samples=10_000, **record.settings)


@each_record
def test_gradients_agree_with_central_differences(record):
    assert_gradients(
        record.forward, record.backward, record.arrays(), method="central", samples=10_000, **record.settings
    )


@each_record
def test_gradients_are_linear_in_dy(record):
    """The derivative of anything is: a backward that forgets to multiply by dy is caught."""
    _, _, cache, dy, gradients = run(record)
    for g, doubled in zip(gradients, record.derive(2 * dy, cache), strict=True):
        if g is not None:
            np.testing.assert_allclose(doubled, 2 * g, rtol=1e-14)


LINEAR = [(record, argument) for record in RECORDS for argument in record.linear]


@pytest.mark.parametrize(("record", "argument"), LINEAR, ids=[f"{record}-in {name}" for record, name in LINEAR])
@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-15), (np.float32, 1e-6)])
def test_backward_of_a_linear_op_is_its_adjoint(record, argument, dtype, bound):
    names = arguments(record)
    arrays = [None if name == "bias" else a for name, a in zip(names, record.arrays(dtype), strict=False)]
    assert adjoint_error(record.forward, record.backward, arrays, names.index(argument), **record.settings) < bound


@each_record
def test_arguments_and_dy_are_left_alone(record):
    arrays = record.arrays()
    for name, array in zip(arguments(record), arrays, strict=False):
        if array is not None and not name.startswith("moving"):  # batch_norm updates its moving statistics in place
            array.flags.writeable = False
    y, cache = record.forward(*arrays, **record.settings)
    dy = np.ones_like(y)
    dy.flags.writeable = False
    record.derive(dy, cache)


@each_record
def test_a_cache_can_be_used_twice(record):
    _, _, cache, dy, gradients = run(record)
    for first, second in zip(gradients, record.derive(dy, cache), strict=True):
        np.testing.assert_array_equal(first, second)


@each_record
def test_memory_layout_does_not_matter(record):
    _, y, _, dy, gradients = run(record)
    strided = [a if a is None else _scattered(a) for a in record.arrays()]
    y2, cache = record.forward(*strided, **record.settings)
    np.testing.assert_allclose(y2, y, rtol=1e-12, atol=1e-14)
    for g, g2 in zip(gradients, record.derive(_scattered(dy), cache), strict=True):
        if g is not None:
            np.testing.assert_allclose(g2, g, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("record", [r for r in RECORDS if r.op in ("conv2d", "dense")], ids=str)
def test_the_input_gradient_can_be_left_out(record):
    _, _, cache, dy, gradients = run(record)
    dx, *others = record.backward(dy, cache, input_gradient=False)
    assert dx is None
    for g, other in zip(gradients[1:], others, strict=True):
        np.testing.assert_array_equal(g, other)


def _scattered(a: NDArray) -> NDArray:
    """The same numbers, neither contiguous nor in C order in memory."""
    apart = np.zeros(tuple(2 * n for n in a.shape[::-1]), a.dtype)
    view = apart[(..., *[slice(1, None, 2)] * a.ndim)].T
    view[...] = a
    return view
