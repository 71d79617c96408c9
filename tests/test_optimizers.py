"""Optimizers: fifty steps as in PyTorch, and as the formula says; what they remember, settings, names.

A registered optimizer without a record fails the suite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pellucid import PellucidError, optimizers
from pellucid.optimizers import (
    EMA,
    OPTIMIZERS,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Lookahead,
    Muon,
    Optimizer,
    RMSprop,
)
from pellucid.schedules import Cosine, Step

Memory = dict[str, Any]


@dataclass(frozen=True)
class Record:
    """An optimizer's settings; the same in PyTorch; and one step by formula: (w, g, t, rate, memory) -> w."""

    name: str
    case: str
    settings: dict[str, Any]
    torch: tuple[str, dict[str, Any]] | None  # None where PyTorch has no such variant
    keras: Callable[[Any, Any, int, float, Memory], Any]

    def __str__(self) -> str:
        return f"{self.name}-{self.case}"

    def make(self, dialect: str = "keras") -> Optimizer:
        dialects = {} if self.name == "muon" else {"dialect": dialect}
        return optimizers.get(self.name, **self.settings, **dialects)


def momentum(beta: float, nesterov: bool) -> Callable:
    def step(w, g, t, rate, memory):
        memory["v"] = beta * memory.get("v", 0) - rate * g
        return w + (beta * memory["v"] - rate * g if nesterov else memory["v"])

    return step


def adam(beta_1: float, beta_2: float, epsilon: float) -> Callable:
    def step(w, g, t, rate, memory):
        memory["m"] = beta_1 * memory.get("m", 0) + (1 - beta_1) * g
        memory["s"] = beta_2 * memory.get("s", 0) + (1 - beta_2) * g**2
        rate = rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        return w - rate * memory["m"] / (np.sqrt(memory["s"]) + epsilon)

    return step


def decayed(decay: float, then: Callable) -> Callable:
    """Weight decay beside the step, as in Keras."""
    return lambda w, g, t, rate, memory: then(w - rate * decay * w, g, t, rate, memory)


def rmsprop(rho: float, beta: float, epsilon: float, centered: bool) -> Callable:
    def step(w, g, t, rate, memory):
        memory["s"] = rho * memory.get("s", 0) + (1 - rho) * g**2
        memory["m"] = rho * memory.get("m", 0) + (1 - rho) * g
        spread = memory["s"] - centered * memory["m"] ** 2
        memory["v"] = beta * memory.get("v", 0) + rate * g / np.sqrt(spread + epsilon)
        return w - memory["v"]

    return step


def adagrad(start: float, epsilon: float) -> Callable:
    def step(w, g, t, rate, memory):
        memory["s"] = memory.get("s", start) + g**2
        return w - rate * g / np.sqrt(memory["s"] + epsilon)

    return step


def muon(beta: float, nesterov: bool, iterations: int, normalize: bool, ratio: float, sgd_beta: float) -> Callable:
    """As in airbench94_muon.py, with kernels (CO, K) as there."""

    def whitened(x):
        a, b, c = 3.4445, -4.7750, 2.0315
        if x.shape[0] > x.shape[1]:
            return whitened(x.T).T
        x = x / (np.linalg.norm(x) + 1e-7)
        for _ in range(iterations):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x

    def step(w, g, t, rate, memory):
        kernel = w.ndim == 4
        memory["v"] = (beta if kernel else sgd_beta) * memory.get("v", 0) + g
        if not kernel:
            return w - rate * ratio * (g + sgd_beta * memory["v"])
        wanted = (g + beta * memory["v"] if nesterov else memory["v"]).reshape(-1, w.shape[-1])
        if normalize:
            w = w * np.sqrt(w.shape[-1]) / np.linalg.norm(w)
        wide = np.sqrt(max(1, wanted.shape[1] / wanted.shape[0]))
        return w - rate * wide * whitened(wanted.T).T.reshape(w.shape)

    return step


