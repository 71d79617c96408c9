"""Schedules: PyTorch's rates step by step; lengths, settings, names; what the plateau remembers.

A registered schedule without a record fails the suite.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pellucid import PellucidError, schedules
from pellucid.errors import FileFormatError
from pellucid.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Horizon,
    Linear,
    MultiStep,
    OneCycle,
    Piecewise,
    Plateau,
    Polynomial,
    Schedule,
    Step,
    WarmUp,
)

STEPS = 60
HORIZON = Horizon(STEPS, 10)


@dataclass(frozen=True)
class Record:
    """A schedule; the same in PyTorch, on a base rate of 1/4; and some rates worked out by hand, by step."""

    make: Callable[[], Schedule]
    torch: Callable[[Any, Any], Any] | None
    known: dict[int, float]

    def __str__(self) -> str:
        return repr(self.make())


RATE = 0.25
RECORDS = [
    Record(lambda: Constant(RATE), lambda t, o: t.ConstantLR(o, factor=1.0), {0: RATE, 59: RATE}),
    Record(lambda: Step(RATE, 7, 0.5), lambda t, o: t.StepLR(o, 7, 0.5), {6: RATE, 7: RATE / 2, 14: RATE / 4}),
    Record(lambda: Step(RATE, "2 epochs"), lambda t, o: t.StepLR(o, 20), {19: RATE, 20: RATE / 10}),
    Record(lambda: MultiStep(RATE, [5, 0.5]), lambda t, o: t.MultiStepLR(o, [5, 30]), {4: RATE, 30: RATE / 100}),
    Record(lambda: Exponential(RATE, 0.9), lambda t, o: t.ExponentialLR(o, 0.9), {1: RATE * 0.9}),
    Record(lambda: Exponential(RATE, 0.25, every=20), None, {10: RATE / 2, 20: RATE / 4}),
    Record(
        lambda: Polynomial(RATE, 40, power=3), lambda t, o: t.PolynomialLR(o, 40, 3), {20: RATE / 8, 40: 0.0, 59: 0.0}
    ),
    Record(lambda: Polynomial(RATE, power=2, final=0.2), None, {30: RATE * (0.8 / 4 + 0.2)}),
    Record(lambda: Linear(RATE, 40, final=0.1), lambda t, o: t.LinearLR(o, 1.0, 0.1, 40), {20: RATE * 0.55}),
    Record(lambda: Linear(RATE), lambda t, o: t.LinearLR(o, 1.0, 0.0, STEPS), {0: RATE, 30: RATE / 2}),
    Record(lambda: Cosine(RATE), lambda t, o: t.CosineAnnealingLR(o, STEPS), {30: RATE / 2}),
    Record(
        lambda: Cosine(RATE, 1.0, final=0.2),
        lambda t, o: t.CosineAnnealingLR(o, STEPS, eta_min=0.2 * RATE),
        {30: 0.6 * RATE},
    ),
    Record(lambda: Cosine(RATE, 20, final=0.2), None, {20: RATE / 5, 40: RATE / 5}),  # PyTorch's rises again
    Record(
        lambda: CosineRestarts(RATE, 7, growth=1),
        lambda t, o: t.CosineAnnealingWarmRestarts(o, 7),
        {7: RATE, 21: RATE},
    ),
    Record(
        lambda: CosineRestarts(RATE, 5, final=0.1),
        lambda t, o: t.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.1 * RATE),
        {5: RATE, 15: RATE, 35: RATE},
    ),
    Record(lambda: CosineRestarts(RATE, 10, shrink=0.5), None, {10: RATE / 2, 20: RATE / 4, 30: RATE / 4}),
    Record(lambda: CosineRestarts(RATE, 10, growth=1, shrink=0.5), None, {10: RATE / 2, 25: RATE / 8}),
    Record(
        lambda: OneCycle(RATE, start=0.1, final=0.01),
        lambda t, o: t.OneCycleLR(o, RATE, total_steps=STEPS, div_factor=10, final_div_factor=10),
        {17: RATE, 59: RATE / 100},
    ),
    Record(
        lambda: OneCycle(RATE, peak=0.45, shape="linear"),
        lambda t, o: t.OneCycleLR(o, RATE, total_steps=STEPS, pct_start=0.45, anneal_strategy="linear"),
        {26: RATE, 59: RATE * 4e-6},
    ),
    Record(lambda: Piecewise(RATE, [(0, 0.2), (0.25, 1), (1.0, 0)]), None, {0: RATE / 5, 15: RATE, 45: RATE / 3}),
    Record(lambda: Piecewise(RATE, [("1 epoch", 1), (20, 1), (20, 0.5)]), None, {0: RATE, 19: RATE, 20: RATE / 2}),
    Record(lambda: Plateau(RATE), None, {0: RATE, 59: RATE}),
    Record(
        lambda: WarmUp(Cosine(RATE), 12, start=0.25),
        lambda t, o: t.SequentialLR(
            o, [t.LinearLR(o, 0.25, 1.0, 12), t.CosineAnnealingLR(o, STEPS - 12)], milestones=[12]
        ),
        {0: RATE / 4, 12: RATE, 36: RATE / 2},
    ),
    Record(lambda: WarmUp(Step(RATE, "1 epoch"), 0.1), None, {0: 0.0, 3: RATE / 2, 6: RATE, 15: RATE, 16: RATE / 10}),
]
each_record = pytest.mark.parametrize("record", RECORDS, ids=str)


def test_every_schedule_has_a_record():
    without = set(SCHEDULES.values()) - {type(record.make()) for record in RECORDS}
    assert not without, f"add a record to tests/test_schedules.py for {without}"


@pytest.mark.parametrize("record", [record for record in RECORDS if record.torch], ids=str)
def test_the_rates_are_those_of_pytorch_step_by_step(record):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    ours, theirs = record.make(), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on how PyTorch chains its own schedulers
        scheduler = record.torch(torch.optim.lr_scheduler, optimizer)
        for _ in range(STEPS):
            theirs.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    np.testing.assert_allclose([ours(step, HORIZON) for step in range(STEPS)], theirs, rtol=1e-9, atol=1e-14)


@each_record
def test_the_rates_are_those_worked_out_by_hand(record):
    schedule = record.make()
    for step, rate in record.known.items():
        assert schedule(step, HORIZON) == pytest.approx(rate, abs=1e-15)


@each_record
def test_a_rate_depends_on_the_step_alone(record):
    schedule, order = record.make(), np.random.default_rng(0).permutation(STEPS + 20)
    mixed = {int(step): schedule(int(step), HORIZON) for step in order}
    assert [mixed[step] for step in range(STEPS + 20)] == [record.make()(step, HORIZON) for step in range(STEPS + 20)]
    assert all(rate >= 0 for rate in mixed.values())


@each_record
def test_config_and_repr_make_the_same_schedule(record):
    schedule = record.make()
    for again in (
        schedules.get(json.loads(json.dumps(schedule.config()))),
        eval(repr(schedule), {kind.__name__: kind for kind in SCHEDULES.values()}),
    ):
        assert again == schedule
        assert [again(step, HORIZON) for step in range(STEPS)] == [schedule(step, HORIZON) for step in range(STEPS)]


@each_record
def test_a_multiple_is_higher_everywhere(record):
    schedule = record.make()
    smaller = schedule * 0.5
    assert type(smaller) is type(schedule)
    for step in range(0, STEPS, 7):
        assert smaller(step, HORIZON) == pytest.approx(schedule(step, HORIZON) / 2, abs=1e-15)


def test_lengths_are_steps_parts_or_epochs():
    for length in (15, 0.25, "1.5 epochs", "1.5 epoch"):
        schedule = Step(1.0, length)
        assert [schedule(step, HORIZON) for step in (14, 15)] == [1.0, 0.1]


def test_without_a_horizon_only_steps_can_be_followed():
    assert Linear(1.0, 10)(5) == 0.5
    with pytest.raises(PellucidError, match=r"steps was left out.*Train with fit, or give a number of steps"):
        Cosine(1.0)(0)
    with pytest.raises(PellucidError, match=r"milestone is 0.5, but nobody knows how long"):
        MultiStep(1.0, [0.5])(0)


def test_a_training_shorter_than_its_warm_up_is_all_warm_up():
    schedule = WarmUp(Cosine(1.0), 100)
    assert [schedule(step, HORIZON) for step in (0, 50)] == [0, 0.5]
    assert np.isfinite(schedule(200, HORIZON))


SCORES = [1.0, 0.9, 0.91, 0.9, 0.95, 0.8, 0.85, 0.84, 0.83, 0.9, 0.95, 0.79999, 0.85, 0.83, 0.82, 0.81, 0.8, 0.82]


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize(("patience", "cooldown"), [(1, 0), (2, 0), (2, 2), (0, 1), (3, 1)])
def test_the_plateau_drops_when_pytorch_drops(patience, cooldown, monitor):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max" if monitor == "val_accuracy" else "min", 0.5, patience, cooldown=cooldown, min_lr=RATE / 10
    )
    ours = Plateau(RATE, 0.5, patience, monitor, cooldown=cooldown, final=0.1, dialect="torch")
    rates = []
    for score in SCORES:
        score = 1 - score / 2 if monitor == "val_accuracy" else score
        scheduler.step(score)
        ours.observe({monitor: score})
        assert ours(0) == pytest.approx(optimizer.param_groups[0]["lr"])
        rates.append(ours(0))
    assert len(set(rates)) > 2


@pytest.mark.parametrize(("patience", "cooldown"), [(2, 0), (2, 2), (0, 0), (1, 3)])
def test_the_plateau_drops_by_keras_rule(patience, cooldown):
    """A loop as in keras.callbacks.ReduceLROnPlateau, written out."""
    best, wait, cooling, expected = float("inf"), 0, 0, []
    for epoch, score in enumerate(SCORES):
        if cooling > 0:
            cooling, wait = cooling - 1, 0
        if score < best - 1e-4:
            best, wait = score, 0
        elif cooling <= 0:
            wait += 1
            if wait >= patience:
                expected.append(epoch)
                cooling, wait = cooldown, 0
    schedule, found = Plateau(1.0, 0.5, patience, cooldown=cooldown), []
    for epoch, score in enumerate(SCORES):
        before = schedule(0)
        schedule.observe({"val_loss": score, "train_loss": 0.0})
        if schedule(0) < before:
            found.append(epoch)
    assert found == expected
    assert len(found) > 2


@pytest.mark.parametrize("wrap", [lambda plateau: plateau, lambda plateau: WarmUp(plateau, 2)])
def test_what_the_plateau_remembers_travels_in_its_config(wrap):
    whole = wrap(Plateau(RATE, 0.5, 2, cooldown=1))
    parts = wrap(Plateau(RATE, 0.5, 2, cooldown=1))
    for score in SCORES:
        whole.observe({"train_loss": score})
        parts = schedules.get(json.loads(json.dumps(parts.config())))
        parts.observe({"train_loss": score})
        assert parts(5) == whole(5)
        assert parts == whole
    assert whole(5) < RATE
    assert (whole * 0.5)(5) == whole(5) / 2


def test_a_score_that_is_not_a_number_is_no_improvement():
    schedule = Plateau(1.0, 0.5, patience=2)
    for score in (float("nan"), 1.0, float("nan"), float("nan")):
        schedule.observe({"train_loss": score})
    assert schedule(0) == 0.5


def test_names_settings_and_rates_from_text():
    assert schedules.get("cosine", 0.1) == Cosine(0.1)
    assert schedules.get("One-Cycle:peak=0.4,shape=linear", 0.1) == OneCycle(0.1, peak=0.4, shape="linear")
    assert schedules.get("step:every=5 epochs, drop=0.5", 0.1) == Step(0.1, "5 epochs", 0.5)
    assert schedules.get('{"name": "multi_step", "milestones": [0.5]}', 0.1) == MultiStep(0.1, [0.5])
    assert schedules.get({"name": "linear", "learning_rate": 0.2}, 0.1) == Linear(0.2)
    warm = {"name": "warm_up", "schedule": {"name": "cosine"}, "length": 0.1}
    assert schedules.get(warm, 0.1) == WarmUp(Cosine(0.1), 0.1)
    kept = Linear(0.3)
    assert schedules.get(kept, 0.1) is kept


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: schedules.get("cosin", 0.1), "There is no schedule 'cosin'. Did you mean 'cosine'"),
        (lambda: schedules.get({}, 0.1), "There is no schedule None. Known: constant, step"),
        (lambda: schedules.get("step:every", 0.1), "has 'every'; wanted setting=value"),
        (lambda: schedules.get("{nonsense", 0.1), "is not JSON"),
        (lambda: Cosine(0), "learning rate was 0; wanted a positive number"),
        (lambda: Cosine(float("nan")), "learning rate was nan"),
        (lambda: Cosine(True), "learning rate was True"),
        (lambda: Step(0.1, every=0), "Step got every=0; wanted at least one step"),
        (lambda: Step(0.1, every=-3), "every was -3; wanted a number of steps such as 500"),
        (lambda: Step(0.1, every=2.5), 'every was 2.5; .* or epochs such as "5 epochs"'),
        (lambda: Step(0.1, every="five epochs"), "every was 'five epochs'"),
        (lambda: Step(0.1, every=True), "every was True"),
        (lambda: MultiStep(0.1, milestones=0.5), r"milestones were 0.5; wanted a list"),
        (lambda: Linear(0.1, final=-1), "final was -1; wanted a number of at least 0"),
        (lambda: OneCycle(0.1, peak=1.5), "peak was 1.5; wanted a number from 0 to 1"),
        (lambda: OneCycle(0.1, shape="round"), "shape was 'round'"),
        (lambda: Piecewise(0.1, points=[1, 2]), "wanted pairs such as"),
        (lambda: Piecewise(0.1, [(30, 1), (0.25, 0)])(5, HORIZON), r"steps \[30, 15\]; wanted them in rising order"),
        (lambda: Plateau(0.1, patience=-1), "patience=-1"),
        (lambda: Plateau(0.1, dialect="jax"), "dialect was 'jax'"),
        (lambda: Plateau(0.1, memory={"best": 1}), "memory of Plateau was"),
        (lambda: Plateau(0.1, monitor="val_f1").observe({"val_loss": 1}), "watches 'val_f1', which is not among"),
    ],
)
def test_wrong_settings_are_explained(make, text):
    with pytest.raises(PellucidError, match=text):
        make()


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(FileFormatError, match=r"settings of schedule 'step' do not fit.*'evry'. Did you mean 'every'"):
        schedules.get("step:evry=5", 0.1)
    with pytest.raises(FileFormatError, match=r"settings of schedule 'step' do not fit: it needs 'every'"):
        schedules.get("step", 0.1)
    with pytest.raises(NotImplementedError, match="Schedule does not say how"):
        Schedule(0.1)(0)
