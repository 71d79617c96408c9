"""Compiled update rules: the same bits as the reference, on any number of threads, in one dispatch for all parameters."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from pellucid import backend
from pellucid.kernels import threads, update
from pellucid.ops import update as reference
from pellucid.ops.update import Steps

SHAPES = [(3, 3, 3, 32), (32,), (), (0,), (4096, 17), (update.PIECE + 1,)]

CASES = {
    "sgd": ("sgd", 0, {}),
    **{
        f"momentum {dialect}{' nesterov' * nesterov}": (
            "momentum",
            1,
            {"momentum": 0.9, "nesterov": nesterov, "dialect": dialect},
        )
        for dialect in ("keras", "torch")
        for nesterov in (False, True)
    },
    **{
        f"adam {dialect}": (
            "adam",
            2,
            {"time": 3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "dialect": dialect},
        )
        for dialect in ("keras", "torch")
    },
}
each_case = pytest.mark.parametrize(("rule", "slots", "settings"), CASES.values(), ids=CASES.keys())


def steps(rng: np.random.Generator) -> Steps:
    """Different for every parameter; some without clipping, decay or scale."""
    n = len(SHAPES)
    limit = np.where(np.arange(n) % 2, rng.uniform(0.1, 1, n), np.inf)
    some = np.arange(n) % 3 != 0
    return Steps(rng.uniform(0.01, 0.1, n), np.where(some, 0.5, 1), limit, some * 0.1, np.where(some, 0.99, 1))


def lists(rng: np.random.Generator, count: int) -> list[list[np.ndarray]]:
    """Parameters, gradients and slots; the last slot, a mean of squares, is positive."""
    made = [[np.asarray(rng.standard_normal(shape, np.float32)) for shape in SHAPES] for _ in range(count)]
    return [*made[:-1], [np.asarray(abs(x)) for x in made[-1]]] if count > 2 else made


def copies(arrays: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    return [[x.copy() for x in arrays_of_kind] for arrays_of_kind in arrays]


def test_every_rule_has_a_twin_and_a_case():
    assert reference.RULES.keys() == update.RULES.keys() == {rule for rule, _, _ in CASES.values()}


@each_case
def test_the_twin_has_the_bits_of_the_reference_on_any_number_of_threads(rule, slots, settings, same_bits):
    rng = np.random.default_rng(0)
    arrays, step = lists(rng, 2 + slots), steps(rng)
    gradients = copies(arrays)[1]

    def native() -> list[np.ndarray]:
        changed = copies(arrays)
        for _ in range(3):
            update.RULES[rule](*changed, step, **settings)
        return [x for kind in changed for x in kind]

    expected = copies(arrays)
    for _ in range(3):
        reference.RULES[rule](*expected, step, **settings)
    for found, wanted in zip(same_bits(native), (x for kind in expected for x in kind), strict=True):
        np.testing.assert_array_equal(found, wanted)
    for gradient, before in zip(expected[1], gradients, strict=True):
        np.testing.assert_array_equal(gradient, before)
    assert not np.array_equal(expected[0][0], arrays[0][0])


def test_not_a_number_stays_one_through_clipping():
    w, g = np.zeros(3, np.float32), np.array([np.nan, np.inf, -np.inf], np.float32)
    one = np.ones(1)
    for rules in (reference.RULES, update.RULES):
        changed = w.copy()
        rules["sgd"]([changed], [g], Steps(one, one, one * 0.5, one * 0, one))
        np.testing.assert_array_equal(changed, np.array([np.nan, -0.5, 0.5], np.float32))


def test_one_dispatch_serves_all_parameters(monkeypatch):
    dispatched = []
    monkeypatch.setattr(update, "parallel_for", lambda *arguments: dispatched.append(arguments))
    update.sgd(*lists(np.random.default_rng(0), 2), Steps.plain(0.1, len(SHAPES)))
    assert len(dispatched) == 1


@pytest.mark.parametrize("damage", ["float64", "gaps", "scalar"])
def test_what_is_not_float32_without_gaps_goes_to_the_reference(damage, monkeypatch):
    seen = []
    monkeypatch.setitem(backend.RULES, "sgd", lambda *arguments: seen.append("numpy"))
    monkeypatch.setitem(update.RULES, "sgd", lambda *arguments: seen.append("native"))
    w, g = (np.ones((4, 4), np.float32) for _ in range(2))
    bad = {"float64": g.astype(np.float64), "gaps": g[:, ::2], "scalar": np.float32(1)}[damage]
    with backend.using("native"):
        backend.update("sgd", [w], [g], Steps.plain(0.1, 1))
        backend.update("sgd", [w], [bad], Steps.plain(0.1, 1))
    with backend.using("numpy"):
        backend.update("sgd", [w], [g], Steps.plain(0.1, 1))
    assert seen == ["native", "numpy", "numpy"]


def test_views_and_arrays_at_any_address_are_changed_where_they_are():
    """The kernel looks the address up in the array's own structure: it must be that of the view, not of its base."""
    memory = np.zeros(1000, np.float32)
    before = threads.get_num_threads()
    for start in (0, 1, 7, 500):
        view = memory[start : start + 100].reshape(10, 10)
        update.sgd([view], [np.ones((10, 10), np.float32)], Steps.plain(1.0, 1))
        gc.collect()
    assert memory.sum() == -400
    assert memory[600:].sum() == 0
    assert threads.get_num_threads() == before