RECORDS = [
    Record("sgd", "plain", {"learning_rate": 0.1}, ("SGD", {"lr": 0.1}), momentum(0.0, False)),
    Record(
        "sgd",
        "momentum",
        {"learning_rate": 0.05, "momentum": 0.9},
        ("SGD", {"lr": 0.05, "momentum": 0.9}),
        momentum(0.9, False),
    ),
    Record(
        "sgd",
        "nesterov",
        {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
        ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
        momentum(0.8, True),
    ),
    Record("adam", "defaults", {"epsilon": 1e-8}, ("Adam", {"lr": 0.001, "eps": 1e-8}), adam(0.9, 0.999, 1e-8)),
    Record(
        "adam",
        "large epsilon",
        {"learning_rate": 0.02, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 0.01},
        ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 0.01}),
        adam(0.8, 0.95, 0.01),
    ),
    Record(
        "sgd",
        "weight decay",
        {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        decayed(0.1, momentum(0.9, True)),
    ),
    Record(
        "adam",
        "weight decay",
        {"learning_rate": 0.02, "epsilon": 1e-8, "weight_decay": 0.1},
        ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
        decayed(0.1, adam(0.9, 0.999, 1e-8)),
    ),
    Record(
        "adamw",
        "defaults",
        {"epsilon": 1e-8, "weight_decay": 0.01},
        ("AdamW", {"lr": 0.001}),
        decayed(0.01, adam(0.9, 0.999, 1e-8)),
    ),
    *(
        Record(
            "rmsprop",
            f"momentum {beta}, centered {centered}",
            {"learning_rate": 0.01, "rho": 0.95, "momentum": beta, "epsilon": 1e-3, "centered": centered},
            ("RMSprop", {"alpha": 0.95, "momentum": beta, "eps": 1e-3, "centered": centered}),
            rmsprop(0.95, beta, 1e-3, centered),
        )
        for beta in (0.0, 0.8)
        for centered in (False, True)
    ),
    Record("rmsprop", "defaults", {}, ("RMSprop", {"lr": 0.001, "alpha": 0.9, "eps": 1e-7}), rmsprop(0.9, 0, 1e-7, 0)),
    Record("adagrad", "defaults", {"initial_accumulator_value": 0.1}, None, adagrad(0.1, 1e-7)),
    Record(
        "adagrad",
        "from nothing",
        {"learning_rate": 0.1, "initial_accumulator_value": 0, "epsilon": 1e-10},
        ("Adagrad", {"lr": 0.1}),
        adagrad(0, 1e-10),
    ),
    Record("muon", "defaults", {}, None, muon(0.6, True, 3, True, 0.05 / 0.24, 0.85)),
    Record(
        "muon",
        "plain",
        {"learning_rate": 0.02, "momentum": 0.95, "nesterov": False, "newton_schulz": 5, "normalize": False}
        | {"sgd_learning_rate": 0.01, "sgd_momentum": 0.5},
        None,
        muon(0.95, False, 5, False, 0.5, 0.5),
    ),
]
NAMES = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop, Adagrad, Muon, EMA, Lookahead, Cosine, Step)}
each_record = pytest.mark.parametrize("record", RECORDS, ids=str)


