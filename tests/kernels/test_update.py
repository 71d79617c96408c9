"""Compiled update rules: the same bits as the reference, on any number of threads, in one dispatch for all parameters."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pellucid import backend
from pellucid.kernels import threads, update
from pellucid.ops import update as reference
from pellucid.ops.update import Steps

SHAPES = [(3, 3, 3, 32), (32,), (), (0,), (4096, 17), (update.PIECE + 1,)]

DIALECTS = ("keras", "torch")


@dataclass(frozen=True)
class Case:
    """A rule, its settings, and what each slot holds: numbers of any sign, small ones, positive ones, or no arrays at all."""

    rule: str
    slots: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join(map(str, (self.rule, *self.slots, *self.settings.values())))


CASES = [
    Case("sgd"),
    *(
        Case("momentum", ("any",), {"momentum": 0.9, "nesterov": nesterov, "dialect": dialect})
        for dialect in DIALECTS
        for nesterov in (False, True)
    ),
    *(
        Case("adam", ("any", "positive"), {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "dialect": dialect})
        for dialect in DIALECTS
    ),
    *(
        Case("rmsprop", ("positive", means, moved), {"rho": 0.9, "momentum": 0.8, "epsilon": 1e-3, "dialect": dialect})
        for dialect in DIALECTS
        for means in ("none", "small")
        for moved in ("none", "any")
    ),
    *(Case("adagrad", ("positive",), {"epsilon": 1e-7, "dialect": dialect}) for dialect in DIALECTS),
]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def steps(rng: np.random.Generator) -> Steps:
    """Different for every parameter; some without clipping, decay or scale."""
    n = len(SHAPES)
    limit = np.where(np.arange(n) % 2, rng.uniform(0.1, 1, n), np.inf)
    some = np.arange(n) % 3 != 0
    return Steps(rng.uniform(0.01, 0.1, n), np.where(some, 0.5, 1), limit, some * 0.1, np.where(some, 0.99, 1))


def arrays(rng: np.random.Generator, kind: str) -> list[np.ndarray]:
    """One per shape."""
    if kind == "none":
        return []
    made = [np.asarray(rng.standard_normal(shape, np.float32)) for shape in SHAPES]
    if kind == "positive":
        return [np.asarray(abs(x) + np.float32(1)) for x in made]
    return [np.asarray(x * np.float32(0.1)) for x in made] if kind == "small" else made


def copies(lists: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    return [[x.copy() for x in kind] for kind in lists]


def run(rule: Any, case: Case, lists: list[list[np.ndarray]], step: Steps) -> list[np.ndarray]:
    """Three times, with changing steps as a schedule makes them; all arrays afterwards."""
    changed = copies(lists)
    for time in (1, 2, 3):
        settings = case.settings | ({"time": time} if case.rule == "adam" else {})
        rule(*changed, step._replace(rate=step.rate / time), **settings)
    return [x for kind in changed for x in kind]


def test_every_rule_has_a_twin_and_a_case():
    others = {"average", "squared_norms", "muon"}  # have tests of their own
    assert reference.RULES.keys() == update.RULES.keys() == {case.rule for case in CASES} | others


@each_case
def test_the_twin_has_the_bits_of_the_reference_on_any_number_of_threads(case, same_bits):
    rng = np.random.default_rng(0)
    lists = [arrays(rng, kind) for kind in ("any", "any", *case.slots)]
    step = steps(rng)
    found = same_bits(lambda: run(update.RULES[case.rule], case, lists, step))
    expected = run(reference.RULES[case.rule], case, lists, step)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)
    n = len(SHAPES)
    for before, changed in zip(lists[0], expected[:n], strict=True):
        assert before.size == 0 or (before != changed).any()
    for before, gradient in zip(lists[1], expected[n : 2 * n], strict=True):
        np.testing.assert_array_equal(before, gradient)


def test_averages_have_the_bits_of_the_reference(same_bits):
    rng = np.random.default_rng(0)
    followers, leaders = arrays(rng, "any"), arrays(rng, "any")

    def follow(rules: dict[str, Any]) -> list[np.ndarray]:
        changed = [x.copy() for x in followers]
        rules["average"](changed, leaders, 0.3)
        return changed

    for one, two in zip(same_bits(lambda: follow(update.RULES)), follow(reference.RULES), strict=True):
        np.testing.assert_array_equal(one, two)


def test_squared_norms_are_exact_to_float64_and_the_same_on_any_number_of_threads(same_bits):
    lists = arrays(np.random.default_rng(0), "any")
    found = same_bits(lambda: [update.squared_norms(lists)])[0]
    np.testing.assert_allclose(found, reference.squared_norms(lists), rtol=1e-14)
    assert found[SHAPES.index((0,))] == 0
    assert not np.isfinite(update.squared_norms([np.array([1, np.nan], np.float32)]))


@pytest.mark.parametrize(("nesterov", "normalize"), [(False, False), (True, True)])
def test_muon_agrees_with_the_reference_and_does_not_depend_on_threads(nesterov, normalize, same_bits):
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 8, 16), (2, 2, 3, 24), (64, 10)]
    lists = [[rng.standard_normal(shape, np.float32) for shape in shapes] for _ in range(3)]
    settings = {"momentum": 0.6, "nesterov": nesterov, "iterations": 3, "normalize": normalize}
    step = Steps.plain(0.1, len(shapes))

    def apply(rules: dict[str, Any], lists: list[list[np.ndarray]]) -> list[np.ndarray]:
        changed = copies(lists)
        rules["muon"](*changed, step, **settings)
        return [*changed[0], *changed[2]]

    exact = apply(reference.RULES, [[x.astype(np.float64) for x in kind] for kind in lists])
    for one, two in zip(same_bits(lambda: apply(update.RULES, lists)), exact, strict=True):
        np.testing.assert_allclose(one, two, atol=3e-6)


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
    update.sgd(*(arrays(np.random.default_rng(0), "any") for _ in range(2)), Steps.plain(0.1, len(SHAPES)))
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