class Problem:
    """Three arrays and gradients that depend on where they stand; the learning rate drops half way."""

    def __init__(self, dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(0)
        shapes = {"a/kernel": (2, 2, 3, 4), "wide/kernel": (1, 1, 3, 7), "b": (5,)}
        self.start = {path: rng.normal(size=shape).astype(dtype) for path, shape in shapes.items()}
        self.curvature = {path: rng.uniform(0.1, 3, w.shape).astype(dtype) for path, w in self.start.items()}

    def gradient(self, path: str, w: Any, t: int) -> Any:
        return self.curvature[path] * w + np.sin(t + 1.0).astype(self.curvature[path].dtype)

    def run(self, optimizer: Optimizer, steps: range = range(1, 51), params: Memory | None = None) -> Memory:
        params = {path: w.copy() for path, w in self.start.items()} if params is None else params
        for t in steps:
            if t == 26:
                optimizer.learning_rate *= 0.25
            optimizer.apply(params, {path: self.gradient(path, w, t) for path, w in params.items()})
        return params


def test_every_optimizer_has_a_record():
    without = set(OPTIMIZERS) - {record.name for record in RECORDS}
    assert not without, f"add a record to tests/test_optimizers.py for {sorted(without)}"


@each_record
def test_fifty_steps_are_those_of_the_formula(record):
    problem = Problem()
    found = problem.run(record.make())
    for path, w in problem.start.items():
        rate, memory = record.make().learning_rate, {}
        for t in range(1, 51):
            rate = rate * 0.25 if t == 26 else rate
            w = record.keras(w, problem.gradient(path, w, t), t, rate, memory)
        np.testing.assert_allclose(found[path], w, rtol=1e-12)


@pytest.mark.parametrize("record", [record for record in RECORDS if record.torch], ids=str)
def test_fifty_steps_are_those_of_pytorch(record):
    torch = pytest.importorskip("torch")
    problem = Problem()
    found = problem.run(record.make("torch"))
    name, settings = record.torch
    for path, w in problem.start.items():
        leaf = torch.nn.Parameter(torch.tensor(w))
        optimizer = getattr(torch.optim, name)([leaf], **settings)
        for t in range(1, 51):
            if t == 26:
                optimizer.param_groups[0]["lr"] *= 0.25
            leaf.grad = torch.tensor(problem.gradient(path, leaf.detach().numpy(), t))
            optimizer.step()
        np.testing.assert_allclose(found[path], leaf.detach().numpy(), rtol=1e-12)


def test_the_dialects_of_momentum_part_where_the_learning_rate_changes():
    keras, torch = (Problem().run(SGD(0.05, 0.9, dialect=d), range(1, 26)) for d in ("keras", "torch"))
    np.testing.assert_allclose(keras["b"], torch["b"], rtol=1e-12)
    keras, torch = (Problem().run(SGD(0.05, 0.9, dialect=d)) for d in ("keras", "torch"))
    assert np.abs(keras["b"] - torch["b"]).max() > 1e-6


@each_record
@pytest.mark.parametrize("dialect", ["keras", "torch"])
def test_what_it_remembers_continues_a_run_bit_for_bit(record, dialect):
    problem = Problem(np.float32)
    whole = problem.run(record.make(dialect))

    first = record.make(dialect)
    params = problem.run(first, range(1, 31))
    second = record.make(dialect)
    second.learning_rate = first.learning_rate
    second.load_slots(first.slots, first.iterations)
    problem.run(first, range(31, 33), {path: w.copy() for path, w in params.items()})  # must not disturb the second
    problem.run(second, range(31, 51), params)
    for path, w in whole.items():
        np.testing.assert_array_equal(params[path], w)
    assert second.iterations == 50


@each_record
@pytest.mark.parametrize("dialect", ["keras", "torch"])
def test_parameters_change_in_place_and_keep_their_precision(record, dialect):
    problem = Problem(np.float32)
    optimizer, params = record.make(dialect), {path: w.copy() for path, w in problem.start.items()}
    arrays = dict(params)
    problem.run(optimizer, range(1, 4), params)
    for path, w in arrays.items():
        assert params[path] is w
        assert w.dtype == np.float32
        assert (w != problem.start[path]).all()
    assert all(slot.dtype == np.float32 for slot in optimizer.slots.values())


@each_record
def test_gradients_are_left_alone_and_missing_ones_change_nothing(record):
    problem = Problem()
    params = {path: w.copy() for path, w in problem.start.items()}
    gradient = np.ones(5)
    record.make().apply(params, {"b": gradient})
    np.testing.assert_array_equal(gradient, np.ones(5))
    for path in ("a/kernel", "wide/kernel"):
        np.testing.assert_array_equal(params[path], problem.start[path])


@each_record
def test_slots_are_named_after_the_parameters(record):
    optimizer, problem = record.make(), Problem()
    problem.run(optimizer, range(1, 2))
    for key, slot in optimizer.slots.items():
        path = key.partition("/")[2]
        assert slot.shape == problem.start[path].shape


@each_record
def test_config_makes_the_same_optimizer(record):
    optimizer = record.make("torch")
    again = optimizers.get(optimizer.config())
    assert type(again) is type(optimizer)
    assert again.config() == optimizer.config()
    assert optimizer.config()["name"] == record.name
    assert record.settings.items() <= optimizer.config().items()
    assert repr(again) == repr(optimizer)
    assert eval(repr(optimizer), NAMES).config() == optimizer.config()


def test_names_are_known_in_any_case_and_objects_stay_themselves():
    adam = Adam(0.01)
    assert optimizers.get(adam) is adam
    assert optimizers.get("Adam", learning_rate=0.01).config() == adam.config()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("sdg", "Did you mean 'sgd'"),
        ({"name": "adamm"}, "Did you mean 'adam'"),
        ("zzz", "Known: sgd, adam"),
        (None, "Known: "),
        ({}, "Known: "),
    ],
)
def test_unknown_optimizers_are_answered_with_the_nearest_one(name, hint):
    with pytest.raises(PellucidError, match=f"There is no optimizer .*{hint}"):
        optimizers.get(name)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: SGD(0), "learning rate was 0; wanted a positive number"),
        (lambda: SGD(-0.1), "learning rate was -0.1"),
        (lambda: SGD(float("nan")), "learning rate was nan"),
        (lambda: SGD(float("inf")), "learning rate was inf"),
        (lambda: Adam("fast"), "learning rate was 'fast'"),
        (lambda: SGD(momentum=1.0), "momentum=1.0; wanted a number from 0 up to, but not, 1"),
        (lambda: Adam(beta_1=1.0), "beta_1=1.0 and beta_2=0.999"),
        (lambda: SGD(dialect="jax"), "dialect was 'jax'; wanted 'keras' or 'torch'"),
        (lambda: optimizers.get("sgd", beta_1=0.9), "settings of optimizer 'sgd' do not fit.*'beta_1'"),
    ],
)
def test_wrong_settings_are_explained(make, text):
    with pytest.raises(PellucidError, match=text):
        make()


def test_an_optimizer_that_leaves_its_update_out_says_so():
    with pytest.raises(NotImplementedError, match="Optimizer does not say how to update a parameter"):
        Optimizer(0.1).apply({"w": np.ones(1)}, {"w": np.ones(1)})
